"""Four workers, one pool: connections are handed from worker to worker, and max_size is exact over all of them.
These run under ThreadSanitizer too."""

import random
import threading
import time

import pytest
from harness import wire
from harness.load import Load
from harness.most_backends import MostBackends
from harness.waiting import SLOWNESS, wait_until

pytestmark = [pytest.mark.workers, pytest.mark.timeout(120)]


def unit_of_work(daemon, number, turn):
    """Connects, asks in one of several ways, leaves."""
    client = daemon.wire("bench")
    kind = (number + turn) % 4
    if kind == 0:
        assert client.value(f"select {number}") == str(number)
    elif kind == 1:
        client.send(wire.extended("select $1", [number], name="s") + wire.SYNC)
        rows = [answer.values for answer in client.read_until_ready() if answer.type == "D"]
        assert rows == [[str(number).encode()]]
    elif kind == 2:
        client.ask("begin")
        assert client.value("select set_config('application_name', 'left behind', false)") == "left behind"
        assert client.ask("commit")[-1].body == b"I"
    else:
        rows = client.rows("select g from generate_series(1, 2000) g")
        assert len(rows) == 2000
    client.terminate()


def nothing_is_left(daemon, pool="bench"):
    def is_so():
        stats = daemon.pool_stats(pool)
        return stats["pool_size"] == stats["pool_available"] and stats["requests_waiting"] == 0
    wait_until(is_so, lambda: f"every server rests: {daemon.pool_stats(pool)}", 20)


def test_two_servers_are_handed_between_four_workers_under_load(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 2, "timeout": "60s"}}, workers=4)
    with MostBackends(postgres, daemon.databases["bench"]) as backends:
        with Load(16, lambda number, turn: unit_of_work(daemon, number, turn)) as load:
            load.until(lambda: min(load.done) >= 15, "each client has done its share")
    assert backends.most <= 2, f"{backends.most} backends at once, in {backends.samples} samples"
    assert backends.samples > 10
    nothing_is_left(daemon)
    stats = daemon.pool_stats("bench")
    assert stats["requests_errors"] == 0 and stats["returns_bad"] == 0
    assert stats["requests_num"] >= sum(load.done)


def test_max_size_is_exact_while_servers_are_closed_and_dialed_all_the_time(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 3, "timeout": "60s", "reset": "close",
                                       "max_lifetime": "500ms"}}, workers=4)
    with MostBackends(postgres, daemon.databases["bench"]) as backends:
        with Load(8, lambda number, turn: unit_of_work(daemon, number, turn)) as load:
            load.until(lambda: sum(load.done) >= 150, "150 units of work")
    assert backends.most <= 3, f"{backends.most} backends at once, in {backends.samples} samples"
    nothing_is_left(daemon)
    assert daemon.pool_stats("bench")["connections_num"] >= 100


def test_max_size_is_exact_while_postgres_kills_servers(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 3, "timeout": "60s"}}, workers=4)
    database = daemon.databases["bench"]
    told = []

    def work(number, turn):
        client = daemon.wire("bench")
        try:
            assert client.value("select 42") == "42"
            client.terminate()
        except AssertionError as error:
            assert "57P01" in str(error) or "08006" in str(error), error
            told.append(number)
        except (wire.Closed, ConnectionError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                raise
            told.append(number)

    with MostBackends(postgres, database) as backends, Load(8, work) as load:
        for _ in range(15):
            before = sum(load.done)
            postgres.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database])
            load.until(lambda: sum(load.done) >= before + 8, "work goes on")
    assert backends.most <= 3, f"{backends.most} backends at once, in {backends.samples} samples"
    nothing_is_left(daemon)
    assert daemon.pool_stats("bench")["requests_errors"] == 0


