"""How many servers a pool has, and which of them is lent: growth, max_size, reuse, shrinking, lifetimes."""

import threading
import time

import pytest
from harness.waiting import SLOWNESS, holds_for, wait_until


def pid_of(connection):
    return connection.execute("select pg_backend_pid()").fetchone()[0]


def give_back(daemon, pool, connection):
    """Closes it and waits until its server rests, and none is being cleaned."""
    def lent():
        row, = [row for row in daemon.console("SHOW POOLS") if row["database"] == pool]
        return row["sv_active"], row["sv_tested"]
    active = lent()[0]
    connection.close()
    wait_until(lambda: lent() == (active - 1, 0), "the server rests")


def in_background(count, work):
    """Runs work(0), ..., work(count - 1) on threads of their own. What it returns waits for them, returns their
    results, and raises what they raised."""
    results, failures = [None] * count, []

    def run(number):
        try:
            results[number] = work(number)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()

    def join():
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return results

    return join


def in_parallel(count, work):
    return in_background(count, work)()


# Growth


def test_the_pool_is_filled_to_min_size_before_anyone_comes(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 3, "max_size": 5}})
    wait_until(lambda: len(daemon.backends("bench")) == 3, "min_size servers are there")
    stats = wait_until(lambda: daemon.pool_stats("bench"), "statistics")
    assert (stats["pool_min"], stats["pool_max"], stats["pool_size"]) == (3, 5, 3)
    assert stats["requests_num"] == 0 and stats["connections_num"] == 3
    holds_for(lambda: len(daemon.backends("bench")) == 3, "min_size is kept, not exceeded")


def test_min_size_is_kept_when_servers_die_though_nobody_asks(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 2}})
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 2, "min_size servers rest")
    before = {row["pid"] for row in daemon.backends("bench")}
    postgres.terminate(database=daemon.databases["bench"])
    wait_until(lambda: len(daemon.backends("bench")) == 2, "they are replaced")
    assert not before & {row["pid"] for row in daemon.backends("bench")}
    wait_until(lambda: daemon.pool_stats("bench")["connections_lost"] == 2, "both were lost at rest")


def test_a_pool_without_max_size_is_fixed(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 2, "timeout": "500ms"}})
    assert daemon.pool_stats("bench")["pool_max"] == 2
    with daemon.connect("bench") as one, daemon.connect("bench") as two, daemon.connect("bench") as three:
        assert pid_of(one) != pid_of(two)
        with pytest.raises(Exception, match="max_size 2"):
            pid_of(three)


def test_a_pool_with_min_size_0_opens_nothing_until_somebody_comes(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 3}})
    holds_for(lambda: not daemon.backends("bench"), "nothing is opened")
    with daemon.connect("bench") as connection:
        pid_of(connection)
        assert len(daemon.backends("bench")) == 1


def test_growth_meets_demand_up_to_max_size(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 6, "timeout": "1s"}})
    held = [daemon.connect("bench") for _ in range(6)]
    pids = in_parallel(6, lambda number: pid_of(held[number]))
    assert len(set(pids)) == 6
    assert sorted(pids) == sorted(row["pid"] for row in daemon.backends("bench"))
    with daemon.connect("bench") as one_more, pytest.raises(Exception, match="max_size 6"):
        pid_of(one_more)
    assert len(daemon.backends("bench")) == 6
    for connection in held:
        connection.close()


class Counted:
    """A script for fake servers: logins that wait until the gate opens, and how many were in flight at most."""

    def __init__(self):
        self.gate = threading.Event()
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __call__(self, server):
        server.read_startup()
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.gate.wait(60)
        with self.lock:
            self.now -= 1
        server.log_in()
        server.serve()


def test_dials_in_flight_are_bounded_by_the_pools_max_dials(tidepool, fake_server):
    logins = Counted()
    fake = fake_server(logins)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 8, "max_dials": 2}})
    clients = in_background(6, lambda _: daemon.psql("-c", "x", pool="bench"))
    wait_until(lambda: logins.now == 2, "two dials are in flight")
    wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == 6, "all wait")
    holds_for(lambda: logins.now == 2, "no third one")
    logins.gate.set()
    assert clients() == ["1\n"] * 6
    assert logins.most == 2


