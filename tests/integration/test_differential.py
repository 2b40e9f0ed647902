"""Random session scripts of twelve clients at once: every reply through the pool is that of a direct connection. Here always the same scripts;
tools/differential runs others, and more of them, and repeats a seed (TIDEPOOL_SEED does here). docs/plan.md says what that still finds."""

import os
import random

import pytest
from harness.differential import DIRECT, POOLED, SERVER_SETTINGS, Differential, make_databases, settings_of_pools, shrunk
from harness.script_kinds import KINDS, readies
from harness.script_replies import ANOTHERS, OWN, first_difference, known_to_differ, normalised
from harness.script_settings import BLOCKS, MIXES, SCRIPTS_OF_A_BLOCK
from harness.session_scripts import FEATURES, POOLS, Generator
from harness.wire import FLUSH, SYNC, extended, message, query

SCRIPTS, CLIENTS, SERVERS = 500, 12, 3

# Kinds of steps and features of scripts that differ still, and are said by tools/differential only.
UNMENDED = ()


@pytest.mark.workers
@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_sessions_of_many_clients_are_those_of_direct_connections(tidepool, new_postgres, mode):
    seed = int(os.environ.get("TIDEPOOL_SEED") or 20261126)
    print(f"build/venv/bin/python tools/differential --mode {mode} --seed {seed} --scripts {SCRIPTS} --without {','.join(UNMENDED)}")
    server = new_postgres(settings=SERVER_SETTINGS)
    names = make_databases(server, CLIENTS)
    daemon = tidepool({"pools": settings_of_pools(server, names[POOLED], mode, CLIENTS, SERVERS), "workers": 2})
    generator = Generator(seed, CLIENTS, mode, CLIENTS if mode == "session" else SERVERS - 1, UNMENDED)
    engine = Differential({DIRECT: (server.socket_path, names[DIRECT]), POOLED: (daemon.socket_path, None)}, range(CLIENTS), server.socket_path, names)
    following = list(range(CLIENTS))

    def source(client):
        number = following[client]
        following[client] += CLIENTS
        return generator.script(number) if number < SCRIPTS else None

    difference = engine.run(source, random.Random(seed))
    assert difference is None, f"seed {seed}\n{shrunk(engine, generator, difference, 20) or difference}"
    assert engine.count == SCRIPTS
    engine.close()


# The test itself

def scripts_of(generator, count=1500):
    return [generator.script(number) for number in range(count)]


def test_a_script_follows_from_its_seed_and_number_and_all_kinds_are_said():
    one, other = (Generator(1, CLIENTS, "transaction", 2) for _ in range(2))
    scripts = scripts_of(one, 4000)
    assert list(map(vars, scripts)) == [vars(script) for script in scripts_of(other, 4000)]
    assert {step.kind for script in scripts for step in script.steps} == set(KINDS)
    assert {script.pool for script in scripts} == set(POOLS)
    pinned = {name for name, (_, flags, _) in KINDS.items() if "P" in flags}
    assert {script.client for script in scripts for step in script.steps if step.kind in pinned} == {0, 1}
    assert not {script.client for script in scripts for step in script.steps if step.kind in pinned and script.pool != "scripts"} & {1}
    explicit = {name for name, (_, flags, _) in KINDS.items() if "X" in flags}
    assert not {step.kind for script in scripts_of(Generator(1, CLIENTS, "statement", 2)) for step in script.steps} & explicit
    with_objects = {name for name, (_, flags, _) in KINDS.items() if "O" in flags}
    assert all(script.objects == any(step.kind in with_objects for step in script.steps) for script in scripts)


def test_scripts_of_a_block_have_few_startup_settings():
    """Else a pooled server is dialed for nearly each transaction, and a long run takes hours."""
    generator, of_a_block = Generator(1, CLIENTS, "transaction", 2, ["boss", "few"]), CLIENTS * SCRIPTS_OF_A_BLOCK
    blocks = []
    for first in range(0, of_a_block * BLOCKS, of_a_block):
        found = [generator.script(number).startup for number in range(first, first + of_a_block)]
        blocks.append({tuple(sorted(startup.items())) for startup in found if "not good" not in startup.values()})
    assert len(blocks[0]) > of_a_block / 3
    assert all(len(block) <= 2 * MIXES for block in blocks[1:])     # a schema is in the path of its own client only
    assert len(set.union(*blocks[1:])) > BLOCKS


def test_what_is_left_out_is_not_said():
    assert set(UNMENDED) <= {*KINDS, *FEATURES}
    scripts = scripts_of(Generator(1, CLIENTS, "transaction", 2, [*UNMENDED, "boss", "few"]), 300)
    assert not {step.kind for script in scripts for step in script.steps} & set(UNMENDED)
    assert {script.pool for script in scripts} == {"scripts"}


def test_all_that_is_said_comes_to_an_end():
    """A step waits for as many ReadyForQuery as its messages ask for, where nothing in it may wait for a message."""
    assert readies(query("select 1") + extended("select 2") + FLUSH + SYNC + message("F", b"")) == 3
    for script in scripts_of(Generator(2, CLIENTS, "transaction", 2)):
        for step in script.steps:
            if "copy" not in str(step).lower() and not any(send.by for send in step.sends):
                assert readies(b"".join(send.data for send in step.sends)) == max(send.ready for send in step.sends), step


class Script:
    """What first_difference() wants to know of one."""
    steps, exact = [], True

    def __init__(self, *forgiven):
        self.forgiven = frozenset(forgiven)


