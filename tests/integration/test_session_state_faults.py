"""Transaction mode when things go wrong: servers that end while their session is pinned, idle or at work, clients that vanish at any moment,
several workers. And what needs no keeping: COPY, two-phase commit, cancel, large objects, limits of time. Rows of docs/transaction-mode.md."""

import random
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from harness import wire
from harness.cutting_proxy import also_cut
from harness.sessions import differences, directly, fingerprint, wait_until_resting, wait_until_running
from harness.shared_servers import Neighbours, answers_to, same_as_directly, transaction_pool
from harness.waiting import wait_until

LEAVES = "set work_mem = '7MB'; set app.mine = 'x'; set timezone = 'Asia/Tokyo'"


def pins(daemon):
    return [pin["why"] for pin in daemon.console("show pins")]


def pid_of(client):
    return int(client.value("select pg_backend_pid()"))


def end(postgres, daemon, pid):
    postgres.execute(f"select pg_terminate_backend({pid})")
    wait_until(lambda: pid not in [row["pid"] for row in daemon.backends("bench")], "the backend is gone")


# Servers that end


def test_a_pinned_session_ends_with_its_server(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool(2, max_pinned=1))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows("listen here")
    pid = pid_of(session)
    end(postgres, daemon, pid)
    assert [answer.fields["C"] for answer in session.read_until_closed() if answer.type == "E"] == ["57P01"]
    wait_until(lambda: pins(daemon) == [], "nobody is pinned")
    other.rows("listen here")
    other.rows("")
    assert pins(daemon) == ["LISTEN"]


def test_a_session_without_a_server_does_not_notice_that_it_ended(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool(1))
    session = daemon.wire("bench")
    session.rows(LEAVES)
    answers_to(session, wire.parse("select 42", "s") + wire.SYNC)
    for _ in range(2):
        end(postgres, daemon, pid_of(session))
        assert session.rows("show work_mem; show app.mine; show timezone") == [["7MB"], ["x"], ["Asia/Tokyo"]]
        session.send(wire.bind((), "s") + wire.execute() + wire.SYNC)
        assert [answer.type for answer in session.read_until_ready()] == ["2", "D", "C", "Z"]


def test_a_session_in_a_transaction_ends_with_its_server_and_nothing_is_committed(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool(1))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    other.rows("create table t (a int)")
    session.rows("begin; insert into t values (1)")
    end(postgres, daemon, pid_of(session))
    assert [answer.fields["C"] for answer in session.read_until_closed() if answer.type == "E"] == ["57P01"]
    assert other.value("select count(*) from t") == "0"


def test_a_restart_of_postgres_between_transactions_costs_no_session_its_settings(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools=transaction_pool(2))
    sessions = [daemon.wire("bench") for _ in range(5)]
    for number, session in enumerate(sessions):
        session.rows(f"set app.mine = '{number}'; set work_mem = '{number + 1}MB'")
        session.rows("")
    server.restart()
    for number, session in enumerate(sessions):
        assert session.rows("show app.mine; show work_mem") == [[f"{number}"], [f"{number + 1}MB"]]


# Clients that vanish


def in_the_middle_of_a_batch(client):
    client.send(wire.extended("select set_config('work_mem', '7MB', false)") + wire.extended("select pg_advisory_lock(7)") + wire.FLUSH)
    client.read_until("C")


def in_the_middle_of_a_message(client):
    client.rows("begin; listen here")
    client.send(wire.query("select pg_advisory_lock(7); select '" + "x" * 1000 + "'")[:500])


def in_a_question(client):
    client.send(wire.query("listen here; create temp table t (a int); " + LEAVES))
    client.close()


def behind_a_prelude(client):
    client.rows(LEAVES)
    client.rows("")
    client.send(wire.query("select 1, pg_sleep(0.05)"))


def in_a_copy(client):
    client.rows("create temp table t (a int)")
    client.send(wire.query("copy t from stdin"))
    client.read_until("G")
    client.send(wire.copy_data("1\n"))


def in_a_prelude_of_a_refused_statement(client):
    client.rows(LEAVES)
    client.send(wire.query("select nothing; listen here") + wire.query("prepare p as select 1"))


@also_cut
@pytest.mark.timeout(120)
@pytest.mark.parametrize("where", [in_the_middle_of_a_batch, in_the_middle_of_a_message, in_a_question, behind_a_prelude, in_a_copy,
                                   in_a_prelude_of_a_refused_statement])
