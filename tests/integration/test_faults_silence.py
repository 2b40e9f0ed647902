"""Half a message and silence, at every byte of a login: on the clients' side, and on PostgreSQL's."""

import struct
import threading
import time

import pytest
from harness import fake_server as fakes
from harness import wire
from harness.waiting import SLOWNESS, wait_until
from harness.wire import ScramClient, message, text

pytestmark = pytest.mark.timeout(120)


def scram_login(client, password="word"):
    """The client's side of a SCRAM login, message by message: yields what to send next, reading what comes between."""
    yield wire.startup(user="app", database="bench", application_name="x")
    client.read()
    scram = ScramClient(password)
    first = scram.first().encode()
    yield message("p", text("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first)
    yield message("p", scram.final(client.read().body[4:].decode()).encode())


def send_up_to(client, cut):
    """Sends the first `cut` bytes of a login; returns how many bytes the whole has, if that is fewer."""
    sent = 0
    for part in scram_login(client):
        client.send(part[:cut - sent])
        sent += min(len(part), cut - sent)
        if sent == cut:
            return None
    return sent


def test_a_client_that_falls_silent_at_any_byte_of_its_login_is_ended_by_login_timeout(tidepool):
    daemon = tidepool(limits={"login_timeout": "4s"}, workers=2, users={"app": {"password": "word"}},
                      pools={"bench": {"auth": "scram-sha-256", "min_size": 1, "max_size": 1}})
    with daemon.wire() as whole:
        length = send_up_to(whole, 1 << 20)
    assert length > 200
    wait_until(lambda: len(daemon.backends("bench")) == 1, "the pool is filled")
    descriptors = daemon.open_descriptors()
    silent = []
    for cut in range(length):
        silent.append(daemon.wire())
        send_up_to(silent[-1], cut)
        if cut % 20 == 0:                   # meanwhile others log in and work
            with daemon.wire() as client:
                client.log_in(database="bench", password="word")
                assert client.value("select 42") == "42"
    for cut, client in enumerate(silent):
        answers = client.read_until_closed()
        assert not any(answer.type in "ZSK" for answer in answers), f"{cut} bytes let somebody in"
        assert all(answer.fields["S"] == "FATAL" for answer in answers if answer.type == "E")
    wait_until(lambda: daemon.open_descriptors() <= descriptors, "descriptors are given back")
    assert len(daemon.backends("bench")) == 1


def test_a_client_that_vanishes_at_any_byte_of_its_login_leaves_nothing(tidepool):
    daemon = tidepool(users={"app": {"password": "word"}},
                      pools={"bench": {"auth": "scram-sha-256", "min_size": 1, "max_size": 1}})
    with daemon.wire() as whole:
        length = send_up_to(whole, 1 << 20)
    wait_until(lambda: len(daemon.backends("bench")) == 1, "the pool is filled")
    descriptors = daemon.open_descriptors()
    for cut in range(length):
        client = daemon.wire()
        send_up_to(client, cut)
        client.close()
    wait_until(lambda: daemon.open_descriptors() <= descriptors, "descriptors are given back")
    with daemon.wire() as client:
        client.log_in(database="bench", password="word")
        assert client.value("select 42") == "42"


class BreaksOff:
    """Fake servers: the first login for the database `cut_N` gets N bytes of its greeting, then silence, or the end."""

    def __init__(self, silent):
        self.silent = silent
        self.seen = set()
        self._lock = threading.Lock()
        self.greeting = message("R", struct.pack("!I", 0)) + b"".join(
            fakes.parameter_status(name, value) for name, value in list(fakes.PARAMETERS.items())[:4])
        self.greeting += message("K", struct.pack("!II", 1, 2)) + fakes.ready()

    def __call__(self, server):
        database = server.read_startup()["database"]
        with self._lock:
            is_first = database not in self.seen
            self.seen.add(database)
        if is_first:
            server.send(self.greeting, cut=int(database.removeprefix("cut_")))
            return server.never_answer() if self.silent else server.close()
        server.log_in()
        server.serve()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("silent", [True, False], ids=["falls silent", "hangs up"])
def test_a_server_that_breaks_off_at_any_byte_of_its_greeting_costs_one_dial(tidepool, fake_server, silent):
    """A pool for each byte, so that all of them hang at the same time. Each is dialed again, and its client is served."""
    script = BreaksOff(silent)
    fake = fake_server(script)
    cuts = range(len(script.greeting))
    pools = {f"cut_{cut}": {
        "conninfo": fake.conninfo(f"cut_{cut}", connect_timeout=2 * int(SLOWNESS)),
        "min_size": 0, "max_size": 1, "max_dials": 1, "timeout": "100s"} for cut in cuts}
    daemon = tidepool(pools=pools, limits={"max_dials": len(cuts), "login_timeout": "100s"}, workers=2)
    began = time.monotonic()
    clients = []
    for cut in cuts:
        clients.append(daemon.wire())
        clients[-1].send(wire.startup(user="app", database=f"cut_{cut}"))
    for cut, client in zip(cuts, clients):
        client.timeout = 60 * SLOWNESS
        client.finish_login()
        assert client.ask("x")[1].values == [b"1"], cut
        client.terminate()
    assert time.monotonic() - began < 60 * SLOWNESS, "all at once, not one after the other"
    errors = {row["pool"]: row["connections_errors"] for row in daemon.console("SHOW POOL_STATS") if row["pool"] in pools}
    assert set(errors.values()) == {1}


def test_a_client_that_falls_silent_within_any_message_of_its_session_keeps_what_is_its_own(tidepool, postgres):
    """Behind the login no limit is set unless the settings say so: whatever byte it stops at, it may go on later, and
    vanishing there runs nothing by half."""
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 4}})
    with daemon.wire("bench") as owner:
        owner.ask("create table done(a int)")
    whole = wire.query("insert into done values (1)")
    for cut in range(1, len(whole)):
        goes_on, vanishes = daemon.wire("bench"), daemon.wire("bench")
        goes_on.send(whole[:cut])
        vanishes.send(whole[:cut])
        vanishes.close()
        goes_on.send(whole[cut:])
        assert [answer.type for answer in goes_on.read_until_ready()] == ["C", "Z"]
        goes_on.terminate()
    with daemon.wire("bench") as client:
        assert client.value("select count(*) from done") == str(len(whole) - 1)
