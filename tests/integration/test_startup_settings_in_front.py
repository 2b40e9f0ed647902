"""What travels in front of a client's first message: the message behaves as if it were alone, and moves to another server,
unseen, as long as nothing of it can have run."""

import threading
import time

import pytest
from harness import wire
from harness.cutting_proxy import also_cut
from harness.fake_server import data_row, complete, error_response, message, parameter_status, ready, row_description
from harness.sessions import backend_of, conversation, directly, wait_until_running
from harness.waiting import holds_for, wait_until
from harness.wire import SYNC, describe, execute, extended, parse, bind, query

MINE = {"work_mem": "7MB", "application_name": "mine"}

FIRST = {
    "a query": (query("show work_mem"), 1),
    "a batch": (extended("show work_mem") + SYNC, 1),
    "VACUUM": (query("vacuum t") + query("select 1"), 2),
    "VACUUM extended": (extended("vacuum t") + SYNC + extended("select 1") + SYNC, 2),
    "BEGIN SERIALIZABLE": (query("begin isolation level serializable") + query("show transaction_isolation"), 2),
    "SET TRANSACTION": (query("begin") + query("set transaction isolation level serializable") + query("rollback"), 3),
    "an error": (query("select 1/0") + query("show work_mem"), 2),
    "an error in a batch": (extended("select 1/0") + SYNC + extended("show work_mem") + SYNC, 2),
    "a syntax error": (query("no SQL") + query("show work_mem"), 2),
    "Flush": (parse("show work_mem") + wire.FLUSH + bind() + execute() + wire.FLUSH + SYNC, 1),
    "an unnamed portal that is not there": (bind() + execute() + SYNC, 1),
    "Describe of what is not there": (describe("P") + SYNC + describe("S") + SYNC, 2),
    "its own SET": (query("set work_mem to '9MB'") + query("show work_mem"), 2),
    "several statements": (query("create temporary table x(a int); insert into x values (1); select count(*) from x"), 1),
    "a COPY": (query("copy t from stdin") + wire.copy_data("1\n") + wire.COPY_DONE + query("table t"), 2),
    "a failing COPY": (query("copy t from stdin") + wire.copy_data("x\n") * 9 + wire.COPY_DONE + query("table t"), 2),
    "an extended COPY": (extended("copy t from stdin") + wire.copy_data("1\n") + wire.COPY_DONE + SYNC
                         + query("table t"), 2),
    "many": ((query("show work_mem") + extended("select 1") + SYNC) * 30, 60),
    "a megabyte": (query("select length('" + "x" * 1_000_000 + "')") + query("show work_mem"), 2),
    "a megabyte of parameter": (extended("select length($1)", ["x" * 1_000_000]) + SYNC + query("show work_mem"), 2),
    "a megabyte of batch": (extended("select length($1)", ["x" * 10_000]) * 100 + SYNC + query("show work_mem"), 2),
    "a Sync": (SYNC + query("show work_mem"), 2),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("pieces", [None, 1, 13], ids=["one write", "byte by byte", "in thirteens"])
@also_cut
def test_the_first_message_behaves_as_if_it_were_alone(tidepool, postgres, pieces):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    database, wrong = daemon.databases["bench"], {}
    with directly(postgres, database) as owner:
        owner.ask("create table t(a int)")
        for name, (data, ready_count) in FIRST.items():
            cut = pieces if pieces is None or len(data) < 100_000 else 4099
            answers = []
            for connect in (lambda: directly(postgres, database, **MINE), lambda: daemon.wire("bench", **MINE)):
                owner.ask("truncate t")
                with connect() as client:
                    answers.append([one for one in conversation(client, data, ready_count, cut) if one[0] != "S"])
                    client.terminate()
            if answers[0] != answers[1]:
                wrong[name] = answers
    assert wrong == {}


@also_cut
def test_a_cancel_of_the_first_query_ends_it_in_postgresql_too(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    client = daemon.wire("bench", **MINE)
    client.send(query("create table t(a int); select pg_sleep(600)"))
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    server = daemon.backends("bench")[0]["pid"]
    client.cancel()
    assert [answer for answer in client.read_until_ready() if answer.type == "E"][0].fields["C"] == "57014"
    assert backend_of(client) == server
    assert client.error("table t")["C"] == "42P01"
    assert client.value("show work_mem") == "7MB"


def test_the_first_query_of_a_client_that_vanishes_is_cancelled(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    client = daemon.wire("bench", **MINE)
    client.send(query("select pg_sleep(600)"))
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    server = daemon.backends("bench")[0]["pid"]
    client.close()
    with daemon.wire("bench", **MINE) as following:
        assert backend_of(following) == server


def test_a_first_query_whose_server_dies_in_its_midst_is_not_run_again(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    database = daemon.databases["bench"]
    daemon.psql("-c", "create sequence runs", pool="bench")
    client = daemon.wire("bench", **MINE)
    client.send(query("select nextval('runs'); select pg_sleep(600)"))
    wait_until_running(postgres, "pg_sleep", database=database)
    postgres.execute("select pg_terminate_backend(pid) from pg_stat_activity where query like '%%pg_sleep(600)%%'"
                     " and datname = %s", [database])
    answers = client.read_until_closed()
    assert answers[-1].fields["C"] == "57P01"
    holds_for(lambda: daemon.psql("-c", "select last_value from runs", pool="bench") == "1\n", "it ran once", 0.2)


@pytest.mark.parametrize("startup", [{}, MINE], ids=["without settings", "with settings"])
def test_a_server_that_died_between_greeting_and_first_query_is_replaced_unseen(tidepool, postgres, startup):
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 2}})
    for _ in range(5):
        client = daemon.wire("bench", **startup)
        wait_until(lambda: daemon.pool_stats("bench")["pool_available"] >= 1, "a server rests")
        postgres.terminate(database=daemon.databases["bench"])
        assert client.value("select 42") == "42"
        client.terminate()


def answer_extended(server, got, statement):
    """Answers of a fake server to P, B, E and C of a prelude; `statement` is the last that was parsed."""
    if got.type == "E":
        server.send((data_row("x") if b"set_config" in statement else b"") + complete("SELECT 1"))
    elif got.type in "PBCS":
        server.send({"P": message("1"), "B": message("2"), "C": message("3"), "S": ready()}[got.type])
    elif got.type == "Q":
        server.send(row_description("a") + data_row(str(server.process_id)) + complete("SELECT 1") + ready())


FAULTS = {
    "hangs up at once": lambda server: None,
    "hangs up behind half an answer": lambda server: server.send(message("1"), cut=3),
    "hangs up having read all": lambda server: server.expect("H"),
    "says FATAL": lambda server: server.send(error_response("57P05", "it has been idle too long", "FATAL")),
    "refuses": lambda server: (server.send(error_response("XX000", "not today")), server.expect("X")),
    "answers nonsense": lambda server: (server.send(complete("SELECT 1")), server.expect("X")),
}


@pytest.mark.parametrize("first", [query("select 1"), extended("select 1") + SYNC, query("select 1") * 2,
                                   query("select '" + "x" * 200_000 + "'")],
                         ids=["a query", "a batch", "two queries", "a long query"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_first_message_moves_to_another_server_when_the_first_turns_out_dead(tidepool, fake_server, fault, first):
    """But for one that has travelled along to a server whose answer does not say that it skips it. A long one waits for the answer."""
    def script(server):
        server.log_in()
        statement = b""
        while (got := server.read()).type != "X":
            if got.type == "P":
                statement = got.body
                if server is fake.connections[0] and b"set_config" in statement:
                    return FAULTS[fault](server)
            answer_extended(server, got, statement)
    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1}})
    client = daemon.wire("bench", application_name="mine")
    client.send(first)
    if fault == "answers nonsense" and len(first) < 1000:
        assert client.read_until_closed()[-1].fields["C"] == "08P01"
        return
    answers = client.read_until_ready()
    assert "E" not in [answer.type for answer in answers]
    assert fake.wait_for_connections(2)


