"""The relay against a direct connection: the same bytes get the same answers, byte for byte, whether all are sent in one
write or each in a write of its own."""

import struct
import threading

import pytest
from harness import wire
from harness.cutting_proxy import also_cut, only_cut
from harness.sessions import backend_of, conversation, directly
from harness.waiting import wait_until
from harness.wire import (COPY_DONE, FLUSH, SYNC, bind, close, copy_data, copy_fail, describe, execute,
                          extended, message, parse, query)

PREPARE = "create table t(a int primary key, b text); create table log(a int)"
CLEAN = "truncate t, log"

SELECT_1 = extended("select 1") + SYNC
BAD = extended("select 1/0")
EACH_TYPE = "".join(chr(code) for code in range(32, 127))           # payloads made of message types


def function_call(oid, *arguments):
    body = struct.pack("!IHH", oid, 0, len(arguments))
    for argument in arguments:
        body += struct.pack("!i", len(argument)) + argument
    return message("F", body + struct.pack("!H", 0))


def bind_binary(value):
    """One value and all results binary."""
    return message("B", b"\0\0" + struct.pack("!HHH", 1, 1, 1) + struct.pack("!i", len(value)) + value
                   + struct.pack("!HH", 1, 1))


LOOKS_LIKE_READY = b"Z\0\0\0\5IE\0\0\0\4Z\0\0\0\5T" * 50

