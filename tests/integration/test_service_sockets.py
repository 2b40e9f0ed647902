"""Socket activation: listening sockets that somebody else opened and handed over (sd_listen_fds)."""

import signal
import socket
import stat

import pytest
from harness.postgres import free_port
from harness.wire import WireClient


@pytest.fixture
def listening():
    """listening(path | (host, port), ...): a socket that listens there, as systemd's would."""
    sockets = []

    def listen(address, family=None, dual_stack=False):
        family = family or (socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        made = socket.socket(family, socket.SOCK_STREAM)
        sockets.append(made)
        if family != socket.AF_UNIX:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
        made.bind(address)
        made.listen()
        return made

    yield listen
    for each in sockets:
        each.close()


def tcp(port, address="127.0.0.1"):
    return {"tcp": address, "port": port, "auth": "trust"}


def unix(folder, port=6432, **others):
    return {"unix": str(folder), "port": port, "auth": "trust", **others}


def answer(address):
    with WireClient(address) as client:
        client.log_in(database="bench")
        return client.value("select 42")


def test_inherited_sockets_serve_and_the_others_are_opened(tidepool, listening, tmp_path):
    tmp_path.chmod(0o755)
    ports = [free_port(), free_port()]
    path = str(tmp_path / ".s.PGSQL.6432")
    inherited = [listening(("127.0.0.1", ports[0])), listening(path)]
    daemon = tidepool(inherits=inherited, workers=2,
                      listen=[unix(tmp_path, mode="0600"), tcp(ports[0]), tcp(ports[1]), unix(tmp_path, 6433)])
    mode = stat.S_IMODE((tmp_path / ".s.PGSQL.6432").stat().st_mode)
    for address in (path, ("127.0.0.1", ports[0]), ("127.0.0.1", ports[1]), str(tmp_path / ".s.PGSQL.6433")):
        assert answer(address) == "42"
    assert mode != 0o600, "an inherited socket is left as it is"
    log = daemon.log()
    assert log.count("handed over by the service manager") == 2
    assert f"listening on {path} (handed over" in log and f"listening on 127.0.0.1:{ports[0]} (handed over" in log
    assert not (tmp_path / ".s.PGSQL.6432.lock").exists()


def test_inherited_sockets_outlive_the_daemon_and_who_comes_meanwhile_waits_for_the_next(tidepool, listening, tmp_path):
    path, port = str(tmp_path / ".s.PGSQL.6432"), free_port()
    inherited = [listening(path), listening(("127.0.0.1", port))]
    daemon = tidepool(inherits=inherited, listen=[unix(tmp_path), tcp(port)])
    assert answer(path) == "42"
    daemon.stop()
    early = [WireClient(path), WireClient(("127.0.0.1", port))]     # nobody serves; systemd's socket takes them
    daemon.start()
    for client in early:
        client.log_in(database="bench")
        assert client.value("select 42") == "42"
        client.terminate()


def test_a_drain_leaves_inherited_sockets_to_their_owner(tidepool, listening, tmp_path):
    path = str(tmp_path / ".s.PGSQL.6432")
    daemon = tidepool(inherits=[listening(path)], listen=[unix(tmp_path)], limits={"drain_timeout": "10min"})
    holder = WireClient(path)
    holder.log_in(database="bench")
    holder.value("select 1")
    idle = WireClient(path)
    idle.log_in(database="bench")
    daemon.signal(signal.SIGTERM)
    assert idle.read_until_closed()[-1].fields["C"] == "57P01", "the drain has begun, and nobody is accepted any more"
    newcomer = WireClient(path)
    assert newcomer.is_silent()
    holder.terminate()
    assert daemon.wait() == 0
    daemon.start()
    newcomer.log_in(database="bench")
    assert newcomer.value("select 42") == "42"


def test_one_socket_for_both_families_is_that_of_an_entry_with_a_star(tidepool, listening):
    """systemd's ListenStream=PORT; opening the IPv4 half beside it would fail."""
    port = free_port()
    daemon = tidepool(inherits=[listening(("::", port), socket.AF_INET6, dual_stack=True)], listen=[tcp(port, "*")])
    assert answer(("127.0.0.1", port)) == "42" and answer(("::1", port)) == "42"
    assert daemon.log().count("listening on ") == 1


def test_of_a_name_with_two_addresses_one_may_be_inherited(tidepool, listening):
    port = free_port()
    daemon = tidepool(inherits=[listening(("0.0.0.0", port))], listen=[tcp(port, "*")])
    assert answer(("127.0.0.1", port)) == "42" and answer(("::1", port)) == "42"
    assert f"listening on 0.0.0.0:{port} (handed over" in daemon.log()


@pytest.mark.parametrize("kind", ["unix", "tcp", "datagram", "not listening"])
def test_a_socket_that_no_entry_asks_for_is_an_error_that_names_it(tidepool, listening, tmp_path, kind):
    port = free_port()
    if kind in ("unix", "tcp"):
        address = str(tmp_path / "other") if kind == "unix" else ("127.0.0.1", port)
        made, expected = listening(address), address if kind == "unix" else f"127.0.0.1:{port}"
    else:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM)
        expected = "does not listen for streams"
    daemon = tidepool(inherits=[made], start=False)
    daemon.expected_exit = 1
    daemon.start(wait=False)
    assert daemon.wait() == 1
    assert "test0.socket" in daemon.log() and expected in daemon.log()
    made.close()
