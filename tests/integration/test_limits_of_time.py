"""Time limits on a client that sits on a server: client_idle, idle_in_transaction, query."""

import pytest
from harness import wire
from harness.sessions import backend_of, runs
from harness.waiting import holds_for, wait_until
from harness.wire import SYNC, extended, query


def of_one(tidepool, **pool):
    return tidepool(pools={"bench": {"min_size": 1, "max_size": 1, "timeout": "30s", **pool}})


def said_at_the_end(client):
    """The one error that comes before the daemon hangs up: (severity, sqlstate, words)."""
    answers = client.read_until_closed()
    assert [answer.type for answer in answers] == ["E"], list(map(str, answers))
    fields = answers[0].fields
    return fields["S"], fields["C"], fields["M"]


@pytest.mark.parametrize("setting, sqlstate, sql", [
    ("client_idle", "57P05", "select 1"), ("idle_in_transaction", "25P03", "begin"),
    ("idle_in_transaction", "25P03", "begin; select 1/0")])
def test_a_client_that_sits_idle_is_sent_away_and_its_server_is_free(tidepool, setting, sqlstate, sql):
    daemon = of_one(tidepool, **{setting: "300ms"})
    client = daemon.wire("bench")
    server = backend_of(client)
    client.ask(sql)
    severity, code, words = said_at_the_end(client)
    assert (severity, code) == ("FATAL", sqlstate) and setting in words and "bench" in words
    with daemon.wire("bench") as following:
        assert backend_of(following) == server and following.status == "I"


def test_client_idle_leaves_alone_who_has_no_server_and_who_works(tidepool):
    daemon = of_one(tidepool, client_idle="500ms")
    fresh = daemon.wire("bench")
    worker = daemon.wire("bench")
    for _ in range(8):
        assert worker.value("select pg_sleep(0.1)::text || 'x'") == "x"
    assert worker.value("select pg_sleep(0.9)::text || 'x'") == "x"
    worker.terminate()
    assert fresh.value("select 1") == "1"


def test_idle_in_transaction_leaves_alone_who_is_idle_outside_of_one(tidepool):
    daemon = of_one(tidepool, idle_in_transaction="200ms")
    client = daemon.wire("bench")
    client.ask("begin; commit")
    assert client.is_silent(0.6)
    client.ask("begin")
    for _ in range(4):
        client.ask("select pg_sleep(0.1)")
    client.ask("select pg_sleep(0.5)")
    client.ask("commit")
    assert client.status == "I"


@pytest.mark.parametrize("request_", [query("select pg_sleep(600)"), extended("select pg_sleep(600)") + SYNC,
                                      query("begin; select pg_sleep(600)")], ids=["a query", "a batch", "in a transaction"])
def test_a_query_over_its_time_limit_is_cancelled_and_the_session_stays(tidepool, postgres, request_):
    daemon = of_one(tidepool, query="300ms")
    client = daemon.wire("bench")
    server = backend_of(client)
    client.send(request_)
    answers = client.read_until_ready()
    assert next(answer.fields["C"] for answer in answers if answer.type == "E") == "57014"
    client.ask("rollback")
    assert backend_of(client) == server
    assert not runs(postgres, "pg_sleep", database=daemon.databases["bench"])


def test_the_query_limit_holds_for_each_query_not_for_all(tidepool):
    daemon = of_one(tidepool, query="1s")
    client = daemon.wire("bench")
    for _ in range(8):
        assert client.value("select pg_sleep(0.2)::text || 'x'") == "x"
    client.ask("begin")
    assert client.is_silent(1.2)
    assert client.value("select 1") == "1"


def test_a_query_that_ignores_its_cancel_ends_its_session(tidepool, postgres):
    daemon = of_one(tidepool, query="300ms", reset_timeout="500ms")
    client = daemon.wire("bench")
    server = backend_of(client)
    client.send(query("do $$ begin loop begin perform pg_sleep(600); exception when query_canceled then null; end;"
                      " end loop; end $$"))
    wait_until(lambda: any(row["wait_event"] == "PgSleep" for row in daemon.backends("bench")), "it sleeps")
    client.timeout = 30
    severity, code, words = said_at_the_end(client)
    assert (severity, code) == ("FATAL", "57014") and "bench" in words
    postgres.execute("select pg_terminate_backend(%s)", [server])
    with daemon.wire("bench") as following:
        assert backend_of(following) != server


def test_without_limits_nobody_is_sent_away(tidepool):
    daemon = of_one(tidepool)
    client = daemon.wire("bench")
    client.ask("begin")
    assert client.is_silent(0.7)
    assert client.value("select pg_sleep(0.7)::text || 'x'") == "x"


def test_an_idle_timeout_of_the_servers_own_does_not_end_resting_servers(tidepool, new_postgres):
    server = new_postgres(settings={"idle_session_timeout": "300ms"})
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 1}})
    client = daemon.wire("bench")
    backend = backend_of(client)
    client.terminate()
    holds_for(lambda: [row["pid"] for row in daemon.backends("bench")] == [backend], "the server rests", 1.0, 0.1)
    for _ in range(3):
        with daemon.wire("bench") as following:
            assert following.value("select 1") == "1"
            following.terminate()
    asks = daemon.wire("bench", idle_session_timeout="200ms")
    asks.ask("select 1")
    answers = asks.read_until_closed()
    assert answers[-1].fields["C"] == "57P05"
    wait_until(lambda: daemon.wire("bench").value("select 1") == "1", "another server")
