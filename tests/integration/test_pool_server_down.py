"""A PostgreSQL that cannot be logged in to: what clients are told, what is tried, and how it comes back."""

import threading
import time

import psycopg
import pytest
from harness import fake_server as fakes
from harness import wire
from harness.waiting import SLOWNESS, holds_for, wait_until


def value(client, sql="select 42"):
    """One simple query: its value, or the SQLSTATE of its error."""
    answers = client.ask(sql)
    for answer in answers:
        if answer.type == "E":
            return answer.fields["C"]
        if answer.type == "D":
            return answer.values[0].decode()


def login_error(daemon, pool="bench", **others):
    with pytest.raises(wire.LoginFailed) as failure:
        daemon.wire(pool, **others)
    assert failure.value.fields["S"] == "FATAL"
    return failure.value


def down(daemon):
    """Waits until the daemon has noticed."""
    daemon.wait_for_log("server cannot be reached")


def nobody_answers(daemon, client):
    """Waits until PostgreSQL does not even say any more that it is shutting down (57P03)."""
    wait_until(lambda: value(client) == "08001", "the socket is gone")


class Switch:
    """A script for fake servers that works, or refuses logins with what `refusal` says; notes when each login came."""

    def __init__(self, refusal=None, parameters=None):
        self.refusal, self.parameters, self.logins = refusal, parameters, []

    def __call__(self, server):
        self.logins.append(time.monotonic())
        if self.refusal:
            server.refuse(*self.refusal)
        else:
            server.log_in(self.parameters)
            server.serve()


# Unreachable: when_down


def test_when_down_wait_a_query_waits_until_the_server_is_back(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "timeout": "30s"}})
    client = daemon.wire("bench")
    server.stop()
    client.send(wire.query("select 42"))
    down(daemon)
    assert client.is_silent(1)
    server.start()
    assert client.read_until_ready()[1].values == [b"42"]
    daemon.wait_for_log("server is reached again")
    assert daemon.pool_stats("bench")["requests_errors"] == 0


def test_when_down_wait_clients_still_log_in_once_the_pool_has_seen_a_server(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "timeout": "30s"}})
    daemon.wire("bench").close()
    server.stop()
    down(daemon)
    client = daemon.wire("bench")
    assert client.parameters["server_encoding"] == "UTF8"
    server.start()
    assert value(client) == "42"


def test_when_down_wait_the_first_login_waits_for_the_server(tidepool, new_postgres):
    server = new_postgres()
    conninfo = server.conninfo("postgres", "app")
    server.stop()
    daemon = tidepool(pools={"bench": {"conninfo": conninfo, "min_size": 1, "timeout": "30s"}})
    down(daemon)
    client = daemon.wire()
    client.send(wire.startup(user="app", database="bench"))
    assert client.is_silent(0.5) or client.read().type == "R"
    server.start()
    client.finish_login()
    assert value(client) == "42"


def test_when_down_wait_the_timeout_tells_why_no_server_could_be_opened(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "timeout": "1s"}})
    client = daemon.wire("bench")
    server.stop()
    fields = client.error("select 42")
    assert fields["C"] == "53300" and '"bench"' in fields["M"]
    assert "No such file or directory" in fields["D"] or "refused" in fields["D"], fields
    server.start()
    wait_until(lambda: value(client) == "42", "the session goes on when the server is back")


def test_when_down_fail_queries_fail_at_once_and_keep_their_session(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "timeout": "60s", "when_down": "fail"}})
    client = daemon.wire("bench")
    server.stop()
    nobody_answers(daemon, client)
    began = time.monotonic()
    for _ in range(3):
        fields = client.error("select 42")
        assert fields["C"] == "08001" and fields["S"] == "ERROR" and str(server.folder) in fields["M"]
        client.send(wire.extended("select 1") + wire.SYNC)
        assert [answer.type for answer in client.read_until_ready()] == ["E", "Z"]
    assert time.monotonic() - began < 10 * SLOWNESS
    server.start()
    wait_until(lambda: value(client) == "42", "queries work again")


def test_when_down_fail_logins_fail_at_once(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "timeout": "60s", "when_down": "fail"}})
    client = daemon.wire("bench")
    server.stop()
    nobody_answers(daemon, client)
    failure = login_error(daemon)
    assert failure.sqlstate == "08001" and str(server.folder) in failure.fields["M"]
    server.start()


def test_when_down_fail_a_first_login_fails_too(tidepool, new_postgres):
    server = new_postgres()
    conninfo = server.conninfo("postgres", "app")
    server.stop()
    daemon = tidepool(pools={"bench": {"conninfo": conninfo, "min_size": 0, "max_size": 1, "timeout": "60s",
                                       "when_down": "fail"}})
    for _ in range(2):
        assert login_error(daemon).sqlstate == "08001"


