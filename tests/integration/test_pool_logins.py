"""How the pool logs in to its servers: conninfo in all its forms, several hosts, configure, server_application_name."""

import os

import psycopg
import pytest
from harness import fake_server as fakes
from harness import wire
from harness.postgres import free_port
from harness.waiting import wait_until


def one(connection, sql):
    return connection.execute(sql).fetchone()[0]


def pool(conninfo, **others):
    return {"bench": {"conninfo": conninfo, "min_size": 0, "max_size": 2, "users": ["app"], **others}}


def login_error(daemon, pool="bench"):
    with pytest.raises(wire.LoginFailed) as failure:
        daemon.wire(pool)
    return failure.value


# Forms of conninfo


def test_a_uri_is_a_conninfo(tidepool, postgres):
    folder = str(postgres.folder).replace("/", "%2F")
    daemon = tidepool(pools=pool(f"postgresql://app@{folder}:{postgres.port}/postgres?application_name=by%20uri"
                                 "&options=-c%20work_mem%3D5MB"))
    with daemon.connect("bench") as connection:
        assert one(connection, "select current_database()") == "postgres"
        assert one(connection, "show work_mem") == "5MB"


def test_a_service_file_is_read(tidepool, postgres, tmp_path):
    file = tmp_path / "services"
    file.write_text(f"[orders]\nhost={postgres.folder}\nport={postgres.port}\ndbname=postgres\nuser=app\n")
    daemon = tidepool(pools=pool("service=orders"), env={"PGSERVICEFILE": str(file)})
    with daemon.connect("bench") as connection:
        assert one(connection, "select current_database() || ' ' || current_user") == "postgres app"


def test_a_service_file_that_changes_counts_for_the_next_login(tidepool, postgres, tmp_path):
    file = tmp_path / "services"
    lines = f"[orders]\nhost={postgres.folder}\nport={postgres.port}\nuser=app\n"
    file.write_text(lines + "dbname=postgres\n")
    daemon = tidepool(pools=pool("service=orders"), env={"PGSERVICEFILE": str(file)})
    with daemon.connect("bench") as connection:
        assert one(connection, "select current_database()") == "postgres"
    file.write_text(lines + "dbname=template1\n")
    daemon.console("RECONNECT bench")
    with daemon.connect("bench") as connection:
        assert one(connection, "select current_database()") == "template1"


def test_a_password_file_is_read_and_a_wrong_one_is_told(tidepool, new_postgres, tmp_path):
    server = new_postgres()
    server.create_role("secret", password="pass:word")
    server.set_hba("local all postgres trust\nlocal all all scram-sha-256\n")
    file = tmp_path / "pgpass"
    file.write_text("*:*:*:secret:pass\\:word\n")
    os.chmod(file, 0o600)
    daemon = tidepool(pools=pool(server.conninfo("postgres", "secret", passfile=file)))
    with daemon.connect("bench") as connection:
        assert one(connection, "select current_user") == "secret"
    file.write_text("*:*:*:secret:wrong\n")
    server.terminate(user="secret")
    with daemon.connect("bench") as connection, pytest.raises(psycopg.Error) as failure:
        one(connection, "select 42")
    assert failure.value.sqlstate == "28P01"


def test_a_password_in_the_conninfo_works_and_is_never_shown(tidepool, new_postgres):
    server = new_postgres()
    server.create_role("secret", password="very-secret")
    server.set_hba("local all postgres trust\nlocal all all scram-sha-256\n")
    daemon = tidepool(pools=pool(server.conninfo("postgres", "secret", password="very-secret")), log={"level": "trace"})
    with daemon.connect("bench") as connection:
        assert one(connection, "select current_user") == "secret"
    assert "very-secret" not in str([daemon.console(f"SHOW {what}") for what in ("CONFIG", "DATABASES", "SERVERS")])
    assert "very-secret" not in daemon.log()


