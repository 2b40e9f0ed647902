"""The console, asked as people and exporters ask: psql, psycopg, psycopg2, asyncpg, SQLAlchemy; docs/console.md, example by example."""

import asyncio
import os
import pwd
import re
import shlex
import subprocess

import asyncpg
import psycopg
import psycopg2
import pytest
import sqlalchemy
from harness import wire
from harness.daemon import ROOT
from harness.waiting import wait_until
from harness.wire import LoginFailed
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

DOCUMENT = (ROOT / "docs/console.md").read_text()
SHOWS = ["POOLS", "POOL_STATS", "STATS", "DATABASES", "CLIENTS", "SERVERS", "LISTS", "CONFIG", "VERSION", "PINS"]
EMPTY = ["PINS"]                                                   # nobody is pinned in session mode
TYPES = {23: "int4", 20: "int8", 25: "text", 1700: "numeric"}
PSYCOPG_POOL = ["pool_min", "pool_max", "pool_size", "pool_available", "requests_waiting", "usage_ms", "requests_num", "requests_queued",
                "requests_wait_ms", "requests_errors", "returns_bad", "connections_num", "connections_ms", "connections_errors",
                "connections_lost"]


def documented(heading):
    """Columns of a table of docs/console.md: name to type, where the table has a column of types."""
    section = re.search(rf"^## [^\n]*\b{heading}\b.*?(?=^## |\Z)", DOCUMENT, re.M | re.S)[0]
    table = re.search(r"^\| Column \|.*?\n\n", section, re.M | re.S)[0].strip().splitlines()
    names = [cell.strip() for cell in table[0].strip("|").split("|")]
    columns = {}
    for line in table[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        types = cells[names.index("Type")].split(", ") if "Type" in names else [None]
        for index, name in enumerate(re.findall(r"`(\w+)`", cells[0])):
            columns[name] = types[min(index, len(types) - 1)]
    return columns


def described(daemon, sql):
    """Names and types of the columns, over the simple protocol."""
    with daemon.connect("tidepool", cursor_factory=psycopg.ClientCursor) as connection:
        return {column.name: TYPES[column.type_code] for column in connection.execute(sql).description}


# Columns

@pytest.mark.parametrize("show", ["POOLS", "DATABASES", "CLIENTS", "SERVERS", "PINS"])
def test_the_columns_are_those_of_the_documentation_in_name_order_and_type(tidepool, show):
    daemon = tidepool()
    columns = documented(f"SHOW {show}")
    if show == "SERVERS":
        assert columns.pop("pinned") == "text"                     # in the same table, of clients only
    assert list(described(daemon, f"SHOW {show}").items()) == list(columns.items())


def test_SHOW_POOL_STATS_has_psycopg_pools_statistics_in_their_order(tidepool):
    columns = described(tidepool(), "SHOW POOL_STATS")
    assert list(columns) == ["pool", *PSYCOPG_POOL, "gave_up", "gave_way"] == list(documented("SHOW POOL_STATS"))
    assert columns.pop("pool") == "text" and set(columns.values()) == {"int8"}


def test_the_other_tables_have_the_documented_columns(tidepool):
    daemon = tidepool()
    columns = described(daemon, "SHOW STATS")
    pairs = re.findall(r"^\| `(total_\w+)` \| `(avg_\w+)` \|", DOCUMENT, re.M)
    assert list(columns) == ["database", *[total for total, _ in pairs], *[average for _, average in pairs]] and len(pairs) == 12
    assert columns.pop("database") == "text" and set(columns.values()) == {"numeric"}
    assert described(daemon, "SHOW LISTS") == {"list": "text", "items": "int4"}
    assert described(daemon, "SHOW VERSION") == {"version": "text"}
    assert described(daemon, "SHOW CONFIG") == {"key": "text", "value": "text", "default": "text", "changeable": "text"}
    lists = re.search(r"^\| List \|.*?\n\n", DOCUMENT, re.M | re.S)[0]
    assert {row["list"] for row in daemon.console("SHOW LISTS")} == set(re.findall(r"`(\w+)`", lists))


# What they show

def test_SHOW_POOLS_counts_clients_and_servers_by_what_they_do(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 2}, "quiet": {"min_size": 1, "max_size": 1}})

    def rows():
        return {row["database"]: row for row in daemon.console("SHOW POOLS")}

    def row():
        return rows()["bench"]

    with daemon.wire("bench") as idle, daemon.wire("bench") as one, daemon.wire("bench") as two, daemon.wire("bench") as waits:
        one.ask("begin")
        two.ask("select 1")
        waits.send(wire.query("select 42"))
        wait_until(lambda: row()["cl_waiting"] == 1, "a client waits")
        wait_until(lambda: rows()["quiet"]["sv_idle"] == 1, "the other pool has its server")
        assert idle.is_silent(0.05)
        found = row()
        assert (found["cl_active"], found["sv_active"], found["sv_idle"], found["sv_login"]) == (3, 2, 0, 0)
        assert found["user"] == "app" and found["pool_mode"] == "session" and found["load_balance_hosts"] is None
        wait_until(lambda: row()["maxwait_us"] > 0 or row()["maxwait"] > 0, "its wait shows")
        two.terminate()
        assert waits.read_until_ready()

    def everything_rests():
        found = row()
        return (found["cl_active"], found["cl_waiting"], found["sv_active"], found["sv_idle"], found["maxwait"]) == (0, 0, 0, 2, 0)
    wait_until(everything_rests, "everybody left and both servers rest")
    assert list(rows()) == ["bench", "quiet"]


