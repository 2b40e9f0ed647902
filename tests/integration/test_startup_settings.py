"""Startup parameters of any kind take effect on whatever server the client gets, are gone for the next client, and come
back when the client resets them, as on a direct connection."""

import asyncio
import os
import subprocess

import psycopg
import pytest
from harness import wire
from harness.cutting_proxy import also_cut
from harness.sessions import (backend_of, conversation, differences, directly, fingerprint, wait_until_resting,
                              wait_until_running)
from harness.waiting import wait_until
from harness.wire import LoginFailed

ALL_KINDS = {
    "work_mem": "7MB", "DateStyle": "german", "TimeZone": "utc", "client_encoding": "latin1", "IntervalStyle": "iso_8601",
    "search_path": '"$user", pg_catalog, "with, comma"', "statement_timeout": "1234567", "app.tenant": "seven",
    "default_transaction_isolation": "repeatable read", "extra_float_digits": "2", "bytea_output": "escape",
    "options": r"-c enable_seqscan=off --lock-timeout=3s -cjit=off -c app.words=two\ words -S 9000",
}
SHOWN = ["work_mem", "DateStyle", "TimeZone", "client_encoding", "IntervalStyle", "search_path", "statement_timeout",
         "app.tenant", "default_transaction_isolation", "extra_float_digits", "bytea_output", "enable_seqscan",
         "lock_timeout", "jit", "app.words", "application_name"]


def shown(client):
    return {name: client.value(f"show {name}") for name in SHOWN}


@pytest.fixture
def of_one(tidepool):
    def start(**pool):
        return tidepool(pools={"bench": {"min_size": 1, "max_size": 1, **pool}})
    return start


@pytest.fixture
def both(of_one, postgres):
    """both(**startup): a direct session and one through a pool of one server, logged in with the same parameters."""
    daemon = of_one()
    clients = []

    def connect(**startup):
        clients.append(directly(postgres, daemon.databases["bench"], **startup))
        clients.append(daemon.wire("bench", **startup))
        return clients[-2:]
    connect.daemon = daemon
    yield connect
    for client in clients:
        client.close()


@also_cut
def test_settings_of_every_kind_are_those_of_a_direct_connection_and_met_by_nobody_else(both):
    plain_direct, plain = both()
    expected = fingerprint(plain_direct)
    assert differences(expected, fingerprint(plain)) == []
    plain.terminate()
    for how in (wire.WireClient.terminate, wire.WireClient.close):
        direct, pooled = both(application_name="me", **ALL_KINDS)
        alike, server = fingerprint(direct), backend_of(pooled)
        assert pooled.parameters == direct.parameters
        assert shown(pooled) == shown(direct)
        pooled.ask("set work_mem to '11MB'; set app.tenant to 'eight'; set search_path to public")
        how(pooled)
        _, twin = both(application_name="me", **ALL_KINDS)
        assert differences(alike, fingerprint(twin)) == []
        assert backend_of(twin) == server
        twin.terminate()
        _, following = both()
        assert differences(expected, fingerprint(following)) == []
        assert backend_of(following) != server
        following.terminate()


RESETS = {
    "RESET one": ["reset work_mem"],
    "RESET ALL": ["reset all"],
    "DISCARD ALL": ["discard all"],
    "SET TO DEFAULT": ["set work_mem to default", "set timezone to default"],
    "RESET of others": ["set jit to on", "set work_mem to '11MB'", "reset work_mem"],
    "its own SET stays": ["set timezone to 'Asia/Tokyo'", "reset work_mem", "set datestyle to 'SQL'", "reset work_mem"],
    "its own SET goes with RESET ALL": ["set timezone to 'Asia/Tokyo'", "set app.tenant to 'eight'", "reset all"],
    "in a transaction": ["begin", "reset work_mem", "reset timezone", "show work_mem", "commit"],
    "in a transaction rolled back": ["begin", "set work_mem to '11MB'", "reset all", "rollback"],
    "RESET ALL in a transaction": ["begin", "set timezone to 'Asia/Tokyo'", "reset all", "show timezone", "commit"],
    "TO DEFAULT in a transaction": ["begin", "set work_mem to default", "commit"],
    "RESET in a failed transaction": ["begin", "reset all", "select 1/0", "rollback"],
    "several in one query": ["set work_mem to '11MB'; reset all; select 1"],
    "a session's settings and a transaction's": ["begin; set local work_mem to '12MB'; commit", "reset timezone"],
    "SET by SQL": ["select set_config('work_mem', '13MB', false)", "reset work_mem"],
    "RESET ROLE": ["reset role"],
    "RESET of a custom one": ["reset app.tenant"],
    "the application name": ["set application_name to 'other'", "reset application_name"],
}


