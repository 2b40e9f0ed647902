"""The front door under pressure: silence, probes, a full house, a process without descriptors."""

import os
import re
import resource
import socket
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import wire
from harness.daemon import binary_under_test
from harness.postgres import free_port
from harness.waiting import SLOWNESS, wait_until
from harness.wire import GSSENC_REQUEST, SSL_REQUEST, Closed, LoginFailed, WireClient


# login_timeout

def test_half_a_login_and_silence_ends_with_the_login_timeout(tidepool):
    daemon = tidepool(limits={"login_timeout": "1s"}, users={"app": {"password": "word"}}, pools={"bench": {"auth": "password"}})
    packet = wire.startup(user="app", database="bench")
    with daemon.wire() as silent, daemon.wire() as asked, daemon.wire() as half, daemon.wire() as asks_for_tls:
        half.send(packet[:20])
        asked.send(packet)
        asks_for_tls.send(SSL_REQUEST)
        assert asks_for_tls.read_bytes(1) == b"N"
        # PostgreSQL hangs up on who has not said who it is, and tells the others.
        assert silent.read_until_closed() == [] and half.read_until_closed() == [] and asks_for_tls.read_until_closed() == []
        answers = asked.read_until_closed()
        assert [answer.type for answer in answers] == ["R", "E"]
        assert answers[1].fields["S"] == "FATAL" and "canceling authentication due to timeout" in answers[1].fields["M"]


def test_a_login_a_byte_at_a_time_does_not_outlive_the_login_timeout(tidepool):
    """Slow loris: activity does not lengthen the limit."""
    daemon = tidepool(limits={"login_timeout": "1s"})
    packet = wire.startup(user="app", database="bench", application_name="x" * 500)
    begin = time.monotonic()
    with daemon.wire() as client, pytest.raises((BrokenPipeError, ConnectionResetError)):
        for at in range(len(packet)):
            client.socket.sendall(packet[at:at + 1])
            time.sleep(0.05)
    assert time.monotonic() - begin < 15 * SLOWNESS


def test_waiting_for_the_first_server_is_not_limited_by_login_timeout(tidepool, new_postgres):
    server = new_postgres()
    database = server.create_database()
    server.pause()
    daemon = tidepool({"pools": {"bench": {"conninfo": server.conninfo(database, "app"), "min_size": 0, "max_size": 1, "timeout": 40}},
                       "limits": {"login_timeout": "1s"}, "workers": 1})
    with daemon.wire() as client:
        client.send(wire.startup(user="app", database="bench"))
        assert client.is_silent(3)
        server.resume()
        client.finish_login()
        assert client.value("select 42") == "42"


def test_the_login_that_waits_for_the_first_server_ends_with_the_pools_timeout(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 0, "max_size": 1, "timeout": 1}}, start=False)
    server.stop()
    daemon.start()
    with daemon.wire() as client, pytest.raises(LoginFailed) as failure:
        client.log_in(database="bench")
    assert failure.value.sqlstate == "53300" and "bench" in str(failure.value)
    server.start()


# Probes

def test_port_probes_leave_at_most_a_debug_line(tidepool):
    port = free_port()
    daemon = tidepool(listen=[{"tcp": "127.0.0.1", "port": port, "auth": "trust"}], log={"level": "info"})
    with daemon_at(port) as client:
        client.log_in(database="bench")
    mark = len(daemon.log())
    for _ in range(5):
        daemon_at(port).close()                     # a load balancer
        daemon_at(port).reset()
        for request in (SSL_REQUEST, GSSENC_REQUEST):
            client = daemon_at(port)
            client.send(request)
            assert client.read_bytes(1) == b"N"
            client.close()
            client = daemon_at(port)
            client.send(request)
            client.reset()                          # does not even wait for the answer
        client = daemon_at(port)
        client.finish_sending()
        assert client.read_until_closed() == []
    done = subprocess.run(["pg_isready", "-h", "127.0.0.1", "-p", str(port), "-U", "app", "-d", "bench"], capture_output=True, text=True)
    assert done.returncode == 0 and "accepting connections" in done.stdout
    with daemon_at(port) as client:
        client.log_in(database="bench")
    assert daemon.log()[mark:] == ""


def test_psql_that_comes_back_with_a_password_leaves_no_line_behind(tidepool):
    daemon = tidepool(users={"app": {"password": "word"}}, pools={"bench": {"auth": "scram-sha-256"}}, log={"level": "info"})
    mark = len(daemon.log())
    with daemon.wire() as client:
        client.send(wire.startup(user="app", database="bench"))
        client.read_until("R")
        client.close()
    assert daemon.psql("-c", "select 42", pool="bench", env={"PGPASSWORD": "word"}) == "42\n"
    assert "refused" not in daemon.log()[mark:]