def test_a_cancel_that_hits_what_travels_in_front_costs_the_server_and_keeps_the_session(tidepool, fake_server):
    def script(server):
        server.log_in()
        statement = b""
        while (got := server.read()).type != "X":
            if got.type == "P":
                statement = got.body
                if server is fake.connections[0] and b"set_config" in statement:
                    wait_until(lambda: fake.cancels, "the cancel comes")
                    server.send(error_response("57014", "canceling statement due to user request"))
                    server.expect("X")
                    return
            answer_extended(server, got, statement)
    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1}})
    client = daemon.wire("bench", application_name="mine")
    client.send(query("insert") + query("select 2"))
    wait_until(lambda: any(got.type == "P" for got in fake.connections[0].received), "the prelude is there")
    client.cancel()
    answers = client.read_until_ready()
    assert [answer.type for answer in answers] == ["E", "Z"] and answers[0].fields["C"] == "57014"
    assert [answer.type for answer in client.read_until_ready()] == ["T", "D", "C", "Z"]
    ran = [got.body for server in fake.connections[1:] for got in server.received if got.type == "Q"]
    assert ran == [b"select 2\0"]


@pytest.mark.parametrize("last_word", [wire.TERMINATE, b""], ids=["says Terminate", "vanishes"])
def test_what_a_client_asked_for_before_it_left_is_finished_however_late_its_settings_are_answered(
        tidepool, fake_server, last_word):
    goes_on = threading.Event()
    finished = []

    def script(server):
        server.log_in()
        statement = b""
        while (got := server.read()).type != "X":
            if got.type == "P":
                statement = got.body
                if b"set_config" in statement:
                    goes_on.wait(20)
            if got.type == "Q" and b"insert" in got.body:
                server.send(parameter_status("application_name", "mine") + complete("INSERT 0 1") + ready())
                finished.append(server.read())
                return
            answer_extended(server, got, statement)
    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1,
                                       "client_idle": "60s"}})       # so that the worker keeps time
    client = daemon.wire("bench", application_name="mine")
    client.send(query("insert") + last_word)
    client.close()
    time.sleep(0.5)                                                  # several of its ticks
    goes_on.set()
    wait_until(lambda: len(finished) == 1, "the query is answered")
    assert b"DISCARD ALL" in finished[0].body                        # the server is not in doubt


def test_the_answer_to_settings_may_come_in_two_reads_and_none_of_it_reaches_the_client(tidepool, fake_server):
    """What a DataRow of the settings' own had left for the second read was passed on to the client once."""
    cut = [0]

    def script(server):
        server.log_in()
        send = server.send

        def send_in_two(*data):
            whole, at = b"".join(data), cut[0]
            send(whole[:at])
            time.sleep(0.01)
            send(whole[at:])

        server.send = send_in_two
        server.serve()

    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 1, "max_size": 1}})
    usual = ["T", "D", "C", "Z"]
    for at in range(1, len(data_row("1") + complete("SELECT 1"))):
        cut[0] = at
        with daemon.wire("bench", application_name=f"cut {at}") as client:
            assert [answer.type for answer in client.ask("x")] == usual
            assert client.ask("y")[1].values == [b"1"]
            client.terminate()
    assert any(got.body.count(b"set_config") for got in fake.connections[0].received if got.type == "P")
