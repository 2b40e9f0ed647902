// The extended protocol's messages. Their rules and the words of their errors are those of PostgreSQL's
// src/backend/tcop/postgres.c, so that drivers see nothing unusual.
#include <algorithm>
#include <utility>

#include "lib/admin/console_machine.h"

namespace tidepool::admin {

namespace {

// More than any driver caches.
constexpr size_t kMostStatements = 256;
constexpr size_t kMostPortals = 256;

const std::optional<ConsoleStep> kGoOn = std::nullopt;

base::Error protocol_violation(std::string message) {
  return {"08P01", std::move(message)};
}

base::Error invalid_message() {
  return protocol_violation("invalid message format");
}

base::Error no_such_statement(std::string_view name) {
  if (name.empty()) return {"26000", "unnamed prepared statement does not exist"};
  return {"26000", "prepared statement \"" + std::string(name) + "\" does not exist"};
}

base::Error no_such_portal(std::string_view name) {
  return {"34000", "portal \"" + std::string(name) + "\" does not exist"};
}

// A number, and so many format codes.
base::Result<std::vector<Format>> read_formats(wire::FieldReader& body) {
  std::vector<Format> formats;
  for (uint16_t left = body.u16(); left > 0 && body.ok(); --left) {
    const uint16_t code = body.u16();
    if (code > 1) return base::Error{"22023", "unsupported format code: " + std::to_string(code)};
    formats.push_back(code == 1 ? Format::Binary : Format::Text);
  }
  return formats;
}

// No command of the console looks at its parameters.
size_t skip_values(wire::FieldReader& body) {
  constexpr uint32_t kNull = 0xffffffff;
  const uint16_t count = body.u16();
  for (uint16_t left = count; left > 0 && body.ok(); --left)
    if (const uint32_t size = body.u32(); size != kNull) body.bytes(size);
  return count;
}

bool fits(const std::vector<Format>& formats, size_t count) {
  return formats.size() <= 1 || formats.size() == count;
}

}  // namespace

Console::Machine::Outcome Console::Machine::on_parse(wire::FieldReader body, std::string& out) {
  const std::string name(body.cstring());
  const std::string_view sql = body.cstring();
  std::vector<uint32_t> oids;
  for (uint16_t left = body.u16(); left > 0 && body.ok(); --left) oids.push_back(body.u32());
  if (!body.ok_and_at_end()) return invalid_message();

  auto commands = parse_commands(sql);
  if (!commands) return commands.error();
  if (commands->size() > 1)
    return base::Error{"42601", "cannot insert multiple commands into a prepared statement"};
  Command command = commands->empty() ? Command{NoCommand{}, ""} : std::move(commands->front());
  if (base::Status may = may_run(command); !may) return may.error();
  if (!name.empty() && statements.contains(name))
    return base::Error{"42P05", "prepared statement \"" + name + "\" already exists"};
  if (statements.size() >= kMostStatements)
    return base::Error{"53400", "too many prepared statements (the console's limit is " +
                                    std::to_string(kMostStatements) + ")"};
  if (oids.size() < command.parameter_count) oids.resize(command.parameter_count, 0);
  std::replace(oids.begin(), oids.end(), 0u, kTextOid);
  statements.insert_or_assign(name, PreparedStatement{std::move(command), std::move(oids)});
  wire::append_parse_complete(out);
  return kGoOn;
}

Console::Machine::Outcome Console::Machine::on_bind(wire::FieldReader body, std::string& out) {
  const std::string name(body.cstring());
  const std::string_view statement_name = body.cstring();
  const auto parameter_formats = read_formats(body);
  if (!parameter_formats) return parameter_formats.error();
  const size_t parameters = skip_values(body);
  auto formats = read_formats(body);
  if (!formats) return formats.error();
  if (!body.ok_and_at_end()) return invalid_message();

  const auto found = statements.find(statement_name);
  if (found == statements.end()) return no_such_statement(statement_name);
  const PreparedStatement& statement = found->second;
  if (!fits(*parameter_formats, parameters))
    return protocol_violation("bind message has " + std::to_string(parameter_formats->size()) +
                              " parameter formats but " + std::to_string(parameters) + " parameters");
  if (parameters != statement.parameter_oids.size())
    return protocol_violation("bind message supplies " + std::to_string(parameters) +
                              " parameters, but prepared statement \"" + std::string(statement_name) +
                              "\" requires " + std::to_string(statement.parameter_oids.size()));
  if (base::Status may = may_run(statement.command); !may) return may.error();
  const size_t columns = statement.command.columns().size();
  if (columns > 0 && !fits(*formats, columns))
    return protocol_violation("bind message has " + std::to_string(formats->size()) +
                              " result formats but query has " + std::to_string(columns) + " columns");
  if (!name.empty() && portals.contains(name))
    return base::Error{"42P03", "cursor \"" + name + "\" already exists"};
  if (portals.size() >= kMostPortals)
    return base::Error{"53400",
                       "too many portals (the console's limit is " + std::to_string(kMostPortals) + ")"};
  portals.insert_or_assign(name, Portal{statement.command, ResultFormats(*std::move(formats))});
  wire::append_bind_complete(out);
  return kGoOn;
}

Console::Machine::Outcome Console::Machine::on_describe(wire::FieldReader body, std::string& out) {
  const char kind = body.byte();
  const std::string_view name = body.cstring();
  if (!body.ok_and_at_end()) return invalid_message();
  if (kind != 'S' && kind != 'P')
    return protocol_violation("invalid DESCRIBE message subtype " +
                              std::to_string(static_cast<unsigned char>(kind)));

  const Command* command = nullptr;
  ResultFormats formats;  // not known yet for a statement: PostgreSQL says text
  const PreparedStatement* statement = nullptr;
  if (kind == 'S') {
    const auto found = statements.find(name);
    if (found == statements.end()) return no_such_statement(name);
    statement = &found->second;
    command = &statement->command;
  } else {
    const auto found = portals.find(name);
    if (found == portals.end()) return no_such_portal(name);
    command = &found->second.command;
    formats = found->second.formats;
  }
  if (base::Status may = may_run(*command); !may) return may.error();
  if (statement != nullptr) wire::append_parameter_description(out, statement->parameter_oids);
  if (command->columns().empty())
    wire::append_no_data(out);
  else
    append_row_description(out, command->columns(), formats);
  return kGoOn;
}

Console::Machine::Outcome Console::Machine::on_execute(wire::FieldReader body, std::string& out) {
  const std::string_view name = body.cstring();
  const uint32_t limit = body.u32();
  if (!body.ok_and_at_end()) return invalid_message();
  const auto found = portals.find(name);
  if (found == portals.end()) return no_such_portal(name);
  running = &found->second;
  most_rows = limit > 0x7fffffff ? 0 : limit;  // a signed number; PostgreSQL takes a negative one as no limit
  return run(out);
}

Console::Machine::Outcome Console::Machine::on_close(wire::FieldReader body, std::string& out) {
  const char kind = body.byte();
  const std::string name(body.cstring());
  if (!body.ok_and_at_end()) return invalid_message();
  if (kind == 'S')
    statements.erase(name);
  else if (kind == 'P')
    portals.erase(name);
  else
    return protocol_violation("invalid CLOSE message subtype " +
                              std::to_string(static_cast<unsigned char>(kind)));
  wire::append_close_complete(out);
  return kGoOn;
}

}  // namespace tidepool::admin
