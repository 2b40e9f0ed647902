"""A cancel reaches the query that runs for its client, or nothing at all."""

import os
import threading

import pytest
from harness import wire
from harness.cutting_proxy import also_cut
from harness.sessions import (backend_of, wait_until_resting, wait_until_running, wait_until_waiting)
from harness.waiting import holds_for, wait_until
from harness.wire import SYNC, WireClient, extended, query

SLEEP = query("select pg_sleep(600)")


def of_one(tidepool, **pool):
    return tidepool(pools={"bench": {"min_size": 1, "max_size": 1, **pool}})


def send_cancel(daemon, process_id, key):
    """Sends a cancel request and waits until the daemon has closed its connection."""
    with WireClient(daemon.socket_path) as other:
        other.send(wire.cancel_request(process_id, key))
        return other.read_until_closed()


def sqlstate(answers):
    return next(answer.fields["C"] for answer in answers if answer.type == "E")


def key_of(client):
    return client.process_id, client.key


@pytest.mark.parametrize("request_", [SLEEP, extended("select pg_sleep(600)") + SYNC], ids=["a query", "a batch"])
@pytest.mark.parametrize("protocol", [wire.PROTOCOL_3_0, wire.PROTOCOL_3_2], ids=["3.0", "3.2"])
@also_cut
def test_a_running_query_is_cancelled_and_the_session_stays(tidepool, postgres, request_, protocol):
    daemon = of_one(tidepool)
    client = daemon.wire("bench", protocol=protocol)
    server = backend_of(client)
    for _ in range(3):
        client.send(request_)
        wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
        assert client.cancel() == []
        assert sqlstate(client.read_until_ready()) == "57014"
    assert backend_of(client) == server
    assert client.is_silent(0.05)


def test_keys_are_long_and_differ(tidepool):
    daemon = of_one(tidepool)
    short = [daemon.wire("bench") for _ in range(50)]
    long = [daemon.wire("bench", protocol=wire.PROTOCOL_3_2) for _ in range(50)]
    assert all(client.process_id > 0 for client in short + long)
    assert {len(client.key) for client in short} == {4} and {len(client.key) for client in long} == {32}
    assert len({key_of(client) for client in short + long}) == 100
    assert len({client.key for client in long}) == 50


def test_a_client_in_the_queue_is_answered_57014_and_keeps_its_session(tidepool):
    daemon = of_one(tidepool)
    holder = daemon.wire("bench")
    holder.ask("select 1")
    waiting = daemon.wire("bench")
    waiting.send(query("select 1"))
    wait_until_waiting(daemon)
    waiting.cancel()
    answers = waiting.read_until_ready()
    assert [answer.type for answer in answers] == ["E", "Z"] and sqlstate(answers) == "57014"
    assert waiting.is_silent(0.05)
    holder.terminate()
    assert waiting.value("select 42") == "42"


@also_cut
def test_of_a_batch_in_the_queue_everything_to_its_sync_is_skipped(tidepool):
    daemon = of_one(tidepool)
    holder = daemon.wire("bench")
    holder.ask("select 1")
    waiting = daemon.wire("bench")
    waiting.send(extended("select 1") * 3)
    wait_until_waiting(daemon)
    waiting.cancel()
    assert [answer.type for answer in waiting.read_until("E")] == ["E"]
    holder.terminate()
    waiting.send(extended("select 2") + SYNC + query("select 42"))
    assert [answer.type for answer in waiting.read_until_ready()] == ["Z"]
    assert waiting.read_until("D")[-1].values == [b"42"]


def test_a_cancel_of_an_idle_session_does_nothing(tidepool):
    daemon = of_one(tidepool)
    fresh, linked, in_transaction = (daemon.wire("bench") for _ in range(3))
    fresh.cancel()
    linked.ask("select 1")
    for _ in range(5):
        linked.cancel()
        assert linked.is_silent(0.02)
        assert linked.value("select pg_sleep(0.01)::text || 'x'") == "x"
    linked.terminate()
    in_transaction.ask("begin; select 1")
    for _ in range(5):
        in_transaction.cancel()
        assert in_transaction.value("select 2") == "2" and in_transaction.status == "T"
    in_transaction.terminate()
    assert fresh.value("select 1") == "1"