def test_a_client_that_vanishes_at_any_moment_leaves_a_clean_server(tidepool, postgres, where):
    daemon = tidepool(pools=transaction_pool(1))
    new = fingerprint(directly(postgres, daemon.databases["bench"]))
    other = daemon.wire("bench", TimeZone="Pacific/Chatham")
    other.rows("set work_mem = '3MB'; set app.mine = 'another'")
    for _ in range(3):
        client = daemon.wire("bench")
        where(client)
        client.close()
        assert differences(new, fingerprint(daemon.wire("bench"))) == []
        assert other.rows("show work_mem; show timezone; show app.mine") == [["3MB"], ["Pacific/Chatham"], ["another"]]
    assert pins(daemon) == []


@pytest.mark.parametrize("begun", [wire.FLUSH, wire.parse("select 1"), wire.extended("select 1") + wire.FLUSH, wire.query("select 1")[:4]],
                         ids=["Flush", "Parse", "a batch without its Sync", "a piece of a message"])
def test_who_vanishes_before_its_request_is_whole_leaves_no_parameters_to_be_told(tidepool, begun):
    """PostgreSQL reports a parameter with a ReadyForQuery, and there was none behind what was set in front of that request."""
    daemon = tidepool(pools=transaction_pool(1))
    witness, other = daemon.wire("bench"), daemon.wire("bench", TimeZone="Pacific/Chatham")
    witness.rows("select 1")
    for _ in range(5):
        other.rows("select 1")
        client = daemon.wire("bench")
        client.send(begun)
        client.close()
        wait_until(lambda: all(server["state"] == "idle" for server in daemon.console("show servers")), "it is back")
        witness.send(wire.query("select 1"))
        assert [answer.type for answer in witness.read_until_ready()] == ["T", "D", "C", "Z"]


def test_what_a_client_asked_for_before_its_goodbye_is_done(tidepool):
    daemon = tidepool(pools=transaction_pool(1))
    other = daemon.wire("bench")
    other.rows("create table t (a int); set work_mem = '3MB'")
    client = daemon.wire("bench")
    client.send(wire.query("insert into t values (1)") + wire.extended("insert into t values (2)") + wire.SYNC + wire.TERMINATE)
    client.close()
    wait_until(lambda: other.value("select count(*) from t") == "2", "both are there")


@pytest.mark.workers
@pytest.mark.timeout(120)
def test_sessions_on_two_workers_keep_their_settings_and_statements_and_meet_no_others(tidepool):
    daemon = tidepool(pools=transaction_pool(3, timeout="60s"), workers=2)
    wrong = []

    def work(number):
        draw = random.Random(number)
        with daemon.wire("bench", TimeZone=f"Etc/GMT+{number}") as client:
            client.rows(f"set app.mine = '{number}'; set work_mem = '{number + 1}MB'")
            answers_to(client, wire.parse(f"select {number} + $1::int, current_setting('app.mine')", "s") + wire.SYNC)
            for turn in range(40):
                found = client.rows("show app.mine; show work_mem; show timezone")
                if found != [[f"{number}"], [f"{number + 1}MB"], [f"Etc/GMT+{number}"]]:
                    wrong.append((number, turn, found))
                client.send(wire.bind([turn], "s") + wire.execute() + wire.SYNC)
                rows = [answer.values for answer in client.read_until_ready(60) if answer.type == "D"]
                if rows != [[b"%d" % (number + turn), b"%d" % number]]:
                    wrong.append((number, turn, rows))
                if draw.random() < 0.2:
                    client.rows("begin; select pg_advisory_xact_lock(1)")
                    client.rows("commit")
                if number == 0 and turn % 10 == 0:
                    client.rows("listen here")
                    client.rows("unlisten here")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert not wrong
    wait_until(lambda: pins(daemon) == [], "nobody is pinned")


@pytest.mark.workers
def test_pins_are_counted_over_two_workers(tidepool):
    daemon = tidepool(pools=transaction_pool(6, max_pinned=3, timeout="300ms"), workers=2)
    clients = [daemon.wire("bench") for _ in range(6)]
    for client in clients:
        client.ask("listen here")
        client.rows("")
    wait_until(lambda: len(pins(daemon)) == 3, "three are pinned")
    for client in clients:
        client.close()
    wait_until(lambda: pins(daemon) == [], "nobody is pinned")
    with daemon.wire("bench") as after:
        after.rows("listen here")


# What needs no keeping


