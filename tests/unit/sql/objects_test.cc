#include <doctest/doctest.h>

#include "tests/unit/sql/reading.h"

TEST_CASE("temporary objects") {
  check_readings({
      {"create temp table t (a int)", "TemporaryObject Creates"},
      {"create temporary table if not exists t as select 1", "TemporaryObject Creates"},
      {"create local temp table t (a int) on commit drop", "TemporaryObject Creates"},
      {"create global temporary table t (a int)", "TemporaryObject Creates"},
      {"create temp view v as select 1", "TemporaryObject Creates"},
      {"create or replace temp view v as select 1", "TemporaryObject Creates"},
      {"create or replace local temporary recursive view v (a) as select 1", "TemporaryObject Creates"},
      {"create temp sequence s", "TemporaryObject Creates"},
      {"create /* x */ temp -- y\n table t (a int)", "TemporaryObject Creates"},
      {"explain analyze create temp table t as select 1", "TemporaryObject Creates"},
      {"select 1 as a into temp t", "TemporaryObject Creates"},
      {"select * into temporary table t from u", "TemporaryObject Creates"},
      {"select * into local temp t from u", "TemporaryObject Creates"},
      {"with x as (select 1) select * into temp t from x", "TemporaryObject Creates"},
      {"create table pg_temp.t (a int)", "TemporaryObject Creates"},
      {"create table \"pg_temp\".t (a int)", "TemporaryObject Creates"},
      {"create table pg_temp_3.t (a int)", "TemporaryObject Creates"},
      {"create function pg_temp.f() returns int language sql as 'select 1'", "TemporaryObject Creates"},
      {"create function \"pg_temp\".f() returns int language sql return 1", "TemporaryObject Creates"},
      {"create type pg_temp.e as enum ('a')", "TemporaryObject Creates Calls"},
      {"select * from pg_temp.t", "TemporaryObject"},
      {"drop table pg_temp.t", "TemporaryObject RemovesState"},
      {"set search_path to pg_temp, public", "Settings(search_path) TemporaryObject"},
  });
}

TEST_CASE("what is created may be temporary") {
  check_readings({
      {"create table t (a int)", "Creates"},
      {"create unlogged table t (temp int, local text)", "Creates"},
      {"create table temp (a int)", "Creates"},
      {"create table t as select 1", "Creates"},
      {"create table t as (select 1)", "Creates"},
      {"create view v as select a temp from t", "Creates"},
      {"create index concurrently on t (a)", "Creates"},
      {"create extension if not exists pg_trgm", "Creates Calls"},
      {"create schema s create table t (a int) create view v as select 1", "Creates"},
      {"create rule r as on insert to t do also (select 1; select 2)", "Creates MayAdvance Calls"},
      {"create rule r as on select to t do instead (listen a; notify b)", "Creates Calls"},
      {"create trigger t after insert on u for each row execute function f()", "Creates MayAdvance"},
      {"select a into t from u", "Creates"},
      {"explain analyze select * into t from u", "Creates"},
  });
  check_readings({{"insert into temp values (1)", "MayAdvance"},
                  {"insert into local (a) values (1)", "MayAdvance"},
                  {"merge into temp using u on true when matched then delete", "MayAdvance"},
                  {"insert /* x */ into -- y\n temp select 1", "MayAdvance"}});
}

TEST_CASE("a function's body is not run when it is created") {
  check_readings({
      {"create function f() returns void language plpgsql as $$begin set x = 1; perform pg_advisory_lock(1); "
       "end$$",
       "Creates"},
      {"create or replace function f() returns void as 'listen a; select lastval()' language sql", "Creates"},
      {"create or replace procedure p() language plpgsql as $p$begin execute 'set x = 1'; end$p$", "Creates"},
      {"create function f() returns void language sql set search_path = a set x from current as 'select 1'",
       "Creates"},
      {"create function f(a int default nextval('s')) returns int language sql return a + lastval()",
       "Creates"},
      {"create function f() returns int language sql begin atomic set x = 1; listen a; select 1; end",
       "Creates Unreadable"},
      {"create function f() returns int begin atomic select case when true then 1 else 2 end; listen a; end;",
       "Creates Unreadable"},
      {"create function f() returns int begin atomic select case case 1 when 1 then 2 end when 2 then 3 end; "
       "listen a; "
       "end; select 1",
       "Creates Unreadable"},
      {"create procedure p() begin atomic insert into t values (1); select t.case, 1 as end from t; listen "
       "a; end",
       "Creates Unreadable"},
      {"create function f(\"begin\" int, begin text) returns int language sql return 1", "Creates"},
      {"create procedure p() begin atomic end", "Creates Unreadable"},
  });
}

TEST_CASE("what follows a function is read") {
  check_readings({
      {"create function f() returns int language sql return 1; listen a", "Listen Creates"},
      {"create function f() returns int begin atomic select 1; end; listen a", "Listen Creates Unreadable"},
      {"create function f() returns int begin atomic select case 1 when 1 then 2 end; end; listen a",
       "Listen Creates Unreadable"},
      {"create procedure p() begin atomic end; set x = 1", "Settings(x) Creates Unreadable"},
      {"create function f() returns int as 'select 1;' language sql; begin", "Creates BeginsTransaction"},
  });
}

TEST_CASE("what may stand inside a function by mistake is told as unreadable") {
  check_readings({
      {"create function f() returns int begin atomic select 1 case; end; listen a", "Creates Unreadable"},
      {"create function f() returns int begin atomic select 1; listen a", "Creates Unreadable"},
      {"create function f(a int; listen a", "Creates Unreadable"},
      {"create table t (a int; listen a", "Creates Unreadable"},
  });
}

TEST_CASE("cursors with hold") {
  check_readings({
      {"declare c cursor with hold for select 1", "HoldCursor"},
      {"declare c binary insensitive no scroll cursor with hold for select 1", "HoldCursor"},
      {"declare c cursor with /* x */ hold for with x as (select 1) select * from x", "HoldCursor"},
      {"declare \"with\" cursor with hold for select 1", "HoldCursor"},
      {"explain analyze declare c cursor with hold for select 1", "HoldCursor"},
      {"close c", "RemovesState"},
      {"close all", "RemovesState"},
  });
  check_harmless({
      "declare c cursor without hold for select 1",
      "declare c cursor for with hold as (select 1) select * from hold",
      "declare hold cursor for select 1",
  });
}
