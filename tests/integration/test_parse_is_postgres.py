"""A client's Parse is PostgreSQL's: names, types and rows are settled by what there is when a client parses its text, whatever any other
client has parsed before, and stay so for that statement. Each test tells the same story to a pool and to direct connections."""

import struct

import pytest
from harness.script_values import bind_in
from harness.two_sides import errors, prepare, run, told_alike, values
from harness.wire import SYNC, bind, close, describe, execute, extended, parse, query

both_modes = pytest.mark.parametrize("mode", ["session", "transaction"])


# Types of parameters that DDL changes

TYPES = [("integer", "bigint", "3000000000"), ("integer", "text", "a word"), ("text", "jsonb", '{"a": 1}'), ("timestamp", "timestamptz", "2026-01-01 00:00+05"),
         ("date", "timestamp", "2026-01-01 12:34"), ("real", "double precision", "0.123456789012"), ("numeric", "text", "1e3"), ("char(3)", "text", "abc   "),
         ("smallint", "integer", "70000"), ("bytea", "text", "\\x41")]


@both_modes
@pytest.mark.parametrize("before, after, value", TYPES, ids=[f"{before} to {after}" for before, after, _ in TYPES])
def test_sessions_that_begin_after_a_migration_store_values_of_the_new_type(tidepool, postgres, before, after, value, mode):
    using = "encode(x, 'escape')" if before == "bytea" else f"x::text::{after}"

    def story(side):
        first = side.connect()
        side.say(first, prepare("insert into kept values ($1)"))
        side.say(first, run([None]))
        first.terminate()
        side.say(side.connect(), f"truncate kept; alter table kept alter x type {after} using {using}")
        for _ in range(3):
            later = side.connect()
            side.say(later, prepare("insert into kept values ($1)", "other"))
            side.say(later, run([value], "other"))
            later.terminate()
        assert values(side.say(side.connect(), "select x from kept"))[0] != [None]
    told_alike(tidepool, postgres, story, prepares=[f"create table kept(x {before})"], mode=mode)


@pytest.mark.parametrize("by", ["a client", "nobody of the pool"])
@pytest.mark.parametrize("sql, value", [("update n set b = 'x' where a = $1", "one"), ("insert into n values ($1)", "one"), ("delete from n where a = $1", "one"),
                                        ("select b from n where a = $1", "one"), ("insert into m values ($1) returning id", "3000000000"),
                                        ("select $1 = any (select id from m)", "3000000000")])
def test_every_kind_of_statement_has_the_types_of_its_own_parse(tidepool, postgres, sql, value, by):
    def story(side):
        first = side.connect()
        side.say(first, prepare(sql))
        side.say(first, run(["1"]))
        change = "alter table n alter a type text; alter table m alter id type bigint"
        if by == "a client":
            side.say(first, change)
        else:
            side.owner.rows(change)
        for name in ("s", "", "t"):
            later = side.connect()
            side.say(later, prepare(sql, name))
            side.say(later, run([value], name))
            later.terminate()
        # And who prepares it anew itself.
        side.say(first, close("S", "s") + prepare(sql))
        side.say(first, run([value]))
    told_alike(tidepool, postgres, story, prepares=["create table n(a int, b text); create table m(id int)"])


@both_modes
@pytest.mark.parametrize("anew", ["drop type if exists mood cascade; create type mood as enum ('sad', 'happy')",
                                  "alter type mood rename to old; create type mood as enum ('sad', 'happy'); drop type old cascade",
                                  "drop domain if exists sort cascade; create domain sort as text"])
def test_a_type_that_was_made_anew_is_found_by_a_session_that_begins_then(tidepool, postgres, anew, mode):
    sql = "select $1::sort" if "sort" in anew else "select $1::mood"

    def story(side):
        for _ in range(3):
            for _ in range(2):
                client = side.connect()
                side.say(client, prepare(sql))
                side.say(client, run(["sad"]))
                client.terminate()
            side.say(side.connect(), anew)
    told_alike(tidepool, postgres, story, prepares=["create type mood as enum ('sad', 'happy'); create domain sort as text"], mode=mode)


