"""What is known to differ from a direct connection, or cannot be noticed: rows of docs/transaction-mode.md. Each test says the same
thing on both, so that a row goes when what it says is no longer so."""

import pytest
from harness import wire
from harness.sessions import directly
from harness.shared_servers import answers_to, told_of, transaction_pool


def prepare(sql, name="s"):
    return wire.parse(sql, name) + wire.SYNC


def run(values=(), name="s"):
    return wire.bind(values, name) + wire.execute() + wire.SYNC


def outcome(client, *batch):
    """A SQLSTATE, or what the first row says, or the types of the answers."""
    client.send(*batch)
    answers = client.read_until_ready()
    for answer in answers:
        if answer.type == "E":
            return answer.fields["C"]
        if answer.type == "D":
            return answer.values[0].decode()
    return "".join(answer.type for answer in answers)


def both(tidepool, postgres, size=1, **startup):
    """A session of a pool of `size` servers, another client of that pool, and a direct connection."""
    daemon = tidepool(pools=transaction_pool(size))
    session = daemon.wire("bench", **startup)
    session.daemon = daemon
    return session, daemon.wire("bench"), directly(postgres, daemon.databases["bench"], **startup)


def say_at(client, *messages):
    """Says them in one batch. Returns the process id of the server that it was."""
    client.send(*messages, wire.extended("select pg_backend_pid()", name="pid") + wire.close("S", "pid") + wire.SYNC)
    return [answer.values[0].decode() for answer in client.read_until_ready() if answer.type == "D"][-1]


def hold(session, server):
    """Another client, `session.holder`, has this one of two servers from now on."""
    clients = []
    while not clients or clients[-1].value("select pg_backend_pid()") != server:
        clients.append(session.daemon.wire("bench"))
        clients[-1].rows("begin")
    for client in clients[:-1]:
        client.rows("rollback")
    session.holder = clients[-1]


@pytest.mark.parametrize("sql", [
    "do $$ begin execute 'set app.' || 'unseen = ''mine'''; end $$",
    f"select length('{'x' * 200_000}'); set app.unseen = 'mine'",
    "create function f() returns text language sql as $f$ select set_config('app.unseen', 'mine', false) $f$; select f()",
], ids=["composed in a DO block", "behind the first 60 kB", "in a function"])
def test_a_custom_setting_that_no_text_names_in_time_is_not_there_on_another_server(tidepool, sql):
    """Nor on its own, once that was another's."""
    daemon = tidepool(pools=transaction_pool(1))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows(sql)
    assert session.value("select current_setting('app.unseen', true)") == "mine"
    for client in (other, session):
        assert client.value("select current_setting('app.unseen', true)") == ""


def test_in_a_failed_transaction_a_statement_that_its_server_has_not_got_is_25p02(tidepool, postgres):
    session, _, direct = both(tidepool, postgres, size=2)
    statements = wire.parse("create table never()", "s") + wire.parse("select $1::int", "t")
    answers_to(direct, statements + wire.SYNC)
    hold(session, say_at(session, statements))
    for client in (session, direct):
        client.rows("begin")
        assert client.error("select 1/0")["C"] == "22012"
    of_no_rows, of_too_few_values = wire.describe("S", "s") + wire.SYNC, wire.bind([], "t") + wire.SYNC
    assert (outcome(direct, of_no_rows), outcome(session, of_no_rows)) == ("tnZ", "25P02")
    assert (outcome(direct, of_too_few_values), outcome(session, of_too_few_values)) == ("08P01", "25P02")
    for client in (session, direct, session.holder):
        client.rows("rollback")
    assert outcome(session, of_no_rows) == "tnZ"




def test_a_query_that_a_batch_skips_takes_the_unnamed_statement(tidepool, postgres):
    """A Query between Parse and Sync is what no driver sends."""
    session, _, direct = both(tidepool, postgres)
    for client in (session, direct):
        answers_to(client, prepare("select 42", ""))
        client.send(wire.bind([], "never") + wire.query("select 1") + wire.SYNC)
        client.read_until_ready()
    assert (outcome(direct, run((), "")), outcome(session, run((), ""))) == ("42", "26000")


@pytest.mark.parametrize("how", ["set local datestyle to german; select", "set datestyle to german; select"])
def test_a_text_parsed_under_what_its_transaction_took_back_means_something_else_on_another_server(tidepool, postgres, how):
    """Which settings a literal was read under is asked for when the transaction is over: fact 22 of docs/decisions.md."""
    session, _, direct = both(tidepool, postgres, size=2)
    for client in (session, direct):
        client.rows("begin")
        client.rows(how)
        answers_to(client, prepare("select '01/02/2020'::date"))
    server = session.value("select pg_backend_pid()")
    for client in (session, direct):
        client.rows("rollback")
    hold(session, server)
    assert (outcome(direct, run()), outcome(session, run())) == ("2020-02-01", "2020-01-02")


