"""What is compared: each contender is started in front of a server and is reached through a Unix socket.

    with start("pgbouncer", server, Setup(pool_size=16), programs) as contender:
        contender.socket_path, contender.pid
"""

import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import peers
from harness.daemon import Tidepool
from harness.waiting import wait_until
from terms import MAX_CLIENTS, SECRET, Setup

PORT = 6432
OLD = "old"                                 # a tidepoold of before a change
ONE_WORKER = "one worker"                   # tidepoold again, whatever Setup.workers says


@dataclass
class Programs:
    """Where the programs are. `peers`: of peers.py, name to path. `tidepoolds`: name to path; there are two when two builds are compared."""
    build: Path
    peers: dict
    tidepoolds: dict = field(default_factory=dict)

    def of_bench(self, name):
        return self.build / "bench" / f"bench_{name}"

    def can_start(self, name, setup):
        """Peers that are not here cannot. In transaction mode `pgbouncer` is a current one; an older one is `debian`, in some rows."""
        if name not in peers.COMMANDS:
            return True
        if name not in self.peers:
            return False
        return setup.mode == "session" or name != "pgbouncer" or peers.pgbouncer_version(self.peers[name]) >= peers.PREPARES


@dataclass
class Server:
    """What stands behind the contenders: a PostgreSQL, or the fake one."""
    folder: Path
    port: int = 5432

    @property
    def socket_path(self):
        return Path(self.folder) / f".s.PGSQL.{self.port}"


class Process:
    """A process that listens on a Unix socket in a folder of its own, and ends with this one."""

    def __init__(self, name):
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        os.chmod(self.folder, 0o777)
        self.port = PORT
        self._process = None

    @property
    def socket_path(self):
        return self.folder / f".s.PGSQL.{self.port}"

    @property
    def pid(self):
        return self._process.pid

    def run(self, *command):
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, command)], cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)
        wait_until(self._listens, lambda: f"{self.name} listens; its log:\n{self.log()}", 20)
        return self

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)       # PgBouncer would wait for its clients
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listens(self):
        assert self._process.poll() is None, f"{self.name} has ended:\n{self.log()}"
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket_path))
            return True
        except OSError:
            return False


class Direct:
    """No pooler."""
    name = "direct"
    pid = None

    def __init__(self, server):
        self.folder, self.port, self.socket_path = server.folder, server.port, server.socket_path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class TidepoolProcess:
    """The harness's, with the names that the others have."""

    def __init__(self, name, daemon):
        self.name, self._daemon = name, daemon
        self.folder, self.port, self.socket_path = daemon.folder, daemon.port, daemon.socket_path

    @property
    def pid(self):
        return self._daemon.pid

    def log(self):
        return self._daemon.log()

    def pool_stats(self):
        return self._daemon.pool_stats("bench")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._daemon.remove()


def start_fake_server(programs):
    process = Process("fake server")
    process.port = 5432
    return process.run(programs.of_bench("fake_server"), process.socket_path)


def start(name, server, setup, programs, prefix=()):
    """`prefix`: a command to run a tidepoold by."""
    if name == "direct":
        return Direct(server)
    if name == "relay":
        process = Process(name)
        return process.run(programs.of_bench("byte_relay"), process.socket_path, server.socket_path)
    if name in peers.COMMANDS:
        process = Process(name)
        return process.run(*peers.COMMANDS[name](process.folder, process.port, server, setup, programs.peers[name]))
    if name == ONE_WORKER:
        return _start_tidepoold(name, programs.tidepoolds["tidepoold"], server, replace(setup, workers=1))
    return _start_tidepoold(name, programs.tidepoolds[name], server, setup, prefix)


def _start_tidepoold(name, binary, server, setup, prefix=()):
    daemon = Tidepool("", binary=binary, prefix=prefix)
    name = f" application_name={setup.application_name}" if setup.application_name else ""
    pool = {"conninfo": f"host={server.folder} port={server.port} dbname=bench user=app{name}",
            "min_size": setup.pool_size, "max_size": setup.pool_size, "reset": setup.reset}
    if setup.mode != "session":             # a build of before there were modes does not know the setting
        pool["mode"] = setup.mode
    daemon.write_settings({
        "listen": [{"unix": str(daemon.folder), "port": PORT, "mode": "0777", "auth": setup.auth}],
        "workers": setup.workers,
        "users": {"app": {"password": SECRET}},
        "pools": {"bench": pool},
        "console": {"users": ["app"]},
        "limits": {"max_clients": MAX_CLIENTS},
        "log": {"level": "warning"},
    })
    return TidepoolProcess(name, daemon.start())
