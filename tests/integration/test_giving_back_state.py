"""A client leaves every kind of state behind; the next one, on the same server, finds none of it."""

import pytest
from harness import wire
from harness.cutting_proxy import also_cut
from harness.sessions import (backend_of, differences, directly, fingerprint, wait_until_resting,
                              wait_until_running)
from harness.waiting import wait_until

PREPARE = "create table if not exists kept(a int primary key, b text); create sequence if not exists numbers"

# name: SQL, or what is sent as it is. Everything here is left by a superuser, who can leave the most.
BY_SQL = {
    "a role": "set role app",
    "a session authorization": "set session authorization app",
    "a role over a session authorization": "set session authorization app; set role app",
    "search_path": "set search_path to pg_catalog, nowhere",
    "statement_timeout": "set statement_timeout to '1h'",
    "an idle timeout": "set idle_session_timeout to '1h'; set idle_in_transaction_session_timeout to '1h'",
    "a setting of a superuser": "set session_replication_role to replica; set log_min_messages to debug1",
    "a setting by set_config": "select set_config('work_mem', '7MB', false)",
    "a setting that is reported": "set timezone to 'Asia/Tokyo'; set datestyle to 'German'; set intervalstyle to iso_8601",
    "an encoding": "set client_encoding to latin1",
    "an application name": "set application_name to 'left behind'",
    "standard_conforming_strings": "set standard_conforming_strings to off",
    "transaction defaults": "set session characteristics as transaction isolation level serializable, read only",
    "planner settings": "set enable_seqscan to off; set plan_cache_mode to force_generic_plan; set jit to off",
    "a setting longer than 128 bytes": f"set search_path to {', '.join('schema_%03d' % i for i in range(100))}",
    "a setting in a committed transaction": "begin; set work_mem to '9MB'; commit",
    "a setting in an open transaction": "begin; set work_mem to '9MB'; savepoint s; set jit to off",
    "a prepared statement": "prepare left_behind as select 1",
    "a temporary table": "create temporary table left_behind(a int); insert into left_behind values (1)",
    "a temporary table in the place of a real one": "create temporary table kept(a int)",
    "a temporary function": "create function pg_temp.left_behind() returns int language sql as 'select 1'",
    "a temporary table in an open transaction": "begin; create temporary table left_behind(a int) on commit drop",
    "a channel": "listen left_behind",
    "a channel in an open transaction": "begin; listen left_behind",
    "an advisory lock": "select pg_advisory_lock(4711), pg_advisory_lock_shared(4712), pg_advisory_lock(1, 2)",
    "an advisory lock of a transaction": "begin; select pg_advisory_xact_lock(4711)",
    "a sequence's last value": "select nextval('numbers')",
    "a cursor with hold": "declare left_behind cursor with hold for select generate_series(1, 1000)",
    "a cursor in an open transaction": "begin; declare left_behind cursor for select generate_series(1, 1000)",
    "an open transaction": "begin; insert into kept values (1)",
    "an open transaction with savepoints": "begin; savepoint one; insert into kept values (1); savepoint two",
    "a failed transaction": "begin; insert into kept values (1); select 1/0",
    "a failed transaction with a savepoint": "begin; savepoint one; insert into kept values (1); select 1/0",
    "an exported snapshot": "begin isolation level repeatable read; select pg_export_snapshot()",
    "an error": "select no_such_column",
}

# Their schema stays with the process, so that it is not lent again.
TEMPORARY = {"a temporary table", "a temporary table in the place of a real one", "a temporary function"}

