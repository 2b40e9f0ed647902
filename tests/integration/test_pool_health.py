"""Servers that die, hang or are in doubt while they rest: no client is ever given one."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from harness import fake_server as fakes
from harness import wire
from harness.proxy import Proxy
from harness.waiting import SLOWNESS, wait_until


def pid_of(connection):
    return connection.execute("select pg_backend_pid()").fetchone()[0]


def resting(daemon, count, timeout=10):
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == count, f"{count} servers rest", timeout)


def is_stopped(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def freeze(pids):
    """SIGSTOP: the kernel keeps the connection, nobody answers."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(is_stopped(pid) for pid in pids), "they are frozen")


# A server that the kernel knows to be dead


@pytest.mark.parametrize("check", ["never", "30s", "always"])
def test_a_resting_server_that_was_terminated_is_never_handed_out(tidepool, postgres, check):
    daemon = tidepool(pools={"bench": {"min_size": 3, "check": check}})
    resting(daemon, 3)
    knows_nothing = daemon.connect("bench")            # logged in, holds no server
    for _ in range(5):
        postgres.terminate(database=daemon.databases["bench"])
        with daemon.connect("bench") as one, daemon.connect("bench") as two:
            assert pid_of(one) != pid_of(two)
    assert pid_of(knows_nothing)
    stats = daemon.pool_stats("bench")
    assert stats["connections_lost"] > 0 and stats["requests_errors"] == 0


def test_a_resting_server_that_was_killed_is_never_handed_out(tidepool, new_postgres):
    """kill -9 of one backend: PostgreSQL ends all others and recovers; until then it says 57P03."""
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 3, "check": "never"}})
    for _ in range(3):
        resting(daemon, 3)
        client = daemon.connect("bench")
        pids = [row["remote_pid"] for row in daemon.console("SHOW SERVERS")]
        os.kill(pids[0], signal.SIGKILL)
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "PostgreSQL has ended them all")
        assert pid_of(client)
        client.close()
    assert daemon.pool_stats("bench")["requests_errors"] == 0


def test_a_client_in_mid_query_is_told_of_its_servers_end_in_the_servers_words(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 2}})
    busy, idle = daemon.wire("bench"), daemon.wire("bench")
    busy.send(wire.query("select pg_sleep(60)"))
    wait_until(lambda: any("pg_sleep" in row["query"] for row in daemon.backends("bench")), "the query runs")
    postgres.terminate(database=daemon.databases["bench"])
    answers = busy.read_until_closed()
    assert answers[-1].type == "E" and answers[-1].fields["C"] == "57P01" and answers[-1].fields["S"] == "FATAL"
    assert [answer.type for answer in answers].count("E") == 1
    assert idle.value("select 42") == "42"


def test_a_client_in_mid_query_is_told_08006_when_its_server_ends_without_a_word(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1}})
    busy = daemon.wire("bench")
    pid = int(busy.value("select pg_backend_pid()"))
    busy.send(wire.query("select pg_sleep(60)"))
    wait_until(lambda: any("pg_sleep" in row["query"] for row in daemon.backends("bench")), "the query runs")
    os.kill(pid, signal.SIGKILL)
    answers = busy.read_until_closed()
    assert [answer.type for answer in answers] == ["E"]
    assert answers[0].fields["C"] == "08006" and answers[0].fields["S"] == "FATAL"


def test_a_client_that_holds_a_server_between_its_queries_is_told_and_others_notice_nothing(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 2}})
    with daemon.connect("bench") as other:
        holder = daemon.wire("bench")
        holder.ask("begin")
        postgres.terminate(database=daemon.databases["bench"])
        assert holder.read_until_closed()[-1].fields["C"] == "57P01"
        assert pid_of(other)


