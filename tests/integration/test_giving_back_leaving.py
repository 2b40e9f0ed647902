"""How a client leaves: what it asked for before Terminate is finished, what it had not finished is not committed, and
servers that cannot be brought to rest are closed."""

import signal
import threading

import pytest
from harness import wire
from harness.cutting_proxy import also_cut
from harness.fake_server import complete, data_row, error_response, ready, row_description
from harness.sessions import backend_of, wait_until_resting, wait_until_running
from harness.waiting import holds_for, wait_until


@pytest.fixture
def daemon_of_one(tidepool, postgres):
    """daemon_of_one(**pool): a pool of exactly one server, with a table `kept` of one column."""
    def start(**pool):
        daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1, **pool}})
        daemon.psql("-c", "create table kept(a int)", pool="bench")
        daemon.kept = lambda: sorted(
            int(row) for row in postgres.psql("-c", "select a from kept", dbname=daemon.databases["bench"]).split())
        return daemon
    return start


def insert(number, words="insert into kept values"):
    return f"{words} ({number})"


REQUESTS = {
    "a query": wire.query("select pg_sleep(0.5); insert into kept values (1)"),
    "an extended query": wire.extended("select pg_sleep(0.5)") + wire.extended(insert(1)) + wire.SYNC,
    "a pipeline": wire.query("select pg_sleep(0.5)") + wire.query(insert(1)) + wire.extended(insert(2)) + wire.SYNC
                  + wire.query("begin") + wire.query(insert(3)) + wire.query("commit"),
    "a COPY": wire.query("copy kept from stdin") + wire.copy_data("1\n") + wire.COPY_DONE,
    "a transaction that ends": wire.query("begin; insert into kept values (1); select pg_sleep(0.5); commit"),
}


@pytest.mark.parametrize("orphans", ["cancel", "finish"])
@pytest.mark.parametrize("reset", ["discard_all", "rollback", "none", "close"])
@pytest.mark.parametrize("requests", REQUESTS.values(), ids=REQUESTS)
def test_requests_in_front_of_a_terminate_are_finished(daemon_of_one, requests, reset, orphans):
    daemon = daemon_of_one(reset=reset, orphans=orphans)
    client = daemon.wire("bench")
    client.send(requests + wire.TERMINATE)
    client.close()
    with daemon.wire("bench") as following:
        following.ask("select 1")
        expected = [1, 2, 3] if requests is REQUESTS["a pipeline"] else [1]
        assert daemon.kept() == expected


@also_cut
def test_requests_in_front_of_a_terminate_are_finished_though_they_had_to_wait_for_a_server(daemon_of_one):
    daemon = daemon_of_one()
    holder = daemon.wire("bench")
    holder.ask("select 1")
    clients = [daemon.wire("bench") for _ in range(3)]
    for number, client in enumerate(clients):
        client.send(wire.query(insert(number)) + wire.TERMINATE)
        client.close()
    holder.terminate()
    wait_until(lambda: daemon.kept() == [0, 1, 2], "all is there")


@also_cut
def test_requests_in_front_of_a_terminate_are_finished_behind_settings_of_the_client(daemon_of_one):
    daemon = daemon_of_one()
    daemon.wire("bench", work_mem="7MB").terminate()
    client = daemon.wire("bench", work_mem="7MB")
    client.send(wire.query("select pg_sleep(0.3); insert into kept values (1)") + wire.TERMINATE)
    client.close()
    wait_until(lambda: daemon.kept() == [1], "it is there")


NOT_FINISHED = {
    "a batch without Sync": wire.extended(insert(1)),
    "a batch without Sync, flushed": wire.extended(insert(1)) + wire.FLUSH,
    "an open transaction": wire.query("begin; insert into kept values (1)"),
    "a COPY without its end": wire.query("copy kept from stdin") + wire.copy_data("1\n"),
    "an extended COPY without its Sync": wire.extended("copy kept from stdin") + wire.copy_data("1\n") + wire.COPY_DONE,
}


