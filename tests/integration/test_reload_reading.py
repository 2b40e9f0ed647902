"""A reload reads the file and makes keys of its passwords elsewhere: the daemon goes on meanwhile, however long that takes,
and what did not change costs nothing."""

import os
import signal
import threading
from pathlib import Path

import psycopg
import pytest
from harness.waiting import holds_for, wait_until

def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Fifo:
    """In the place of the settings file: whoever reads it waits until it is written."""

    def __init__(self, daemon):
        self.path, self.text = daemon.settings_file, daemon.settings_file.read_text()
        self.path.unlink()
        os.mkfifo(self.path, 0o640)

    def write(self, text=None):
        with open(self.path, "w") as file:
            file.write(text or self.text)


def is_reading(daemon):
    """There is a thread of that name."""
    return "settings" in [(task / "comm").read_text().strip() for task in Path(f"/proc/{daemon.pid}/task").iterdir()]


def hang_up(daemon):
    os.kill(daemon.pid, signal.SIGHUP)


def reloads(daemon):
    return daemon.log().count("settings reloaded")


def test_a_reload_makes_no_keys_again_of_passwords_that_are_as_they_were(tidepool):
    count = 1000
    users = {f"tenant{i}": {"password": f"password of {i}"} for i in range(count)} | {"app": {"password": "secret"}}
    daemon = tidepool(users=users, pools={"bench": {"users": ["app", "tenant7"], "auth": "scram-sha-256"}})
    start = cpu_seconds(daemon.pid)
    daemon.reload(expect="settings reloaded")
    same = cpu_seconds(daemon.pid) - start
    assert same < start / 3
    users["tenant7"] = {"password": "another"}
    daemon.reload({**daemon.settings, "users": users}, expect="settings reloaded")
    assert cpu_seconds(daemon.pid) - start - same < start / 3
    for user, password in (("tenant7", "another"), ("app", "secret")):
        with daemon.connect("bench", user=user, password=password) as connection:
            assert connection.execute("select 42").fetchone() == (42,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        daemon.connect("bench", user="tenant7", password="password of 7")


def test_the_clock_of_the_pools_goes_on_while_the_file_is_not_there_yet(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, "timeout": "500ms"}})
    fifo = Fifo(daemon)
    hang_up(daemon)
    with daemon.connect("bench") as holder:
        holder.execute("select 1")
        client = daemon.wire("bench")
        assert client.error("select 1")["C"] == "53300", "the time limit strikes"
    assert daemon.pool_stats("bench")["pool_size"] == 1, "and the console answers"
    assert client.value("select 42") == "42"
    assert reloads(daemon) == 0
    fifo.write()
    wait_until(lambda: reloads(daemon) == 1, "the file was read")


def test_who_asks_for_a_reload_while_a_file_is_read_waits_for_the_next_reading(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 3}})
    fifo = Fifo(daemon)
    hang_up(daemon)
    wait_until(lambda: is_reading(daemon), "it is being read")
    answers = []
    consoles = [threading.Thread(target=lambda: answers.append(daemon.console("RELOAD"))) for _ in range(2)]
    for console in consoles:
        console.start()
    hang_up(daemon)
    holds_for(lambda: not answers, "they wait", 0.3)
    fifo.write(fifo.text.replace("max_size: 3", "max_size: 4"))
    wait_until(lambda: reloads(daemon) >= 1, "the first was read")
    wait_until(lambda: is_reading(daemon), "and it is read once more")
    assert not answers
    assert daemon.pool_stats("bench")["pool_max"] == 4
    fifo.write(fifo.text.replace("max_size: 3", "max_size: 5"))
    for console in consoles:
        console.join()
    assert daemon.pool_stats("bench")["pool_max"] == 5
    holds_for(lambda: reloads(daemon) == 2, "and that was all", 0.3)


def test_a_mistake_is_the_answer_to_who_asked_for_it(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1}})
    fifo = Fifo(daemon)
    errors = []

    def ask():
        try:
            daemon.console("RELOAD")
        except psycopg.Error as error:
            errors.append(error.sqlstate)
    console = threading.Thread(target=ask)
    console.start()
    fifo.write("nonsense: [\n")
    console.join()
    assert errors == ["F0000"]
    with daemon.connect("bench") as connection:
        assert connection.execute("select 42").fetchone() == (42,)


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_ends_as_ever_while_it_waits_for_its_file(tidepool, which):
    daemon = tidepool(pools={"bench": {"min_size": 1}})
    Fifo(daemon)
    hang_up(daemon)
    wait_until(lambda: is_reading(daemon), "it reads")
    client = daemon.wire("bench")
    daemon.signal(which)
    assert client.read_until("E")[-1].fields["C"] == "57P01"
    assert daemon.wait() == 0
    assert "stopped" in daemon.log()


def test_a_reload_that_is_read_while_the_daemon_drains_changes_nothing(tidepool):
    daemon = tidepool(limits={"drain_timeout": "20s"}, pools={"bench": {"min_size": 1}})
    fifo = Fifo(daemon)
    client = daemon.wire("bench")
    client.ask("begin")
    hang_up(daemon)
    wait_until(lambda: is_reading(daemon), "it reads")
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: "shutting down" in daemon.log(), "it drains")
    fifo.write()
    client.ask("commit")
    client.terminate()
    assert daemon.wait() == 0
    assert reloads(daemon) == 0
