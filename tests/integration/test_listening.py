"""The sockets: their files and options, what is in their place before, what is left behind."""

import grp
import os
import pwd
import re
import socket
import stat
import subprocess

import pytest
from harness import wire
from harness.daemon import SANITIZERS, binary_under_test
from harness.postgres import free_port
from harness.waiting import wait_until
from harness.wire import WireClient

AS_ROOT = os.geteuid() == 0


def listening_on(tidepool, *listeners, **others):
    """A daemon that listens there, beside the Unix socket of its own folder."""
    daemon = tidepool(start=False, **others)
    daemon.write_settings({**daemon.settings, "listen": [*daemon.settings["listen"], *listeners]})
    return daemon.start()


def second(daemon, settings=None):
    """Another daemon on the same settings, which should end by itself: exit code and what it said."""
    file = daemon.folder / "second.yaml"
    file.write_text(daemon.settings_file.read_text() if settings is None else settings)
    file.chmod(0o640)
    done = subprocess.run([binary_under_test(), "-c", file], capture_output=True, text=True, timeout=60, env={**os.environ, **SANITIZERS})
    return done.returncode, done.stderr + done.stdout


# Unix sockets

def test_a_unix_socket_has_the_mode_owner_and_group_of_the_settings(tidepool, tmp_path):
    owner, group = ("daemon", "games") if AS_ROOT else (pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name)
    os.chmod(tmp_path, 0o755)
    daemon = listening_on(tidepool, {"unix": str(tmp_path), "port": 7001, "mode": "0620", "owner": owner, "group": group, "auth": "trust"},
                          {"unix": str(tmp_path), "port": 7002, "auth": "trust"})
    there = os.stat(tmp_path / ".s.PGSQL.7001")
    assert stat.S_ISSOCK(there.st_mode) and stat.S_IMODE(there.st_mode) == 0o620
    assert pwd.getpwuid(there.st_uid).pw_name == owner and grp.getgrgid(there.st_gid).gr_name == group
    usual = os.stat(tmp_path / ".s.PGSQL.7002")
    assert stat.S_IMODE(usual.st_mode) == 0o660 and usual.st_uid == os.geteuid()
    with WireClient(tmp_path / ".s.PGSQL.7001") as client:
        client.log_in(database="bench")
        assert client.value("select 42") == "42"
    daemon.stop()
    assert not (tmp_path / ".s.PGSQL.7001").exists() and not (tmp_path / ".s.PGSQL.7002").exists()


@pytest.mark.skipif(not AS_ROOT, reason="needs root to be somebody else")
def test_who_may_not_write_to_the_socket_cannot_connect(tidepool, tmp_path):
    os.chmod(tmp_path, 0o755)
    for part in tmp_path.parents:
        if part != part.parent and str(part) != "/tmp":
            os.chmod(part, 0o755)
    listening_on(tidepool, {"unix": str(tmp_path), "port": 7001, "mode": "0660", "group": "games", "auth": "trust"})
    command = ["setpriv", "--reuid", "daemon", "--clear-groups", "--regid"]
    ask = ["psql", "-XAt", "-c", "select 42", "-d", f"host={tmp_path} port=7001 dbname=bench user=app"]
    assert "Permission denied" in subprocess.run([*command, "daemon", *ask], capture_output=True, text=True, cwd="/").stderr
    assert subprocess.run([*command, "games", *ask], capture_output=True, text=True, cwd="/").stdout == "42\n"


@pytest.mark.parametrize("key, name", [("owner", "user"), ("group", "group")])
def test_an_owner_that_does_not_exist_is_told_by_name(tidepool, key, name):
    daemon = tidepool(start=False)
    daemon.write_settings({**daemon.settings, "listen": [{"unix": str(daemon.folder), key: "nobody-has-this"}]})
    code, said = second(daemon)
    assert code == 1 and f'there is no {name} "nobody-has-this"' in said
    assert not daemon.socket_path.exists()


def test_a_stale_socket_file_is_replaced(tidepool):
    daemon = tidepool()
    daemon.kill()                                   # no time to clean up
    assert daemon.socket_path.exists()
    daemon.start()
    with daemon.wire("bench") as client:
        assert client.value("select 42") == "42"


def test_a_live_socket_is_refused_and_the_first_daemon_goes_on(tidepool):
    daemon = tidepool()
    with daemon.wire("bench") as client:
        before = os.stat(daemon.socket_path).st_ino
        code, said = second(daemon)
        assert code == 1
        assert str(daemon.socket_path) in said and "another server is listening there" in said
        assert os.stat(daemon.socket_path).st_ino == before
        assert client.value("select 42") == "42"
        assert daemon.psql("-c", "select 42", pool="bench") == "42\n"


def test_a_live_socket_of_a_postgresql_is_refused_too(tidepool, postgres):
    daemon = tidepool(start=False)
    daemon.write_settings({**daemon.settings, "listen": [{"unix": str(postgres.folder), "port": postgres.port, "auth": "trust"}]})
    code, said = second(daemon)
    assert code == 1 and "another server is listening there" in said
    assert postgres.query("select 42") == [(42,)] and postgres.socket_path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tidepool):
    daemon = tidepool(start=False)
    daemon.socket_path.write_text("somebody's")
    code, said = second(daemon)
    assert code == 1 and "it is not a socket" in said
    assert daemon.socket_path.read_text() == "somebody's"
    daemon.socket_path.unlink()


