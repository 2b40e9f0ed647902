"""What on_session_state, max_pinned, user_modes, statement mode and a reload do to sessions that make state. Rows of
docs/transaction-mode.md."""

import threading

import pytest
from harness import wire
from harness.sessions import differences, directly, fingerprint
from harness.shared_servers import transaction_pool
from harness.waiting import wait_until

STATE = ["listen here", "create temp table t (a int)", "select pg_advisory_lock(7)", "prepare p as select 1", "load 'plpgsql'",
         "declare c cursor with hold for select 1", "select setseed(0.5)", "select set_config('app.' || 'x', 'y', false)"]


def kinds(answers):
    return "".join(answer.type for answer in answers if answer.type not in "SN")


def errors(answers):
    return [answer.fields for answer in answers if answer.type == "E"]


def pins(daemon):
    return [pin["why"] for pin in daemon.console("show pins")]


def changed(daemon, pool="bench", **settings):
    return {**daemon.settings, "pools": {**daemon.settings["pools"], pool: {**daemon.settings["pools"][pool], **settings}}}


def reload(daemon, **settings):
    daemon.reload(changed(daemon, **settings), expect="settings reloaded")
    daemon.console("show version")          # every worker answers, behind what it is told before


# on_session_state: error


@pytest.mark.parametrize("statement", STATE)
def test_error_refuses_what_cannot_travel_with_a_hint_and_keeps_the_session(tidepool, postgres, statement):
    daemon = tidepool(pools=transaction_pool(1, on_session_state="error"))
    new = fingerprint(directly(postgres, daemon.databases["bench"]))
    session = daemon.wire("bench")
    for batch in (wire.query(statement), wire.extended(statement) + wire.SYNC, wire.extended(statement, name="named") + wire.SYNC):
        session.send(batch)
        answers = session.read_until_ready()
        assert kinds(answers) == "EZ" and session.status == "I"
        told = errors(answers)[0]
        assert told["C"] == "0A000" and "bench" in told["M"] and "on_session_state: pin" in told["H"]
    assert session.value("select 42") == "42"
    assert differences(new, fingerprint(session)) == []
    assert pins(daemon) == []


def test_error_comes_in_its_place_of_a_pipeline_and_skips_to_the_sync(tidepool):
    daemon = tidepool(pools=transaction_pool(1, on_session_state="error"))
    session = daemon.wire("bench")
    session.rows("create table t (a int)")
    session.send(wire.extended("insert into t values (1)") + wire.extended("listen here") + wire.extended("insert into t values (2)") + wire.SYNC
                 + wire.extended("select 42") + wire.SYNC + wire.query("listen here") + wire.query("select 43"))
    assert [kinds(session.read_until_ready()) for _ in range(4)] == ["12CEZ", "12DCZ", "EZ", "TDCZ"]
    assert session.value("select count(*) from t") == "0", "the batch was rolled back"


def test_error_fails_the_transaction_as_any_error_does(tidepool):
    daemon = tidepool(pools=transaction_pool(1, on_session_state="error"))
    session = daemon.wire("bench")
    session.rows("create table t (a int)")
    session.rows("begin; insert into t values (1)")
    session.rows("savepoint a")
    assert session.error("listen here")["C"] == "0A000" and session.status == "E"
    assert session.error("select 1")["C"] == "25P02"
    session.rows("rollback to a")
    session.rows("commit")
    assert session.value("select count(*) from t") == "1"


def test_under_error_settings_transactions_locks_and_prepared_statements_work(tidepool):
    daemon = tidepool(pools=transaction_pool(1, on_session_state="error"))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows("set work_mem = '7MB'; set app.x = 'y'; select pg_advisory_xact_lock(7); begin; declare c cursor for select 1; commit; notify here")
    session.send(wire.parse("select 42", "s") + wire.SYNC)
    session.read_until_ready()
    assert other.value("show work_mem") == "4MB"
    assert session.value("show work_mem") == "7MB"


@pytest.mark.parametrize("name", ["", "locks"])
@pytest.mark.parametrize("size, pieces", [(3, 1), (200_000, None)], ids=["byte by byte", "of a long parameter"])
def test_error_refuses_a_bind_that_comes_in_pieces(tidepool, name, size, pieces):
    """Parsed under another policy."""
    daemon = tidepool(pools=transaction_pool(1))
    session = daemon.wire("bench")
    session.send(wire.parse("select pg_advisory_lock(7), length($1::text)", name) + wire.SYNC)
    assert kinds(session.read_until_ready()) == "1Z"
    reload(daemon, on_session_state="error")
    session.send(wire.bind(["x" * size], name) + wire.execute() + wire.SYNC, pieces=pieces)
    answers = session.read_until_ready()
    assert kinds(answers) == "EZ" and errors(answers)[0]["C"] == "0A000"
    session.rows("")
    assert pins(daemon) == [] and session.value("select count(*) from pg_locks where locktype = 'advisory'") == "0"


