"""Much data: constant memory, back-pressure both ways, and nobody starves beside it."""

import threading
import time

import pytest
from harness import wire
from harness.daemon import CONSTANT_MEMORY
from harness.sessions import backend_of, directly
from harness.waiting import wait_until
from harness.wire import COPY_DONE, SYNC, bind, copy_data, execute, parse, query

MB = 1 << 20


def drain(client, until=b"Z"):
    """Reads and counts, keeping nothing, up to the next ReadyForQuery; returns (bytes, types with bodies below 200)."""
    total, small = 0, []
    while True:
        head = client.read_bytes(5)
        left = int.from_bytes(head[1:], "big") - 4
        total += 5 + left
        if left < 200:
            small.append((chr(head[0]), client.read_bytes(left)))
            if head[:1] == until:
                return total, small
            continue
        taken = min(left, len(client._buffer))
        client._buffer = client._buffer[taken:]
        left -= taken
        while left:
            data = client.socket.recv(min(left, 1 << 20))
            assert data, "the daemon hung up"
            left -= len(data)


class Peak:
    """The most memory that the daemon had while the block ran, above what it had before."""

    def __init__(self, daemon):
        self.daemon, self.grown = daemon, 0
        self._before = daemon.resident_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._over.wait(0.01):
            self.grown = max(self.grown, self.daemon.resident_bytes() - self._before)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


@pytest.fixture
def daemon(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 3}})
    daemon.wire("bench").ask("create table t(a text)")
    return daemon


@pytest.mark.timeout(180)
def test_a_row_of_a_hundred_megabytes_passes_at_constant_memory(daemon):
    client = daemon.wire("bench")
    client.timeout = 120
    with Peak(daemon) as peak:
        client.send(query("select repeat('Z', 100 * 1024 * 1024)"))
        total, _ = drain(client)
    assert total > 100 * MB and peak.grown < CONSTANT_MEMORY
    assert client.value("select 42") == "42"


@pytest.mark.timeout(180)
def test_a_parameter_of_a_hundred_megabytes_passes_at_constant_memory(daemon):
    client = daemon.wire("bench")
    client.timeout = 120
    with Peak(daemon) as peak:
        client.send(parse("select length($1)") + bind(["x" * 100 * MB]) + execute() + SYNC)
        answers = client.read_until_ready()
    assert [answer.type for answer in answers] == ["1", "2", "D", "C", "Z"]
    assert answers[2].values == [str(100 * MB).encode()] and peak.grown < CONSTANT_MEMORY


@pytest.mark.timeout(180)
def test_a_first_message_of_a_hundred_megabytes_waits_for_its_server_at_constant_memory(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, "timeout": "60s"}})
    holder = daemon.wire("bench")
    holder.ask("select 1")
    client = daemon.wire("bench")
    client.timeout = 120
    data = query("select length('" + "x" * 100 * MB + "')")
    with Peak(daemon) as peak:
        sender = threading.Thread(target=client.send, args=[data])
        sender.start()
        wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == 1, "it waits")
        holder.terminate()
        answers = client.read_until_ready()
        sender.join()
    assert answers[1].values == [str(100 * MB).encode()] and peak.grown < CONSTANT_MEMORY


@pytest.mark.timeout(180)
def test_copy_of_hundreds_of_megabytes_both_ways_at_constant_memory(daemon):
    client = daemon.wire("bench")
    client.timeout = 120
    client.ask("create temporary table big(a text)")
    block = copy_data(("Z" * 1023 + "\n") * 64) * 16                     # 1 MB
    with Peak(daemon) as peak:
        client.send(query("copy big from stdin"))
        client.read_until("G")
        for _ in range(200):
            client.send(block)
        client.send(COPY_DONE)
        assert b"COPY 204800" in client.read_until_ready()[0].body
        client.send(query("copy big to stdout"))
        total, small = drain(client)
    assert total > 200 * MB and ("C", b"COPY 204800\0") in small and peak.grown < CONSTANT_MEMORY


