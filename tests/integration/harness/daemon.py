"""The daemon under test: writes its settings file, starts it, reads its log, ends it, and judges how it ended.

The binary is $TIDEPOOL, else the release build.
"""

import ctypes
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from harness.waiting import SLOWNESS, wait_until
from harness.wire import WireClient

ROOT = Path(__file__).resolve().parents[3]
# libuv closes descriptors by the bare system call, which ThreadSanitizer does not see: without ignore_noninstrumented_modules the next use of
# the same number by another thread is a race to it.
SANITIZERS = {
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=1:detect_stack_use_after_return=1:quarantine_size_mb=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "exitcode=66:second_deadlock_stack=1:history_size=4:ignore_noninstrumented_modules=1",
}
REPORT = re.compile(r"ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed")

# What resident memory may grow by where it is to stay constant. A sanitizer keeps what was freed, and shadows of all of it.
CONSTANT_MEMORY = (8 if SLOWNESS == 1 else 32) * 1024 * 1024


def binary_under_test():
    return Path(os.environ.get("TIDEPOOL") or ROOT / "build/release/daemon/tidepoold")


def libpq_version():
    """Of the libpq that the daemon under test runs with: 150012 is 15.12."""
    libraries = subprocess.run(["ldd", binary_under_test()], capture_output=True, text=True, check=True).stdout
    return ctypes.CDLL(re.search(r"libpq\.so\.5 => (\S+)", libraries)[1]).PQlibVersion()