def test_what_must_be_equal_is_compared():
    login = [("Z", b"I")]
    assert normalised([("S", b"b\0 2\0"), ("S", b"a\0 1\0"), ("Z", b"I")]) == normalised([("S", b"a\0 1\0"), ("S", b"b\0 2\0"), ("Z", b"I")])
    assert normalised([("Z", b"I"), ("S", b"a\0 1\0"), ("Z", b"I")]) != normalised([("S", b"a\0 1\0"), ("Z", b"I"), ("Z", b"I")])
    assert normalised([("A", b"\0\0\0\1n\0p\0")]) == normalised([("A", b"\0\0\0\2n\0p\0")])
    assert normalised([("A", OWN + b"n\0p\0")]) != normalised([("A", ANOTHERS + b"n\0p\0")])
    assert normalised([("E", b"C22012\0Mwords\0Fa.c\0L1\0Rf\0\0")]) == normalised([("E", b"C22012\0Mwords\0\0")])
    assert normalised([("E", b"C22012\0Mwords\0\0")]) != normalised([("E", b"C22012\0Mothers\0\0")])
    assert first_difference(Script(), [login], [login]) is None
    assert first_difference(Script(), [login], [[("Z", b"T")]]) == 0
    assert first_difference(Script(), [login, []], [login]) == 1
    told = [("S", b"a\0 1\0"), ("Z", b"I")]
    assert first_difference(Script(), [login, told, login], [login, login, told]) == 1


def test_of_debug_messages_those_with_names_are_compared():
    def debug(words):
        return [("N", b"SDEBUG\0VDEBUG\0C00000\0M" + words + b"\0\0")]
    assert normalised(debug(b"parse s: select 1")) != normalised(debug(b"parse tidepool_1: select 1"))
    assert normalised(debug(b"bind p to s")) != []
    assert normalised(debug(b"something of tidepool_1")) != []
    assert normalised(debug(b"StartTransaction(1) name: unnamed")) == []


FAILED, REFUSAL, END = [("E", b"C22012\0\0"), ("Z", b"E")], ("E", b"C25P02\0\0"), ("Z", b"E")
DESCRIBED, PARSED, BOUND, MISSING, TOO_FEW = ("t", b"\0\0"), ("1", b""), ("2", b""), ("E", b"C26000\0\0"), ("E", b"C08P01\0\0")


def test_what_a_refusal_in_a_failed_transaction_skips_is_not_compared_later():
    some = Script("failed")
    assert first_difference(some, [FAILED, [DESCRIBED, END], [DESCRIBED, END]], [FAILED, [REFUSAL, END], [MISSING, END]]) == 2
    assert first_difference(some, [FAILED, [DESCRIBED, PARSED, END], [DESCRIBED, END]], [FAILED, [REFUSAL, END], [MISSING, END]]) is None
    assert first_difference(some, [FAILED, [PARSED, DESCRIBED, END], [DESCRIBED, END]], [FAILED, [PARSED, REFUSAL, END], [MISSING, END]]) == 2


def test_nothing_is_forgiven_but_what_a_row_of_the_table_describes():
    assert known_to_differ() >= {"failed", "gone", "impossible"}
    assert Generator(1, CLIENTS, "session").forgiven == frozenset()
    some = Script("failed", "gone")
    assert first_difference(Script(), [FAILED, [DESCRIBED, END]], [FAILED, [REFUSAL, END]]) == 1
    assert first_difference(some, [FAILED, [TOO_FEW, END]], [FAILED, [REFUSAL, END]]) is None
    # What runs in a failed transaction must run: ROLLBACK.
    assert first_difference(some, [FAILED, [BOUND, ("C", b"ROLLBACK\0"), ("Z", b"I")]], [FAILED, [REFUSAL, END]]) == 1
    assert first_difference(some, [FAILED, [MISSING, END]], [FAILED, [REFUSAL, END]]) == 1
    gone, idle = ("E", b"C42P01\0\0"), ("Z", b"I")
    for directly in ([DESCRIBED, gone, idle], [DESCRIBED, ("n", b""), idle]):
        assert first_difference(some, [[idle], directly], [[idle], [gone, idle]]) is None
        assert first_difference(Script("failed"), [[idle], directly], [[idle], [gone, idle]]) == 1
    assert first_difference(some, [[idle], [DESCRIBED, ("n", b""), BOUND, idle]], [[idle], [gone, idle]]) == 1
    assert first_difference(some, [[idle], [BOUND, gone, idle]], [[idle], [gone, idle]]) == 1
    changed = ("E", b"C0A000\0\0")
    assert first_difference(some, [[idle], [DESCRIBED, changed, idle]], [[idle], [changed, idle]]) is None
    assert first_difference(some, [[idle], [DESCRIBED, ("n", b""), idle]], [[idle], [changed, idle]]) == 1
    impossible, value = ("E", b"C42883\0\0"), ("E", b"C22P02\0Wunnamed portal parameter $1\0\0")
    assert first_difference(Script("impossible"), [[idle], [value, idle]], [[idle], [impossible, idle]]) is None
    assert first_difference(Script("impossible"), [[idle], [value, idle]], [[idle], [changed, idle]]) is None
    assert first_difference(some, [[idle], [value, idle]], [[idle], [impossible, idle]]) == 1
    assert first_difference(Script("impossible"), [[idle], [("E", b"C22P02\0\0"), idle]], [[idle], [impossible, idle]]) == 1