@pytest.mark.timeout(90)
def test_when_down_fail_clients_that_only_try_to_log_in_bring_the_pool_back_too(tidepool, new_postgres):
    """Applications with NullPool connect and are refused: their asking must send probes, else nobody notices until
    the backoff ends, which is 30 s after a while."""
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 0, "max_size": 2, "when_down": "fail"}})
    daemon.wire("bench").close()
    server.restart()                       # nothing is connected now
    server.stop()
    with pytest.raises((wire.LoginFailed, AssertionError)):
        client = daemon.wire("bench")
        assert value(client) == "42"
    time.sleep(9)                          # the backoff has grown to 8 s
    assert login_error(daemon).sqlstate in ("08001", "57P03")
    server.start()
    back = time.monotonic()

    def logs_in():
        try:
            daemon.wire("bench").close()
            return True
        except wire.LoginFailed:
            return False

    wait_until(logs_in, "a client can log in", interval=0.1)
    assert time.monotonic() - back < 4 * SLOWNESS


def test_when_down_fail_live_servers_are_lent_as_ever(tidepool, fake_server):
    switch = Switch()
    fake = fake_server(switch)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 1, "max_size": 2, "timeout": "1s",
                                       "when_down": "fail"}})
    holder = daemon.wire("bench")
    assert value(holder) == "1"
    switch.refusal = ("57P03", "the database system is shutting down")
    with daemon.wire("bench") as client:
        assert value(client) == "53300"        # waits for the one that lives
    holder.terminate()
    with daemon.wire("bench") as client:
        assert value(client) == "1"


# Starting up


def test_a_server_that_starts_up_is_waited_for(tidepool, fake_server):
    switch = Switch(("57P03", "the database system is starting up"))
    fake = fake_server(switch)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 1, "timeout": "30s"}})
    down(daemon)
    client = daemon.wire()
    client.send(wire.startup(user="app", database="bench") + wire.query("select 1"))
    holds_for(lambda: len(switch.logins) < 10, "no stampede", 1)
    switch.refusal = None
    client.finish_login()
    assert [answer.type for answer in client.read_until_ready()] == ["T", "D", "C", "Z"]


def test_a_server_that_starts_up_is_not_waited_for_under_when_down_fail(tidepool, fake_server):
    switch = Switch()
    fake = fake_server(switch)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1, "timeout": "60s",
                                       "when_down": "fail"}})
    client = daemon.wire("bench")
    switch.refusal = ("57P03", "the database system is starting up")
    daemon.console("RECONNECT bench")
    fields = client.error("select 1")
    assert (fields["C"], fields["M"]) == ("57P03", "the database system is starting up")
    assert login_error(daemon).fields["M"] == "the database system is starting up"


# The server refuses the login itself


def test_a_wrong_password_reaches_clients_at_once_in_the_servers_words(tidepool, new_postgres):
    server = new_postgres()
    server.create_role("secret", password="right")
    server.set_hba("local all postgres trust\nlocal all app trust\nlocal all secret scram-sha-256\n")
    daemon = tidepool(server=server, pools={"bench": {
        "conninfo": server.conninfo("postgres", "secret", password="wrong"), "users": ["app"],
        "min_size": 0, "max_size": 2, "timeout": "60s"}})
    failure = login_error(daemon)
    assert failure.sqlstate == "28P01"
    assert failure.fields["M"] == 'password authentication failed for user "secret"'
    assert "wrong" not in daemon.log().replace("wrong password", "")
    assert login_error(daemon).sqlstate == "28P01"


def test_a_missing_password_and_a_refusing_hba_are_28_too(tidepool, new_postgres):
    server = new_postgres()
    server.create_role("secret", password="right")
    server.set_hba("local all postgres trust\nlocal all secret scram-sha-256\nlocal all app reject\n")
    daemon = tidepool(pools={
        "secret": {"conninfo": server.conninfo("postgres", "secret"), "users": ["app"], "min_size": 0, "max_size": 1},
        "rejected": {"conninfo": server.conninfo("postgres", "app"), "min_size": 0, "max_size": 1}})
    assert login_error(daemon, "secret").sqlstate == "28P01"
    failure = login_error(daemon, "rejected")
    assert failure.sqlstate == "28000" and "pg_hba.conf" in failure.fields["M"]


