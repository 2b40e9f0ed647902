// What drivers and tools ask any PostgreSQL before they let their user speak, answered with fixed values, so
// that psql, psycopg, asyncpg and SQLAlchemy can use the console: client variables (SHOW datestyle), and a
// few queries.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "lib/admin/result_rows.h"

namespace tidepool::admin {

// The PostgreSQL whose manners the console has.
inline constexpr std::string_view kServerVersion = "15.0";

struct ClientVariable {
  wire::Column column;  // its name as PostgreSQL spells it
  std::string_view value;
  bool reported = false;  // told in a ParameterStatus at login
};
std::span<const ClientVariable> client_variables();
const ClientVariable* find_client_variable(std::string_view name);  // in lower case; null: there is none

struct FixedAnswer {
  std::string_view statement;  // its tokens in lower case, one blank between two (command_lexer.h)
  bool is_beginning;           // of longer statements too
  std::string_view tag;
  std::span<const wire::Column> columns;
  std::span<const std::string_view> row;  // empty: no rows
};
const FixedAnswer* find_fixed_answer(std::string_view statement);

}  // namespace tidepool::admin
