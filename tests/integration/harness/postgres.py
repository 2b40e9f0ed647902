"""A private PostgreSQL: a cluster of its own in a temporary folder, reached through a Unix socket in that folder only.

Needs nothing but the standard library until a connection is asked for, so that tools/private_postgres can use it as well.
As root, the server runs as the user postgres. It ends when the process (thread) that started it does.
"""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from harness.waiting import wait_until

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_connections": "off",
    "lc_messages": "C",
}
TRUST_HBA = "local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all ::1/128 trust\n"


def newest_bin_dir():
    """The folder of the newest installed server's programs; PG_BIN in the environment chooses another."""
    if os.environ.get("PG_BIN"):
        return Path(os.environ["PG_BIN"])
    found = [Path(path).parent for path in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    if shutil.which("initdb"):
        return Path(shutil.which("initdb")).parent
    raise RuntimeError("no PostgreSQL server is installed (Debian: apt-get install postgresql postgresql-contrib)")


def free_port():
    """A TCP port of 127.0.0.1 that the operating system says is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def children_of(pid):
    """The processes that a process started, theirs too."""
    found = []
    for status in glob.glob("/proc/[0-9]*/stat"):
        try:
            text = Path(status).read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == pid:
            child = int(status.split("/")[2])
            found += [child, *children_of(child)]
    return found


# For a server that others follow.
REPLICATED = {"settings": {"wal_level": "replica", "max_wal_senders": 4, "hot_standby": "on"}, "hba": TRUST_HBA + "local replication all trust\n"}


class PrivatePostgres:
    """start() it, stop() it; also a context manager. `settings` are lines of postgresql.conf, `tcp` listens on
    127.0.0.1 at a port that the operating system chooses (self.port; it also names the Unix socket). `prefix` is a
    command to run the server by (harness/network.py). `standby_of` is another that this one copies and follows, until
    promote(); it was started with REPLICATED."""

    def __init__(self, *, bin_dir=None, settings=None, hba=TRUST_HBA, tcp=False, tls=False, folder=None, prefix=(), standby_of=None):
        self.standby_of = standby_of
        self._prefix = list(prefix)
        self.bin_dir = Path(bin_dir) if bin_dir else newest_bin_dir()
        self._own_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="tidepool-pg-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.log_file = self.folder / "postgres.log"
        self.tcp, self.tls = tcp, tls
        self.port = free_port() if tcp else 5432
        self._extra = dict(settings or {})
        self._hba = hba
        self._process = None
        self._monitor = None
        self._lock = threading.RLock()
        self._count = 0
        self._as_user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self._make_cluster()

    # Life of the server

    def start(self, wait=True):
        with open(self.log_file, "ab") as log:
            self._process = subprocess.Popen(
                self._prefix + self._run_as(["--pdeathsig", "INT"]) + [self.bin_dir / "postgres", "-D", self.data],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, cwd=self.folder)
        if wait:
            self.wait_until_ready()
        return self

    def wait_until_ready(self, timeout=60):
        def ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log()[-3000:]}")
            lines = self._pid_file_lines()
            return len(lines) >= 8 and lines[7].strip() == "ready" and int(lines[0]) == self._process.pid
        wait_until(ready, "PostgreSQL is ready", timeout)

    def stop(self, mode="fast"):
        """mode: smart | fast | immediate, as pg_ctl says it."""
        self._forget_monitor()
        if self.is_running():
            self._process.send_signal({"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(60)

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def promote(self):
        subprocess.run(self._run_as() + [self.bin_dir / "pg_ctl", "-D", self.data, "promote", "-w"], capture_output=True, check=True, cwd=self.folder)

    def kill(self):
        """SIGKILL to all of it: what the machine's power failing looks like from outside."""
        self._forget_monitor()
        pids = [self._process.pid, *children_of(self._process.pid)]
        for pid in pids:
            self._signal(pid, signal.SIGKILL)
        self._process.wait(60)
        wait_until(lambda: not any(self._alive(pid) for pid in pids), "all of PostgreSQL is gone")

    def pause(self, backends=False):
        """SIGSTOP: the kernel still accepts connections, nobody answers. With `backends`, those there stop too."""
        for pid in [self._process.pid, *(children_of(self._process.pid) if backends else [])]:
            self._signal(pid, signal.SIGSTOP)

    def resume(self):
        for pid in [self._process.pid, *children_of(self._process.pid)]:
            self._signal(pid, signal.SIGCONT)

    def is_running(self):
        return self._process is not None and self._process.poll() is None

    def remove(self):
        """Stops it and removes its folder."""
        if self.is_running():
            self.resume()
            self.stop("immediate")
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.remove()

    # Settings of the server

    def set_hba(self, text):
        """Replaces pg_hba.conf and reloads."""
        self._hba = text
        self._write(self.data / "pg_hba.conf", text)
        if self.is_running():
            self.reload()

    def set(self, **settings):
        """ALTER SYSTEM for each (None: back to the default), then reload; some only take effect at a restart."""
        for name, value in settings.items():
            self.execute(f"alter system reset {name}" if value is None
                         else f"alter system set {name} = '{value}'")
        self.reload()

    def reload(self):
        before = self._fresh_query("select pg_conf_load_time()")
        self._process.send_signal(signal.SIGHUP)
        # Backends reread between their statements: new ones have it as soon as the postmaster does.
        wait_until(lambda: self._fresh_query("select pg_conf_load_time()") != before, "PostgreSQL has reloaded")

    # Working with it

    def conninfo(self, dbname="postgres", user="postgres", **others):
        """A conninfo as an application, or a pool of Tidepool, would write it."""
        others = {"host": self.folder, "port": self.port, "dbname": dbname, "user": user, **others}
        return " ".join(f"{key}={_quoted(value)}" for key, value in others.items())

    def connect(self, dbname="postgres", user="postgres", **others):
        """A psycopg connection in autocommit, straight to PostgreSQL."""
        import psycopg
        return psycopg.connect(self.conninfo(dbname, user, **others), autocommit=True)

    def query(self, sql, parameters=None):
        """Rows, over a connection of the superuser that is kept for this purpose."""
        import psycopg
        with self._lock:
            if self._monitor is None or self._monitor.closed:
                self._monitor = self.connect(application_name="harness")
            try:
                cursor = self._monitor.execute(sql, parameters)
            except psycopg.OperationalError:
                self._forget_monitor()
                raise
            return cursor.fetchall() if cursor.description else []

    def execute(self, sql, parameters=None):
        self.query(sql, parameters)

    def psql(self, *arguments, dbname="postgres", user="postgres", stdin=None):
        """Runs psql -XAt and returns what it printed."""
        done = subprocess.run(["psql", "-XAt", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo(dbname, user), *arguments],
                              input=stdin, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"psql failed: {done.stderr}"
        return done.stdout

    def create_database(self, name=None, owner="app", template="template0", options=""):
        """A new database, of a name of its own unless told; returns its name."""
        with self._lock:
            self._count += 1
            name = name or f"test_{self._count}"
            self.execute(f'create database "{name}" owner "{owner}" template {template} {options}')
        return name

    def drop_database(self, name):
        """With who is still in it."""
        if self.version < 130000:
            self.terminate(database=name)
            self.execute(f'drop database if exists "{name}"')
        else:
            self.execute(f'drop database if exists "{name}" with (force)')

    def create_role(self, name, password=None, options=""):
        password = f"password '{password}'" if password else ""
        self.execute(f'create role "{name}" login {password} {options}')
        return name

    def backends(self, database=None, user=None, application_name=None):
        """What pg_stat_activity says of the clients' backends, as dictionaries; the harness's own is not among them."""
        columns = ["pid", "datname", "usename", "application_name", "state", "query", "backend_start", "wait_event"]
        rows = self.query(
            f"select {', '.join(columns)} from pg_stat_activity"
            " where backend_type = 'client backend' and pid <> pg_backend_pid()"
            " and (%(database)s::text is null or datname = %(database)s)"
            " and (%(user)s::text is null or usename = %(user)s)"
            " and (%(name)s::text is null or application_name = %(name)s) order by backend_start, pid",
            {"database": database, "user": user, "name": application_name})
        return [dict(zip(columns, row)) for row in rows]

    def terminate(self, **which):
        """pg_terminate_backend() for the backends that backends(**which) names; returns how many."""
        pids = [row["pid"] for row in self.backends(**which)]
        for pid in pids:
            self.execute("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not set(pids) & {row["pid"] for row in self.backends()}, "terminated backends are gone")
        return len(pids)

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def socket_path(self):
        return self.folder / f".s.PGSQL.{self.port}"

    @property
    def version(self):
        """150012 is 15.12."""
        return int(self.query("show server_version_num")[0][0])

    @property
    def pid(self):
        return self._process.pid

    # Inside

    def _make_cluster(self):
        os.chmod(self.folder, 0o755)
        if self._as_user:
            os.chown(self.folder, self._as_user.pw_uid, self._as_user.pw_gid)
        if self.standby_of:
            return self._copy_cluster(self.standby_of)
        done = subprocess.run(
            self._run_as() + [self.bin_dir / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-N",
                              "-E", "UTF8", "--locale=C.UTF-8"],
            capture_output=True, text=True, cwd=self.folder)
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stderr}{done.stdout}")
        if self.tls:
            self._make_certificate()
        settings = {**SETTINGS, "listen_addresses": "127.0.0.1" if self.tcp else "", "port": self.port,
                    "unix_socket_directories": self.folder, "ssl": "on" if self.tls else "off", **self._extra}
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self._write(self.data / "pg_hba.conf", self._hba)

    def _copy_cluster(self, primary):
        subprocess.run(
            self._run_as() + [self.bin_dir / "pg_basebackup", "-h", primary.folder, "-p", str(primary.port), "-U", "postgres", "-D", self.data, "-R", "-c", "fast"],
            capture_output=True, check=True, cwd=self.folder)
        settings = {"listen_addresses": "127.0.0.1" if self.tcp else "", "port": self.port, "unix_socket_directories": self.folder, **self._extra}
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _make_certificate(self):
        """An authority (self.authority, for sslrootcert=) and the server's certificate for localhost and 127.0.0.1."""
        self.authority = self.folder / "authority.crt"
        authority_key = self.folder / "authority.key"
        request = self.folder / "server.csr"
        names = self.folder / "server.ext"
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        for command in (
            ["req", "-x509", *new_key, "-subj", "/CN=Test authority", "-days", "30",
             "-keyout", authority_key, "-out", self.authority],
            ["req", *new_key, "-subj", "/CN=localhost", "-keyout", self.data / "server.key", "-out", request],
            ["x509", "-req", "-in", request, "-CA", self.authority, "-CAkey", authority_key, "-CAcreateserial",
             "-days", "30", "-extfile", names, "-out", self.data / "server.crt"],
        ):
            subprocess.run(["openssl", *command], check=True, capture_output=True)
        for file in ("server.key", "server.crt"):
            os.chmod(self.data / file, 0o600)
            if self._as_user:
                os.chown(self.data / file, self._as_user.pw_uid, self._as_user.pw_gid)

    def _write(self, path, text):
        path.write_text(text)
        if self._as_user:
            os.chown(path, self._as_user.pw_uid, self._as_user.pw_gid)

    def _run_as(self, options=()):
        user = ["--reuid", "postgres", "--regid", "postgres", "--init-groups"] if self._as_user else []
        return ["setpriv", *user, *options] if user or options else []

    def _pid_file_lines(self):
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _fresh_query(self, sql):
        with self.connect(application_name="harness") as connection:
            return connection.execute(sql).fetchone()[0]

    def _forget_monitor(self):
        with self._lock:
            if self._monitor is not None:
                self._monitor.close()
            self._monitor = None

    @staticmethod
    def _signal(pid, which):
        try:
            os.kill(pid, which)
        except ProcessLookupError:
            pass

    @staticmethod
    def _alive(pid):
        try:
            return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False


def _quoted(value):
    text = str(value)
    if text and not any(character in text for character in " '\\"):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