@pytest.mark.parametrize("way", ["simple", "extended", "behind a terminating batch"])
@pytest.mark.parametrize("statements", RESETS.values(), ids=RESETS)
@also_cut
def test_a_reset_of_the_clients_goes_back_to_its_own_startup_settings(both, statements, way):
    direct, pooled = both(application_name="me", **ALL_KINDS)
    for sql in statements:
        if way != "simple" and ";" not in sql:
            data, count = wire.extended(sql) + wire.SYNC, 1
        else:
            data, count = wire.query(sql), 1
        if way == "behind a terminating batch":
            data, count = wire.query("select 1") + data, 2
        for client in (direct, pooled):
            conversation(client, data, count)
    assert shown(pooled) == shown(direct)
    assert {**direct.parameters} == {**pooled.parameters}


@also_cut
def test_between_a_reset_and_the_next_message_nothing_but_the_net_change_is_reported(both):
    direct, pooled = both(**ALL_KINDS)
    for sql in ("set timezone to 'Asia/Tokyo'", "reset all", "set datestyle to 'SQL'", "discard all", "reset all"):
        told = [[(answer.type, answer.body) for answer in client.ask(sql) + client.ask("select 1") if answer.type == "S"]
                for client in (direct, pooled)]
        assert told[0] == told[1], sql


@pytest.mark.parametrize("startup, sqlstate", [
    ({"no_such_setting": "1"}, "42704"), ({"work_mem": "plenty"}, "22023"), ({"work_mem": "1"}, "22023"),
    ({"TimeZone": "Nowhere/Land"}, "22023"), ({"session_replication_role": "replica"}, "42501"),
    ({"client_encoding": "klingon"}, "22023"), ({"options": "-c work_mem=plenty"}, "22023"),
    ({"options": "-c no_such_setting=1"}, "42704"), ({"options": "-Z"}, "42601"), ({"options": "-c work_mem"}, "42601"),
    ({"role": "nobody_of_that_name"}, "22023"), ({"search_path": "\"unfinished"}, "22023"),
    ({"shared_buffers": "1GB"}, "55P02"), ({"port": "1"}, "55P02")])
def test_a_bad_one_is_fatal_at_login_in_postgresqls_own_words(of_one, postgres, startup, sqlstate):
    daemon = of_one()
    with pytest.raises(LoginFailed) as directly_refused:
        directly(postgres, daemon.databases["bench"], **startup)
    for _ in range(2):
        with pytest.raises(LoginFailed) as refused:
            daemon.wire("bench", **startup)
        for field in "SVCM":
            assert refused.value.fields[field] == directly_refused.value.fields[field]
    assert refused.value.sqlstate == sqlstate
    with daemon.wire("bench") as client:
        assert client.value("select 1") == "1"


@pytest.mark.parametrize("name, sqlstate", [("log_connections", "42501"), ("post_auth_delay", None), ("ignore_system_indexes", None)])
def test_what_only_start_up_can_set_is_as_directly(of_one, postgres, name, sqlstate):
    daemon = of_one()
    for connect in (lambda: directly(postgres, daemon.databases["bench"], **{name: "1"}), lambda: daemon.wire("bench", **{name: "1"})):
        if sqlstate is None:
            with connect() as client:
                assert client.value(f"show {name}") in ("1s", "on")
            continue
        with pytest.raises(LoginFailed) as refused:
            connect()
        assert refused.value.sqlstate == sqlstate and refused.value.fields["S"] == "FATAL"


