#include <doctest/doctest.h>

#include <vector>

#include "tests/unit/sql/reading.h"

TEST_CASE("advisory locks of the session") {
  check_readings({
      {"select pg_advisory_lock(1)", "AdvisoryLock"},
      {"select pg_advisory_lock_shared(1, 2)", "AdvisoryLock"},
      {"select pg_try_advisory_lock(1)", "AdvisoryLock"},
      {"select pg_try_advisory_lock_shared(1)", "AdvisoryLock"},
      {"select Pg_Advisory_Lock (1)", "AdvisoryLock"},
      {"select pg_catalog.pg_advisory_lock(1)", "AdvisoryLock"},
      {"select \"pg_advisory_lock\"(1)", "AdvisoryLock"},
      {"select pg_advisory_lock/* x */(1)", "AdvisoryLock"},
      {"select pg_advisory_lock -- x\n (1)", "AdvisoryLock"},
      {"select * from t where (a,pg_advisory_lock(1))in(select 1,2)", "AdvisoryLock"},
      {"copy (select pg_advisory_lock(1)) to stdout", "AdvisoryLock"},
      {"with x as (select pg_advisory_lock(1)) select * from x", "AdvisoryLock"},
      {"explain analyze select pg_advisory_lock(1)", "AdvisoryLock"},
      {"explain (analyze) (select pg_advisory_lock(1))", "AdvisoryLock"},
      {"values (pg_advisory_lock(1))", "AdvisoryLock"},
      {"declare c cursor for select pg_advisory_lock(1)", "AdvisoryLock"},
      {"call p(pg_try_advisory_lock(1))", "AdvisoryLock MayAdvance Calls"},
      {"create table t as select pg_advisory_lock(1)", "Creates AdvisoryLock"},
      {"select 1 from t where a = 1and pg_advisory_lock(1)is null", "AdvisoryLock"},
      {"select pg_advisory_unlock(1)", "RemovesState"},
      {"select pg_advisory_unlock_shared(1)", "RemovesState"},
      {"select pg_advisory_unlock_all()", "RemovesState"},
  });
  check_harmless({
      "select pg_advisory_lock from t",
      "select 'pg_advisory_lock(1)'",
      "select $$pg_advisory_lock(1)$$",
      "select /* pg_advisory_lock(1) */ 1 -- pg_advisory_lock(1)",
  });
  check_readings({
      {"select \"PG_ADVISORY_LOCK\"(1)", "Calls"},
      {"select a$pg_advisory_lock(1)", "Calls"},
      {"select \xc3\xa4pg_advisory_lock(1)", "Calls"},
      {"select pg_advisory_locks(1), xpg_advisory_lock(1)", "Calls"},
  });
}

TEST_CASE("sequences") {
  check_readings({
      {"select currval('s')", "NamesCurrentValue"},
      {"select pg_catalog.lastval()", "NamesCurrentValue"},
      {"select LASTVAL ()", "NamesCurrentValue"},
      {"insert into t values (currval('s'))", "NamesCurrentValue MayAdvance"},
      {"select nextval('s')", "MayAdvance"},
      {"create table t (a int default nextval('s'))", "Creates MayAdvance"},
  });
  check_harmless({"select currval, lastval, nextval from t", "select 'lastval()'"});
}

TEST_CASE("functions that leave what cannot be asked about") {
  check_readings({
      {"select dblink_connect('a')", "Unaskable"},
      {"select app.dblink_connect_u('a', 'b')", "Unaskable Calls"},
      {"select setseed(0.5)", "Unaskable"},
      {"select pg_backup_start('x')", "Unaskable"},
      {"select pg_create_logical_replication_slot('a', 'b', true)", "Unaskable"},
      {"load 'auto_explain'", "Load"},
  });
  check_harmless({"select dblink_connect from t"});
}

TEST_CASE("functions that run a text may do anything") {
  check_readings({{"select query_to_xml('select 1', true, false, '')", "Dynamic"},
                  {"select * from crosstab('select 1') as t(a int)", "Dynamic"},
                  {"select * from ts_stat('select 1')", "Dynamic"}});
}

TEST_CASE("pin_functions are found, with their schema if they name one") {
  const std::vector<std::string> functions = {"lock_it", "app.hold_it", "p"};
  const tidepool::sql::Options options{true, functions};
  check_readings(
      {
          {"select lock_it(1)", "Unaskable Calls"},
          {"select LOCK_IT(1)", "Unaskable Calls"},
          {"select \"lock_it\" (1)", "Unaskable Calls"},
          {"select any.lock_it/* x */(1)", "Unaskable Calls"},
          {"select app.hold_it()", "Unaskable Calls"},
          {"select App . \"hold_it\" ()", "Unaskable Calls"},
          {"select \"app\" /* x */ . -- y\n HOLD_IT ()", "Unaskable Calls"},
          {"call p()", "Unaskable MayAdvance Calls"},
          {"call any.p()", "Unaskable MayAdvance Calls"},
          {"explain analyze select 1 + app.hold_it()", "Unaskable Calls"},
          {"create table t as select app.hold_it()", "Creates Unaskable Calls"},
          {"copy (select app.hold_it()) to stdout", "Unaskable Calls"},
          {"do $$begin perform app.hold_it(); end$$", "Unaskable MayAdvance Calls"},
          {"select set_config('a', app.hold_it(), true)", "Unaskable Calls"},
      },
      options);
  check_harmless(
      {
          "select lock_it",
          "select 'lock_it(1)'",
      },
      options);
  check_readings(
      {
          {"select hold_it()", "Calls"},
          {"select other.hold_it()", "Calls"},
          {"select app, hold_it()", "Calls"},
          {"select app.x, y.hold_it()", "Calls"},
          {"select app '.' hold_it()", "Calls"},
          {"select lock_it_not(1), p_(1)", "Calls"},
      },
      options);
  check_readings({{"select lock_it(1), app.hold_it()", "Calls"}});
}
