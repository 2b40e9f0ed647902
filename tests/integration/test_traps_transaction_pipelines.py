"""Bugs that poolers had with the extended protocol and pipelines in transaction mode (5.4). The numbers are those of docs/tests.md, "Traps"."""

import pytest
from harness import wire
from harness.conformance import Conversations, turns
from harness.cutting_proxy import also_cut
from harness.waiting import wait_until
from harness.wire import FLUSH, SYNC, bind, close, describe, execute, extended, parse, query


@pytest.fixture
def both(tidepool, postgres):
    return Conversations(tidepool, postgres, "transaction", 1)


@pytest.fixture
def pair(tidepool):
    daemon = tidepool(pools={"bench": {"mode": "transaction", "min_size": 1, "max_size": 1, "timeout": "60s"}})
    return daemon.wire("bench"), daemon.wire("bench")


@also_cut
def test_trap_5_4_a_flush_is_answered_and_keeps_the_server_until_the_sync(pair):
    client, other = pair
    client.send(parse("select generate_series(1, 5)", "s") + describe("S", "s") + FLUSH)
    assert [answer.type for answer in client.read_until("T")] == ["1", "t", "T"]
    client.send(bind((), "s", "p") + FLUSH)
    client.read_until("2")
    other.send(query("select 'other'"))
    assert other.is_silent(0.3)
    for _ in range(2):
        client.send(execute("p", 2) + FLUSH)
        assert [answer.type for answer in client.read_until("s")] == ["D", "D", "s"]
    client.send(execute("p", 2) + SYNC)
    assert [answer.type for answer in client.read_until_ready()] == ["D", "C", "Z"]
    assert [answer.type for answer in other.read_until_ready()] == ["T", "D", "C", "Z"]


def test_trap_5_4_a_portal_lives_as_long_as_its_transaction(both):
    both.compare(turns(query("begin"), parse("select generate_series(1, 9)") + bind(portal="p") + execute("p", 2) + SYNC, execute("p", 3) + SYNC, query("select 1"),
                       execute("p", 0) + SYNC, query("commit"), execute("p") + SYNC))


def test_trap_5_4_one_ReadyForQuery_for_each_sync_and_none_before(pair):
    client, _ = pair
    client.send(extended("select 1") + FLUSH)
    client.read_until("C")
    assert client.is_silent(0.1)
    client.send(SYNC * 3)
    for _ in range(3):
        assert [answer.type for answer in client.read_until_ready()] == ["Z"]
    assert client.is_silent(0.05)


def test_trap_5_4_after_an_error_nothing_is_expected_up_to_the_sync(both):
    """Parse, Bind, Describe, Close of names that are known, unknown, and prepared by us, behind an error."""
    behind = (parse("select 2", "new") + bind((), "new") + describe("S", "known") + close("S", "known") + bind((), "known") + execute() + describe("P", "nothing")
              + close("P", "nothing") + close("S", "nothing"))
    both.compare(turns(parse("select 1", "known") + SYNC, extended("select 1/0") + behind + SYNC, bind((), "known") + execute() + SYNC, bind((), "new") + execute() + SYNC,
                       (bind((), "nothing") + behind + SYNC + bind((), "known") + execute() + SYNC, 2), (parse("no SQL", "new") + behind + SYNC + extended("select 3") + SYNC, 2)))


@pytest.mark.parametrize("text", ["deallocate all", "discard all", "deallocate s"])
def test_trap_5_4_a_pipelined_DEALLOCATE_does_not_make_a_later_parse_vanish(both, text):
    if text != "discard all":               # which cannot run in a batch with others
        both.compare(turns(parse("select 'old'", "s") + extended(text) + parse("select 'new'", "s") + bind((), "s") + execute() + SYNC, bind((), "s") + execute() + SYNC))
    both.compare(turns((parse("select 'old'", "s") + SYNC + extended(text) + SYNC + parse("select 'new'", "s") + SYNC + bind((), "s") + execute() + SYNC, 4),
                       bind((), "s") + execute() + SYNC))
    both.compare(turns((query(text.replace(" s", " nothing")) + parse("select 'new'", "s") + SYNC + query(text) + bind((), "s") + execute() + SYNC, 4)))


def test_trap_5_4_a_batch_of_closes_is_answered_in_its_order(both):
    both.compare(turns(parse("select 1", "a") + parse("select 2", "b") + SYNC,
                       close("S", "a") + bind((), "b") + close("S", "nothing") + execute() + close("S", "b") + close("P", "") + parse("select 3", "a") + close("S", "a") + SYNC,
                       (close("S", "a") * 5 + SYNC + SYNC + close("S", "b") + SYNC, 3), query("select 'in step'")))


