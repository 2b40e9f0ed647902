#include "lib/session/settings_statement.h"

#include <algorithm>

#include "lib/base/ascii.h"

namespace tidepool::session {

namespace {

void add(std::string_view name, wire::Value value, std::vector<SettingsStatement>& to) {
  if (to.empty() || to.back().parameters.size() == 2 * kSettingsPerStatement) to.emplace_back();
  to.back().parameters.emplace_back(name);
  to.back().parameters.push_back(value);
}

std::string parameter(size_t index) {
  return "$" + std::to_string(index + 1);
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

std::vector<SettingsStatement> statements_that_change(const SettingChanges& changes) {
  std::vector<SettingsStatement> statements;
  for (const auto& [name, value, is_utf8] : changes) {
    const bool as_hex = is_utf8 && value && !is_ascii(*value);
    add(name, value && !as_hex ? wire::Value(*value) : std::nullopt, statements);
    SettingsStatement& statement = statements.back();
    const size_t at = statement.parameters.size() - 2;
    // The answer has the value again, or the one that it goes back to: no message may be longer than what is
    // read at once, and the client's encoding may lack its letters.
    const bool is_answered = value && value->size() <= kLongestAnswered && is_ascii(*value);
    statement.sql += at == 0 ? "SELECT " : ",";
    if (!is_answered) statement.sql += "pg_catalog.length(";
    statement.sql += "pg_catalog.set_config(" + parameter(at) + ",";
    if (as_hex) {
      statement.parameters.back() = statement.owned.emplace_back(hex(*value));
      statement.sql += "pg_catalog.convert_from(pg_catalog.decode(" + parameter(at + 1) + ",'hex'),'UTF8')";
    } else {
      statement.sql += parameter(at + 1);
    }
    statement.sql += is_answered ? ",false)" : ",false))";
  }
  return statements;
}

}  // namespace tidepool::session
