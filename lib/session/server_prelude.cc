#include "lib/session/server_prelude.h"

#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

namespace {

constexpr std::string_view kRestores = "tidepool restores settings";
// pg_settings says whether a value came from SET.
constexpr std::string_view kRenameIfReset =
    "SELECT pg_catalog.count(pg_catalog.set_config('application_name', $1, false)) FROM "
    "pg_catalog.pg_settings s WHERE s.name OPERATOR(pg_catalog.=) 'application_name' AND s.source "
    "OPERATOR(pg_catalog.<>) 'session'";
// At isolation levels that the server may have for its default, the SELECT could fail (on a standby) or wait
// (for a safe snapshot).
constexpr std::string_view kBegin = "BEGIN ISOLATION LEVEL READ COMMITTED";

// Nothing but an error keeps the client's message from running.
constexpr std::string_view kFailIfTemporary =
    "SELECT pg_catalog.pg_cancel_backend(pg_catalog.pg_backend_pid()) WHERE pg_catalog.pg_my_temp_schema() "
    "OPERATOR(pg_catalog.<>) 0";

// Writes requests, and the types of the answers that each gets when all goes well.
struct Batch {
  std::string& bytes;
  std::string& expected;
  std::string_view name;  // of the statements and portals

  void run(std::string_view sql, std::span<const wire::Value> parameters, std::string_view answers) {
    wire::append_parse(bytes, name, sql);
    wire::append_bind(bytes, name, name, parameters);
    wire::append_execute(bytes, name);
    expected += "12";
    expected += answers;
  }
  void close() {
    wire::append_close(bytes, 'P', name);
    wire::append_close(bytes, 'S', name);
    expected += "33";
  }
};

}  // namespace

// The unnamed statement may be parsed over. It is closed in the end, so that a client that uses it without a
// Parse of its own gets PostgreSQL's error.
ServerPrelude ServerPrelude::of(const SettingChanges& changes, First first) {
  ServerPrelude prelude;
  if (changes.empty() && first == First::Nothing) return prelude;
  Batch batch{prelude.bytes_, prelude.expected_, ""};
  if (first == First::Reset || first == First::ResetAndAsk) batch.run("DISCARD ALL", {}, "C");
  // RESET ALL leaves the role and the session authorization.
  if (first == First::Undo)
    for (std::string_view sql : {"SET SESSION AUTHORIZATION DEFAULT", "RESET ROLE", "RESET ALL"})
      batch.run(sql, {}, "C");
  prelude.asks_temporary_ = first == First::ResetAndAsk;
  if (!changes.empty() || first == First::Undo || first == First::ResetAndAsk) {
    batch.run(kBegin, {}, "C");
    if (prelude.asks_temporary_) {
      batch.run(kFailIfTemporary, {}, "C");
      prelude.tells_temporary_ = prelude.expected_.size() - 1;
    }
    for (const auto& statement : statements_that_change(changes))
      batch.run(statement.sql, statement.parameters, "DC");
    batch.run("COMMIT", {}, "C");
  }
  batch.close();
  return prelude;
}

ServerPrelude ServerPrelude::change(const SettingChanges& changes, First first) {
  static const ServerPrelude kResetOnly = of({}, First::Reset);
  if (first == First::Reset && changes.empty()) return kResetOnly;
  return of(changes, first);
}

ServerPrelude ServerPrelude::undo_and_change(const SettingChanges& changes) {
  return of(changes, First::Undo);
}

// A named statement must be closed before its name is used again; so must its portal, which would otherwise
// live as long as the client's transaction.
ServerPrelude ServerPrelude::rename(std::string_view application_name, char status, bool if_reset) {
  ServerPrelude prelude;
  Batch batch{prelude.bytes_, prelude.expected_, kRestores};
  const auto run = [&batch](std::string_view sql, std::span<const wire::Value> parameters,
                            std::string_view answers) {
    batch.run(sql, parameters, answers);
    batch.close();
  };
  if (status == 'I') run(kBegin, {}, "C");
  prelude.asks_name_ = if_reset;
  if (if_reset) {
    const wire::Value name(application_name);
    run(kRenameIfReset, {&name, 1}, "DC");
  } else {
    std::string sql = "SET application_name TO ";
    append_literal(application_name, sql);
    run(sql, {}, "C");
  }
  if (status == 'I') run("COMMIT", {}, "C");
  return prelude;
}

ServerPrelude ServerPrelude::rename_if_reset(std::string_view application_name, char status) {
  ServerPrelude prelude = rename(application_name, status, true);
  wire::append_sync(prelude.bytes_);
  prelude.expected_ += 'Z';
  return prelude;
}

ServerPrelude::Step ServerPrelude::server_sent(const wire::Message& message) {
  switch (message.type) {
    case 'N':
    case 'A':
    case 'S':
      return Step::More;
    case 'E':
      error_ = wire::read_error(message.body);
      was_refused_ = true;
      return Step::Failed;
  }
  // There is a temporary schema: the cancel that the row tells of strikes behind it, if it has not struck
  // yet.
  if (asks_temporary_ && message.type == 'D' && answered_ == tells_temporary_) return Step::More;
  if (is_done() || message.type != expected_[answered_]) {
    error_ = {"08P01", "the server gave an unexpected answer to the session's settings"};
    return Step::Failed;
  }
  // One row of one column, how many names were set.
  if (asks_name_ && message.type == 'D') left_the_name_ = message.body.ends_with('0');
  ++answered_;
  return is_done() ? Step::Done : Step::More;
}

// Not connection, resources, operator's intervention (a cancel too), system, internal.
bool ServerPrelude::failed_by_settings() const {
  const std::string_view error_class = std::string_view(error_.sqlstate).substr(0, 2);
  for (std::string_view of_the_server : {"", "08", "53", "57", "58", "XX"})
    if (error_class == of_the_server) return false;
  return true;
}

}  // namespace tidepool::session