INSERT = wire.extended("insert into kept values (1)")
BY_BYTES = {
    "a named statement": wire.parse("select 1", "left_behind") + wire.SYNC,
    "an unnamed statement": wire.parse("select 'of the last client'") + wire.SYNC,
    "a named portal in a transaction": wire.query("begin") + wire.parse("select 1", "s")
                                       + wire.bind(statement="s", portal="p") + wire.SYNC,
    "a portal read by half": wire.query("begin") + wire.parse("select generate_series(1, 9)") + wire.bind()
                             + wire.execute(rows=2) + wire.SYNC,
    "a batch without its Sync": INSERT,
    "a batch with Flush and without its Sync": INSERT + wire.FLUSH,
    "a Parse alone": wire.parse("select 1", "left_behind"),
    "a failed batch without its Sync": INSERT + wire.extended("select 1/0") + wire.FLUSH,
    "a batch that will fail without its Sync": INSERT + wire.parse("no SQL at all"),
    "a batch behind finished ones": wire.extended("select 1") + wire.SYNC + INSERT,
    "a batch behind a simple query": wire.query("select 1") + INSERT,
    "a batch in an open transaction": wire.query("begin; insert into kept values (2)") + INSERT,
    "a BEGIN in a batch without its Sync": wire.extended("begin") + INSERT + wire.FLUSH,
    "an unfinished COPY": wire.query("copy kept from stdin") + wire.copy_data("1\tone\n"),
    "an unfinished COPY without data": wire.query("copy kept from stdin"),
    "an unfinished COPY in a transaction": wire.query("begin") + wire.query("copy kept from stdin")
                                           + wire.copy_data("1\tone\n"),
    "an unfinished COPY that has failed": wire.query("copy kept from stdin") + wire.copy_data("not a number\n" * 9),
    "an unfinished extended COPY": wire.extended("copy kept from stdin") + wire.copy_data("1\tone\n"),
    "an unfinished extended COPY with Flush": wire.extended("copy kept from stdin") + wire.FLUSH
                                              + wire.copy_data("1\tone\n"),
    "an extended COPY without its Sync": wire.extended("copy kept from stdin") + wire.copy_data("1\tone\n")
                                         + wire.COPY_DONE,
    "an unread result": wire.query("select repeat('Z', 1000) from generate_series(1, 100000)"),
    "an unread COPY": wire.query("copy (select repeat('Z', 1000) from generate_series(1, 100000)) to stdout"),
    "unread results of a pipeline": (wire.extended("select repeat('Z', 1000) from generate_series(1, 9999)")
                                     + wire.SYNC) * 9,
    "an unread result and an unfinished COPY": wire.query("select repeat('Z', 1000) from generate_series(1, 9999)")
                                               + wire.query("copy kept from stdin") + wire.copy_data("1\tone\n"),
    "many requests": wire.query("select 1") * 500 + (wire.extended("select 1") + wire.SYNC) * 500,
}


def superusers_pool(tidepool, postgres, **pool):
    database = postgres.create_database()
    conninfo = postgres.conninfo(database, "postgres")
    daemon = tidepool(pools={"bench": {"conninfo": conninfo, "min_size": 1, "max_size": 1, **pool}})
    daemon.database = database
    return daemon


def leave_each(daemon, kinds, send, leave, expected, server):
    """For each kind of state: leaves it, and compares what the next client finds. Returns what is wrong, by kind."""
    wrong = {}
    for kind, what in kinds.items():
        client = daemon.wire("bench", user="postgres")
        send(client, what)
        leave(client)
        with daemon.wire("bench", user="postgres") as following:
            found = differences(expected, fingerprint(following))
            if following.value("select count(*) from kept") != "0":
                found.append("rows of the last client are there")
                following.ask("truncate kept")
            now = backend_of(following)
            if (now != server) != (kind in TEMPORARY):
                found.append("another server" if now != server else "the same server")
            server = now
            following.terminate()
        if found:
            wrong[kind] = found
    return wrong


@pytest.fixture(params=["says Terminate", "vanishes"])
def leave(request):
    return wire.WireClient.terminate if request.param == "says Terminate" else wire.WireClient.close


def start(tidepool, postgres, **pool):
    daemon = superusers_pool(tidepool, postgres, **pool)
    with directly(postgres, daemon.database, "postgres") as direct:
        direct.ask(PREPARE)
        of_a_new_connection = fingerprint(direct)
    with daemon.wire("bench", user="postgres") as client:
        pooled = fingerprint(client)
        server = backend_of(client)
        assert differences(of_a_new_connection, pooled) == []
        client.terminate()
    return daemon, pooled, server


@pytest.mark.timeout(120)
@also_cut
def test_what_a_client_left_by_sql_is_gone_for_the_next_on_the_same_server(tidepool, postgres, leave):
    daemon, expected, server = start(tidepool, postgres)
    assert leave_each(daemon, BY_SQL, lambda client, sql: client.ask(sql), leave, expected, server) == {}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("orphans", ["cancel", "finish"])
