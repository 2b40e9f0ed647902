"""State that cannot travel, in transaction mode: who has it keeps the server until it is gone or the client leaves, and leaves nothing behind.
Rows of docs/transaction-mode.md."""

import pytest
from harness import wire
from harness.sessions import SEQUENCE_PROBE, differences, directly, fingerprint
from harness.shared_servers import same_as_directly, transaction_pool
from harness.waiting import holds_for, wait_until


def why(daemon, session=None):
    """Why who is pinned. A server is asked behind its client's last answer; what `session`, by default the daemon's, says next waits for that."""
    session = session or daemon.session
    if session.status == "I" and session.socket.fileno() >= 0:
        session.rows("")
    return [pin["why"] for pin in daemon.console("show pins")]


def wait_until_not_pinned(daemon):
    wait_until(lambda: daemon.console("show pins") == [], "nobody is pinned")


def say(client, *batch):
    """Sends a batch; the types of the answers, without parameters and notices."""
    client.send(*batch)
    return [answer.type for answer in client.read_until_ready() if answer.type not in "SN"]


@pytest.fixture
def pool(tidepool):
    """A daemon with a pool of two servers, a client that makes state, and another one."""
    daemon = tidepool(pools=transaction_pool(max_pinned=2))
    daemon.session, daemon.other = daemon.wire("bench"), daemon.wire("bench")
    return daemon


def lasts(daemon, question, answer):
    """The session finds its state each time, another client never does, and the server is not its."""
    for _ in range(2):
        assert daemon.session.value(question) == answer
        assert daemon.other.value(question) != answer


# LISTEN


def test_listen_keeps_its_server_and_notifications_come(pool):
    pool.session.rows("listen here")
    assert why(pool) == ["LISTEN"]
    for number in range(3):
        pool.other.rows(f"notify here, 'n{number}'")
        told = pool.session.read_until("A")[-1]
        assert told.body[4:] == b"here\0n%d\0" % number
    pool.session.rows("notify here, 'own'")
    lasts(pool, "select count(*) from pg_listening_channels()", "1")


@pytest.mark.parametrize("end", ["unlisten here", "unlisten *", "discard all"])
def test_unlisten_lets_the_server_go(pool, end):
    pool.session.rows("listen here")
    assert why(pool) == ["LISTEN"]
    pool.session.rows(end)
    wait_until_not_pinned(pool)
    pool.session.rows("listen this; listen that")
    pool.session.rows("unlisten this")
    assert why(pool) == ["LISTEN"], "there is another one"
    pool.session.rows("unlisten that")
    wait_until_not_pinned(pool)


def test_a_listen_that_was_rolled_back_keeps_nothing(pool):
    pool.session.rows("begin; listen here")
    pool.session.rows("rollback")
    wait_until_not_pinned(pool)


def test_notify_needs_no_server_of_its_own(pool):
    pool.session.rows("listen here")
    pool.other.rows("begin; notify here, 'in a transaction'")
    pool.other.rows("commit")
    assert pool.session.read_until("A")[-1].body[4:] == b"here\0in a transaction\0"
    assert len(why(pool)) == 1


# Temporary objects


@pytest.mark.parametrize("make, question, drop", [
    ("create temp table t as select 42 as a", "select a from t", "drop table t"),
    ("create temporary table t (a int default 42); insert into t default values", "select a from t", "drop table t"),
    ("select 42 as a into temp t", "select a from t", "drop table t"),
    ("create table pg_temp.t as select 42 as a", "select a from t", "drop table pg_temp.t"),
    ("create temp view t as select 42 as a", "select a from t", "drop view t"),
    ("create temp sequence t start 42", "select last_value from t", "drop sequence t"),
    ("create function pg_temp.f() returns int language sql as 'select 42'", "select pg_temp.f()", "drop function pg_temp.f()"),
    ("create type pg_temp.t as enum ('42')", "select '42'::pg_temp.t", "drop type pg_temp.t"),
    ("create temp table t as select 42 as a", "select a from t", "discard temp"),
    ("create temp table t as select 42 as a", "select a from t", "discard all"),
    ("set search_path = pg_temp, public; create table t as select 42 as a", "select a from t", "drop table t"),
    ("do $$ begin create temp table t as select 42 as a; end $$", "select a from t", "drop table t"),
    ("do $$ begin execute 'create temp table t as select 42 as a'; end $$", "select a from t", "drop table t"),
])
def test_a_temporary_object_keeps_its_server_until_it_is_dropped(pool, make, question, drop):
    pool.session.rows(make)
    assert why(pool) == ["temporary objects"]
    for _ in range(2):
        assert pool.session.value(question) == "42"
        assert pool.other.error(question)["C"] in ("42P01", "42883", "42704", "3F000")
    pool.session.rows(drop)
    wait_until_not_pinned(pool)