# The greeting

def test_the_whole_greeting_is_one_write(tidepool):
    daemon = tidepool()
    for _ in range(30):                 # the first needs a server, the others do not
        with daemon.wire() as client:
            client.send(wire.startup(user="app", database="bench"))
            greeting = client.socket.recv(1 << 16)
            assert greeting.startswith(b"R\0\0\0\x08\0\0\0\0") and greeting.endswith(b"Z\0\0\0\x05I")
            client.send(wire.TERMINATE)


def test_a_login_needs_no_server_once_the_pool_has_seen_one(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 0, "max_size": 1}})
    with daemon.wire("bench") as client:
        told = dict(client.parameters)
        client.value("select 1")
        before = daemon.pool_stats("bench")["requests_num"]
        with daemon.wire("bench") as other:         # the only server is taken
            assert other.parameters == told
        assert daemon.pool_stats("bench")["requests_num"] == before
    server.stop()
    with daemon.wire("bench") as client:            # when_down: wait is the default
        assert client.parameters == told
        server.start()
        assert client.value("select 42") == "42"


def test_a_client_is_told_what_differs_on_the_server_that_it_gets_and_the_greeting_is_renewed(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 0, "max_size": 2}})
    daemon.wire("bench").close()
    server.set(timezone="Asia/Tokyo")
    server.restart()
    with daemon.wire("bench") as client:
        assert client.parameters["TimeZone"] != "Asia/Tokyo"        # from the server before
        assert client.value("show timezone") == "Asia/Tokyo"
        assert client.parameters["TimeZone"] == "Asia/Tokyo"        # by a ParameterStatus
    with daemon.wire("bench") as client:
        assert client.parameters["TimeZone"] == "Asia/Tokyo"


# A full house

def test_over_max_clients_is_told_after_the_startup_packet_and_never_as_an_answer_to_SSLRequest(tidepool):
    daemon = tidepool(limits={"max_clients": 2, "console_reserve": 1})
    inside = [daemon.wire("bench") for _ in range(2)]
    with daemon.wire() as client:
        for request in (SSL_REQUEST, GSSENC_REQUEST):
            client.send(request)
            assert client.read_bytes(1) == b"N"
        with pytest.raises(LoginFailed) as failure:
            client.log_in(database="bench")
        assert failure.value.sqlstate == "53300" and failure.value.fields["S"] == "FATAL"
        assert "max_clients" in failure.value.fields["M"] and "2" in failure.value.fields["M"]
        assert client.read_until_closed() == []
    inside.pop().terminate()
    wait_until(lambda: _is_let_in(daemon), "the place of a client that left is free")
    for client in inside:
        assert client.value("select 42") == "42"
        client.terminate()


def test_the_console_has_a_reserve_of_its_own(tidepool):
    daemon = tidepool(limits={"max_clients": 1, "console_reserve": 1})
    with daemon.wire("bench"):
        with daemon.wire("tidepool") as console:
            assert {row[0]: row[1] for row in console.rows("SHOW LISTS")}["used_clients"] == "2"
            with daemon.wire() as another, pytest.raises(LoginFailed) as failure:
                another.log_in(database="tidepool")
            assert failure.value.sqlstate == "53300"
        with daemon.wire() as client, pytest.raises(LoginFailed):
            client.log_in(database="bench")         # the reserve is for the console only


@pytest.mark.workers
def test_max_clients_is_exact_over_all_workers(tidepool):
    daemon = tidepool(limits={"max_clients": 40}, workers=4)

    def come_in(_):
        client = daemon.wire()
        try:
            client.log_in(database="bench")
            return client
        except LoginFailed as failure:
            assert failure.sqlstate == "53300"
            return None

    for _ in range(3):
        with ThreadPoolExecutor(16) as threads:
            inside = [client for client in threads.map(come_in, range(100)) if client]
        assert len(inside) == 40
        for client in inside:
            client.close()
        wait_until(lambda: _is_let_in(daemon, 40), "all places are free again")


def test_refused_logins_take_no_places(tidepool):
    daemon = tidepool(limits={"max_clients": 2})
    for _ in range(10):
        with daemon.wire() as client, pytest.raises(LoginFailed) as failure:
            client.log_in(database="nowhere")
        assert failure.value.sqlstate == "3D000"
    wait_until(lambda: _is_let_in(daemon, 2), "both places are free")


