"""What is compared: each contender is started in front of a server, is reached through a Unix socket, and is one worker.

    with start("pgbouncer", server, Setup(pool_size=16), programs) as contender:
        contender.socket_path, contender.pid
"""

import base64
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from harness.daemon import Tidepool
from harness.waiting import wait_until

PORT = 6432
MAX_CLIENTS = 12000


@dataclass
class Setup:
    """The same settings for all."""
    pool_size: int = 16
    reset: str = "none"                     # or discard_all
    auth: str = "trust"                     # or scram-sha-256; the user is `app`
    pgbouncer_mode: str = "session"


@dataclass
class Programs:
    """Where the programs are. `tidepoolds`: name to path; there are two when two builds are compared."""
    build: Path
    pgbouncer: str
    tidepoolds: dict = field(default_factory=dict)

    def of_bench(self, name):
        return self.build / "bench" / f"bench_{name}"


@dataclass
class Server:
    """What stands behind the contenders: a PostgreSQL, or the fake one."""
    folder: Path
    port: int = 5432

    @property
    def socket_path(self):
        return Path(self.folder) / f".s.PGSQL.{self.port}"


def scram_secret(password, rounds):
    """As PostgreSQL stores it. Few rounds: those are the client's work, and with the usual 4,096 two CPUs would do little else."""
    salt = b"sixteen bytes of"
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    text = [base64.b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))]
    return f"SCRAM-SHA-256${rounds}:{text[0]}${text[1]}:{text[2]}"


SECRET = scram_secret("secret", 16)


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

    def run(self, *command, prefix=()):
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *prefix, *map(str, command)], cwd=self.folder, stdin=subprocess.DEVNULL,
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


def start(name, server, setup, programs):
    if name == "direct":
        return Direct(server)
    if name == "relay":
        process = Process(name)
        return process.run(programs.of_bench("byte_relay"), process.socket_path, server.socket_path)
    if name == "pgbouncer":
        return _start_pgbouncer(server, setup, programs)
    return _start_tidepoold(name, server, setup, programs)


def _start_tidepoold(name, server, setup, programs):
    daemon = Tidepool("", binary=programs.tidepoolds[name])
    daemon.write_settings({
        "listen": [{"unix": str(daemon.folder), "port": PORT, "mode": "0777", "auth": setup.auth}],
        "workers": 1,
        "users": {"app": {"password": SECRET}},
        "pools": {"bench": {
            "conninfo": f"host={server.folder} port={server.port} dbname=bench user=app",
            "min_size": setup.pool_size, "max_size": setup.pool_size, "reset": setup.reset}},
        "console": {"users": ["app"]},
        "limits": {"max_clients": MAX_CLIENTS},
        "log": {"level": "warning"},
    })
    return TidepoolProcess(name, daemon.start())


PGBOUNCER_INI = """\
[databases]
bench = host={server.folder} port={server.port} dbname=bench user=app
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
unix_socket_mode = 0777
listen_port = {port}
auth_type = {setup.auth}
auth_file = {folder}/users
pool_mode = {setup.pgbouncer_mode}
default_pool_size = {setup.pool_size}
max_client_conn = {max_clients}
server_reset_query = {reset}
log_connections = 0
log_disconnections = 0
log_stats = 0
"""


def _start_pgbouncer(server, setup, programs):
    process = Process("pgbouncer")
    settings = process.folder / "pgbouncer.ini"
    reset = "DISCARD ALL" if setup.reset == "discard_all" else ""
    settings.write_text(PGBOUNCER_INI.format(server=server, setup=setup, folder=process.folder, port=PORT, reset=reset,
                                             max_clients=MAX_CLIENTS))
    (process.folder / "users").write_text(f'"app" "{SECRET}"\n')
    # It refuses to run as root.
    as_user = ["--reuid", "postgres", "--regid", "postgres", "--init-groups"] if os.geteuid() == 0 else []
    return process.run(programs.pgbouncer, settings, prefix=as_user)