NOON = struct.pack("!q", 631152000000000)
BINARY = [("timestamp", "timestamptz", NOON), ("int4", "real", struct.pack("!i", 1)), ("int8", "double precision", struct.pack("!q", 7)), ("int4", "bigint", struct.pack("!i", 7)),
          ("date", "timestamp", struct.pack("!i", 7306)), ("int2", "text", struct.pack("!h", 7))]


@pytest.mark.parametrize("before, after, value", BINARY, ids=[f"{before} to {after}" for before, after, _ in BINARY])
@pytest.mark.parametrize("sql", ["insert into kept values ($1)", "update kept set x = $1", "insert into kept select $1 returning 1"])
def test_on_another_server_a_statement_keeps_the_types_that_were_told(tidepool, postgres, before, after, value, sql):
    """Values in binary would be taken for something else."""
    def story(side):
        client = side.connect(TimeZone="Asia/Tokyo")
        side.say(client, prepare(sql))
        side.say(client, f"alter table kept alter x type {after} using x::{after}")
        side.elsewhere()
        side.say(client, bind_in([value], "s", formats=[1]) + execute() + SYNC)
        side.rest()
        side.say(client, "select x from kept")
    told_alike(tidepool, postgres, story, prepares=[f"create table kept(x {before}); insert into kept values (null)"], size=2)


def test_a_statement_that_was_not_described_keeps_its_types_too(tidepool, postgres):
    def story(side):
        client = side.connect()
        side.say(client, prepare("select a from n where a = $1", described=False))
        side.say(client, "drop table n; create table n(a text)")
        side.elsewhere()
        side.say(client, run(["1"]))
        side.say(client, run([None]))
        side.rest()
    told_alike(tidepool, postgres, story, prepares=["create table n(a int)"], size=2)


@pytest.mark.parametrize("described", [False, True])
@pytest.mark.parametrize("first, types", [("select $1::int + $2::int", ()), ("select $1", (16,)), ("insert into n values ($1)", ()), ("select nothing", ())])
@pytest.mark.parametrize("second", ["select 7", "select $1::timestamptz", "select a from n order by a", "show datestyle", ""])
def test_an_unnamed_statement_has_nothing_of_the_one_before_it(tidepool, postgres, first, types, second, described):
    values_of_second = ["2020-01-02"] if "$1" in second else []

    def story(side):
        for between in (False, True):
            client, other = side.connect(), side.connect()
            side.say(client, prepare(first, "", types, described))
            if between:
                side.say(other, extended("select 'of another client'") + SYNC)
            side.say(client, parse(second) + bind(values_of_second) + execute() + SYNC)
            if between:
                side.say(other, extended("select 'of another client'") + SYNC)
                side.elsewhere()
            side.say(client, run(values_of_second, ""))
            side.say(client, describe("S") + SYNC)
            side.say(client, run(["1", "2"], ""))
            side.say(client, run(values_of_second, ""))
            side.rest()
    told_alike(tidepool, postgres, story, prepares=["create table n(a int); insert into n values (4)"], size=2)


# Rows that DDL changes

ROWS = "select * from t order by a"


@pytest.mark.parametrize("again", [parse(ROWS, "b") + describe("S", "b") + SYNC, parse(ROWS, "b") + bind((), "b") + describe() + execute() + SYNC,
                                   parse(ROWS, "b") + SYNC, close("S", "a") + parse(ROWS, "b") + describe("S", "b") + bind((), "b") + execute() + SYNC],
                         ids=["Parse and Describe", "all in one batch", "Parse alone", "behind a Close"])