# Descriptors. Not marked for ThreadSanitizer: libuv closes them by the bare system call, which it does not see, and so it takes the next use of
# the same number by another thread for a race.

def with_few_descriptors(tmp_path, count):
    """The daemon under a hard limit of open descriptors."""
    script = tmp_path / "tidepoold"
    script.write_text(f'#!/bin/sh\nulimit -n {count}\nexec "{binary_under_test()}" "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def test_settings_that_need_more_descriptors_than_there_are_get_a_warning_with_both_numbers(tidepool, tmp_path):
    daemon = tidepool(binary=with_few_descriptors(tmp_path, 150), pools={"bench": {"max_size": 5}}, limits={"max_clients": 500})
    wait_until(lambda: "clients fit" in daemon.log(), "the warning is there")
    warning = re.search(r"warning .*need (\d+) descriptors.* have (\d+): (\d+) clients fit.*500", daemon.log())
    needed, limit, fit = map(int, warning.groups())
    assert needed >= 505 and limit == 150 and 10 < fit < 150
    # And it serves what fits: so many clients, not one more, and PostgreSQL can still be reached.
    inside = [daemon.wire("bench") for _ in range(fit)]
    assert [client.value("select 42") for client in inside[:5]] == ["42"] * 5
    with daemon.wire() as client, pytest.raises(LoginFailed) as failure:
        client.log_in(database="bench")
    assert failure.value.sqlstate == "53300" and "descriptors" in failure.value.fields["M"]
    assert daemon.console("SHOW VERSION")
    for client in inside:
        client.close()


def test_the_daemon_raises_its_own_limit_of_descriptors_as_far_as_it_may(tidepool, tmp_path):
    script = tmp_path / "tidepoold"
    script.write_text(f'#!/bin/sh\nulimit -S -n 50\nexec "{binary_under_test()}" "$@"\n')
    script.chmod(0o755)
    daemon = tidepool(binary=script, limits={"max_clients": 300})
    assert resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[0] > 300
    assert "descriptors" not in daemon.log()


@pytest.mark.parametrize("workers", [1, 4])
def test_running_out_of_descriptors_neither_spins_nor_stops_the_daemon(tidepool, workers):
    daemon = tidepool(workers=workers, pools={"bench": {"min_size": 1, "max_size": 1}})
    inside = daemon.wire("bench")
    inside.value("select 1")
    usual = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    few = daemon.open_descriptors() + 5
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (few, usual[1]))
    # More come than fit, and say nothing: they are no clients yet whom max_clients would count.
    crowd = []
    for _ in range(60):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(0.2)
        one.connect(str(daemon.socket_path))
        crowd.append(one)
    wait_until(lambda: daemon.open_descriptors() >= few - workers - 1, "there are no descriptors left")
    spent = _cpu_seconds(daemon.pid)
    begin = time.monotonic()
    assert inside.value("select 42") == "42"        # who is inside is served
    time.sleep(2)
    spent = _cpu_seconds(daemon.pid) - spent
    assert spent < 0.5 * (time.monotonic() - begin), f"{spent:.2f} s of CPU in two seconds of nothing"
    assert daemon.log().count("\n") < 1000
    for one in crowd:
        one.close()
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, usual)
    wait_until(lambda: _is_let_in(daemon), "clients are let in again", timeout=20)
    inside.terminate()


def test_workers_that_fight_for_the_last_descriptor_do_not_spin(tidepool):
    """libuv keeps a descriptor aside for such times; one that another thread took meanwhile left it asking in an endless loop."""
    daemon = tidepool(workers=4, pools={"bench": {"min_size": 1, "max_size": 1}})
    inside = daemon.wire("bench")
    inside.value("select 1")
    usual = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (daemon.open_descriptors() + 3, usual[1]))
    end = time.monotonic() + 2

    def knock(_):
        while time.monotonic() < end:
            crowd = []
            for _ in range(20):
                one = socket.socket(socket.AF_UNIX)
                one.settimeout(0.2)
                crowd.append(one)
                try:
                    one.connect(str(daemon.socket_path))
                except OSError:
                    pass            # the kernel's queue is full
            for one in crowd:
                one.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(knock, range(8)))
    # Somebody stays at the door, so that there is something to accept, and nothing to accept it with.
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for one in crowd:
        one.connect(str(daemon.socket_path))
    time.sleep(0.5)
    spent = _cpu_seconds(daemon.pid)
    begin = time.monotonic()
    assert inside.value("select 42") == "42"
    time.sleep(2)
    spent = _cpu_seconds(daemon.pid) - spent
    assert spent < 0.5 * (time.monotonic() - begin), f"{spent:.2f} s of CPU in two seconds of nothing"
    assert daemon.log().count("accepting clients") < 1000
    for one in crowd:
        one.close()
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, usual)
    wait_until(lambda: _is_let_in(daemon), "clients are let in again", timeout=20)
    inside.terminate()