def test_a_server_is_dialed_once_for_clients_with_the_same_settings_and_nothing_goes_in_front(tidepool, new_postgres):
    server = new_postgres(settings={"log_statement": "all", "log_min_duration_statement": "-1"})
    daemon = tidepool(server=server, pools={"bench": {"min_size": 0, "max_size": 2}})
    servers = set()
    for _ in range(5):
        with daemon.wire("bench", work_mem="7MB") as client:
            servers.add(backend_of(client))
            assert client.value("show work_mem") == "7MB"
            client.terminate()
    assert len(servers) == 1 and "set_config" not in server.log()


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_startup_settings_that_postgres_does_not_take_any_more_are_their_clients_error_and_nobody_elses(tidepool, new_postgres, mode):
    """A role that was dropped: its clients hear so, and neither the servers of others nor the pool's dials suffer."""
    server = new_postgres()
    server.create_role("shortlived")
    server.execute("grant shortlived to app")
    daemon = tidepool(server=server, pools={"bench": {"mode": mode, "min_size": 0, "max_size": 2, "timeout": "20s"}})
    other = daemon.wire("bench")
    others = backend_of(other)
    session = daemon.wire("bench", role="shortlived")
    assert session.value("select current_user") == "shortlived"
    late = daemon.wire("bench", role="shortlived")
    if mode == "session":
        session.terminate()
    resting = 2 if mode == "transaction" else 1
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == resting, "the role's server rests")
    server.execute("drop role shortlived")
    server.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> %s and application_name = '' and usename = 'app'", [others])
    wait_until(lambda: daemon.pool_stats("bench")["pool_size"] == 1, "the role's servers are gone")
    for _ in range(2):
        assert late.error("select 1")["C"] == "22023"
        with pytest.raises(LoginFailed) as refused:
            daemon.wire("bench", role="shortlived")
        assert refused.value.sqlstate == "22023" and "shortlived" in refused.value.fields["M"]
    assert backend_of(other) == others
    with daemon.wire("bench") as client:
        assert client.value("select 1") == "1"
    assert "server cannot be reached" not in daemon.log()


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("startup", [{"DateStyle": "ISO", "options": "-c DateStyle=German"}, {"options": "-c datestyle=ymd -c DateStyle=SQL"},
                                     {"options": "-c TimeZone=Asia/Tokyo", "TimeZone": "UTC"}], ids=str)
def test_a_setting_that_is_given_twice_builds_upon_the_first(of_one, postgres, startup, mode):
    daemon = of_one(mode=mode)
    with directly(postgres, daemon.databases["bench"], **startup) as direct, daemon.wire("bench", **startup) as pooled:
        for name in ("DateStyle", "TimeZone"):
            assert pooled.parameters[name] == direct.parameters[name]
            for client in (direct, pooled):
                client.ask(f"set {name} to default")
            assert pooled.value(f"show {name}") == direct.value(f"show {name}") == direct.parameters[name]


@pytest.mark.parametrize("startup", [
    {"application_name": "a" * 65, "nosuch": "not good"}, {"nosuch": "not good", "application_name": "a" * 65},
    {"application_name": "a" * 65, "TimeZone": "not good"}, {"application_name": "a" * 65, "role": "nobody_of_that_name"},
    {"application_name": "a" * 65, "options": "-c work_mem=plenty"}, {"work_mem": "1MB", "application_name": "a" * 65, "Work_Mem": "plenty"}, {"application_name": "a" * 65, "work-mem": "1"}], ids=str)
def test_a_long_application_name_in_front_of_a_bad_setting_is_noticed_before_its_error(of_one, postgres, startup):
    daemon = of_one()
    heard = []
    for path, name in ((postgres.socket_path, daemon.databases["bench"]), (daemon.socket_path, "bench")):
        with wire.WireClient(path) as client:
            client.send(wire.startup(user="app", database=name, **startup))
            told = client.read_until("E")
            heard.append([(one.type, one.fields["C"]) for one in told if one.type in "NE"])
    assert heard[0] == heard[1]
    assert [kind for kind, _ in heard[0]] == (["E"] if "options" in startup or next(iter(startup)) == "nosuch" else ["N", "E"])