# name: (bytes, ReadyForQuery messages that will come)
SIMPLE = {
    "a query": (query("select 1 as a, null, 'x'"), 1),
    "several statements": (query("select 1; select 2; insert into t values (1, 'one'); select 3"), 1),
    "an empty query": (query(""), 1),
    "spaces and a comment": (query("  -- nothing\n ;;  "), 1),
    "a syntax error": (query("no SQL"), 1),
    "an error between statements": (query("insert into t values (1); select 1/0; insert into t values (2)"), 1),
    "queries in one write": (query("select 1") * 20, 20),
    "an error between queries": (query("select 1") + query("select 1/0") + query("select 2"), 3),
    "a transaction": (query("begin") + query("insert into t values (1)") + query("select 1/0") + query("select 2")
                      + query("commit") + query("select count(*) from t"), 6),
    "an unknown statement": (query("execute nothing") + query("deallocate nothing"), 2),
    "prepared by SQL": (query("prepare p(int) as select $1 + 1") + query("execute p(41)") + query("deallocate p"), 3),
    "a cursor": (query("begin; declare c cursor for select generate_series(1, 9); fetch 3 from c; commit"), 1),
    "a notice": (query("do $$ begin raise notice 'first'; raise warning 'second'; end $$"), 1),
    "many notices": (query("do $$ begin for i in 1..2000 loop raise notice 'number %', i; end loop; end $$"), 1),
    "an error with everything": (query("do $$ begin raise exception 'words' using errcode = 'P0042', detail = 'd',"
                                       " hint = 'h', table = 't', column = 'c', constraint = 'x'; end $$"), 1),
    "ParameterStatus": (query("set timezone to 'Asia/Tokyo'") + query("set datestyle to 'German'")
                        + query("set application_name to 'n'") + query("reset all"), 4),
    "ParameterStatus rolled back": (query("begin") + query("set timezone to 'Asia/Tokyo'") + query("rollback"), 3),
    "SET LOCAL": (query("begin; set local timezone to 'Asia/Tokyo'") + query("commit") + query("show timezone"), 3),
    "payloads of Z": (query("select repeat('Z', 300000), repeat('E', 70000) from generate_series(1, 3)"), 1),
    "payloads of all types": (query(f"select $a${EACH_TYPE}$a$ from generate_series(1, 1000)"), 1),
    "a long query": (query("select length('" + "Z" * 200_000 + "')"), 1),
    "rows of many sizes": (query("select repeat('x', i * 37 % 9001) from generate_series(1, 700) i"), 1),
}
EXTENDED = {
    "a batch": (parse("select $1::int + 1") + bind([41]) + describe() + execute() + SYNC, 1),
    "a Sync alone": (SYNC * 3, 3),
    "a named statement": (parse("select $1", "s") + describe("S", "s") + SYNC + bind(["x"], "s") + execute() + SYNC
                          + close("S", "s") + SYNC, 3),
    "an empty statement": (extended("") + SYNC, 1),
    "no result": (parse("insert into t values (1)") + bind() + describe() + execute() + SYNC, 1),
    "a portal in portions": (query("begin") + parse("select generate_series(1, 7)") + bind(portal="p")
                             + execute("p", 3) + execute("p", 3) + execute("p", 3) + close("P", "p") + SYNC, 2),
    "N batches and one Sync": (extended("insert into log values (1)") * 10 + SYNC, 1),
    "N Syncs without reading": (SELECT_1 * 50, 50),
    "Syncs behind Syncs": ((SELECT_1 + SYNC + SYNC) * 5, 15),
    "Flush between": (parse("select 1") + FLUSH + bind() + FLUSH + FLUSH + execute() + FLUSH + SYNC, 1),
    "Sync behind Flush": (extended("select 1") + FLUSH + SYNC + FLUSH + SELECT_1, 2),
    "an error in the middle": (SELECT_1 + extended("insert into log values (1)") + BAD
                               + extended("insert into log values (2)") + SYNC + SELECT_1, 3),
    "two errors": ((BAD + SYNC) * 2 + SELECT_1, 3),
    "two errors in one batch": (BAD + parse("no SQL") + SYNC, 1),
    "an error and Flush": (BAD + FLUSH + extended("select 2") + FLUSH + SYNC + SELECT_1, 2),
    "a query in a failed batch is skipped": (BAD + query("insert into log values (1)") + SYNC + SELECT_1, 2),
    "a query behind a batch without Sync": (extended("select 1") + query("select 2") + SELECT_1, 2),
    "queries and batches mixed": ((query("select 1") + SELECT_1) * 20, 40),
    "Parse of a live name": (parse("select 1", "s") + parse("select 2", "s") + SYNC + SELECT_1, 2),
    "Bind of an unknown name": (bind(statement="nothing") + execute() + SYNC + SELECT_1, 2),
    "Describe of an unknown name": (describe("S", "nothing") + SYNC + describe("P", "nothing") + SYNC, 2),
    "Close of an unknown name": (close("S", "nothing") + close("P", "nothing") + SYNC, 1),
    "Execute of an unknown portal": (execute("nothing") + SYNC, 1),
    "the unnamed statement anew": ((parse("select 1") + parse("select 2") + bind() + execute() + SYNC), 1),
    "DEALLOCATE ALL in a pipeline": (parse("select 1", "s") + extended("deallocate all") + parse("select 2", "s")
                                     + bind(statement="s") + execute() + SYNC, 1),
    "DISCARD ALL in a pipeline": (parse("select 1", "s") + SYNC + extended("discard all") + SYNC
                                  + bind(statement="s") + SYNC, 3),
    "wrong parameters": (parse("select $1::int") + bind(["x"]) + execute() + SYNC + bind(["1", "2"]) + SYNC, 2),
    "binary values that look like messages": (parse("select $1::bytea", "", [17]) + bind_binary(LOOKS_LIKE_READY)
                                              + execute() + SYNC, 1),
    "a transaction of batches": (extended("begin") + SYNC + extended("insert into log values (1)") + SYNC + BAD + SYNC
                                 + extended("select 1") + SYNC + extended("rollback") + SYNC, 5),
    "BEGIN in a batch": (extended("begin") + extended("insert into log values (1)") + extended("commit") + SYNC, 1),
    "function calls": (function_call(177, b"40", b"2") + function_call(177, b"40") + function_call(1), 3),
    "function calls among others": (SELECT_1 + function_call(177, b"40", b"2") + query("select 1"), 3),
    "a message of wrong content": (message("B", b"\0\0\0") + SYNC + SELECT_1, 2),
    "a Parse of wrong content": (message("P", b"x") + SYNC + SELECT_1, 2),
}
COPY_IN, COPY_3 = query("copy t from stdin"), extended("copy t from stdin")
ROWS = copy_data("1\tone\n") + copy_data("2\ttwo\n")
COPY = {
    "in": (COPY_IN + ROWS + COPY_DONE, 1),
    "in, rows cut anywhere": (COPY_IN + copy_data("1\to") + copy_data("ne\n2\tt") + copy_data("wo\n") + COPY_DONE, 1),
    "in, empty": (COPY_IN + COPY_DONE, 1),
    "in, then queries": (COPY_IN + ROWS + COPY_DONE + query("select * from t") + SELECT_1, 3),
    "in, twice in one query": (query("copy t from stdin; copy log from stdin") + ROWS + COPY_DONE
                               + copy_data("7\n") + COPY_DONE + query("table log"), 2),
    "in, failed by the client": (COPY_IN + ROWS + copy_fail() + query("select count(*) from t"), 2),
    "in, failed by its first row, late data": (COPY_IN + copy_data("x\n") + ROWS * 100 + COPY_DONE
                                               + query("select count(*) from t"), 2),
    "in, failed, late CopyFail": (COPY_IN + copy_data("x\n") + ROWS + copy_fail() + query("select 1"), 2),
    "in, no such table": (query("copy nothing from stdin") + ROWS + COPY_DONE + query("select 1"), 2),
    "in, in a transaction": (query("begin") + COPY_IN + ROWS + COPY_DONE + query("commit") + query("table t"), 4),
    "in, failed in a transaction": (query("begin") + COPY_IN + copy_data("x\n") + ROWS + COPY_DONE + query("rollback"), 3),
    "in, with Flush and Sync inside": (COPY_IN + ROWS + FLUSH + SYNC + ROWS.replace(b"1\t", b"3\t").replace(b"2\t", b"4\t")
                                       + COPY_DONE + query("table t"), 2),
    "extended in": (COPY_3 + ROWS + COPY_DONE + SYNC, 1),
    "extended in, then batches": (COPY_3 + ROWS + COPY_DONE + SYNC + SELECT_1 + extended("table t") + SYNC, 3),
    "extended in, failed by the client": (COPY_3 + ROWS + copy_fail() + SYNC + SELECT_1, 2),
    "extended in, failed by its first row": (COPY_3 + copy_data("x\n") + ROWS * 100 + COPY_DONE + SYNC + SELECT_1, 2),
    "extended in, no such table": (extended("copy nothing from stdin") + ROWS + COPY_DONE + SYNC + SELECT_1, 2),
    "extended in, Sync inside is ignored": (COPY_3 + SYNC + ROWS + COPY_DONE + SYNC + SELECT_1, 2),
    "extended in, Sync inside, a failure": (COPY_3 + SYNC + ROWS + copy_fail() + SYNC + SELECT_1, 2),
    "out": (query("copy (select generate_series(1, 1000), repeat('Z', 100)) to stdout"), 1),
    "out, failed": (query("copy (select 10 / (5 - i) from generate_series(1, 9) i) to stdout"), 1),
    "out, extended": (extended("copy (select 1) to stdout") + SYNC + SELECT_1, 2),
    "out, binary": (query("copy (select decode(repeat('5a0000000549', 99), 'hex')) to stdout (format binary)"), 1),
    "late CopyData without any COPY": (query("select 1") + ROWS + COPY_DONE + copy_fail() + query("select 2"), 2),
}
@pytest.fixture
def both(tidepool, postgres):
    """both(data, ready): the answers of PostgreSQL itself and through the pool. One database, cleaned in between."""
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}})
    database = daemon.databases["bench"]
    with directly(postgres, database) as owner:
        owner.ask(PREPARE)

        def compare(data, ready=1, pieces=None, closes=False):
            answers = []
            for connect in (compare.connect_directly, compare.connect_through_the_pool):
                compare.clean()
                with connect() as client:
                    answers.append(conversation(client, data, ready, pieces, closes))
                    if not closes:
                        assert client.is_silent(0.02)
                        client.terminate()
            return answers
        compare.daemon = daemon
        compare.clean = lambda: owner.ask(CLEAN)
        compare.connect_directly = lambda: directly(postgres, database)
        compare.connect_through_the_pool = lambda: daemon.wire("bench")
        yield compare


