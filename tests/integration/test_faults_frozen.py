"""PostgreSQL frozen by SIGSTOP, postmaster and backends: the kernel still accepts, nobody answers. Clients come, go, cancel
and wait; when it thaws, everything is as if it had been slow."""

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import wire
from harness.sessions import backend_of, wait_until_resting, wait_until_running, wait_until_waiting
from harness.waiting import SLOWNESS, wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def frozen(tidepool, new_postgres):
    """frozen(min_size=2): a daemon, whose `freeze()` and `thaw()` stop and continue all of PostgreSQL."""
    def start(workers=1, **pool):
        server = new_postgres()
        daemon = tidepool(server=server, pools={"bench": {"timeout": "60s", **pool}}, workers=workers)
        daemon.server = server
        daemon.freeze = lambda: server.pause(backends=True)
        daemon.thaw = server.resume
        return daemon
    return start


def answer_and_leave(client):
    values = client.read_until_ready(30)[1].values
    client.terminate()
    return values


@pytest.mark.workers
def test_clients_come_go_cancel_and_wait_while_postgresql_is_frozen(frozen):
    daemon = frozen(workers=2, min_size=2, max_size=2, notice_after=0)
    wait_until_resting(daemon, count=2)
    busy, victim = daemon.wire("bench"), daemon.wire("bench")
    busy.send(wire.query("select pg_sleep(3), 'mine'"))
    victim.send(wire.query("select pg_sleep(600)"))
    wait_until_running(daemon.server, "pg_sleep(600)")
    daemon.freeze()
    # They come: logins need no server.
    waiting = [daemon.wire("bench") for _ in range(20)]
    for number, client in enumerate(waiting):
        client.send(wire.query(f"select {number}"))
    wait_until_waiting(daemon, count=20)
    # They go, with a word and without.
    for client in waiting[10:15]:
        client.close()
    for client in waiting[15:]:
        client.terminate()
    # They cancel: who waits is answered by the daemon, who runs has to wait for PostgreSQL.
    cancelled = waiting[5:10]
    cancels = [threading.Thread(target=client.cancel) for client in [*cancelled, victim]]
    for cancel in cancels:
        cancel.start()
    for client in cancelled:
        assert next(a for a in client.read_until_ready() if a.type == "E").fields["C"] == "57014"
    # The console answers all the while.
    assert daemon.pool_stats("bench")["pool_size"] == 2
    assert busy.is_silent(0.2)
    daemon.thaw()
    for cancel in cancels:
        cancel.join()
    assert busy.read_until_ready()[1].values[1] == b"mine"
    busy.terminate()
    assert next(a for a in victim.read_until_ready() if a.type == "E").fields["C"] == "57014"
    victim.terminate()
    # Who of them is served first is for the pool to say: each reads and leaves by itself.
    with ThreadPoolExecutor(5) as readers:
        served = list(readers.map(answer_and_leave, waiting[:5]))
    assert served == [[str(number).encode()] for number in range(5)]
    for client in cancelled:
        assert client.value("select 'still here'") == "still here"
        client.terminate()
    wait_until_resting(daemon, count=2)
    assert len(daemon.backends("bench")) == 2


def test_who_waits_for_a_frozen_postgresql_is_told_after_the_pools_timeout_and_keeps_its_session(frozen):
    daemon = frozen(min_size=1, max_size=1, check="always", check_timeout="500ms", timeout="2s")
    wait_until_resting(daemon)
    clients = [daemon.wire("bench") for _ in range(5)]
    daemon.freeze()
    for client in clients:
        client.send(wire.query("select 42"))
    for client in clients:
        assert next(a for a in client.read_until_ready(20) if a.type == "E").fields["C"] == "53300"
    daemon.thaw()
    for client in clients:
        wait_until(lambda: not [a for a in client.ask("select 42", 20) if a.type == "E"], "it is served", 20, 0.1)
        client.terminate()
    wait_until(lambda: len(daemon.backends("bench")) == 1, "the frozen ones were not forgotten behind our back", 60)


