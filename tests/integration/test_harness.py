"""The harness proves itself, without the daemon: what the other tests believe has to hold."""

import psycopg
import pytest
from harness import wire
from harness.daemon import Tidepool
from harness.fake_server import complete, data_row, ready, row_description
from harness.proxy import Proxy
from harness.waiting import TimedOut, wait_until
from harness.wire import WireClient


def test_the_private_postgres_answers_and_shows_its_backends(postgres):
    with postgres.connect(user="app", application_name="me") as connection:
        assert connection.execute("select 42").fetchone() == (42,)
        assert [row["usename"] for row in postgres.backends(application_name="me")] == ["app"]
    wait_until(lambda: not postgres.backends(application_name="me"), "the backend is gone")
    assert postgres.psql("-c", "select 6 * 7") == "42\n"


def test_a_postgres_can_be_restarted_killed_paused_and_reached_by_tls(new_postgres):
    server = new_postgres(tcp=True, tls=True)
    server.create_role("secret", password="word")
    server.set_hba("local all all trust\nhostssl all secret 127.0.0.1/32 scram-sha-256\n")
    server.set(log_statement="all")
    conninfo = (f"host=127.0.0.1 port={server.port} dbname=postgres user=secret password=word"
                f" sslmode=verify-full sslrootcert={server.authority}")
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()").fetchone() == (True,)
    server.restart("immediate")
    server.kill()
    assert not server.is_running()
    server.start()
    server.pause()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(conninfo + " connect_timeout=2")
    server.resume()
    psycopg.connect(conninfo).close()


@pytest.mark.parametrize("pieces", [None, 1])
def test_the_raw_client_speaks_to_a_real_postgres(postgres, pieces):
    client = WireClient(postgres.socket_path)
    client.send(wire.SSL_REQUEST)
    assert client.read_bytes(1) == b"N"
    client.log_in(user="app", pieces=pieces)
    assert client.parameters["server_encoding"] == "UTF8" and client.process_id and len(client.key) == 4
    client.send(wire.extended("select $1::int + 1", [41]) + wire.SYNC, pieces=pieces)
    answers = client.read_until_ready()
    assert [answer.type for answer in answers] == ["1", "2", "D", "C", "Z"]
    assert answers[2].values == [b"42"]
    client.send(wire.query("select pg_sleep(60)"))
    wait_until(lambda: any("pg_sleep" in row["query"] and row["state"] == "active" for row in postgres.backends()),
               "the query runs")
    assert client.cancel() == []
    assert client.read_until("E")[-1].fields["C"] == "57014"
    client.read_until_ready()
    assert client.is_silent(0.05)
    client.terminate()


@pytest.mark.parametrize("method, code", [("password", 3), ("md5", 5), ("scram-sha-256", 10)])
def test_the_raw_client_logs_in_by_every_password_method(new_postgres, method, code):
    server = new_postgres(settings={"password_encryption": "md5" if method == "md5" else "scram-sha-256"})
    server.create_role("secret", password="word")
    server.create_role("stored", password=wire.scram_secret("word"))
    server.set_hba(f"local all postgres trust\nlocal all all {method}\n")
    with WireClient(server.socket_path) as client:
        client.log_in(user="secret", password="word")
        assert client.authentication[0] == code and client.value("select 42") == "42"
    with WireClient(server.socket_path) as client:
        client.log_in(user="stored", password="word")
    with WireClient(server.socket_path) as client, pytest.raises(wire.LoginFailed) as failure:
        client.log_in(user="secret", password="wrong")
    assert failure.value.sqlstate == "28P01"


def test_a_fake_server_follows_its_script(fake_server):
    def script(server):
        server.log_in(answer_sync=False)
        server.serve({"select 1": row_description("a") + data_row("one") + complete("SELECT 1") + ready()})

    fake = fake_server(script)
    with psycopg.connect(fake.conninfo(), autocommit=True) as connection:
        assert connection.execute("select 1").fetchone() == ("one",)
        connection.cancel_safe()        # cancel() would hold the interpreter, and with it the fake server
    wait_until(lambda: fake.cancels, "the cancel came")
    assert fake.cancels == [(1000, fake.connections[0].key)]
    assert fake.connections[0].startup["database"] == "bench"


def test_a_fake_server_refuses_and_breaks_off(fake_server):
    refusing = fake_server(lambda server: server.refuse("57P03", "the database system is starting up"), tcp=True)
    with pytest.raises(psycopg.OperationalError, match="starting up"):
        psycopg.connect(refusing.conninfo())

    def half(server):
        server.log_in(answer_sync=False)
        server.expect("Q")
        server.send(row_description("a"), cut=4)

    with WireClient(fake_server(half).folder / ".s.PGSQL.5432") as client:
        client.log_in()
        with pytest.raises(wire.Closed):
            client.ask("select 1")


def test_a_proxy_holds_cuts_and_splits(postgres):
    with Proxy(postgres.socket_path, pieces=1) as proxy:
        with psycopg.connect(proxy.conninfo(), autocommit=True) as connection:
            assert connection.execute("select 42").fetchone() == (42,)
        with WireClient(proxy.folder / ".s.PGSQL.5432") as client:
            client.log_in()
            proxy.hold()
            client.send(wire.query("select 1"))
            assert client.is_silent(0.1)
            proxy.release()
            client.read_until_ready()
            proxy.cut()
            assert client.read_until_closed() == []


def test_the_settings_file_is_what_was_asked_for():
    daemon = Tidepool({"pools": {"bench": {"conninfo": "dbname=bench", "max_size": 2}}, "workers": 2})
    text = daemon.settings_file.read_text()
    assert "pools:\n  bench:\n    conninfo: dbname=bench\n    max_size: 2\n" in text and "workers: 2" in text
    assert daemon.conninfo("bench") == f"host='{daemon.folder}' port='6432' dbname='bench' user='app'"
    daemon.remove()
    assert not daemon.folder.exists()


def test_a_condition_that_never_comes_true_fails():
    with pytest.raises(TimedOut, match="until pigs fly"):
        wait_until(lambda: False, "pigs fly", timeout=0.02)
