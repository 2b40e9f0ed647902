#include <doctest/doctest.h>

#include <string>

#include "tests/unit/sql/reading.h"

TEST_CASE("SET names its setting") {
  check_readings({
      {"SET search_path TO a, b", "Settings(search_path)"},
      {"set search_path = a, \"B\", 'c'", "Settings(search_path)"},
      {"set session search_path to a", "Settings(search_path)"},
      {"set app.user_id = '42'", "Settings(app.user_id)"},
      {"set app . user_id = '42'", "Settings(app.user_id)"},
      {"set a.b.c to 1", "Settings(a.b.c)"},
      {"set App.User_Id = '42'", "Settings(app.user_id)"},
      {"set \"App\".\"User\"\"Id\" = '42'", "Settings(App.User\"Id)"},
      {"set \"TimeZone\" to 'utc'", "Settings(TimeZone)"},
      {"set/**/x/**/=/**/1", "Settings(x)"},
      {"set x = on; set y = off; set x = on", "Settings(x y)"},
      {"select 1; set x = 1; select 2", "Settings(x)"},
      {"set x from current", "Settings(x)"},
      {"set m\xc3\xa4\x41 = 1", "Settings(m\xc3\xa4\x61)"},
  });
}

TEST_CASE("SET ... TO DEFAULT may go back to the start's value") {
  check_readings({
      {"set x to default", "Settings(x) ResetsSetting"},
      {"set x = default", "Settings(x) ResetsSetting"},
      {"set app.x = default", "Settings(app.x) ResetsSetting"},
      {"set session x to default", "Settings(x) ResetsSetting"},
      {"set x to 'default'", "Settings(x)"},
      {"set time zone default", "Settings(timezone) ResetsSetting"},
      {"set time zone local", "Settings(timezone) ResetsSetting"},
      {"set names default", "Settings(client_encoding) ResetsSetting"},
      {"set names", "Settings(client_encoding) ResetsSetting"},
      {"set session authorization default", "Settings(role session_authorization) ResetsSetting"},
  });
}

TEST_CASE("of what is done to the application_name the last counts") {
  check_readings({
      {"set application_name to 'a'", "Settings(application_name) SetsName"},
      {"set Application_Name to default", "Settings(application_name) ResetsSetting ResetsName"},
      {"reset application_name; set x = 1", "Settings(application_name x) ResetsSetting ResetsName"},
      {"reset all; set application_name = ''",
       "Settings(application_name) AnySetting ResetsSetting SetsName"},
      {"set application_name = ''; reset x", "Settings(application_name x) ResetsSetting SetsName"},
      {"select set_config('application_name', '', false)", "Settings(application_name) SetsName"},
      {"select set_config('application_name', null, false)", "Settings(application_name) ResetsName"},
      {"set local application_name = ''", "SetsName"},
      {"select set_config('application_name', '', true)", "SetsName"},
  });
}

TEST_CASE("the special forms of SET name settings, too") {
  check_readings({
      {"set time zone 'utc'", "Settings(timezone)"},
      {"set session time zone interval '1' hour to minute", "Settings(timezone)"},
      {"set names 'utf8'", "Settings(client_encoding)"},
      {"set schema 'a'", "Settings(search_path)"},
      {"set role a", "Settings(role)"},
      {"set session role 'a'", "Settings(role)"},
      {"set role none", "Settings(role)"},
      {"set role to a", "Settings(role)"},
      {"set session authorization a", "Settings(role session_authorization)"},
      {"set session session authorization 'a'", "Settings(role session_authorization)"},
      {"set session_authorization to a", "Settings(role session_authorization)"},
      {"set xml option document", "Settings(xmloption)"},
      {"set session characteristics as transaction read only",
       "Settings(default_transaction_isolation default_transaction_read_only "
       "default_transaction_deferrable)"},
  });
}

TEST_CASE("the special words of SET may be a setting's name") {
  check_readings({
      {"set local.x = 1", "Settings(local.x)"},
      {"set session.x = 1", "Settings(session.x)"},
      {"set session.authorization to 1", "Settings(session.authorization)"},
      {"set session session.x to 1", "Settings(session.x)"},
      {"set transaction.x = 1", "Settings(transaction.x)"},
      {"set constraints.x = 1", "Settings(constraints.x)"},
      {"set role.x = 1", "Settings(role.x)"},
      {"set time.zone = 1", "Settings(time.zone)"},
      {"set names.x = 1", "Settings(names.x)"},
      {"set \"local\" = 1", "Settings(local)"},
      {"set timezone = 'utc'", "Settings(timezone)"},
      {"reset session.x", "Settings(session.x) ResetsSetting"},
      {"reset \"all\"", "Settings(all) ResetsSetting"},
  });
}

