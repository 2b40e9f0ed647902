"""One backend of PostgreSQL dies while clients work: its own client is told, and nobody else."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import wire
from harness.sessions import backend_of, wait_until_resting, wait_until_running
from harness.waiting import wait_until


def die_by_terminate(server, pid):
    server.execute("select pg_terminate_backend(%s)", [pid])


def die_by_kill(server, pid):
    os.kill(pid, signal.SIGKILL)


def wait_until_gone(pids):
    """A resting server that PostgreSQL is about to end may be lent until it does."""
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "PostgreSQL has ended them")


ENDS = {"pg_terminate_backend": (die_by_terminate, "57P01"), "kill -9": (die_by_kill, "08006")}
BUSY = {
    "a query": wire.query("select pg_sleep(60)"),
    "a batch": wire.extended("select pg_sleep(60)") + wire.SYNC,
    "rows": wire.query("select generate_series(1, 5), 1 from pg_sleep(0.1) union all select 6, pg_sleep(60)::text::int"),
    "a transaction": wire.query("begin; select pg_sleep(60)"),
}


@pytest.mark.parametrize("busy", BUSY)
@pytest.mark.parametrize("end", ENDS)
def test_a_backend_that_dies_in_mid_query_is_told_to_its_client_alone(tidepool, new_postgres, end, busy):
    """kill -9 makes PostgreSQL end all other backends too, as it always does; who holds none notices nothing."""
    server = new_postgres()
    die, sqlstate = ENDS[end]
    daemon = tidepool(server=server, pools={"bench": {"min_size": 3, "max_size": 4}})
    victim, idle, other = (daemon.wire("bench") for _ in range(3))
    assert idle.value("select 1") == "1"
    idle.terminate()
    holds_none = daemon.wire("bench")
    pid = backend_of(victim)
    holds_one = backend_of(other)
    victim.send(BUSY[busy])
    wait_until_running(server, "pg_sleep", database=daemon.databases["bench"])
    ended = [row["pid"] for row in server.backends()] if end == "kill -9" else [pid]
    die(server, pid)
    wait_until_gone(ended)

    answers = victim.read_until_closed()
    assert answers[-1].fields["C"] == sqlstate and answers[-1].fields["S"] == "FATAL"
    assert [answer.type for answer in answers].count("E") == 1 and not any(answer.type == "Z" for answer in answers)
    if end == "kill -9":
        assert other.read_until_closed()[-1].fields["C"] == "08006"         # behind PostgreSQL's WARNING 57P02
    else:
        assert backend_of(other) == holds_one
    assert holds_none.value("select 42") == "42"
    with daemon.wire("bench") as again:
        assert again.value("select 42") == "42"
    assert daemon.pool_stats("bench")["requests_errors"] == 0


@pytest.mark.parametrize("end", ENDS)
def test_backends_that_die_between_the_queries_of_their_clients_are_told_once(tidepool, new_postgres, end):
    server = new_postgres()
    die, _ = ENDS[end]
    daemon = tidepool(server=server, pools={"bench": {"min_size": 2}})
    wait_until_resting(daemon, count=2)
    holder = daemon.wire("bench")
    pid = backend_of(holder)
    ended = [row["pid"] for row in server.backends()] if end == "kill -9" else [pid]
    die(server, pid)
    wait_until_gone(ended)
    answers = holder.read_until_closed()
    assert [answer.type for answer in answers if answer.type != "N"] == ["E"] and answers[-1].fields["C"] == ENDS[end][1]
    with daemon.wire("bench") as again:
        assert again.value("select 42") == "42"


def test_a_backend_that_dies_while_it_is_cleaned_up_costs_nobody_anything(tidepool, postgres):
    """Its client vanished in mid-query, PostgreSQL is still at it, and is killed: the next client has another."""
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, "orphans": "finish", "reset_timeout": "60s"}})
    first = daemon.wire("bench")
    pid = backend_of(first)
    first.send(wire.query("select pg_sleep(60)"))
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    first.close()
    following = daemon.wire("bench")
    following.send(wire.query("select pg_backend_pid()"))
    wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == 1, "the next waits for it")
    die_by_terminate(postgres, pid)
    assert int(following.read_until_ready()[1].values[0]) != pid
    following.terminate()
    wait_until_resting(daemon)


def last_word(client):
    """Of the answer to its query. Then it leaves."""
    try:
        return client.read_until("Z", "E")[-1]
    except wire.Closed:
        pytest.fail("closed without a word")
    finally:
        client.close()


def test_every_backend_is_struck_down_again_and_again_under_load(tidepool, postgres):
    """The next connection of whoever was told works, each time."""
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 4, "timeout": "60s"}}, workers=2)
    for _ in range(20):
        clients = [daemon.wire("bench") for _ in range(6)]
        for client in clients:
            client.send(wire.query("select pg_sleep(0.02), 42"))
        postgres.terminate(database=daemon.databases["bench"])
        # Each leaves as soon as it has its answer: two workers may have put them in line in any order.
        with ThreadPoolExecutor(len(clients)) as pool:
            for last in pool.map(last_word, clients):
                assert last.type == "Z" or last.fields["C"] == "57P01", last.fields
        with daemon.wire("bench") as again:
            assert again.value("select 42") == "42"
    assert daemon.pool_stats("bench")["requests_errors"] == 0
