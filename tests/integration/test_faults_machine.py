"""The machine itself: a full disk under the log, a wall clock that jumps, ten thousand idle clients, a client that does not
read."""

import datetime
import os
import re
import resource
import struct
import subprocess
import time
from pathlib import Path

import pytest
from harness import wire
from harness.daemon import CONSTANT_MEMORY, SANITIZERS
from harness.sessions import wait_until_resting
from harness.waiting import SLOWNESS, holds_for, wait_until

# A full disk


@pytest.fixture
def small_disk(tmp_path):
    """small_disk.prefix: a command by which a process has a disk of 64 kB at small_disk.path, which nobody else sees."""
    class SmallDisk:
        path = tmp_path / "disk"
        prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                  'mount -t tmpfs -o size=64k disk "$0" && exec "$@"', str(path)]

        def seen_by(self, daemon):
            return Path(f"/proc/{daemon.pid}/root{self.path}")

    SmallDisk.path.mkdir()
    return SmallDisk()


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own needs root")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_full_disk_under_the_log_stops_nobody_and_the_log_goes_on_when_there_is_room(tidepool, small_disk, form):
    daemon = tidepool(prefix=small_disk.prefix, workers=2,
                      log={"level": "debug", "format": form, "to": str(small_disk.path / "tidepool.log")})
    disk = small_disk.seen_by(daemon)
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"x" * 4096)
    log = disk / "tidepool.log"

    def work(times):
        for number in range(times):
            with daemon.wire("bench") as client:
                assert client.value(f"select {number}") == str(number)
                client.terminate()

    work(300)                                       # three lines each: more than 64 kB
    assert log.stat().st_size < 64 * 1024
    daemon.reload(expect="")                        # a reload with its own lines for the log
    work(20)
    filler.unlink()
    written = log.stat().st_size
    work(20)
    wait_until(lambda: log.stat().st_size > written, "the log goes on")
    assert re.search(r"\d+ lines of the log were lost: No space left on device", log.read_text()), "how many were lost is said"
    assert daemon.pool_stats("bench")["requests_errors"] == 0


# A clock that jumps


@pytest.fixture(scope="session")
def jumping_clock_library(tmp_path_factory):
    library = tmp_path_factory.mktemp("clock") / "jumping_clock.so"
    source = Path(__file__).parent / "harness/jumping_clock.c"
    done = subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library


@pytest.fixture
def clock(jumping_clock_library, tmp_path):
    """clock.env: what makes a daemon's wall clock jump; clock.jump(seconds): where it stands from now on."""
    class Clock:
        file = tmp_path / "clock"
        env = {"LD_PRELOAD": str(jumping_clock_library), "JUMPING_CLOCK": str(tmp_path / "clock"),
               "ASAN_OPTIONS": SANITIZERS["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}

        def jump(self, seconds):
            with open(self.file, "r+b") as file:
                file.write(struct.pack("q", seconds))

    Clock.file.write_bytes(struct.pack("q", 0))
    return Clock()


DAY = 86400


@pytest.mark.parametrize("jump", [DAY, -DAY, 3600 * DAY], ids=["a day forward", "a day back", "ten years forward"])
def test_a_clock_that_jumps_ends_no_wait_no_connection_and_no_login(tidepool, clock, jump):
    """Only the wall clock jumps (NTP, a machine that was asleep); all limits of time go by the monotonic one."""
    daemon = tidepool(env=clock.env, limits={"login_timeout": "50s"}, pools={"bench": {
        "min_size": 2, "max_size": 2, "timeout": "50s", "max_lifetime": "1h", "max_idle": "10min", "check": "30s",
        "client_idle": "10min", "idle_in_transaction": "10min", "query": "10min"}})
    wait_until_resting(daemon, count=2)
    pids = {row["pid"] for row in daemon.backends("bench")}
    holder, in_transaction, waiting, half_logged_in = daemon.wire("bench"), daemon.wire("bench"), daemon.wire("bench"), daemon.wire()
    assert holder.value("select 1") == "1"
    in_transaction.ask("begin")
    waiting.send(wire.query("select 'served'"))
    half_logged_in.send(wire.startup(user="app", database="bench")[:20])
    wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == 1, "it waits")

    clock.jump(jump)
    shown = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=jump)
    row = next(row for row in daemon.console("SHOW CLIENTS") if row["database"] == "tidepool")
    assert row["connect_time"][:4] == str(shown.year), "the clock did jump"
    assert row["connect_time"][:10] in (str(shown.date()), str((shown - datetime.timedelta(minutes=5)).date()))
    holds_for(lambda: daemon.pool_stats("bench")["requests_waiting"] == 1, "it goes on waiting", 1.5)
    assert {row["pid"] for row in daemon.backends("bench")} == pids
    assert half_logged_in.is_silent(0.1) and holder.is_silent(0.1)

    in_transaction.ask("commit")
    in_transaction.terminate()
    assert waiting.read_until_ready()[1].values == [b"served"]
    assert holder.value("select 2") == "2"
    half_logged_in.send(wire.startup(user="app", database="bench")[20:])
    half_logged_in.finish_login()
    # What is made after the jump is as good as ever, and so is the way back.
    daemon.console("RECONNECT bench")
    holder.terminate()
    waiting.terminate()
    wait_until_resting(daemon, count=2)
    clock.jump(0)
    with daemon.wire("bench") as client:
        assert client.value("select 3") == "3"
        assert all(row["wait"] < 3600 for row in daemon.console("SHOW CLIENTS"))
    stats = daemon.pool_stats("bench")
    assert stats["requests_errors"] == 0 and stats["connections_lost"] == 0
    assert max(stats["requests_wait_ms"], stats["usage_ms"], stats["connections_ms"]) < 1000 * 300