def test_fact_05_a_server_ended_by_idle_session_timeout_costs_no_client_anything(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 2, "check": "never"}})
    with daemon.connect("bench") as connection:
        connection.execute("set idle_session_timeout = '30ms'")
        end = time.monotonic() + 1
    while time.monotonic() < end:
        with daemon.connect("bench") as connection:
            assert connection.execute("show idle_session_timeout").fetchone() == ("0",)
    postgres.execute(f"alter database {daemon.databases['bench']} set idle_session_timeout = '20ms'")
    daemon.console("RECONNECT bench")
    for _ in range(30):
        with daemon.connect("bench") as connection:
            assert pid_of(connection)
            time.sleep(0.02)


# Checks


class Notebook:
    """A script for fake servers that notes the SQL of each simple query, and answers check() to the pool's check."""

    def __init__(self, check_query="", answer=None):
        self.queries = []
        self.check_query = check_query
        self.answer = answer
        self.usual = fakes.message("I") + fakes.ready()

    def __call__(self, server):
        server.log_in()
        server.serve({self.check_query: self.note})

    def note(self, server):
        self.queries.append(server.process_id)
        return self.answer(server) if self.answer else self.usual


def ask_once(daemon):
    with daemon.wire("bench") as client:
        client.ask("x")
        client.terminate()
    resting(daemon, 1)


def test_check_never_asks_nothing(tidepool, fake_server):
    notebook = Notebook()
    fake = fake_server(notebook)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 1, "check": "never"}})
    for _ in range(5):
        ask_once(daemon)
    assert notebook.queries == []


def test_check_always_asks_in_front_of_every_use_but_the_first(tidepool, fake_server):
    notebook = Notebook()
    fake = fake_server(notebook)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1, "check": "always"}})
    client = daemon.wire("bench")
    asked_by_login = len(notebook.queries)
    client.ask("x")
    client.terminate()
    resting(daemon, 1)
    before = len(notebook.queries)
    assert before <= asked_by_login + 1
    for _ in range(5):
        ask_once(daemon)
    assert len(notebook.queries) == before + 5


def test_check_asks_what_has_rested_for_so_long_and_only_that(tidepool, fake_server):
    notebook = Notebook()
    fake = fake_server(notebook)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 1, "check": f"{2 * SLOWNESS}s"}})
    for _ in range(3):
        ask_once(daemon)
    assert len(notebook.queries) == 0
    time.sleep(2 * SLOWNESS + 0.1)
    ask_once(daemon)
    ask_once(daemon)
    assert len(notebook.queries) == 1
    assert len(fake.connections) == 1


def test_check_query_is_what_is_asked(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1, "check": "always",
                                       "check_query": "insert into asked values (pg_backend_pid())"}})
    database = daemon.databases["bench"]
    with postgres.connect(database) as owner:
        owner.execute("create table asked (pid int); grant all on asked to app")
        for _ in range(3):
            with daemon.connect("bench") as connection:
                pid = pid_of(connection)
            resting(daemon, 1)
        assert (pid,) in owner.execute("select pid from asked").fetchall()


def test_a_server_whose_check_fails_is_closed_and_the_client_gets_another(tidepool, fake_server):
    refusing = set()

    def answer(server):
        if server.process_id in refusing:
            return fakes.error_response("57014", "not now") + fakes.ready()
        return fakes.message("I") + fakes.ready()

    fake = fake_server(Notebook(answer=answer))
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 1, "check": "always"}})
    ask_once(daemon)
    refusing.add(fake.connections[0].process_id)
    ask_once(daemon)
    assert len(fake.connections) >= 2
    stats = daemon.pool_stats("bench")
    assert stats["connections_lost"] == 1 and stats["requests_errors"] == 0