def test_pg_temp_first_in_a_search_path_that_was_set_before_is_minded(pool):
    pool.session.rows("select set_config('search_path', 'pg_temp,public', false)")
    pool.session.rows("create table t as select 42 as a")
    assert why(pool) == ["temporary objects"]
    assert pool.session.value("select a from t") == "42"


def test_a_temporary_table_on_commit_drop_keeps_nothing(pool):
    pool.session.rows("begin; create temp table t (a int) on commit drop")
    pool.session.rows("insert into t values (42)")
    assert pool.session.value("select a from t") == "42"
    pool.session.rows("commit")
    assert why(pool) == []
    pool.session.rows("begin; create temp table t (a int)")
    pool.session.rows("rollback")
    assert why(pool) == []


def test_a_table_that_is_not_temporary_keeps_nothing(pool):
    pool.session.rows("create table t (a int); create view v as select * from t; insert into t values (42)")
    assert why(pool) == []
    assert pool.other.value("select a from v") == "42"


# Advisory locks


@pytest.mark.parametrize("lock, unlock", [
    ("select pg_advisory_lock(7)", "select pg_advisory_unlock(7)"),
    ("select pg_try_advisory_lock(1, 2)", "select pg_advisory_unlock(1, 2)"),
    ("select pg_advisory_lock_shared(7)", "select pg_advisory_unlock_shared(7)"),
    ("select pg_catalog.\"pg_try_advisory_lock_shared\"(7)", "select pg_advisory_unlock_all()"),
    ("do $$ begin perform pg_advisory_lock(7); end $$", "discard all"),
])
def test_an_advisory_lock_of_the_session_keeps_its_server_until_it_is_unlocked(pool, postgres, lock, unlock):
    held = f"select count(*) from pg_locks l join pg_database d on d.oid = l.database where datname = '{pool.databases['bench']}' and locktype = 'advisory'"
    pool.session.rows(lock)
    assert why(pool) == ["advisory locks"]
    assert postgres.query(held) == [(1,)]
    for _ in range(2):
        assert pool.session.value("select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()") == "1"
        assert pool.other.value("select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()") == "0"
    pool.session.rows(unlock)
    wait_until_not_pinned(pool)
    assert postgres.query(held) == [(0,)]


def test_a_lock_taken_twice_is_held_until_it_is_unlocked_twice(pool):
    pool.session.rows("select pg_advisory_lock(7)")
    pool.session.rows("select pg_advisory_lock(7)")
    pool.session.rows("select pg_advisory_unlock(7)")
    assert why(pool) == ["advisory locks"]
    pool.session.rows("select pg_advisory_unlock(7)")
    wait_until_not_pinned(pool)


def test_an_advisory_lock_of_the_transaction_keeps_nothing(pool):
    pool.session.rows("begin; select pg_advisory_xact_lock(7)")
    assert pool.other.value("select pg_try_advisory_xact_lock(7)") == "f"
    pool.session.rows("commit")
    assert why(pool) == []
    assert pool.other.value("select pg_try_advisory_xact_lock(7)") == "t"


