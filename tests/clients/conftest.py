"""What the client programs are pointed at: Tidepool in front of a private PostgreSQL, or with CLIENTS_DIRECT=1 that PostgreSQL itself."""

import os
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from harness.daemon import Tidepool
from harness.fixtures import show_log_on_failure
from harness.postgres import PrivatePostgres
from tcp import PASSWORD, listen_over_tcp

DIRECT = os.environ.get("CLIENTS_DIRECT") == "1"
MODES = ["direct"] if DIRECT else ["session", "transaction"]
MAX_SIZE = 8
# Its programs are those of the documents, which show no way around the pool.
collect_ignore = ["test_documented_programs.py"] if DIRECT else []


@dataclass
class Target:
    """Where a client connects to. `database` is the real one's name, `dbname` what the client says (the pool's name)."""

    postgres: PrivatePostgres
    host: Path
    port: int
    dbname: str
    database: str
    daemon: Tidepool | None
    tcp_port: int               # on 127.0.0.1, by SCRAM
    user: str = "app"
    others: dict = field(default_factory=dict)      # further pools, by name

    @property
    def direct(self):
        return self.daemon is None

    @property
    def conninfo(self):
        return f"host={self.host} port={self.port} dbname={self.dbname} user={self.user}"

    @property
    def environment(self):
        """For a program that speaks libpq, and for those of programs.py, which add TCP."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {**inherited, "PGHOST": str(self.host), "PGPORT": str(self.port), "PGDATABASE": self.dbname,
                "PGUSER": self.user, "PGCONNECT_TIMEOUT": "30", "TCP_PORT": str(self.tcp_port), "TCP_PASSWORD": PASSWORD}

    def url(self, driver):
        """As SQLAlchemy writes it."""
        return f"postgresql+{driver}://{self.user}@/{self.dbname}?host={self.host}&port={self.port}"

    def backends(self):
        return self.postgres.backends(database=self.database, user=self.user)


@pytest.fixture(scope="session", params=MODES)
def pool_mode(request):
    """The mode of the pools: every test that has a target runs in each."""
    return request.param


@pytest.fixture(scope="session")
def server():
    with PrivatePostgres(tcp=DIRECT, hba="local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n") as server:
        server.create_role("app", PASSWORD)
        yield server


@pytest.fixture(scope="session")
def targets(server):
    """By mode, made when the first test asks: whatever the order of tests, one daemon for each mode."""
    with ExitStack() as daemons:
        def make(mode):
            databases = {name: server.create_database(f"{name}_of_the_pool_in_mode_{mode}") for name in ("bench", "restored")}
            for name in databases.values():
                server.psql("-c", "grant all on schema public to app", dbname=name)
            if DIRECT:
                restored = Target(server, server.folder, server.port, databases["restored"], databases["restored"], None, server.port)
                return Target(server, server.folder, server.port, databases["bench"], databases["bench"], None, server.port, others={"restored": restored})
            pools = {name: {"conninfo": server.conninfo(database, "app"), "mode": mode, "min_size": 0, "max_size": MAX_SIZE, "timeout": 60}
                     for name, database in databases.items()}
            daemon = Tidepool({"pools": pools, "workers": 2, "log": {"level": "info"}})
            tcp_port = listen_over_tcp(daemon)
            daemons.enter_context(daemon)
            restored = Target(server, daemon.host, daemon.port, "restored", databases["restored"], daemon, tcp_port)
            return Target(server, daemon.host, daemon.port, "bench", databases["bench"], daemon, tcp_port, others={"restored": restored})
        yield cache(make)


@pytest.fixture(scope="session")
def target(targets, pool_mode):
    return targets(pool_mode)


@pytest.fixture(autouse=True)
def log_of_the_daemon_on_failure(request):
    if "target" in request.fixturenames and (daemon := request.getfixturevalue("target").daemon):
        show_log_on_failure(request.node, daemon)


@pytest.fixture
def table():
    """A name that no other test uses."""
    return f"t_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def max_size():
    return MAX_SIZE