@pytest.mark.parametrize("when_down", ["wait", "fail"])
def test_a_missing_database_reaches_clients_at_once_in_the_servers_words(tidepool, postgres, when_down):
    daemon = tidepool(pools={"bench": {"conninfo": postgres.conninfo("no_such_db", "app"), "min_size": 0,
                                       "max_size": 2, "timeout": "60s", "when_down": when_down}})
    failure = login_error(daemon)
    assert (failure.sqlstate, failure.fields["M"]) == ("3D000", 'database "no_such_db" does not exist')


def test_a_password_that_was_changed_refuses_nobody_as_long_as_a_server_works(tidepool, new_postgres):
    """Who comes waits for that one, as in a full pool. When it is lost, the error says whose login is meant."""
    server = new_postgres()
    server.create_role("secret", password="right")
    server.set_hba("local all postgres trust\nlocal all secret scram-sha-256\n")
    daemon = tidepool(server=server, pools={"bench": {
        "conninfo": server.conninfo("postgres", "secret", password="right"), "users": ["app"], "mode": "transaction",
        "min_size": 0, "max_size": 4, "timeout": "60s"}})
    holder, others = daemon.wire("bench"), [daemon.wire("bench") for _ in range(3)]
    holder.rows("begin")
    server.execute("alter role secret password 'other'")
    for other in others:
        other.send(wire.query("select 42"))
    wait_until(lambda: "password authentication failed" in daemon.log(), "a login was refused")
    assert all(other.is_silent(0.05) for other in others)
    newcomer = daemon.wire("bench")
    holder.rows("commit")
    for other in others:
        assert [answer.type for answer in other.read_until_ready()] == ["T", "D", "C", "Z"]
    assert value(newcomer) == "42"
    server.terminate(user="secret")
    fields = newcomer.error("select 42")
    assert (fields["C"], fields["D"]) == ("28P01", 'This is about the login of pool "bench" at PostgreSQL, not about the client\'s.')


def test_a_password_that_was_changed_fails_queries_at_once_and_works_again_when_it_is_mended(tidepool, new_postgres):
    server = new_postgres()
    server.create_role("secret", password="right")
    server.set_hba("local all postgres trust\nlocal all secret scram-sha-256\n")
    daemon = tidepool(server=server, pools={"bench": {
        "conninfo": server.conninfo("postgres", "secret", password="right"), "users": ["app"],
        "min_size": 1, "max_size": 2, "timeout": "60s"}})
    client = daemon.wire("bench")
    server.execute("alter role secret password 'other'")
    server.terminate(user="secret")
    fields = client.error("select 42")
    assert (fields["S"], fields["C"]) == ("ERROR", "28P01")
    server.execute("alter role secret password 'right'")
    wait_until(lambda: value(client) == "42", "the session goes on", 15, 0.2)


# Too many connections


def test_too_many_connections_waits_and_is_no_outage(tidepool, new_postgres):
    server = new_postgres(settings={"max_connections": 6, "superuser_reserved_connections": 2})
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 8, "timeout": "30s"}})
    daemon.wire("bench").close()
    wait_until(lambda: len(daemon.backends("bench")) == 1, "one server is there")
    others = []
    with pytest.raises(psycopg.OperationalError):
        while True:                            # until the house is full
            others.append(server.connect("postgres", "app"))
    first = daemon.wire("bench")
    assert value(first) == "42"
    second = daemon.wire("bench")
    second.send(wire.query("select 42"))
    wait_until(lambda: daemon.pool_stats("bench")["connections_errors"] >= 2, "no more connections are to be had")
    assert second.is_silent(0.1)
    assert "server cannot be reached" not in daemon.log()
    others.pop().close()
    assert second.read_until_ready()[1].values == [b"42"]
    for other in others:
        other.close()


# Probes


@pytest.mark.timeout(90)
def test_while_clients_wait_a_probe_goes_out_every_500_ms_and_no_more(tidepool, fake_server):
    switch = Switch(("57P03", "the database system is starting up"))
    fake = fake_server(switch)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 10, "timeout": "60s"}})
    clients = [daemon.wire() for _ in range(10)]
    for client in clients:
        client.send(wire.startup(user="app", database="bench"))
    wait_until(lambda: len(switch.logins) >= 12, "probes go out", 20)
    probes = switch.logins[-8:]
    per_probe = (probes[-1] - probes[0]) / (len(probes) - 1)
    assert 0.4 < per_probe < 1.0 * SLOWNESS, probes
    switch.refusal = None
    for client in clients:
        client.finish_login()