def test_a_close_that_is_answered_here_does_not_disturb_the_copy_in_front_of_it(tidepool, postgres):
    """CopyData has to follow; directly this is the end of the session."""
    session, other, direct = both(tidepool, postgres)
    other.rows("create table t(a int)")
    for client in (session, direct):
        answers_to(client, prepare("select 1"))
        client.send(wire.extended("copy t from stdin") + wire.close("S", "s") + wire.SYNC)
        assert [answer.type for answer in client.read_until("G")] == ["1", "2", "G"]
    assert [answer.fields["C"] for answer in direct.read_until_closed() if answer.type == "E"] == ["08P01", "08P01"]
    session.send(wire.COPY_DONE + wire.SYNC)
    assert [answer.type for answer in session.read_until_ready()] == ["C", "3", "Z"]
    assert outcome(session, run()) == "26000"


A_DATE = "select '01/02/2020'::date"


def test_discard_plans_reads_no_text_again(tidepool, postgres):
    session, _, direct = both(tidepool, postgres)
    for client in (session, direct):
        client.rows("set datestyle to german")
        answers_to(client, prepare(A_DATE))
        client.rows("set datestyle to iso, mdy")
        client.rows("discard plans")
    assert (outcome(direct, run()), outcome(session, run())) == ("2020-01-02", "2020-02-01")


def test_a_text_that_ddl_makes_postgres_read_again_is_so_on_servers_that_had_it(tidepool, postgres):
    session, other, direct = both(tidepool, postgres, size=2)
    text = A_DATE + " from t"
    other.rows("create table t as select 1 as a")
    for client in (session, direct):
        client.rows("set datestyle to german")
    answers_to(direct, prepare(text))
    first = say_at(session, wire.parse(text, "s"))
    for client in (session, direct):
        client.rows("set datestyle to iso, mdy")
    hold(session, first)
    answers_to(session, run())
    second = session.value("select pg_backend_pid()")
    session.holder.rows("rollback")
    other.rows("alter table t add column b int")
    hold(session, second)
    heard = [outcome(client, run()) for client in (direct, session)]
    session.holder.rows("rollback")
    hold(session, first)
    assert [*heard, outcome(session, run())] == ["2020-01-02", "2020-02-01", "2020-01-02"]


def test_other_words_for_the_same_schemas_make_a_text_be_read_again(tidepool, postgres):
    session, _, direct = both(tidepool, postgres, size=2)
    for client in (session, direct):
        client.rows("set datestyle to german")
        client.rows("set search_path to public")
    answers_to(direct, prepare(A_DATE))
    server = say_at(session, wire.parse(A_DATE, "s"))
    for client in (session, direct):
        client.rows("set datestyle to iso, mdy")
        client.rows("set search_path to public, nowhere")
    hold(session, server)
    assert (outcome(direct, run()), outcome(session, run())) == ("2020-02-01", "2020-01-02")


def test_a_statement_of_before_behind_a_set_of_its_own_batch_is_read_as_after_it(tidepool, postgres):
    session, _, direct = both(tidepool, postgres, size=2)
    for client in (session, direct):
        client.rows("set datestyle to german")
    answers_to(direct, prepare(A_DATE))
    hold(session, say_at(session, wire.parse(A_DATE, "s")))
    heard = [outcome(client, wire.extended("set datestyle to iso, mdy"), run()) for client in (direct, session)]
    assert heard == ["2020-02-01", "2020-01-02"]


@pytest.mark.parametrize("sql, directly_heard", [("select a from t", "tEZ"), ("insert into t values (1)", "tnZ")], ids=["with rows", "without"])
def test_describe_of_a_statement_whose_table_is_gone_says_so_at_once(tidepool, postgres, sql, directly_heard):
    session, other, direct = both(tidepool, postgres, size=2)
    other.rows("create table t(a int)")
    answers_to(direct, prepare(sql))
    server = say_at(session, wire.parse(sql, "s"))
    other.rows("drop table t")
    hold(session, server)
    heard = []
    for client in (direct, session):
        client.send(wire.describe("S", "s") + wire.SYNC)
        answers = client.read_until_ready()
        heard.append("".join(answer.type for answer in answers))
    assert heard == [directly_heard, "EZ"]
    assert answers[0].fields["C"] == "42P01"


def test_describe_of_a_prepared_fetch_names_the_tables_of_its_parse(tidepool, postgres):
    session, other, direct = both(tidepool, postgres)
    other.rows("create table t(a int)")
    heard = []
    for client in (direct, session):
        for sql in ("begin", "declare c cursor for select a from t"):
            client.rows(sql)
        answers_to(client, prepare("fetch 1 from c", "f"))
        for sql in ("close c", "declare c cursor for select 1 as a"):
            client.rows(sql)
        client.send(wire.describe("S", "f") + wire.SYNC)
        (rows,) = (answer.body for answer in client.read_until_ready() if answer.type == "T")
        heard.append(rows[4:8] != bytes(4))
    assert heard == [False, True]


