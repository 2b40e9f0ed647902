"""SIGTERM drains: nobody new, sessions at work finish within drain_timeout, the others are told at once."""

import signal
import time

import pytest
from harness import wire
from harness.postgres import free_port
from harness.waiting import SLOWNESS, holds_for, wait_until
from harness.wire import WireClient

LONG = {"drain_timeout": "10min"}


def told_of_the_end(client):
    answers = client.read_until_closed()
    assert answers and answers[-1].type == "E", answers
    assert answers[-1].fields["S"] == "FATAL" and answers[-1].fields["C"] == "57P01"
    return answers


def drain(daemon):
    mark = len(daemon.log())
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_log("SIGTERM: shutting down, sessions may finish for", mark)


@pytest.mark.workers
def test_sessions_that_hold_a_server_or_wait_for_one_finish_and_the_others_are_told_at_once(tidepool):
    daemon = tidepool(workers=2, pools={"bench": {"min_size": 0, "max_size": 2}}, limits=LONG)
    idle, holder, in_transaction, waiting = [daemon.wire("bench") for _ in range(4)]
    logging_in = daemon.wire()
    logging_in.send(wire.startup(user="app", database="bench")[:10])
    holder.value("select 1")
    in_transaction.ask("begin")
    in_transaction.ask("create table kept (id int)")
    waiting.send(wire.query("select 41 + 1"))
    wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == 1, "one waits")

    drain(daemon)
    told_of_the_end(idle)
    logging_in.read_until_closed()
    assert holder.value("select 42") == "42"                    # any number of transactions
    in_transaction.ask("insert into kept values (1)")
    in_transaction.ask("commit")
    in_transaction.terminate()
    assert [message.values for message in waiting.read_until_ready() if message.type == "D"] == [[b"42"]]     # its turn came
    assert holder.value("select count(*) from kept") == "1"
    assert daemon.is_running()
    holder.terminate()
    waiting.terminate()
    assert daemon.wait() == 0
    wait_until(lambda: daemon.backends("bench") == [], "no server is left")
    assert "all sessions are over" in daemon.log() and "stopped" in daemon.log()


def test_a_waiting_client_gets_a_new_server_if_need_be(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, "reset": "close"}}, limits=LONG)
    holder, waiting = daemon.wire("bench"), daemon.wire("bench")
    holder.value("select 1")
    waiting.send(wire.query("select pg_backend_pid()"))
    wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == 1, "one waits")
    drain(daemon)
    holder.terminate()
    assert waiting.read_until_ready()[-1].type == "Z"
    waiting.terminate()
    assert daemon.wait() == 0


def test_resting_servers_are_closed_when_the_drain_begins_and_none_is_dialed_in_their_place(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 3, "max_size": 3}}, limits=LONG)
    with daemon.wire("bench") as holder:
        holder.value("select 1")
        wait_until(lambda: len(daemon.backends("bench")) == 3, "min_size is there")
        drain(daemon)
        wait_until(lambda: len(daemon.backends("bench")) == 1, "only the one that is held is left")
        holds_for(lambda: len(daemon.backends("bench")) == 1, "no server is dialed for nobody")
        assert holder.value("select 42") == "42"


def test_a_session_that_goes_idle_by_an_error_of_ours_is_told_then(tidepool):
    """It waited, got no server in time, and has nothing to finish any more."""
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, "timeout": "1s"}}, limits=LONG)
    with daemon.wire("bench") as holder:
        holder.value("select 1")
        waiting = daemon.wire("bench")
        waiting.send(wire.query("select 1"))
        wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == 1, "one waits")
        drain(daemon)
        answers = told_of_the_end(waiting)
        assert [answer.fields["C"] for answer in answers if answer.type == "E"] == ["53300", "57P01"]
        assert holder.value("select 42") == "42"


