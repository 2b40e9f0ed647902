"""Pipelines (1 of the conformance list), in every mode: the same bytes get the same answers as from PostgreSQL itself."""

import pytest
from harness import wire
from harness.conformance import Conversations, each_way, every_mode, pool_sizes, turns, values
from harness.sessions import directly
from harness.waiting import wait_until
from harness.wire import FLUSH, SYNC, bind, describe, execute, extended, parse, query

SELECT_1 = extended("select 1") + SYNC
BAD = extended("select 1/0")


def insert(n):
    return extended("insert into log values ($1::int) returning a", [n])


PIPELINES = {
    "N batches and one Sync": turns(b"".join(map(insert, range(20))) + SYNC, query("select count(*) from log")),
    "N batches with a Sync each": turns((b"".join(insert(n) + SYNC for n in range(20)), 20), query("select count(*) from log")),
    "N Syncs without reading": turns((SYNC * 30, 30), (SELECT_1 * 30, 30)),
    "Flush between": turns(parse("select 1") + FLUSH + bind() + FLUSH + FLUSH + describe() + execute() + FLUSH + SYNC, (FLUSH + SYNC + FLUSH + SELECT_1, 2)),
    "an error in the middle": turns((insert(1) + SYNC + insert(2) + BAD + insert(3) + SYNC + insert(4) + SYNC, 3), query("select a from log order by a")),
    "an error in the middle of one batch": turns(insert(1) + BAD + insert(2) + SYNC, query("select count(*) from log")),
    "two errors": turns(((BAD + SYNC) * 2 + SELECT_1, 3), BAD + parse("no SQL") + SYNC),
    "errors of the protocol": turns((bind((), "nothing") + SYNC + execute("nothing") + SYNC + SELECT_1, 3)),
    "Sync behind Flush": turns((extended("select 1") + FLUSH + SYNC + SYNC + SELECT_1, 3)),
    "an error and Flush": turns((BAD + FLUSH + insert(1) + FLUSH + SYNC + SELECT_1, 2), query("select count(*) from log")),
    "queries among batches": turns(((query("select 1") + SELECT_1 + query("select 1/0") + BAD + SYNC) * 5, 20)),
    "a query in an open batch": turns((insert(1) + query("select 2") + SELECT_1, 2), (BAD + query("insert into log values (9)") + SYNC, 1),
                                      query("select a from log order by a")),
    "settings in a pipeline": turns((extended("set timezone to 'Asia/Tokyo'") + SYNC + query("show timezone") + extended("show timezone") + SYNC
                                     + query("select set_config('app.own', 'mine', false)") + query("select current_setting('app.own')"), 5),
                                    query("show timezone"), query("select current_setting('app.own')"), extended("show timezone") + SYNC),
    "a setting that is rolled back with its batch": turns(extended("set timezone to 'Asia/Tokyo'") + BAD + SYNC, query("show timezone")),
    "an empty query": turns((extended("") + SYNC + query("") + SYNC, 3)),
}


@each_way
@pool_sizes
@every_mode
@pytest.mark.timeout(120)
def test_pipelines(tidepool, postgres, mode, size, pieces):
    both = Conversations(tidepool, postgres, mode, size)
    for name, conversation in PIPELINES.items():
        try:
            both.compare(conversation, pieces)
        except (AssertionError, TimeoutError, EOFError) as problem:
            raise AssertionError(f"{name}: {problem}") from problem


@each_way
@every_mode
def test_the_unnamed_statement_lives_until_the_next_parse(tidepool, postgres, mode, pieces):
    """Behind its Sync, too, whoever had the server in between."""
    both = Conversations(tidepool, postgres, mode)
    both.compare(turns(parse("select 'mine'") + SYNC, bind() + execute() + SYNC, describe("S") + SYNC, bind() + describe() + execute() + SYNC), pieces)
    both.compare(turns(parse("select 'old'") + SYNC, parse("no SQL") + SYNC, bind() + execute() + SYNC), pieces)
    both.compare(turns(parse("select 'old'") + SYNC, query("select 1"), bind() + execute() + SYNC), pieces)
    both.compare(turns(bind() + execute() + SYNC), pieces)


@each_way
@every_mode
def test_a_client_that_leaves_halfway_leaves_nothing_behind(tidepool, postgres, mode, pieces):
    """Half a batch, half a message, answers that nobody read: the next client's answers are its own, and nothing was committed that
    PostgreSQL would not have committed."""
    daemon = Conversations(tidepool, postgres, mode).daemon
    halves = [insert(1) + FLUSH, insert(1) + insert(2), (insert(1) + SYNC)[:-3], parse("select 1") + FLUSH, query("select 1")[:-2],
              b"".join(insert(1) + FLUSH for _ in range(5)) + parse("insert into log values (2)", "s")]
    for half in halves:
        client = daemon.wire("bench")
        client.send(half, pieces=pieces)
        if half.endswith(FLUSH):
            client.read_until("1")
        client.close()
        with daemon.wire("bench") as following:
            following.send(extended("select 'following'") + SYNC + query("select count(*) from log"), pieces=pieces)
            assert values([(a.type, a.body) for a in following.read_until_ready()]) == [[b"following"]]
            assert values([(a.type, a.body) for a in following.read_until_ready()]) == [[b"0"]]
            following.terminate()


@every_mode
def test_requests_in_front_of_a_goodbye_are_finished(tidepool, postgres, mode):
    both = Conversations(tidepool, postgres, mode)
    for number in range(5):
        client = both.daemon.wire("bench")
        client.send(insert(number) + SYNC + query(f"insert into log values ({number})") + wire.TERMINATE)
        client.close()
    with directly(postgres, both.database) as owner:
        wait_until(lambda: owner.value("select count(*) from log") == "10", "all ten were inserted")