@pytest.mark.parametrize("last_word", [wire.TERMINATE, b""], ids=["Terminate", "nothing"])
@pytest.mark.parametrize("reset", ["discard_all", "rollback", "none", "close", "reset all"])
@pytest.mark.parametrize("requests", NOT_FINISHED.values(), ids=NOT_FINISHED)
def test_what_was_not_finished_is_not_committed(daemon_of_one, requests, reset, last_word):
    daemon = daemon_of_one(reset=reset)
    client = daemon.wire("bench")
    client.send(requests + last_word)
    client.close()
    with daemon.wire("bench") as following:
        following.ask("select 1")
        assert following.status == "I"
        assert daemon.kept() == []


HALVES = {
    "a Query": wire.query("insert into kept values (1)")[:-3],
    "CopyData": wire.query("copy kept from stdin") + wire.copy_data("1\n" * 1000)[:-3],
    "a Parse in a batch": wire.extended(insert(1)) + wire.parse("select 1")[:-1],
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_half_a_message_costs_the_server_and_runs_nothing(daemon_of_one, half):
    daemon = daemon_of_one()
    client = daemon.wire("bench")
    before = backend_of(client)
    client.send(half)
    client.close()
    with daemon.wire("bench") as following:
        assert backend_of(following) != before
        assert daemon.kept() == []


@pytest.mark.parametrize("last_word", [wire.TERMINATE, b""], ids=["Terminate", "nothing"])
def test_a_running_query_of_a_vanished_client_is_finished_where_orphans_says_so(daemon_of_one, postgres, last_word):
    daemon = daemon_of_one(orphans="finish")
    client = daemon.wire("bench")
    before = backend_of(client)
    client.send(wire.query("insert into kept values (1); select pg_sleep(0.5)"))
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    client.send(last_word)
    client.close()
    with daemon.wire("bench") as following:
        assert backend_of(following) == before
        assert daemon.kept() == [1]


def test_a_running_query_of_a_vanished_client_is_cancelled_where_orphans_says_so(daemon_of_one, postgres):
    daemon = daemon_of_one(orphans="cancel")
    client = daemon.wire("bench")
    before = backend_of(client)
    client.send(wire.query("insert into kept values (1); select pg_sleep(600)") + wire.query(insert(2)))
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    client.close()
    with daemon.wire("bench") as following:
        assert backend_of(following) == before
        assert 1 not in daemon.kept()


def test_a_query_that_ignores_its_cancel_costs_the_server_after_the_time_limit(daemon_of_one):
    daemon = daemon_of_one(reset_timeout="500ms")
    client = daemon.wire("bench")
    before = backend_of(client)
    # PostgreSQL signals a backend and its process group: one cancel may arrive as two.
    stubborn = ("do $$ declare until timestamptz := clock_timestamp() + interval '4 s'; begin"
                " while clock_timestamp() < until loop begin perform pg_sleep(1); exception when query_canceled then null; end;"
                " end loop; end $$")
    client.send(wire.query(stubborn))
    wait_until(lambda: any(row["wait_event"] == "PgSleep" for row in daemon.backends("bench")), "it sleeps")
    client.close()
    with daemon.wire("bench") as following:
        assert backend_of(following) != before
    daemon.wait_for_log("what the client left did not end in time")


@pytest.mark.parametrize("reset, why", [
    ("select pg_sleep(600)", "reset timed out"), ("select 1/0", "reset failed"), ("begin work", "reset left a transaction"),
    ("copy pg_class to stdout", "unexpected answer to reset"), ("reset all; no SQL", "reset failed")])
def test_a_reset_that_does_not_work_costs_the_server(daemon_of_one, reset, why):
    daemon = daemon_of_one(reset=reset, reset_timeout="500ms")
    client = daemon.wire("bench")
    before = backend_of(client)
    client.ask("set work_mem to '9MB'")
    client.terminate()
    daemon.wait_for_log(f"server_pid={before} server closed: .*{why}")
    with daemon.wire("bench") as following:
        assert backend_of(following) != before
        assert following.value("show work_mem") == "4MB"


def test_a_reset_of_the_pools_own_is_what_is_run(daemon_of_one):
    daemon = daemon_of_one(reset="reset work_mem; deallocate all")
    client = daemon.wire("bench")
    before = backend_of(client)
    client.ask("set work_mem to '9MB'; prepare p as select 1; set jit to off")
    client.terminate()
    with daemon.wire("bench") as following:
        assert backend_of(following) == before
        assert following.value("show work_mem") == "4MB"
        assert following.rows("select * from pg_prepared_statements") == []
        assert following.value("show jit") == "off"                  # nobody said it should be reset


@pytest.mark.parametrize("reset", ["rollback", "none"])
def test_without_a_reset_the_session_stays_but_its_transaction_does_not(daemon_of_one, reset):
    daemon = daemon_of_one(reset=reset)
    client = daemon.wire("bench")
    before = backend_of(client)
    client.ask("set work_mem to '9MB'")
    client.ask("begin; insert into kept values (1); set jit to off")
    client.close()
    with daemon.wire("bench") as following:
        assert backend_of(following) == before
        assert following.value("show work_mem") == "9MB"
        assert following.value("show jit") == "on"
        assert daemon.kept() == []


def test_with_reset_close_each_client_has_a_server_of_its_own(daemon_of_one):
    daemon = daemon_of_one(reset="close")
    seen = set()
    for _ in range(5):
        with daemon.wire("bench") as client:
            seen.add(backend_of(client))
            client.ask("select set_config('app.tenant', '7', false)")
            client.terminate()
        with daemon.wire("bench") as client:
            assert client.value("select current_setting('app.tenant', true)") is None
            client.terminate()
    assert len(seen) == 5


def test_a_statement_timeout_that_kills_the_reset_leaks_nothing(daemon_of_one):
    daemon = daemon_of_one()
    for _ in range(3):
        client = daemon.wire("bench")
        client.ask("".join(f"create temporary table t{i}(a int primary key, b text);" for i in range(100)))
        client.ask("prepare p as select 1; set role pg_monitor; set work_mem to '9MB'")
        client.ask("set statement_timeout to 1")
        client.terminate()
        with daemon.wire("bench") as following:
            assert following.value("show statement_timeout") == "0"
            assert following.value("show work_mem") == "4MB"
            assert following.rows("select relname from pg_class where relpersistence = 't' and relkind = 'r'"
                                  " and relnamespace = pg_my_temp_schema()") == []
            assert following.value("select current_user") == "app"
            following.terminate()


WRONG = {
    "nothing": None,
    "an error": error_response("XX000", "no") + ready(),
    "too much": complete("DISCARD ALL") + ready() + ready(),
    "a row too many": complete("DISCARD ALL") + complete("DISCARD ALL") + ready(),
    "the end": lambda server: server.close(),
}
# The request stands behind it in the server's socket, and runs when that is read.
UNCLEAR_IN_FRONT = {
    "nothing": (lambda server: server.never_answer(), "08006"),
    "another command": (lambda server: server.send(complete("SELECT 1")), "08P01"),
}


@pytest.mark.parametrize("answer", WRONG)
def test_a_server_whose_answer_to_the_reset_is_wrong_is_not_lent_again(tidepool, fake_server, answer):
    def script(server):
        server.log_in()
        server.serve({"DISCARD ALL": WRONG[answer]})
    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1,
                                       "reset_timeout": "500ms"}})
    for count in (1, 2, 3):
        with daemon.wire("bench") as client:
            client.ask("set a.b to 1")  # a trace: it is reset at once
            assert client.value("select 'a'") == "1"
            assert len(fake.connections) == count
            client.terminate()


