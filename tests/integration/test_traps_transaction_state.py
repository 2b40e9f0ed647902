"""Bugs that poolers had in transaction mode: the wrong data to the wrong client (5.2), session state that leaked (5.3). The numbers are those of
docs/tests.md, "Traps"; test_traps_of_sessions.py has the same for session mode."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import wire
from harness.cutting_proxy import also_cut
from harness.sessions import backend_of, directly, wait_until_running
from harness.waiting import wait_until
from harness.wire import SYNC, bind, execute, extended, parse, query

ONE = {"bench": {"mode": "transaction", "min_size": 1, "max_size": 1, "timeout": "60s", "max_pinned": 1}}


def two_clients(tidepool, **startup):
    daemon = tidepool(pools=ONE)
    return daemon.wire("bench", **startup), daemon.wire("bench")


def rows_of(answers):
    return [answer.values for answer in answers if answer.type == "D"]


def codes_of(answers):
    return [answer.fields["C"] for answer in answers if answer.type == "E"]


# 5.2 Wrong data to the wrong client

@also_cut
@pytest.mark.workers
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["", "_pg3_0"], ids=["unnamed", "named"])
def test_trap_5_2_statements_under_load_bring_each_transaction_its_own_rows(tidepool, name):
    """Eight clients on two servers, each with the same names for texts of its own; pipelines, and a part of them in transactions."""
    daemon = tidepool(pools={"bench": {**ONE["bench"], "max_size": 2}}, workers=2)
    wrong = []

    def work(number):
        client = daemon.wire("bench")
        prepare = parse(f"select '{number}', $1::text", name)
        if name:
            client.send(prepare + SYNC)
            client.read_until_ready(60)
        for turn in range(40):
            batches = b"".join(((b"" if name else prepare) + bind([f"{number}.{turn}.{n}"], name) + execute() + SYNC) for n in range(3))
            data = query("begin") + batches + query("commit") if turn % 4 == 0 else batches
            client.send(data)
            found = []
            for _ in range(5 if turn % 4 == 0 else 3):
                found += rows_of(client.read_until_ready(60))
            if found != [[str(number).encode(), f"{number}.{turn}.{n}".encode()] for n in range(3)]:
                wrong.append((number, turn, found))
        client.terminate()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert not wrong


@also_cut
def test_trap_5_2_a_query_and_a_batch_in_one_packet_hold_the_server_for_both(tidepool):
    one, other = two_clients(tidepool)
    for turn in range(20):
        one.send(query(f"select {turn}, pg_sleep(0.01)") + extended(f"select 'batch {turn}', pg_sleep(0.01)") + SYNC)
        other.send(extended(f"select 'other {turn}'") + SYNC + query("select 'other query'"))
        assert rows_of(one.read_until_ready())[0][0] == str(turn).encode()
        assert rows_of(one.read_until_ready())[0][0] == f"batch {turn}".encode()
        assert rows_of(other.read_until_ready()) == [[f"other {turn}".encode()]]
        assert rows_of(other.read_until_ready()) == [[b"other query"]]


def test_trap_5_2_the_error_of_one_clients_execute_is_not_the_next_ones(tidepool):
    one, other = two_clients(tidepool)
    for _ in range(5):
        one.send(parse("select * from nothing", "s") + SYNC + bind((), "s") + execute() + SYNC)
        other.send(parse("select 'mine'", "s") + SYNC + bind((), "s") + execute() + SYNC)
        assert codes_of(one.read_until_ready()) == ["42P01"] and codes_of(one.read_until_ready()) == ["26000"]
        assert codes_of(other.read_until_ready()) == []
        assert rows_of(other.read_until_ready()) == [[b"mine"]]
        other.send(wire.close("S", "s") + SYNC)
        other.read_until_ready()


def test_trap_5_2_an_open_transaction_is_never_inherited(tidepool, postgres):
    daemon = tidepool(pools=ONE)
    with directly(postgres, daemon.databases["bench"]) as owner:
        owner.ask("create table t(a int)")
    for data in (query("begin; insert into t values (1)"), extended("begin") + extended("insert into t values (1)") + SYNC,
                 query("begin; insert into t values (1); select 1/0"), extended("insert into t values (1)") + wire.FLUSH):
        client = daemon.wire("bench")
        client.send(data)
        client.read_until("Z", "C")
        client.close()
        with daemon.wire("bench") as following:
            assert following.value("select count(*) from t") == "0" and following.status == "I"
            assert following.value("select txid_current_if_assigned() is null") == "t"
            following.terminate()


def test_trap_5_2_a_refusal_of_the_poolers_own_waits_for_the_answers_in_front_of_it(tidepool):
    daemon = tidepool(pools={"bench": {**ONE["bench"], "on_session_state": "error"}})
    client = daemon.wire("bench")
    client.send(query("select 'first', pg_sleep(0.1)") + query("listen news") + query("select 'third'"))
    assert rows_of(client.read_until_ready())[0][0] == b"first"
    assert codes_of(client.read_until_ready()) == ["0A000"]
    assert rows_of(client.read_until_ready()) == [[b"third"]]
    client.send(extended("select 'first'") + extended("listen news") + extended("select 'skipped'") + SYNC + extended("select 'next'") + SYNC)
    answers = client.read_until_ready()
    assert rows_of(answers) == [[b"first"]] and codes_of(answers) == ["0A000"]
    assert rows_of(client.read_until_ready()) == [[b"next"]]


# 5.3 Leaked session state

LEAKS = {
    "search_path": ("set search_path to pg_catalog", "show search_path"),
    "role": ("set role differ", "select current_user"),
    "role by set_config": ("select set_config('role', 'differ', false)", "select current_user"),
    "session authorization": ("set session authorization app", "select session_user, current_user"),
    "read-only default": ("set default_transaction_read_only to on", "show transaction_read_only"),
    "characteristics": ("set session characteristics as transaction isolation level serializable", "show transaction_isolation"),
    "statement_timeout": ("set statement_timeout to '1ms'", "show statement_timeout"),
    "a reported one": ("set timezone to 'Asia/Tokyo'", "show timezone"),
    "by set_config": ("select set_config('work_mem', '77kB', false)", "show work_mem"),
    "custom": ("set app.user_id to '42'", "select nullif(current_setting('app.user_id', true), '')"),
    "in a block": ("do $$ begin perform set_config('app.user_id', '42', false); end $$", "select nullif(current_setting('app.user_id', true), '')"),
    "client_encoding": ("set client_encoding to latin1", "show client_encoding"),
    "application_name": ("set application_name to 'theirs'", "show application_name"),
    "temporary tables": ("create temp table leaked(a int)", "select count(*) from pg_class where relname = 'leaked' and relnamespace = pg_my_temp_schema()"),
    "a temporary function": ("create function pg_temp.leaked() returns int language sql as 'select 1'", "select count(*) from pg_proc where proname = 'leaked' and pronamespace = pg_my_temp_schema()"),
    "advisory locks": ("select pg_advisory_lock(7)", "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"),
    "listens": ("listen news", "select count(*) from pg_listening_channels()"),
    "cursors": ("declare c cursor with hold for select 1", "select count(*) from pg_cursors where name = 'c'"),
    "prepared by SQL": ("prepare p as select 1", "select count(*) from pg_prepared_statements where name = 'p'"),
}


@also_cut
@pytest.mark.parametrize("leak", LEAKS)
def test_trap_5_3_what_a_client_set_is_its_own_and_nobody_elses(tidepool, postgres, leak):
    """While it is there, and after it left."""
    if not postgres.query("select 1 from pg_roles where rolname = 'differ'"):
        postgres.create_role("differ")
        postgres.execute("grant differ to app")
    daemon = tidepool(pools={"bench": {**ONE["bench"], "max_size": 2, "max_pinned": 1}})
    change, look = LEAKS[leak]
    one, other = daemon.wire("bench"), daemon.wire("bench")
    with directly(postgres, daemon.databases["bench"]) as direct:
        clean = direct.rows(look)
        direct.ask(change)
        changed = direct.rows(look) if "statement_timeout" not in leak else [["1ms"]]
    for _ in range(3):
        assert not codes_of(one.ask(change)) or leak in ("temporary tables", "a temporary function", "cursors", "prepared by SQL")
        for _ in range(2):
            assert other.rows(look) == clean
            assert one.rows(look) == changed
    one.terminate()
    for _ in range(3):
        assert other.rows(look) == clean
    with daemon.wire("bench") as following:
        assert following.rows(look) == clean


@also_cut
def test_trap_5_3_RESET_ALL_of_one_leaves_the_others_role_and_settings(tidepool, postgres):
    if not postgres.query("select 1 from pg_roles where rolname = 'differ'"):
        postgres.create_role("differ")
        postgres.execute("grant differ to app")
    one, other = two_clients(tidepool)
    one.ask("set role differ")
    one.ask("set work_mem to '77kB'")
    for text in ("reset all", "discard all", "reset role", "deallocate all"):
        other.ask(text)
        assert one.rows("select current_user, current_setting('work_mem')") == [["differ", "77kB"]]
    one.ask("reset all")
    assert one.rows("select current_user, current_setting('work_mem')") == [["differ", "4MB"]]


def test_trap_5_3_DISCARD_ALL_of_one_leaves_the_prepared_statements_of_others(tidepool):
    one, other = two_clients(tidepool)
    one.send(parse("select 'mine'", "s") + SYNC)
    one.read_until_ready()
    for text in ("discard all", "deallocate all", "discard plans", 'deallocate "tidepool_1"', "deallocate tidepool_2"):
        other.ask(text)
        one.send(bind((), "s") + execute() + SYNC)
        assert rows_of(one.read_until_ready()) == [[b"mine"]], text


@also_cut
def test_trap_5_3_names_that_drivers_make_up_do_not_collide_on_a_shared_server(tidepool):
    one, other = two_clients(tidepool)
    for name in ("_pg3_0", "__asyncpg_stmt_1__", "S_1", "pgx_0", "tidepool_1"):
        for client, value in ((one, b"one"), (other, b"other")):
            client.send(parse(f"select '{value.decode()}'", name) + SYNC)
            assert codes_of(client.read_until_ready()) == []
        for client, value in ((one, b"one"), (other, b"other")) * 2:
            client.send(bind((), name) + execute() + SYNC)
            assert rows_of(client.read_until_ready()) == [[value]]


@also_cut
@pytest.mark.parametrize("search_path", ["", '""', '"A b", c', '"$user", public', "'quoted'", 'a,"b""c"', '","'])
def test_trap_5_3_a_search_path_is_carried_verbatim(tidepool, postgres, search_path):
    one, other = two_clients(tidepool)
    one.send(parse("select set_config('search_path', $1, false)") + bind([search_path]) + execute() + SYNC)
    refused = codes_of(one.read_until_ready())
    if not refused:
        for _ in range(3):
            other.ask("set search_path to elsewhere")
            assert one.value("show search_path") == search_path


@also_cut
def test_trap_5_3_values_may_be_long_and_differ_by_case_alone_between_clients(tidepool):
    one, other = two_clients(tidepool)
    for size in (3, 127, 128, 129, 5000):
        one.ask(f"set app.own to '{'x' * size}'")
        other.ask(f"set app.own to '{'X' * size}'")
        for _ in range(2):
            assert one.value("show app.own") == "x" * size
            assert other.value("show app.own") == "X" * size


def test_trap_5_3_only_what_can_be_set_is_set_again(tidepool, postgres):
    """is_superuser and its like are reported, and no setting; another spelling does not make us set again and again."""
    daemon = tidepool(pools=ONE)
    one, other = daemon.wire("bench", TimeZone="utc", client_encoding="utf-8"), daemon.wire("bench")
    one.ask("set datestyle to iso")
    for _ in range(5):
        assert codes_of(one.ask("select 1")) == [] and codes_of(other.ask("select 1")) == []
    one.send(query("select 1"))
    assert [answer.type for answer in one.read_until_ready()] == ["T", "D", "C", "Z"]
    assert one.parameters["TimeZone"] == "UTC" and one.parameters["client_encoding"] == "UTF8"


@also_cut
def test_trap_5_3_a_set_that_was_rolled_back_is_carried_nowhere(tidepool):
    one, other = two_clients(tidepool)
    for texts, kept in ((["begin", "set timezone to 'Asia/Tokyo'", "rollback"], False), (["begin", "set timezone to 'Asia/Tokyo'", "select 1/0", "commit"], False),
                        (["begin", "savepoint s", "set timezone to 'Asia/Tokyo'", "rollback to s", "commit"], False),
                        (["begin", "set local timezone to 'Asia/Tokyo'", "commit"], False), (["set timezone to 'Asia/Tokyo'; select 1/0"], False),
                        (["begin", "savepoint s", "set timezone to 'Asia/Tokyo'", "release s", "commit"], True)):
        for text in texts:
            one.ask(text)
        other.ask("set timezone to 'Europe/Rome'")
        now = one.value("show timezone")
        assert (now == "Asia/Tokyo") == kept, texts
        assert one.parameters["TimeZone"] == now
        one.ask("reset timezone")


def test_trap_5_3_a_pinned_server_comes_back_when_its_state_is_gone(tidepool):
    daemon = tidepool(pools={"bench": {**ONE["bench"], "max_size": 2, "max_pinned": 1}})
    one, other = daemon.wire("bench"), daemon.wire("bench")
    for make, drop in (("listen news", "unlisten *"), ("create temp table tt(a int)", "drop table tt"), ("select pg_advisory_lock(1)", "select pg_advisory_unlock(1)"),
                       ("declare c cursor with hold for select 1", "close c"), ("prepare p as select 1", "deallocate p")):
        one.ask(make)
        wait_until(lambda: len(daemon.console("SHOW PINS")) == 1, f"{make} pins")
        server = backend_of(one)
        assert {backend_of(other) for _ in range(3)}.isdisjoint({server})
        one.ask(drop)
        wait_until(lambda: not daemon.console("SHOW PINS"), f"{drop} lets the server go")


def test_trap_5_6_a_cancel_of_a_waiting_client_leaves_the_one_that_works(tidepool, postgres):
    daemon = tidepool(pools=ONE)
    one, other = daemon.wire("bench"), daemon.wire("bench")
    one.send(query("select pg_sleep(1), 'whole'"))
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    other.send(extended("select 'never'") + SYNC + query("select 'then'"))
    other.cancel()
    assert codes_of(other.read_until_ready(30)) == ["57014"]
    assert rows_of(one.read_until_ready(30))[0][1] == b"whole"
    assert rows_of(other.read_until_ready(30)) == [[b"then"]]