def test_a_statement_that_is_prepared_later_elsewhere_names_what_is_there_then(tidepool, postgres):
    session, other, direct = both(tidepool, postgres, size=2)
    other.rows("create schema front; create table public.work as select 'behind' as v")
    for client in (session, direct):
        client.rows("set search_path = front, public")
    answers_to(direct, prepare("select v from work"))
    server = say_at(session, wire.parse("select v from work", "s"))
    directly(postgres, session.daemon.databases["bench"]).rows("create table front.work as select 'in front' as v")
    assert outcome(direct, run()) == "behind"
    hold(session, server)
    assert outcome(session, run()) == "in front"


def test_an_unnamed_statement_that_is_used_again_elsewhere_has_the_types_of_there(tidepool, postgres):
    session, other, direct = both(tidepool, postgres, size=2)
    other.rows("create table t as select 1 as a")
    answers_to(direct, wire.extended("select * from t") + wire.SYNC)
    server = session.value("select pg_backend_pid()")
    answers_to(session, wire.extended("select * from t") + wire.SYNC)
    directly(postgres, session.daemon.databases["bench"]).rows("alter table t add column b int")
    hold(session, server)
    assert (outcome(direct, run((), "")), outcome(session, run((), ""))) == ("0A000", "1")


def test_a_statement_that_ddl_has_made_impossible_says_so_before_its_values_are_looked_at(tidepool, postgres):
    session, other, direct = both(tidepool, postgres, size=2)
    other.rows("create table t as select 1 as a")
    text = "select a from t where a = $1"
    answers_to(direct, prepare(text))
    server = say_at(session, wire.parse(text, "s"))
    other.rows("alter table t alter a type text")
    hold(session, server)
    assert [outcome(client, run(["x"])) for client in (direct, session)] == ["22P02", "42883"]
    assert [outcome(client, run(["1"])) for client in (direct, session)] == ["42883", "42883"]


def test_a_statement_that_ddl_gave_other_rows_says_so_before_its_values_are_looked_at(tidepool, postgres):
    session, other, direct = both(tidepool, postgres, size=2)
    other.rows("create table t as select 1 as a, 2 as b")
    text = "select b from t where a = $1"
    answers_to(direct, prepare(text))
    server = say_at(session, wire.parse(text, "s"))
    other.rows("alter table t alter b type text")
    hold(session, server)
    assert [outcome(client, run(["x"])) for client in (direct, session)] == ["22P02", "0A000"]
    assert [outcome(client, run(["1"])) for client in (direct, session)] == ["0A000", "0A000"]


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_within_the_text_of_a_reset_the_application_name_is_its_servers(tidepool, mode):
    daemon = tidepool(pools={"bench": {"mode": mode, "min_size": 0, "max_size": 1}})
    with daemon.wire("bench", application_name="the first") as first:
        first.rows("select 1")
        first.terminate()
    with daemon.wire("bench", application_name="mine") as session:
        own = session.value("reset application_name; show application_name")
        assert own == ("the first" if mode == "session" else "")
        assert session.value("show application_name") == session.parameters["application_name"] == "mine"


@pytest.mark.parametrize("sql", ["do $$ begin execute 'deallocate \"s\"'; end $$", "do $$ begin deallocate s; end $$", "deallocate U&\"\\0073\""])
def test_a_single_name_is_not_deallocated_where_no_text_shows_it(tidepool, postgres, sql):
    session, _, direct = both(tidepool, postgres)
    for client in (session, direct):
        answers_to(client, prepare("select 42"))
    assert outcome(direct, wire.query(sql)) == "CZ"
    assert outcome(session, wire.query(sql)) == "26000"
    assert (outcome(direct, run()), outcome(session, run())) == ("26000", "42")


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_second_temporary_object_hides_names_from_statements_of_before_as_the_first_does(tidepool, postgres, in_transaction):
    session, _, direct = both(tidepool, postgres)
    direct.rows("create table t as select 'permanent' as v")
    heard = []
    for client in (session, direct):
        client.rows("create temp table first(a int)")
        client.rows("drop table first")
        answers_to(client, prepare("select v from t"))
        if in_transaction:
            client.rows("begin")
        client.rows("create temp table t as select 'temporary' as v")
        heard.append(outcome(client, run()))
    assert heard == ["temporary", "permanent"]


def test_what_is_executed_in_the_text_that_makes_the_first_temporary_object_names_what_was_there(tidepool, postgres):
    session, other, direct = both(tidepool, postgres)
    direct.rows("create table t as select 'permanent' as v")
    other.rows("create temp table whatever(a int)")
    other.rows("drop table whatever")
    heard = []
    for client in (session, direct):
        client.rows("prepare p as select v from t")
        heard.append(outcome(client, wire.query("create temp table t as select 'temporary' as v; execute p")))
        heard.append(outcome(client, wire.query("execute p")))
    assert heard == ["permanent", "temporary", "temporary", "temporary"]
