"""Random session scripts of twelve clients at once: every reply through the pool is that of a direct connection. Here always the same scripts;
tools/differential runs others, and more of them, and repeats a seed (TIDEPOOL_SEED does here). docs/plan.md says what that still finds."""

import os
import random

import pytest
from harness.differential import DIRECT, POOL, POOLED, Differential, make_databases, shrunk
from harness.script_replies import first_difference, normalised
from harness.script_steps import KINDS
from harness.session_scripts import Generator

SCRIPTS, CLIENTS, SERVERS = 500, 12, 3


@pytest.mark.workers
@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_sessions_of_many_clients_are_those_of_direct_connections(tidepool, new_postgres, mode):
    seed = int(os.environ.get("TIDEPOOL_SEED") or 20261126)
    print(f"build/venv/bin/python tools/differential --mode {mode} --seed {seed} --scripts {SCRIPTS}")
    server = new_postgres()
    names = make_databases(server, CLIENTS)
    session = mode == "session"
    pool = {"conninfo": server.conninfo(names[POOLED], "app"), "min_size": 0, "max_size": CLIENTS + 2 if session else SERVERS, "timeout": "60s"}
    if not session:
        pool |= {"mode": mode, "max_pinned": SERVERS}
    daemon = tidepool({"pools": {POOL: pool}, "workers": 2})
    generator = Generator(seed, CLIENTS, mode, CLIENTS if session else SERVERS - 1)
    engine = Differential({DIRECT: (server.socket_path, names[DIRECT]), POOLED: (daemon.socket_path, POOL)}, range(CLIENTS), server.socket_path, names)
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

def test_a_script_follows_from_its_seed_and_number_and_all_kinds_are_said():
    one, other = (Generator(1, CLIENTS, "transaction", 2) for _ in range(2))
    scripts = [one.script(number) for number in range(400)]
    assert list(map(vars, scripts)) == [vars(other.script(number)) for number in range(400)]
    assert {step.kind for script in scripts for step in script.steps} == set(KINDS)
    pinned = {name for name, (_, flags, _) in KINDS.items() if "P" in flags}
    assert {script.client for script in scripts for step in script.steps if step.kind in pinned} == {0, 1}
    explicit = {name for name, (_, flags, _) in KINDS.items() if "X" in flags}
    assert not {step.kind for number in range(400) for step in Generator(1, CLIENTS, "statement", 2).script(number).steps} & explicit


def test_what_must_be_equal_is_compared():
    class Nothing:
        steps, exact = [], True
    login = [("Z", b"I")]
    assert normalised([("S", b"b\0 2\0"), ("S", b"a\0 1\0"), ("Z", b"I")]) == normalised([("S", b"a\0 1\0"), ("S", b"b\0 2\0"), ("Z", b"I")])
    assert normalised([("Z", b"I"), ("S", b"a\0 1\0"), ("Z", b"I")]) != normalised([("S", b"a\0 1\0"), ("Z", b"I"), ("Z", b"I")])
    assert normalised([("A", b"\0\0\0\1n\0p\0")]) == normalised([("A", b"\0\0\0\2n\0p\0")])
    assert normalised([("E", b"C22012\0Mwords\0Fa.c\0L1\0Rf\0\0")]) == normalised([("E", b"C22012\0Mwords\0\0")])
    assert normalised([("E", b"C22012\0Mwords\0\0")]) != normalised([("E", b"C22012\0Mothers\0\0")])
    assert first_difference(Nothing, [login], [login]) is None
    assert first_difference(Nothing, [login], [[("Z", b"T")]]) == 0
    assert first_difference(Nothing, [login, []], [login]) == 1


def test_what_a_refusal_in_a_failed_transaction_skips_is_not_compared_later():
    class Some:
        steps, exact = [], True
    failed, refusal, end = [("E", b"C22012\0\0"), ("Z", b"E")], ("E", b"C25P02\0\0"), ("Z", b"E")
    described, parsed, missing = ("n", b""), ("1", b""), ("E", b"C26000\0\0")
    assert first_difference(Some, [failed, [described, end], [described, end]], [failed, [refusal, end], [missing, end]]) == 2
    assert first_difference(Some, [failed, [described, parsed, end], [described, end]], [failed, [refusal, end], [missing, end]]) is None
    assert first_difference(Some, [failed, [parsed, described, end], [described, end]], [failed, [parsed, refusal, end], [missing, end]]) == 2
