"""Settings of a session in transaction mode, one row of docs/transaction-mode.md after the other: what a direct connection says is what is
right, on whatever server the session goes on, and no other client meets any of it."""

import pytest
from harness import wire
from harness.shared_servers import Neighbours, same_as_directly, transaction_pool
from harness.waiting import wait_until

SHOWN = ("select current_setting('work_mem'), current_setting('TimeZone'), current_setting('DateStyle'), current_setting('search_path'),"
         " current_setting('statement_timeout'), current_setting('application_name')")
NAME_IS_A_PARAMETER = (wire.parse("select set_config($1, $2, false)") + wire.bind(["work_mem", "11MB"]) + wire.execute()
                       + wire.bind(["app.by_name", "x"]) + wire.execute() + wire.SYNC)


def pin_count(daemon):
    return len(daemon.console("show pins"))


def test_the_session_that_these_tests_compare_is_moved_from_server_to_server(tidepool):
    daemon = tidepool(pools=transaction_pool())
    neighbours, session, seen = Neighbours(daemon), daemon.wire("bench"), set()
    assert len(set(neighbours.servers())) == 2
    for number in range(4):
        if number % 2 == 0:
            neighbours.hold()
        else:
            neighbours.touch()
        seen.add(session.value("select pg_backend_pid()"))
        neighbours.rest()
    assert len(seen) == 2


def test_set_and_reset_of_settings_of_every_kind_are_those_of_a_direct_connection(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, SHOWN, "set work_mem = '7MB'", SHOWN, "set timezone = 'Europe/Berlin'", SHOWN, SHOWN, "set time zone -3", SHOWN,
                     "set datestyle to german", SHOWN, "set statement_timeout to '12s'", SHOWN, "set session application_name = 'me'", SHOWN,
                     "reset work_mem", SHOWN, "reset time zone", SHOWN, "reset datestyle", SHOWN, "reset statement_timeout", SHOWN,
                     "reset application_name", SHOWN)
    assert pin_count(daemon) == 0


def test_set_to_default_goes_back_as_on_a_direct_connection(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, "set work_mem = '7MB'; set datestyle = 'SQL'; set timezone = 'UTC'", SHOWN, "set work_mem to default", SHOWN,
                     "set datestyle = default", SHOWN, "set time zone default", SHOWN, "set names 'latin1'", "show client_encoding",
                     "set names default", "show client_encoding")