# The reset in front of the next client's first message

WRONG_IN_FRONT = {
    "an error": lambda server: server.send(error_response("XX000", "no")),
    "an error that is fatal": lambda server: (server.send(error_response("57P05", "idle", "FATAL")), server.close()),
    "the end": lambda server: server.close(),
}


@pytest.mark.parametrize("answer", [*WRONG_IN_FRONT, *UNCLEAR_IN_FRONT])
def test_a_request_whose_reset_in_front_fails_is_run_on_another_server_and_once(tidepool, fake_server, answer):
    """A reset that failed: nothing of the client's has run there, and it sees nothing of it. Where that is not sure, it is told, and nothing runs elsewhere."""
    ran, second_waits = [], threading.Event()
    does, told = UNCLEAR_IN_FRONT.get(answer) or (WRONG_IN_FRONT[answer], None)

    def script(server):
        server.log_in()
        is_first = len(fake.connections) == 1
        if is_first:
            assert server.read().type == "Q"
            second_waits.wait(20)
            server.send(row_description("a") + data_row("first") + complete("SELECT 1") + ready())
            assert server.read().type == "P"  # DISCARD ALL, and the second client's request behind it
            does(server)
        else:
            server.serve({"select 2": lambda _: ran.append(server) or
                          row_description("a") + data_row("second") + complete("SELECT 1") + ready()})

    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1,
                                       "reset_timeout": "500ms"}})
    first, second = daemon.wire("bench"), daemon.wire("bench")
    first.send(wire.query("select 1") + wire.TERMINATE)
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 0 and fake.connections, "the first has the server")
    second.send(wire.query("select 2"))
    wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == 1, "the second waits for it")
    second_waits.set()
    if told:
        assert second.read_until_closed()[-1].fields["C"] == told
        assert not ran
        return
    assert second.read_until_ready(20)[1].values == [b"second"]
    assert len(ran) == 1 and len(fake.connections) == 2