def test_what_error_cannot_see_in_time_keeps_its_server(tidepool):
    daemon = tidepool(pools=transaction_pool(2, on_session_state="error"))
    session = daemon.wire("bench")
    session.rows("do $$ begin execute 'listen here'; end $$")
    session.rows("")
    assert pins(daemon) == ["LISTEN"]


# on_session_state: allow


@pytest.mark.parametrize("statement", STATE[1:4])
def test_allow_lets_state_stay_behind_as_pgbouncer_does(tidepool, statement):
    daemon = tidepool(pools=transaction_pool(1, on_session_state="allow"))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows(statement)
    assert other.value("select 42") == "42", "nobody is pinned"
    assert pins(daemon) == []


def test_under_allow_settings_follow_their_session_nevertheless(tidepool):
    daemon = tidepool(pools=transaction_pool(1, on_session_state="allow"))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows("set work_mem = '7MB'")
    assert (other.value("show work_mem"), session.value("show work_mem")) == ("4MB", "7MB")


# max_pinned


def test_one_more_than_max_pinned_is_refused_with_53400_until_another_lets_go(tidepool):
    """It waits for the pool's timeout before."""
    daemon = tidepool(pools=transaction_pool(3, max_pinned=1, timeout="300ms"))
    one, other = daemon.wire("bench"), daemon.wire("bench")
    one.rows("listen here")
    one.rows("")
    for batch in (wire.query("listen here"), wire.extended("create temp table t (a int)") + wire.SYNC):
        other.send(batch)
        answers = other.read_until_ready()
        assert kinds(answers) == "EZ" and errors(answers)[0]["C"] == "53400" and "SHOW PINS" in errors(answers)[0]["H"]
    one.rows("create temp table t (a int)")                            # who is pinned already may have more
    assert other.value("select 42") == "42"
    one.rows("unlisten *; drop table t")
    wait_until(lambda: pins(daemon) == [], "the first lets go")
    other.rows("listen here")
    other.rows("")
    assert pins(daemon) == ["LISTEN"]
    assert one.error("listen here")["C"] == "53400"
    other.terminate()
    wait_until(lambda: pins(daemon) == [], "the other has left")
    one.rows("listen here")


def test_max_pinned_leaves_a_server_to_the_others(tidepool):
    daemon = tidepool(pools=transaction_pool(3, timeout="300ms"))      # 2 by default
    clients = [daemon.wire("bench") for _ in range(3)]
    for client in clients[:2]:
        client.rows("listen here")
        client.rows("")
    assert clients[2].error("listen here")["C"] == "53400"
    assert daemon.wire("bench").value("select 42") == "42"


def keeps(client, statement="listen here"):
    client.rows(statement)
    client.rows("")
    return client


def wait_until_it_waits(daemon, count=1):
    wait_until(lambda: sum(int(row["cl_waiting"]) for row in daemon.console("show pools")) == count, f"{count} wait")


@pytest.mark.parametrize("batch", [
    wire.query("listen here"), wire.extended("listen here") + wire.SYNC, wire.query("begin; listen here; commit"),
    wire.query("declare c cursor with hold for select 1"), wire.extended("declare c cursor with hold for select 1") + wire.SYNC],
    ids=["a query", "a batch", "a transaction in one text", "a cursor", "a cursor in a batch"])
def test_who_would_be_one_more_than_max_pinned_waits_without_a_server_until_another_lets_go(tidepool, batch):
    daemon = tidepool(pools=transaction_pool(2, max_pinned=1))
    one = keeps(daemon.wire("bench"))
    others = [daemon.wire("bench") for _ in range(2)]
    for number, other in enumerate(others):
        other.send(batch)
        wait_until_it_waits(daemon, number + 1)
    assert daemon.wire("bench").value("select 42") == "42"              # they hold nothing
    one.rows("unlisten *")
    assert "E" not in kinds(others[0].read_until_ready())               # in order of arrival
    assert others[1].is_silent(0.1)
    others[0].terminate()
    assert "E" not in kinds(others[1].read_until_ready())


