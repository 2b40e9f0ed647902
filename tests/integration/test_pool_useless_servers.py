"""A server that lets the pool log in and is no good at its first use is as good as down: it is dialed no more often than one that refuses,
and who waits is told why."""

import threading
import time

import pytest
from harness import fake_server as fakes
from harness import wire
from harness.waiting import SLOWNESS, wait_until
from harness.wire import Closed, LoginFailed

SECONDS = 3
# Two at once, and then one in half a second at most, while anybody waits.
MOST_LOGINS = 2 + 2 * SECONDS + 2


def hangs_up(server):
    server.log_in()
    server.read()


def hangs_up_at_rest(server):
    server.log_in()


def talks_nonsense(server):
    server.log_in()
    server.read()
    server.send(b"Z\0\0\0\1nonsense")
    server.never_answer()


def says_fatal(server):
    server.log_in()
    server.read()
    server.send(fakes.error_response("58030", "could not read the disk", severity="FATAL"))


def refuses_everything(server):
    server.log_in()
    while True:
        if server.expect("Q", "S"):
            server.send(fakes.error_response("58030", "could not read the disk"), fakes.ready())


def try_again_and_again(daemon, until, told, **startup):
    while time.monotonic() < until:
        try:
            with daemon.wire("bench", **startup) as client:
                told += [answer.fields for answer in client.ask("select 1") if answer.type == "E"]
        except LoginFailed as failure:
            told.append(failure.fields)
        except (Closed, ConnectionError, TimeoutError):
            pass


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("fault, startup, pool", [
    (hangs_up, {}, {}), (hangs_up, {"TimeZone": "Asia/Tokyo"}, {}), (hangs_up, {}, {"server_application_name": "of the pool"}),
    (hangs_up, {}, {"check": "always", "min_size": 1}), (hangs_up_at_rest, {}, {"min_size": 1}), (talks_nonsense, {}, {}),
    (says_fatal, {}, {}), (refuses_everything, {}, {"server_application_name": "of the pool"}),
    (refuses_everything, {}, {"check": "always", "min_size": 1})],
    ids=lambda value: value.__name__ if callable(value) else " ".join(f"{key}={each}" for key, each in value.items()) or "plain")
def test_a_server_that_fails_at_its_first_use_is_dialed_as_seldom_as_one_that_refuses(tidepool, fake_server, mode, fault, startup, pool):
    fake = fake_server(fault)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 2, "mode": mode, "timeout": "20s", **pool}})
    told = []
    until = time.monotonic() + SECONDS
    clients = [threading.Thread(target=try_again_and_again, args=(daemon, until, told), kwargs=startup, daemon=True) for _ in range(3)]
    for client in clients:
        client.start()
    time.sleep(max(until - time.monotonic(), 0))
    assert 2 <= len(fake.connections) <= MOST_LOGINS
    daemon.wait_for_log("server cannot be reached")
    daemon.stop()
    for client in clients:
        client.join(30 * SLOWNESS)


@pytest.mark.parametrize("startup", [{}, {"TimeZone": "Asia/Tokyo"}], ids=["at a request", "at a login"])
def test_who_waits_for_a_server_that_always_fails_is_told_why(tidepool, fake_server, startup):
    fake = fake_server(lambda server: (server.log_in(), server.expect("P")))
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1, "timeout": "1500ms",
                                       "server_application_name": "of the pool", "mode": "transaction"}})
    with daemon.wire() as client:
        try:
            client.log_in(database="bench", **startup)
            told = client.error("select 1")
        except LoginFailed as failure:
            told = failure.fields
        assert told["C"] == "53300" and "closed the connection" in told["D"]


def test_a_server_that_mends_is_used_again(tidepool, fake_server):
    broken = []

    def script(server):
        server.log_in()
        if broken:
            return server.read()
        server.serve()

    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 2}})
    broken.append(True)
    for _ in range(2):
        with daemon.wire("bench") as client:
            client.send(wire.query("select 1"))
            client.read_until_closed()
    daemon.wait_for_log("server cannot be reached")
    broken.clear()
    clients = [daemon.wire("bench") for _ in range(2)]
    for client in clients:
        client.send(wire.query("select 1"))
    for client in clients:
        assert client.read_until_ready()[-2].type == "C"
    daemon.wait_for_log("server is reached again")
    wait_until(lambda: daemon.pool_stats("bench")["pool_size"] == 2, "both have servers")


def test_one_that_is_terminated_at_its_first_use_is_replaced_at_once(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1}})
    for _ in range(3):
        victim = daemon.wire("bench")
        victim.send(wire.query("select pg_terminate_backend(pg_backend_pid())"))
        assert victim.read_until_closed()[-1].fields["C"] == "57P01"
        with daemon.wire("bench") as other:
            assert other.value("select 42") == "42"
            other.terminate()
        daemon.console("reconnect bench")
    assert "cannot be reached" not in daemon.log()
