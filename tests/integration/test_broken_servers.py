"""A server whose messages cannot be followed any more: a header of impossible length in each state that a server may be
in. That server is gone at once, whoever had it is told, and the next one takes its place."""

import struct
import threading

import pytest
from harness import wire
from harness.fake_server import complete, data_row, ready, row_description
from harness.waiting import wait_until
from harness.wire import extended, query

MODES = ["session", "transaction", "statement"]
# 0 to 3 are shorter than the length itself; the others are longer than any message that PostgreSQL sends.
IMPOSSIBLE = [0, 1, 2, 3, 0x40000003, 0x7FFFFFFF, 0xFFFFFFFF]
AT_ONCE = 3     # seconds; a server that is waited for to hang up by itself takes 5

pytestmark = pytest.mark.parametrize("mode", MODES)


def header(length, kind=b"D"):
    return kind + struct.pack("!I", length)


def pool(fake, mode, **others):
    return {"bench": {"conninfo": fake.conninfo(), "mode": mode, "min_size": 0, "max_size": 1, "timeout": "5s", **others}}


@pytest.mark.parametrize("length", IMPOSSIBLE)
def test_an_answer_of_impossible_length_ends_the_session_behind_what_came_before_it(tidepool, fake_server, mode, length):
    def script(server):
        server.log_in()
        server.serve({"select 'broken'": row_description("a") + header(length)})
    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake, mode))
    client = daemon.wire("bench")
    client.send(query("select 'broken'"))
    answers = client.read_until_closed()
    assert [answer.type for answer in answers] == ["T", "E"]
    assert answers[-1].fields["C"] == "08P01"
    with daemon.wire("bench") as following:     # max_size is 1: the place is free already
        assert [answer.type for answer in following.ask("select 1", timeout=AT_ONCE)] == ["T", "D", "C", "Z"]


@pytest.mark.parametrize("length", [3, 0x7FFFFFFF])
def test_an_answer_of_impossible_length_in_a_batch_ends_the_session(tidepool, fake_server, mode, length):
    def script(server):
        server.log_in()
        if server is fake.connections[0]:
            server.expect("S")
            server.send(header(length, b"1"))
            server.never_answer()
        server.serve()
    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake, mode))
    client = daemon.wire("bench")
    client.send(extended("select 1", name="" if mode == "session" else "named"), wire.SYNC)
    assert client.read_until_closed()[-1].fields["C"] == "08P01"
    with daemon.wire("bench") as following:
        assert [answer.type for answer in following.ask("select 1", timeout=AT_ONCE)] == ["T", "D", "C", "Z"]


@pytest.mark.parametrize("length", [3, 0x7FFFFFFF])
def test_a_request_whose_settings_get_an_answer_of_impossible_length_is_said_to_no_other_server(
        tidepool, fake_server, mode, length):
    def script(server):
        server.log_in()
        if server is fake.connections[0]:
            server.read()
            server.send(header(length, b"C"))
            server.never_answer()
        server.serve()
    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake, mode, min_size=1))
    fake.wait_for_connections(1)        # dialed for nobody: it has not the client's application_name
    with daemon.wire("bench", application_name="mine") as client:
        client.send(query("select 1"))
        assert client.read_until_closed()[-1].fields["C"] == "08006", "it may have run"
    with daemon.wire("bench", application_name="mine") as following:
        assert following.value("select 1") == "1"


@pytest.mark.parametrize("length", [3, 0x7FFFFFFF])
def test_a_login_with_settings_ends_in_time_if_its_servers_say_impossible_lengths(tidepool, fake_server, mode, length):
    """Once such a login hung for ever, and its server was used after it had been freed."""
    def script(server):
        server.log_in()
        server.read()
        server.send(header(length, b"1"))
        server.never_answer()
    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake, mode, timeout="500ms", max_size=2))
    for number in range(3):
        with wire.WireClient(daemon.socket_path) as client:
            client.send(wire.startup(user="app", database="bench", options=f"-c app.x={number}"), query("select 1"))
            assert client.read_until_closed()[-1].type == "E"
    assert daemon.console("SHOW POOLS")


@pytest.mark.parametrize("length", [3, 0x7FFFFFFF])
def test_a_cleanup_answered_by_an_impossible_length_costs_the_server_alone(tidepool, fake_server, mode, length):
    wrong = {}

    def script(server):
        server.log_in()
        server.serve(wrong if server is fake.connections[0] else None)
    fake = fake_server(script)
    for sql in ("DISCARD ALL", "ROLLBACK"):
        wrong[sql] = header(length, b"C")
    wrong["begin"] = complete("BEGIN") + ready("T")
    daemon = tidepool(pools=pool(fake, mode))
    client = daemon.wire("bench")
    if mode == "statement":             # a batch without its end is all that may be left there
        client.send(wire.parse("select 1"), wire.bind(), wire.execute(), wire.message("H"))
        client.read_until("C")
    else:
        client.ask("begin")
    client.terminate()
    with daemon.wire("bench") as following:
        assert [answer.type for answer in following.ask("select 1", timeout=AT_ONCE)] == ["T", "D", "C", "Z"]


@pytest.mark.parametrize("length", [3, 0x7FFFFFFF])
def test_a_check_answered_by_an_impossible_length_costs_the_server_alone(tidepool, fake_server, mode, length):
    def script(server):
        server.log_in()
        server.serve({"select 'check'": header(length) if server is fake.connections[0] else
                      row_description("a") + data_row("1") + complete("SELECT 1") + ready()})
    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake, mode, check="always", check_query="select 'check'"))
    for _ in range(2):
        with daemon.wire("bench") as client:
            assert [answer.type for answer in client.ask("select 1", timeout=AT_ONCE)] == ["T", "D", "C", "Z"]
            client.terminate()
    assert len(fake.connections) == 2


@pytest.mark.parametrize("length", [3, 0x7FFFFFFF])
def test_a_resting_server_that_says_an_impossible_length_is_gone_at_once(tidepool, fake_server, mode, length):
    def script(server):
        server.log_in()
        if server is fake.connections[0]:
            rests.wait()
            server.send(header(length, b"N"))
            server.never_answer()
        server.serve()
    rests = threading.Event()
    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake, mode, min_size=1))
    wait_until(lambda: "server logged in" in daemon.log(), "the first server rests")
    rests.set()
    wait_until(lambda: "a message of impossible length" in daemon.log(), "the first server is gone")
    with daemon.wire("bench") as client:
        assert [answer.type for answer in client.ask("select 1", timeout=AT_ONCE)] == ["T", "D", "C", "Z"]
