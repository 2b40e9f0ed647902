"""SHOW POOL_STATS: psycopg_pool's get_stats(), of a real pool at work."""

import time

from harness import wire
from harness.waiting import wait_until

COLUMNS = ["pool", "pool_min", "pool_max", "pool_size", "pool_available", "requests_waiting", "usage_ms", "requests_num",
           "requests_queued", "requests_wait_ms", "requests_errors", "returns_bad", "connections_num", "connections_ms",
           "connections_errors", "connections_lost", "gave_up", "gave_way"]


def test_the_columns_are_psycopg_pools_in_its_order_as_int8_and_zeros_are_shown(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 3}, "other": {"min_size": 0, "max_size": 1}})
    with daemon.connect("tidepool") as console:
        cursor = console.execute("SHOW POOL_STATS")
        assert [column.name for column in cursor.description] == COLUMNS
        assert {column.type_code for column in cursor.description[1:]} == {20}
        rows = {row[0]: row[1:] for row in cursor}
    assert set(rows) >= {"bench", "other"}
    assert rows["bench"][:3] == (0, 3, 0) and rows["bench"][3:] == (0,) * 14


def test_the_numbers_tell_what_happened(tidepool, postgres):
    # Without a reset: a server that is lost while it is cleaned is a bad return, not one lost at rest.
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, "timeout": "300ms", "reset": "none"}})
    holder = daemon.wire("bench")
    holder.ask("select pg_sleep(0.3)")
    stats = daemon.pool_stats("bench")
    assert (stats["pool_size"], stats["pool_available"]) == (1, 0)
    assert stats["connections_num"] == 1 and stats["connections_ms"] >= 0
    before = stats

    waiter = daemon.wire("bench")
    waiter.send(wire.query("select 1"))
    wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == 1, "one waits")
    assert waiter.read_until_ready()[0].fields["C"] == "53300"
    stats = daemon.pool_stats("bench")
    assert stats["requests_waiting"] == 0
    for name, more in (("requests_num", 1), ("requests_queued", 1), ("requests_errors", 1)):
        assert stats[name] == before[name] + more, name
    assert stats["requests_wait_ms"] >= before["requests_wait_ms"] + 290

    holder.terminate()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 1, "the server rests")
    assert daemon.pool_stats("bench")["usage_ms"] >= 290

    postgres.terminate(database=daemon.databases["bench"])
    wait_until(lambda: daemon.pool_stats("bench")["connections_lost"] == 1, "it was lost at rest")
    wait_until(lambda: daemon.pool_stats("bench")["pool_size"] == 0, "PostgreSQL hung up")
    assert waiter.value("select 1") == "1"
    postgres.terminate(database=daemon.databases["bench"])
    waiter.read_until_closed()
    wait_until(lambda: daemon.pool_stats("bench")["returns_bad"] == 1, "it was lost under its client")
    stats = daemon.pool_stats("bench")
    assert (stats["connections_num"], stats["connections_lost"], stats["connections_errors"]) == (2, 1, 0)


def test_a_login_is_no_use_of_a_server(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1}})
    for _ in range(5):
        daemon.wire("bench").terminate()
    before = daemon.pool_stats("bench")
    time.sleep(0.1)
    for _ in range(5):
        daemon.wire("bench").terminate()
    after = daemon.pool_stats("bench")
    assert after["requests_num"] == before["requests_num"], "the greeting needs no server once the pool has seen one"
    assert after["usage_ms"] == before["usage_ms"]


def test_counters_only_grow_and_survive_a_reload(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1}})
    for _ in range(3):
        with daemon.connect("bench") as connection:
            connection.execute("select 1")
    before = daemon.pool_stats("bench")
    daemon.console("RELOAD")
    daemon.console("RECONNECT bench")
    after = daemon.pool_stats("bench")
    assert all(after[name] >= before[name] for name in COLUMNS[6:])
    assert after["requests_num"] == before["requests_num"]