def test_dials_in_flight_are_bounded_over_all_pools(tidepool, fake_server):
    logins = Counted()
    fake = fake_server(logins)
    pool = {"conninfo": fake.conninfo(), "min_size": 3, "max_dials": 3}
    tidepool(pools={"one": pool, "two": pool}, limits={"max_dials": 2})
    wait_until(lambda: logins.now == 2, "two dials are in flight")
    holds_for(lambda: logins.now == 2, "no third one")
    logins.gate.set()
    fake.wait_for_connections(6)
    assert logins.most == 2


def test_several_dials_are_in_flight_when_several_clients_wait(tidepool, fake_server):
    """psycopg_pool grows by one at a time."""
    logins = Counted()
    fake = fake_server(logins)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 8, "max_dials": 4}})
    clients = in_background(3, lambda _: daemon.psql("-c", "x", pool="bench"))
    wait_until(lambda: logins.now == 3, "a dial for each who waits")
    holds_for(lambda: logins.now == 3, "and no more than those")
    logins.gate.set()
    assert clients() == ["1\n"] * 3


def test_a_freed_server_serves_who_waits_for_a_dial(tidepool, fake_server):
    logins = Counted()
    logins.gate.set()
    fake = fake_server(logins)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 1, "max_size": 2}})
    first = daemon.wire("bench")
    first.ask("x")
    logins.gate.clear()
    second = daemon.wire("bench")
    second.send(b"Q\0\0\0\6x\0")
    fake.wait_for_connections(2)
    assert second.is_silent(0.2)
    first.terminate()
    assert second.read_until_ready()[-1].type == "Z"
    assert logins.now == 1
    logins.gate.set()


# Reuse. Without a reset: a server that is just being cleaned, some milliseconds after its client left, is not lent.


def test_the_server_that_came_back_last_is_lent_first(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 3, "reset": "none"}})
    held = [daemon.connect("bench") for _ in range(3)]
    pids = [pid_of(connection) for connection in held]
    for connection in held:
        give_back(daemon, "bench", connection)
    with daemon.connect("bench") as one, daemon.connect("bench") as two, daemon.connect("bench") as three:
        assert [pid_of(one), pid_of(two), pid_of(three)] == pids[::-1]


def test_one_client_after_another_is_served_by_one_and_the_same_server(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 4, "reset": "none"}})
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 4, "min_size servers rest")
    used = set()
    for _ in range(20):
        connection = daemon.connect("bench")
        used.add(pid_of(connection))
        give_back(daemon, "bench", connection)
    assert len(used) == 1


def test_a_client_that_asks_nothing_takes_no_server(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, "timeout": "5s"}})
    with daemon.connect("bench"), daemon.connect("bench"), daemon.connect("bench") as third:
        assert pid_of(third)


# Shrinking


@pytest.mark.timeout(90)
def test_after_a_burst_the_pool_is_back_at_min_size_within_two_max_idle_windows(tidepool):
    max_idle = 2
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 10, "max_idle": f"{max_idle}s"}})
    held = [daemon.connect("bench") for _ in range(10)]
    assert len(set(in_parallel(10, lambda number: pid_of(held[number])))) == 10
    worker = held.pop()                      # keeps its server, and works on
    at_work = pid_of(worker)
    for connection in held:
        connection.close()
    burst_ended = time.monotonic()
    seen = []                                # pool_size over time
    while not seen or seen[-1] > 2:
        seen.append(daemon.pool_stats("bench")["pool_size"])
        assert pid_of(worker) == at_work
        assert time.monotonic() - burst_ended < (2 * max_idle + 6) * SLOWNESS, f"pool_size over time: {seen}"
        time.sleep(0.1)
    assert seen == sorted(seen, reverse=True) and min(seen) == 2, f"pool_size over time: {seen}"
    assert at_work in {row["pid"] for row in daemon.backends("bench")}
    worker.close()
    holds_for(lambda: daemon.pool_stats("bench")["pool_size"] == 2, "min_size is kept", max_idle + 1, 0.2)
    assert len(daemon.backends("bench")) == 2


def test_servers_that_are_needed_in_each_window_stay(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 4, "max_idle": "2s"}})
    end = time.monotonic() + 7
    pids = set()
    while time.monotonic() < end:            # three at once, again and again
        held = [daemon.connect("bench") for _ in range(3)]
        pids.update(pid_of(connection) for connection in held)
        for connection in held:
            give_back(daemon, "bench", connection)
    assert len(pids) == 3