def test_of_several_listeners_all_are_opened_or_none(tidepool, tmp_path):
    taken = socket.create_server(("127.0.0.1", 0))
    daemon = tidepool(start=False)
    daemon.write_settings({**daemon.settings, "listen": [{"unix": str(tmp_path), "port": 7001},
                                                         {"tcp": "127.0.0.1", "port": taken.getsockname()[1]}]})
    code, said = second(daemon)
    taken.close()
    assert code == 1 and re.search(r"listening on 127.0.0.1:\d+: Address already in use", said)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tidepool):
    daemon = tidepool(start=False)
    daemon.write_settings({**daemon.settings, "listen": [{"unix": "/nonexistent/folder"}]})
    code, said = second(daemon)
    assert code == 1 and "/nonexistent/folder" in said and "No such file or directory" in said


def test_a_path_too_long_for_a_socket_is_told(tidepool, tmp_path):
    deep = tmp_path / ("d" * 110)
    deep.mkdir()
    daemon = tidepool(start=False)
    daemon.write_settings({**daemon.settings, "listen": [{"unix": str(deep)}]})
    code, said = second(daemon)
    assert code == 1 and "the system allows 107" in said


def test_nothing_is_left_in_the_folder_at_the_stop(tidepool, tmp_path):
    os.chmod(tmp_path, 0o755)
    daemon = listening_on(tidepool, {"unix": str(tmp_path), "port": 7001})
    assert (tmp_path / ".s.PGSQL.7001").exists()
    daemon.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_socket_file_that_somebody_else_put_there_meanwhile_is_not_removed(tidepool):
    daemon = tidepool()
    daemon.socket_path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(daemon.socket_path))
        daemon.stop()
        assert daemon.socket_path.exists()


# TCP

@pytest.mark.parametrize("address, host", [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("localhost", "127.0.0.1")])
def test_tcp_by_address_and_by_name(tidepool, address, host):
    port = free_port()
    listening_on(tidepool, {"tcp": address, "port": port, "auth": "trust"})
    with WireClient((host, port)) as client:
        client.log_in(database="bench")
        assert client.value("select 42") == "42"


def test_a_star_listens_on_everything_of_both_families(tidepool):
    port = free_port()
    daemon = listening_on(tidepool, {"tcp": "*", "port": port, "auth": "trust"})
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        with WireClient((host, port)) as client:
            client.log_in(database="bench")
    assert f"listening on 0.0.0.0:{port}" in daemon.log() and f"listening on :::{port}" in daemon.log()


def options_of(pid, port):
    """The accepted sockets of the process, as ss shows them, if it is there; else /proc/net/tcp's timers."""
    with open(f"/proc/{pid}/net/tcp") as file:
        rows = [line.split() for line in file.read().splitlines()[1:]]
    return [row for row in rows if int(row[1].split(":")[1], 16) == port and row[3] == "01"]


@pytest.mark.parametrize("keepalive, timer", [("60s", "02"), (0, "00")])
def test_keepalive_holds_for_accepted_clients(tidepool, keepalive, timer):
    port = free_port()
    daemon = listening_on(tidepool, {"tcp": "127.0.0.1", "port": port, "auth": "trust", "keepalive": keepalive})
    with WireClient(("127.0.0.1", port)) as client:
        client.log_in(database="bench")
        # The kernel's timer of the established connection: 02 is a keepalive, 00 none; when it goes off, in hundredths of seconds.
        def shown():
            rows = options_of(daemon.pid, port)
            return rows and rows[0][5].split(":")[0] == timer
        wait_until(shown, "the connection has the timer")
        if timer == "02":
            due = int(options_of(daemon.pid, port)[0][5].split(":")[1], 16) / os.sysconf("SC_CLK_TCK")
            assert 0 < due <= 60


def test_a_tcp_client_that_resets_its_connection_gives_its_server_back(tidepool):
    port = free_port()
    daemon = listening_on(tidepool, {"tcp": "127.0.0.1", "port": port, "auth": "trust"}, pools={"bench": {"min_size": 0, "max_size": 1}})
    client = WireClient(("127.0.0.1", port))
    client.log_in(database="bench")
    client.value("select 1")
    client.reset()
    with daemon.wire("bench") as next_one:
        assert next_one.value("select 42") == "42"


# Several

@pytest.mark.workers
def test_several_listeners_lead_to_the_same_pools(tidepool, tmp_path):
    os.chmod(tmp_path, 0o755)
    port, another = free_port(), free_port()
    daemon = listening_on(tidepool, {"tcp": "127.0.0.1", "port": port, "auth": "trust"}, {"tcp": "::1", "port": another, "auth": "trust"},
                          {"unix": str(tmp_path), "port": 7001, "auth": "trust"}, workers=2, pools={"bench": {"min_size": 1, "max_size": 1}})
    pids = set()
    for address in (daemon.socket_path, ("127.0.0.1", port), ("::1", another), tmp_path / ".s.PGSQL.7001"):
        with WireClient(address) as client:
            client.log_in(database="bench")
            pids.add(client.value("select pg_backend_pid()"))
            client.send(wire.TERMINATE)
    assert len(pids) == 1


def test_the_console_shows_where_clients_come_in(tidepool):
    port = free_port()
    daemon = listening_on(tidepool, {"tcp": "127.0.0.1", "port": port, "auth": "trust"})
    with WireClient(("127.0.0.1", port)) as client, daemon.wire("bench"):
        client.log_in(database="bench")
        rows = {row["addr"]: row for row in daemon.console("SHOW CLIENTS") if row["database"] == "bench"}
        assert set(rows) == {"unix", "127.0.0.1"}
        assert rows["127.0.0.1"]["port"] == client.socket.getsockname()[1] and rows["127.0.0.1"]["local_port"] == port
        assert rows["unix"]["remote_pid"] == os.getpid()