def test_names_that_are_no_names_of_settings_are_refused_as_directly(of_one, postgres):
    daemon = of_one()
    for name in ("work-mem", "app.x-y", "a=b", "a b", "1x", "app..x", "app.1x"):
        with pytest.raises(LoginFailed) as theirs:
            directly(postgres, daemon.databases["bench"], **{name: "1"})
        with pytest.raises(LoginFailed) as ours:
            daemon.wire("bench", **{name: "1"})
        for field in "SCM":
            assert ours.value.fields[field] == theirs.value.fields[field], name


def test_values_arrive_whatever_is_in_them(of_one, postgres):
    """They travel as `options`, whose words are split at white space."""
    daemon = of_one()
    for value in (" a  b ", "tab\tline\nend", "back\\slash \\\\ \\", "-c work_mem=1MB", "--x=y", "it's \"quoted\"", "ä€ \u00a0 \u0085 Å", "=", "", "x" * 3000):
        for connect in (lambda: directly(postgres, daemon.databases["bench"], **{"app.own": value}), lambda: daemon.wire("bench", **{"app.own": value})):
            with connect() as client:
                assert client.value("show app.own") == value
                client.ask("set app.own to 'other'")
                client.ask("reset app.own")
                assert client.value("show app.own") == value
                client.terminate()


def test_a_startup_packet_too_long_to_be_passed_on_is_refused(of_one):
    """PostgreSQL reads 10,000 bytes, and would hang up on more."""
    with pytest.raises(LoginFailed) as refused:
        of_one().wire("bench", **{"app.own": "\\" * 6000})
    assert refused.value.sqlstate == "54000" and refused.value.fields["S"] == "FATAL"


def test_the_conninfos_encoding_gives_way_to_the_clients(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"conninfo": postgres.conninfo("postgres", "app", client_encoding="LATIN1", options="-c work_mem=3MB"),
                                       "min_size": 0, "max_size": 2}})
    for startup, expected in (({}, ["LATIN1", "3MB"]), ({"client_encoding": "utf-8", "work_mem": "5MB"}, ["UTF8", "5MB"])):
        with daemon.wire("bench", **startup) as client:
            assert client.parameters["client_encoding"] == expected[0]
            client.ask("set client_encoding to 'SQL_ASCII'; set work_mem to '1MB'")
            client.ask("reset all")
            assert [client.value("show client_encoding"), client.value("show work_mem")] == expected


def test_a_client_whose_settings_are_known_logs_in_without_a_server(of_one):
    daemon = of_one()
    daemon.wire("bench", work_mem="7MB").terminate()
    daemon.wire("bench").terminate()
    holder = daemon.wire("bench")
    holder.ask("select 1")
    with daemon.wire("bench", work_mem="7MB") as client:
        assert client.status == "I"
    with daemon.wire("bench", application_name="needs no server") as client:
        assert client.parameters["application_name"] == "needs no server"


def test_libpqs_environment_takes_effect_on_a_database_of_another_encoding(tidepool, postgres):
    database = postgres.create_database(options="encoding 'LATIN1' locale 'C'")
    daemon = tidepool(pools={"bench": {"conninfo": postgres.conninfo(database, "app"), "max_size": 1, "min_size": 1}})
    env = {"PGDATESTYLE": "German", "PGTZ": "Asia/Tokyo", "PGOPTIONS": "-c work_mem=7MB --jit=off",
           "PGCLIENTENCODING": "UTF8", "PGAPPNAME": "mine"}
    sql = ("select '2020-02-01 00:00+00'::timestamptz, 'é', length('é')",
           "select setting from pg_settings where name in ('jit', 'work_mem', 'client_encoding', 'application_name')"
           " order by name", "reset all", "select 'ü', length('ü')", "discard all", "select 'ü', now() is not null")
    arguments = [word for one in sql for word in ("-c", one)]
    through = daemon.psql(*arguments, pool="bench", env=env)
    done = subprocess.run(["psql", "-XAt", "-d", postgres.conninfo(database, "app"), *arguments], text=True,
                          capture_output=True, env={**os.environ, **env}, timeout=60, check=True)
    assert through == done.stdout
    assert "é|1" in through and "01.02.2020 09:00:00 JST" in through
    assert daemon.psql("-c", "show client_encoding", pool="bench") == "LATIN1\n"
    postgres.drop_database(database)