class Tidepool:
    """Tidepool(settings).start(); settings are the YAML file as a dictionary, or its text.

    What a dictionary leaves out and a test rarely cares for is filled in: a Unix socket in the daemon's own folder
    with `auth: trust`, and a console for `app` and for the user that runs the tests. `prefix` is a command to run
    the daemon by.
    """

    def __init__(self, settings, *, env=None, binary=None, arguments=(), prefix=(), inherits=()):
        self.folder = Path(tempfile.mkdtemp(prefix="tidepool-"))
        os.chmod(self.folder, 0o755)
        self.settings_file = self.folder / "tidepool.yaml"
        self.log_file = self.folder / "log"
        self.binary = Path(binary) if binary else binary_under_test()
        self.databases = {}                     # pool: database, where the fixture made one
        self.front = None                       # a Proxy through which clients come
        self.expected_exit = 0                  # a test that wants another says so
        self._env = {**os.environ, **SANITIZERS, **(env or {})}
        self._arguments = list(arguments)
        self._prefix = list(prefix)
        self._inherits = list(inherits)         # listening sockets, handed over as systemd does
        self._process = None
        self._judged = False
        self.write_settings(settings)

    # Life of the daemon

    def start(self, wait=True):
        self._judged = False
        with open(self.log_file, "ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, "setpriv", "--pdeathsig", "KILL", *self._hand_over(), self.binary, "-c", self.settings_file, *self._arguments],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._env, cwd=self.folder,
                start_new_session=True, pass_fds=[inherited.fileno() for inherited in self._inherits])
        if wait:
            self.wait_until_listening()
        return self

    def _hand_over(self):
        """A command that goes in front of the daemon's: descriptors from 3 on, LISTEN_FDS and LISTEN_PID, as sd_listen_fds(3) has them."""
        if not self._inherits:
            return []
        descriptors = [inherited.fileno() for inherited in self._inherits]
        return [sys.executable, "-c",
                "import os, sys\n"
                f"copies = [os.dup(fd) for fd in {descriptors}]\n"
                "high = [os.dup2(fd, 100 + at) for at, fd in enumerate(copies)]\n"
                "for at, fd in enumerate(high): os.dup2(fd, 3 + at)\n"
                "os.closerange(3 + len(high), 200)\n"
                "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)),"
                " LISTEN_FDNAMES=':'.join(f'test{at}.socket' for at in range(len(high))))\n"
                "os.execv(sys.argv[1], sys.argv[1:])"]

    def wait_until_listening(self, timeout=20):
        def listening():
            assert self.is_running(), f"tidepoold ended with {self._process.returncode} at its start:\n{self.log()}"
            return all(self._accepts(listener) for listener in self.settings.get("listen", []))
        wait_until(listening, lambda: f"tidepoold listens; its log:\n{self.log()}", timeout)

    def reload(self, settings=None, expect=r"(?i)reload"):
        """Writes `settings`, if any, sends SIGHUP, and waits for a line of the log that matches `expect`."""
        if settings is not None:
            self.write_settings(settings)
        mark = len(self.log())
        self._process.send_signal(signal.SIGHUP)
        return self.wait_for_log(expect, mark)

    def stop(self, timeout=20):
        """SIGINT, which waits for no client, then judgement: see check_finished()."""
        if self.is_running():
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout * SLOWNESS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"tidepoold did not stop within {timeout * SLOWNESS:g} s:\n{self.log()}") from None
        self.check_finished()

    def signal(self, which):
        self._process.send_signal(which)

    def kill(self):
        """SIGKILL, which is not judged."""
        if self.is_running():
            self._process.kill()
        self._process.wait()
        self._judged = True

    def wait(self, timeout=20):
        """Waits for the daemon to end by itself (SHUTDOWN, say) and returns its exit code."""
        return self._process.wait(timeout * SLOWNESS)

    def check_finished(self):
        """Fails when the daemon ended with another exit code than expected, or when a sanitizer reported something."""
        if self._judged or self._process is None:
            return
        self._judged = True
        log = self.log()
        assert not REPORT.search(log), f"a sanitizer reported:\n{log[max(0, REPORT.search(log).start() - 500):]}"
        assert self._process.returncode == self.expected_exit, \
            f"tidepoold ended with {self._process.returncode}:\n{log[-5000:]}"

    def remove(self):
        """Ends it and removes its folder; the last thing that happens to it."""
        try:
            if self._process is not None:
                self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def is_running(self):
        return self._process is not None and self._process.poll() is None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.remove()

    # Settings

    def write_settings(self, settings):
        if isinstance(settings, str):
            self.settings = yaml.safe_load(settings) or {}
            text = settings
        else:
            self.settings = {**self._usual_settings(), **settings}
            text = yaml.safe_dump(self.settings, sort_keys=False)
        self.settings_file.write_text(text)
        os.chmod(self.settings_file, 0o640)

    def _usual_settings(self):
        me = pwd.getpwuid(os.geteuid()).pw_name
        return {
            "listen": [{"unix": str(self.folder), "port": 6432, "mode": "0777", "auth": "trust"}],
            "console": {"users": ["app"], "peers": [me]},
            "log": {"level": "debug"},
        }

    # Reaching it

    @property
    def pid(self):
        return self._process.pid

    @property
    def host(self):
        """Folder of the first Unix socket, else the address of the first listener."""
        if self.front:
            return str(self.front.folder)
        listeners = self.settings["listen"]
        first = next((listener for listener in listeners if "unix" in listener), listeners[0])
        return first.get("unix") or first["tcp"]

    @property
    def port(self):
        if self.front:
            return self.front.port
        listeners = self.settings["listen"]
        return next((listener for listener in listeners if "unix" in listener), listeners[0]).get("port", 6432)

    @property
    def socket_path(self):
        return Path(self.host) / f".s.PGSQL.{self.port}"

    def conninfo(self, pool, user="app", **others):
        others = {"host": self.host, "port": self.port, "dbname": pool, "user": user, **others}
        return " ".join(f"{key}='{value}'" for key, value in others.items())

    def connect(self, pool, user="app", **others):
        """A psycopg connection in autocommit."""
        import psycopg
        others = {"autocommit": True, **others}
        return psycopg.connect(self.conninfo(pool, user), **others)

    def wire(self, pool=None, user="app", **startup):
        """A raw protocol client (harness/wire.py); with a pool, logged in to it."""
        client = WireClient(self.socket_path)
        if pool is not None:
            client.log_in(user=user, database=pool, **startup)
        return client

    def psql(self, *arguments, pool, user="app", stdin=None, check=True, env=None):
        """Runs psql -XAt through the daemon; returns what it printed, or the whole result when check is off."""
        done = subprocess.run(["psql", "-XAt", "-d", self.conninfo(pool, user), *arguments], input=stdin,
                              capture_output=True, text=True, timeout=60 * SLOWNESS, env={**os.environ, **(env or {})})
        if not check:
            return done
        assert done.returncode == 0, f"psql failed: {done.stderr}"
        return done.stdout

    # Looking at it

    def console(self, sql, user="app"):
        """A command of the console; rows as dictionaries."""
        with self.connect("tidepool", user) as connection:
            cursor = connection.execute(sql)
            if not cursor.description:
                return []
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor.fetchall()]

    def pool_stats(self, pool):
        """SHOW POOL_STATS of one pool, as a dictionary of numbers."""
        return next(row for row in self.console("SHOW POOL_STATS") if row["pool"] == pool)

    def log(self):
        """With all that the daemon has said until now: its own thread writes it."""
        self._let_log_thread_finish()
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def _let_log_thread_finish(self, looks=3000):
        """The thread is woken while a line is put into its queue, and sleeps when all is written (or hangs, with its reader)."""
        slept = None        # with how much written
        while self.is_running() and looks > 0:
            states = list(self.states_of_threads("log"))
            written = self.log_file.stat().st_size if self.log_file.exists() else 0
            asleep = written if states and all(state == "S" for state in states) else None
            if asleep is not None and asleep == slept:
                return
            slept = asleep
            looks -= 1 if states else 60    # it has not said its name yet, or is somebody else's
            time.sleep(0.001)

    def states_of_threads(self, name=None):
        """Their letters in /proc; of those of that name."""
        for task in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            try:
                head, _, fields = task.read_text().rpartition(")")
            except OSError:
                continue                        # it has ended
            if name is None or head.partition("(")[2] == name:
                yield fields.split()[0]

    def wait_for_log(self, pattern, since=0, timeout=10):
        """Waits for the log, from offset `since` (len(daemon.log()) of an earlier moment), to match; returns the match."""
        return wait_until(lambda: re.search(pattern, self.log()[since:]),
                          lambda: f"the log has {pattern!r}; it has:\n{self.log()[since:][-3000:]}", timeout)

    def open_descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_bytes(self):
        return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())[1]) * 1024

    def _accepts(self, listener):
        port = listener.get("port", 6432)
        try:
            if "unix" in listener:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(f"{listener['unix']}/.s.PGSQL.{port}")
            else:
                address = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(listener["tcp"], listener["tcp"])
                socket.create_connection((address, port), 1).close()
            return True
        except OSError:
            return False


def check(settings, *, binary=None, folder=None):
    """tidepoold --check on settings (a dictionary, a text, or a path): (exit code, lines that it printed, stderr)."""
    own = folder is None
    folder = Path(folder or tempfile.mkdtemp(prefix="tidepool-"))
    try:
        path = settings if isinstance(settings, Path) else folder / "tidepool.yaml"
        if not isinstance(settings, Path):
            path.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings, sort_keys=False))
            os.chmod(path, 0o640)
        done = subprocess.run([binary or binary_under_test(), "--check", path], capture_output=True, text=True,
                              timeout=60, env={**os.environ, **SANITIZERS})
        assert not REPORT.search(done.stderr), done.stderr
        return done.returncode, done.stdout.splitlines(), done.stderr
    finally:
        if own:
            shutil.rmtree(folder, ignore_errors=True)
