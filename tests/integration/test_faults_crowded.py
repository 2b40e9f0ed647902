"""PostgreSQL has no room for another connection, or is another than it was."""

import threading
import time

import pytest
from harness import fake_server as fakes
from harness import wire
from harness.load import Load
from harness.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


class FullHouse:
    """Fake servers: so many logins are let in, further ones are refused as a full PostgreSQL refuses them."""

    def __init__(self, room):
        self.room, self.inside, self.refused = room, 0, []
        self._lock = threading.Lock()

    def __call__(self, server):
        server.read_startup()
        with self._lock:
            is_full = self.inside >= self.room
            self.inside += not is_full
        if is_full:
            self.refused.append(time.monotonic())
            server.refuse("53300", "sorry, too many clients already")
            return
        try:
            server.log_in()
            server.serve()
        finally:
            with self._lock:
                self.inside -= 1


def test_a_pool_that_gets_no_more_connections_serves_everybody_with_those_it_has_and_asks_seldom(tidepool, fake_server):
    house = FullHouse(room=2)
    fake = fake_server(house)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 20, "timeout": "60s"}})

    def work(number, turn):
        with daemon.wire("bench") as client:
            assert client.ask("x")[1].values == [b"1"]
            client.terminate()

    work(0, 0)                  # one is in: from now on a refusal is no outage
    began = time.monotonic()
    with Load(20, work) as load:
        load.until(lambda: time.monotonic() - began > 3 and sum(load.done) > 500, "work goes on")
    seconds = time.monotonic() - began
    # Hundreds of clients found no server free. A probe each half second is what they may cost PostgreSQL.
    assert house.refused and len(house.refused) < 3 + 3 * seconds
    assert daemon.pool_stats("bench")["requests_errors"] == 0
    assert "server cannot be reached" not in daemon.log()
    # There is room again: the pool grows.
    house.room = 20
    clients = [daemon.wire("bench") for _ in range(8)]
    for client in clients:
        client.send(wire.query("x"))
    for client in clients:
        assert client.read_until_ready(30)[1].values == [b"1"]


def test_clients_of_a_real_full_house_wait_and_are_served(tidepool, new_postgres):
    server = new_postgres(settings={"max_connections": 8, "superuser_reserved_connections": 3})
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 50, "max_dials": 16, "timeout": "60s"}})

    def work(number, turn):
        with daemon.wire("bench") as client:
            assert client.value("select 42 from pg_sleep(0.005)") == "42"
            client.terminate()

    with Load(30, work) as load:
        load.until(lambda: sum(load.done) >= 300 and daemon.pool_stats("bench")["connections_errors"] > 0, "all are served")
    stats = daemon.pool_stats("bench")
    assert stats["requests_errors"] == 0 and stats["connections_errors"] > 0
    assert stats["pool_size"] <= 5


def test_a_house_that_is_full_from_the_start_lets_clients_wait_for_the_pools_timeout_and_says_why(tidepool, new_postgres):
    server = new_postgres(settings={"max_connections": 5, "superuser_reserved_connections": 3})
    with server.connect("postgres", "app"):
        daemon = tidepool(server=server, pools={"bench": {"min_size": 0, "max_size": 2, "timeout": "2s"}})
        with daemon.wire() as client, pytest.raises(wire.LoginFailed) as refused:
            client.log_in(database="bench")
        assert refused.value.sqlstate == "53300" and "no server of pool" in refused.value.fields["M"]
        assert "connection slots are reserved" in refused.value.fields["D"]
    with daemon.wire() as client:
        wait_until(lambda: log_in(daemon), "there is room again", 20, 0.1)
        client.log_in(database="bench")
        assert client.value("select 42") == "42"


def log_in(daemon):
    with daemon.wire() as client:
        try:
            return client.log_in(database="bench")
        except wire.LoginFailed:
            return None


@pytest.mark.workers
def test_a_fail_over_to_a_server_of_another_version_under_load(tidepool, fake_server):
    """Two hosts: the first goes, the second is newer. Sessions that hold no server go on and are told of what differs."""
    def host(version):
        def script(server):
            server.log_in({"server_version": version})
            server.serve({"select version": fakes.row_description("v") + fakes.data_row(version)
                          + fakes.complete("SELECT 1") + fakes.ready()})
        return script

    old, new = fake_server(host("15.4")), fake_server(host("17.2"))
    conninfo = f"host={old.folder},{new.folder} port=5432,5432 dbname=bench user=app"
    daemon = tidepool(pools={"bench": {"conninfo": conninfo, "min_size": 2, "max_size": 4, "timeout": "60s"}}, workers=2)
    idle = daemon.wire("bench")
    assert idle.parameters["server_version"] == "15.4"
    failed = []

    def work(number, turn):
        with daemon.wire("bench") as client:
            client.send(wire.query("select version"))
            answers = client.read_until("Z", "E")
            if answers[-1].type == "E":
                failed.append(answers[-1].fields["C"])
                return
            version = next(answer.values[0].decode() for answer in answers if answer.type == "D")
            assert client.parameters["server_version"] == version, "what it was told is what it got"
            try:
                client.terminate()
            except BrokenPipeError:
                pass

    with Load(8, work) as load:
        load.until(lambda: sum(load.done) >= 100, "work goes on")
        old.stop()
        before = sum(load.done)
        load.until(lambda: sum(load.done) >= before + 100, "work goes on")
    assert set(failed) <= {"08006"} and len(failed) <= 4
    assert idle.ask("select version")[-1].type == "Z"
    assert idle.parameters["server_version"] == "17.2"
    with daemon.wire("bench") as late:
        assert late.parameters["server_version"] == "17.2"
    assert daemon.pool_stats("bench")["requests_errors"] == 0
