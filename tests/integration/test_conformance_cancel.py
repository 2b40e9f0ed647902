"""Cancel (4 of the conformance list), in every mode: in each state, many at once, with the server down."""

import threading

import pytest
from harness import wire
from harness.conformance import every_mode, sqlstates, transactions
from harness.sessions import backend_of, wait_until_running, wait_until_waiting
from harness.waiting import wait_until
from harness.wire import SYNC, extended, query


def pooled(tidepool, postgres, mode, size=1, **pool):
    """A pool of so many servers, in session mode too."""
    settings = {"min_size": 0, "max_size": size, "timeout": "60s", **pool}
    if mode != "session":
        settings["mode"] = mode
    return tidepool(pools={"bench": settings})


def told(client):
    return sqlstates([(answer.type, answer.body) for answer in client.read_until_ready(30)])


@every_mode
@pytest.mark.parametrize("data", [query("select pg_sleep(600)"), extended("select pg_sleep(600)") + SYNC], ids=["simple", "extended"])
def test_a_running_query(tidepool, postgres, mode, data):
    daemon = pooled(tidepool, postgres, mode)
    client = daemon.wire("bench")
    for turn in range(3):
        client.send(data + query(f"select 'behind {turn}'"))
        wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
        client.cancel()
        assert told(client) == ["57014"]
        assert client.read_until_ready()[1].values == [f"behind {turn}".encode()]
        assert client.is_silent(0.05)


@every_mode
def test_a_query_that_waits_for_a_server(tidepool, postgres, mode):
    """The rest of its batch is skipped up to the Sync, the session goes on, and who has the server feels nothing."""
    daemon = pooled(tidepool, postgres, mode)
    holder, waiting = daemon.wire("bench"), daemon.wire("bench")
    holder.send(query("select pg_sleep(2), 'held'"))
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    waiting.send(extended("select 1") + extended("select 2") + SYNC)
    wait_until_waiting(daemon)
    waiting.cancel()
    assert told(waiting) == ["57014"]
    answers = holder.read_until_ready(30)
    assert [answer.type for answer in answers] == ["T", "D", "C", "Z"]
    holder.terminate()
    assert waiting.value("select 'goes on'") == "goes on"


@transactions
def test_idle_in_a_transaction_it_hits_nothing(tidepool, postgres, mode):
    daemon = pooled(tidepool, postgres, mode)
    client = daemon.wire("bench")
    client.ask("begin")
    for _ in range(5):
        client.cancel()
    assert client.value("select 'unharmed'") == "unharmed" and client.status == "T"
    client.ask("commit")


@every_mode
def test_after_its_query_it_hits_nobody_else(tidepool, postgres, mode):
    """The key is the client's own: the server runs another client's query by now."""
    daemon = pooled(tidepool, postgres, mode)
    first, second = daemon.wire("bench"), daemon.wire("bench")
    server = backend_of(first)
    if mode == "session":
        first.terminate()
    for _ in range(20):
        second.send(query("select pg_sleep(0.02), pg_backend_pid()"))
        with daemon.wire() as other:
            other.send(wire.cancel_request(first.process_id, first.key))
            other.read_until_closed()
        answers = second.read_until_ready()
        assert [answer.type for answer in answers] == ["T", "D", "C", "Z"]
        assert answers[1].values[1] == str(server).encode()


@every_mode
@pytest.mark.timeout(120)
def test_a_race_of_cancels_and_short_queries_shifts_no_answer(tidepool, postgres, mode):
    """A cancel hits its client's query or nothing, while another client uses the same server."""
    daemon = pooled(tidepool, postgres, mode, size=2 if mode == "session" else 1)
    client, other = daemon.wire("bench"), daemon.wire("bench")
    stop, wrong = threading.Event(), []

    def work():
        number = 0
        while not stop.is_set():
            number += 1
            answers = other.ask(f"select {number}, pg_sleep(0.001)")
            if [answer.type for answer in answers] != ["T", "D", "C", "Z"] or answers[1].values[0] != str(number).encode():
                wrong.append(list(map(str, answers)))
    thread = threading.Thread(target=work)
    thread.start()
    for number in range(100):
        client.send(query(f"select {number}, pg_sleep(0.002)"))
        client.cancel()
        answers = client.read_until_ready()
        if [answer.type for answer in answers] == ["T", "D", "C", "Z"]:
            assert answers[1].values[0] == str(number).encode()
        else:
            assert sqlstates([(answer.type, answer.body) for answer in answers]) == ["57014"]
    stop.set()
    thread.join()
    assert not wrong


@every_mode
@pytest.mark.timeout(120)
def test_many_at_once(tidepool, postgres, mode):
    daemon = pooled(tidepool, postgres, mode, size=4)
    clients = [daemon.wire("bench") for _ in range(4)]
    for client in clients:
        client.send(query("select pg_sleep(600)"))
    wait_until(lambda: sum(row["wait_event"] == "PgSleep" for row in daemon.backends("bench")) == 4, "all run")

    def storm(client):
        for _ in range(50):
            with daemon.wire() as other:
                other.send(wire.cancel_request(client.process_id, client.key))
                other.read_until_closed()
    threads = [threading.Thread(target=storm, args=[client]) for client in clients for _ in range(2)]
    for thread in threads:
        thread.start()
    for client in clients:
        assert told(client) == ["57014"]
    for thread in threads:
        thread.join()
    for client in clients:
        assert client.value("select 'goes on'") == "goes on"


@every_mode
def test_with_the_server_down(tidepool, new_postgres, mode):
    server = new_postgres()
    settings = {"min_size": 0, "max_size": 1, "timeout": "60s"} | ({} if mode == "session" else {"mode": mode})
    daemon = tidepool(server=server, pools={"bench": settings})
    client = daemon.wire("bench")
    client.ask("select 1")
    if mode == "session":
        client.terminate()
        client = daemon.wire("bench")
    server.stop("immediate")
    client.send(query("select 1"))
    client.cancel()
    answers = client.read_until("Z", "E")
    if answers[-1].type == "E" and answers[-1].fields["S"] != "FATAL":
        client.read_until_ready()
    assert answers[-1].type != "E" or answers[-1].fields["C"] in ("57014", "57P01", "57P02", "08006", "08003")
    server.start()
    with daemon.wire("bench") as following:
        assert following.value("select 'up again'") == "up again"