def test_who_waits_to_be_pinned_is_told_so_after_the_pools_timeout_and_it_is_logged(tidepool):
    daemon = tidepool(pools=transaction_pool(2, max_pinned=1, timeout="1s"))
    one = keeps(daemon.wire("bench"))
    other = daemon.wire("bench")
    other.send(wire.query("create temp table secret (a text default 'do not tell')") + wire.query("select 42"))
    answers = other.read_until_ready()
    assert kinds(answers) == "EZ" and errors(answers)[0]["C"] == "53400" and "for 1 s" in errors(answers)[0]["M"]
    assert kinds(other.read_until_ready()) == "TDCZ"
    daemon.wait_for_log(f"client={other.process_id} .*refused: 53400 the session would keep a server")
    one.close()
    assert "do not tell" not in daemon.log()


def test_who_would_be_pinned_within_a_transaction_is_refused_at_once_and_it_is_logged(tidepool):
    daemon = tidepool(pools=transaction_pool(2, max_pinned=1))
    one = keeps(daemon.wire("bench"))
    other = daemon.wire("bench")
    other.rows("begin")
    assert other.error("listen \"do not tell\"")["C"] == "53400"
    assert other.status == "E"
    daemon.wait_for_log(f"client={other.process_id} .*refused: 53400 LISTEN would keep a server")
    one.close()
    assert "do not tell" not in daemon.log()


def test_who_waits_to_be_pinned_may_be_cancelled_and_may_leave(tidepool):
    daemon = tidepool(pools=transaction_pool(2, max_pinned=1))
    one = keeps(daemon.wire("bench"))
    cancelled, leaves, stays = (daemon.wire("bench") for _ in range(3))
    for number, client in enumerate((cancelled, leaves, stays)):
        client.send(wire.query("listen here"))
        wait_until_it_waits(daemon, number + 1)
    cancelled.cancel()
    answers = cancelled.read_until_ready()
    assert kinds(answers) == "EZ" and errors(answers)[0]["C"] == "57014"
    leaves.close()
    wait_until_it_waits(daemon, 1)
    one.terminate()
    assert "E" not in kinds(stays.read_until_ready())
    assert cancelled.value("select 42") == "42"


def test_who_waits_to_be_pinned_goes_on_when_a_reload_allows_more(tidepool):
    daemon = tidepool(pools=transaction_pool(3, max_pinned=1))
    one = keeps(daemon.wire("bench"))
    others = [daemon.wire("bench") for _ in range(2)]
    for number, client in enumerate(others):
        client.send(wire.query("listen here"))
        wait_until_it_waits(daemon, number + 1)
    reload(daemon, max_pinned=3)
    for client in others:
        assert "E" not in kinds(client.read_until_ready())
    wait_until(lambda: len(pins(daemon)) == 3, "all are pinned")
    one.close()


