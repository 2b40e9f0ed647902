"""Prepared statements of the protocol in transaction mode: a session has its own, on whatever server it goes on. Rows of
docs/transaction-mode.md."""

import re

import pytest
from harness import wire
from harness.sessions import directly
from harness.shared_servers import Neighbours, answers_to, same_as_directly, transaction_pool


def prepare(sql, name="s", types=()):
    return wire.parse(sql, name, types) + wire.SYNC


def run(values=(), name="s"):
    return wire.bind(values, name) + wire.execute() + wire.SYNC


def value_of(client, *batch):
    client.send(*batch)
    answers = client.read_until_ready()
    errors = [answer.fields["C"] for answer in answers if answer.type == "E"]
    return errors[0] if errors else next(answer.values[0].decode() for answer in answers if answer.type == "D")


def names_on_servers(daemon):
    """How many statements both servers have, by two transactions at once."""
    clients = [daemon.wire("bench") for _ in range(2)]
    counts = []
    for client in clients:
        client.rows("begin")
        counts.append(int(client.value("select count(*) from pg_prepared_statements where not from_sql")))
    for client in clients:
        client.rows("commit")
    return counts


def test_a_named_statement_is_there_on_every_server(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, prepare("select $1::int + 1"), *[run([number]) for number in range(4)],
                     wire.describe("S", "s") + wire.SYNC, wire.describe("S", "s") + run([7]),
                     "begin", run([1]), "savepoint a", run([2]), "select 1/0", run([3]), "rollback to a", run([4]), "commit", run([5]))


def test_two_clients_have_statements_of_one_name_and_other_texts(tidepool):
    daemon = tidepool(pools=transaction_pool(1))
    one, other = daemon.wire("bench"), daemon.wire("bench")
    for client, text in ((one, "select 'one'"), (other, "select 'other'")):
        answers_to(client, prepare(text))
    for _ in range(3):
        assert value_of(one, run()) == "one"
        assert value_of(other, run()) == "other"


def test_clients_share_one_statement_of_a_server(tidepool):
    daemon = tidepool(pools=transaction_pool(1))
    clients = [daemon.wire("bench") for _ in range(10)]
    for number, client in enumerate(clients):
        answers_to(client, prepare("select $1::int", f"name {number}"))
        assert value_of(client, run([number], f"name {number}")) == str(number)
    assert clients[0].value("select count(*) from pg_prepared_statements") == "1"
    assert daemon.console("show clients")[0]["prepared_statements"] is not None


def test_parse_of_a_name_that_lives_close_and_parse_again_are_answered_as_directly(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, prepare("select 1"), prepare("select 2"), run(), prepare("select 1"), run(),
                     wire.close("S", "s") + wire.SYNC, run(), wire.describe("S", "s") + wire.SYNC, prepare("select 2"), run(), run(),
                     wire.close("S", "never") + wire.SYNC, run((), "never"), wire.close("S", "s") + wire.parse("select 3", "s") + run(), run(),
                     "begin", wire.close("S", "s") + wire.SYNC, prepare("select 4"), "rollback", run())


def test_a_parse_that_fails_makes_no_statement(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, prepare("select nothing"), run(), prepare("select 1"), run(), "begin", "select 1/0", prepare("select 2", "t"), "rollback",
                     run((), "t"), run(), prepare("select $1", "t"), run(["x"], "t"), wire.bind([], "t") + wire.SYNC)


@pytest.mark.parametrize("end", ["deallocate s", "deallocate prepare \"s\"", "deallocate all", "discard all"])
@pytest.mark.parametrize("how", ["query", "extended", "in a pipeline"])
def test_deallocate_by_sql_ends_a_statement_of_the_protocol(tidepool, postgres, end, how):
    daemon = tidepool(pools=transaction_pool())
    step = {"query": end, "extended": wire.extended(end) + wire.SYNC, "in a pipeline": wire.extended("select 1") + wire.extended(end) + wire.SYNC}[how]
    if "discard" in end and how == "in a pipeline":
        return                              # PostgreSQL refuses it there
    same_as_directly(daemon, postgres, prepare("select 1"), prepare("select 2", "t"), run(), step, "select 1", run(), run((), "t"),
                     prepare("select 3"), run(), run())


def test_deallocate_of_a_name_that_never_was_is_26000(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, "deallocate never", wire.extended("deallocate never") + wire.SYNC, prepare("select 1"), "deallocate never", run())


