#include "lib/session/server_prelude.h"

#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

namespace {

// At isolation levels that the server may have for its default, the SELECT could fail (on a standby) or wait
// (for a safe snapshot).
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
ServerPrelude ServerPrelude::of(const std::vector<SettingsStatement>& statements, char status, bool resets) {
  ServerPrelude prelude;
  if (statements.empty() && !resets) return prelude;
  Batch batch{prelude.bytes_, prelude.expected_, ""};
  if (resets) batch.run("DISCARD ALL", {}, "C");
  if (!statements.empty()) {
    if (status == 'I') batch.run(kBegin, {}, "C");
    for (const auto& [sql, parameters] : statements) batch.run(sql, parameters, "DC");
    if (status == 'I') batch.run("COMMIT", {}, "C");
  }
  batch.close();
  return prelude;
}

ServerPrelude ServerPrelude::reset_and_set(const Entries& settings) {
  static const ServerPrelude kResetOnly = of({}, 'I', true);
  return settings.empty() ? kResetOnly : of(statements_that_set(settings), 'I', true);
}

ServerPrelude ServerPrelude::change(const SettingChanges& changes, bool resets) {
  return of(statements_that_change(changes), 'I', resets);
}

// A named statement must be closed before its name is used again; so must its portal, which would otherwise
// live as long as the client's transaction.
ServerPrelude ServerPrelude::restore(const Entries& settings, char status) {
  ServerPrelude prelude;
  if (settings.empty()) return prelude;
  Batch batch{prelude.bytes_, prelude.expected_, "tidepool restores settings"};
  const auto run = [&batch](std::string_view sql, std::span<const wire::Value> parameters,
                            std::string_view answers) {
    batch.run(sql, parameters, answers);
    batch.close();
  };
  if (status == 'I') run(kBegin, {}, "C");
  for (const auto& [sql, parameters] : statements_that_restore(settings)) run(sql, parameters, "DC");
  if (status == 'I') run("COMMIT", {}, "C");
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