def test_an_unnamed_or_named_statement_that_locks_is_noticed_each_time_that_it_runs(pool):
    """Also if it was parsed in an earlier batch, after which the server was asked."""
    for name in ("", "locks"):
        say(pool.session, wire.parse("select pg_advisory_lock($1)", name), wire.SYNC)
        wait_until_not_pinned(pool)
        for _ in range(2):
            say(pool.session, wire.parse("select pg_advisory_lock($1)") if name == "" else b"", wire.SYNC)
            assert say(pool.session, wire.bind(["7"], name), wire.execute(), wire.SYNC) == ["2", "D", "C", "Z"]
            assert why(pool) == ["advisory locks"]
            pool.session.rows("select pg_advisory_unlock(7)")
            wait_until_not_pinned(pool)


@pytest.mark.parametrize("name", ["", "locks"])
@pytest.mark.parametrize("size, pieces", [(3, 1), (200_000, None)], ids=["byte by byte", "of a long parameter"])
def test_a_statement_whose_bind_comes_in_pieces_is_noticed_too(pool, name, size, pieces):
    say(pool.session, wire.parse("select pg_advisory_lock(7), length($1::text)", name), wire.SYNC)
    wait_until_not_pinned(pool)
    pool.session.send(wire.bind(["x" * size], name) + wire.execute() + wire.SYNC, pieces=pieces)
    assert [answer.values[1] for answer in pool.session.read_until_ready() if answer.type == "D"] == [b"%d" % size]
    assert why(pool) == ["advisory locks"]


# Cursors


def test_a_cursor_with_hold_keeps_its_server_until_it_is_closed(pool):
    pool.session.rows("declare c cursor with hold for select generate_series(1, 5)")
    assert why(pool) == ["cursors WITH HOLD"]
    for expected in ("1", "2", "3"):
        assert pool.session.value("fetch c") == expected
        assert pool.other.error("fetch c")["C"] == "34000"
    pool.session.rows("close c")
    wait_until_not_pinned(pool)
    pool.session.rows("begin; declare d no scroll cursor with hold for select generate_series(1, 5)")
    pool.session.rows("commit")
    assert pool.session.value("fetch d") == "1"
    pool.session.rows("close all")
    wait_until_not_pinned(pool)


def test_a_cursor_without_hold_ends_with_its_transaction(pool, postgres):
    same_as_directly(pool, postgres, "begin", "declare c cursor for select generate_series(1, 5)", "fetch 2 from c", "fetch 2 from c", "commit", "fetch c")
    assert why(pool) == []


def test_a_portal_of_the_protocol_lives_through_its_transaction(pool, postgres):
    rows = wire.parse("select generate_series(1, 5)") + wire.bind(portal="p")
    same_as_directly(pool, postgres, "begin", rows + wire.execute("p", 2) + wire.SYNC, wire.execute("p", 2) + wire.SYNC, "commit",
                     wire.execute("p", 2) + wire.SYNC)
    assert why(pool) == []


# PREPARE of SQL


@pytest.mark.parametrize("end", ["deallocate p", "deallocate prepare p", "deallocate all", "discard all"])
def test_prepare_of_sql_keeps_its_server_until_it_is_deallocated(pool, end):
    pool.session.rows("prepare p(int) as select $1 + 41")
    assert why(pool) == ["prepared statements of its own"]
    for _ in range(2):
        assert pool.session.value("execute p(1)") == "42"
        assert pool.other.error("execute p(1)")["C"] == "26000"
    pool.session.rows(end)
    wait_until_not_pinned(pool)
    assert pool.session.error("execute p(1)")["C"] == "26000"


def test_what_sqls_execute_leaves_is_noticed(pool):
    pool.session.rows("prepare p as select pg_advisory_lock(7)")
    pool.session.rows("execute p")
    assert why(pool) == ["prepared statements of its own"]
    pool.session.rows("deallocate p")
    wait_until(lambda: why(pool) == ["advisory locks"], "the lock is there still")
    pool.session.rows("select pg_advisory_unlock(7)")
    wait_until_not_pinned(pool)


def test_sqls_execute_of_a_statement_of_the_protocol_is_noticed(pool):
    say(pool.session, wire.parse("select pg_advisory_lock(7)", "locks"), wire.SYNC)
    wait_until_not_pinned(pool)
    pool.session.rows("execute locks")
    assert why(pool) == ["advisory locks"]