def test_a_clock_that_jumps_during_a_dial_neither_ends_nor_prolongs_it(tidepool, fake_server, clock):
    """connect_timeout goes by the monotonic clock too; libpq's own would not."""
    came = []

    def script(server):
        came.append(server)
        server.read_startup()
        if len(came) == 1:
            clock.jump(DAY)
            time.sleep(0.5)
        elif len(came) == 2:
            clock.jump(-DAY)
            server.never_answer()
        server.log_in()
        server.serve()

    fake = fake_server(script)
    daemon = tidepool(env=clock.env, pools={"bench": {
        "conninfo": fake.conninfo(connect_timeout=2 * int(SLOWNESS)), "min_size": 0, "max_size": 2, "timeout": "50s"}})
    first = daemon.wire("bench")
    assert first.ask("x")[-1].type == "Z" and len(came) == 1
    second = daemon.wire("bench")
    began = time.monotonic()
    assert second.ask("x", 30)[-1].type == "Z" and len(came) >= 3
    assert time.monotonic() - began < 20 * SLOWNESS


# Many


@pytest.mark.timeout(240)
def test_ten_thousand_idle_clients_and_some_that_work(tidepool):
    """As many as the descriptors of this process allow, which has one for each as well; 10,000 from a limit of some 10,300 on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = len(os.listdir("/proc/self/fd")) + 200  # of this process already, and of what follows
    many = min(10_000, hard - others)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, many + others), hard))
    daemon = tidepool(workers=2, limits={"max_clients": many + 100}, log={"level": "warning"},
                      pools={"bench": {"min_size": 4, "max_size": 4, "timeout": "60s"}})
    idle = []
    try:
        with daemon.wire("bench") as warm:
            warm.value("select 1")
        before = daemon.resident_bytes()
        for _ in range(many):
            idle.append(daemon.wire("bench"))
        each = (daemon.resident_bytes() - before) / many
        if SLOWNESS == 1:                           # a sanitizer's shadows are not the daemon's
            assert each < 4096, f"{each:.0f} bytes for each idle client"
        assert daemon.console("SHOW POOLS")[0]["database"]
        # Those in between work as if they were alone; none of the idle ones has a server.
        for client in idle[:: many // 200]:
            assert client.value("select 42") == "42"
            client.terminate()
        assert len(daemon.backends("bench")) == 4
        assert idle[1].status == "I" and idle[1].is_silent(0.01)
    finally:
        for client in idle:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until(lambda: daemon.open_descriptors() < 200, "descriptors are given back", 60)
    assert daemon.pool_stats("bench")["requests_errors"] == 0


# Slow


@pytest.mark.timeout(120)
def test_slow_readers_of_large_results_cost_no_memory_and_hold_nobody_up(tidepool):
    """Ten read a little of 30 MB each and then nothing; an eleventh works on; then they vanish, or read on."""
    daemon = tidepool(workers=2, pools={"bench": {"min_size": 11, "max_size": 11}})
    wait_until_resting(daemon, count=11)
    before = daemon.resident_bytes()
    slow = [daemon.wire("bench") for _ in range(10)]
    for client in slow:
        client.send(wire.query("select repeat('x', 1000) from generate_series(1, 30000)"))
        client.read_until("D")
    with daemon.wire("bench") as quick:
        for number in range(200):
            assert quick.value(f"select {number}") == str(number)
    assert daemon.resident_bytes() - before < CONSTANT_MEMORY
    for client in slow[5:]:
        client.close()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] >= 6, "those that vanished gave their servers back", 30)
    for client in slow[:5]:
        rows = sum(answer.type == "D" for answer in client.read_until_ready(60))
        assert rows == 30_000 - 1
        client.terminate()
    wait_until_resting(daemon, count=11)
    assert daemon.resident_bytes() - before < CONSTANT_MEMORY