@pytest.mark.parametrize("moved", [False, True], ids=["there", "elsewhere"])
def test_what_is_prepared_anew_behind_ddl_has_the_rows_of_now(tidepool, postgres, again, moved):
    def story(side):
        client, other = side.connect(), side.connect()
        for each in (client, other):
            side.say(each, prepare(ROWS, "a"))
            side.say(each, run((), "a"))
        side.say(client, "alter table t add column x int")
        side.say(client, run((), "a"))
        side.say(client, again)
        if moved:
            side.elsewhere()
        side.say(client, run((), "b"))
        side.rest()
        side.owner.rows("alter table t drop column x")
        side.say(other, run((), "a"))
        side.say(other, parse(ROWS, "c") + bind((), "c") + describe() + execute() + SYNC)
    told_alike(tidepool, postgres, story, prepares=["create table t(a int); insert into t values (1)"], size=2)


def test_a_parse_of_a_text_whose_table_is_gone_fails(tidepool, postgres):
    def story(side):
        client = side.connect()
        side.say(client, prepare(ROWS))
        side.say(client, "drop table t")
        for later in (client, side.connect()):
            assert errors(side.say(later, prepare(ROWS, "new"))) == ["42P01"]
            assert errors(side.say(later, parse(ROWS) + SYNC)) == ["42P01"]
    told_alike(tidepool, postgres, story, prepares=["create table t(a int)"])


def test_what_was_parsed_behind_ddl_that_was_rolled_back_is_nobody_elses(tidepool, postgres):
    text = "select * from t where a = $1"

    def story(side):
        one, other = side.connect(), side.connect()
        for end in ("rollback", "rollback", "commit"):
            side.say(one, "begin")
            side.say(one, "alter table t alter a type text" if end == "rollback" else "alter table t add b int default 7")
            side.say(one, close("S", "s") + prepare(text))
            side.say(one, run(["word" if end == "rollback" else "1"]))
            side.say(one, end)
            side.say(other, close("S", "s") + prepare(text))
            side.say(other, run(["1"]))
            side.say(one, run(["1"]))
    told_alike(tidepool, postgres, story, prepares=["create table t(a int); insert into t values (1)"])


# Temporary tables

@both_modes
@pytest.mark.parametrize("how", ["by names of their own", "unnamed"])
def test_sessions_whose_temporary_tables_have_one_name_have_their_own_columns(tidepool, postgres, how, mode):
    def story(side):
        for kind, value in (("integer", "1"), ("smallint", "2"), ("bigint", "3000000000"), ("text", "a word"), ("date", "2026-01-01"), ("timestamp", "2026-01-01 12:34")):
            client = side.connect()
            side.say(client, f"create temp table kept(x {kind})")
            name = f"get {kind}" if how == "by names of their own" else ""
            for turn in range(2):
                side.say(client, parse("insert into kept values ($1)") + describe("S") + bind([value]) + execute() + SYNC)
                side.say(client, (parse("select x from kept", name) if turn == 0 or not name else b"") + bind((), name) + describe() + execute() + SYNC)
            side.say(client, "drop table kept")
            client.terminate()
    told_alike(tidepool, postgres, story, mode=mode)


MAKES = ("create temp table work as select 'temporary' as v", "create temp table work(v text); insert into work values ('temporary')", "select 'temporary'::text as v into temp work",
         "do $$ begin create temp table work as select 'temporary' as v; end $$", "begin; create temp table work as select 'temporary' as v; commit")


@pytest.mark.parametrize("makes", MAKES)
@pytest.mark.parametrize("sql", ["delete from work", "update work set v = 'changed'", "insert into work values ('added')", "select v from work", "with w as (delete from work returning v) select * from w"])
def test_a_statement_that_others_prepared_runs_on_the_table_that_hides_theirs(tidepool, postgres, sql, makes):
    """The server's process has had a temporary table before, so that nothing about its search path is new."""
    def story(side):
        first = side.connect(search_path="found")
        side.say(first, "create temp table whatever(a int)")
        side.say(first, "drop table whatever")
        other, client = side.connect(search_path="found"), side.connect(search_path="found")
        side.say(other, prepare(sql))
        side.say(other, run()) if "select v" in sql else None
        side.say(client, makes, ready=1)
        side.say(client, prepare(sql))
        side.say(client, run())
        side.say(client, "select v from pg_temp.work")
        assert values(side.say(client, "select v from found.work")) == [["permanent"]]
        side.say(client, "drop table pg_temp.work")
        side.say(client, run())
        side.say(client, "select v from found.work")
    told_alike(tidepool, postgres, story, prepares=["create schema found; create table found.work as select 'permanent'::text as v"])


def behind_temporary_objects_of_another(side):
    """A session whose PostgreSQL process has a temporary schema already, through the pool."""
    first = side.connect(search_path="found")
    side.say(first, "create temp table whatever(a int)")
    side.say(first, "drop table whatever")
    first.terminate()
    return side.connect(search_path="found")


@pytest.mark.parametrize("sql", ["delete from work where v <> $1", "update work set v = v || $1", "insert into work values ($1)"])
@pytest.mark.parametrize("ran", [False, True], ids=["prepared", "run before"])
def test_who_makes_its_first_temporary_table_meets_it_in_what_it_prepared_before(tidepool, postgres, sql, ran):
    def story(side):
        client = behind_temporary_objects_of_another(side)
        side.say(client, prepare(sql))
        if ran:
            side.say(client, run(["permanent"]))
        side.say(client, "create temp table work as select 'temporary'::text as v")
        side.say(client, run(["x"]))
        side.say(client, "select v from pg_temp.work")
        side.say(client, "select v from found.work")
    told_alike(tidepool, postgres, story, prepares=["create schema found; create table found.work as select 'permanent'::text as v"])


@pytest.mark.parametrize("makes", ["create temp table work as select 'temporary'::text as v", "do $$ begin create temp table work as select 'temporary'::text as v; end $$",
                                   "select found.make()", "begin; create temp table work as select 'temporary'::text as v"])
@pytest.mark.parametrize("order", ["by SQL first", "by the protocol first", "vacuum first"])
def test_what_a_session_prepared_by_sql_or_beside_that_meets_its_first_temporary_table_too(tidepool, postgres, makes, order):
    """It keeps its server by then, with statements under names of its own. Only the first hides names from them: it alone changes the search path."""
    by_sql, by_protocol = "execute by_sql('{}, by SQL')", run(["by the protocol"], "by_protocol")
    says = {"by SQL first": [by_sql, by_protocol], "by the protocol first": [by_protocol, by_sql], "vacuum first": ["vacuum found.work", by_sql, by_protocol]}[order]
    if makes.startswith("begin"):
        says = [what for what in says if what != "vacuum found.work"]

    def story(side):
        client = behind_temporary_objects_of_another(side)
        side.say(client, "prepare by_sql(text) as insert into work values ($1)")
        side.say(client, prepare("insert into work values ($1)", "by_protocol"))
        side.say(client, "prepare later as select v from another")
        for turn in ("before", "behind"):
            if turn == "behind":
                side.say(client, makes)
            for what in says:
                side.say(client, what.format(turn) if isinstance(what, str) else what)
            side.say(client, parse(f"execute by_sql('{turn}, by both')") + bind() + execute() + SYNC)
        side.say(client, "commit")
        for table in ("pg_temp.work", "found.work"):
            side.say(client, f"select v from {table}")
        side.say(client, "create temp table another as select 'temporary'::text as v")
        side.say(client, "execute later")
    told_alike(tidepool, postgres, story, prepares=["create schema found; create table found.work as select 'permanent'::text as v",
                                                    "create table found.another as select 'permanent'::text as v",
                                                    "create function found.make() returns void language sql as"
                                                    " 'create temp table work as select ''temporary''::text as v'"])


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_temporary_table_of_one_transaction_hides_until_its_end(tidepool, postgres, end):
    sql = "select * from t"

    def story(side):
        client, other = side.connect(), side.connect()
        side.say(other, prepare(sql))
        side.say(client, prepare(sql, "before"))
        side.say(client, "begin")
        side.say(client, "create temp table t(x text, y text) on commit drop")
        side.say(client, prepare(sql, "inside"))
        side.say(client, run((), "inside"))
        side.say(client, end)
        side.say(other, run())
        side.say(other, prepare(sql, "another"))
        side.say(other, run((), "another"))
        side.say(client, run((), "before"))
        side.say(client, close("S", "inside") + prepare(sql, "inside"))
    told_alike(tidepool, postgres, story, prepares=["create table t(a int); insert into t values (1)"])