# Until the client leaves


def test_load_keeps_its_server_which_is_closed_when_the_client_leaves(tidepool, postgres):
    pool = tidepool(pools={"bench": {**transaction_pool()["bench"], "users": ["app"], "conninfo": postgres.conninfo("postgres", "postgres")}})
    pool.session, pool.other = pool.wire("bench"), pool.wire("bench")
    pool.session.rows("load 'plpgsql'")
    assert why(pool) == ["LOAD"]
    pid = pool.session.value("select pg_backend_pid()")
    assert pool.other.value("select pg_backend_pid()") != pid
    pool.session.rows("discard all")
    assert why(pool) == ["LOAD"]
    pool.session.terminate()
    wait_until(lambda: int(pid) not in [row["pid"] for row in postgres.backends()], "its server is closed")


def test_currval_keeps_the_server_from_the_next_nextval_on(pool):
    pool.session.rows("create sequence s; create sequence other_s")
    pool.session.rows("begin")
    assert (pool.session.value("select nextval('s')"), pool.session.value("select currval('s')")) == ("1", "1")
    pool.session.rows("commit")
    assert why(pool) == [], "that was one transaction"
    assert pool.session.value("select nextval('s')") == "2"
    assert why(pool) == ["currval or lastval"]
    for expected in ("2", "2"):
        assert pool.other.rows("select nextval('s')") != []
        assert pool.session.value("select currval('s')") == pool.session.value("select lastval()") == expected
    pool.session.terminate()
    wait_until_not_pinned(pool)


def test_nextval_alone_keeps_nothing(pool):
    pool.session.rows("create table t (a serial)")
    for _ in range(3):
        pool.session.rows("select nextval('t_a_seq')")
        pool.session.rows("insert into t default values returning a")
    assert why(pool) == []


def test_lastval_in_the_statement_that_advances_is_that_of_its_session(pool, postgres):
    same_as_directly(pool, postgres, "create temp sequence s", "select nextval('s'), currval('s'), lastval()", "select setval('s', 9)", "select currval('s')")


@pytest.mark.parametrize("call, is_named", [("select shop.lock_it(7)", True), ("select SHOP . \"lock_it\" (7)", True), ("select lock_it(7)", False),
                                            ("select other_lock(7)", True)])
def test_pin_functions_keep_the_server_of_those_who_call_them(tidepool, call, is_named):
    daemon = tidepool(pools=transaction_pool(2, pin_functions=["shop.lock_it", "OTHER_lock"]))
    session = daemon.wire("bench")
    session.rows("create schema shop")
    for name in ("shop.lock_it", "lock_it", "other_lock"):
        session.rows(f"create function {name}(int) returns text language sql as 'select pg_advisory_lock($1)::text'")
    session.rows(call)
    assert why(daemon, session) == (["a function that leaves state"] if is_named else ["advisory locks"])


def test_a_function_call_message_is_suspected_of_everything(pool, postgres):
    """PQfn: its function is a number."""
    function = postgres.query("select 'pg_advisory_lock(bigint)'::regprocedure::oid::int8")[0][0]
    call = wire.message("F", function.to_bytes(4, "big") + b"\0\1\0\1" + b"\0\1" + b"\0\0\0\x08" + (7).to_bytes(8, "big") + b"\0\1")
    assert say(pool.session, call) == ["V", "Z"]
    assert why(pool) == ["advisory locks"]
    pool.session.rows("select pg_advisory_unlock_all()")
    wait_until_not_pinned(pool)


@pytest.mark.parametrize("statement", ["select setseed(0.5)", "set seed = 0.5"])
def test_the_seed_of_random_keeps_its_server(pool, statement):
    pool.session.rows(statement)
    assert why(pool) == ["a function that leaves state"]
    first = pool.session.value("select random()")
    pool.other.rows("select random()")
    pool.session.rows(statement)
    assert pool.session.value("select random()") == first


