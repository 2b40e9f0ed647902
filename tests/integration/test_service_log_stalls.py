"""Whoever reads the log and stalls stops nobody: lines are lost then, and how many is said as soon as somebody reads on."""

import fcntl
import os
import re
import signal
import time

import pytest
from harness.daemon import SLOWNESS
from harness.shared_servers import transaction_pool
from harness.waiting import wait_until

QUEUE = 8192


class StalledReader:
    """Of a pipe that holds little; reads when told to."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, 4096)
        self.got = b""

    def read(self):
        """All that came so far."""
        try:
            while more := os.read(self.fd, 1 << 16):
                self.got += more
        except BlockingIOError:
            pass
        return self.got.decode()


@pytest.fixture
def reader(tmp_path):
    reader = StalledReader(tmp_path / "log.pipe")
    yield reader
    os.close(reader.fd)


@pytest.fixture
def daemon(tidepool, reader):
    return tidepool(log={"to": str(reader.path), "level": "info"}, workers=2, pools=transaction_pool(on_session_state="error"))


def make_lines(daemon, times):
    with daemon.wire("bench") as client:
        for _ in range(times):
            assert client.error("listen a")["C"] == "0A000"


def test_a_log_that_nobody_reads_stops_nobody_and_the_number_of_lost_lines_is_told_afterwards(daemon, reader):
    said = QUEUE + 500
    make_lines(daemon, said)
    assert daemon.wire("bench").value("select 42") == "42"
    assert daemon.console("show version")
    wait_until(lambda: "were lost: its reader is too slow" in reader.read(), "the loss is told")
    make_lines(daemon, 1)
    wait_until(lambda: reader.read().count("refused: 0A000") == said + 1 - lost(reader), "each line is there or counted")
    assert lost(reader) >= 100
    assert reader.got.decode().splitlines()[-1].endswith("gives its servers back after each transaction")


def lost(reader):
    return sum(map(int, re.findall(r"error (\d+) lines of the log were lost: its reader is too slow", reader.read())))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_end_does_not_wait_for_who_does_not_read_the_log(daemon, how):
    make_lines(daemon, 200)
    began = time.monotonic()
    daemon.signal(how)
    assert daemon.wait() == 0
    assert time.monotonic() - began < 5 * SLOWNESS


def test_the_last_lines_are_there_when_the_daemon_has_ended(daemon, reader):
    make_lines(daemon, 10)
    assert reader.read().count("refused: 0A000") <= 10
    daemon.signal(signal.SIGINT)
    assert daemon.wait() == 0
    lines = reader.read().splitlines()
    assert sum("refused: 0A000" in line for line in lines) == 10
    assert lines[-1].endswith("info stopped")
    assert [line[:23] for line in lines] == sorted(line[:23] for line in lines)


def test_a_reload_changes_where_the_log_goes_while_lines_wait(daemon, reader, tmp_path):
    make_lines(daemon, 200)
    daemon.write_settings({**daemon.settings, "log": {"to": str(tmp_path / "log"), "level": "info"}})
    daemon.signal(signal.SIGHUP)
    assert daemon.wire("bench").value("select 42") == "42"
    wait_until(lambda: reader.read().count("refused: 0A000") == 200, "what was said before is where it was to go")
    file = tmp_path / "log"
    wait_until(lambda: file.exists() and "settings reloaded" in file.read_text(), "what is said behind is in the file")
    assert "settings reloaded" not in reader.read()