def test_asyncpg_with_server_settings_and_its_pools_reset(of_one):
    asyncpg = pytest.importorskip("asyncpg")
    daemon = of_one()

    async def work():
        pool = await asyncpg.create_pool(
            host=daemon.host, port=daemon.port, user="app", database="bench", min_size=1, max_size=1,
            server_settings={"work_mem": "7MB", "search_path": "pg_catalog", "application_name": "pooled", "jit": "off"})
        for round_ in range(3):
            async with pool.acquire() as connection:
                for name, value in (("work_mem", "7MB"), ("search_path", "pg_catalog"),
                                    ("application_name", "pooled"), ("jit", "off")):
                    assert await connection.fetchval(f"show {name}") == value, f"{name} in round {round_}"
                await connection.execute("set work_mem to '11MB'; set search_path to public; listen x")
                assert await connection.fetchval("select $1::int + 1", 41) == 42
        await pool.close()
    asyncio.run(work())
    with daemon.wire("bench") as client:
        assert client.value("show work_mem") == "4MB" and client.value("show jit") == "on"


@pytest.mark.parametrize("form, expected", [("%a", "me"), ("%p/%u", "bench/app"), ("%a@%p", "me@bench"), ("100%%", "100%")])
def test_the_application_name_at_the_server_follows_its_template(of_one, postgres, form, expected):
    daemon = of_one(server_application_name=form)
    with daemon.wire("bench", application_name="me") as client:
        client.ask("select 1")
        assert [row["application_name"] for row in daemon.backends("bench")] == [expected]
        assert client.value("show application_name") == expected == client.parameters["application_name"]


def test_the_application_name_may_hold_the_clients_process(of_one):
    daemon = of_one(server_application_name="%c")
    with daemon.wire("bench") as client:
        assert client.value("show application_name") == str(os.getpid())


def test_a_client_without_an_application_name_has_the_conninfos(tidepool, postgres):
    database = postgres.create_database()
    daemon = tidepool(pools={"bench": {"conninfo": postgres.conninfo(database, "app", application_name="from conninfo"),
                                       "min_size": 1, "max_size": 1}})
    for name, expected in (({}, "from conninfo"), ({"application_name": "own"}, "own"), ({}, "from conninfo")):
        with daemon.wire("bench", **name) as client:
            assert client.parameters["application_name"] == client.value("show application_name") == expected
            client.terminate()


def test_a_role_at_start_up_is_the_clients_until_it_leaves(tidepool, postgres):
    database = postgres.create_database()
    daemon = tidepool(pools={"bench": {"conninfo": postgres.conninfo(database, "postgres"), "min_size": 1,
                                       "max_size": 1}})
    with daemon.wire("bench", user="postgres", role="app") as client:
        assert client.value("select current_user") == "app"
        client.ask("reset role")
        assert client.value("select current_user") == "app"
        client.ask("discard all")
        assert client.value("select current_user") == "app"
        client.terminate()
    with daemon.wire("bench", user="postgres") as client:
        assert client.value("select current_user") == "postgres"
    wait_until_resting(daemon)


def test_settings_come_with_many_clients_that_differ_on_one_server(of_one):
    daemon = of_one()
    for number in range(60):
        settings = {"work_mem": f"{number % 7 + 1}MB"} if number % 3 else {"TimeZone": "Asia/Tokyo"}
        with psycopg.connect(daemon.conninfo("bench", options=" ".join(f"-c {k}={v}" for k, v in settings.items())),
                             autocommit=True) as client:
            for name, value in {"work_mem": "4MB", "TimeZone": None, **settings}.items():
                if value:
                    assert client.execute(f"show {name}").fetchone() == (value,)