def test_at_the_end_of_drain_timeout_all_others_are_told_and_the_exit_code_is_0(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 2}}, limits={"drain_timeout": "1s"})
    holder, working, waiting = [daemon.wire("bench") for _ in range(3)]
    holder.value("select 1")
    working.send(wire.query("select pg_sleep(600)"))
    wait_until(lambda: [row for row in daemon.backends("bench") if row["state"] == "active"], "the query runs")
    waiting.send(wire.query("select 1"))
    drain(daemon)
    for client in (holder, working, waiting):
        told_of_the_end(client)
    assert daemon.wait() == 0
    assert "drain_timeout is over" in daemon.log()
    wait_until(lambda: daemon.backends("bench") == [], "what ran there was cancelled")


def test_nobody_new_gets_in_during_a_drain(tidepool):
    port = free_port()
    daemon = tidepool(start=False, limits=LONG)
    daemon.write_settings({**daemon.settings, "listen": [*daemon.settings["listen"], {"tcp": "127.0.0.1", "port": port, "auth": "trust"}]})
    daemon.start()
    with daemon.wire("bench") as holder:
        holder.value("select 1")
        drain(daemon)
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            WireClient(daemon.socket_path)
        with pytest.raises(ConnectionRefusedError):
            WireClient(("127.0.0.1", port))
        # The next one may take its place already.
        other = tidepool(start=False)
        other.write_settings({**other.settings, "listen": daemon.settings["listen"]})
        other.start()
        assert other.wire("bench").value("select 42") == "42"
        assert holder.value("select 43") == "43"
    assert daemon.wait() == 0
    assert other.socket_path.exists()


def test_a_second_signal_ends_at_once(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 2}}, limits=LONG)
    client, deaf = daemon.wire("bench"), daemon.wire("bench")
    deaf.send(wire.query("select repeat('x', 1000) from generate_series(1, 100000)"))
    wait_until(lambda: [row for row in daemon.backends("bench") if row["wait_event"] == "ClientWrite"], "the server cannot write any more")
    client.value("select 1")
    drain(daemon)
    assert client.value("select 42") == "42"
    server.pause(backends=True)                                 # nothing can be waited for
    begin = time.monotonic()
    daemon.signal(signal.SIGTERM)
    told_of_the_end(client)
    assert daemon.wait() == 0
    assert time.monotonic() - begin < 6 * SLOWNESS               # a stop of PostgreSQL's that is waited for takes 8 s
    server.resume()


def test_SIGINT_in_a_drain_ends_at_once_too(tidepool):
    daemon = tidepool(limits=LONG)
    client = daemon.wire("bench")
    client.value("select 1")
    drain(daemon)
    daemon.signal(signal.SIGINT)
    told_of_the_end(client)
    assert daemon.wait() == 0


@pytest.mark.parametrize("command", ["SHUTDOWN WAIT_FOR_CLIENTS", "SHUTDOWN WAIT_FOR_SERVERS"])
def test_the_console_can_drain_watch_and_end_it(tidepool, command):
    daemon = tidepool(limits=LONG)
    console, onlooker = daemon.wire("tidepool"), daemon.wire("tidepool")
    client = daemon.wire("bench")
    client.value("select 1")
    console.ask(command)
    daemon.wait_for_log("SHUTDOWN: shutting down, sessions may finish for 10min")
    assert client.value("select 42") == "42"
    clients = onlooker.ask("SHOW CLIENTS")
    assert sum(message.type == "D" for message in clients) == 3
    assert "57P03" in [message.fields["C"] for message in onlooker.ask("RELOAD") if message.type == "E"]
    onlooker.send(wire.query("SHUTDOWN"))
    told_of_the_end(client)
    assert daemon.wait() == 0


def test_the_console_does_not_hold_up_a_drain(tidepool):
    daemon = tidepool(limits=LONG)
    console = daemon.wire("tidepool")
    daemon.signal(signal.SIGTERM)
    told_of_the_end(console)
    assert daemon.wait() == 0


def test_a_changed_drain_timeout_counts_after_a_reload(tidepool):
    daemon = tidepool(limits=LONG)
    client = daemon.wire("bench")
    client.value("select 1")
    daemon.reload({**daemon.settings, "limits": {"drain_timeout": "1ms"}}, expect="settings reloaded")
    daemon.signal(signal.SIGTERM)
    told_of_the_end(client)
    assert daemon.wait() == 0