@pytest.mark.parametrize("does, reason", [("perform pg_advisory_lock(7)", "advisory locks"), ("listen here", "LISTEN"), ("create temp table t (a int)", "temporary objects"),
                                          ("prepare p as select 1", "prepared statements of its own")])
def test_what_a_function_that_is_called_does_inside_keeps_its_server(pool, does, reason):
    pool.session.rows(f"create function f() returns void language plpgsql as $f$ begin {does}; end $f$;"
                      f" create procedure p() language plpgsql as $f$ begin {does}; end $f$")
    for call in ("select f()", "call p()"):
        session = pool.wire("bench")
        session.rows(call)
        assert why(pool, session) == [reason]
        session.terminate()
        wait_until_not_pinned(pool)


# What cannot be noticed


@pytest.mark.parametrize("make, use", [
    ("create view v as select pg_advisory_lock(7)::text", "table v"),
    ("create table v (); insert into v default values; create function f(v) returns text language sql as 'select pg_advisory_lock(7)::text'", "select v.f from v"),
])
def test_what_a_view_does_inside_cannot_be_noticed(tidepool, make, use):
    """Nor what a function does that no bracket follows. That is what the catalog would have to tell."""
    daemon = tidepool(pools=transaction_pool(1))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows(make)
    session.rows(use)
    assert why(daemon, session) == []
    assert other.value("select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()") == "1"


def test_a_session_that_names_currval_for_the_first_time_does_not_get_anothers(tidepool):
    """From its next nextval on it gets its own."""
    daemon = tidepool(pools=transaction_pool(1))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows("create sequence s")
    session.rows("select nextval('s')")
    other.rows("select nextval('s')")
    assert session.error("select currval('s')")["C"] == "55000"
    other.rows("select nextval('s')")
    assert session.error("select lastval()")["C"] == "55000"
    assert session.value("select nextval('s')") == "4"
    assert session.value("select lastval()") == "4"


def test_a_session_whose_nextval_keeps_its_server_does_not_get_anothers_values(tidepool, postgres):
    """Of another sequence, or if that nextval fails."""
    daemon = tidepool(pools=transaction_pool(1))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows("create sequence mine; create sequence others")
    assert session.error("select currval('mine')")["C"] == "55000"
    other.rows("select nextval('others')")
    session.rows("select nextval('mine')")
    assert session.error("select currval('others')")["C"] == "55000"
    session.terminate()

    session = daemon.wire("bench", default_transaction_read_only="on")
    assert session.error("select currval('mine')")["C"] == "55000"
    other.rows("select nextval('others')")
    assert session.error("select nextval('mine')")["C"] == "25006"
    assert session.error("select lastval()")["C"] == "55000"


def test_a_currval_in_a_pipeline_is_that_of_its_session(tidepool):
    daemon = tidepool(pools=transaction_pool(1))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    other.rows("create sequence s")
    other.rows("select nextval('s')")
    session.send(wire.query("select 1"), wire.query("select currval('s')"), wire.query("select nextval('s')"), wire.query("select currval('s')"))
    said = [each for _ in range(4) for each in session.read_until_ready()]
    assert [each.fields["C"] for each in said if each.type == "E"] == ["55000"]
    assert [each.values for each in said if each.type == "D"] == [[b"1"], [b"2"], [b"2"]]


# What is left


LEFT_BEHIND = ("listen here; create temp table t (a int); select pg_advisory_lock(7); prepare p as select 1; set work_mem = '7MB'; set app.mine = 'x';"
               " declare c cursor with hold for select generate_series(1, 3); create function pg_temp.f() returns int language sql as 'select 1'")


@pytest.mark.parametrize("how", ["terminate", "close"])
def test_a_pinned_client_that_leaves_leaves_a_clean_server(tidepool, postgres, how):
    daemon = tidepool(pools=transaction_pool(1))
    session = daemon.wire("bench")
    session.rows("create sequence s")
    new = fingerprint(directly(postgres, daemon.databases["bench"]))
    session.rows(LEFT_BEHIND)
    session.rows("select nextval('s'), currval('s')")
    wait_until(lambda: len(why(daemon, session)) == 1, "it is pinned")
    pid = session.value("select pg_backend_pid()")
    getattr(session, how)()
    wait_until_not_pinned(daemon)
    after = daemon.wire("bench")
    assert after.value("select pg_backend_pid()") == pid, "under the default reset it is the same server"
    assert differences(new, fingerprint(after)) == []
    assert after.error(SEQUENCE_PROBE)["C"] == "55000"