@pytest.mark.workers
def test_cursors_with_hold_of_sixteen_threads_on_five_servers_all_work(tidepool):
    """As Django's iterator() declares them, outside transactions."""
    daemon = tidepool(pools=transaction_pool(5), workers=2)
    wrong = []

    def iterate(number):
        try:
            with daemon.connect("bench") as connection:
                for turn in range(5):
                    connection.execute(f"declare c{number} cursor with hold for select generate_series(1, 100)")
                    rows = [connection.execute(f"fetch 50 from c{number}").fetchall() for _ in range(2)]
                    assert sum(len(each) for each in rows) == 100
                    connection.execute(f"close c{number}")
        except Exception as error:
            wrong.append(f"{number}: {error!r}")

    threads = [threading.Thread(target=iterate, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_max_pinned_0_allows_none(tidepool):
    daemon = tidepool(pools=transaction_pool(2, max_pinned=0))
    session = daemon.wire("bench")
    assert session.error("listen here")["C"] == "53400"
    assert session.value("select 42") == "42"


def test_who_would_be_pinned_by_what_was_not_seen_in_time_is_sent_away_if_max_pinned_are(tidepool):
    daemon = tidepool(pools=transaction_pool(3, max_pinned=1))
    one, other = daemon.wire("bench"), daemon.wire("bench")
    one.rows("listen here")
    one.rows("")
    other.rows("do $$ begin execute 'listen here'; end $$")
    assert errors(other.read_until_closed())[0]["C"] == "53400"
    wait_until(lambda: len(daemon.backends("bench")) == 2, "two servers")
    with daemon.wire("bench") as after:
        assert after.value("select count(*) from pg_listening_channels()") == "0"


def test_two_that_pin_at_the_same_moment_are_not_more_than_max_pinned(tidepool):
    daemon = tidepool(pools=transaction_pool(4, max_pinned=1))
    clients = [daemon.wire("bench") for _ in range(3)]
    for client in clients:
        client.rows("begin")
    for client in clients:
        client.send(wire.query("listen here"))
    assert sorted(kinds(client.read_until_ready()) for client in clients) == ["CZ", "EZ", "EZ"]
    for client in clients:
        client.send(wire.query("commit"))
    wait_until(lambda: pins(daemon) == ["LISTEN"], "one of them is pinned")
    assert len(daemon.console("show pins")) == 1


# user_modes


@pytest.fixture
def mixed(tidepool, new_postgres):
    """Users of session and of transaction mode on one server."""
    server = new_postgres()
    server.create_role("report")
    return tidepool(server=server, pools={"bench": {**transaction_pool(1)["bench"], "users": ["app", "report"], "user_modes": {"report": "session"}}}), server


def test_a_user_of_session_mode_keeps_its_server_until_it_leaves(mixed):
    daemon, _ = mixed
    report, app = daemon.wire("bench", user="report"), daemon.wire("bench")
    pid = report.value("select pg_backend_pid()")
    report.rows("listen here; prepare own as select 1")
    app.send(wire.query("select pg_backend_pid()"))
    assert app.is_silent(0.2), "it waits"
    assert pins(daemon) == [], "in session mode nobody is pinned"
    report.terminate()
    assert app.read_until_ready()[1].values[0].decode() == pid


def test_no_state_crosses_between_users_of_session_and_transaction_mode(mixed):
    daemon, server = mixed
    new = fingerprint(directly(server, daemon.databases["bench"]))
    app = daemon.wire("bench")
    for turn in range(3):
        app.rows(f"set work_mem = '7MB'; set app.x = '{turn}'; set timezone = 'Asia/Tokyo'")
        app.send(wire.parse("select 42", f"s{turn}") + wire.SYNC)
        app.read_until_ready()
        report = daemon.wire("bench", user="report")
        seen = fingerprint(report)
        assert differences(new, seen) == [], turn
        report.rows("set work_mem = '9MB'; set search_path = 'elsewhere'; create temp table mine (a int); prepare p as select 1")
        report.terminate() if turn % 2 else report.close()
        assert app.rows("show work_mem; show timezone; show search_path") == [["7MB"], ["Asia/Tokyo"], ['"$user", public']]
        app.send(wire.bind((), "s0") + wire.execute() + wire.SYNC)
        assert kinds(app.read_until_ready()) == "2DCZ"
        assert app.error("select * from mine")["C"] == "42P01"


# Statement mode


def statement_pool(size=1, **settings):
    return {"bench": {"min_size": 0, "max_size": size, "mode": "statement", **settings}}


@pytest.mark.parametrize("begin", ["begin", "start transaction", "begin isolation level serializable", "select 1; begin", "commit and chain"])
def test_statement_mode_refuses_transaction_blocks_and_keeps_the_session(tidepool, begin):
    daemon = tidepool(pools=statement_pool())
    session = daemon.wire("bench")
    for batch in (wire.query(begin), wire.extended(begin) + wire.SYNC):
        session.send(batch)
        answers = session.read_until_ready()
        assert kinds(answers) == "EZ" and session.status == "I"
        assert errors(answers)[0]["C"] == "0A000" and "transaction mode" in errors(answers)[0]["H"]
    assert session.value("select 42") == "42"


def test_in_statement_mode_statements_settings_and_state_are_as_in_transaction_mode(tidepool):
    daemon = tidepool(pools=statement_pool(2))
    session, other = daemon.wire("bench"), daemon.wire("bench")
    session.rows("set work_mem = '7MB'; listen here")
    session.rows("")
    assert pins(daemon) == ["LISTEN"]
    assert (other.value("show work_mem"), session.value("show work_mem")) == ("4MB", "7MB")
    session.rows("unlisten *")
    session.rows("create table t (a int); insert into t values (1); insert into t select 1/a - 1 from t")
    assert session.error("insert into t values (5); select 1/0")["C"] == "22012"
    assert session.value("select count(*) from t") == "2", "several statements in one text are one transaction"
    session.rows("do $$ begin update t set a = 3; end $$")


def test_a_transaction_block_that_was_not_seen_in_time_ends_the_session(tidepool):
    """One that is longer than what is read of a text."""
    daemon = tidepool(pools=statement_pool())
    session = daemon.wire("bench")
    session.rows("create table t (a int)")
    session.send(wire.query(f"select length('{'x' * 100_000}'); begin; insert into t values (1)"))
    assert errors(session.read_until_closed())[-1]["C"] == "0A000"
    assert daemon.wire("bench").value("select count(*) from t") == "0"


# Reload


def test_a_session_gets_the_new_mode_with_its_next_server(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, "mode": "session"}})
    idle, holder = daemon.wire("bench"), daemon.wire("bench")
    holder.rows("set work_mem = '7MB'")
    reload(daemon, mode="transaction")
    idle.send(wire.query("select 42"))
    assert idle.is_silent(0.2), "who has a server in session mode keeps it"
    assert holder.value("show work_mem") == "7MB"
    holder.terminate()
    assert kinds(idle.read_until_ready()) == "TDCZ"
    other = daemon.wire("bench")
    assert other.value("show work_mem") == "4MB"
    assert idle.value("select 43") == "43", "both share it"
    reload(daemon, mode="session")
    assert idle.value("select pg_backend_pid()")
    other.send(wire.query("select 44"))
    assert other.is_silent(0.2), "now the first keeps it"
    idle.terminate()
    assert kinds(other.read_until_ready()) == "TDCZ"