def test_SHOW_CLIENTS_and_SHOW_SERVERS_name_each_other(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 2}})
    with daemon.connect("bench", application_name="the one with a server") as one, daemon.connect("bench", application_name="without"):
        pid = one.execute("select pg_backend_pid()").fetchone()[0]
        clients = {row["application_name"]: row for row in daemon.console("SHOW CLIENTS") if row["database"] == "bench"}
        servers = {row["remote_pid"]: row for row in daemon.console("SHOW SERVERS")}
        mine = clients["the one with a server"]
        assert mine["state"] == "active" and clients["without"]["state"] == "idle" and clients["without"]["link"] == ""
        assert servers[pid]["state"] == "active" and servers[pid]["type"] == "S" and mine["type"] == "C"
        assert mine["link"] == servers[pid]["ptr"] and servers[pid]["link"] == mine["ptr"]
        assert mine["addr"] == "unix" and mine["remote_pid"] == os.getpid() and mine["user"] == "app"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", mine["connect_time"])


def test_SHOW_DATABASES_says_where_servers_are(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 3, "max_lifetime": "2h"}})
    row = daemon.console("SHOW DATABASES")[0]
    assert (row["name"], row["host"], row["port"], row["database"], row["force_user"]) == \
        ("bench", str(postgres.folder), postgres.port, daemon.databases["bench"], "app")
    assert (row["pool_size"], row["min_pool_size"], row["max_connections"], row["server_lifetime"]) == (3, 1, 3, 7200)


def test_SHOW_STATS_counts_traffic(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    with daemon.wire("bench") as client:
        for _ in range(3):
            client.value("select 42")
        client.ask("begin")
        client.ask("select 1")
        client.ask("commit")
        client.terminate()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 1, "the server rests")
    row = daemon.console("SHOW STATS")[0]
    assert (row["total_query_count"], row["total_xact_count"]) == (6, 4)
    assert row["total_server_assignment_count"] == 1 and row["total_client_login_count"] == 1
    assert row["total_received"] > 60 and row["total_sent"] > 100


def test_SHOW_CONFIG_has_every_setting_and_hides_secrets(tidepool):
    daemon = tidepool(users={"app": {"password": "secret-word"}}, pools={"bench": {"max_size": 7}})
    rows = {row["key"]: row for row in daemon.console("SHOW CONFIG")}
    assert rows["pools.bench.max_size"]["value"] == "7" and rows["pools.bench.max_size"]["changeable"] == "yes"
    assert (rows["pools.bench.mode"]["value"], rows["pools.bench.max_pinned"]["value"], rows["pools.bench.max_pinned"]["default"]) == ("session", "6", "6")
    assert rows["workers"]["changeable"] == "no" and rows["limits.max_clients"]["value"] == "10000" == rows["limits.max_clients"]["default"]
    assert "secret-word" not in repr(rows) and "hidden" in repr(rows)


# Commands

