"""The log of a service: a file that is moved away under it, one line for each event. A full disk: test_faults_machine.py."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from harness import wire
from harness.daemon import ROOT
from harness.postgres import free_port
from harness.waiting import wait_until
from harness.wire import WireClient


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tidepool.log"


def lines_about(file, pattern):
    return [line for line in file.read_text().splitlines() if re.search(pattern, line)] if file.exists() else []


def test_SIGHUP_opens_a_log_file_anew_after_it_was_moved_away(tidepool, file, tmp_path):
    daemon = tidepool(log={"to": str(file), "level": "info"})
    wait_until(lambda: lines_about(file, "is ready"), "the start is logged")
    file.rename(tmp_path / "tidepool.log.1")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: lines_about(file, "settings reloaded"), "the new file is written to")
    assert not lines_about(tmp_path / "tidepool.log.1", "settings reloaded")
    held = [os.path.basename(os.path.realpath(each)) for each in Path(f"/proc/{daemon.pid}/fd").iterdir()]
    assert held.count("tidepool.log") == 1 and "tidepool.log.1" not in held, "the old file is closed"


def test_logrotate_rotates_by_the_shipped_file(tidepool, file, tmp_path):
    daemon = tidepool(log={"to": str(file), "level": "info"})
    wait_until(lambda: lines_about(file, "is ready"), "the start is logged")
    rules = (ROOT / "packaging/tidepool.logrotate").read_text()
    ours = re.sub(r"systemctl kill \S+ --signal=HUP tidepoold.service", f"kill -HUP {daemon.pid}", rules.replace("/var/log/tidepool/", f"{tmp_path}/"))
    ours = ours.replace("if [ -d /run/systemd/system ]", "if true").replace("su tidepool adm", "su root root").replace("0640 tidepool adm", "0640 root root")
    assert f"kill -HUP {daemon.pid}" in ours
    tmp_path.chmod(0o755)
    (tmp_path / "rules").write_text(ours)
    (tmp_path / "rules").chmod(0o644)
    subprocess.run(["/usr/sbin/logrotate", "--force", "--state", tmp_path / "state", tmp_path / "rules"], check=True)
    wait_until(lambda: lines_about(file, "settings reloaded"), "the new file is written to")
    assert lines_about(tmp_path / "tidepool.log.1", "is ready")


def test_a_log_that_cannot_be_opened_stays_as_it_was(tidepool, file, tmp_path):
    daemon = tidepool(log={"to": str(file), "level": "info"})
    wait_until(lambda: lines_about(file, "is ready"), "the start is logged")
    daemon.write_settings({**daemon.settings, "log": {"to": str(tmp_path / "missing/log")}})
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: lines_about(file, "log.to stays as it was: .*missing"), "the old file says why")
    assert daemon.wire("bench").value("select 42") == "42"


def test_where_the_log_goes_changes_on_reload_and_so_does_its_form(tidepool, file):
    daemon = tidepool(log={"level": "info"})
    daemon.write_settings({**daemon.settings, "log": {"to": str(file), "format": "json", "level": "debug"}})
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: lines_about(file, "settings reloaded"), "the file is written to")
    with daemon.wire("bench") as client:
        client.value("select 1")
    wait_until(lambda: lines_about(file, "left|vanished"), "debug lines are there")
    for line in file.read_text().splitlines():
        assert {"time", "level", "thread", "message"} == json.loads(line).keys()


def test_who_is_disconnected_is_in_the_log_with_pool_and_reason(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "client_idle": "100ms"}})
    with daemon.wire("bench") as client:
        client.value("select 1")
        client.read_until_closed()
    daemon.wait_for_log(r"info client=\d+ user=app pool=bench disconnected: 57P05 terminating connection due to client_idle")
    violator = daemon.wire("bench")
    violator.send(b"!\0\0\0\4")
    violator.read_until_closed()
    daemon.wait_for_log(r"info client=\d+ user=app pool=bench disconnected: 08P01 ")


def test_a_refused_login_over_tcp_is_in_the_log_with_the_clients_address(tidepool):
    port = free_port()
    daemon = tidepool(start=False)
    daemon.write_settings({**daemon.settings, "listen": [{"tcp": "*", "port": port, "auth": "trust"}]})
    daemon.start()
    with WireClient(("127.0.0.1", port)) as client:
        client.send(wire.startup(user="app", database="nowhere"))
        client.read_until_closed()
    daemon.wait_for_log(r"info client=127\.0\.0\.1 user=app pool=nowhere login refused: 3D000 ")


def test_who_loses_its_server_is_in_the_log_with_client_pool_and_server(tidepool, postgres):
    daemon = tidepool()
    client = daemon.wire("bench")
    server = int(client.value("select pg_backend_pid()"))
    daemon.backends("bench")
    postgres.query(f"select pg_terminate_backend({server})")
    client.read_until_closed()
    daemon.wait_for_log(rf"info client=\d+ user=app pool=bench disconnected: its server_pid={server} is lost")