@pytest.mark.timeout(90)
def test_min_size_0_max_size_1_max_idle_5s_the_connection_goes_some_seconds_after_the_last_use_and_is_back_at_the_next(
        tidepool):
    """What psycopg_pool's users asked SQLAlchemy for."""
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, "max_idle": "5s"}})
    with daemon.connect("bench") as connection:
        first = pid_of(connection)
    with daemon.connect("bench") as connection:
        assert pid_of(connection) == first
    wait_until(lambda: not daemon.backends("bench"), "the connection is gone some seconds later", 20)
    wait_until(lambda: daemon.pool_stats("bench")["pool_size"] == 0, "it does not count any more")
    holds_for(lambda: not daemon.backends("bench"), "and nothing brings it back by itself", 1, 0.1)
    with daemon.connect("bench") as connection:
        assert pid_of(connection) != first
        assert len(daemon.backends("bench")) == 1
    wait_until(lambda: not daemon.backends("bench"), "and it goes again", 20)


# Lifetime


def test_max_lifetime_ends_connections_that_rest(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_lifetime": "2s"}})
    wait_until(lambda: len(daemon.backends("bench")) == 2, "min_size servers are there")
    before = {row["pid"] for row in daemon.backends("bench")}
    wait_until(lambda: not before & {row["pid"] for row in daemon.backends("bench")}, "both are replaced")
    wait_until(lambda: len(daemon.backends("bench")) == 2, "min_size is kept")
    assert daemon.pool_stats("bench")["connections_lost"] == 0


def test_max_lifetime_spares_a_connection_at_work_and_ends_it_when_it_comes_back(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_lifetime": "1s"}})
    with daemon.connect("bench") as connection:
        pid = pid_of(connection)
        holds_for(lambda: pid_of(connection) == pid, "it stays with its client", 2)
    wait_until(lambda: pid not in {row["pid"] for row in daemon.backends("bench")}, "it is closed afterwards")
    with daemon.connect("bench") as connection:
        assert pid_of(connection) != pid


def test_a_pool_that_lives_by_short_lifetimes_loses_no_request(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_lifetime": "200ms"}})
    pids = set()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        with daemon.connect("bench") as connection:
            pids.add(pid_of(connection))
        assert len(daemon.backends("bench")) <= 2
    assert len(pids) > 3
    assert daemon.pool_stats("bench")["requests_errors"] == 0


def pids_of_pool(daemon, postgres):
    return {backend["pid"] for backend in postgres.backends(database=daemon.databases["bench"])}


def sessions(daemon, names):
    for name in names:
        with daemon.connect("bench", application_name=name) as connection:
            assert connection.execute("show application_name").fetchone()[0] == name


def test_servers_dialed_before_any_client_came_are_replaced_by_some_that_have_the_clients_application_name(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 2}})
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 2, "both rest")
    unnamed = pids_of_pool(daemon, postgres)
    for _ in range(4):
        sessions(daemon, ["shop"] * 70)
        wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 2, "both rest")
    stats = daemon.pool_stats("bench")
    assert stats["connections_num"] in (3, 4), "those in use were replaced, each once"
    assert (stats["returns_bad"], stats["connections_lost"]) == (0, 0)
    assert len(unnamed & pids_of_pool(daemon, postgres)) == 4 - stats["connections_num"]


@pytest.mark.parametrize("min_size", [0, 1], ids=["a server of the first name", "a server without a name"])
def test_clients_of_many_application_names_share_servers_without_replacing_them(tidepool, min_size):
    daemon = tidepool(pools={"bench": {"min_size": min_size, "max_size": 1}})
    if min_size > 0:
        wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 1, "it rests")
    sessions(daemon, ["shop", "report"] * 70)
    assert daemon.pool_stats("bench")["connections_num"] == 1


def test_a_name_that_postgresql_writes_otherwise_replaces_no_server(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    for _ in range(200):
        with daemon.connect("bench", application_name="café") as connection:
            assert connection.execute("show application_name").fetchone()[0].startswith("caf")
    assert daemon.pool_stats("bench")["connections_num"] <= 2