def test_clients_that_vanish_in_mid_query_from_a_frozen_postgresql_leave_nothing_behind(frozen):
    daemon = frozen(min_size=3, max_size=3, reset_timeout="1s")
    wait_until_resting(daemon, count=3)
    clients = [daemon.wire("bench") for _ in range(3)]
    for client in clients:
        client.send(wire.query("begin; create table left_behind(a int); select pg_sleep(600)"))
    wait_until(lambda: sum("pg_sleep" in row["query"] for row in daemon.backends("bench")) == 3, "three queries run")
    descriptors = daemon.open_descriptors()
    daemon.freeze()
    for client in clients:
        client.close()
    wait_until(lambda: daemon.pool_stats("bench")["returns_bad"] == 3, "they are given up after reset_timeout", 40)
    daemon.thaw()
    with daemon.wire("bench") as client:
        assert client.value("select to_regclass('left_behind')") is None
    wait_until(lambda: not any("pg_sleep" in row["query"] for row in daemon.backends("bench")), "all were cancelled", 60)
    wait_until(lambda: daemon.open_descriptors() <= descriptors + 1, "descriptors are given back", 60)


def test_a_freeze_under_load_costs_time_and_nothing_else(frozen):
    daemon = frozen(workers=2, min_size=2, max_size=4, check_timeout="60s")
    stop, wrong, done = threading.Event(), [], [0] * 12

    def work(number):
        while not stop.is_set():
            with daemon.wire("bench") as client:
                client.timeout = 60 * SLOWNESS
                try:
                    if client.value(f"select '{number}.{done[number]}'") != f"{number}.{done[number]}":
                        wrong.append(number)
                except (AssertionError, OSError, EOFError) as error:
                    wrong.append(error)
                client.terminate()
            done[number] += 1

    threads = [threading.Thread(target=work, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            before = sum(done)
            wait_until(lambda: sum(done) >= before + 50 or wrong, "work goes on", 30)
            daemon.freeze()
            time.sleep(0.3)
            daemon.thaw()
    finally:
        stop.set()
        daemon.thaw()
        for thread in threads:
            thread.join()
    assert not wrong
    assert daemon.pool_stats("bench")["requests_errors"] == 0


def test_the_cancel_of_a_frozen_server_does_not_hold_up_others(frozen):
    """Cancel connections to a frozen postmaster hang; they are bounded, and other clients of the worker work on."""
    daemon = frozen(min_size=1, max_size=1)
    client = daemon.wire("bench")
    backend = backend_of(client)
    client.send(wire.query("select pg_sleep(600)"))
    wait_until_running(daemon.server, "pg_sleep(600)")
    daemon.server.pause()                               # the postmaster alone: the backend runs on
    sockets = []
    for _ in range(50):
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(daemon.socket_path))
        one.sendall(wire.cancel_request(client.process_id, client.key))
        sockets.append(one)
    for _ in range(20):
        assert daemon.pool_stats("bench")["pool_size"] == 1
    daemon.server.resume()
    answers = client.read_until_ready(30)
    assert next(a for a in answers if a.type == "E").fields["C"] == "57014"
    for one in sockets:
        one.close()
    assert backend_of(client) == backend


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("says", [lambda sql: wire.query(sql), lambda sql: wire.extended(sql) + wire.SYNC], ids=["simple", "extended"])
def test_a_request_runs_once_although_its_server_thaws_when_nobody_waits_any_more(tidepool, new_postgres, mode, says):
    """Its settings went in front of it, in one write, and were not answered. What was written runs when PostgreSQL reads it: no other server may run it too."""
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"mode": mode, "min_size": 0, "max_size": 2, "reset_timeout": "400ms", "check": "never"}})
    with server.connect(daemon.databases["bench"]) as owner:
        owner.execute("create table public.kept (a int)")
        owner.execute("grant all on public.kept to public")
    with daemon.wire("bench", application_name="first") as first:
        pid = backend_of(first)
        first.terminate()
    wait_until_resting(daemon, count=1)
    if mode == "session":
        wait_until(lambda: any(words in daemon.backends("bench")[0]["query"] for words in ("DISCARD", "pg_my_temp_schema")), "it is reset")
        wait_until_resting(daemon, count=1)
    os.kill(pid, signal.SIGSTOP)
    try:
        client = daemon.wire("bench", application_name="second")
        client.send(says("insert into public.kept values (1)"))
        last_words = client.read_until_closed()
        assert last_words[-1].fields["C"] == "08006", "nobody knows whether it has run"
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: pid not in [row["pid"] for row in daemon.backends("bench")], "it has read all that it was sent")
    with daemon.wire("bench") as other:
        assert other.value("select count(*) from public.kept") in ("0", "1")