def test_no_waiter_starves(tidepool):
    """One that waits may be overtaken 16 times and for 5 ms; all others are served in their order."""
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, "timeout": "60s"}}, workers=4)
    longest = [0.0] * 12

    def work(number, turn):
        client = daemon.wire("bench")
        began = time.monotonic()
        client.ask("select pg_sleep(0.002)")
        longest[number] = max(longest[number], time.monotonic() - began)
        client.terminate()

    with Load(12, work) as load:
        load.until(lambda: min(load.done) >= 20, "each client was served 20 times")
    assert max(load.done) <= 6 * min(load.done), load.done
    assert max(longest) < 5 * SLOWNESS, longest


def test_waiters_of_all_workers_are_served_in_the_order_of_their_coming(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, "timeout": "60s"}}, workers=4)
    holder = daemon.wire("bench")
    holder.ask("create table arrivals (number serial, who int)")
    clients = []
    for who in range(24):
        client = daemon.wire("bench")
        client.send(wire.query(f"insert into arrivals (who) values ({who})"))
        wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == who + 1, "it waits")
        clients.append(client)
    holder.terminate()
    for _ in clients:                                # who has been served leaves, so that the next is
        served = wait_until(lambda: next((client for client in clients if client and not client.is_silent(0.001)), None),
                            "somebody is served")
        served.read_until_ready()
        served.terminate()
        clients[clients.index(served)] = None
    with daemon.connect("bench") as connection:
        order = [row[0] for row in connection.execute("select who from arrivals order by number")]
    assert sorted(order) == list(range(24))
    assert max(abs(place - who) for place, who in enumerate(order)) <= 16, order


def test_cancels_reach_their_own_query_and_no_other_whatever_worker_they_come_in_by(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 4, "max_size": 8}}, workers=4)
    clients = [daemon.wire("bench") for _ in range(8)]
    for round_ in range(3):
        for number, client in enumerate(clients):
            client.send(wire.query(f"select pg_sleep(60), 'client {number}'"))
        wait_until(lambda: len([row for row in daemon.backends("bench") if "pg_sleep" in row["query"]
                                and row["state"] == "active"]) == 8, "all queries run")
        random.Random(round_).shuffle(clients)
        for at, client in enumerate(clients):
            client.cancel()
            answers = client.read_until_ready()
            assert [answer.fields["C"] for answer in answers if answer.type == "E"] == ["57014"]
            for other in clients[at + 1:at + 3]:
                assert other.is_silent(0.02)
    for client in clients:
        assert client.value("select 42") == "42"


def test_cancels_under_load_hit_nobody_else(tidepool, postgres):
    """Half the clients cancel themselves at random moments; the other half never sees an error."""
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 2, "timeout": "60s"}}, workers=4)
    cancelled = []

    def work(number, turn):
        if number % 2:
            return unit_of_work(daemon, number, turn)
        client = daemon.wire("bench")
        client.send(wire.query("select pg_sleep(0.01)"))
        time.sleep(random.random() * 0.02)
        client.cancel()
        answers = client.read_until_ready()
        errors = [answer.fields["C"] for answer in answers if answer.type == "E"]
        assert errors in ([], ["57014"]), errors
        cancelled.extend(errors)
        assert client.value("select 42") == "42"
        client.terminate()

    with Load(12, work) as load:
        load.until(lambda: min(load.done) >= 12, "each client has done its share")
    assert cancelled
    nothing_is_left(daemon)


def test_whatever_clients_do_the_pool_is_whole_afterwards(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 3, "timeout": "60s", "max_idle": "1s"}}, workers=4)
    database = daemon.databases["bench"]

    def polite(client):
        assert client.value("select 42") == "42"
        client.terminate()

    def vanishes_in_mid_query(client):
        client.send(wire.query("select pg_sleep(30)"))
        client.close()

    def vanishes_in_mid_batch(client):
        client.send(wire.extended("select pg_advisory_lock(7)"))
        client.close()

    def vanishes_in_a_transaction(client):
        client.ask("begin")
        client.ask("create table left_behind (a int)")
        client.close()

    def vanishes_with_half_a_message(client):
        client.send(wire.query("select 1")[:7])
        client.close()

    def terminates_without_reading(client):
        client.send(wire.query("select g from generate_series(1, 20000) g") + wire.TERMINATE)
        client.close()

    def vanishes_in_copy(client):
        client.ask("create temporary table t (a text)")
        client.send(wire.query("copy t from stdin"))
        client.read_until("G")
        client.send(wire.copy_data("x\n"))
        client.close()

    def leaves_settings(client):
        client.ask("set role pg_read_all_data")
        client.ask("set search_path = nowhere")
        client.ask("listen something")
        client.terminate()

    deeds = [polite, polite, vanishes_in_mid_query, vanishes_in_mid_batch, vanishes_in_a_transaction,
             vanishes_with_half_a_message, terminates_without_reading, vanishes_in_copy, leaves_settings]

    def work(number, turn):
        deeds[random.Random(number * 1000 + turn).randrange(len(deeds))](daemon.wire("bench"))

    with MostBackends(postgres, database) as backends:
        with Load(12, work) as load:
            load.until(lambda: sum(load.done) >= 300, "300 deeds", 90)
        nothing_is_left(daemon)
    assert backends.most <= 3, f"{backends.most} backends at once, in {backends.samples} samples"
    with daemon.connect("bench") as connection:
        asked = connection.execute("select current_user, current_setting('search_path'), to_regclass('left_behind'),"
                                   " (select count(*) from pg_locks where locktype = 'advisory'),"
                                   " (select count(*) from pg_listening_channels())").fetchone()
    assert asked == ("app", '"$user", public', None, 0, 0)
    assert [row for row in postgres.backends(database=database) if row["state"] not in ("idle",)] == []
    wait_until(lambda: not [row for row in daemon.console("SHOW CLIENTS") if row["database"] == "bench"],
               "no client is left")


def test_clients_on_four_workers_ride_over_a_restart_of_postgres(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 2, "max_size": 4, "timeout": "60s"}}, workers=4)
    told = []

    def work(number, turn):
        client = daemon.wire("bench")
        try:
            answers = client.ask("select 42", 60)
            errors = [answer.fields["C"] for answer in answers if answer.type == "E"]
            told.extend(errors)
            assert set(errors) <= {"57P01", "08006"}, errors
            client.terminate()
        except (wire.Closed, ConnectionError) as error:
            assert "57P01" in str(error) or "08006" in str(error) or "57P02" in str(error) or \
                isinstance(error, ConnectionError), error
            told.append("closed")

    with Load(12, work) as load:
        for mode in ("fast", "immediate", "fast"):
            before = sum(load.done)
            load.until(lambda: sum(load.done) >= before + 50, "work goes on")
            server.restart(mode)
        before = sum(load.done)
        load.until(lambda: sum(load.done) >= before + 100, "work goes on")
    nothing_is_left(daemon)
    assert len(told) <= 3 * 12, "only those at work were told"
    assert daemon.pool_stats("bench")["requests_errors"] == 0


def test_idle_clients_cost_no_server_and_come_back_on_any_worker(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, "timeout": "60s"}}, workers=4)
    clients = [daemon.wire("bench") for _ in range(40)]
    random.Random(1).shuffle(clients)
    for client in clients:
        assert client.value("select 42") == "42"
        client.terminate()
    assert len(daemon.backends("bench")) == 1
    assert daemon.pool_stats("bench")["connections_num"] == 1, "one server went from worker to worker"


def test_the_daemon_stops_in_good_order_under_load_on_four_workers(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 3, "timeout": "60s"}}, workers=4)

    def work(number, turn):
        try:
            unit_of_work(daemon, number, turn)
        except (wire.Closed, wire.LoginFailed, OSError, AssertionError) as error:
            if daemon.is_running() and not stopping.is_set():
                raise
            time.sleep(0.01)
            assert not isinstance(error, TimeoutError), error

    stopping = threading.Event()
    with Load(10, work) as load:
        load.until(lambda: sum(load.done) >= 50, "work goes on")
        stopping.set()
        daemon.stop()
