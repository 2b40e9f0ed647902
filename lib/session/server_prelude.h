// What travels in front of a client's message so that its server has the client's settings, and the answers
// to it. It goes as Parse/Bind/Execute without Sync: an error in it keeps the client's statement from
// running, since PostgreSQL then skips everything up to the next Sync, a simple Query included
// (docs/decisions.md, "In front of a message").
//
//   - on a server that its last client left unclean: DISCARD ALL first; and if there may be a temporary
//     schema, which that does not take, an error where there is one
//   - on one that is in doubt: SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL first. Alone in front
//     of a VACUUM they would make it fail, so that BEGIN and COMMIT follow in any case
//   - outside a transaction: BEGIN; SELECT pg_catalog.set_config($1,$2,false), ...; COMMIT
//   - inside one ('T'): SET application_name TO ...
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
  ServerPrelude() = default;
  // What the next client wants to be otherwise on a server that it has just got: uses the unnamed statement
  // and portal, of which nothing is left. Behind a DISCARD ALL, for a server that its last client has left
  // unclean.
  enum class First : uint8_t { Nothing, Reset, ResetAndAsk, Undo };
  static ServerPrelude change(const SettingChanges& changes, First first = First::Nothing);
  // The same on a server where the last one may have set what nobody can list: everything that was set there
  // is taken back first. Prepared statements stay, and so do their plans.
  static ServerPrelude undo_and_change(const SettingChanges& changes);
  // Brings the client's application_name back after a RESET of its own, which went back to the name that the
  // server was dialed with. In the middle of a session: leaves the client's unnamed statement and portal
  // alone; and in a transaction ('T') it does not count as the first query, behind which the isolation level
  // could not be chosen any more. `if_reset`: unless the client has SET that very name itself.
  static ServerPrelude rename(std::string_view application_name, char status, bool if_reset);
  // The same in front of nothing, while a ReadyForQuery is held back: the client is about to be told its
  // name.
  static ServerPrelude rename_if_reset(std::string_view application_name, char status);
  // Once it is done: the client has SET the name itself, and nothing was renamed.
  bool left_the_name() const { return left_the_name_; }

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
  // It was an ErrorResponse: the server skips what stands behind.
  bool was_refused() const { return was_refused_; }
  // The error says something about the settings, and not about the server at this moment.
  bool failed_by_settings() const;
  // It failed because the server has a temporary schema: all that is wrong with it.
  bool found_temporary() const { return asks_temporary_ && error_.sqlstate == "57014"; }

 private:
  static ServerPrelude of(const SettingChanges& changes, First first);

  std::string bytes_;
  std::string expected_;  // the types of the messages that answer bytes_, and how many of them have come
  size_t answered_ = 0;
  bool asks_temporary_ = false;
  size_t tells_temporary_ = 0;  // which answer, if there is one
  bool was_refused_ = false;
  bool asks_name_ = false, left_the_name_ = false;
  base::Error error_;
};

}  // namespace tidepool::session