def test_a_wrong_key_or_process_id_cancels_nothing(tidepool, postgres):
    daemon = of_one(tidepool)
    client = daemon.wire("bench")
    client.send(SLEEP)
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    pid, key = key_of(client)
    backend = daemon.backends("bench")[0]["pid"]
    wrong = bytes([key[0] ^ 1]) + key[1:]
    for process_id, secret in ((pid, wrong), (pid + 1, key), (0, key), (-1, key), (2**31 - 1, key), (backend, key),
                               (pid, key + b"\0"), (pid, b"")):
        try:
            assert send_cancel(daemon, process_id, secret) == []
        except ConnectionError:
            pass
    assert client.is_silent(0.2)


def test_failed_cancels_are_limited_in_their_rate(tidepool, postgres):
    daemon = of_one(tidepool)
    client = daemon.wire("bench")
    client.send(SLEEP)
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    for number in range(100):
        send_cancel(daemon, client.process_id, os.urandom(4))
    assert daemon.log().count("matched no session") < 60
    assert client.is_silent(0.05)

    def cancelled():
        client.cancel()
        return not client.is_silent(0.05)
    wait_until(cancelled, "cancels of that place are heard again")
    assert sqlstate(client.read_until_ready()) == "57014"


def test_a_cancel_behind_the_end_of_the_session_or_query_hits_nobody(tidepool):
    daemon = of_one(tidepool)
    for _ in range(30):
        client = daemon.wire("bench")
        client.ask("select 1")
        key = key_of(client)
        client.terminate()
        following = daemon.wire("bench")
        following.send(query("select pg_sleep(0.02)"))
        send_cancel(daemon, *key)
        assert "E" not in [answer.type for answer in following.read_until_ready()]
        following.terminate()


@pytest.mark.timeout(120)
@pytest.mark.workers
def test_a_cancel_never_hits_the_next_client(tidepool):
    """Cancels race with the end of their query and with the giving back of its server, on a pool of one."""
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, "timeout": "60s"}}, workers=2)
    done, wrong, sent = threading.Event(), [], []

    def cancelled_ones():
        try:
            while not done.is_set():
                client = daemon.wire("bench")
                client.timeout = 60
                client.send(query("select pg_sleep(0.002)"))
                if len(sent) % 2:
                    client.read_until_ready()
                with WireClient(daemon.socket_path) as other:
                    other.send(wire.cancel_request(*key_of(client)))
                    client.terminate()
                    other.read_until_closed()
                sent.append(client)
        except Exception as error:
            wrong.append(error)
    canceller = threading.Thread(target=cancelled_ones)
    canceller.start()
    try:
        for number in range(300):
            with daemon.wire("bench") as client:
                client.timeout = 60
                assert client.value(f"select {number} from pg_sleep(0.002)") == str(number)
                client.terminate()
    finally:
        done.set()
        canceller.join()
    assert wrong == [] and sent


@pytest.mark.timeout(120)
def test_a_thousand_cancels_at_once_are_bounded_and_end_one_query(tidepool, postgres):
    daemon = of_one(tidepool)
    client = daemon.wire("bench")
    client.send(SLEEP)
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    before, most = daemon.open_descriptors(), 0
    others = []
    for number in range(1000):
        other = WireClient(daemon.socket_path)
        other.send(wire.cancel_request(client.process_id, client.key))
        others.append(other)
        most = max(most, daemon.open_descriptors() if number % 50 == 0 else 0)
    for other in others:
        assert other.read_until_closed(timeout=30) == []
        other.close()
    assert sqlstate(client.read_until_ready()) == "57014"
    assert client.value("select 42") == "42"
    assert len(daemon.backends("bench")) == 1
    wait_until(lambda: daemon.open_descriptors() <= before, "all is closed")
    server_log = postgres.log()
    assert "too many clients" not in server_log