@pytest.mark.workers
def test_many_connections_at_once_do_not_starve_who_is_inside(tidepool):
    daemon = tidepool(workers=2, pools={"bench": {"min_size": 2, "max_size": 2}})
    inside = daemon.wire("bench")
    inside.value("select 1")

    def come_and_go(_):
        with daemon.wire("bench") as client:
            client.send(wire.TERMINATE)
        return True

    with ThreadPoolExecutor(50) as threads:
        crowd = threads.map(come_and_go, range(1000))
        slowest = 0.0
        for _ in range(200):
            begin = time.monotonic()
            assert inside.value("select 42") == "42"
            slowest = max(slowest, time.monotonic() - begin)
        assert sum(crowd) == 1000
    assert slowest < 5 * SLOWNESS
    inside.terminate()


@pytest.mark.workers
def test_two_hundred_connections_at_once_are_all_accepted_and_served(tidepool):
    daemon = tidepool(workers=2, pools={"bench": {"max_size": 8}})
    crowd = [daemon.wire() for _ in range(200)]     # all connected before anybody speaks
    for client in crowd:
        client.send(wire.startup(user="app", database="bench"))
    for client in crowd:
        client.finish_login()
    for client in crowd:
        assert client.value("select 42") == "42"
        client.terminate()


def test_idle_clients_and_idle_daemons_cost_no_cpu(tidepool):
    daemon = tidepool(workers=2, pools={"bench": {"min_size": 2}})
    inside = [daemon.wire("bench") for _ in range(50)]
    time.sleep(1)
    spent = _cpu_seconds(daemon.pid)
    time.sleep(2)
    assert _cpu_seconds(daemon.pid) - spent < 0.2 * SLOWNESS
    for client in inside:
        client.close()


def daemon_at(port):
    return WireClient(("127.0.0.1", port))


def _is_let_in(daemon, count=1):
    """Whether so many clients are let in at the same time."""
    inside = []
    try:
        for _ in range(count):
            inside.append(daemon.wire())
            inside[-1].log_in(database="bench")
        return True
    except (LoginFailed, Closed, OSError):
        return False
    finally:
        for client in inside:
            client.close()


def _cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Who has not logged in

def test_peers_without_a_login_take_no_place_of_a_client(tidepool):
    daemon = tidepool(limits={"max_clients": 2, "console_reserve": 1}, users={"app": {"password": "word"}},
                      pools={"bench": {"auth": "scram-sha-256"}}, workers=2)
    silent = [daemon.wire() for _ in range(10)]
    for number, peer in enumerate(silent):
        if number % 2:
            peer.send(wire.startup(user=("app", "nobody")[number % 4 == 1], database=("bench", "nothing")[number % 3 == 0]))
    for _ in range(2):
        assert daemon.psql("-c", "select 42", pool="bench", env={"PGPASSWORD": "word"}) == "42\n"
    for peer in silent:
        peer.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_oldest_of_those_who_log_in_gives_way(tidepool, workers):
    daemon = tidepool(limits={"max_logins": 6}, users={"app": {"password": "word"}}, pools={"bench": {"auth": "password"}}, workers=workers)
    peers = []
    for number in range(12):
        peers.append(daemon.wire())
        if number % 2:
            peers[-1].send(wire.startup(user="app", database="bench"))
            peers[-1].read_until("R")
    for number, peer in enumerate(peers[:6]):
        last_words = peer.read_until_closed()
        assert [answer.fields["C"] for answer in last_words] == (["53300"] if number % 2 else [])
    for peer in peers[6:]:
        assert peer.is_silent(0.05)
    for _ in range(3):
        assert daemon.psql("-c", "select 42", pool="bench", env={"PGPASSWORD": "word"}) == "42\n"
    peers[11].send(wire.message("p", b"word\0"))
    for peer in peers:
        peer.close()


def test_who_has_logged_in_is_not_counted_among_those_who_do(tidepool):
    daemon = tidepool(limits={"max_logins": 2}, pools={"bench": {"mode": "transaction"}})
    clients = [daemon.wire("bench") for _ in range(20)]
    assert [client.value("select 42") for client in clients] == ["42"] * 20
    for client in clients[:10]:
        client.close()
    assert [client.value("select 42") for client in clients[10:]] == ["42"] * 10