TEST_CASE("what ends with its transaction is no setting of the session") {
  check_harmless({
      "set local x = 1",
      "SET LOCAL statement_timeout TO '5s'",
      "set local app.x to default",
      "set local role a",
      "set local time zone 'utc'",
      "set local session authorization a",
      "set local search_path from current",
      "set transaction isolation level serializable",
      "set transaction snapshot 'x'",
      "set session transaction read only",
      "set constraints all deferred",
      "set constraints a.b immediate",
  });
}

TEST_CASE("what is set for the rest of a transaction is noted, though it leaves nothing") {
  using tidepool::sql::Trait;
  for (const char* text :
       {"set local datestyle = iso", "set local \"TimeZone\" to x", "SET LOCAL TIME ZONE 'x'",
        "set local xml option content", "select set_config('intervalstyle', 'b', true)",
        "select set_config($1, $2, true)", "select set_config(a, b, true)",
        "do $$begin set local timezone = 1; end$$", "begin; set local session datestyle = iso"}) {
    CAPTURE(text);
    CHECK(tidepool::sql::classify(text, {}).has(Trait::SetsLocally));
    CHECK(tidepool::sql::classify(text, {}).has(Trait::SetsLiteralsLocally));
  }
  for (const char* text :
       {"SET LOCAL ROLE a", "set local search_path to a", "set local schema 'a'",
        "set local session authorization a", "set local names 'latin1'",
        "set local client_encoding to latin1", "select set_config('search_path', '', true)"}) {
    CAPTURE(text);
    CHECK(tidepool::sql::classify(text, {}).has(Trait::SetsLocally));
    CHECK_FALSE(tidepool::sql::classify(text, {}).has(Trait::SetsLiteralsLocally));
  }
  for (const char* text :
       {"set x = 1", "set local.x = 1", "select set_config('a', 'b', false)", "set local x = 1",
        "set local app.timezone = 1", "set local statement_timeout to 7", "set datestyle = iso",
        "set local transaction read only", "select set_config('app.user_id', $1, true)"}) {
    CAPTURE(text);
    CHECK_FALSE(tidepool::sql::classify(text, {}).has(Trait::SetsLocally));
    CHECK_FALSE(tidepool::sql::classify(text, {}).has(Trait::SetsLiteralsLocally));
  }
}

TEST_CASE("settings of others are not this session's") {
  check_harmless({
      "alter role a set search_path = b",
      "alter database a set x to 1",
      "alter database a reset all",
      "alter system set x = 1",
      "alter view t alter a set default 1",
      "alter view t set schema s",
      "select set from t",
      "select t.set, t.reset, t.local from t",
      "select 'set x = 1'",
  });
  check_readings({{"update t set search_path = 1", "MayAdvance"},
                  {"insert into reset values ('set x = 1')", "MayAdvance"}});
}

TEST_CASE("RESET and DISCARD") {
  check_readings({
      {"reset x", "Settings(x) ResetsSetting"},
      {"reset app.user_id", "Settings(app.user_id) ResetsSetting"},
      {"reset role", "Settings(role) ResetsSetting"},
      {"reset time zone", "Settings(timezone) ResetsSetting"},
      {"reset session authorization", "Settings(role session_authorization) ResetsSetting"},
      {"reset all", "AnySetting ResetsSetting ResetsName"},
      {"discard all", "AnySetting ResetsSetting ResetsName RemovesState DiscardAll"},
      {"discard temp", "RemovesState"},
      {"discard temporary", "RemovesState"},
      {"discard plans", "RemovesState DiscardPlans"},
      {"discard sequences", "RemovesState"},
  });
}

TEST_CASE("set_config names its setting, in a literal or a parameter") {
  check_readings({
      {"select set_config('app.x', $1, false)", "Settings(app.x)"},
      {"select pg_catalog.set_config('app.x', $1, false)", "Settings(app.x)"},
      {"select \"pg_catalog\".\"set_config\"('app.x', $1, false)", "Settings(app.x)"},
      {"select pg_catalog . SET_CONFIG /* x */ -- y\n ('app.x', '1', false)", "Settings(app.x)"},
      {"select set_config('it''s', '', false)", "Settings(it's)"},
      {"select set_config('a'\n'b' -- '\n 'c', '', false)", "Settings(abc)"},
      {"select set_config(e'app.x', '', false)", "Settings(app.x)"},
      {"select set_config(N'app.x', '', false)", "AnySetting NamelessSetting"},
      {"select set_config($$app.x$$, '', false)", "Settings(app.x)"},
      {"select set_config($q$app.x$q$::text, '', false)", "Settings(app.x)"},
      {"select set_config('app.x'::pg_catalog.text, '', false)", "Settings(app.x)"},
      {"select set_config($1, $2, false)", "Settings($1)"},
      {"select set_config($12::text, $13::text, $14::bool)", "Settings($12)"},
      {"select set_config($1, $2, false), set_config($1, $3, false), set_config('a', $4, false)",
       "Settings(a $1)"},
      {"select set_config('a', set_config('b', 'c', false), false)", "Settings(a b)"},
      {"select set_config('a', set_config('b', 'c', false), true)", "Settings(b)"},
      {"select set_config('a', (select x from t where y in (1, 2)), false)", "Settings(a)"},
      {"select set_config('a', array[1, 2]::text, false)", "Settings(a)"},
      {"select set_config('a', f(1, 2), $2)", "Settings(a) Calls"},
      {"select set_config('a', '', 't')", "Settings(a)"},
      {"select set_config('a', '', true and false)", "Settings(a)"},
      {"select set_config('a', '', \"true\")", "Settings(a)"},
      {"select set_config('role', 'x', false)", "Settings(role)"},
      {"select set_config('session_authorization', 'x', false)", "Settings(role session_authorization)"},
      {"update t set a = set_config('b', c, false)", "Settings(b) MayAdvance"},
      {"select set_config('a', '', false", "Settings(a)"},
  });
}