def test_trap_5_4_unknown_and_live_names_are_answered_as_postgresql_does(both):
    both.compare(turns(bind((), "nothing") + SYNC, describe("S", "nothing") + SYNC, close("S", "nothing") + SYNC, parse("select 1", "s") + SYNC, parse("select 2", "s") + SYNC,
                       parse("select 1", "s") + SYNC, bind((), "s") + execute() + SYNC, bind(["1"], "s") + SYNC, parse("select 1") + parse("select 2") + bind() + execute() + SYNC))


def test_trap_5_4_a_failed_parse_of_the_unnamed_statement_destroys_the_old_one(both):
    both.compare(turns(parse("select 'old'") + SYNC, parse("no SQL") + SYNC, bind() + execute() + SYNC, (parse("select 1") + SYNC + parse("no SQL") + SYNC + bind() + SYNC, 3),
                       (extended("select nothing") + SYNC + parse("select 4", "y") + SYNC + extended("select 3") + SYNC, 3)))


def test_trap_5_4_no_sync_of_ours_commits_half_a_batch(both):
    """A statement is prepared on a second server in the middle of the client's batch."""
    both.compare(turns(parse("insert into log values ($1::int)", "i") + SYNC, query("select 1"),
                       extended("insert into log values (1)") + bind(["2"], "i") + execute() + extended("select 1/0") + SYNC, query("select count(*) from log"),
                       bind(["3"], "i") + execute() + parse("select count(*) from log", "c") + bind((), "c") + execute() + extended("select 1/0") + SYNC,
                       query("select count(*) from log")))


def test_trap_5_4_an_error_reaches_the_client_that_has_not_said_sync(pair):
    client, _ = pair
    client.send(parse("select 1", "s") + bind((), "s") + execute() + extended("select 1/0") + FLUSH)
    assert [answer.type for answer in client.read_until("E")] == ["1", "2", "D", "C", "1", "E"]
    client.send(SYNC)
    assert [answer.type for answer in client.read_until_ready()] == ["Z"]


def test_trap_5_4_BEGIN_and_a_statement_in_one_batch(both):
    """As JDBC does without autocommit: unnamed BEGIN, then the statement, described."""
    def jdbc(sql, name=""):
        return extended("BEGIN") + parse(sql, name) + bind((), name) + describe() + execute() + SYNC
    both.compare(turns(jdbc("select 1 as a"), extended("COMMIT") + SYNC, jdbc("insert into log values (1) returning a", "S_1"), extended("ROLLBACK") + SYNC,
                       extended("BEGIN") + bind((), "S_1") + describe() + execute() + SYNC, extended("COMMIT") + SYNC, query("select count(*) from log")))


def test_trap_5_4_names_of_sql_and_of_the_protocol_are_one_space(tidepool, postgres):
    """What SQL prepares keeps its server: the other client has a second one."""
    both = Conversations(tidepool, postgres, "transaction", 2)
    both.compare(turns(parse("select 'protocol'", "s") + SYNC, query("execute s"), query("deallocate s"), query("prepare s as select 'sql'"),
                       parse("select 'protocol'", "s") + SYNC, bind((), "s") + execute() + SYNC, query("execute s"), close("S", "s") + SYNC, query("execute s")))


@also_cut
def test_trap_5_4_a_statement_survives_its_servers(tidepool):
    daemon = tidepool(pools={"bench": {"mode": "transaction", "min_size": 0, "max_size": 2, "timeout": "60s"}})
    client = daemon.wire("bench")
    client.send(parse("select $1::text", "s") + SYNC)
    client.read_until_ready()
    for turn in range(3):
        daemon.console("RECONNECT bench")
        client.send(bind([turn], "s") + execute() + SYNC)
        assert [answer.type for answer in client.read_until_ready()] == ["2", "D", "C", "Z"]


def test_trap_5_4_the_same_text_with_other_types_is_another_statement(both):
    both.compare(turns(parse("select $1", "a", [23]) + SYNC, parse("select $1", "b", [25]) + SYNC, *[describe("S", name) + bind(["7"], name) + describe() + execute() + SYNC for name in "abab"],
                       bind(["x"], "b") + execute() + SYNC, bind(["x"], "a") + execute() + SYNC))


def test_trap_5_4_a_prepare_does_not_keep_the_server(tidepool):
    daemon = tidepool(pools={"bench": {"mode": "transaction", "min_size": 1, "max_size": 1, "timeout": "60s"}})
    clients = [daemon.wire("bench") for _ in range(4)]
    for client in clients:
        client.send(parse("select 1", "s") + SYNC)
        client.read_until_ready()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 1, "the server rests")
    assert daemon.console("SHOW PINS") == []


def test_trap_5_4_one_NegotiateProtocolVersion(tidepool):
    daemon = tidepool(pools={"bench": {"mode": "transaction", "min_size": 0, "max_size": 1}})
    with wire.WireClient(daemon.socket_path) as client:
        client.send(wire.startup(3 << 16 | 9999, user="app", database="bench", **{"_pq_.unknown": "x"}))
        assert [answer.type for answer in client.finish_login()].count("v") == 1
        assert client.value("select 1") == "1"