# How the bytes reach the daemon: all in one write, each in its own, or cut at places that fit nothing.
PIECES = {"one write": None, "byte by byte": 1, "in sevens": 7}


def compare_all(both, conversations, pieces):
    wrong = {}
    for name, (data, ready) in conversations.items():
        if len(data) > 100_000 and pieces is not None:
            pieces = 1013                                   # bytes a write: the kernel's time is not ours to test
        try:
            direct, pooled = both(data, ready, pieces)
        except Exception as error:
            wrong[name] = repr(error)
            continue
        if direct != pooled:
            at = next(i for i in range(max(len(direct), len(pooled))) if direct[i:i + 1] != pooled[i:i + 1])
            wrong[name] = f"answer {at}: {pooled[at:at + 3]} instead of {direct[at:at + 3]}"[:1000]
    return wrong


@pytest.mark.timeout(120)
@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("conversations", [SIMPLE, EXTENDED, COPY], ids=["simple", "extended", "COPY"])
def test_the_same_bytes_get_the_same_answers_as_from_postgresql_itself(both, conversations, pieces):
    assert compare_all(both, conversations, pieces) == {}


@only_cut
@pytest.mark.timeout(120)
@pytest.mark.parametrize("conversations", [SIMPLE, EXTENDED, COPY], ids=["simple", "extended", "COPY"])
def test_the_same_bytes_get_the_same_answers_however_they_are_cut_and_delayed_on_both_sides(both, conversations):
    assert compare_all(both, conversations, None) == {}