def test_the_unnamed_statement_lives_until_the_next_one_or_a_query(tidepool, postgres):
    """On another server too."""
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, prepare("select $1::text", ""), run(["a"], ""), run(["b"], ""), wire.describe("S") + wire.SYNC,
                     prepare("select 2", ""), run((), ""), "select 1", run((), ""), prepare("select 3", ""), wire.close("S") + wire.SYNC, run((), ""))


def test_nobody_meets_another_clients_unnamed_statement(tidepool):
    daemon = tidepool(pools=transaction_pool(1))
    one, other = daemon.wire("bench"), daemon.wire("bench")
    answers_to(one, prepare("select 'one'", ""))
    assert value_of(other, run((), "")) == "26000"
    assert value_of(one, run((), "")) == "one"
    answers_to(other, prepare("select 'other'", ""))
    assert (value_of(one, run((), "")), value_of(other, run((), ""))) == ("one", "other")


def test_a_statement_that_is_run_right_behind_a_set_keeps_the_meaning_of_its_parse_on_another_server(tidepool):
    """In one write, on a server that has to be brought to the session's settings first."""
    daemon = tidepool(pools=transaction_pool(2))
    neighbours = Neighbours(daemon)
    for number in range(50):
        session = daemon.wire("bench", work_mem="3MB")
        neighbours.rest()
        answers_to(session, prepare(f"select '01/02/2020'::date + {number} * 0"))
        neighbours.hold()
        session.send(wire.query("set datestyle to 'SQL, DMY'"), run())
        said = [each for _ in range(2) for each in session.read_until_ready()]
        assert [each.values for each in said if each.type == "D"] == [[b"02/01/2020"]]
        session.terminate()


def test_a_login_with_settings_leaves_other_clients_unnamed_statements_alone(tidepool):
    """They are tried on a server where one may be."""
    daemon = tidepool(pools=transaction_pool(1))
    session = daemon.wire("bench")
    answers_to(session, prepare("select 'mine'", ""))
    daemon.wire("bench", work_mem="3MB")
    assert value_of(session, run((), "")) == "mine"


def test_a_thousand_statements_over_an_lru_of_ten(tidepool):
    daemon = tidepool(pools=transaction_pool(2, max_prepared_statements=10))
    neighbours, session = Neighbours(daemon), daemon.wire("bench")
    for start in range(0, 1000, 100):
        session.send(b"".join(wire.parse(f"select {number} + $1::int", f"s{number}") for number in range(start, start + 100)) + wire.SYNC)
        assert [answer.type for answer in session.read_until_ready()] == ["1"] * 100 + ["Z"]
    for number in [*range(0, 1000, 7), *range(999, 0, -13)]:
        if number % 2:
            neighbours.hold()
        assert value_of(session, run([1], f"s{number}")) == str(number + 1)
        neighbours.rest()
    batch = b"".join(wire.bind([1], f"s{number}") + wire.execute() for number in range(500, 540))
    session.send(batch + wire.SYNC)
    assert [answer.values[0] for answer in session.read_until_ready() if answer.type == "D"] == [b"%d" % (number + 1) for number in range(500, 540)]
    assert max(names_on_servers(daemon)) <= 10
    mine = [client for client in daemon.console("show clients") if client["prepared_statements"] == 1000]
    assert len(mine) == 1
    session.send(b"".join(wire.close("S", f"s{number}") for number in range(1000)) + wire.SYNC)
    assert [answer.type for answer in session.read_until_ready()] == ["3"] * 1000 + ["Z"]
    assert value_of(session, run([1], "s7")) == "26000"


def test_without_sharing_who_prepares_keeps_its_server(tidepool):
    daemon = tidepool(pools=transaction_pool(2, max_prepared_statements=0))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    answers_to(session, prepare("select 42"))
    session.rows("")
    assert [pin["why"] for pin in daemon.console("show pins")] == ["prepared statements of its own"]
    for _ in range(2):
        assert value_of(session, run()) == "42"
        assert value_of(other, run()) == "26000"


def test_a_statement_too_long_to_be_shared_keeps_its_server(tidepool):
    daemon = tidepool(pools=transaction_pool(client_statement_memory="64kB"))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    answers_to(session, prepare(f"select length('{'x' * 100_000}')"))
    session.rows("")
    assert [pin["why"] for pin in daemon.console("show pins")] == ["prepared statements of its own"]
    assert (value_of(session, run()), value_of(other, run())) == ("100000", "26000")


