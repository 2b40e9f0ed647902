"""tidepoold --ping: does the daemon of these settings answer? Exit codes as pg_isready's."""

import os
import signal
import socket
import subprocess
import threading

import pytest
from harness.daemon import SANITIZERS, binary_under_test
from harness.postgres import free_port
from harness.waiting import wait_until


def ping(settings):
    done = subprocess.run([binary_under_test(), "--ping", settings], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env={**os.environ, **SANITIZERS})
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def daemon(tidepool):
    """On a Unix socket and on TCP, where it wants passwords."""
    daemon = tidepool(start=False)
    port = free_port()
    daemon.write_settings({**daemon.settings, "log": {"level": "info"},
                           "listen": [*daemon.settings["listen"], {"tcp": "127.0.0.1", "port": port}]})
    daemon.lines = [f"{daemon.folder}:6432 - ", f"127.0.0.1:{port} - "]
    return daemon


def test_0_a_daemon_that_runs_answers_on_all_its_listeners_and_nothing_of_it_is_logged(daemon):
    daemon.start()
    wait_until(lambda: "is ready" in daemon.log(), "it has said all that it says at its start")
    log = daemon.log()
    assert ping(daemon.settings_file) == (0, [line + "accepting connections" for line in daemon.lines])
    assert daemon.log() == log


def test_0_it_needs_no_server(tidepool):
    daemon = tidepool({"pools": {"bench": {"conninfo": "host=/nowhere user=app"}}, "workers": 1})
    assert ping(daemon.settings_file)[0] == 0


def test_1_something_else_answers_there(daemon):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(daemon.socket_path))
        other.listen()
        thread = threading.Thread(target=lambda: other.accept()[0].sendall(b"HTTP/1.1 400\r\n"), daemon=True)
        thread.start()
        code, lines = ping(daemon.settings_file)
        thread.join()
    assert lines[0] == daemon.lines[0] + "rejecting connections" and code == 2, "the worst of all: nobody is at the other"


def test_2_nobody_answers(daemon):
    assert ping(daemon.settings_file) == (2, [line + "no response" for line in daemon.lines])


@pytest.mark.timeout(90)
def test_2_it_hangs(daemon):
    daemon.start()
    daemon.signal(signal.SIGSTOP)
    wait_until(lambda: set(daemon.states_of_threads()) == {"T"}, "all of it stands still")
    try:
        assert ping(daemon.settings_file) == (2, [line + "no response" for line in daemon.lines])
    finally:
        daemon.signal(signal.SIGCONT)


def test_3_a_file_with_mistakes_asks_nobody(daemon):
    daemon.settings_file.write_text("nonsense: 1\n")
    assert ping(daemon.settings_file) == (3, [])
