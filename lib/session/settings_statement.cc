#include "lib/session/settings_statement.h"

#include <algorithm>

#include "lib/base/ascii.h"

namespace tidepool::session {

namespace {

// Setting the session authorization takes the role back, and either changes what the user may set.
int turn_of(std::string_view name, bool is_reset) {
  const bool is_role = base::same_letters(name, "role");
  if (!is_role && !base::same_letters(name, "session_authorization")) return 1;
  if (is_reset) return 0;
  return is_role ? 3 : 2;
}

void add(std::string_view name, wire::Value value, std::vector<SettingsStatement>& to) {
  if (to.empty() || to.back().parameters.size() == 2 * kSettingsPerStatement) to.emplace_back();
  to.back().parameters.emplace_back(name);
  to.back().parameters.push_back(value);
}

std::vector<SettingsStatement> parameters_of(const SettingEntries& settings) {
  std::vector<SettingsStatement> statements;
  for (int turn = 0; turn <= 3; ++turn)
    for (const auto& [name, value] : settings)
      if (turn_of(name, false) == turn) add(name, value, statements);
  return statements;
}

// PostgreSQL says of a setting in pg_settings whether its value came from SET. Custom settings (app.x) and
// `role` do not stand there; docs/decisions.md, "What a reset leaves", has the rule for each.
constexpr std::string_view kRestoreBegin =
    "SELECT pg_catalog.count(pg_catalog.set_config(name, value, false)) FROM ("
    "SELECT own.name, own.value FROM (VALUES ";
constexpr std::string_view kRestoreEnd =
    ") own(place, name, value) "
    "LEFT JOIN pg_catalog.pg_settings known "
    "ON pg_catalog.lower(known.name) OPERATOR(pg_catalog.=) pg_catalog.lower(own.name) "
    "CROSS JOIN LATERAL pg_catalog.concat(pg_catalog.current_setting(own.name, true)) present "
    "WHERE CASE WHEN known.name IS NOT NULL THEN known.source OPERATOR(pg_catalog.<>) 'session' "
    "ELSE present OPERATOR(pg_catalog.=) '' "
    "OR pg_catalog.lower(own.name) OPERATOR(pg_catalog.=) 'role' AND present OPERATOR(pg_catalog.=) 'none' "
    "OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting login, pg_catalog.unnest(login.setconfig) line "
    "WHERE login.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, "
    "(SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) "
    "pg_catalog.current_database())]) "
    "AND login.setrole OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, "
    "(SELECT oid FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) session_user)]) "
    "AND line OPERATOR(pg_catalog.=) pg_catalog.concat(own.name, '=', present)) END "
    "ORDER BY own.place) at_server_value";

std::string parameter(size_t index) {
  return "$" + std::to_string(index + 1);
}

void write_set_config(std::vector<SettingsStatement>& statements) {
  for (auto& statement : statements) {
    for (size_t i = 0; i < statement.parameters.size(); i += 2) {
      statement.sql += i == 0 ? "SELECT " : ",";
      statement.sql += "pg_catalog.set_config(" + parameter(i) + "," + parameter(i + 1) + ",false)";
    }
  }
}

constexpr size_t kLongestAnswered = 256;

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::string hex(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (char c : text) {
    out.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    out.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
  return out;
}

}  // namespace

void append_literal(std::string_view value, std::string& sql) {
  sql += "E'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') sql.push_back(c);
    sql.push_back(c);
  }
  sql += "'";
}

std::vector<SettingsStatement> statements_that_set(const SettingEntries& settings) {
  auto statements = parameters_of(settings);
  write_set_config(statements);
  return statements;
}

std::vector<SettingsStatement> statements_that_change(const SettingChanges& changes) {
  std::vector<SettingsStatement> statements;
  for (int turn = 0; turn <= 3; ++turn) {
    for (const auto& [name, value, is_utf8] : changes) {
      if (turn_of(name, !value) != turn) continue;
      const bool as_hex = is_utf8 && value && !is_ascii(*value);
      add(name, value && !as_hex ? wire::Value(*value) : std::nullopt, statements);
      SettingsStatement& statement = statements.back();
      const size_t at = statement.parameters.size() - 2;
      // The answer has the value again: no message may be longer than what is read at once, and the client's
      // encoding may lack its letters.
      const bool is_long = as_hex || (value && value->size() > kLongestAnswered);
      statement.sql += at == 0 ? "SELECT " : ",";
      if (is_long) statement.sql += "pg_catalog.length(";
      statement.sql += "pg_catalog.set_config(" + parameter(at) + ",";
      if (as_hex) {
        statement.parameters.back() = statement.owned.emplace_back(hex(*value));
        statement.sql += "pg_catalog.convert_from(pg_catalog.decode(" + parameter(at + 1) + ",'hex'),'UTF8')";
      } else {
        statement.sql += parameter(at + 1);
      }
      statement.sql += is_long ? ",false))" : ",false)";
    }
  }
  return statements;
}

std::vector<SettingsStatement> statements_that_restore(const SettingEntries& settings) {
  auto statements = parameters_of(settings);
  for (auto& [sql, parameters, owned] : statements) {
    sql = kRestoreBegin;
    for (size_t i = 0; i < parameters.size(); i += 2) {
      if (i > 0) sql += ",";
      sql += "(" + std::to_string(i) + "," + parameter(i) + "::pg_catalog.text," + parameter(i + 1) +
             "::pg_catalog.text)";
    }
    sql += kRestoreEnd;
  }
  return statements;
}

}  // namespace tidepool::session