def test_fact_16_tls_by_sslmode_is_relayed(tidepool, new_postgres):
    server = new_postgres(tcp=True, tls=True)
    server.set_hba("local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
    daemon = tidepool(pools=pool(f"host=127.0.0.1 port={server.port} dbname=postgres user=app sslmode=verify-full"
                                 f" sslrootcert={server.authority}", reset="discard_all", max_size=1))
    for _ in range(3):
        with daemon.connect("bench") as connection:
            assert one(connection, "select ssl from pg_stat_ssl where pid = pg_backend_pid()") is True
            assert one(connection, "select length(repeat('x', 3000000))") == 3000000
            assert len(one(connection, "select repeat('x', 3000000)")) == 3000000
            assert one(connection, f"select length('{'y' * 2000000}')") == 2000000
    assert len(server.backends(user="app")) == 1
    assert daemon.console("SHOW SERVERS")[0]["tls"].startswith("TLS")


def test_nothing_of_the_daemons_environment_leaks_into_a_servers_login(tidepool, postgres):
    daemon = tidepool(pools=pool(postgres.conninfo("postgres", "app")), env={
        "PGHOST": "/nowhere", "PGPORT": "1", "PGUSER": "nobody", "PGPASSWORD": "x", "PGDATABASE": "nothing",
        "PGOPTIONS": "-c work_mem=7MB", "PGAPPNAME": "leaked", "PGTZ": "Asia/Tokyo", "PGDATESTYLE": "German",
        "PGCLIENTENCODING": "LATIN1", "PGSSLMODE": "require", "PGTARGETSESSIONATTRS": "standby", "PGSERVICE": "none",
        "PGCONNECT_TIMEOUT": "1", "PGGEQO": "off"})
    client = daemon.wire("bench")
    assert client.value("select concat_ws('|', current_setting('work_mem'), current_setting('datestyle'),"
                        " current_setting('client_encoding'), current_setting('geqo'))") == "4MB|ISO, MDY|UTF8|on"
    assert client.parameters["TimeZone"] != "Asia/Tokyo"
    assert "leaked" not in [row["application_name"] for row in postgres.backends()]


# Several hosts


def test_of_several_hosts_the_first_that_answers_is_taken(tidepool, postgres, tmp_path):
    daemon = tidepool(pools=pool(f"host={tmp_path},{postgres.folder} port={postgres.port},{postgres.port}"
                                 " dbname=postgres user=app"))
    for _ in range(2):
        with daemon.connect("bench") as connection:
            assert one(connection, "select 42") == 42
    assert daemon.pool_stats("bench")["connections_errors"] == 0


def test_if_no_host_answers_all_are_named(tidepool):
    ports = free_port(), free_port()
    daemon = tidepool(pools=pool(f"host=127.0.0.1,127.0.0.1 port={ports[0]},{ports[1]} dbname=x user=app",
                                 when_down="fail"))
    failure = login_error(daemon)
    assert failure.sqlstate == "08001"
    assert str(ports[0]) in failure.fields["M"] and str(ports[1]) in failure.fields["M"]


def test_target_session_attrs_finds_the_server_that_may_write_and_follows_it(tidepool, new_postgres):
    """A switch-over: what was read-only may write now, and the other way round."""
    one_, two = (new_postgres(settings={"cluster_name": name}) for name in ("one", "two"))
    one_.set(default_transaction_read_only="on")
    daemon = tidepool(pools=pool(f"host={one_.folder},{two.folder} port=5432,5432 dbname=postgres user=app"
                                 " target_session_attrs=read-write", check="always"))
    with daemon.connect("bench") as connection:
        assert one(connection, "show cluster_name") == "two"
    one_.set(default_transaction_read_only="off")
    two.set(default_transaction_read_only="on")
    daemon.console("RECONNECT bench")
    with daemon.connect("bench") as connection:
        assert one(connection, "show cluster_name") == "one"
        assert one(connection, "show transaction_read_only") == "off"


def test_a_fail_over_to_the_next_host_loses_no_waiting_client(tidepool, new_postgres):
    first, second = (new_postgres(settings={"cluster_name": name}) for name in ("first", "second"))
    daemon = tidepool(pools=pool(f"host={first.folder},{second.folder} port=5432,5432 dbname=postgres user=app",
                                 timeout="30s"))
    client = daemon.wire("bench")
    with daemon.connect("bench") as connection:
        assert one(connection, "show cluster_name") == "first"
    first.stop("immediate")
    assert client.value("show cluster_name") == "second"


def test_if_no_host_is_as_target_session_attrs_asks_clients_are_told_so(tidepool, postgres):
    daemon = tidepool(pools=pool(postgres.conninfo("postgres", "app", target_session_attrs="standby"),
                                 when_down="fail"))
    assert "not in hot standby mode" in login_error(daemon).fields["M"]


# configure


def test_configure_runs_once_on_each_new_connection(tidepool, postgres):
    database = postgres.create_database()
    with postgres.connect(database) as owner:
        owner.execute("create table configured (pid int); grant all on configured to app")
        daemon = tidepool(pools=pool(postgres.conninfo(database, "app"), reset="rollback", configure=(
            "insert into configured values (pg_backend_pid()); set work_mem = '9MB'; select 1")))
        pids = set()
        for _ in range(3):
            with daemon.connect("bench") as left, daemon.connect("bench") as right:
                for connection in (left, right):
                    pids.add(one(connection, "select pg_backend_pid()"))
                    assert one(connection, "show work_mem") == "9MB"
        assert sorted(owner.execute("select pid from configured").fetchall()) == sorted((pid,) for pid in pids)
        assert len(pids) == 2
    daemon.stop()
    postgres.drop_database(database)


def test_what_configure_makes_the_server_report_is_in_the_greeting(tidepool, postgres):
    daemon = tidepool(pools=pool(postgres.conninfo("postgres", "app"), reset="rollback",
                                 configure="set timezone = 'Asia/Tokyo'"))
    assert daemon.wire("bench").parameters["TimeZone"] == "Asia/Tokyo"


def test_discard_all_undoes_what_configure_set_but_not_the_conninfos_options(tidepool, postgres):
    daemon = tidepool(pools=pool(postgres.conninfo("postgres", "app", options="-c work_mem=5MB"), max_size=1,
                                 configure="set timezone = 'Asia/Tokyo'; set work_mem = '9MB'"))
    client = daemon.wire("bench")
    pid = client.value("select pg_backend_pid()")
    assert client.value("show timezone") == "Asia/Tokyo" and client.value("show work_mem") == "9MB"
    client.terminate()
    client = daemon.wire("bench")
    assert client.value("select pg_backend_pid()") == pid
    timezone = client.value("show timezone")
    assert timezone != "Asia/Tokyo" and client.value("show work_mem") == "5MB"
    assert client.parameters["TimeZone"] == timezone, "the client is told what its server has"


@pytest.mark.parametrize("sql, sqlstate, words", [
    ("selec 1", "42601", "syntax error"),
    ("select 1/0", "22012", "division by zero"),
    ("begin", "25001", "transaction"),
    ("set role nobody_of_that_name", "22023", "nobody_of_that_name"),
], ids=["syntax", "fails", "stays in a transaction", "role"])
def test_a_configure_that_fails_is_told_to_clients_at_once(tidepool, postgres, sql, sqlstate, words):
    daemon = tidepool(pools=pool(postgres.conninfo("postgres", "app"), configure=sql, timeout="60s"))
    failure = login_error(daemon)
    assert failure.sqlstate == sqlstate
    assert "configure" in failure.fields["M"] and words in failure.fields["M"]
    assert not [row for row in postgres.backends(user="app") if row["application_name"] == "tidepool"]


def test_a_configure_that_hangs_is_given_up_after_check_timeout(tidepool, postgres):
    daemon = tidepool(pools=pool(postgres.conninfo("postgres", "app"), configure="select pg_sleep(600)",
                                 check_timeout="500ms", when_down="fail"))
    assert login_error(daemon).sqlstate.startswith("08")
    wait_until(lambda: daemon.pool_stats("bench")["connections_errors"] >= 1, "it counts as a failed login")


def test_a_configure_that_hangs_leaves_no_backend_that_hangs_on(tidepool, postgres):
    """Each try would leave one more, beyond max_size."""
    database = postgres.create_database()
    daemon = tidepool(pools=pool(postgres.conninfo(database, "app"), configure="select pg_sleep(600)",
                                 check_timeout="200ms", max_size=1, timeout="60s"))
    client = daemon.wire()
    client.send(wire.startup(user="app", database="bench"))
    wait_until(lambda: daemon.pool_stats("bench")["connections_errors"] >= 4, "it was tried several times", 30)
    client.close()
    daemon.stop()
    wait_until(lambda: not postgres.backends(database=database), "nothing is left")
    postgres.drop_database(database)


def test_a_configure_that_does_copy_is_an_error_and_not_a_hang(tidepool, postgres):
    daemon = tidepool(pools=pool(postgres.conninfo("postgres", "app"), configure="copy (select 1) to stdout; select 1",
                                 timeout="3s"))
    try:
        assert daemon.wire("bench").value("select 42") == "42"
    except wire.LoginFailed as failure:
        assert "configure" in failure.fields["M"]


# server_application_name


def seen_name(daemon, postgres, **startup):
    client = daemon.wire("bench", **startup)
    pid = int(client.value("select pg_backend_pid()"))
    shown = client.value("show application_name")
    seen = next(row["application_name"] for row in postgres.backends() if row["pid"] == pid)
    client.terminate()
    assert shown == seen
    return seen


def test_postgres_sees_each_clients_own_application_name(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1}})
    for name in ("first", "second", "", "Zürich 'quoted' \\ %p"):
        with postgres.connect("postgres", "app", application_name=name) as direct:
            expected = one(direct, "show application_name")
        assert seen_name(daemon, postgres, application_name=name) == expected, "as on a direct connection"
    assert len(daemon.backends("bench")) == 1


