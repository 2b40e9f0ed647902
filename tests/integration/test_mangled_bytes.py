"""Bytes that are changed on their way, on both sides of the daemon: it goes on, and no client meets another's bytes (harness/mangled_storm.py).

TIDEPOOL_MANGLE_SECONDS says how long; TIDEPOOL_SEED repeats the changes. tools/mangle does the same for an hour.
"""

import os
import random
import threading

import pytest
from harness import wire
from harness.fake_server import complete, data_row, ready, row_description
from harness.mangled_storm import MangledStorm
from harness.mangling import CLIENT, SERVER, Frames, Mangler
from harness.mangling_proxy import ManglingProxy
from harness.tagged_work import Block, TaggedClient, Wrong, judge, new_tag
from harness.wire import Message, WireClient

SECONDS = float(os.environ.get("TIDEPOOL_MANGLE_SECONDS", "20"))
SEED = int(os.environ.get("TIDEPOOL_SEED") or random.SystemRandom().randrange(1 << 32))


@pytest.mark.workers
@pytest.mark.timeout(240 + SECONDS)
@pytest.mark.parametrize("workers", [1, 2])
def test_changed_bytes_harm_nobody_else(workers):
    with MangledStorm(SEED, workers=workers) as storm:
        storm.blow(SECONDS / 2)
        storm.calm()
        changes, log = storm.last_changes(), storm.end_of_log()
    print(storm.summary())
    assert not storm.problems, "\n".join([f"TIDEPOOL_SEED={SEED}", *storm.problems[:10], "The last changes:", changes, "The end of the log:", log, storm.stacks])
    assert storm.count["steps that were judged"] > 20
    assert all(proxy.changed for proxy in (*storm.servers.values(), *storm.fronts.values()))


# The test itself

def conversation():
    return (wire.SSL_REQUEST + wire.startup(user="app"), wire.extended("select 1", ["x"]) + wire.SYNC + wire.query("select 2") + wire.TERMINATE)


def test_pieces_are_the_whole_stream_however_it_comes():
    login, talk = conversation()
    chance = random.Random(5)
    for _ in range(200):
        frames, data, found = Frames(untyped=True), login + talk, []
        while data:
            size = chance.randint(1, 40)
            found += frames.feed(data[:size])
            data = data[size:]
        assert b"".join(piece.raw for piece in found) + frames.rest() == login + talk
    whole = Frames(untyped=True).feed(login + talk)
    assert [piece.type for piece in whole] == ["", "", "P", "B", "E", "S", "Q", "X"]


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_changes_follow_from_their_seed(side):
    pieces = Frames().feed(conversation()[1])
    for seed in range(300):
        one, other = (Mangler(random.Random(seed), side).mangle(pieces) for _ in range(2))
        assert (one.data, one.what, one.cuts) == (other.data, other.what, other.cuts)


def test_a_tag_of_another_is_told(postgres):
    mine, other, told = new_tag(), new_tag(), []
    tags = {mine: "one pool", other: "another"}
    with TaggedClient(postgres.socket_path, tags, told.append, mine) as client:
        client.log_in()
        client.ask(f"select '{mine}', '{new_tag()}'")       # an unknown one is a changed byte of its own
        assert told == []
        client.ask(f"select repeat('x', 70000), '{other}'")
        assert [other in words for words in told] == [True]


def test_a_wrong_answer_is_told():
    block = Block(wire.query("select 'a'"), "TDCZ", ["a"])
    def row(value):
        return Message("D", data_row(value)[5:])
    around = Message("T", row_description("a")[5:]), Message("C", complete("SELECT 1")[5:]), Message("Z", b"I")
    assert judge(block, [around[0], row("a"), *around[1:]])
    for answers in ([around[0], row("b"), *around[1:]], [around[0], row("a"), row("a"), *around[1:]], around):
        with pytest.raises(Wrong):
            judge(block, answers)


def test_behind_a_changed_block_nothing_comes_that_was_asked_for_before(fake_server):
    goes_on = threading.Event()

    def in_two_blocks(server):
        server.log_in(answer_sync=False)
        for _ in range(2):
            server.expect("Q")
            server.send(row_description("a"), data_row("first"))
            goes_on.wait(20)
            server.send(data_row("second"), complete("SELECT 2"), ready())

    for seed in range(20):
        goes_on.clear()
        fake = fake_server(in_two_blocks)
        with ManglingProxy(fake.folder / ".s.PGSQL.5432", side=SERVER, seed=seed, talk=1.0) as proxy, WireClient(proxy.socket_path) as client:
            client.log_in()
            client.send(wire.query("select"))
            received = b""
            while data := client.socket.recv(65536):
                received += data
                goes_on.set()
            assert b"second" not in received, proxy.done