def test_RELOAD_reloads_and_a_mistake_is_its_error(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    daemon.write_settings({**daemon.settings, "pools": {"bench": {**daemon.settings["pools"]["bench"], "max_size": 5}}})
    daemon.console("RELOAD")
    assert daemon.pool_stats("bench")["pool_max"] == 5
    good = daemon.settings_file.read_text()
    daemon.settings_file.write_text(good + "nonsense: 1\n")
    with pytest.raises(psycopg.Error) as failure:
        daemon.console("RELOAD")
    assert failure.value.sqlstate == "F0000" and "nonsense" in failure.value.diag.message_detail
    assert daemon.pool_stats("bench")["pool_max"] == 5


def test_RECONNECT_replaces_resting_servers_now_and_lent_ones_when_they_come_back(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 2}, "other": {"min_size": 1, "max_size": 1}})
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 2 and daemon.pool_stats("other")["pool_available"] == 1, "all rest")
    before, others = pids(daemon, "bench"), pids(daemon, "other")
    with daemon.wire("bench") as client:
        lent = int(client.value("select pg_backend_pid()"))
        daemon.console("RECONNECT bench")
        wait_until(lambda: pids(daemon, "bench") & before == {lent}, "the resting one is replaced")
        assert int(client.value("select pg_backend_pid()")) == lent
        client.terminate()
    wait_until(lambda: not pids(daemon, "bench") & before, "the lent one is replaced, too")
    assert pids(daemon, "other") == others
    daemon.console("RECONNECT")
    wait_until(lambda: not pids(daemon, "other") & others, "without a name all pools are meant")
    with pytest.raises(psycopg.Error, match="no such database: nowhere"):
        daemon.console("RECONNECT nowhere")


def pids(daemon, pool):
    return {row["pid"] for row in daemon.backends(pool)}


@pytest.mark.parametrize("sql, sqlstate", [("PAUSE", "42601"), ("select relname from pg_class", "42601"), ("SHOW NONSENSE", "42601"), ("drop table x", "42601"),
                                           ("SHOW POOLS; NONSENSE", "42601"), ("'unfinished", "42601")])
def test_what_is_no_command_is_an_error_and_the_console_goes_on(tidepool, sql, sqlstate):
    daemon = tidepool()
    with daemon.wire("tidepool") as console:
        answers = console.ask(sql)
        assert [each.type for each in answers] == ["E", "Z"] and answers[0].fields["C"] == sqlstate
        assert console.rows("SHOW VERSION")


# Who may

def test_only_who_the_settings_name_may_use_the_console(tidepool):
    me = pwd.getpwuid(os.geteuid()).pw_name
    daemon = tidepool(console={"users": ["app"]}, pools={"bench": {"users": ["app", "other", me]}})
    assert daemon.console("SHOW VERSION")
    for user in ("other", me, "nobody-at-all"):
        for database in ("tidepool", "pgbouncer"):
            with daemon.wire() as client, pytest.raises(LoginFailed) as failure:
                client.log_in(user=user, database=database)
            assert failure.value.sqlstate == "28000" and "console" in failure.value.fields["M"]


def test_nobody_may_use_the_console_by_default(tidepool):
    daemon = tidepool(console={})
    with daemon.wire() as client, pytest.raises(LoginFailed) as failure:
        client.log_in(database="tidepool")
    assert failure.value.sqlstate == "28000"


def test_console_peers_need_no_password_and_others_do(tidepool):
    me = pwd.getpwuid(os.geteuid()).pw_name
    daemon = tidepool(start=False, users={"app": {"password": "word"}}, console={"users": ["app"], "peers": [me]})
    daemon.write_settings({**daemon.settings, "listen": [{"unix": str(daemon.folder), "mode": "0777", "auth": "scram-sha-256"}]})
    daemon.start()
    assert daemon.psql("-c", "SHOW VERSION", pool="tidepool", user="whoever").startswith("tidepool ")
    daemon.reload({**daemon.settings, "console": {"users": ["app"]}}, expect="settings reloaded")
    assert daemon.psql("-c", "SHOW VERSION", pool="tidepool", env={"PGPASSWORD": "word"}).startswith("tidepool ")
    refused = daemon.psql("-c", "SHOW VERSION", pool="tidepool", env={"PGPASSWORD": "wrong"}, check=False)
    assert refused.returncode == 2 and 'password authentication failed for user "app"' in refused.stderr


# Clients

def test_psql_asks_over_both_names(tidepool):
    daemon = tidepool()
    for name in ("tidepool", "pgbouncer"):
        assert daemon.psql("-F", ",", "-c", "SHOW POOLS", pool=name).startswith("bench,app,")
        assert daemon.psql(pool=name, stdin="show version;\nSHOW LISTS;\n").startswith("tidepool ")
    told = daemon.psql("-c", "SHOW HELP", pool="tidepool", check=False).stderr
    assert all(show in told for show in SHOWS) and "RECONNECT" in told