# What a plan takes for constant

def test_a_plan_that_one_tenant_made_is_not_run_for_another(tidepool, postgres):
    """The function says that it is IMMUTABLE, so that PostgreSQL asks it once for a plan."""
    prepares = ["create function tenant() returns text language plpgsql immutable as $$ begin return current_setting('app.tenant', true); end $$",
                "create table accounts(tenant text, v int); insert into accounts values ('one', 1), ('two', 2)"]

    def story(side):
        for name, tenant in (("s", "one"), ("t", "two"), ("", "one"), ("s", "two")):
            client = side.connect()
            side.say(client, f"set app.tenant to '{tenant}'")
            for sql in ("select v from accounts where tenant = tenant()", "select tenant()"):
                side.say(client, parse(sql, name) + bind((), name) + execute() + SYNC + close("S", name) + SYNC, ready=2)
            client.terminate()
    told_alike(tidepool, postgres, story, prepares=prepares)


@pytest.mark.parametrize("way", ["set app.tenant to '{}'", "select set_config('app.tenant', '{}', false)", "startup"])
def test_rows_of_a_tenant_are_those_of_its_setting_by_a_shared_statement(tidepool, postgres, way):
    prepares = ["create table accounts(tenant text, v int); insert into accounts values ('one', 1), ('two', 2)", "alter table accounts enable row level security",
                "alter table accounts force row level security", "create policy p on accounts using (tenant = current_setting('app.tenant', true))"]

    def story(side):
        clients = []
        for tenant in ("one", "two", "nobody"):
            clients.append(side.connect(**{"app.tenant": tenant} if way == "startup" else {}))
            if way != "startup":
                side.say(clients[-1], way.format(tenant))
            side.say(clients[-1], prepare("select * from accounts"))
        for client in [*clients, *clients]:
            side.say(client, run())
    told_alike(tidepool, postgres, story, prepares=prepares)


# What a server keeps

def test_clients_that_parse_one_text_in_turn_do_not_fill_a_server(tidepool, postgres):
    def story(side):
        clients = [side.connect() for _ in range(3)]
        for turn in range(40):
            client = clients[turn % 3]
            side.say(client, close("S", "s") + prepare("select * from t where a = $1"))
            side.say(client, run(["1"]))
        return clients
    side = told_alike(tidepool, postgres, story, prepares=["create table t(a int)"])
    assert int(side.daemon.wire("bench").value("select count(*) from pg_prepared_statements")) <= 5


def test_a_batch_with_ddl_and_the_statements_it_concerns(tidepool, postgres):
    def story(side):
        client = side.connect()
        side.say(client, prepare(ROWS))
        side.say(client, query("alter table t add b int") + run() + close("S", "s") + prepare(ROWS) + run() + extended("alter table t drop b") + SYNC + run(), ready=6)
        side.say(client, extended("alter table t add c int") + parse(ROWS, "same batch") + bind((), "same batch") + describe() + execute() + SYNC)
    told_alike(tidepool, postgres, story, prepares=["create table t(a int); insert into t values (1)"])


def test_two_names_of_one_text_around_ddl_have_rows_each_of_its_own_parse(tidepool, postgres):
    def story(side):
        client = side.connect()
        side.say(client, prepare(ROWS, "old"))
        side.say(client, "alter table t rename a to b; alter table t add a text")
        side.say(client, prepare(ROWS, "new"))
        for name in ("old", "new", "old", "new"):
            side.say(client, run((), name))
        side.elsewhere()
        for name in ("new", "old"):
            side.say(client, run((), name))
        side.say(client, describe("S", "new") + SYNC)
        side.rest()
    told_alike(tidepool, postgres, story, prepares=["create table t(a int); insert into t values (1)"], size=2)