TEST_CASE("set_config of the transaction raises nothing, whatever its name") {
  check_harmless({
      "select set_config('app.x', $1, true)",
      "select set_config('app.x', $1, TRUE )",
      "select set_config($1, $2, true)",
      "select set_config(a || b, abs(c), true) from t",
      "select set_config",
      "select set_config from t",
      "select 'set_config(''a'', ''b'', false)'",
  });
  check_readings({{"select \"SET_CONFIG\"('a', 'b', false)", "Calls"},
                  {"select my_set_config('a', 'b', false)", "Calls"},
                  {"alter function f() set search_path = a", "Calls"}});
}

TEST_CASE("set_config of a computed name may have changed any setting") {
  check_readings({
      {"select set_config(a, b, false) from t", "AnySetting NamelessSetting"},
      {"select set_config(name, setting, false) from pg_settings", "AnySetting NamelessSetting"},
      {"select set_config('a' || 'b', '', false)", "AnySetting NamelessSetting"},
      {"select set_config(($1), '', false)", "AnySetting NamelessSetting"},
      {"select set_config($1 || 'x', '', false)", "AnySetting NamelessSetting"},
      {"select set_config('search_pathx'::varchar(11), '', false)", "AnySetting NamelessSetting"},
      {"select set_config('ab'::char, '', false)", "AnySetting NamelessSetting"},
      {"select set_config(E'\\x61', '', false)", "AnySetting NamelessSetting"},
      {"select set_config(U&'\\0061', '', false)", "AnySetting NamelessSetting"},
      {"select set_config(text 'a', '', false)", "AnySetting NamelessSetting"},
      {"select set_config(setting_name => 'a', new_value => 'b', is_local => false)",
       "AnySetting NamelessSetting"},
      {"select set_config(is_local => false, new_value => 'b', setting_name => 'a')",
       "AnySetting NamelessSetting"},
      {"select set_config($99999999999, '', false)", "AnySetting NamelessSetting"},
      {"select set_config($0, '', false)", "AnySetting NamelessSetting"},
      {"select set_config()", "AnySetting NamelessSetting"},
      {"select set_config(", "AnySetting NamelessSetting"},
      {"update pg_settings set setting = 'x' where name = 'y'", "AnySetting MayAdvance"},
      {"update pg_catalog.pg_settings set setting = 'x'", "AnySetting MayAdvance"},
      {"with x as (update only \"pg_settings\" set setting = 'x' returning *) select * from x",
       "AnySetting MayAdvance"},
  });
  check_harmless({"select name, setting from pg_settings where source = 'session'"});
}

TEST_CASE("functions that set a setting of their own") {
  check_readings({{"select set_limit(0.5)", "Settings(pg_trgm.similarity_threshold)"},
                  {"set seed = 0.5", "Settings(seed) Unaskable"},
                  {"select set_config('Seed', '0.5', false)", "Settings(Seed) Unaskable"}});
}

TEST_CASE("calls within calls cost no more than a few passes") {
  std::string text = "select ";
  for (int i = 0; i < 100'000; ++i) text += "set_config('a',";
  CHECK(reading_of(text) == "Settings(a)");
  text = "select set_config('a', '" + std::string(1 << 20, 'x') + "', true)";
  CHECK(reading_of(text) == "");
}

TEST_CASE("a text that names very many settings may have changed any") {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "set a" + std::to_string(i) + "=1;";
  const auto traits = tidepool::sql::classify(text, {});
  CHECK(traits.settings.size() == 100);
  CHECK(traits.has(tidepool::sql::Trait::AnySetting));
  text = "select 1";
  for (int i = 1; i < 60'000; ++i) text += ",set_config($" + std::to_string(i) + ",'',false)";
  CHECK(tidepool::sql::classify(text, {}).has(tidepool::sql::Trait::AnySetting));
}
