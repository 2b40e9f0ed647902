"""The numbered facts about PostgreSQL that concern a session (docs/decisions.md), each shown through the pool: where a pooler that does not
know it breaks, this one does what a direct connection does."""

import pytest
from harness import wire
from harness.waiting import wait_until
from harness.wire import LoginFailed

SETTINGS = {"search_path": "pg_catalog", "statement_timeout": "1h", "timezone": "Asia/Tokyo"}     # a client with settings of its own


@pytest.fixture
def daemon(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    with daemon.wire("bench") as client:
        client.ask("create table public.t (a int)")
        client.terminate()
    return daemon


def rows_in_t(daemon):
    with daemon.wire("bench") as client:
        count = client.value("select count(*) from public.t")
        client.terminate()
        return int(count)


def test_fact_01_nothing_of_a_client_runs_when_what_goes_in_front_of_it_fails(daemon):
    """The last client's statement_timeout would end the reset, and the next one's query would run under the last one's role and search_path."""
    with daemon.wire("bench") as client:
        client.ask("set statement_timeout = 1; set search_path = nowhere")
        client.terminate()
    for _ in range(20):
        with daemon.wire("bench", **SETTINGS) as client:
            assert client.value("show statement_timeout") == "1h" and client.value("show search_path") == "pg_catalog"
            client.ask("set statement_timeout = 1")
            client.terminate()
        with daemon.wire("bench") as client:
            assert client.value("show statement_timeout") == "0" and client.value("show search_path") == '"$user", public'
            client.terminate()


@pytest.mark.parametrize("first", ["vacuum public.t", "begin isolation level serializable", "create database of_fact_02"])
def test_fact_02_what_must_stand_alone_does_behind_settings_in_front(tidepool, postgres, first):
    daemon = tidepool(pools={"bench": {"conninfo": postgres.conninfo(postgres.create_database(), "postgres"), "min_size": 1, "max_size": 1}})
    with daemon.wire("bench", user="postgres") as client:
        client.ask("create table public.t (a int)")
        client.terminate()
    with daemon.wire("bench", user="postgres", **SETTINGS) as client:
        assert [answer.type for answer in client.ask(first) if answer.type not in "SN"] == ["C", "Z"]
        client.ask("rollback")
        client.ask("drop database if exists of_fact_02")


def test_fact_02_a_flush_behind_settings_in_front_gets_its_answers(daemon):
    with daemon.wire("bench", **SETTINGS) as client:
        client.send(wire.extended("select 42") + wire.FLUSH)
        assert [answer.type for answer in client.read_until("C") if answer.type != "S"] == ["1", "2", "D", "C"]
        client.send(wire.SYNC)
        assert client.read().type == "Z"


def test_fact_03_an_error_in_the_first_statement_does_not_take_the_settings_back(daemon):
    with daemon.wire("bench", **SETTINGS) as client:
        assert client.error("select 1/0")["C"] == "22012" and client.status == "I"
        assert client.value("show timezone") == "Asia/Tokyo" and client.value("show search_path") == "pg_catalog"
        client.ask("begin")
        client.error("select 1/0")
        client.ask("rollback")
        assert client.value("show timezone") == "Asia/Tokyo"


def test_fact_06_discard_all_leaves_an_empty_custom_setting_and_reset_close_does_not(tidepool):
    """PostgreSQL's own doing; who cannot live with it has a way out, and docs/decisions.md says so."""
    for reset, left in (("discard_all", ""), ("close", None)):
        daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, "reset": reset}})
        with daemon.wire("bench") as client:
            client.ask("set app.tenant = '7'")
            client.terminate()
        with daemon.wire("bench") as client:
            assert client.rows("select current_setting('app.tenant', true)") == [[left]]


@pytest.mark.parametrize("statement", ["reset all", "discard all", "reset timezone", "set timezone to default"])
def test_fact_07_resets_of_the_client_go_back_to_what_it_gave_at_start_up(daemon, statement):
    with daemon.wire("bench", **SETTINGS) as client:
        client.ask("set timezone = 'UTC'")
        client.ask(statement)
        assert client.value("show timezone") == "Asia/Tokyo" == client.parameters["TimeZone"]
        client.terminate()
    with daemon.wire("bench") as client:
        assert client.value("show timezone") != "Asia/Tokyo"


def test_fact_08_bad_settings_are_fatal_at_login_in_postgresqls_words(daemon, postgres):
    for name, value, sqlstate in (("work_mem", "much", "22023"), ("no_such_setting", "1", "42704"), ("log_min_messages", "debug1", "42501"),
                                  ("port", "1", "55P02")):
        with daemon.wire() as client, pytest.raises(LoginFailed) as ours:
            client.log_in(database="bench", **{name: value})
        assert ours.value.sqlstate == sqlstate and name in ours.value.fields["M"]
        with wire.WireClient(postgres.socket_path) as client, pytest.raises(LoginFailed) as theirs:
            client.log_in(**{name: value})
        assert (ours.value.sqlstate, ours.value.fields["M"]) == (theirs.value.sqlstate, theirs.value.fields["M"])


def test_fact_08_the_greeting_has_postgresqls_own_spelling(daemon, postgres):
    given = {"client_encoding": "utf-8", "timezone": "utc", "datestyle": "german"}
    with daemon.wire() as client, wire.WireClient(postgres.socket_path) as direct:
        client.log_in(database="bench", **given)
        direct.log_in(**given)
        for name in ("client_encoding", "TimeZone", "DateStyle"):
            assert client.parameters[name] == direct.parameters[name]


@pytest.mark.parametrize("settings", [{}, SETTINGS], ids=["plain", "settings in front"])
@pytest.mark.parametrize("more", [b"", wire.FLUSH], ids=["no Flush", "Flush"])
def test_fact_09_a_batch_without_its_sync_is_not_committed_when_its_client_vanishes(daemon, settings, more):
    for _ in range(3):
        with daemon.wire("bench", **settings) as client:
            client.send(wire.extended("insert into public.t values (1)") + more)
            if more:
                client.read_until("C")
    assert rows_in_t(daemon) == 0


@pytest.mark.parametrize("settings", [{}, SETTINGS], ids=["plain", "settings in front"])
def test_fact_10_a_query_in_front_of_a_terminate_runs_to_its_commit(daemon, settings):
    for count in range(1, 4):
        with daemon.wire("bench", **settings) as client:
            client.send(wire.query("select pg_sleep(0.1); insert into public.t values (1)") + wire.TERMINATE)
        wait_until(lambda expected=count: rows_in_t(daemon) == expected, "it is committed")


@pytest.mark.parametrize("leave", [wire.WireClient.terminate, wire.WireClient.close])
def test_fact_11_an_open_transaction_is_rolled_back_however_its_client_left(daemon, leave):
    client = daemon.wire("bench")
    client.ask("begin")
    client.ask("insert into public.t values (1)")
    leave(client)
    assert rows_in_t(daemon) == 0


def test_fact_25_a_backend_that_is_being_closed_counts_for_max_size(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 2, "reset": "close"}})
    for _ in range(30):
        with daemon.wire("bench") as client:
            assert int(client.value("select count(*) from pg_stat_activity where datname = current_database()")) <= 2
            client.terminate()
