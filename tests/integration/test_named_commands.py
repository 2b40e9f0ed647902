"""Transaction and utility commands as prepared statements that are run later, on other servers; SQL's EXECUTE of them; batches that only
prepare; texts of any length. Each test tells the same story to a pool and to direct connections."""

import psycopg
import pytest
from harness import wire
from harness.shared_servers import transaction_pool
from harness.two_sides import errors, prepare, run, told_alike, values
from harness.wire import FLUSH, SYNC, bind, close, describe, execute, extended, parse

# What was set behind a statement's Parse decides how the literals of a text are read.
SETS = ("set timezone to 'Asia/Tokyo'", "set datestyle to german", "set client_encoding to 'LATIN1'", "set intervalstyle to iso_8601", "set search_path to pg_catalog", "select 1")
TABLE = ["create table t(a int); insert into t values (1)"]


# In a failed transaction

@pytest.mark.parametrize("changes", SETS)
@pytest.mark.parametrize("end", ["rollback", "ROLLBACK TRANSACTION", "commit", "end", "abort", "rollback and chain"])
def test_a_named_command_ends_a_failed_transaction_on_a_server_that_has_not_got_it(tidepool, postgres, end, changes):
    def story(side):
        client = side.connect()
        side.say(client, prepare(end, "S_1"))
        side.say(client, changes)
        for _ in range(2):
            side.elsewhere()
            side.say(client, "begin")
            side.say(client, "select 1/0")
            side.say(client, run((), "S_1"))
            side.say(client, run((), "S_1"))
            side.say(client, "rollback")
            side.rest()
    told_alike(tidepool, postgres, story, size=2)


@pytest.mark.parametrize("back", ["rollback to a", "rollback to savepoint a"])
def test_a_named_command_goes_back_to_a_savepoint_on_a_server_that_has_not_got_it(tidepool, postgres, back):
    def story(side):
        client = side.connect()
        side.say(client, prepare("begin", "S_1") + prepare("savepoint a", "S_2") + prepare(back, "S_3") + prepare("commit", "S_4"), ready=4)
        side.say(client, "set datestyle to german")
        side.elsewhere()
        for batch in (run((), "S_1"), run((), "S_2"), run(["nothing"], "S_3"), wire.query("insert into t values (2)"), run((), "S_3"), wire.query("select * from t"), run((), "S_4")):
            side.say(client, batch)
        side.rest()
        side.say(client, "select * from t")
    told_alike(tidepool, postgres, story, prepares=TABLE, size=2)


def test_named_begin_and_commit_in_one_pipeline_on_each_server(tidepool, postgres):
    def story(side):
        client = side.connect()
        side.say(client, prepare("begin", "S_1") + prepare("commit", "S_2") + prepare("insert into t values ($1)", "i"), ready=3)
        for value, change in enumerate(SETS):
            side.say(client, change)
            side.elsewhere()
            side.say(client, bind((), "S_1") + execute() + bind([str(value)], "i") + execute() + bind((), "S_2") + execute() + SYNC)
            side.rest()
        side.say(client, "select count(*) from public.t")
    told_alike(tidepool, postgres, story, prepares=TABLE, size=2)


# What must not run in a transaction block

@pytest.mark.parametrize("changes", SETS)
@pytest.mark.parametrize("command", ["vacuum public.t", "vacuum (analyze) public.t", "discard all", "reindex table concurrently public.t", "drop index concurrently if exists public.none",
                                     "rollback prepared 'nothing'"])
def test_a_named_utility_command_runs_on_a_server_that_has_not_got_it(tidepool, postgres, command, changes):
    def story(side):
        client = side.connect()
        side.say(client, prepare(command, "v"))
        side.say(client, changes)
        side.elsewhere()
        assert "25001" not in errors(side.say(client, run((), "v")))
        side.rest()
        side.say(client, "show datestyle")
    told_alike(tidepool, postgres, story, prepares=TABLE, size=2)


@pytest.mark.parametrize("first", ["select 1", "insert into t values (7)", "set work_mem to '1MB'", "show work_mem"])
def test_a_utility_command_behind_another_statement_of_its_batch_fails_as_directly(tidepool, postgres, first):
    def story(side):
        client = side.connect()
        side.say(client, prepare("vacuum t", "v"))
        side.say(client, extended(first) + bind((), "v") + execute() + SYNC)
        side.say(client, bind((), "v") + execute() + extended(first) + SYNC)
        side.say(client, extended("begin") + bind((), "v") + execute() + SYNC)
        side.say(client, "rollback")
        side.say(client, "select count(*) from t")
    told_alike(tidepool, postgres, story, prepares=TABLE)


def test_warnings_of_named_commands_are_said_as_often_as_directly(tidepool, postgres):
    def story(side):
        client = side.connect()
        side.say(client, prepare("commit", "c") + prepare("begin", "b") + prepare("set local work_mem to '1MB'", "l"), ready=3)
        side.say(client, "set timezone to 'Asia/Tokyo'")
        for name in ("c", "b", "b", "l", "c", "c", "l"):
            side.say(client, run((), name))
            side.elsewhere()
            side.rest()
    told_alike(tidepool, postgres, story, size=2)


# What takes statements away

@pytest.mark.parametrize("command", ["deallocate all", "discard all", "deallocate prepare all"])
@pytest.mark.parametrize("own", [True, False], ids=["its own as well", "of others"])
@pytest.mark.parametrize("with_sql", [True, False], ids=["with SQL's PREPARE", "without"])
def test_a_named_command_takes_the_statements_of_its_own_session_and_no_others(tidepool, postgres, command, own, with_sql):
    def story(side):
        client, other = side.connect(DateStyle="German"), side.connect(DateStyle="German")
        side.say(other, prepare("select 42", "v"))
        side.say(other, run((), "v"))
        side.say(client, prepare("select 1", "mine"))
        if with_sql:
            side.say(client, "prepare sp as select 'sql'")
        side.say(client, "set work_mem to '1MB'")
        side.say(client, prepare(command, "n"))
        side.say(client, run((), "n"))
        if own:
            for _ in range(2):
                assert errors(side.say(client, run((), "mine"))) == ["26000"]
        side.say(client, "execute sp")
        side.say(client, "select current_setting('work_mem'), current_setting('DateStyle')")
        side.say(client, "deallocate nothing")
        assert values(side.say(other, run((), "v"))) == [["42"]]
        side.say(client, prepare("select 2", "mine"))
        side.say(client, run((), "mine"))
        side.say(client, "select current_setting('work_mem'), current_setting('DateStyle')")
    told_alike(tidepool, postgres, story)


# SQL's EXECUTE

def test_sqls_execute_runs_a_statement_of_the_protocol_by_every_message(tidepool, postgres):
    def story(side):
        client = side.connect()
        side.say(client, prepare("select $1::int + 1", "mine"))
        side.elsewhere()
        side.say(client, "execute mine(41)")
        side.say(client, extended("execute mine(1)") + SYNC)
        side.say(client, prepare("execute mine(2)", "e", described=False) + run((), "e"), ready=2)
        side.say(client, "explain (costs off) execute mine(3)")
        side.rest()
    told_alike(tidepool, postgres, story, size=2)


# Batches that only prepare

@pytest.mark.parametrize("batch", [parse("select 1", "__asyncpg_stmt_1__") + describe("S", "__asyncpg_stmt_1__") + FLUSH, parse("select $1::int") + describe("S") + FLUSH,
                                   close("S", "s") + parse("select 1", "s") + parse("select 2", "t") + describe("S", "t") + FLUSH],
                         ids=["as asyncpg prepares", "unnamed", "two and a Close"])
def test_a_batch_that_only_prepared_keeps_no_server_from_others(tidepool, postgres, batch):
    """Applications prepare when a connection begins: as many as their own pool has."""
    def story(side):
        clients = [side.connect() for _ in range(4)]
        for client in clients:
            client.send(batch)
            side.heard.append((batch, [(answer.type, answer.body) for answer in client.read_until("T", "n")]))
        side.say(side.connect(), "select 'and others'")
        for client in clients:
            side.say(client, bind([] if b"$1" not in batch else ["5"], "__asyncpg_stmt_1__" if b"asyncpg" in batch else "" if b"$1" in batch else "t") + execute() + SYNC)
    told_alike(tidepool, postgres, story, size=3)


@pytest.mark.parametrize("ending", [SYNC, parse("select 'more'", "more") + describe("S", "more") + SYNC, bind((), "s") + execute() + SYNC, bind((), "never") + SYNC,
                                    extended("begin") + SYNC, close("S", "s") + bind((), "s") + SYNC],
                         ids=["Sync", "another", "run", "an error", "a transaction", "closed again"])
def test_a_batch_that_prepared_goes_on_when_others_had_the_server(tidepool, postgres, ending):
    def story(side):
        client, other = side.connect(), side.connect()
        client.send(parse("select 'mine'", "s") + describe("S", "s") + FLUSH)
        side.heard.append(("", [(answer.type, answer.body) for answer in client.read_until("T")]))
        side.say(other, "set datestyle to german")
        side.say(other, parse("select 'not yours'", "s") + SYNC)
        side.say(client, ending)
        side.say(client, "rollback")
        side.say(client, run())
    told_alike(tidepool, postgres, story)


# Texts of any length

def text_of(size):
    return f"select $1::int, length('{'a' * size}')"


SIZES = [1000, 8000, 8300, 20_000, 59_900, 61_000, 100_000, 600_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["", "long"], ids=["unnamed", "named"])
def test_a_text_of_any_length_is_parsed_in_one_batch_and_run_in_the_next(tidepool, postgres, size, name):
    def story(side):
        client, other = side.connect(), side.connect()
        side.say(client, prepare(text_of(size), name))
        side.say(client, run(["1"], name))
        side.say(other, extended("select 1") + SYNC)
        assert values(side.say(client, run(["2"], name))) == [["2", str(size)]]
        side.elsewhere()
        side.say(client, run(["3"], name))
        side.rest()
        if name:
            side.say(client, "select 1")
            side.say(client, run(["4"], name))
    told_alike(tidepool, postgres, story, size=2)


@pytest.mark.parametrize("rows", [200, 500, 3000])
def test_a_long_insert_whose_types_a_driver_asks_for_first_works_while_others_work(tidepool, rows):
    """As Go's lib/pq and pgx's describe_exec do it."""
    daemon = tidepool(pools={"bench": {"mode": "transaction", "min_size": 0, "max_size": 1}})
    text = "insert into bulk values " + ",".join(f"(${2 * row + 1}::int, ${2 * row + 2}::text)" for row in range(rows))
    with daemon.connect("bench") as owner, daemon.connect("bench") as one, daemon.connect("bench") as other:
        owner.execute("create table bulk(a int, b text)")
        for turn in range(3):
            for client in (one, other):
                parsed = client.pgconn.prepare(b"", text.encode())
                assert parsed.status == psycopg.pq.ExecStatus.COMMAND_OK, parsed.error_message
                owner.execute("select 1")
                done = client.pgconn.exec_prepared(b"", [word for row in range(rows) for word in (b"%d" % row, b"v")])
                assert done.status == psycopg.pq.ExecStatus.COMMAND_OK, done.error_message
        assert owner.execute("select count(*) from bulk").fetchone() == (6 * rows,)


# Whose rows are those of their Parse

@pytest.mark.parametrize("command", ["fetch 2 from c", "fetch all from c", "fetch backward 1 from c", "move 1 in c"])
def test_a_prepared_fetch_has_the_rows_of_the_cursor_of_now(tidepool, postgres, command):
    shapes = ("select 1 as a, 'x' as b", "select g from generate_series(1, 5) g", "values (1, 2, 3), (4, 5, 6)")

    def story(side):
        client = side.connect()
        side.say(client, prepare(command, "f"))
        for shape in shapes:
            side.elsewhere()
            side.say(client, "begin")
            side.say(client, f"declare c cursor for {shape}")
            side.say(client, bind((), "f") + describe() + execute() + SYNC)
            side.say(client, run((), "f"))
            side.say(client, parse(command, "g") + describe("S", "g") + bind((), "g") + execute() + close("S", "g") + SYNC)
            side.say(client, "commit")
            side.rest()
    told_alike(tidepool, postgres, story, size=2)


