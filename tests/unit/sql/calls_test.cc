// Which opening brackets are those of a function that is not PostgreSQL's own.
#include <doctest/doctest.h>

#include "lib/sql/catalog_names.h"
#include "tests/unit/sql/reading.h"

using namespace tidepool::sql;

TEST_CASE("a call of a function that is not PostgreSQL's own is noticed wherever it stands") {
  check_readings({
      {"select f()", "Calls"},
      {"select F (1)", "Calls"},
      {"select \"f\"(1)", "Calls"},
      {"select f/* x */(1)", "Calls"},
      {"select f -- x\n (1)", "Calls"},
      {"select /* x */f(1)", "Calls"},
      {"select -- )\n f(1)", "Calls"},
      {"select * from f(1)", "Calls"},
      {"select * from t, lateral f(t.a) x(a)", "Calls"},
      {"select 1 from t where a = 1 and f(a)", "Calls"},
      {"select lower(f(1))", "Calls"},
      {"select distinct on (a) f(b) from t", "Calls"},
      {"select DISTINCT /* x */ ON ((a)) f(b) from t", "Calls"},
      {"insert into t (a) values (f(1))", "MayAdvance Calls"},
      {"insert into t select f(1)", "MayAdvance Calls"},
      {"insert into t as x select f(1)", "MayAdvance Calls"},
      {"update t set a = f(a)", "MayAdvance Calls"},
      {"delete from t where f(a)", "MayAdvance Calls"},
      {"delete from t returning f(a)", "MayAdvance Calls"},
      {"values (f(1))", "Calls"},
      {"with x as (select f(1)) select 1 from x", "Calls"},
      {"copy (select f(1)) to stdout", "Calls"},
      {"create table t as select f(1)", "Creates Calls"},
      {"create index on t (f(a))", "Creates Calls"},
      {"explain analyze select f(1)", "Calls"},
      {"select 1; select f(1)", "Calls"},
      {"select a[f(1)]", "Calls"},
      {"select a[1:f(1)]", "Calls"},
      {"select (f(1)).a", "Calls"},
      {"select x operator(s.+) y", "Calls"},
      {"create extension x", "Creates Calls"},
      {"alter extension x update", "MayAdvance Calls"},
  });
}

TEST_CASE("a schema says whose a function is") {
  check_harmless({"select pg_catalog.lower('a')", "select PG_CATALOG . lower ('a')",
                  "select \"pg_catalog\".\"lower\"('a')"});
  check_readings({
      {"select s.lower('a')", "Calls"},
      {"select \"PG_CATALOG\".lower('a')", "Calls"},
      {"select pg_catalog.f('a')", "Calls"},
      {"select pg_catalog/* x */.lower('a')", "Calls"},
      {"select s.values(1)", "Calls"},
      {"select \"LOWER\"('a')", "Calls"},
      {"select \"values\"(1)", "Calls"},
  });
}

TEST_CASE("PostgreSQL's own functions, words that are none, and lists in brackets call nothing") {
  check_harmless({
      "select lower(a), COUNT (*), now(), coalesce(a, b), \"upper\"(a) from t",
      "select cast(a as varchar(10)), a::numeric(10, 2), '1'::interval(3), a::vector(3), extract(year from "
      "b)",
      "select substring(a from 1 for 2), trim(both from a), overlay(a placing b from 1), position(a in b)",
      "select sum(a) filter (where b) over (partition by (c) order by (d)) from t group by (a), (b)",
      "select percentile_cont(0.5) within group (order by a) from t",
      "select * from t join (select 1) u on (true) left join (values (1)) v(a) using (a)",
      "select * from (select 1) t (a), (values (1, 2)) as u (a, b), unnest(array[1]) as w(a)",
      "with t (a) as (select 1), u as materialized (select 2) select * from t where exists (select 1)",
      "with recursive t(n) as (values (1) union all select n + 1 from t where n < 9) select n from t",
      "select 1 where a in (1) and (b or not (c)) and d = any (array[1]) and e between (1) and (2)",
      "select case when (a) then (b) else (c) end, row(1, 2), (a, b) is null, array(select 1)",
      "select 1 limit (1) offset (2)",
      "select gen_random_uuid(), jsonb_build_object('a', 1), to_char(a, 'x'), date_trunc('day', b)",
      "select xmlelement(name a, xmlattributes(b)), xmlforest(c)",
      "select 'f(1)', $$f(1)$$, \"f\" /* f(1) */ -- f(1)",
  });
  check_readings({
      {"insert into t (a) values (1) on conflict (a) do update set b = 1", "MayAdvance"},
      {"insert into s . t (a) select lower(b) from u", "MayAdvance"},
      {"insert into \"s\".\"t\" (a) values (1)", "MayAdvance"},
      {"insert into t as x (a) values (1)", "MayAdvance"},
      {"with x as (select 1) insert into t (a) select 1", "MayAdvance"},
      {"merge into t using (select 1) s on (a) when not matched then insert (a) values (1)", "MayAdvance"},
      {"create table t (a int, b varchar(10) default lower('X'), primary key (a))", "Creates Calls"},
      {"create table t (a int, b varchar(10) default lower('X'), check (a > 0))", "Creates"},
  });
}

TEST_CASE("which functions are PostgreSQL's own depends on its version") {
  Options options;
  CHECK(reading_of("select any_value(a), json_table(b)", options) == "Calls");
  options.server_major = 17;
  CHECK(reading_of("select any_value(a), json_table(b)", options).empty());
  CHECK(find_known_name("any_value", false, 15) == KnownName::None);
  CHECK(find_known_name("ANY_VALUE", false, 16) == KnownName::Function);
  CHECK(find_known_name("ANY_VALUE", true, 16) == KnownName::None);
  CHECK(find_known_name("values", true, 16) == KnownName::None);
  CHECK(find_known_name("Values", false, 16) == KnownName::Keyword);
  CHECK(find_known_name("", false, 16) == KnownName::None);
  CHECK(find_known_name(std::string(64, 'a'), false, 16) == KnownName::None);
}

TEST_CASE("what leaves something, runs a text or is said otherwise is not among the harmless functions") {
  for (const char* name :
       {"set_config", "setseed", "nextval", "pg_advisory_lock", "pg_advisory_unlock_all", "query_to_xml",
        "table_to_xml", "ts_stat", "ts_rewrite", "pg_create_logical_replication_slot",
        "pg_replication_origin_session_setup", "record_in", "domain_in", "plpgsql_call_handler"}) {
    CAPTURE(name);
    CHECK(find_known_name(name, false, 18) == KnownName::None);
  }
}