def test_set_config_for_the_session_follows_it_however_its_name_was_given(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    shown = "select current_setting('work_mem'), current_setting('app.by_name', true)"
    same_as_directly(daemon, postgres, "select set_config('work_mem', '9MB', false)", shown, NAME_IS_A_PARAMETER, shown, shown,
                     "select set_config('work' || '_mem', '10MB', false)", shown, shown,
                     "update pg_settings set setting = '8192' where name = 'work_mem'", shown, shown)


def test_what_is_set_for_the_transaction_ends_with_it_and_asks_nothing(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    shown = "select current_setting('work_mem'), current_setting('app.user_id', true) = 'mine', current_user"
    same_as_directly(daemon, postgres, "begin", "set local work_mem = '7MB'", "select set_config('app.user_id', 'mine', true)", shown, "commit",
                     "select current_setting('work_mem'), current_setting('app.user_id', true) = 'mine'",
                     "select set_config('work_mem', '9MB', true)", "show work_mem", "set local work_mem = '1MB'", "show work_mem")


def test_settings_are_as_a_transaction_and_its_savepoints_left_them(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, "begin", "set work_mem = '7MB'", "set timezone = 'UTC'", "rollback", SHOWN, SHOWN,
                     "begin", "set work_mem = '8MB'", "savepoint a", "set work_mem = '9MB'", "set datestyle = 'SQL'", "rollback to a", "set timezone = 'UTC'",
                     "commit", SHOWN, SHOWN, "begin", "set work_mem = '6MB'", "select 1/0", "set work_mem = '5MB'", "commit", SHOWN, SHOWN,
                     "begin", "savepoint a", "set statement_timeout = '33s'", "release a", "commit", SHOWN, SHOWN,
                     "set work_mem = '4MB'; select 1/0", SHOWN, SHOWN, "begin; set work_mem = '6MB'; commit; select 1/0", SHOWN, SHOWN)


def test_a_set_of_a_failed_pipeline_is_rolled_back_with_it(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, wire.extended("set work_mem = '7MB'") + wire.extended("select 1/0") + wire.SYNC, SHOWN, SHOWN,
                     wire.extended("set work_mem = '8MB'") + wire.extended("select 1") + wire.SYNC, SHOWN, SHOWN)


def test_custom_settings_follow_their_session_and_are_empty_or_null_for_others(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    shown = "select current_setting('app.tenant', true), current_setting('\"Odd Name\".x', true)"
    session = same_as_directly(daemon, postgres, "set app.tenant = '42'", shown, shown, "set app.tenant = ''", shown, shown, "set app.tenant to 'ä '' \" \\ €'",
                               shown, shown, "select set_config('app.tenant', null, false)", shown, "set app.tenant = 'mine'", shown)
    for _ in range(2):
        assert session.neighbours.one.value("select current_setting('app.tenant', true)") in (None, "")
        session.neighbours.hold()
        assert session.neighbours.other.value("select current_setting('app.tenant', true)") in (None, "")
        session.neighbours.rest()


def test_lists_and_long_values_travel_verbatim(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    shown = "select current_setting('search_path'), length(current_setting('app.long', true)), md5(current_setting('app.long', true)), current_schemas(false)"
    same_as_directly(daemon, postgres, 'set search_path to "a b", "C""d", public', shown, shown, "set search_path to ''", shown, shown,
                     "set search_path = \"$user\", public, 'x,y'", shown, shown, *[step for size in (4000, 40000)
                                                                                    for step in (f"set app.long = '{'0123456789äöü' * size}'", shown, shown)],
                     "set local_preload_libraries = ''", "set temp_tablespaces = ''", shown)


@pytest.mark.parametrize("size", [70_000, 300_000])
@pytest.mark.parametrize("how", ["query", "parse"])
def test_a_long_text_is_read_from_its_beginning(tidepool, postgres, size, how):
    daemon = tidepool(pools=transaction_pool())
    sets = f"set app.long = '{'x' * size}'"
    shown = "select length(current_setting('app.long', true))"
    same_as_directly(daemon, postgres, sets if how == "query" else wire.extended(sets) + wire.SYNC, shown, shown)


def test_set_role_and_session_authorization_follow_their_session(tidepool, new_postgres):
    server = new_postgres()
    server.create_role("chief", options="superuser")
    server.create_role("worker")
    server.create_role("guest")
    server.execute("grant worker to app")
    daemon = tidepool(server=server, pools=transaction_pool())
    who = "select session_user, current_user, current_setting('role')"
    same_as_directly(daemon, server, who, "set role worker", who, who, "set work_mem = '7MB'", who, "set role none", who, who, "set role guest", who,
                     "begin", "set local role worker", who, "commit", who, "set role worker", "reset role", who, who)
    daemon = tidepool(server=server, pools={"bench": {**transaction_pool()["bench"], "conninfo": server.conninfo("postgres", "chief"), "users": ["chief", "app"]}})
    session, other = daemon.wire("bench", user="chief"), daemon.wire("bench", user="chief")
    session.rows("set session authorization worker")
    for _ in range(2):
        assert session.rows(who) == [["worker", "worker", "none"]]
        assert other.rows(who) == [["chief", "chief", "none"]]
    assert session.error("set work_mem = '7MB'; set log_statement = 'all'")["C"] == "42501"
    session.rows("reset session authorization")
    assert other.rows(who) == session.rows(who) == [["chief", "chief", "none"]]


def test_startup_parameters_and_options_hold_on_every_server_and_come_back_after_resets(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    shown = SHOWN + ", current_setting('app.tenant', true), current_setting('extra_float_digits')"
    startup = {"TimeZone": "Asia/Tokyo", "application_name": "me", "app.tenant": "7", "extra_float_digits": "2",
               "options": "-c work_mem=5MB --statement-timeout=44s -c search_path=mine,\\ yours"}
    session = same_as_directly(daemon, postgres, shown, shown, "set work_mem = '9MB'; set app.tenant = '8'; set timezone = 'UTC'", shown, shown, "reset work_mem",
                               shown, shown, "reset all", shown, shown, "set app.tenant = '9'; set statement_timeout = 0", shown, shown, "discard all",
                               "select 1", shown, shown, **startup)
    assert session.neighbours.one.value("show work_mem") == "3MB"


@pytest.mark.parametrize("pinned", [False, True])
def test_what_comes_back_by_reset_all_is_told_with_its_own_answer(tidepool, pinned):
    """Whatever another client of the same startup settings had there meanwhile."""
    daemon = tidepool(pools=transaction_pool(1))
    session, twin = (daemon.wire("bench", DateStyle="German") for _ in range(2))
    if pinned:
        session.rows("listen here")
    for name, other, own in (("application_name", "one", ""), ("TimeZone", "Asia/Tokyo", "Etc/UTC"), ("DateStyle", "ISO, DMY", "German, DMY")):
        session.rows(f"set {name} to '{other}'")
        if not pinned:
            twin.rows("select 1")
        session.rows("reset all")
        assert session.parameters[name] == own, name
        if not pinned:
            twin.rows(f"set {name} to '{other}'")
        assert session.value(f"show {name}") == session.parameters[name] == own, name


def test_reset_all_and_discard_all_end_all_settings_of_the_session(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    some = "set work_mem = '7MB'; set timezone = 'UTC'; set app.mine = 'x'; set search_path = 'mine'"
    shown = SHOWN + ", coalesce(current_setting('app.mine', true), '')"
    same_as_directly(daemon, postgres, some, shown, "reset all", shown, shown, some, shown, "discard all", shown, shown,
                     some, "begin", "reset all", shown, "rollback", shown, shown)


def test_a_setting_whose_name_is_computed_keeps_its_server(tidepool):
    """Of a custom setting nobody could say which one it was."""
    daemon = tidepool(pools=transaction_pool())
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows("select set_config('app.' || 'computed', 'mine', false)")
    wait_until(lambda: pin_count(daemon) == 1, "it is pinned")
    assert [pin["why"] for pin in daemon.console("show pins")] == ["a setting whose name is computed"]
    shown = "select current_setting('app.computed', true)"
    assert (session.value(shown), other.value(shown), session.value(shown)) == ("mine", None, "mine")
    session.terminate()
    wait_until(lambda: pin_count(daemon) == 0, "it is gone")
    for client in [daemon.wire("bench") for _ in range(2)]:
        client.rows("begin")
        assert client.value(shown) in (None, "")


def test_an_unnamed_statement_that_sets_is_noticed_each_time_that_it_runs(tidepool):
    """Its Parse may be in a batch of its own."""
    daemon = tidepool(pools=transaction_pool(1))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.send(wire.parse("select set_config('work_mem', $1, false)") + wire.describe("S") + wire.SYNC)
    session.read_until_ready()
    for value in ("7MB", "8MB"):
        session.send(wire.bind([value]) + wire.execute() + wire.SYNC)
        session.read_until_ready()
        assert other.value("show work_mem") == "4MB"
        session.send(wire.parse("select set_config('work_mem', $1, false)") + wire.SYNC)
        session.read_until_ready()
        session.send(wire.bind([value]) + wire.execute() + wire.SYNC)
        session.read_until_ready()
        assert other.value("show work_mem") == "4MB"
        assert session.value("show work_mem") == value


def test_what_sqls_prepare_prepared_and_its_execute_sets_is_noticed(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    session = same_as_directly(daemon, postgres, "prepare p(text) as select set_config('work_mem', $1, false)", "execute p('7MB')", SHOWN, "deallocate p",
                               SHOWN, SHOWN)
    assert session.neighbours.one.value("show work_mem") == session.neighbours.other.value("show work_mem") == "3MB"
    for number in range(3):
        session.neighbours.hold()
        assert session.neighbours.other.value("show work_mem") == "3MB", number
        session.neighbours.rest()


def test_a_do_block_that_sets_is_noticed(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, "do $$ begin set work_mem = '7MB'; perform set_config('app.mine', 'x', false); end $$",
                     SHOWN, SHOWN, "do $$ begin execute 'set work_mem = ''8MB'''; end $$", SHOWN, SHOWN, "select current_setting('app.mine', true)")


def test_a_function_that_sets_a_reported_setting_inside_is_noticed_another_is_not(tidepool, postgres):
    """What cannot be noticed: with the server it goes to whoever has that next, until the same setting is set or reset there."""
    daemon = tidepool(pools=transaction_pool(1))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows("create function sets(name text, value text) returns text language plpgsql as $f$ begin return set_config(name, value, false); end $f$")
    session.rows("select sets('TimeZone', 'Asia/Tokyo')")
    for _ in range(2):
        assert session.value("show timezone") == "Asia/Tokyo"
        assert other.value("show timezone") != "Asia/Tokyo"


def test_a_function_named_in_pin_functions_keeps_its_server_and_what_it_set(tidepool):
    daemon = tidepool(pools=transaction_pool(2, pin_functions=["app_sets"]))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows("create function app_sets() returns text language sql as $f$ select set_config('work_mem', '7MB', false) $f$")
    session.rows("select app_sets()")
    wait_until(lambda: pin_count(daemon) == 1, "it is pinned")
    assert [pin["why"] for pin in daemon.console("show pins")] == ["a function that leaves state"]
    assert (session.value("show work_mem"), other.value("show work_mem")) == ("7MB", "4MB")
    session.terminate()
    wait_until(lambda: pin_count(daemon) == 0, "it is gone")
    assert other.value("show work_mem") == "4MB"


def test_what_leaves_nothing_is_not_asked_about_and_settings_that_are_the_same_are_not_set_again(tidepool, new_postgres):
    server = new_postgres(settings={"log_statement": "all"})
    daemon = tidepool(server=server, pools=transaction_pool(1))
    one, same, other = (daemon.wire("bench") for _ in range(3))

    def said(sql):
        return len([line for line in server.log().splitlines() if sql in line and "LOG:" in line])

    for client in (one, same):
        client.rows("set work_mem = '7MB'")
        client.rows("")
    questions = said("pg_catalog.pg_settings")
    assert questions == 2, "one for each SET"
    one.rows("show work_mem")
    sets = said("set_config")
    for client in (one, same, one, same):
        client.rows("begin; select 1; set local work_mem = '9MB'; select pg_advisory_xact_lock(1)")
        client.rows("savepoint a; release a")
        client.rows("commit")
        client.send(wire.parse("select 42", "s") + wire.bind((), "s") + wire.execute() + wire.close("S", "s") + wire.SYNC)
        client.read_until_ready()
    assert said("set_config") == sets
    assert other.value("show work_mem") == "4MB"
    assert one.value("show work_mem") == "7MB"
    assert said("set_config") == sets + 2, "one each time"
    assert said("pg_catalog.pg_settings") == questions


@pytest.mark.parametrize("sql", ["listen x; set work_mem = '7MB'", "set work_mem = '7MB'; set timezone = 'UTC'; select 1; set app.x = 'y'"])
def test_of_several_statements_in_one_text_each_is_read(tidepool, postgres, sql):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, sql, SHOWN, "select pg_listening_channels(), current_setting('app.x', true)", "unlisten *", SHOWN, SHOWN)


def test_a_value_that_the_server_refuses_is_the_clients_error_and_changes_nothing(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, "set work_mem = 'much'", "set no_such_setting = 1", "set log_statement = 'all'", "set timezone = 'Nowhere/Land'", SHOWN,
                     "set app.x = 'y'", "set work_mem = '1'", SHOWN, SHOWN)


def test_what_comes_back_is_told_on_a_server_that_has_it_already(tidepool, postgres):
    """Nothing need be set there, so that PostgreSQL reports nothing."""
    daemon = tidepool(pools=transaction_pool(2))
    session, twin = (daemon.wire("bench", TimeZone="Pacific/Chatham") for _ in range(2))
    twin.rows("begin")
    session.rows("set timezone = 'Asia/Tokyo'")
    session.rows("set timezone to default")
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 1, "the session's server is back")
    twins = twin.value("select pg_backend_pid()")
    twin.rows("commit")                     # its server is lent next
    assert session.rows("select pg_backend_pid(), current_setting('timezone')") == [[twins, "Pacific/Chatham"]]
    assert session.parameters["TimeZone"] == "Pacific/Chatham"


@pytest.mark.parametrize("extended", [False, True], ids=["queries", "batches"])
def test_a_setting_that_cannot_be_set_any_more_is_its_clients_error_and_closes_no_server(tidepool, postgres, extended):
    daemon = tidepool(pools=transaction_pool(1))
    database = daemon.databases["bench"]
    session, other = daemon.wire("bench"), daemon.wire("bench")

    def ask(sql):
        session.send(wire.extended(sql) + wire.SYNC if extended else wire.query(sql))
        answers = session.read_until_ready()
        assert session.status == "I"
        return next((answer.fields for answer in answers if answer.type == "E"), None)

    postgres.query("drop role if exists brief; create role brief; grant brief to app")
    session.rows("set app.kept = 'kept'")
    session.rows("set role brief")
    assert other.value("select current_user") == "app"
    backends = [row["pid"] for row in postgres.backends(database=database)]
    postgres.query("drop role brief")
    for _ in range(3):
        for sql in ("create table never (a int)", "set role nobody_either", "begin", "select 1; reset role", "set local role none"):
            told = ask(sql)
            assert told["C"] == "22023" and ("brief" in told["M"] or "nobody_either" in told["M"]), told
        assert other.rows("select current_user, to_regclass('never')") == [["app", None]]
    assert [row["pid"] for row in postgres.backends(database=database)] == backends
    assert ask("reset role") is None
    assert session.rows("select current_user, current_setting('app.kept')") == [["app", "kept"]]
    assert other.value("select current_user") == "app"
    assert [row["pid"] for row in postgres.backends(database=database)] == backends