def test_describe_of_a_prepared_fetch_says_what_it_was_when_it_was_parsed(tidepool, postgres):
    """Whatever the cursor is now, whoever else has prepared the same text, and in pieces of a batch. Without its cursor PostgreSQL ends in a crash, if the
    statement has rows: that is not said to direct connections."""
    text = "fetch 1 from c"

    def story(side):
        first, second = side.connect(), side.connect()
        side.say(first, prepare(text, "f"))
        side.say(second, "begin")
        side.say(second, "declare c cursor for select 1 as a, 'x' as b")
        side.say(second, prepare(text, "f"))
        side.say(second, "commit")
        for shape in ("select 2 as a, 'y' as b", "values (1, 2, 3)"):
            side.elsewhere()
            for client in first, second:
                side.say(client, "begin")
                side.say(client, f"declare c cursor for {shape}")
                side.say(client, describe("S", "f") + bind((), "f") + execute() + SYNC)
                side.say(client, bind((), "f") + describe() + execute() + describe("S", "f") + SYNC)
                side.say(client, "select 1/0")
                side.say(client, describe("S", "f") + SYNC)
                side.say(client, "rollback")
            side.rest()
        side.say(first, describe("S", "f") + SYNC)
        side.say(first, parse(text) + SYNC)
        side.elsewhere()
        side.say(first, describe("S") + SYNC)
    told_alike(tidepool, postgres, story, size=2)


def test_a_fetch_without_its_cursor_is_described_as_before_and_crashes_nothing(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool(1))
    client, other = daemon.wire("bench"), daemon.wire("bench")
    for sql in ("begin", "declare c cursor for select 1 as a"):
        client.rows(sql)
    client.send(prepare("fetch 1 from c", "f"))
    told = [(answer.type, answer.body) for answer in client.read_until_ready() if answer.type in "tT"]
    client.rows("commit")
    other.send(prepare("fetch 1 from c", "f"))
    assert "n" in [answer.type for answer in other.read_until_ready()]
    client.send(describe("S", "f") + SYNC)
    assert [(answer.type, answer.body) for answer in client.read_until_ready()] == [*told, ("Z", b"I")]


def test_a_show_of_what_is_not_there_fails_at_its_parse(tidepool, postgres):
    def story(side):
        first, second = side.connect(), side.connect()
        side.say(first, "set app.some to 'thing'")
        side.say(first, prepare("show app.some", "s"))
        side.say(first, run((), "s"))
        side.say(second, prepare("show app.other", "s"))
        side.say(first, describe("S", "s") + SYNC)
    told_alike(tidepool, postgres, story, size=1)


# What is set around a Parse

@pytest.mark.parametrize("changes", SETS[:4])
def test_a_statement_that_cannot_be_prepared_any_more_leaves_the_settings_of_its_parse_nowhere(tidepool, postgres, changes):
    def story(side):
        client, other = side.connect(), side.connect()
        side.say(client, changes)
        side.say(client, prepare("select '01.02.2020'::date, '1 day'::interval, 'x\u00e4', * from t", "s"))
        side.say(client, "reset all")
        side.owner.rows("drop table t")
        side.elsewhere()
        side.say(client, run((), "s"))
        for each in client, other:
            side.say(each, "select '01.02.2020'::date, '25 hours'::interval, current_setting('timezone')")
        side.say(client, "begin")
        side.say(client, run((), "s"))
        side.say(client, "rollback")
        side.say(client, "show datestyle")
    told_alike(tidepool, postgres, story, prepares=TABLE, size=2)


@pytest.mark.parametrize("changes", SETS)
def test_a_named_command_that_must_be_first_of_its_transaction_is_so_on_another_server(tidepool, postgres, changes):
    def story(side):
        client = side.connect()
        texts = {"i": "create index concurrently \"\u00e4\" on public.t(a) where a::text <> 'x'", "v": "vacuum public.t", "d": "drop index concurrently public.\"\u00e4\""}
        for name, text in texts.items():
            side.say(client, prepare(text, name))
        side.say(client, changes)
        for name in texts:
            side.elsewhere()
            side.say(client, run((), name))
            side.rest()
    told_alike(tidepool, postgres, story, prepares=TABLE, size=2)
