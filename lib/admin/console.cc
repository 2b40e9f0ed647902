#include "lib/admin/console.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "lib/admin/console_machine.h"
#include "lib/wire/frame_cursor.h"
#include "lib/wire/held_messages.h"

namespace tidepool::admin {

namespace {

// Nobody has that much to say to a console.
constexpr uint32_t kLongestMessage = 64 * 1024;  // its length field included
constexpr size_t kMostKept = size_t{4} * kLongestMessage;
constexpr size_t kMostSavepoints = 64;

const std::optional<ConsoleStep> kGoOn = std::nullopt;

void warn(std::string& out, const char* sqlstate, const char* message) {
  wire::append_notice_response(out, "WARNING", {sqlstate, message});
}

std::string help_text() {
  std::string text = "\n\tSHOW HELP";
  for (const ShowTable& table : show_tables()) {
    text += '|';
    for (char c : table.name) text += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return text + "\n\tRELOAD\n\tRECONNECT [<pool>]\n\tSHUTDOWN [WAIT_FOR_CLIENTS]";
}

}  // namespace

Console::Console() : machine_(std::make_unique<Machine>()) {}
Console::~Console() = default;

void Console::append_parameters(std::string& out, const std::string& version,
                                const std::string& application_name) {
  wire::append_parameter_status(out, "server_version", std::string(kServerVersion) + " (" + version + ")");
  wire::append_parameter_status(out, "application_name", application_name);
  for (const ClientVariable& variable : client_variables())
    if (variable.reported) wire::append_parameter_status(out, variable.column.name, variable.value);
}

ConsoleStep Console::receive(base::Bytes bytes, std::string& out) {
  return machine_->receive(bytes, out);
}
ConsoleStep Console::resume(const stats::Snapshot& snapshot, std::string& out) {
  return machine_->resume(snapshot, out);
}
ConsoleStep Console::resume(const base::Status& done, std::string& out) {
  return machine_->resume(done, out);
}

// Messages.

ConsoleStep Console::Machine::receive(base::Bytes bytes, std::string& out) {
  if (closed) return CloseConsole{};
  incoming.append(bytes);
  ConsoleStep step = NeedMore{};
  if (waiting == Waiting::No)
    step = go_on(kGoOn, out);
  else if (wire::HeldMessages(incoming.substr(parsed)).is_broken())
    return refuse("invalid message length", out);
  if (!closed && incoming.size() - parsed > kMostKept)
    return refuse("more than " + std::to_string(kMostKept) + " bytes were sent without waiting for an answer",
                  out);
  return step;
}

ConsoleStep Console::Machine::resume(const stats::Snapshot& snapshot, std::string& out) {
  if (closed) return CloseConsole{};
  assert(waiting == Waiting::ForSnapshot);
  waiting = Waiting::No;
  return go_on(use_snapshot(snapshot, out), out);
}

ConsoleStep Console::Machine::resume(const base::Status& done, std::string& out) {
  if (closed) return CloseConsole{};
  assert(waiting == Waiting::ForEffect);
  waiting = Waiting::No;
  return go_on(done ? complete(running->command.tag, out) : Outcome(done.error()), out);
}

ConsoleStep Console::Machine::go_on(Outcome outcome, std::string& out) {
  while (true) {
    if (!outcome) {
      fail(outcome.error(), out);
    } else if (const Wait& wait = *outcome) {
      ConsoleStep step = *wait;
      if (std::holds_alternative<CloseConsole>(step))
        closed = true;
      else if (std::holds_alternative<NeedSnapshot>(step))
        waiting = Waiting::ForSnapshot;
      else if (!std::holds_alternative<NeedMore>(step))
        waiting = Waiting::ForEffect;
      return step;
    }
    outcome = query ? next_of_query(out) : next_message(out);
  }
}

ConsoleStep Console::Machine::refuse(const std::string& why, std::string& out) {
  wire::append_error_response(out, "FATAL", {"08P01", why});
  closed = true;
  return CloseConsole{};
}

Console::Machine::Outcome Console::Machine::next_message(std::string& out) {
  if (parsed > incoming.size() / 2) incoming.erase(0, std::exchange(parsed, 0));
  const base::Bytes left = base::Bytes(incoming).substr(parsed);
  if (left.size() < wire::kHeaderSize) return Wait(NeedMore{});
  const uint32_t length = base::read_u32(left.data() + 1);
  if (length < 4 || length > kLongestMessage)
    return Wait(refuse("invalid message length " + std::to_string(length) + " (the console's limit is " +
                           std::to_string(kLongestMessage) + ")",
                       out));
  const size_t size = size_t{1} + length;
  if (left.size() < size) return Wait(NeedMore{});
  parsed += size;
  return on_message(left.front(), left.substr(wire::kHeaderSize, size - wire::kHeaderSize), out);
}

Console::Machine::Outcome Console::Machine::on_message(char type, base::Bytes body, std::string& out) {
  if (type == 'X') return Wait(CloseConsole{});
  if (skips_to_sync && type != 'S') return kGoOn;
  switch (type) {
    case 'Q':
      return on_query(body, out);
    case 'P':
      return on_parse(wire::FieldReader(body), out);
    case 'B':
      return on_bind(wire::FieldReader(body), out);
    case 'D':
      return on_describe(wire::FieldReader(body), out);
    case 'E':
      return on_execute(wire::FieldReader(body), out);
    case 'C':
      return on_close(wire::FieldReader(body), out);
    case 'S':
      skips_to_sync = false;
      ready(out);
      return kGoOn;
    case 'F':
      query = Query{};  // it ends with ReadyForQuery like one
      return base::Error{"0A000", "function calls are not supported by the console"};
    case 'H':  // nothing is ever held back
    case 'd':  // the COPY messages are ignored, as PostgreSQL does:
    case 'c':  // they may follow a COPY that was refused
    case 'f':
      return kGoOn;
    default:
      return Wait(
          refuse("invalid frontend message type " + std::to_string(static_cast<unsigned char>(type)), out));
  }
}

Console::Machine::Outcome Console::Machine::on_query(base::Bytes body, std::string& out) {
  query = Query{};
  statements.erase("");
  portals.erase("");
  wire::FieldReader reader(body);
  const std::string_view sql = reader.cstring();
  if (!reader.ok_and_at_end()) return base::Error{"08P01", "invalid message format"};
  auto commands = parse_commands(sql);
  if (!commands) return commands.error();
  if (commands->empty()) wire::append_empty_query_response(out);
  query->commands = *std::move(commands);
  return kGoOn;
}

Console::Machine::Outcome Console::Machine::next_of_query(std::string& out) {
  if (query->next == query->commands.size()) {
    query.reset();
    ready(out);
    return kGoOn;
  }
  simple = Portal{std::move(query->commands[query->next++]), ResultFormats()};
  running = &simple;
  most_rows = 0;
  return run(out);
}

void Console::Machine::fail(const base::Error& error, std::string& out) {
  wire::append_error_response(out, "ERROR", error);
  if (transaction == 'T') transaction = 'E';
  running = nullptr;
  portals.clear();
  skips_to_sync = !query;
  if (!query) return;
  query.reset();
  ready(out);
}

void Console::Machine::ready(std::string& out) {
  if (transaction == 'I') portals.clear();
  wire::append_ready_for_query(out, transaction);
}

// Commands.

base::Status Console::Machine::may_run(const Command& command) const {
  if (transaction != 'E' || command.may_end_failed_transaction() ||
      std::holds_alternative<NoCommand>(command.action))
    return base::Done{};
  return base::Error{"25P02",
                     "current transaction is aborted, commands ignored until end of transaction block"};
}

Console::Machine::Outcome Console::Machine::run(std::string& out) {
  Portal& portal = *running;
  if (base::Status may = may_run(portal.command); !may) return may.error();
  if (portal.started) return send_rows(out);
  portal.started = true;
  return std::visit([&](const auto& action) { return start(action, out); }, portal.command.action);
}

Console::Machine::Outcome Console::Machine::start(const NoCommand&, std::string& out) {
  wire::append_empty_query_response(out);
  return kGoOn;
}

Console::Machine::Outcome Console::Machine::start(const ShowTheTable&, std::string&) {
  return Wait(NeedSnapshot{});
}

Console::Machine::Outcome Console::Machine::start(const ShowHelp&, std::string& out) {
  wire::append_notice_response(out, "NOTICE", {"00000", "Console usage", help_text()});
  return complete(running->command.tag, out);
}

Console::Machine::Outcome Console::Machine::start(const ShowVariable& show, std::string& out) {
  running->rows = {{std::string(show.variable->value)}};
  return send_rows(out);
}

Console::Machine::Outcome Console::Machine::start(const Answer& fixed, std::string& out) {
  if (fixed.answer->columns.empty()) return complete(running->command.tag, out);
  const auto& row = fixed.answer->row;
  if (!row.empty()) running->rows.emplace_back(row.begin(), row.end());
  return send_rows(out);
}

Console::Machine::Outcome Console::Machine::start(const IgnoreSetting&, std::string& out) {
  wire::append_notice_response(out, "NOTICE", {"00000", std::string(running->command.tag) + " ignored"});
  return complete(running->command.tag, out);
}

Console::Machine::Outcome Console::Machine::start(const Reload&, std::string&) {
  return Wait(DoReload{});
}

Console::Machine::Outcome Console::Machine::start(const Reconnect& reconnect, std::string&) {
  if (reconnect.pool.empty()) return Wait(DoReconnect{});
  return Wait(NeedSnapshot{});  // is there such a pool?
}

Console::Machine::Outcome Console::Machine::start(const Shutdown& shutdown, std::string&) {
  return Wait(DoShutdown{shutdown.drain});
}

Console::Machine::Outcome Console::Machine::start(const Begin&, std::string& out) {
  if (transaction == 'T') warn(out, "25001", "there is already a transaction in progress");
  transaction = 'T';
  return complete(running->command.tag, out);
}

Console::Machine::Outcome Console::Machine::start(const Commit&, std::string& out) {
  return end_transaction(out);
}

Console::Machine::Outcome Console::Machine::start(const Rollback&, std::string& out) {
  return end_transaction(out);
}

Console::Machine::Outcome Console::Machine::end_transaction(std::string& out) {
  if (transaction == 'I') warn(out, "25P01", "there is no transaction in progress");
  savepoints.clear();
  return complete(std::exchange(transaction, 'I') == 'E' ? "ROLLBACK" : running->command.tag, out);
}

// Drivers set a savepoint around what they try (psycopg's `with conn.transaction()` in a transaction).
Console::Machine::Outcome Console::Machine::start(const SetSavepoint& set, std::string& out) {
  if (transaction == 'I') return base::Error{"25P01", "SAVEPOINT can only be used in transaction blocks"};
  if (savepoints.size() == kMostSavepoints)
    return base::Error{
        "54000", "too many savepoints (the console's limit is " + std::to_string(kMostSavepoints) + ")"};
  savepoints.push_back(set.name);
  return complete(running->command.tag, out);
}

Console::Machine::Outcome Console::Machine::start(const ReleaseSavepoint& release, std::string& out) {
  const auto found = find_savepoint(release.name, "RELEASE SAVEPOINT");
  if (!found) return found.error();
  savepoints.resize(*found - 1);
  return complete(running->command.tag, out);
}

Console::Machine::Outcome Console::Machine::start(const RollbackToSavepoint& rollback, std::string& out) {
  const auto found = find_savepoint(rollback.name, "ROLLBACK TO SAVEPOINT");
  if (!found) return found.error();
  savepoints.resize(*found);
  transaction = 'T';
  return complete(running->command.tag, out);
}

base::Result<size_t> Console::Machine::find_savepoint(const std::string& name, const char* command) const {
  if (transaction == 'I')
    return base::Error{"25P01", std::string(command) + " can only be used in transaction blocks"};
  const auto found = std::find(savepoints.rbegin(), savepoints.rend(), name);
  if (found == savepoints.rend()) return base::Error{"3B001", "savepoint \"" + name + "\" does not exist"};
  return static_cast<size_t>(savepoints.rend() - found);
}

Console::Machine::Outcome Console::Machine::start(const Deallocate& deallocate, std::string& out) {
  if (deallocate.name.empty())
    statements.clear();
  else if (statements.erase(deallocate.name) == 0)
    return base::Error{"26000", "prepared statement \"" + deallocate.name + "\" does not exist"};
  return complete(running->command.tag, out);
}

Console::Machine::Outcome Console::Machine::start(const DiscardAll&, std::string& out) {
  if (transaction == 'T') return base::Error{"25001", "DISCARD ALL cannot run inside a transaction block"};
  statements.clear();
  return complete(running->command.tag, out);
}

Console::Machine::Outcome Console::Machine::use_snapshot(const stats::Snapshot& snapshot, std::string& out) {
  const Command::Action& action = running->command.action;
  if (const auto* reconnect = std::get_if<Reconnect>(&action)) {
    const bool known = std::any_of(snapshot.pools.begin(), snapshot.pools.end(),
                                   [&](const stats::PoolRow& pool) { return pool.name == reconnect->pool; });
    if (!known) return base::Error{"3D000", "no such database: " + reconnect->pool};
    return Wait(DoReconnect{reconnect->pool});
  }
  running->rows = std::get<ShowTheTable>(action).table->rows(snapshot);
  return send_rows(out);
}

Console::Machine::Outcome Console::Machine::send_rows(std::string& out) {
  Portal& portal = *running;
  const auto columns = portal.command.columns();
  if (columns.empty()) return base::Error{"55000", "portal cannot be run again"};
  if (query) append_row_description(out, columns, portal.formats);
  const size_t left = portal.rows.size() - portal.sent_rows;
  const size_t count = most_rows == 0 ? left : std::min<size_t>(left, most_rows);
  for (size_t i = 0; i < count; ++i)
    append_data_row(out, columns, portal.formats, portal.rows[portal.sent_rows++]);
  if (most_rows == 0 || count < most_rows) return complete(portal.command.tag, out);
  wire::MessageFrame portal_suspended(out, 's');
  running = nullptr;
  return kGoOn;
}

Console::Machine::Outcome Console::Machine::complete(std::string_view tag, std::string& out) {
  wire::append_command_complete(out, tag);
  running->rows = {};  // they may be many
  running->sent_rows = 0;
  running = nullptr;
  return kGoOn;
}

}  // namespace tidepool::admin
