"""The daemon where it is installed: its files, and the journal."""

import re
import socket
import subprocess

import pytest
from harness.daemon import ROOT, binary_under_test
from harness.waiting import wait_until


def built_at():
    """The build folder of the binary under test."""
    return binary_under_test().resolve().parents[1]


def test_cmake_installs_a_daemon_that_serves(tidepool, tmp_path):
    subprocess.run(["cmake", "--install", built_at(), "--prefix", tmp_path / "there"], check=True, stdout=subprocess.DEVNULL)
    daemon = tidepool(binary=tmp_path / "there/bin/tidepoold")
    assert daemon.wire("bench").value("select 42") == "42"


@pytest.fixture
def journal(tmp_path):
    """What a journal gets, whose socket is where only the daemon sees it: in a mount namespace of its own."""
    tmp_path.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "socket"))
        receiver.setblocking(False)
        yield receiver


def test_the_log_goes_to_the_journal(tidepool, journal, tmp_path):
    script = tmp_path / "tidepoold"
    script.write_text(
        "#!/bin/sh\nexec unshare -m sh -c 'mount -t tmpfs none /run && mkdir -p /run/systemd/journal &&"
        f' mount --bind {tmp_path} /run/systemd/journal && exec "{binary_under_test()}" "$@"\' sh "$@"\n')
    script.chmod(0o755)
    daemon = tidepool(binary=script, log={"to": "journald", "level": "debug"})
    assert daemon.wire("bench").value("select 42") == "42"
    entries = []

    def told(pattern):
        try:
            while True:
                entries.append(journal.recv(1 << 16).decode())
        except BlockingIOError:
            return any(re.search(pattern, entry, re.S) for entry in entries)

    wait_until(lambda: told(r"MESSAGE=.*is ready: workers=1.*PRIORITY=6|PRIORITY=6.*MESSAGE=.*is ready: workers=1"), "the start")
    wait_until(lambda: told(r"MESSAGE=client=\d+ user=app pool=bench logged in"), "a client's login")
    assert all("SYSLOG_IDENTIFIER=tidepoold" in entry for entry in entries)
    assert daemon.log() == "", "nothing of it goes to stderr"
    journal.close()
    assert daemon.wire("bench").value("select 43") == "43", "a journal that is away stops nobody"