def test_a_session_without_a_trace_is_reset_in_front_of_the_next_one_or_a_little_later(tidepool, postgres):
    """The next client's server is the same, and clean, whether it comes at once or not."""
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    backends = set()
    for number in range(300):
        with daemon.wire("bench") as client:
            row = client.rows("select pg_backend_pid(), current_setting('a.b', true),"
                              " (select count(*) from pg_locks where locktype = 'advisory'),"
                              " set_config('a.b', 'left', false), pg_try_advisory_lock(1)")[0]
            backends.add(row[0])
            assert row[1] in (None, "") and row[2] == "0" and row[4] == "t"
            client.terminate()
        if number % 50 == 0:
            wait_until(lambda: "pg_my_temp_schema" in daemon.backends("bench")[0]["query"], "it is reset without a next client")
    assert len(backends) == 1


def test_a_client_that_vanishes_behind_an_unclean_ones_first_request_costs_no_server(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    pids = set()
    for _ in range(100):
        with daemon.wire("bench") as client:
            pids.add(client.value("select pg_backend_pid()"))
            client.terminate()
        gone = daemon.wire("bench")
        gone.send(wire.query("select 1"))
        gone.close()
    assert len(pids) == 1


def test_servers_are_given_back_one_by_one_by_many_clients_that_come_and_vanish(daemon_of_one):
    daemon = daemon_of_one()
    for number in range(200):
        client = daemon.wire("bench")
        client.send(wire.query(f"set application_name to 'n{number}'") + wire.query("begin"))
        client.close() if number % 2 else client.terminate()
    wait_until_resting(daemon)
    holds_for(lambda: daemon.pool_stats("bench")["pool_size"] == 1, "one server", 0.1)
    with daemon.wire("bench") as client:
        assert client.status == "I" and client.value("show application_name") == ""


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_the_error_of_a_flush_with_a_body_is_not_the_next_clients(tidepool, mode):
    """It begins a batch, which has failed. What a client says behind it, up to its Sync, is ignored; so would be what the next client says."""
    daemon = tidepool(pools={"bench": {"mode": mode, "min_size": 1, "max_size": 1}})
    wrong_flush = wire.message("H", b"body")
    for _ in range(5):
        with daemon.wire("bench") as leaves, daemon.wire("bench") as stays:
            daemon.signal(signal.SIGSTOP)       # it finds what both say at once
            leaves.send(wrong_flush)
            leaves.close()
            stays.send(wire.extended("select 'mine'") + wire.SYNC)
            daemon.signal(signal.SIGCONT)
            assert [answer.type for answer in stays.read_until_ready()] == ["1", "2", "D", "C", "Z"]
    with daemon.wire("bench") as client:
        client.send(wrong_flush + wire.query("select 1") + wire.SYNC + wire.query("select 2"))
        failed, ready = client.read_until_ready()
        assert (failed.fields["C"], ready.type) == ("08P01", "Z")
        assert [answer.type for answer in client.read_until_ready()] == ["T", "D", "C", "Z"]