def test_copy_in_both_directions_keeps_its_server_for_its_transaction_only(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    copy_in = wire.query("copy copied from stdin") + wire.copy_data("1\n2\n") + wire.COPY_DONE
    daemon.wire("bench").rows("create table copied (a int)")
    session = same_as_directly(daemon, postgres, "copy (select generate_series(1, 3)) to stdout", "copy nowhere from stdin")
    session.send(copy_in)
    assert [answer.type for answer in session.read_until_ready()] == ["G", "C", "Z"]
    session.send(wire.query("copy copied from stdin") + wire.copy_data("3\n") + wire.copy_fail())
    assert [answer.type for answer in session.read_until_ready()] == ["G", "E", "Z"]
    assert session.value("select count(*) from copied") == "2"


def test_a_prepared_transaction_is_committed_on_any_server(tidepool, new_postgres):
    server = new_postgres(settings={"max_prepared_transactions": 5})
    daemon = tidepool(server=server, pools=transaction_pool())
    neighbours, session = Neighbours(daemon), daemon.wire("bench")
    session.rows("create table t (a int)")
    session.rows("begin; insert into t values (1); set local work_mem = '7MB'")
    session.rows("prepare transaction 'two'")
    session.rows("")
    assert pins(daemon) == [], "PREPARE TRANSACTION is no PREPARE"
    neighbours.hold()
    assert session.value("select count(*) from t") == "0"
    session.rows("commit prepared 'two'")
    neighbours.rest()
    assert session.rows("select count(*) from t; show work_mem") == [["1"], ["4MB"]]


def test_a_cancel_reaches_the_query_of_its_session_and_nothing_when_it_has_none(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool(1))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    for _ in range(2):
        session.rows("select 1")
        session.cancel()
        assert other.value("select 42") == "42"
        session.send(wire.query("select pg_sleep(600)"))
        wait_until_running(postgres, "pg_sleep(600)", database=daemon.databases["bench"])
        session.cancel()
        assert [answer.fields["C"] for answer in session.read_until_ready() if answer.type == "E"] == ["57014"]
        other.send(wire.query("select pg_sleep(0.3)"))
        session.cancel()
        assert [answer.type for answer in other.read_until_ready()] == ["T", "D", "C", "Z"]


def test_large_objects_are_open_for_their_transaction(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, "select lo_create(4242) > 0; select lo_unlink(4242)", "begin", "select lo_creat(-1) > 0", "commit",
                     "select lo_close(0)")
    session = daemon.wire("bench")
    number = session.value("select lo_from_bytea(0, 'abc')")
    session.rows("begin")
    descriptor = session.value(f"select lo_open({number}, 262144)")
    assert session.value(f"select loread({descriptor}, 2)") == "\\x6162"
    assert session.value(f"select loread({descriptor}, 2)") == "\\x63"
    session.rows("commit")
    assert session.error(f"select loread({descriptor}, 2)")["C"] == "42704"


def test_a_transaction_over_its_time_limit_ends_with_its_session_and_a_query_is_cancelled(tidepool):
    daemon = tidepool(pools=transaction_pool(1, transaction="700ms", query="300ms"))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    assert session.error("select pg_sleep(600)")["C"] == "57014"
    assert session.value("select 42") == "42"
    session.rows("begin; create table t (a int)")
    other.send(wire.query("select 43"))
    assert [answer.fields["C"] for answer in session.read_until_closed() if answer.type == "E"] == ["25P04"]
    assert [answer.type for answer in other.read_until_ready()] == ["T", "D", "C", "Z"]
    assert other.error("select * from t")["C"] == "42P01"


def test_idle_limits_count_while_a_session_has_no_server_too(tidepool):
    daemon = tidepool(pools=transaction_pool(1, client_idle="500ms", idle_in_transaction="400ms"))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows("begin")
    assert [answer.fields["C"] for answer in session.read_until_closed() if answer.type == "E"] == ["25P03"]
    wait_until_resting(daemon)
    assert [answer.fields["C"] for answer in other.read_until_closed() if answer.type == "E"] == ["57P05"]


@pytest.mark.parametrize("threshold", [0, 5])
def test_psycopg_with_prepared_statements_on_works_unchanged(tidepool, threshold):
    daemon = tidepool(pools=transaction_pool(2))
    with daemon.connect("bench", prepare_threshold=threshold) as one, daemon.connect("bench", prepare_threshold=threshold, autocommit=False) as other:
        one.execute("create table t (a int)")
        for number in range(12):
            other.execute("insert into t values (%s)", [number])
            other.commit()
            assert one.execute("select max(a) from t where a <= %s", [number]).fetchone() == (number,)
        with pytest.raises(psycopg.errors.DivisionByZero):
            other.execute("select 1 / %s", [0])
        other.rollback()