@pytest.mark.parametrize("show", SHOWS)
def test_psycopg_and_psycopg2_read_every_table(tidepool, show):
    daemon = tidepool(pools={"bench": {"min_size": 1}})
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"], "there is a server to show")
    with daemon.connect("tidepool") as connection:                  # extended protocol, text
        text = connection.execute(f"SHOW {show}").fetchall()
        assert text or show in EMPTY
    for autocommit in (True, False):
        with daemon.connect("tidepool", autocommit=autocommit) as connection, connection.cursor(binary=True) as cursor:
            rows = cursor.execute(f"SHOW {show}").fetchall()        # and binary
            assert [len(row) for row in rows] == [len(row) for row in text]
    connection = psycopg2.connect(daemon.conninfo("tidepool"))      # the simple protocol, inside of BEGIN
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {show}")
        assert cursor.fetchall() or show in EMPTY
    connection.close()


def test_asyncpg_reads_every_table(tidepool):
    daemon = tidepool()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"], "there is a server to show")

    async def ask():
        connection = await asyncpg.connect(host=str(daemon.host), port=daemon.port, user="app", database="tidepool")
        for show in SHOWS:
            assert await connection.fetch(f"SHOW {show}") or show in EMPTY
        stats = dict((await connection.fetch("SHOW POOL_STATS"))[0])
        assert stats["pool"] == "bench" and stats["pool_min"] == 4
        statement = await connection.prepare("SHOW POOLS")
        for _ in range(2):
            assert (await statement.fetch())[0]["database"] == "bench"
        await connection.close()

    asyncio.run(ask())


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_sqlalchemy_reads_every_table(tidepool, driver):
    daemon = tidepool()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"], "there is a server to show")
    engine = sqlalchemy.create_engine(f"postgresql+{driver}://app@/tidepool?host={daemon.host}&port={daemon.port}", poolclass=NullPool)
    with engine.connect() as connection:
        for show in SHOWS:
            assert connection.execute(sqlalchemy.text(f"SHOW {show}")).mappings().all() or show in EMPTY
        connection.commit()
    engine.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_async_sqlalchemy_reads_every_table(tidepool, driver):
    daemon = tidepool()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"], "there is a server to show")

    async def ask():
        engine = create_async_engine(f"postgresql+{driver}://app@/tidepool?host={daemon.host}&port={daemon.port}", poolclass=NullPool)
        async with engine.connect() as connection:
            for show in SHOWS:
                assert (await connection.execute(sqlalchemy.text(f"SHOW {show}"))).mappings().all() or show in EMPTY
        await engine.dispose()

    asyncio.run(ask())


@pytest.mark.parametrize("pieces", [None, 1])
def test_the_extended_protocol_message_by_message(tidepool, pieces):
    daemon = tidepool()
    with daemon.wire("tidepool") as console:
        console.send(wire.parse("SHOW VERSION", "name") + wire.describe("S", "name") + wire.bind(statement="name", portal="p")
                     + wire.describe("P", "p") + wire.execute("p") + wire.close("S", "name") + wire.SYNC, pieces=pieces)
        assert [each.type for each in console.read_until_ready()] == ["1", "t", "T", "2", "T", "D", "C", "3", "Z"]
        console.send(wire.extended("NONSENSE") + wire.extended("SHOW VERSION") + wire.SYNC + wire.extended("SHOW VERSION") + wire.SYNC, pieces=pieces)
        assert [each.type for each in console.read_until_ready()] == ["E", "Z"]
        assert [each.type for each in console.read_until_ready()][-2:] == ["C", "Z"]


@pytest.mark.workers
def test_the_console_counts_over_all_workers(tidepool):
    daemon = tidepool(workers=4, pools={"bench": {"min_size": 3, "max_size": 8}})
    clients = [daemon.wire("bench") for _ in range(20)]
    for client in clients[:5]:
        client.value("select 1")
    row = daemon.console("SHOW POOLS")[0]
    assert (row["cl_active"], row["sv_active"]) == (20, 5)
    assert len([row for row in daemon.console("SHOW CLIENTS") if row["database"] == "bench"]) == 20
    assert daemon.pool_stats("bench")["requests_num"] >= 5
    for client in clients:
        client.close()


# The documentation

EXAMPLES = [line for block in re.findall(r"^```console\n(.*?)^```", DOCUMENT, re.M | re.S) for line in block.splitlines()]


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_of_the_documentation_runs(tidepool, line):
    assert len(EXAMPLES) >= 13
    daemon = tidepool(pools={"orders": {"min_size": 1, "max_size": 1}})
    command = shlex.split(line)
    assert command[:7] == ["psql", "-h", "/run/tidepool", "-p", "6432", "-U", "app"]
    command[2] = str(daemon.host)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr
