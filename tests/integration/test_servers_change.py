"""What a server is changes while the pool has it: a standby is promoted, a primary begins to refuse writes, PostgreSQL's files are read again. The
pool goes by what its servers report themselves, and clients are greeted with what is so."""

import psycopg
import pytest
from harness.postgres import REPLICATED
from harness.waiting import wait_until

both_modes = pytest.mark.parametrize("mode", ["session", "transaction"])


def pool(server, mode="session", database="postgres", **others):
    return {"bench": {"conninfo": server.conninfo(database, "app", **others.pop("conninfo", {})), "mode": mode, "min_size": 0, "max_size": 2, **others}}


def outcome(daemon, attributes, **startup):
    try:
        with daemon.connect("bench", target_session_attrs=attributes, **startup) as connection:
            return connection.execute("select 'in'").fetchone()[0]
    except psycopg.OperationalError as error:
        return "session is read-only" if "read-only" in str(error) else "standby" if "standby" in str(error) else str(error)


@both_modes
def test_clients_that_want_to_write_get_in_as_soon_as_a_standby_is_promoted(tidepool, new_postgres, mode):
    primary = new_postgres(**REPLICATED)
    standby = new_postgres(standby_of=primary)
    daemon = tidepool(pools=pool(standby, mode))
    # Of two flavours, of which nobody but the first has a server again.
    for startup in ({}, {"options": "-c work_mem=5MB"}):
        assert outcome(daemon, "any", **startup) == "in"
        assert outcome(daemon, "read-write", **startup) != "in"
        assert outcome(daemon, "standby", **startup) == "in"
    with daemon.connect("bench") as busy:
        busy.execute("set application_name to 'mine'")
        busy.execute("set search_path to 'mine'")
        standby.promote()
        wait_until(lambda: outcome(daemon, "read-write") == "in", "who asks again gets in, without a new server", 5)
        assert outcome(daemon, "read-write", options="-c work_mem=5MB") == "in"
        assert outcome(daemon, "standby") != "in"
        with daemon.connect("bench") as connection:
            connection.execute("select pg_current_xact_id()")
    assert daemon.pool_stats("bench")["connections_lost"] == 0


@both_modes
def test_a_setting_of_postgresqls_files_is_told_to_clients_that_come_later(tidepool, new_postgres, mode):
    server = new_postgres()
    daemon = tidepool(pools=pool(server, mode))
    own = {"options": "-c timezone=Asia/Tokyo"}
    for startup in ({}, own):
        with daemon.wire("bench", **startup) as client:
            client.rows("select 1")
            client.terminate()
    server.execute("alter system set timezone to 'Europe/Berlin'")
    server.reload()

    def greeted(**startup):
        with daemon.wire("bench", **startup) as client:
            told = client.parameters["TimeZone"]
            assert client.value("show timezone") in (told, client.parameters["TimeZone"])
            client.terminate()
            return told
    wait_until(lambda: greeted() == "Europe/Berlin", "the greeting has it")
    assert greeted(**own) == "Asia/Tokyo"


@both_modes
def test_what_a_session_sets_is_no_greeting_of_others(tidepool, postgres, mode):
    daemon = tidepool(pools=pool(postgres, mode, max_size=1))
    with daemon.wire("bench") as first:
        usual = first.parameters["TimeZone"]
        for number in range(3):
            first.rows("set timezone to 'Asia/Tokyo'")
            with daemon.wire("bench") as other:
                assert other.parameters["TimeZone"] == usual
        first.terminate()
    with daemon.wire("bench") as other:
        assert other.parameters["TimeZone"] == usual == other.value("show timezone")
        other.terminate()


@both_modes
def test_a_server_that_is_not_what_the_conninfo_asks_for_any_more_is_not_lent_again(tidepool, new_postgres, mode):
    """libpq takes the first of two that can write; then the first cannot any more."""
    first, second = new_postgres(), new_postgres()
    for server in (first, second):
        server.execute("grant pg_read_all_settings to app")
    daemon = tidepool(pools={"bench": {
        "conninfo": f"host={first.folder},{second.folder} port={first.port},{second.port} dbname=postgres user=app target_session_attrs=read-write",
        "mode": mode, "min_size": 1, "max_size": 2}})

    def where():
        with daemon.wire("bench") as client:
            return client.value("show unix_socket_directories")
    assert where() == str(first.folder)
    with daemon.wire("bench") as holder:
        holder.rows("begin")
        first.execute("alter system set default_transaction_read_only to on")
        first.reload()
        wait_until(lambda: where() == str(second.folder), "the next ones reach the other")
        assert holder.value("show unix_socket_directories") == str(first.folder)
        holder.rows("commit")
        holder.terminate()
    assert {where() for _ in range(5)} == {str(second.folder)}
    daemon.wait_for_log("it is not any more what target_session_attrs asks for")
