"""PostgreSQL stopped, started, restarted and struck down while clients work: who is told, and how soon it is over."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import wire
from harness.load import Load
from harness.sessions import wait_until_resting
from harness.waiting import SLOWNESS, wait_until

# What PostgreSQL or the daemon says to a client whose query was under way when PostgreSQL ended.
IN_FLIGHT = {"57P01", "57P02", "08006"}


class Reconnecting:
    """Work for Load: connect, one query, disconnect; notes when each unit began and ended, and how."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.served = []                # (began, ended)
        self.failed = []                # (began, ended, SQLSTATE)

    def __call__(self, number, turn):
        began = time.monotonic()
        sqlstate = self._one_unit()
        (self.failed.append((began, time.monotonic(), sqlstate)) if sqlstate
         else self.served.append((began, time.monotonic())))

    def _one_unit(self):
        with self.daemon.wire("bench") as client:
            client.send(wire.query("select 42 from pg_sleep(0.02)"))           # long enough to be in flight
            try:
                answers = client.read_until("Z", "E")
            except (wire.Closed, ConnectionError):
                return "closed without a word"
            if answers[-1].type == "E":
                return answers[-1].fields["C"]
            assert answers[1].values == [b"42"]
            try:
                client.terminate()
            except BrokenPipeError:
                pass                    # served, and then told of PostgreSQL's end


@pytest.mark.timeout(120)
@pytest.mark.workers
def test_after_a_fast_restart_under_64_reconnecting_clients_every_failure_was_in_flight(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, workers=2, pools={"bench": {"min_size": 4, "max_size": 16, "timeout": "60s"}})
    work = Reconnecting(daemon)
    with Load(64, work) as load:
        for _ in range(3):
            before = len(work.served)
            load.until(lambda: len(work.served) >= before + 500, "work goes on")
            failures = len(work.failed)
            began = time.monotonic()
            server.stop("fast")
            stopped = time.monotonic()
            server.start()
            back = time.monotonic()
            load.until(lambda: any(end > back for _, end in work.served[-64:]), "clients are served again")
            serves = next(end for _, end in work.served if end > back)
            assert serves - back < 4 * SLOWNESS, "a probe goes out every half second"
            for start, end, sqlstate in work.failed[failures:]:
                assert start < stopped and end > began and sqlstate in IN_FLIGHT, (start, end, sqlstate, began, stopped)
            assert len(work.failed) - failures <= 16, "no more than had a server"
    assert work.failed, "nothing was in flight: this shows nothing"
    assert daemon.pool_stats("bench")["requests_errors"] == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", ["fast", "immediate", "power failure"])
def test_clients_ride_over_a_stop_and_a_start_under_load(tidepool, new_postgres, end):
    """It stays away for a while: whoever came meanwhile is served, late."""
    server = new_postgres()
    daemon = tidepool(server=server, workers=2, pools={"bench": {"min_size": 2, "max_size": 8, "timeout": "60s"}})
    work = Reconnecting(daemon)
    with Load(24, work) as load:
        load.until(lambda: len(work.served) >= 300, "work goes on")
        server.kill() if end == "power failure" else server.stop(end)
        stopped = time.monotonic()
        wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == 24,
                   lambda: f"all wait; {daemon.pool_stats('bench')} {load.failures}")
        server.start()
        before = len(work.served)
        load.until(lambda: len(work.served) >= before + 300, "work goes on")
    assert {sqlstate for _, _, sqlstate in work.failed} <= IN_FLIGHT
    assert all(began < stopped for began, _, _ in work.failed) and len(work.failed) <= 8
    assert daemon.pool_stats("bench")["requests_errors"] == 0


@pytest.mark.timeout(120)
def test_with_100_stale_connections_no_client_waits_longer_than_one_login_and_one_probe(tidepool, new_postgres):
    """All are frozen: the kernel keeps the connections, nobody answers. One probe finds it out for all of them."""
    server = new_postgres(settings={"max_connections": 260})
    probe = 2 * SLOWNESS
    daemon = tidepool(server=server, pools={"bench": {
        "min_size": 100, "max_size": 120, "max_dials": 16, "check": "always", "check_timeout": f"{probe}s"}})
    wait_until_resting(daemon, count=100)
    clients = [daemon.wire("bench") for _ in range(40)]
    frozen = [row["pid"] for row in daemon.backends("bench")]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        waits = []

        def ask(client):
            began = time.monotonic()
            assert int(client.value("select pg_backend_pid()")) not in frozen
            waits.append(time.monotonic() - began)

        with ThreadPoolExecutor(len(clients)) as threads:
            list(threads.map(ask, clients))
        assert len(waits) == 40
        # 40 probes one after the other, or 100, would take more than a minute.
        assert max(waits) < probe + 5 * SLOWNESS
        assert daemon.pool_stats("bench")["requests_errors"] == 0
        wait_until(lambda: daemon.pool_stats("bench")["connections_lost"] >= 100, "all hundred are given up")
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)


def test_100_connections_that_a_restart_ended_cost_no_client_more_than_a_login(tidepool, new_postgres):
    server = new_postgres(settings={"max_connections": 260})
    daemon = tidepool(server=server, pools={"bench": {"min_size": 100, "max_size": 100, "max_dials": 16, "check": "never"}})
    wait_until_resting(daemon, count=100)
    clients = [daemon.wire("bench") for _ in range(20)]
    server.restart()
    began = time.monotonic()
    for client in clients:
        assert client.value("select 42") == "42"
    assert time.monotonic() - began < 10 * SLOWNESS
    assert daemon.pool_stats("bench")["requests_errors"] == 0
