"""Fixtures: `postgres` (one server for the session), `tidepool` (starts daemons, ends them after the test),
`new_postgres` (servers of the test's own), `fake_server`."""

import pytest
from harness.cutting_proxy import CUT, CuttingProxy
from harness.daemon import Tidepool
from harness.fake_server import FakeServer
from harness.postgres import PrivatePostgres
from harness.waiting import SLOWNESS


def pytest_collection_modifyitems(config, items):
    """The time limit of each test, longer where a sanitizer makes everything slower."""
    for item in items:
        mark = item.get_closest_marker("timeout")
        limit = (mark.args[0] if mark and mark.args else float(config.getini("timeout"))) * SLOWNESS
        item.add_marker(pytest.mark.timeout(limit), append=False)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL for all tests of this process, with the role `app`. A test that stops, pauses or configures its
    server takes `new_postgres`."""
    with PrivatePostgres() as server:
        server.create_role("app")
        yield server


@pytest.fixture
def new_postgres():
    """new_postgres(tcp=True, settings={...}): a running server for this test alone, with the role `app`."""
    servers = []

    def start(**options):
        server = PrivatePostgres(**options)
        servers.append(server)
        server.start()
        if not server.standby_of:
            server.create_role("app")
        return server

    yield start
    for server in servers:
        server.remove()


@pytest.fixture
def tidepool(request, postgres):
    """tidepool(pools={"bench": {"max_size": 2}}, workers=4): a running daemon.

    A pool without `conninfo` gets a new database of `postgres` (or of the PrivatePostgres given as `server`), user
    app: daemon.databases["bench"] is its name, daemon.backends("bench") its backends. `pools` may be left out: one
    pool `bench` at its defaults. `settings` gives the whole file as text or dictionary instead; `start=False` leaves
    starting to the test; `env`, `arguments`, `binary`, `prefix` and `inherits` as in Tidepool.
    In a test marked @also_cut (harness/cutting_proxy.py) a proxy cuts what passes on both sides.
    """
    daemons, databases, proxies = [], [], []
    cuts = getattr(request, "param", None) == CUT

    def behind_a_proxy(server):
        proxies.append(CuttingProxy(server.socket_path))
        return proxies[-1]

    def start_daemon(settings=None, *, pools=None, server=postgres, start=True, env=None, arguments=(), binary=None,
                     prefix=(), inherits=(), **others):
        made = {}
        if settings is None:
            pools = {name: dict(pool or {}) for name, pool in (pools or {"bench": {}}).items()}
            for name, pool in pools.items():
                if "conninfo" not in pool:
                    made[name] = server.create_database()
                    databases.append((server, made[name]))
                    pool["conninfo"] = server.conninfo(made[name], "app")
                if cuts:
                    folder = str(behind_a_proxy(server).folder)
                    pool["conninfo"] = pool["conninfo"].replace(str(server.folder), folder)
            settings = {"pools": pools, "workers": 1, **others}
        daemon = Tidepool(settings, env=env, arguments=arguments, binary=binary, prefix=prefix, inherits=inherits)
        daemon.databases = made
        daemon.backends = lambda pool, **which: server.backends(database=made[pool], **which)
        daemons.append(daemon)
        show_log_on_failure(request.node, daemon)
        if start:
            daemon.start()
        if cuts:
            daemon.front = behind_a_proxy(daemon)
        return daemon

    yield start_daemon
    problems = []
    for daemon in daemons:
        try:
            daemon.remove()
        except AssertionError as problem:
            problems.append(problem)
    for proxy in proxies:
        proxy.stop()
    for server, name in databases:
        if server.is_running():
            server.drop_database(name)
    if problems:
        raise problems[0]


@pytest.fixture
def fake_server():
    """fake_server(script, tcp=False): a running FakeServer."""
    servers = []

    def start(script=None, **options):
        servers.append(FakeServer(script, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None)


_daemons = pytest.StashKey()


def show_log_on_failure(test, daemon):
    test.stash.setdefault(_daemons, []).append(daemon)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the logs of its daemons."""
    report = yield
    if report.failed:
        for daemon in item.stash.get(_daemons, []):
            if daemon.log_file.exists():
                report.sections.append((f"log of {daemon.settings_file}", daemon.log()[-20000:]))
    return report