def test_server_application_name_is_a_template(tidepool, postgres):
    template = "%a via %p for %u (%c) 100%%"
    daemon = tidepool(pools=pool(postgres.conninfo("postgres", "app"), max_size=1, server_application_name=template))
    assert seen_name(daemon, postgres, application_name="me") == f"me via bench for app ({os.getpid()}) 100%"
    assert seen_name(daemon, postgres, application_name="you") == f"you via bench for app ({os.getpid()}) 100%"
    assert seen_name(daemon, postgres) == f" via bench for app ({os.getpid()}) 100%"


def test_server_application_name_without_the_clients_own_is_the_same_for_all(tidepool, postgres):
    daemon = tidepool(pools=pool(postgres.conninfo("postgres", "app"), server_application_name="orders pool"))
    assert seen_name(daemon, postgres, application_name="me") == "orders pool"
    assert seen_name(daemon, postgres) == "orders pool"


def test_application_name_that_a_client_sets_is_gone_for_the_next(tidepool, postgres):
    daemon = tidepool(pools=pool(postgres.conninfo("postgres", "app"), max_size=1))
    client = daemon.wire("bench", application_name="mine")
    client.ask("set application_name = 'changed'")
    assert client.parameters["application_name"] == "changed"
    client.terminate()
    assert seen_name(daemon, postgres, application_name="next") == "next"


# A server that is not quite PostgreSQL


def test_a_server_that_says_something_after_its_login_is_not_let_in(tidepool, fake_server):
    """Fact 12: half a message may be left in libpq's buffer; only a stream that is proved to be whole is relayed."""
    def script(server):
        server.log_in(answer_sync=False)
        server.expect("S")
        if len(fake.connections) < 3:
            server.send(fakes.data_row("nobody asked"), fakes.ready())
            return
        server.send(fakes.notice_response("hello"), fakes.parameter_status("TimeZone", "Mars/Olympus"), fakes.ready())
        server.serve()

    fake = fake_server(script)
    daemon = tidepool(pools=pool(fake.conninfo(), timeout="30s"))
    client = daemon.wire("bench")
    assert client.value("select 1") == "1" and client.parameters["TimeZone"] == "Mars/Olympus"
    assert daemon.pool_stats("bench")["connections_errors"] >= 1 and len(fake.connections) == 3
