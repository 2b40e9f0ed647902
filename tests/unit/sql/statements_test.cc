#include <doctest/doctest.h>

#include <string>

#include "tests/unit/sql/reading.h"

TEST_CASE("LISTEN and UNLISTEN") {
  check_readings({
      {"listen a", "Listen"},
      {"LISTEN \"A\"", "Listen"},
      {"select 1;listen a", "Listen"},
      {";;listen a;", "Listen"},
      {"unlisten a", "RemovesState"},
      {"unlisten *", "RemovesState"},
  });
  check_harmless(
      {"select listen from t", "select 1 listen", "select 'listen'", "select (listen)", "notify listen"});
  check_readings({{"insert into listen values (1)", "MayAdvance"}});
}

TEST_CASE("PREPARE of SQL, and what it prepares") {
  check_readings({
      {"prepare p as select 1", "PreparedStatement"},
      {"prepare p (int, text) as select $1", "PreparedStatement Calls"},
      {"prepare p as insert into t values (1)", "PreparedStatement MayAdvance"},
      {"prepare p as select set_config('a', 'b', false)", "Settings(a) PreparedStatement"},
      {"prepare transaction as select 1", "PreparedStatement"},
      {"prepare transaction (int) as select 1", "PreparedStatement Calls"},
      {"prepare \"P\" as select 1", "PreparedStatement"},
  });
  check_harmless({"prepare transaction 'a'", "prepare /* x */ transaction -- y\n e'a'"});
}

TEST_CASE("DEALLOCATE and EXECUTE name statements, and where the name stands") {
  check_readings({
      {"deallocate p", "RemovesState(p@11)"},
      {"DEALLOCATE PREPARE P;", "RemovesState(p@19)"},
      {"deallocate \"P\"", "RemovesState(P@11)"},
      {"deallocate prepare /* x */ \"a\"\"b\"", "RemovesState(a\"b@27)"},
      {"deallocate prepare", "RemovesState(prepare@11)"},
      {"deallocate prepare;", "RemovesState(prepare@11)"},
      {"deallocate \"all\"", "RemovesState(all@11)"},
      {"deallocate all", "RemovesState DeallocateAll"},
      {"deallocate prepare all", "RemovesState DeallocateAll"},
      {"deallocate a; deallocate b", "RemovesState(a@11 b@25)"},
      {"execute p", "MayAdvance Executes(p@8)"},
      {"execute p(1, nextval('s'))", "MayAdvance Executes(p@8)"},
      {"execute \"_pg3_0\" ('a')", "MayAdvance Executes(_pg3_0@8)"},
      {"explain analyze execute p", "MayAdvance Executes(p@24)"},
      {"explain (analyze, verbose) execute p (1)", "MayAdvance Executes(p@35)"},
      {"create table t as execute p", "Creates MayAdvance Executes(p@26)"},
      {"create temp table t (a, b) as execute p(1); listen a",
       "Listen TemporaryObject Creates MayAdvance Executes(p@38)"},
      {"create table t as execute p; listen a", "Listen Creates MayAdvance Executes(p@26)"},
      {"create table t as select a as execute from b", "Creates"},
      {"execute", "MayAdvance Executes"},
      {"execute;", "MayAdvance Executes"},
      {"deallocate", "RemovesState"},
      {"deallocate 1", "RemovesState"},
  });
  check_harmless({"select execute from t", "select deallocate p"});
}

TEST_CASE("a statement's name is cut where PostgreSQL cuts it") {
  const std::string name(70, 'a');
  const auto traits = tidepool::sql::classify("execute " + name, {});
  REQUIRE(traits.named_statements.size() == 1);
  CHECK(traits.named_statements[0].size == 70);
  CHECK(traits.named_statements[0].name == std::string(63, 'a'));
  const auto letters = tidepool::sql::classify("execute \"" + std::string(62, 'a') + "\xc3\xa4\"", {});
  CHECK(letters.named_statements.at(0).name == std::string(62, 'a'));
}

TEST_CASE("several statements raise what each raises") {
  check_readings({
      {"begin; set local x = 1; insert into t values (1); commit", "MayAdvance BeginsTransaction"},
      {"set x = 1; listen a; create temp table t (a int); load 'b'",
       "Settings(x) Listen TemporaryObject Creates Load"},
      {"discard temp; reset all; deallocate all; unlisten *",
       "AnySetting ResetsSetting ResetsName RemovesState DeallocateAll"},
      {"set; set x = 1", "Settings(x) AnySetting"},
      {"reset; set x = 1", "Settings(x) AnySetting ResetsSetting"},
      {"explain; listen a", "Listen"},
      {"explain analyze; listen a", "Listen"},
      {"declare; listen a", "Listen"},
      {"prepare; listen a", "Listen PreparedStatement"},
      {"commit and; listen a", "Listen"},
      {"copy; listen a", "Listen"},
      {"create; listen a", "Listen Creates"},
      {"create or; listen a", "Listen Creates"},
      {"create function; listen a", "Listen Creates"},
      {"discard; listen a", "Listen RemovesState"},
      {"select (; listen a", "Listen"},
  });
}

TEST_CASE("EXPLAIN within EXPLAIN does not go deep") {
  std::string text;
  for (int i = 0; i < 1'000'000; ++i) text += "explain ";
  CHECK(reading_of(text + "listen a") == "");
}

TEST_CASE("traits have names for the log") {
  using namespace tidepool::sql;
  for (uint32_t bit = 1; bit <= static_cast<uint32_t>(Trait::Unreadable); bit <<= 1)
    CHECK(to_string(Trait{bit}) != "?");
  const StatementTraits traits = classify("listen a", {});
  CHECK(traits.has_any({Trait::Load, Trait::Listen}));
  CHECK(!traits.has_any({Trait::Load, Trait::Creates}));
  CHECK(!traits.is_empty());
  CHECK(classify("select 1", {}).is_empty());
}