def test_from_transaction_to_session_mode_a_session_takes_its_settings_and_statements_along(tidepool):
    daemon = tidepool(pools=transaction_pool(1))
    session = daemon.wire("bench")
    session.rows("set work_mem = '7MB'; set app.x = 'mine'")
    session.send(wire.parse("select 42", "s") + wire.SYNC)
    session.read_until_ready()
    other = daemon.wire("bench")
    assert other.value("show work_mem") == "4MB"
    reload(daemon, mode="session")
    assert session.rows("show work_mem; show app.x") == [["7MB"], ["mine"]]
    session.send(wire.bind((), "s") + wire.execute() + wire.SYNC)
    assert kinds(session.read_until_ready()) == "2DCZ"
    session.rows("listen here")
    session.terminate()
    assert other.value("select count(*) from pg_listening_channels()") == "0"


def test_a_reload_to_statement_mode_lets_a_transaction_finish(tidepool):
    daemon = tidepool(pools=transaction_pool(1))
    session = daemon.wire("bench")
    session.rows("create table t (a int)")
    session.rows("begin; insert into t values (1)")
    reload(daemon, mode="statement")
    session.rows("insert into t values (2)")
    session.rows("commit")
    assert session.value("select count(*) from t") == "2"
    assert session.error("begin")["C"] == "0A000"


def test_max_pinned_and_on_session_state_change_for_who_is_in(tidepool):
    daemon = tidepool(pools=transaction_pool(3, max_pinned=1, timeout="300ms"))
    one, other = daemon.wire("bench"), daemon.wire("bench")
    one.rows("listen here")
    one.rows("")
    assert other.error("listen here")["C"] == "53400"
    reload(daemon, max_pinned=2)
    other.rows("listen here")
    other.rows("")
    reload(daemon, max_pinned=1)
    assert one.value("select 42") == other.value("select 42") == "42"
    assert len(pins(daemon)) == 2, "who is pinned stays so"
    reload(daemon, on_session_state="error")
    assert one.error("listen there")["C"] == "0A000"
    assert one.value("select count(*) from pg_listening_channels()") == "1"
    one.rows("unlisten *")
    one.rows("")
    assert len(pins(daemon)) == 1
    reload(daemon, on_session_state="allow")
    one.rows("listen here")
    one.rows("")
    assert len(pins(daemon)) == 1


@pytest.mark.workers
def test_more_clients_that_pin_than_may_all_have_their_turn_beside_others(tidepool):
    """Who waits for a server, not for a place, may find the last place taken when it gets one."""
    daemon = tidepool(pools=transaction_pool(3, max_pinned=2, timeout="60s"), workers=2)
    heard = []

    def say(*texts):
        client = daemon.wire("bench")
        for text in texts * 20:
            client.send(wire.query(text))
            heard.append([answer.fields["C"] for answer in client.read_until_ready() if answer.type == "E"])
        client.terminate()
    threads = [threading.Thread(target=say, args=("listen a", "select 1", "unlisten *", "select 2") if number < 12 else ("select 3",)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(heard) == 20 * (12 * 4 + 4) and not any(heard)
