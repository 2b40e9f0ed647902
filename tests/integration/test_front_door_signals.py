"""SIGINT, SIGHUP, SHUTDOWN: how the daemon ends at once, and what clients are told. SIGTERM, which drains: test_service_drain.py."""

import signal
import threading
import time

import psycopg
import pytest
from harness import wire
from harness.postgres import free_port
from harness.waiting import SLOWNESS, wait_until
from harness.wire import WireClient


def told_of_the_end(client):
    answers = client.read_until_closed()
    assert answers and answers[-1].type == "E", answers
    fields = answers[-1].fields
    assert fields["S"] == "FATAL" and fields["C"] == "57P01"
    return answers


@pytest.mark.workers
@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_tells_every_client_and_ends_with_exit_code_0(tidepool, which):
    daemon = tidepool(workers=2, pools={"bench": {"min_size": 0, "max_size": 3}}, limits={"drain_timeout": 0})
    idle, working, in_transaction, has_no_server = [daemon.wire("bench") for _ in range(4)]
    idle.value("select 1")
    in_transaction.ask("begin")
    working.send(wire.query("select pg_sleep(60)"))
    wait_until(lambda: [row for row in daemon.backends("bench") if row["state"] == "active"], "the query runs")
    waiting = daemon.wire("bench")
    waiting.send(wire.query("select 1"))
    console = daemon.wire("tidepool")
    logging_in = daemon.wire()
    logging_in.send(wire.startup(user="app", database="bench")[:10])
    daemon.signal(which)
    for client in (idle, working, in_transaction, has_no_server, waiting, console):
        told_of_the_end(client)
    logging_in.read_until_closed()
    assert daemon.wait() == 0
    assert not daemon.socket_path.exists()
    wait_until(lambda: daemon.backends("bench") == [], "no backend is left behind, the one that slept neither")
    assert "stopped" in daemon.log()


def test_SHUTDOWN_in_the_console_ends_with_exit_code_0(tidepool):
    daemon = tidepool()
    with daemon.wire("bench") as client:
        client.value("select 1")
        with daemon.wire("tidepool") as console:
            console.send(wire.query("SHUTDOWN"))
            console.read_until_closed()
        told_of_the_end(client)
    assert daemon.wait() == 0


def test_a_stop_takes_a_bounded_time_even_if_postgresql_does_not_answer(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 2, "max_size": 3}})
    clients = [daemon.wire("bench") for _ in range(2)]
    for client in clients:
        client.value("select 1")
    clients[0].send(wire.query("select pg_sleep(600)"))
    wait_until(lambda: [row for row in daemon.backends("bench") if row["state"] == "active"], "the query runs")
    server.pause(backends=True)
    begin = time.monotonic()
    daemon.signal(signal.SIGINT)
    for client in clients:
        told_of_the_end(client)
    assert daemon.wait(40) == 0
    assert time.monotonic() - begin < 30 * SLOWNESS
    server.resume()


def test_a_stop_does_not_wait_for_a_dial_that_hangs(tidepool, fake_server):
    hold = threading.Event()
    fake = fake_server(lambda server: hold.wait(60))            # takes the connection and says nothing
    daemon = tidepool({"pools": {"bench": {"conninfo": fake.conninfo(), "min_size": 2, "max_size": 2}}, "workers": 1})
    wait_until(lambda: fake.connections, "a dial hangs")
    daemon.signal(signal.SIGINT)
    assert daemon.wait(40) == 0
    hold.set()


def test_a_client_that_does_not_read_does_not_hold_up_the_stop(tidepool):
    daemon = tidepool()
    client = daemon.wire("bench")
    client.send(wire.query("select repeat('x', 1000) from generate_series(1, 100000)"))
    wait_until(lambda: [row for row in daemon.backends("bench") if row["wait_event"] == "ClientWrite"], "the server cannot write any more")
    daemon.signal(signal.SIGINT)
    assert daemon.wait(40) == 0
    client.close()