@pytest.mark.parametrize("left", ["listen here", "create temp table t (a int)", "select pg_advisory_lock(7)", "set work_mem = '7MB'",
                                  "prepare p as select 1", "set role none; set app.x = 'y'"])
@pytest.mark.parametrize("where", ["begin; {}", "{}; begin", "begin; {}; select 1/0"])
def test_who_leaves_within_a_transaction_leaves_nothing_either(tidepool, postgres, left, where):
    daemon = tidepool(pools=transaction_pool(1))
    new = fingerprint(directly(postgres, daemon.databases["bench"]))
    session = daemon.wire("bench")
    session.ask(where.format(left))
    session.close()
    assert differences(new, fingerprint(daemon.wire("bench"))) == []


def test_a_client_that_leaves_right_behind_what_it_did_leaves_nothing(tidepool, postgres):
    """While the server is asked, or before it could be."""
    daemon = tidepool(pools=transaction_pool(1))
    new = fingerprint(directly(postgres, daemon.databases["bench"]))
    for goodbye in (b"", wire.TERMINATE):
        for left in LEFT_BEHIND.split(";"):
            session = daemon.wire("bench")
            session.send(wire.query(left) + goodbye)
            session.close()
            assert differences(new, fingerprint(daemon.wire("bench"))) == [], left


def test_a_session_that_holds_nothing_any_more_shares_its_server_again(pool):
    pool.session.rows(LEFT_BEHIND)
    assert len(why(pool)) == 1
    pool.session.rows("discard all")
    wait_until_not_pinned(pool)
    holds_for(lambda: pool.session.value("select 1") == "1", "it goes on", 0.1)
    assert pool.session.error("fetch c")["C"] == "34000"


def test_show_pins_and_the_log_say_who_why_and_by_which_statement(pool):
    mark = len(pool.log())
    pool.session.rows("listen here")
    assert why(pool) == ["LISTEN"]
    pins = pool.console("show pins")
    assert [(pin["pool"], pin["user"], pin["why"], pin["statement"]) for pin in pins] == [("bench", "app", "LISTEN", "listen here")]
    assert str(pins[0]["server_pid"]) == pool.session.value("select pg_backend_pid()")
    pool.wait_for_log(r"keeps server_pid=\d+ because of LISTEN: listen here", mark)
    assert any(client["pinned"] for client in pool.console("show clients"))
    pool.session.rows("unlisten *")
    pool.wait_for_log("does not keep its server any more", mark)


@pytest.mark.parametrize(("scs", "text", "shown"), [
    ("on", "listen here; select 'hunter2'", "listen here; select ?"),
    ("on", "listen here; do $x$begin perform 'hunter2'; end$x$", "listen here; do ?"),
    ("on", "/* hunter2 */ listen here -- hunter2", "listen here"),
    ("on", "listen here; set app.key = hunter2", "listen here; set app.key = ?"),
    ("on", "listen here; select 'a\\' as x, 'hunter2'", "listen here; select..."),
    ("off", "listen here; select 'a\\' as x, hunter2'", "listen here; select..."),
])
def test_no_constant_of_a_statement_that_pins_is_shown_to_others(pool, scs, text, shown):
    mark = len(pool.log())
    pool.session.rows(f"set standard_conforming_strings = {scs}")
    pool.session.rows(text)
    assert why(pool) == ["LISTEN"]
    assert [pin["statement"] for pin in pool.console("show pins")] == [shown]
    pool.session.rows("set standard_conforming_strings = on")
    pool.wait_for_log(r"keeps server_pid=\d+ because of LISTEN: ", mark)
    assert "hunter2" not in str(pool.console("show clients"))
    assert "hunter2" not in pool.log()
