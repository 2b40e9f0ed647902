#include "lib/session/server_prelude.h"

#include "lib/base/ascii.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

namespace {

// At isolation levels that the server may have for its default, the SELECT could fail (on a standby) or wait
// (for a safe snapshot).
constexpr std::string_view kRestores = "tidepool restores settings";
constexpr std::string_view kBegin = "BEGIN ISOLATION LEVEL READ COMMITTED";

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
ServerPrelude ServerPrelude::of(const std::vector<SettingsStatement>& statements, char status, First first) {
  ServerPrelude prelude;
  if (statements.empty() && first == First::Nothing) return prelude;
  Batch batch{prelude.bytes_, prelude.expected_, ""};
  if (first == First::Reset) batch.run("DISCARD ALL", {}, "C");
  // RESET ALL leaves the role and the session authorization.
  if (first == First::Undo)
    for (std::string_view sql : {"SET SESSION AUTHORIZATION DEFAULT", "RESET ROLE", "RESET ALL"})
      batch.run(sql, {}, "C");
  if (!statements.empty() || first == First::Undo) {
    if (status == 'I') batch.run(kBegin, {}, "C");
    for (const auto& statement : statements) batch.run(statement.sql, statement.parameters, "DC");
    if (status == 'I') batch.run("COMMIT", {}, "C");
  }
  batch.close();
  return prelude;
}

ServerPrelude ServerPrelude::reset_and_set(const Entries& settings) {
  static const ServerPrelude kResetOnly = of({}, 'I', First::Reset);
  return settings.empty() ? kResetOnly : of(statements_that_set(settings), 'I', First::Reset);
}

ServerPrelude ServerPrelude::change(const SettingChanges& changes, bool resets) {
  return of(statements_that_change(changes), 'I', resets ? First::Reset : First::Nothing);
}

ServerPrelude ServerPrelude::undo_and_change(const SettingChanges& changes) {
  return of(statements_that_change(changes), 'I', First::Undo);
}

// A named statement must be closed before its name is used again; so must its portal, which would otherwise
// live as long as the client's transaction.
ServerPrelude ServerPrelude::restore(const Entries& settings, char status) {
  ServerPrelude prelude;
  if (settings.empty()) return prelude;
  Batch batch{prelude.bytes_, prelude.expected_, kRestores};
  const auto run = [&batch](std::string_view sql, std::span<const wire::Value> parameters,
                            std::string_view answers) {
    batch.run(sql, parameters, answers);
    batch.close();
  };
  if (status == 'I') run(kBegin, {}, "C");
  for (const auto& statement : statements_that_restore(settings))
    run(statement.sql, statement.parameters, "DC");
  if (status == 'I') run("COMMIT", {}, "C");
  return prelude;
}

// Those would take a value for one item.
bool ServerPrelude::can_be_restored_by_set(std::string_view name) {
  for (std::string_view list : {"search_path", "temp_tablespaces", "session_preload_libraries",
                                "local_preload_libraries", "unix_socket_directories"})
    if (base::same_letters(name, list)) return false;
  return name.find('"') == std::string_view::npos;
}

ServerPrelude ServerPrelude::restore_by_set(const Entries& settings) {
  ServerPrelude prelude;
  Batch batch{prelude.bytes_, prelude.expected_, kRestores};
  for (const auto& [name, value] : settings) {
    std::string sql = "SET ";
    for (const char c : name) sql += c == '.' ? std::string("\".\"") : std::string(1, c);
    sql.insert(4, "\"");
    sql += "\" TO ";
    append_literal(value, sql);
    batch.run(sql, {}, "C");
    batch.close();
  }
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
      return Step::Failed;
  }
  if (is_done() || message.type != expected_[answered_]) {
    error_ = {"08P01", "the server gave an unexpected answer to the session's settings"};
    return Step::Failed;
  }
  ++answered_;
  return is_done() ? Step::Done : Step::More;
}

}  // namespace tidepool::session