def test_told_twice_it_ends_at_once(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 1}})
    client = daemon.wire("bench")
    client.value("select 1")
    server.pause(backends=True)
    client.send(wire.query("select 1"))
    begin = time.monotonic()
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_log("SIGTERM: shutting down")
    daemon.signal(signal.SIGTERM)
    assert told_of_the_end(client)
    assert daemon.wait() == 0 and time.monotonic() - begin < 10 * SLOWNESS
    assert not daemon.socket_path.exists()
    server.resume()


def test_who_comes_during_a_stop_is_refused(tidepool, new_postgres):
    server = new_postgres()
    port = free_port()
    daemon = tidepool(server=server, listen=[{"tcp": "127.0.0.1", "port": port, "auth": "trust"}], pools={"bench": {"min_size": 1, "max_size": 1}})
    client = WireClient(("127.0.0.1", port))
    client.log_in(database="bench")
    client.value("select 1")
    client.send(wire.query("select pg_sleep(60)"))
    wait_until(lambda: [row for row in daemon.backends("bench") if row["state"] == "active"], "the query runs")
    server.pause(backends=True)                     # the stop takes its time
    daemon.signal(signal.SIGINT)
    told_of_the_end(client)
    with pytest.raises((ConnectionError, psycopg.OperationalError)):
        psycopg.connect(f"host=127.0.0.1 port={port} dbname=bench user=app connect_timeout=5")
    server.resume()
    assert daemon.wait(40) == 0


def test_SIGHUP_reloads_while_clients_work(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1}})
    with daemon.wire("bench") as client:
        client.ask("begin")
        settings = {**daemon.settings, "pools": {"bench": {**daemon.settings["pools"]["bench"], "max_size": 7}}}
        daemon.reload(settings, expect="settings reloaded")
        assert client.status == "T" and client.value("select 42") == "42"
        assert daemon.pool_stats("bench")["pool_max"] == 7


def test_a_bad_file_changes_nothing_and_says_why(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 3}})
    with daemon.wire("bench") as client:
        good = daemon.settings_file.read_text()
        daemon.settings_file.write_text(good.replace("max_size: 3", "max_szie: 4") + "nonsense: 1\n")
        mark = len(daemon.log())
        daemon.reload(expect="reload refused, the old settings stay")
        log = daemon.log()[mark:]
        assert "pools.bench.max_szie: " in log and "did you mean max_size" in log and "nonsense: " in log
        assert daemon.pool_stats("bench")["pool_max"] == 3
        assert client.value("select 42") == "42"
        daemon.settings_file.unlink()               # no file at all is no better
        daemon.reload(expect="reload refused, the old settings stay")
        daemon.settings_file.write_text(good)
        daemon.settings_file.chmod(0o640)
        daemon.reload(expect="settings reloaded")


def test_what_a_reload_cannot_change_stays_and_is_said(tidepool):
    daemon = tidepool(workers=1)
    listen = [*daemon.settings["listen"], {"tcp": "127.0.0.1", "port": free_port(), "auth": "trust"}]
    mark = len(daemon.log())
    daemon.reload({**daemon.settings, "workers": 3, "listen": listen}, expect="settings reloaded")
    log = daemon.log()[mark:]
    assert "workers: stays 1 until a restart" in log and "listen: stays as it was until a restart" in log
    with daemon.wire("bench") as client:
        assert client.value("select 42") == "42"
    with pytest.raises(ConnectionRefusedError):
        WireClient(("127.0.0.1", listen[1]["port"]))


@pytest.mark.workers
def test_many_reloads_under_load_harm_nobody(tidepool):
    daemon = tidepool(workers=2, pools={"bench": {"min_size": 1, "max_size": 4}})
    stop = threading.Event()
    problems = []

    def work():
        while not stop.is_set():
            try:
                with daemon.wire("bench") as client:
                    assert client.value("select 42") == "42"
                    client.send(wire.TERMINATE)
            except Exception as problem:
                problems.append(problem)
                return

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(20):
            settings = {**daemon.settings, "pools": {"bench": {**daemon.settings["pools"]["bench"], "max_size": 2 + turn % 3}}}
            daemon.reload(settings, expect="settings reloaded")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