@pytest.mark.parametrize("kilobytes", [8, 60, 600])
@pytest.mark.parametrize("name", ["", "s"], ids=["unnamed", "named"])
def test_a_statement_of_any_length_is_there_in_later_batches_on_every_server(tidepool, postgres, kilobytes, name):
    daemon = tidepool(pools=transaction_pool())
    long_text = f"select length('{'x' * kilobytes * 1000}') + $1::int"
    same_as_directly(daemon, postgres, prepare(long_text, name), run([1], name), run([2], name), wire.describe("S", name) + run([3], name))
    assert daemon.console("show pins") == []


def test_a_client_whose_statements_take_too_much_memory_is_told_so_and_goes_on(tidepool):
    daemon = tidepool(pools=transaction_pool(client_statement_memory="64kB"))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    for number in range(3):
        last = answers_to(session, prepare(f"select length('{'x' * 30_000}') + {number}", f"s{number}"))
    assert b"client_statement_memory" in last[0][1] and b"C53200" in last[0][1]
    assert value_of(session, run((), "s0")) == "30000"
    answers_to(session, wire.close("S", "s0") + wire.SYNC)
    answers_to(session, prepare(f"select length('{'x' * 30_000}') + 5", "s5"))
    assert value_of(session, run((), "s5")) == "30005"
    assert answers_to(other, prepare("select 1"))[0][0] == "1"


def test_a_pool_whose_operator_says_so_answers_a_parse_by_itself(tidepool):
    daemon = tidepool(pools=transaction_pool(1, parse="shared"))
    one, other = daemon.wire("bench"), daemon.wire("bench")
    one.rows("create table t(a int)")
    answers_to(one, prepare("insert into t values ($1) returning a"))
    one.rows("alter table t alter a type bigint")
    answers_to(other, prepare("insert into t values ($1) returning a"))
    assert value_of(other, run([5])) == "0A000"      # what is lost: docs/transaction-mode.md
    assert other.value("select count(*) from pg_prepared_statements") == "1"


def test_a_statement_means_what_its_sessions_settings_make_of_it(tidepool):
    """Fact 22: a date in the text is read when it is parsed."""
    daemon = tidepool(pools=transaction_pool(1))
    one, other = daemon.wire("bench", DateStyle="ISO, MDY"), daemon.wire("bench", DateStyle="ISO, DMY")
    for client in (one, other):
        answers_to(client, prepare("select '01/02/2020'::date"))
    for _ in range(2):
        assert value_of(one, run()) == "2020-01-02"
        assert value_of(other, run()) == "2020-02-01"


@pytest.mark.parametrize("why", ["alter table t add column c int", "analyze t", "discard plans"])
@pytest.mark.parametrize("set_by", ["set", "set local", "set in a transaction"])
@pytest.mark.parametrize("how", ["execute", "describe", "sql"])
def test_what_postgres_reads_again_for_one_session_is_not_met_by_others(tidepool, postgres, why, set_by, how):
    """One server, two sessions that prepared one text under the same settings; one of them has others when PostgreSQL reads the text again."""
    daemon = tidepool(pools=transaction_pool(1))
    one, other = daemon.wire("bench"), daemon.wire("bench")
    other.rows("create table t(a date, b int); insert into t values ('2020-01-02', 1), ('2020-02-01', 2)")
    for client in (one, other):
        answers_to(client, prepare("select b from t where a = '01/02/2020'"))
        assert value_of(client, run()) == "1"
    if set_by != "set":
        one.rows("begin")
    one.rows(("set local" if set_by == "set local" else "set") + " datestyle to german")
    (one if why == "discard plans" else directly(postgres, daemon.databases["bench"])).rows(why)
    answers_to(one, {"execute": run(), "describe": wire.describe("S", "s") + wire.SYNC, "sql": wire.query("execute s")}[how])
    if set_by != "set":
        one.rows("commit")
    assert value_of(other, run()) == "1"


@pytest.mark.parametrize("uses", [1, 8])
@pytest.mark.parametrize("text", ["select tenant()", "select tenant() || $1"], ids=["without parameters", "with one"])
@pytest.mark.parametrize("how", ["set", "set local", "set config"])
def test_a_plan_holds_nothing_of_another_clients_custom_settings(tidepool, how, text, uses):
    """PostgreSQL puts what a function gave that is declared IMMUTABLE into the plan, which it keeps."""
    daemon = tidepool(pools=transaction_pool(1))
    daemon.wire("bench").rows("create function tenant() returns text language sql immutable as $$select current_setting('app.tenant', true)$$")
    clients = {name: daemon.wire("bench") for name in ("one", "other", "")}
    values = ["!"] if "$1" in text else []
    for client in clients.values():
        answers_to(client, prepare(text))
    for turn in range(2):
        for name, client in clients.items():
            if name and how == "set" and turn == 0:
                client.rows(f"set app.tenant = '{name}'")
            client.rows("begin")
            if name and how != "set":
                client.rows(f"set local app.tenant = '{name}'" if how == "set local" else f"select set_config('app.tenant', '{name}', true)")
            for _ in range(uses):
                assert value_of(client, run(values)) == name + "".join(values)
            client.rows("commit")