@pytest.mark.timeout(120)
@also_cut
def test_all_conversations_one_behind_the_other_in_one_session(both):
    rounds = b"".join(data for table in (SIMPLE, EXTENDED) for data, _ in table.values())
    end = SYNC + query("rollback") + query("terminate nothing; I am the end")
    answers = []
    for connect in (both.connect_directly, both.connect_through_the_pool):
        both.clean()
        with connect() as client:
            threading.Thread(target=client.send, args=[rounds + end], daemon=True).start()
            said = []
            while not said or said[-1].type != "E" or "terminate" not in said[-1].fields["M"]:
                said.append(client.read())
            said.append(client.read())
            answers.append([(answer.type, answer.body) for answer in said])
    assert [kind for kind, _ in answers[0]] == [kind for kind, _ in answers[1]]
    assert answers[0] == answers[1]


@also_cut
def test_a_fatal_error_of_the_server_is_the_last_that_its_client_hears(both):
    direct, pooled = both(query("select pg_terminate_backend(pg_backend_pid())"), closes=True)
    assert direct == pooled
    assert direct[-1][0] == "E"


def test_copy_both_is_refused_as_replication_is(tidepool):
    daemon = tidepool()
    with pytest.raises(wire.LoginFailed) as refused:
        daemon.wire("bench", replication="database")
    assert refused.value.sqlstate == "0A000"


@also_cut
def test_the_greeting_tells_what_a_direct_connection_tells(tidepool, postgres):
    daemon = tidepool()
    for startup in ({}, {"application_name": "me"}, {"client_encoding": "latin1", "DateStyle": "german"},
                    {"TimeZone": "utc", "options": "-c intervalstyle=iso_8601 -c standard_conforming_strings=off"}):
        with directly(postgres, daemon.databases["bench"], **startup) as direct, \
                daemon.wire("bench", **startup) as pooled:
            assert pooled.parameters == direct.parameters


@also_cut
def test_a_listening_client_hears_of_a_notification_at_once_and_idle(both):
    daemon = both.daemon
    listener = daemon.wire("bench")
    listener.ask("listen news")
    own = listener.ask("notify news, 'my own'")
    assert [answer.type for answer in own] == ["C", "A", "Z"]
    assert own[1].body == struct.pack("!I", listener.process_id) + b"news\0my own\0"
    for number in range(10):
        with both.connect_directly() as other:
            other.ask(f"notify news, '{number}'")
            assert listener.read().body[4:] == f"news\0{number}\0".encode()


@pytest.mark.parametrize("bad", {
    "an unknown type": message("y", b"nobody knows me"), "a type that is no letter": b"\0\0\0\0\4",
    "a length below four": b"Q\0\0\0\3", "a negative length": b"Q\xff\xff\xff\xff", "a huge Sync": b"S\0\1\0\0",
    "a password now": message("p", b"secret\0"), "a Query that is too long": b"Q\x40\0\0\4"}.items(),
    ids=lambda item: item[0])
@pytest.mark.parametrize("behind", {"nothing": b"", "a query": query("select 1"), "a batch": extended("select 1"),
                                    "a transaction": query("begin; insert into log values (1)"),
                                    "a COPY": COPY_IN + ROWS}.items(), ids=lambda item: item[0])
def test_what_is_no_message_costs_its_client_and_the_server_is_reused_cleanly(both, bad, behind):
    daemon = both.daemon
    first = daemon.wire("bench")
    server = backend_of(first)
    first.send(behind[1] + bad[1])
    answers = first.read_until_closed()
    assert answers[-1].type == "E" and answers[-1].fields["S"] == "FATAL" and answers[-1].fields["C"] == "08P01"
    following = daemon.wire("bench")
    assert backend_of(following) == server
    assert following.value("select count(*) from log") == "0" and following.value("select count(*) from t") == "0"
    wait_until(lambda: daemon.pool_stats("bench")["pool_size"] == 1, "one server")
