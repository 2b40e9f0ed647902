// What travels in front of a client's message so that its server has the client's startup settings, and the
// answers to it. It goes as Parse/Bind/Execute without Sync: an error in it keeps the client's statement from
// running, since PostgreSQL then skips everything up to the next Sync, a simple Query included
// (docs/decisions.md, "In front of a message").
//   on a server that its last client left unclean: DISCARD ALL first
//   on one that is in doubt: SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL first. Alone in front
//   of a VACUUM they would make it fail, so that BEGIN and COMMIT follow in any case outside a transaction:
//   BEGIN; SELECT pg_catalog.set_config($1,$2,false), ...; COMMIT inside one ('T'):      SELECT
//   pg_catalog.set_config(...)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/session/settings_statement.h"
#include "lib/session/startup_settings.h"
#include "lib/wire/frame_cursor.h"

namespace tidepool::session {

class ServerPrelude {
 public:
  using Entries = std::vector<StartupSettings::Entry>;

  ServerPrelude() = default;
  // Sets all `settings`. `status` is 'I' or 'T'. For a server that a client has just got: uses the unnamed
  // statement and portal, of which nothing is left.
  static ServerPrelude set(const Entries& settings, char status) {
    return of(statements_that_set(settings), status, First::Nothing);
  }
  // The same behind a DISCARD ALL, for a server that its last client has left unclean ('I').
  static ServerPrelude reset_and_set(const Entries& settings);
  // Between two clients that do not begin with a clean server (transaction mode): what the next one wants to
  // be otherwise.
  static ServerPrelude change(const SettingChanges& changes, bool resets = false);
  // The same on a server where the last one may have set what nobody can list: everything that was set there
  // is taken back first. Prepared statements stay, and so do their plans.
  static ServerPrelude undo_and_change(const SettingChanges& changes);
  // Sets those of `settings` that are at the server's own value now: after RESET x, RESET ALL or DISCARD ALL,
  // which go back to the server's values where they should go back to the client's. A setting that the client
  // has SET itself is left as it is. In the middle of a session: leaves the client's unnamed statement and
  // portal alone.
  static ServerPrelude restore(const Entries& settings, char status);

  // The same inside a transaction for settings that are known to have gone back: by SET, so that it does not
  // count as the transaction's first query, behind which its isolation level could not be chosen any more.
  // Not for lists (can_be_restored_by_set).
  static ServerPrelude restore_by_set(const Entries& settings);
  static bool can_be_restored_by_set(std::string_view name);

  const std::string& bytes() const { return bytes_; }
  bool is_done() const { return answered_ == expected_.size(); }

  enum class Step {
    More,
    Done,    // the next message is the answer to the client's own
    Failed,  // an ErrorResponse, or an answer that cannot be: error() says
  };
  // Feed it every message from the server up to Done or Failed, ParameterStatus, NoticeResponse and
  // NotificationResponse excepted, which are the caller's. Needs whole bodies of ErrorResponse only.
  Step server_sent(const wire::Message& message);
  const base::Error& error() const { return error_; }

 private:
  enum class First : uint8_t { Nothing, Reset, Undo };
  static ServerPrelude of(const std::vector<SettingsStatement>& statements, char status, First first);

  std::string bytes_;
  std::string expected_;  // the types of the messages that answer bytes_, and how many of them have come
  size_t answered_ = 0;
  base::Error error_;
};

}  // namespace tidepool::session