@pytest.mark.parametrize("answer", [
    fakes.row_description("a") + fakes.data_row("1") + fakes.complete("SELECT 1") + fakes.ready("T"),
    fakes.message("G", b"\0\0\0"),
    fakes.message("Z", b"I")[:3] + b"\xff\xff\xff\xff",
], ids=["a transaction stays open", "COPY", "garbage"])
def test_a_server_whose_check_leaves_it_otherwise_than_idle_is_closed(tidepool, fake_server, answer):
    first = []

    def script(server):
        first.append(server)
        server.log_in()
        server.serve({"": (lambda _: answer) if server is first[0] else fakes.message("I") + fakes.ready()})

    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 1, "max_size": 2, "check": "always",
                                       "check_timeout": "1s"}})
    ask_once(daemon)
    with daemon.wire("bench") as client:
        assert client.ask("x")[-1].type == "Z"
        client.terminate()
    wait_until(lambda: daemon.pool_stats("bench")["connections_lost"] == 1, "it is given up")


# Servers that do not answer


def test_a_frozen_server_is_found_by_its_check_and_the_client_is_served_by_another(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 2, "check": "always", "check_timeout": "1s"}})
    resting(daemon, 1)
    with daemon.connect("bench") as connection:
        frozen = pid_of(connection)
    resting(daemon, 1)
    freeze([frozen])
    try:
        with daemon.connect("bench") as connection:
            assert pid_of(connection) != frozen
        wait_until(lambda: daemon.pool_stats("bench")["connections_lost"] == 1, "it is given up after check_timeout")
    finally:
        os.kill(frozen, signal.SIGCONT)


def test_a_frozen_server_in_a_full_pool_is_replaced_after_check_timeout(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, "check": "always", "check_timeout": "500ms"}})
    with daemon.connect("bench") as connection:
        frozen = pid_of(connection)
    resting(daemon, 1)
    freeze([frozen])
    try:
        with daemon.connect("bench") as connection:
            assert pid_of(connection) != frozen
    finally:
        os.kill(frozen, signal.SIGCONT)


def test_many_frozen_servers_cost_a_client_one_probe_and_one_login(tidepool, postgres):
    """psycopg_pool tries one after another, and sleeps longer and longer in between."""
    daemon = tidepool(pools={"bench": {"min_size": 8, "max_size": 12, "check": "always", "check_timeout": "2s"}})
    resting(daemon, 8)
    frozen = [row["pid"] for row in daemon.backends("bench")]
    freeze(frozen)
    try:
        began = time.monotonic()
        clients = [daemon.connect("bench") for _ in range(3)]
        for client in clients:
            assert pid_of(client) not in frozen
        assert time.monotonic() - began < 6 * SLOWNESS
        wait_until(lambda: daemon.pool_stats("bench")["connections_lost"] == 8, "all eight are given up at once")
        assert time.monotonic() - began < 8 * SLOWNESS
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)


def test_after_a_restart_of_postgres_with_many_resting_servers_no_client_waits_long(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 10, "check": "30s", "timeout": "30s"}})
    resting(daemon, 10)
    logged_in = [daemon.connect("bench") for _ in range(10)]
    server.restart()
    waits, failures = [], []

    def work(client):
        began = time.monotonic()
        try:
            pid_of(client)
            waits.append(time.monotonic() - began)
        except psycopg.Error as error:
            failures.append(error)

    with ThreadPoolExecutor(len(logged_in)) as threads:
        list(threads.map(work, logged_in))
    assert not failures
    assert max(waits) < 5 * SLOWNESS


def test_servers_behind_a_broken_network_are_found_by_one_check(tidepool, postgres):
    """A firewall that forgets its connections: nothing comes back, and nobody says so."""
    with Proxy(postgres.socket_path) as proxy:
        daemon = tidepool(pools={"bench": {"conninfo": proxy.conninfo("postgres"), "min_size": 6, "max_size": 6,
                                           "check": "always", "check_timeout": "1s", "timeout": "30s"}})
        resting(daemon, 6)
        client = daemon.wire("bench")
        proxy.hold()
        client.send(wire.query("select 42"))
        assert client.is_silent(0.2)
        wait_until(lambda: daemon.pool_stats("bench")["connections_lost"] == 6, "all six are given up")
        proxy.release()
        assert client.read_until_ready(30)[1].values == [b"42"]
