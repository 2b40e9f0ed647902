// What applications say all day must raise no suspicion: each one costs a question.
#include <doctest/doctest.h>

#include "tests/unit/sql/reading.h"

TEST_CASE("everyday statements raise nothing") {
  check_harmless({
      "",
      " ",
      ";",
      ";;;",
      "-- nothing",
      "/* nothing */",
      "select 1",
      "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;",
      "SELECT u.id, u.\"Name\" AS name FROM \"users\" u LEFT JOIN public.roles r ON r.id = u.role_id WHERE "
      "u.id = $1",
      "select * from t where a in ($1, $2, $3) and b like 'x%' order by c desc nulls last limit 10 offset 20",
      "select t.a::int, '{1,2}'::int[], a[1:2], cast(b as text), -1.5e10, a||b, a->>'k', a @> b, a - -1 from "
      "t",
      "select count(*) filter (where x), sum(y) over (partition by z order by w) from t group by 1 having "
      "true",
      "with x as (select 1), y as materialized (select 2) select * from x, y",
      "(select 1) union all (select 2)",
      "values (1, 'a'), (2, 'b')",
      "table t",
      "commit",
      "COMMIT WORK",
      "commit and no chain",
      "end",
      "end transaction",
      "rollback",
      "ROLLBACK TO SAVEPOINT sp_1",
      "rollback transaction to a",
      "rollback and no chain",
      "abort",
      "savepoint sp_1",
      "release savepoint sp_1",
      "commit prepared 'x'",
      "prepare transaction 'x'",
      "show search_path",
      "show transaction isolation level",
      "show all",
      "fetch 10 from c",
      "fetch forward all in c",
      "move next in c",
      "declare c cursor for select 1",
      "declare c no scroll cursor without hold for select 1",
      "lock table t in share mode",
      "truncate a, b restart identity",
      "vacuum (analyze, verbose) t",
      "analyze t",
      "reindex table t",
      "explain select 1",
      "explain analyze select 1",
      "explain (analyze, buffers, format json) select 1",
      "explain (costs off) (select 1) union (select 2)",
      "notify a, 'b'",
      "select pg_notify('a', 'b')",
      "grant select on t to listen",
      "comment on table t is 'listen'",
      "checkpoint",
      "select pg_advisory_xact_lock(1)",
      "select pg_advisory_xact_lock_shared(1, 2), pg_try_advisory_xact_lock(1), "
      "pg_try_advisory_xact_lock_shared(1)",
      "select current_setting('app.x', true)",
      "copy t to stdout",
      "copy t (a, b) to stdout with (format binary)",
      "copy (select a from t) to stdout",
      "copy (select a from (select a from t) u) to '/x'",
  });
}

TEST_CASE("everyday statements that write may advance a sequence and no more") {
  check_readings({
      {"INSERT INTO t (a, b) VALUES ($1, $2) RETURNING id", "MayAdvance"},
      {"insert into t values (1) on conflict (a) do update set b = excluded.b", "MayAdvance"},
      {"insert into t select * from u", "MayAdvance"},
      {"insert into t default values", "MayAdvance"},
      {"UPDATE pgbench_accounts SET abalance = abalance + 10 WHERE aid = 1;", "MayAdvance"},
      {"update t set id = default", "MayAdvance"},
      {"delete from t using u where t.a = u.a", "MayAdvance"},
      {"merge into t using u on t.a = u.a when matched then update set b = 1 when not matched then insert "
       "values (1)",
       "MayAdvance"},
      {"with x as (insert into t values (1) returning *) select * from x", "MayAdvance"},
      {"with x as (delete from t returning *) insert into u select * from x", "MayAdvance"},
      {"explain analyze insert into t values (1)", "MayAdvance"},
      {"select * from t for update skip locked", "MayAdvance"},
      {"copy t from stdin", "MayAdvance"},
      {"COPY t (a, b) FROM STDIN WITH (FORMAT csv)", "MayAdvance"},
      {"copy (insert into t values (1) returning a) to stdout", "MayAdvance"},
      {"call p(1)", "MayAdvance Calls"},
      {"select nextval('s')", "MayAdvance"},
      {"select setval('s', 1)", "MayAdvance"},
      {"alter table t add column id serial", "MayAdvance"},
      {"refresh materialized view m", "MayAdvance"},
  });
}

TEST_CASE("what begins a transaction") {
  check_readings({
      {"begin", "BeginsTransaction"},
      {"BEGIN;", "BeginsTransaction"},
      {"begin isolation level serializable read only deferrable", "BeginsTransaction"},
      {"begin work", "BeginsTransaction"},
      {"start transaction read only", "BeginsTransaction"},
      {"/* x */ -- y\nbegin", "BeginsTransaction"},
      {"commit and chain", "BeginsTransaction"},
      {"commit work and chain", "BeginsTransaction"},
      {"rollback transaction and chain", "BeginsTransaction"},
      {"end and chain", "BeginsTransaction"},
      {"abort and chain", "BeginsTransaction"},
      {"begin; update t set a = 1; commit", "MayAdvance BeginsTransaction"},
  });
  check_harmless({"start", "start slave", "select begin from t", "select 1 as begin"});
}