def test_what_a_client_left_in_the_protocol_is_gone_for_the_next_on_the_same_server(tidepool, postgres, leave, orphans):
    daemon, expected, server = start(tidepool, postgres, orphans=orphans)
    # "unread ... and unfinished": whether the COPY was read before the cancel came is a race; what follows is not.
    assert leave_each(daemon, BY_BYTES, wire.WireClient.send, leave, expected, server) == {}


@pytest.mark.parametrize("sql", [
    "create temp table whatever(a int)", "select 1 as a into temp whatever", "create temp view whatever as select 1", "select makes_one()",
    "do $$ begin execute 'create temp ' || 'table whatever(a int)'; end $$", "insert into triggers values (1)",
    "set search_path to pg_temp, public; create table whatever(a int)", "begin; create temp table whatever(a int) on commit drop; commit"])
@pytest.mark.parametrize("is_reset_at_rest", [False, True], ids=["the next comes at once", "the server rests"])
def test_what_was_prepared_before_the_first_temporary_table_is_read_again_whoever_had_the_server(tidepool, postgres, sql, is_reset_at_rest):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1}})
    with directly(postgres, daemon.databases["bench"]) as owner:
        owner.rows("""create table kept as select 'permanent' as v; create table triggers(a int);
            create function makes_one() returns int language plpgsql as $$ begin create temp table whatever(a int); return 1; end $$;
            create function of_a_trigger() returns trigger language plpgsql as $$ begin create temp table whatever(a int); return new; end $$;
            create trigger t before insert on triggers for each row execute function of_a_trigger()""")
    with daemon.wire("bench") as first:
        first.rows(sql)
        first.terminate()
    if is_reset_at_rest:
        wait_until(lambda: not [row for row in postgres.backends(database=daemon.databases["bench"]) if row["query"] == sql.rpartition("; ")[2]],
                   "the server is reset, or closed")
    with daemon.wire("bench") as session:
        session.send(wire.parse("select v from kept", "s"), wire.SYNC)
        session.read_until_ready()
        session.rows("create temp table kept as select 'temporary' as v")
        session.send(wire.bind((), "s"), wire.execute(), wire.SYNC)
        assert [answer.values[0].decode() for answer in session.read_until_ready() if answer.type == "D"] == ["temporary"]


def test_a_server_of_a_session_without_temporary_objects_stays(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1}})
    servers = set()
    for sql in ("select length('temporary')", "create table t(a int)", "insert into t values (1)", "select count(*) from t", "drop table t"):
        with daemon.wire("bench") as client:
            client.rows(sql)
            servers.add(backend_of(client))
            client.terminate()
    assert len(servers) == 1


@also_cut
def test_a_running_query_of_a_vanished_client_is_cancelled_and_its_server_reused(tidepool, postgres):
    daemon, expected, server = start(tidepool, postgres)
    queries = {
        "alone": wire.query("select pg_sleep(600)"),
        "in a transaction": wire.query("begin; insert into kept values (1); select pg_sleep(600)"),
        "extended": wire.extended("select pg_sleep(600)") + wire.SYNC,
        "in a batch without Sync": INSERT + wire.extended("select pg_sleep(600)"),
        "in front of others": wire.query("select pg_sleep(600)") + wire.query("select 1"),
        "with a setting": wire.query("set work_mem to '9MB'; select pg_sleep(600)"),
    }

    def send(client, data):
        client.send(data)
        wait_until_running(postgres, "pg_sleep", database=daemon.database)
    assert leave_each(daemon, queries, send, wire.WireClient.close, expected, server) == {}


@also_cut
def test_a_pool_of_an_ordinary_user_is_as_clean(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    with directly(postgres, daemon.databases["bench"]) as direct:
        expected = fingerprint(direct)
    client = daemon.wire("bench")
    server = backend_of(client)
    client.ask("set statement_timeout to '2h'; create temporary table t(a int); listen x; prepare p as select 1;"
               " select pg_advisory_lock(1); declare c cursor with hold for select 1; begin; set work_mem to '9MB'")
    client.close()
    wait_until_resting(daemon)
    with daemon.wire("bench") as following:
        assert differences(expected, fingerprint(following)) == []
        assert backend_of(following) == server