@pytest.mark.timeout(90)
def test_while_nobody_waits_probes_are_backed_off_exponentially(tidepool, fake_server):
    switch = Switch(("57P03", "the database system is starting up"))
    fake = fake_server(switch)
    tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 4}})
    wait_until(lambda: len(switch.logins) >= 3 + 3, "three dials, then probes", 20)
    assert switch.logins[5] - switch.logins[2] > 5.5, "1 s, 2 s, 4 s, less 10 %"


def test_when_the_server_is_back_everybody_is_dialed_for(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 0, "max_size": 6, "timeout": "30s"}})
    clients = [daemon.wire("bench") for _ in range(6)]
    server.stop()
    for client in clients:
        client.send(wire.query("select 42"))
    wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == 6, "all wait")
    server.start()
    for client in clients:
        assert client.read_until_ready()[1].values == [b"42"]


@pytest.mark.timeout(90)
def test_after_reconnect_timeout_a_log_line_and_a_statistic_say_so_and_probes_go_on(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 2, "reconnect_timeout": "1s",
                                                      "timeout": "60s"}})
    client = daemon.wire("bench")
    server.stop()
    daemon.wait_for_log(r"pool=bench server could not be reached for reconnect_timeout, slow probes go on")
    errors = daemon.pool_stats("bench")["connections_errors"]
    wait_until(lambda: daemon.pool_stats("bench")["connections_errors"] > errors, "probes go on", 20)
    assert daemon.log().count("reconnect_timeout") == 1 and daemon.pool_stats("bench")["gave_up"] == 1
    server.start()
    assert value(client) == "42"
    daemon.wait_for_log("pool=bench server is reached again")


def test_a_server_that_hangs_in_its_login_costs_connect_timeout(tidepool, fake_server):
    first = []

    def script(server):
        first.append(server)
        if server is first[0]:
            server.read_startup()
            server.never_answer()
        server.log_in()
        server.serve()

    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(connect_timeout=2), "min_size": 0, "max_size": 1,
                                       "timeout": "30s"}})
    with daemon.wire("bench") as client:
        assert value(client) == "1"
    assert daemon.pool_stats("bench")["connections_errors"] == 1


def test_a_stopped_postgres_is_waited_for_and_the_daemon_stays_alive(tidepool, new_postgres):
    """SIGSTOP of the postmaster: the kernel accepts, nobody answers."""
    server = new_postgres()
    daemon = tidepool(server=server, pools={
        "bench": {"min_size": 0, "max_size": 2, "timeout": "30s"},
        "other": {"min_size": 1, "max_size": 1}})
    client = daemon.wire("bench")
    with daemon.connect("other") as other:
        assert other.execute("select 1").fetchone()
        server.pause()
        daemon.console("RECONNECT bench")
        client.send(wire.query("select 42"))
        for _ in range(20):
            assert other.execute("select 1").fetchone()
        server.resume()
        assert client.read_until_ready()[1].values == [b"42"]


# Another server


def test_a_server_of_another_version_renews_the_greeting(tidepool, fake_server):
    switch = Switch(parameters={"server_version": "15.4", "IntervalStyle": "postgres"})
    fake = fake_server(switch)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 1}})
    early, holder = daemon.wire("bench"), daemon.wire("bench")
    assert early.parameters["server_version"] == "15.4"
    assert value(holder) == "1"
    switch.parameters = {"server_version": "16.2", "in_hot_standby": "on"}
    daemon.console("RECONNECT bench")
    holder.terminate()
    fake.wait_for_connections(2)
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 1, "the new server rests")
    late = daemon.wire("bench")
    assert late.parameters["server_version"] == "16.2" and late.parameters["in_hot_standby"] == "on"
    assert early.ask("x")[-1].type == "Z"
    assert early.parameters["server_version"] == "16.2" and early.parameters["in_hot_standby"] == "on"


def test_errors_while_a_server_is_down_do_not_end_a_drivers_session(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "when_down": "fail"}})
    with daemon.connect("bench") as connection:
        server.stop()
        down(daemon)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
        assert not connection.closed
        server.start()

        def works():
            try:
                return connection.execute("select 42").fetchone() == (42,)
            except psycopg.OperationalError:
                return False

        wait_until(works, "the same connection works again")


def test_many_clients_of_a_dead_server_are_answered_while_the_daemon_stays_small(tidepool, new_postgres):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 4, "when_down": "fail"}})
    client = daemon.wire("bench")
    server.stop()
    nobody_answers(daemon, client)
    descriptors = daemon.open_descriptors()
    refused = []

    def hammer():
        for _ in range(50):
            refused.append(login_error(daemon).sqlstate)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["08001"] * 200
    assert daemon.pool_stats("bench")["connections_num"] < 50
    wait_until(lambda: daemon.open_descriptors() <= descriptors + 4, "descriptors are given back")
