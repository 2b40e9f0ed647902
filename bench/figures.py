"""What the kernel says about a process: the CPU time of its threads, the memory that is its own, the calls that it makes."""

import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

from harness.postgres import children_of


def cpu_seconds(pid):
    """CPU time of all threads that live, to the nanosecond. (Time in /proc/PID/stat is counted in ticks of 10 ms.)"""
    total = 0
    for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(schedstat.read_text().split()[0])
        except OSError:
            pass                            # a thread that has just ended
    return total / 1e9


def cpu_seconds_of_children(pid):
    """Of the processes that one has started: those that live, and, in ticks of 10 ms, those that have ended."""
    reaped = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[13:15])) / os.sysconf("SC_CLK_TCK")
    return reaped + sum(cpu_seconds(child) for child in children_of(pid))


def private_bytes(pid):
    """Resident memory that no other process shares: what ending it would give back."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.M)) * 1024


def resident_bytes(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def open_descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


class Calls:
    """Counts the system calls of a process while the block runs: `with Calls(pid) as calls: ...; calls.counts`, by name."""

    def __init__(self, pid):
        self._file = tempfile.NamedTemporaryFile()
        self._strace = subprocess.Popen(["strace", "-f", "-c", "-p", str(pid), "-o", self._file.name], stderr=subprocess.PIPE, text=True)
        line = self._strace.stderr.readline()
        assert "attached" in line, f"strace: {line}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._strace.send_signal(signal.SIGINT)
        self._strace.communicate(timeout=20)
        rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", self._file.read().decode(), re.M)
        self.counts = {name: int(count) for count, name in rows if name != "total"}
        self._file.close()
