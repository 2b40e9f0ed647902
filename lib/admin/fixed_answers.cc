#include "lib/admin/fixed_answers.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace tidepool::admin {

namespace {

constexpr std::array kClientVariables = {
    ClientVariable{text("application_name"), ""},
    ClientVariable{text("bytea_output"), "hex"},
    ClientVariable{text("client_encoding"), "UTF8", true},
    ClientVariable{text("client_min_messages"), "notice"},
    ClientVariable{text("DateStyle"), "ISO, MDY", true},
    ClientVariable{text("default_transaction_isolation"), "read committed"},
    ClientVariable{text("default_transaction_read_only"), "off", true},
    ClientVariable{text("extra_float_digits"), "1"},
    ClientVariable{text("idle_in_transaction_session_timeout"), "0"},
    ClientVariable{text("in_hot_standby"), "off", true},
    ClientVariable{text("integer_datetimes"), "on", true},
    ClientVariable{text("IntervalStyle"), "postgres", true},
    ClientVariable{text("is_superuser"), "on", true},
    ClientVariable{text("lock_timeout"), "0"},
    ClientVariable{text("row_security"), "on"},
    ClientVariable{text("search_path"), "\"$user\", public"},
    ClientVariable{text("server_encoding"), "UTF8", true},
    ClientVariable{text("server_version"), kServerVersion},
    ClientVariable{text("standard_conforming_strings"), "on", true},
    ClientVariable{text("statement_timeout"), "0"},
    ClientVariable{text("synchronize_seqscans"), "on"},
    ClientVariable{text("TimeZone"), "UTC", true},
    ClientVariable{text("transaction_isolation"), "read committed"},
    ClientVariable{text("transaction_read_only"), "off"},
};

constexpr uint32_t kVoidOid = 2278;

constexpr std::array kIsolationColumns = {text("transaction_isolation")};
constexpr std::array<std::string_view, 1> kIsolation = {"read committed"};
constexpr std::array kTimeZoneColumns = {text("TimeZone")};
constexpr std::array<std::string_view, 1> kTimeZone = {"UTC"};
constexpr std::array kOneColumns = {int4("?column?")};
constexpr std::array<std::string_view, 1> kOne = {"1"};
constexpr std::array kVersionColumns = {text("version")};
constexpr std::array<std::string_view, 1> kVersion = {"PostgreSQL 15.0 (tidepool " TIDEPOOL_VERSION ")"};
static_assert(kVersion[0].starts_with("PostgreSQL ") && kVersion[0].substr(11).starts_with(kServerVersion));
constexpr std::array kSchemaColumns = {text("current_schema")};
constexpr std::array<std::string_view, 1> kSchema = {"public"};
constexpr std::array kUnlockColumns = {wire::Column{"pg_advisory_unlock_all", kVoidOid, 4}};
constexpr std::array<std::string_view, 1> kUnlock = {""};
constexpr std::array kTypeColumns = {text("name"), int4("oid"), int4("array_oid"), text("regtype"),
                                     text("delimiter")};

constexpr std::array kOidColumns = {int4("oid"), int4("typarray")};

constexpr std::array kFixedAnswers = {
    // SQLAlchemy, at the first connection of an engine.
    FixedAnswer{"select pg_catalog . version ( )", false, "SELECT 1", kVersionColumns, kVersion},
    FixedAnswer{"select version ( )", false, "SELECT 1", kVersionColumns, kVersion},
    FixedAnswer{"select current_schema ( )", false, "SELECT 1", kSchemaColumns, kSchema},
    FixedAnswer{"show transaction isolation level", false, "SHOW", kIsolationColumns, kIsolation},
    // SQLAlchemy by psycopg (TypeInfo.fetch) and by psycopg2 (HstoreAdapter): hstore is not here.
    FixedAnswer{"select typname as name , oid , typarray as array_oid ,", true, "SELECT 0", kTypeColumns, {}},
    FixedAnswer{
        "select t . oid , typarray from pg_type t join pg_namespace ns", true, "SELECT 0", kOidColumns, {}},
    FixedAnswer{"show time zone", false, "SHOW", kTimeZoneColumns, kTimeZone},
    // Are you there?
    FixedAnswer{"select 1", false, "SELECT 1", kOneColumns, kOne},
    // asyncpg's reset of a pooled connection.
    FixedAnswer{"select pg_advisory_unlock_all ( )", false, "SELECT 1", kUnlockColumns, kUnlock},
    FixedAnswer{"close all", false, "CLOSE CURSOR ALL", {}, {}},
    FixedAnswer{"unlisten *", false, "UNLISTEN", {}, {}},
    FixedAnswer{"reset all", false, "RESET", {}, {}},
};

bool same_in_lower_case(std::string_view name, std::string_view lower) {
  return std::equal(name.begin(), name.end(), lower.begin(), lower.end(), [](char a, char b) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(a))) == b;
  });
}

}  // namespace

std::span<const ClientVariable> client_variables() {
  return kClientVariables;
}

const ClientVariable* find_client_variable(std::string_view name) {
  const auto* found = std::find_if(
      kClientVariables.begin(), kClientVariables.end(),
      [&](const ClientVariable& variable) { return same_in_lower_case(variable.column.name, name); });
  return found == kClientVariables.end() ? nullptr : found;
}

const FixedAnswer* find_fixed_answer(std::string_view statement) {
  const auto* found =
      std::find_if(kFixedAnswers.begin(), kFixedAnswers.end(), [&](const FixedAnswer& answer) {
        return answer.is_beginning ? statement.starts_with(answer.statement) : statement == answer.statement;
      });
  return found == kFixedAnswers.end() ? nullptr : found;
}

}  // namespace tidepool::admin
