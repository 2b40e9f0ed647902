"""More of the numbered facts about PostgreSQL and libpq, beside test_facts.py: idle timeouts, halves of messages, libpq, sockets
that take each other's numbers."""

import threading

import pytest
from harness import wire
from harness.daemon import check
from harness.fake_server import complete, notice_response, ready
from harness.sessions import backend_of, wait_until_running
from harness.waiting import wait_until
from harness.wire import SYNC, query


@pytest.fixture
def of_one(tidepool):
    def start(**pool):
        daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, **pool}})
        daemon.psql("-c", "create table kept(a int)", pool="bench")
        return daemon
    return start


def test_fact_05_the_servers_idle_timeout_does_not_end_resting_servers(tidepool, new_postgres):
    server = new_postgres()
    server.execute("alter role app set idle_session_timeout to '200ms'")
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 1}})
    with daemon.wire("bench") as client:
        first = backend_of(client)
        assert client.is_silent(0.6)
        assert backend_of(client) == first


def test_fact_09_a_message_forwarded_by_half_costs_the_server(of_one):
    daemon = of_one()
    client = daemon.wire("bench")
    server = backend_of(client)
    client.send(query("insert into kept values (1)")[:-2])
    client.close()
    assert backend_of(daemon.wire("bench")) != server


@pytest.mark.parametrize("cut", [3, None], ids=["half a notice", "a whole one"])
def test_fact_12_what_comes_right_behind_a_login_is_nobodys(tidepool, fake_server, cut):
    notice = notice_response("of the login")

    def script(server):
        server.log_in(answer_sync=False)
        part = cut if server is fake.connections[0] else None      # where libpq swallows half of it, another is dialed
        server.send(notice, cut=part)
        server.expect("S")
        server.send((b"" if part is None else notice[part:]) + ready())
        server.serve()
    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo() + " connect_timeout=2", "min_size": 0, "max_size": 1}})
    with wire.WireClient(daemon.socket_path, timeout=40) as client:
        client.log_in(database="bench")
        assert [answer.type for answer in client.ask("select 1")] == ["T", "D", "C", "Z"]


def test_fact_12_a_server_that_says_more_than_it_was_asked_is_not_lent(tidepool, fake_server):
    def script(server):
        server.log_in(answer_sync=False)
        server.expect("S")
        server.send(ready() + (complete("SELECT 1") + ready() if server is fake.connections[0] else b""))
        server.serve()
    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1}})
    for _ in range(2):
        with daemon.wire("bench") as client:
            assert [answer.type for answer in client.ask("select 1")] == ["T", "D", "C", "Z"]
            client.terminate()
    assert len(fake.connections) == 2


def test_fact_13_a_frozen_server_does_not_keep_the_daemon_from_stopping(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 1}})
    client = daemon.wire("bench")
    client.ask("create table t(a text)")
    client.send(query("copy t from stdin"))
    client.read_until("G")
    server.pause(backends=True)
    sender = threading.Thread(target=fill, args=[client])
    sender.start()
    sender.join()
    client.close()
    daemon.stop(timeout=30)
    server.resume()


def fill(client):
    """Sends CopyData until nobody takes any more."""
    client.socket.settimeout(1)
    try:
        while True:
            client.socket.sendall(wire.copy_data("x" * 60_000))
    except OSError:
        pass


def test_fact_15_a_cancel_works_and_no_password_is_in_the_log(tidepool, new_postgres):
    server = new_postgres(tcp=True)
    server.create_role("secret", password="mellon-4711")
    server.set_hba("local all all trust\nhost all secret 127.0.0.1/32 scram-sha-256\n")
    conninfo = f"host=127.0.0.1 port={server.port} dbname=postgres user=secret password=mellon-4711"
    daemon = tidepool(pools={"bench": {"conninfo": conninfo, "min_size": 1, "max_size": 1}})
    client = daemon.wire("bench", user="secret")
    client.send(query("select pg_sleep(600)"))
    wait_until_running(server, "pg_sleep", user="secret")
    client.cancel()
    assert client.read_until("E")[-1].fields["C"] == "57014"
    assert "mellon" not in daemon.log()


def test_fact_18_sockets_that_take_each_others_numbers_do_not_disturb_each_other(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 4, "reset": "close"}})
    for number in range(60):
        clients = [daemon.wire("bench") for _ in range(3)]
        for client in clients:
            client.send(query(f"select {number}"))
        for client in clients:
            assert client.read_until("D")[-1].values == [str(number).encode()]
            client.close()


def test_fact_22_a_prepared_statement_keeps_to_its_own_session(of_one):
    daemon = of_one()
    for style, expected in (("German", "2020-02-01"), ("ISO, MDY", "2020-01-02")):
        with daemon.wire("bench", DateStyle=style) as client:
            client.send(wire.parse("select to_char('01/02/2020'::date, 'YYYY-MM-DD')", "same name")
                        + wire.bind(statement="same name") + wire.execute() + SYNC)
            assert client.read_until("D")[-1].values == [expected.encode()]
            client.terminate()


def test_fact_25_a_connection_counts_until_postgresql_hung_up(tidepool, new_postgres):
    """PostgreSQL itself allows the role one connection: a second one, however short, would be refused."""
    server = new_postgres()
    server.execute("alter role app connection limit 1")
    daemon = tidepool(server=server, pools={"bench": {"min_size": 0, "max_size": 1, "reset": "close"}})
    for _ in range(30):
        with daemon.wire("bench") as client:
            assert client.value("select 1") == "1"
            client.terminate()
    assert "too many connections" not in server.log()
    wait_until(lambda: not daemon.backends("bench"), "the last one is gone")


def test_fact_04_a_cancel_that_hits_the_reset_costs_the_server_and_not_the_next_client(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, "reset": "select pg_sleep(600)", "reset_timeout": "60s"}})
    client = daemon.wire("bench")
    before = backend_of(client)
    client.terminate()
    wait_until(lambda: any(row["wait_event"] == "PgSleep" for row in daemon.backends("bench")), "the reset runs")
    postgres.execute("select pg_cancel_backend(%s)", [before])
    with daemon.wire("bench") as following:
        assert backend_of(following) != before
    daemon.wait_for_log(f"server_pid={before} server closed: .*reset failed")


def test_fact_17_keys_that_this_libpq_does_not_know_are_mistakes():
    text = ("listen: [{unix: /tmp, auth: trust}]\npools: {bench: {conninfo: \"host=/tmp user=app no_such_key=1\"}}\n")
    code, lines, _ = check(text)
    assert code == 1 and 'invalid connection option "no_such_key"' in "".join(lines)
