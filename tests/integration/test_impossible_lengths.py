"""A message says its own length, of which four bytes are the length itself. Who says less has lost its place, and is hung up on at once,
whatever its session is doing: nothing more has to come before that is seen."""

import contextlib
import struct

import pytest
from harness import wire
from harness.sessions import wait_until_waiting
from harness.shared_servers import transaction_pool
from harness.waiting import wait_until

LENGTHS = [0, 1, 2, 3]
KINDS = "QPS"


def header(length, kind="Q"):
    return kind.encode() + struct.pack("!I", length)


def is_hung_up_on(client):
    """Without one byte more, and long before any time limit."""
    told = client.read_until_closed(timeout=5)
    client.close()
    return all(answer.type in "ERSKZNTDC123" for answer in told)


@pytest.mark.parametrize("length", LENGTHS)
def test_before_and_in_a_login(tidepool, length):
    daemon = tidepool(users={"app": {"password": "a word"}}, pools={"bench": {"auth": "password", "users": ["app"]}})
    for before in (b"", wire.SSL_REQUEST, wire.GSSENC_REQUEST):
        client = daemon.wire()
        if before:
            client.send(before)
            assert client.read_bytes(1) == b"N"
        client.send(struct.pack("!I", length))
        assert is_hung_up_on(client)
    client = daemon.wire()
    client.send(wire.startup(user="app", database="bench"))
    client.read_until("R")
    client.send(header(length, "p"))
    assert is_hung_up_on(client)
    client = daemon.wire("bench", password="a word")
    client.send(header(length))
    assert is_hung_up_on(client)


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("length", LENGTHS)
def test_with_and_without_a_server(tidepool, mode, length):
    daemon = tidepool(pools=transaction_pool(2, mode=mode))
    for kind in KINDS:
        for before in (b"", wire.query("begin"), wire.query("select 1"), wire.extended("select 1") + wire.SYNC, wire.query("listen here")):
            client = daemon.wire("bench")
            client.send(before)
            if before:
                client.read_until_ready()
            client.send(header(length, kind))
            assert is_hung_up_on(client)
        for before in (wire.parse("select 1"), wire.parse("select 1") + wire.FLUSH, wire.query("select 1"), wire.query("select 1") * 2):
            client = daemon.wire("bench")
            client.send(before + header(length, kind))
            assert is_hung_up_on(client)


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("length", LENGTHS)
def test_behind_a_request_that_waits_for_a_server_or_runs(tidepool, mode, length):
    daemon = tidepool(pools=transaction_pool(1, mode=mode))
    holder = daemon.wire("bench")
    holder.ask("begin")
    for pause in (True, False):
        waiting = daemon.wire("bench")
        waiting.send(wire.query("select 1") + (b"" if pause else header(length)))
        if pause:
            wait_until_waiting(daemon)
            waiting.send(header(length))
        assert is_hung_up_on(waiting)
    holder.send(wire.query("select pg_sleep(60)") + header(length))
    assert is_hung_up_on(holder)
    with daemon.wire("bench") as other:
        assert other.value("select 42") == "42"


@pytest.mark.parametrize("length", LENGTHS)
def test_while_its_login_waits_for_a_server(tidepool, fake_server, length):
    fake = fake_server(lambda server: (server.read_startup(), server.never_answer()))
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1}})
    for pause in (True, False):
        client = daemon.wire()
        client.send(wire.startup(user="app", database="bench") + (b"" if pause else header(length)))
        if pause:
            wait_until_waiting(daemon)
            client.send(header(length))
        assert is_hung_up_on(client)


@pytest.mark.parametrize("length", LENGTHS)
def test_in_a_request_that_is_refused(tidepool, length):
    daemon = tidepool(pools=transaction_pool(1, timeout="100ms"))
    holder = daemon.wire("bench")
    holder.ask("begin")
    client = daemon.wire("bench")
    client.send(wire.extended("select 1"))
    assert client.read_until("E")[-1].fields["C"] == "53300"
    client.send(header(length))
    assert is_hung_up_on(client)


@pytest.mark.parametrize("length", LENGTHS)
def test_while_its_server_is_asked_or_set(tidepool, fake_server, length):
    """The request has travelled behind its client's settings, which the server does not answer."""
    def script(server):
        server.log_in()
        server.expect("P")
        server.never_answer()

    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1, "mode": "transaction",
                                       "server_application_name": "of the pool"}})
    client = daemon.wire("bench")
    client.send(wire.query("select 1"))
    wait_until(lambda: any(got.type == "P" for connection in fake.connections for got in connection.received), "the settings have come")
    client.send(header(length))
    assert is_hung_up_on(client)


@pytest.mark.parametrize("length", LENGTHS)
def test_at_the_console(tidepool, length):
    daemon = tidepool()
    for before in (b"", wire.query("show version"), wire.query("show pools"), wire.query("show pools") * 3, wire.parse("show pools")):
        client = daemon.wire("tidepool")
        client.send(before + header(length))
        assert is_hung_up_on(client)


@pytest.mark.parametrize("length", LENGTHS)
def test_behind_a_cancel_request(tidepool, fake_server, length):
    """A server that does not close the cancel's connection holds it; the sender is hung up on all the same."""
    fake = fake_server(lambda server: (server.log_in(), server.expect("Q"), server.never_answer()))
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1}})
    client = daemon.wire("bench")
    client.send(wire.query("select 1"))
    wait_until(lambda: any(got.type == "Q" for connection in fake.connections for got in connection.received), "the query runs")
    canceller = daemon.wire()
    canceller.send(wire.cancel_request(client.process_id, client.key))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):    # its cancel is through already
        canceller.send(header(length))
    assert is_hung_up_on(canceller)
