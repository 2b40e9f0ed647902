"""What the service manager is told (sd_notify): that the daemon is ready, reloads, stops, how it is, and that its workers turn."""

import ctypes
import os
import signal
import time
from pathlib import Path

import pytest
from harness import wire
from harness.service_manager import ServiceManager
from harness.waiting import holds_for, wait_until


@pytest.fixture
def manager(tmp_path):
    manager = ServiceManager(tmp_path)
    yield manager
    manager.close()


def test_ready_is_told_when_clients_can_come_in(tidepool, manager):
    daemon = tidepool(env=manager.env, start=False)
    daemon.start(wait=False)
    told = manager.wait_for("READY=1")
    assert manager.said == [told] and told["STATUS"].startswith("clients=0 ")
    assert daemon.wire("bench").value("select 42") == "42"


def test_a_daemon_that_cannot_start_is_never_ready(tidepool, manager):
    daemon = tidepool({"pools": {"bench": {"conninfo": "host=/nowhere"}}, "listen": [{"unix": "/nowhere"}]}, env=manager.env, start=False)
    daemon.expected_exit = 1
    daemon.start(wait=False)
    assert daemon.wait() == 1
    assert manager.listen() == []


def test_a_reload_is_told_with_its_beginning_and_its_end(tidepool, manager):
    daemon = tidepool(env=manager.env)
    manager.wait_for("READY=1")
    before = time.monotonic()
    daemon.reload(expect="settings reloaded")
    begun = manager.wait_for("RELOADING=1", since=1)
    assert before <= int(begun["MONOTONIC_USEC"]) / 1e6 <= time.monotonic()
    done = manager.wait_for("READY=1", since=manager.said.index(begun))
    assert done["STATUS"].startswith("clients=")


def test_a_reload_that_is_refused_ends_ready_too_and_says_why(tidepool, manager):
    daemon = tidepool(env=manager.env)
    manager.wait_for("READY=1")
    daemon.settings_file.write_text("nonsense: 1\n")
    daemon.reload(expect="reload refused")
    begun = manager.wait_for("RELOADING=1")
    done = manager.wait_for("READY=1", since=manager.said.index(begun))
    assert done["STATUS"].startswith("reload refused: ")


def test_the_status_follows_clients_and_servers(tidepool, manager):
    daemon = tidepool(env=manager.env, pools={"bench": {"min_size": 0, "max_size": 1}})
    with daemon.wire("bench") as holder, daemon.wire("bench") as waiting:
        holder.value("select 1")
        waiting.send(wire.query("select 1"))
        manager.wait_for("STATUS=clients=2 waiting=1 servers=1 pools=1", timeout=20)


def test_a_stop_is_told_with_the_time_that_it_may_take(tidepool, manager):
    daemon = tidepool(env=manager.env, limits={"drain_timeout": "50s"})
    with daemon.wire("bench") as client:
        client.value("select 1")
        daemon.signal(signal.SIGTERM)
        told = manager.wait_for("STOPPING=1")
        assert int(told["EXTEND_TIMEOUT_USEC"]) >= 50_000_000 and told["STATUS"].startswith("draining: clients=1 ")
    assert daemon.wait() == 0


# The watchdog

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000


class Stopped:
    """One thread of a process is stopped, the others run: what a worker that hangs looks like from outside."""

    def __init__(self, thread):
        self.thread = thread
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._libc.ptrace.restype = ctypes.c_long

    def _ptrace(self, request):
        if self._libc.ptrace(request, self.thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def __enter__(self):
        self._ptrace(PTRACE_SEIZE)
        self._ptrace(PTRACE_INTERRUPT)
        assert os.WIFSTOPPED(os.waitpid(self.thread, WALL)[1])
        return self

    def __exit__(self, *_):
        self._ptrace(PTRACE_DETACH)


def thread_named(daemon, name):
    return next(int(task.name) for task in Path(f"/proc/{daemon.pid}/task").iterdir() if (task / "comm").read_text().strip() == name)


def feedings(manager):
    return sum("WATCHDOG" in message for message in manager.listen())


@pytest.mark.workers
def test_the_watchdog_is_fed_while_workers_are_idle_and_not_while_one_of_them_hangs(tidepool, manager):
    daemon = tidepool(env={**manager.env, "WATCHDOG_USEC": "200000"}, workers=3)
    wait_until(lambda: feedings(manager) >= 3, "the watchdog is fed by workers that have nothing to do")
    with Stopped(thread_named(daemon, "worker 1")):
        most = feedings(manager) + 1            # what it was asked for before it was stopped still counts, once
        holds_for(lambda: feedings(manager) <= most, "the watchdog is fed although a worker hangs", duration=2)
        assert daemon.is_running()
    wait_until(lambda: feedings(manager) > most, "the watchdog is fed again")


def test_a_daemon_that_is_not_watched_feeds_no_watchdog(tidepool, manager):
    daemon = tidepool(env=manager.env)
    manager.wait_for("READY=1")
    holds_for(lambda: feedings(manager) == 0, "there is no watchdog")
    other = tidepool(env={**manager.env, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(daemon.pid)})
    holds_for(lambda: feedings(manager) == 0, "it is another process that is watched")
    assert other.is_running()
