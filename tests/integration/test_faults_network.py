"""A network that loses packets: two network namespaces, PostgreSQL in one, the daemon in the other. Needs root."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import wire
from harness.network import Network
from harness.sessions import backend_of, wait_until_resting
from harness.waiting import SLOWNESS, wait_until

pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")]

QUICK_DIAL = "connect_timeout=2"
# libpq's words for what the kernel should notice by itself: of data that nobody acknowledges, of a peer that is gone.
QUICK_KERNEL = "tcp_user_timeout=1500 keepalives_idle=1 keepalives_interval=1 keepalives_count=2"


@pytest.fixture
def network():
    with Network() as network:
        yield network


@pytest.fixture
def behind(network, new_postgres, tidepool):
    """behind("connect_timeout=2", check="always"): a daemon whose PostgreSQL is at the other end of the network."""
    def start(conninfo=QUICK_DIAL, **pool):
        server = new_postgres(prefix=network.right.enter, settings={"listen_addresses": network.right.address},
                              hba="local all all trust\nhost all all 10.0.0.0/24 trust\n")
        database = server.create_database()
        pool = {"conninfo": f"host={network.right.address} port={server.port} dbname={database} user=app {conninfo}",
                "timeout": "60s", **pool}
        daemon = tidepool(pools={"bench": pool}, prefix=network.left.enter)
        daemon.server = server
        return daemon
    return start


def test_connections_through_which_nothing_comes_any_more_are_found_by_one_check(network, behind):
    """A firewall that forgot them: whoever comes then is served as soon as packets pass again, by new ones."""
    daemon = behind(min_size=6, max_size=6, check="always", check_timeout="1s")
    wait_until_resting(daemon, count=6)
    client = daemon.wire("bench")
    network.drop()
    client.send(wire.query("select 42"))
    wait_until(lambda: daemon.pool_stats("bench")["connections_lost"] == 6, "all six are given up", 20)
    assert client.is_silent(0.1)
    with daemon.wire("bench") as login:                      # needs no server
        assert login.status == "I"
    network.mend()
    assert client.read_until_ready(40)[1].values == [b"42"]
    assert daemon.pool_stats("bench")["requests_errors"] == 0


def test_the_kernel_notices_a_query_that_nobody_acknowledges(network, behind):
    """tcp_user_timeout of the conninfo: the client is told 08006 in place of waiting for ever."""
    daemon = behind(f"{QUICK_DIAL} {QUICK_KERNEL}", min_size=1, max_size=1, check="never")
    client = daemon.wire("bench")
    assert client.value("select 1") == "1"
    network.drop()
    client.send(wire.query("select 2"))
    answers = client.read_until_closed(40)
    assert [answer.type for answer in answers] == ["E"] and answers[0].fields["C"] == "08006"
    with daemon.wire("bench") as again:
        again.send(wire.query("select 42"))
        network.mend()
        assert again.read_until_ready(40)[1].values == [b"42"]


def test_the_kernel_notices_a_server_that_is_gone_while_its_answer_is_waited_for(network, behind):
    """Keepalives of the conninfo: the query was received, and PostgreSQL's machine is gone since."""
    daemon = behind(f"{QUICK_DIAL} {QUICK_KERNEL}", min_size=1, max_size=1)
    client = daemon.wire("bench")
    client.send(wire.query("select pg_sleep(600)"))
    wait_until(lambda: any("pg_sleep" in row["query"] for row in daemon.server.backends()), "it runs")
    network.drop()
    answers = client.read_until_closed(40)
    assert [answer.type for answer in answers] == ["E"] and answers[0].fields["C"] == "08006"


def test_resting_connections_are_found_by_keepalives_before_anybody_needs_them(network, behind):
    daemon = behind(f"{QUICK_DIAL} {QUICK_KERNEL}", min_size=4, max_size=4, check="never")
    wait_until_resting(daemon, count=4)
    network.drop()
    wait_until(lambda: daemon.pool_stats("bench")["connections_lost"] == 4, "the kernel told of all four", 40)
    network.mend()
    wait_until_resting(daemon, count=4)


def test_without_limits_of_the_kernel_the_query_limit_ends_the_wait(network, behind):
    daemon = behind(min_size=1, max_size=2, query="1s")
    client = daemon.wire("bench")
    backend = backend_of(client)
    network.drop()
    client.send(wire.query("select 42"))
    answers = client.read_until_closed(40)
    assert answers[-1].fields["C"] == "57014" and "query time limit" in answers[-1].fields["M"]
    network.mend()
    with daemon.wire("bench") as again:
        assert backend_of(again) != backend


def test_dials_into_nowhere_cost_connect_timeout_and_the_queue_goes_by_the_pools_timeout(network, behind):
    daemon = behind(min_size=1, max_size=4, timeout="3s")
    clients = [daemon.wire("bench") for _ in range(3)]
    wait_until_resting(daemon)
    network.drop()
    daemon.console("RECONNECT bench")
    for client in clients:
        client.send(wire.query("select 42"))
    for client in clients:
        error = next(answer for answer in client.read_until_ready(20) if answer.type == "E").fields
        assert error["C"] == "53300" and "timeout expired" in error["D"]
    network.mend()
    for client in clients:
        wait_until(lambda: not [answer for answer in client.ask("select 42", 20) if answer.type == "E"],
                   "the same session is served again", 30, 0.1)
        client.terminate()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("percent", [5, 20])
def test_a_network_that_loses_packets_slows_everybody_down_and_loses_nothing(network, behind, percent):
    """TCP repeats what is lost: answers stay whole and in order, and nobody gets another's."""
    daemon = behind(min_size=2, max_size=4, check="5s", check_timeout="30s")
    wait_until_resting(daemon, count=2)
    network.drop(percent)
    wrong = []

    def work(number):
        with daemon.wire("bench") as client:
            for turn in range(3):
                mine = f"{number}.{turn}"
                try:
                    answers = client.rows(f"select '{mine}', repeat('{number}', 20000)", 90 * SLOWNESS)
                except Exception as error:
                    return wrong.append(error)
                if answers != [[mine, str(number) * 20000]]:
                    wrong.append(answers)
            client.terminate()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    network.mend()
    assert not wrong
    assert daemon.pool_stats("bench")["requests_errors"] == 0


def test_a_cancel_that_is_lost_holds_its_server_for_a_limited_time(network, behind):
    daemon = behind(min_size=1, max_size=2, reset_timeout="2s")
    client = daemon.wire("bench")
    client.send(wire.query("select pg_sleep(600)"))
    wait_until(lambda: any("pg_sleep" in row["query"] for row in daemon.server.backends()), "it runs")
    network.drop()
    began = time.monotonic()
    with daemon.wire() as cancel:
        cancel.send(wire.cancel_request(client.process_id, client.key))
    client.close()
    wait_until(lambda: daemon.pool_stats("bench")["returns_bad"] == 1, "its server is given up", 40)
    network.mend()
    with daemon.wire("bench") as again:
        assert again.value("select 42") == "42"
    assert time.monotonic() - began < 60 * SLOWNESS