def test_a_server_is_held_until_its_cancel_is_through(tidepool, new_postgres):
    """The postmaster is stopped while the cancel is on its way: the server must not be lent meanwhile."""
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 1, "timeout": "60s"}})
    client = daemon.wire("bench")
    backend_of(client)
    client.send(query("select pg_sleep(1)"))
    wait_until_running(server, "pg_sleep", database=daemon.databases["bench"])
    server.pause()
    with WireClient(daemon.socket_path) as canceller:
        canceller.send(wire.cancel_request(client.process_id, client.key))
        assert "D" in [answer.type for answer in client.read_until_ready()]      # it ended by itself
        client.terminate()
        following = daemon.wire("bench")
        following.send(query("select 'mine' from pg_sleep(0.2)"))
        assert following.is_silent(0.5)
        server.resume()
        answers = following.read_until_ready()
        assert "E" not in [answer.type for answer in answers]
        canceller.read_until_closed()


@pytest.mark.timeout(120)
def test_a_cancel_whose_server_does_not_answer_has_a_time_limit(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 1}})
    client = daemon.wire("bench")
    client.send(SLEEP)
    wait_until_running(server, "pg_sleep", database=daemon.databases["bench"])
    server.pause()
    with WireClient(daemon.socket_path) as canceller:
        canceller.send(wire.cancel_request(client.process_id, client.key))
        assert canceller.read_until_closed(timeout=30) == []
    server.resume()


def test_a_cancel_with_the_server_gone_harms_nothing(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 1, "when_down": "fail"}})
    client = daemon.wire("bench")
    client.send(SLEEP)
    wait_until_running(server, "pg_sleep", database=daemon.databases["bench"])
    (server.folder / f".s.PGSQL.{server.port}").rename(server.folder / "elsewhere")
    assert client.cancel() == []
    assert client.is_silent(0.1)
    (server.folder / "elsewhere").rename(server.folder / f".s.PGSQL.{server.port}")
    client.cancel()
    assert sqlstate(client.read_until_ready()) == "57014"
    client.send(SLEEP)
    wait_until_running(server, "pg_sleep", database=daemon.databases["bench"])
    server.kill()
    client.read_until_closed()
    assert send_cancel(daemon, *key_of(client)) == []
    server.start()


def test_a_cancel_during_the_reset_does_nothing_to_anybody(tidepool, postgres):
    daemon = of_one(tidepool, reset="select pg_sleep(0.3); deallocate all", reset_timeout="10s")
    client = daemon.wire("bench")
    server, key = backend_of(client), key_of(client)
    client.terminate()
    wait_until_running(postgres, "pg_sleep(0.3)", database=daemon.databases["bench"])
    send_cancel(daemon, *key)
    with daemon.wire("bench") as following:
        assert backend_of(following) == server


def test_a_long_key_is_what_libpq_18_sends(tidepool, postgres):
    psycopg = pytest.importorskip("psycopg")
    if psycopg.pq.version() < 180000:
        conninfo = {}                                            # the raw client has shown long keys already
    else:
        conninfo = {"max_protocol_version": "3.2"}
    daemon = of_one(tidepool)
    with daemon.connect("bench", **conninfo) as connection:
        failed = []

        def sleep():
            try:
                connection.execute("select pg_sleep(600)")
            except psycopg.errors.QueryCanceled as error:
                failed.append(error)
        thread = threading.Thread(target=sleep)
        thread.start()
        wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
        connection.cancel_safe(timeout=10)
        thread.join()
        assert len(failed) == 1
        assert connection.execute("select 42").fetchone() == (42,)


def test_a_cancel_in_a_copy_or_a_transaction_leaves_what_postgresql_would_leave(tidepool, postgres):
    daemon = of_one(tidepool)
    client = daemon.wire("bench")
    client.ask("create table t(a int)")
    client.ask("begin; insert into t values (1)")
    client.send(SLEEP)
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    client.cancel()
    client.read_until_ready()
    assert client.status == "E"
    client.ask("rollback")
    client.send(query("copy t from stdin") + wire.copy_data("1\n"))
    client.read_until("G")
    client.cancel()
    client.send(wire.COPY_DONE)
    assert client.read_until_ready()[-1].type == "Z"
    assert client.value("select 42") == "42"
    client.terminate()
    wait_until_resting(daemon)
    holds_for(lambda: len(daemon.backends("bench")) == 1, "the server is reused", 0.1)