def test_a_search_path_decides_which_table_a_statement_reads(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    maker = daemon.wire("bench")
    for schema in ("a", "b"):
        maker.rows(f"create schema {schema}; create table {schema}.t as select '{schema}' as v")
    same_as_directly(daemon, postgres, "set search_path = a", prepare("select v from t"), run(), "set search_path = b", run(), run(), "set search_path = a", run())


@pytest.mark.parametrize("how", ["read again", "parsed"])
def test_what_a_function_sets_locally_decides_no_text_of_others(tidepool, postgres, how):
    """PostgreSQL reports DateStyle, TimeZone and IntervalStyle, whoever sets them."""
    daemon = tidepool(pools=transaction_pool(1))
    one, other = daemon.wire("bench"), daemon.wire("bench")
    other.rows("create table t(a date, b int); insert into t values ('2020-01-02', 1), ('2020-02-01', 2)")
    other.rows("create function set_it() returns void language plpgsql as 'begin set local datestyle to german; end'")
    prepared = prepare("select b from t where a = '01/02/2020'")
    if how == "read again":
        answers_to(one, prepared)
        answers_to(one, run())
    one.rows("begin")
    one.rows("select set_it()")
    if how == "read again":
        directly(postgres, daemon.databases["bench"]).rows("analyze t")
    else:
        answers_to(one, prepared)
    assert value_of(one, run()) == "2"
    one.rows("commit")
    answers_to(other, prepared)
    assert value_of(other, run()) == "1"


def test_what_ran_behind_set_local_of_what_literals_mean_is_prepared_anew(tidepool):
    daemon = tidepool(pools=transaction_pool(1))
    session = daemon.wire("bench")
    answers_to(session, prepare("select '01/02/2020'::date"))

    def name_behind(setting):
        session.rows("begin")
        session.rows(f"set local {setting}")
        value_of(session, run())
        session.rows("commit")
        assert value_of(session, run()) == "2020-01-02"
        return session.value("select string_agg(name, ',') from pg_prepared_statements where not from_sql and statement like 'select ''01%'")
    first = name_behind("app.user_id to '7'")
    assert first.startswith("tidepool_")
    assert [name_behind(setting) for setting in ("statement_timeout to '7s'", "search_path to pg_catalog", "role none")] == [first] * 3
    assert name_behind("datestyle to german") != first


@pytest.mark.parametrize("how", ["set local datestyle to 'iso, dmy'", "set datestyle to 'iso, dmy'", "select set_config('datestyle', 'iso, dmy', true)",
                                 "do $$ begin perform set_config('datestyle', 'iso, dmy', true); end $$"])
@pytest.mark.parametrize("text", ["select '01/02/2020'::date", "select $1::int, '01/02/2020'::date"])
def test_what_is_parsed_behind_a_setting_of_its_transaction_runs_by_it(tidepool, postgres, how, text):
    daemon = tidepool(pools=transaction_pool())
    other = daemon.wire("bench")
    answers_to(other, prepare(text))
    run_it = run([1] if "$1" in text else ())
    same_as_directly(daemon, postgres, "begin", how, prepare(text), run_it, run_it, "set local timezone to 'Asia/Tokyo'", run_it, "rollback")


def test_a_statement_that_is_read_again_in_a_transaction_is_so_by_its_settings(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, prepare("select '01/02/2020'::date"), "set search_path to pg_catalog", "begin", "set datestyle to 'iso, dmy'", run(),
                     "commit", run(), "set search_path to public", "begin", "set local datestyle to 'iso, mdy'", run(), "rollback")


def test_a_statement_that_is_read_again_keeps_its_letters(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, prepare("select 'ä', length('ä'), '01/02/2020'::date"), "set names 'LATIN1'", "set datestyle to german", run(),
                     "set search_path to pg_catalog", run(), run(), "set names 'UTF8'", run())


def change_a_table_that(session, other):
    """`session` has prepared "s" on it, and was told one column of it; now it has two."""
    other.rows("create table t as select 1 as a")
    answers_to(session, wire.parse("select * from t", "s") + wire.describe("S", "s") + wire.SYNC)
    assert value_of(session, run()) == "1"
    other.rows("alter table t add column b int default 2")


def test_a_changed_result_type_is_told_to_who_was_never_told_the_old_rows_as_well(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool(1))
    session, other, direct = daemon.wire("bench"), daemon.wire("bench"), directly(postgres, daemon.databases["bench"])
    session.rows("create table t as select 1 as a")
    for client in (session, direct):
        answers_to(client, prepare("select * from t"))
        assert value_of(client, run()) == "1"
    other.rows("alter table t add column b int default 2")
    assert value_of(direct, run()) == value_of(session, run()) == "0A000"


def test_a_changed_result_type_is_told_to_who_knows_the_old_rows_and_mended_by_preparing_again(tidepool):
    daemon = tidepool(pools=transaction_pool(1))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    change_a_table_that(session, other)
    assert value_of(session, run()) == "0A000"
    answers_to(session, wire.close("S", "s") + wire.SYNC)
    answers_to(session, prepare("select * from t"))
    session.send(wire.describe("S", "s") + run())
    assert [answer.type for answer in session.read_until_ready()] == ["t", "T", "2", "D", "C", "Z"]


def test_a_pipeline_of_several_syncs_keeps_names_in_order(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool(1))
    session = daemon.wire("bench")
    session.send(wire.parse("select 1", "a") + wire.SYNC + wire.bind((), "a") + wire.execute() + wire.SYNC + wire.close("S", "a") + wire.SYNC
                 + wire.bind((), "a") + wire.SYNC + wire.parse("select 2", "a") + wire.bind((), "a") + wire.execute() + wire.SYNC)
    kinds = []
    for _ in range(5):
        kinds.append("".join(answer.type for answer in session.read_until_ready()))
    assert kinds == ["1Z", "2DCZ", "3Z", "EZ", "12DCZ"]


def test_a_name_that_sql_has_prepared_is_taken_for_the_protocol(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    same_as_directly(daemon, postgres, "prepare p as select 1", prepare("select 2", "p"), "execute p", run((), "p"), "deallocate p", prepare("select 3", "p"),
                     "execute p", run((), "p"), "deallocate p", run((), "p"))


def test_sqls_execute_finds_a_statement_of_the_protocol_in_a_query_and_in_a_parse(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    execute = wire.extended("execute mine") + wire.SYNC
    same_as_directly(daemon, postgres, prepare("select 42", "mine"), "execute mine", execute, prepare("execute mine", "again"), run((), "again"), execute,
                     run((), "again"), wire.close("S", "mine") + wire.SYNC, run((), "again"), execute)


def test_deallocate_by_the_extended_protocol_takes_the_name_when_it_runs(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool())
    for name in ("", "ends"):
        same_as_directly(daemon, postgres, prepare("select 42"), prepare("deallocate s", name), run() if name else "select 1", prepare("deallocate s", name) if not name else "",
                         run((), name), run(), prepare("select 43"), run((), name) if name else "select 1", run(), run((), name), run())


# What is known to differ


def test_names_on_the_server_are_ours(tidepool):
    daemon = tidepool(pools=transaction_pool(1))
    session = daemon.wire("bench")
    answers_to(session, prepare("select 42", "mine"))
    assert re.fullmatch("tidepool_[0-9a-f]{32}_1", session.value("select name from pg_prepared_statements"))


def test_names_on_two_servers_have_nothing_in_common(tidepool):
    daemon = tidepool(pools=transaction_pool(2))
    names = []
    for session in [daemon.wire("bench") for _ in range(2)]:
        session.rows("begin")
        answers_to(session, prepare("select 42", "mine"))
        names.append(session.value("select name from pg_prepared_statements"))
    assert names[0].split("_")[1] != names[1].split("_")[1]


def test_sql_may_prepare_a_name_that_lives_in_the_protocol_which_comes_first(tidepool):
    """Directly that is 42P05."""
    daemon = tidepool(pools=transaction_pool(2))
    session = daemon.wire("bench")
    answers_to(session, prepare("select 1", "p"))
    session.rows("prepare p as select 2")
    assert (session.value("execute p"), value_of(session, run((), "p"))) == ("1", "1")
    session.rows("deallocate p")
    assert session.value("execute p") == "2"


def test_a_name_of_ours_is_nobodys(tidepool):
    daemon = tidepool(pools=transaction_pool(1))
    one, other = daemon.wire("bench"), daemon.wire("bench")
    answers_to(one, prepare("select 42", "mine"))
    assert value_of(other, run((), "tidepool_1")) == "26000"
    answers_to(other, wire.close("S", "tidepool_1") + wire.SYNC)
    assert value_of(one, run((), "mine")) == "42"
