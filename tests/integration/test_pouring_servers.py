"""A server that talks without end: it reports parameters of ever new names or ever longer values, or says the same again
and again while it rests. What is kept of it is bounded, and behind the bound that server is closed; nobody else notices."""

import threading

import pytest
from harness import wire
from harness.conformance import MODES
from harness.fake_server import complete, data_row, notice_response, parameter_status, ready, row_description
from harness.waiting import wait_until

MISREPORTS = "server lost: a ParameterStatus that is malformed or too long, or more than any server would"
TALKS = "server lost: more than any server would that nobody asks"
MOST = 200


def new_names():
    return (parameter_status(f"name{i}", "v" * 200) for i in range(1_000_000))


def longer_values():
    return (parameter_status("name", "v" * size) for size in range(1000, 300_000, 20_000))


def long_values():
    return (parameter_status(f"name{i}", "v" * 60_000) for i in range(1_000_000))


def one_again_and_again():
    return (parameter_status("name", "v" * 200) for _ in range(1_000_000))


def changing():
    return (parameter_status("name", f"{i}") for i in range(1_000_000))


def notices():
    return (notice_response("w" * 200) for _ in range(1_000_000))


def long_notices():
    return (notice_response("w" * 200_000) for _ in range(1_000_000))


def malformed():
    yield wire.message("S", b"name")


def pool(fake, **others):
    return {"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1, "timeout": "5s", **others}}


def works(daemon, pool="bench"):
    with daemon.wire(pool) as client:
        assert [answer.type for answer in client.ask("select 1")] == ["T", "D", "C", "Z"]
        client.terminate()


@pytest.mark.parametrize("what, reason", [
    (new_names, MISREPORTS), (longer_values, MISREPORTS), (long_values, MISREPORTS), (malformed, MISREPORTS),
    (one_again_and_again, TALKS), (changing, TALKS), (notices, TALKS), (long_notices, TALKS)])
def test_a_resting_server_that_talks_without_end_is_closed_and_nobody_else_notices(tidepool, fake_server, what, reason):
    sent = []

    def script(server):
        server.log_in()
        if server is fake.connections[0]:
            rests.wait()
            for said in what():
                server.send(said)
                sent.append(len(said))
        server.serve()
    rests = threading.Event()
    fake = fake_server(script)
    daemon = tidepool(pools={**pool(fake, min_size=1), "other": {"min_size": 1}}, workers=1)
    wait_until(lambda: daemon.pool_stats("bench").get("pool_available") == 1, "the first server rests")
    with daemon.wire("other") as other:
        assert other.value("select 42") == "42"
        rests.set()
        wait_until(lambda: reason in daemon.log(), "the first server is gone")
        assert other.value("select 42") == "42"
    assert sum(sent) < 8_000_000
    works(daemon)


@pytest.mark.parametrize("mode", MODES)
def test_a_lent_server_that_reports_too_much_is_not_lent_again(tidepool, fake_server, mode):
    poured = [parameter_status(f"name{i}", "v") for i in range(MOST)]
    answer = b"".join(poured) + row_description("a") + data_row("1") + complete("SELECT 1") + ready()

    def script(server):
        server.log_in()
        server.serve({"select 'pour'": answer} if server is fake.connections[0] else None)
    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake, mode=mode))
    with daemon.wire("bench") as client:
        assert len([got for got in client.ask("select 'pour'") if got.type == "S"]) == MOST, "its client is told all"
        client.terminate()
    works(daemon)
    assert len(fake.connections) == 2


@pytest.mark.parametrize("mode", MODES)
def test_as_many_parameters_as_a_server_may_report_are_told_and_it_is_lent_again(tidepool, fake_server, mode):
    def script(server):
        server.log_in({f"name{i}": "v" * 100 for i in range(150)})
        server.serve()
    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake, mode=mode))
    for _ in range(2):
        with daemon.wire("bench") as client:
            assert sum(name.startswith("name") for name in client.parameters) == 150
            assert client.value("select 1") == "1"
            client.terminate()
    assert len(fake.connections) == 1


def test_a_check_that_is_answered_by_too_many_reports_costs_the_server_alone(tidepool, fake_server):
    checked = row_description("a") + data_row("1") + complete("SELECT 1") + ready()

    def script(server):
        server.log_in()
        first = server is fake.connections[0]
        server.serve({"select 'check'": b"".join(parameter_status(f"name{i}", "v") for i in range(MOST * first)) + checked})
    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake, check="always", check_query="select 'check'"))
    for _ in range(2):
        works(daemon)
    assert len(fake.connections) == 2
    assert MISREPORTS in daemon.log()


def test_a_cleanup_that_is_answered_by_too_many_reports_costs_the_server_alone(tidepool, fake_server):
    poured = b"".join(parameter_status(f"name{i}", "v") for i in range(MOST))

    def script(server):
        server.log_in()
        first = server is fake.connections[0]
        server.serve({"listen a": complete("LISTEN") + ready(),
                      "DISCARD ALL": (poured if first else b"") + complete("DISCARD ALL") + ready()})
    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake, mode="session"))
    with daemon.wire("bench") as client:
        client.ask("listen a")
        client.terminate()
    wait_until(lambda: MISREPORTS in daemon.log(), "the first server is gone")
    works(daemon)
    assert len(fake.connections) == 2


def test_a_login_that_reports_more_than_any_server_would_fails(tidepool, fake_server):
    fake = fake_server(lambda server: server.log_in({f"name{i}": "v" for i in range(MOST)}))
    daemon = tidepool(pools=pool(fake, when_down="fail"))
    with pytest.raises(wire.LoginFailed) as failure:
        daemon.wire("bench")
    assert "reports more parameters than any server would" in str(failure.value)


@pytest.mark.parametrize("mode", MODES)
def test_what_a_client_is_told_by_many_servers_of_ever_new_names_is_bounded(tidepool, fake_server, mode):
    """Each server reports no more than it may."""
    def script(server):
        number = fake.connections.index(server)
        server.log_in()
        server.serve({"select 'pour'": b"".join(parameter_status(f"name{number}_{i}", "v" * 300) for i in range(150))
                      + row_description("a") + data_row("1") + complete("SELECT 1") + ready("I")})
    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake, mode=mode))
    with daemon.wire("bench") as client:
        for _ in range(5):
            client.ask("select 'pour'")
            if mode != "session":
                daemon.console("RECONNECT bench")
        assert client.value("select 1") == "1"