@pytest.mark.timeout(180)
def test_a_slow_reader_stops_its_server_and_costs_no_memory(daemon, postgres):
    client = daemon.wire("bench")
    client.timeout = 120
    with Peak(daemon) as peak:
        client.send(query("select repeat('x', 1000) from generate_series(1, 100000)"))
        wait_until(lambda: any(row["wait_event"] == "ClientWrite" for row in daemon.backends("bench")),
                   "the server waits for its reader")
        with daemon.wire("bench") as other:                             # others work meanwhile
            assert other.value("select 42") == "42"
        for _ in range(100):
            client.read()
            time.sleep(0.001)
        total, small = drain(client)
    assert total > 95 * MB and small[-1] == ("Z", b"I") and peak.grown < CONSTANT_MEMORY


@pytest.mark.timeout(180)
def test_a_slow_server_stops_its_writer_and_costs_no_memory(daemon, postgres):
    client = daemon.wire("bench")
    client.timeout = 120
    owner = directly(postgres, daemon.databases["bench"])
    owner.ask("begin; lock table t")                                    # the COPY's first row waits for this
    client.send(query("copy t from stdin"))
    sent, over = [], threading.Event()

    def send():
        block = copy_data(("Z" * 1023 + "\n") * 64)
        for _ in range(800):                                            # 50 MB
            client.socket.sendall(block)
            sent.append(len(block))
        client.socket.sendall(COPY_DONE)
        over.set()
    with Peak(daemon) as peak:
        writer = threading.Thread(target=send)
        writer.start()
        with daemon.wire("bench") as other:
            assert other.value("select 42") == "42"
        assert not over.wait(1) and sum(sent) < 20 * MB
        owner.ask("commit")
        assert b"COPY 51200" in client.read_until("C", timeout=120)[-1].body
        writer.join()
    assert peak.grown < CONSTANT_MEMORY


@pytest.mark.timeout(180)
def test_a_client_that_only_sends_and_one_that_reads_everything_meet_no_deadlock(daemon):
    """Answers pile up while the client goes on sending: it has to read at last, and gets everything."""
    client = daemon.wire("bench")
    client.timeout = 120
    data = query("select repeat('x', 100000)") * 500
    sender = threading.Thread(target=client.send, args=[data])
    with Peak(daemon) as peak:
        sender.start()
        time.sleep(0.3)
        for _ in range(500):
            total, _ = drain(client)
            assert total > 100_000
        sender.join()
    assert peak.grown < CONSTANT_MEMORY


@pytest.mark.timeout(180)
def test_a_flood_of_one_client_starves_nobody(daemon):
    over = threading.Event()
    flood, quiet = daemon.wire("bench"), daemon.wire("bench")
    quiet.value("select 1")
    poured = 0

    def pour():
        nonlocal poured
        flood.send(query("copy (select repeat('x', 8000) from generate_series(1, 100000) a, generate_series(1, 1000) b) to stdout"))
        while not over.is_set():
            poured += len(flood.socket.recv(1 << 20))
    thread = threading.Thread(target=pour)
    thread.start()
    try:
        wait_until(lambda: poured > MB, "it pours")
        before = poured
        for number in range(100):
            started = time.monotonic()
            assert quiet.value(f"select {number}") == str(number)
            assert time.monotonic() - started < 5
            daemon.wire("bench").close()
        wait_until(lambda: poured > before + MB, "it still pours")
    finally:
        over.set()
        thread.join()
        flood.close()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] >= 1, "the flood's server rests")


def test_a_flood_of_requests_starves_nobody(daemon):
    over = threading.Event()
    flood, quiet = daemon.wire("bench"), daemon.wire("bench")

    def pour():
        requests = query("select 1") * 2000
        while not over.is_set():
            sender = threading.Thread(target=flood.send, args=[requests])
            sender.start()
            for _ in range(2000):
                flood.read_until_ready(timeout=60)
            sender.join()
    thread = threading.Thread(target=pour)
    thread.start()
    try:
        for number in range(50):
            started = time.monotonic()
            assert quiet.value(f"select {number}") == str(number)
            assert time.monotonic() - started < 5
    finally:
        over.set()
        thread.join()


def test_a_paused_client_that_vanishes_gives_its_server_back(daemon):
    """Its answers fill every buffer, so that it is not read from: its leaving is noticed all the same."""
    client = daemon.wire("bench")
    server = backend_of(client)
    client.send(query("select repeat('x', 1000) from generate_series(1, 10000) a, generate_series(1, 1000) b"))
    wait_until(lambda: any(row["wait_event"] == "ClientWrite" for row in daemon.backends("bench")), "it is full")
    client.close()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] >= 1, "its server rests")
    assert server in [row["pid"] for row in daemon.backends("bench")]
