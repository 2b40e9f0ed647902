"""Conversations said to PostgreSQL itself and through a pool, in every mode, whole and byte by byte, while a second client makes the
pool's servers its own in between."""

import pytest
from harness import wire
from harness.differential import shown
from harness.script_kinds import Send, Step
from harness.script_replies import first_difference, known_to_differ, normalised, spoken
from harness.session_scripts import Script
from harness.sessions import directly
from harness.wire import SYNC, bind, close, execute, parse, query

MODES = ["session", "transaction", "statement"]
PIECES = {"one write": None, "byte by byte": 1}
every_mode = pytest.mark.parametrize("mode", MODES)
transactions = pytest.mark.parametrize("mode", MODES[:2])
each_way = pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
pool_sizes = pytest.mark.parametrize("size", [1, 2], ids=["1 server", "2 servers"])

TABLES = ("create table t(a int primary key, b text); create table log(a int); create sequence s;"
          " create schema one; create schema two; create view one.v as select 1 as n; create view two.v as select 2 as n")
CLEAN = "truncate t, log; select setval('s', 1, false)"


class Conversations:
    """compare(turns): turns are [(bytes, how many ReadyForQuery will come), ...] of one session, and between them the other client speaks.
    Fails where the answers differ from those of PostgreSQL itself."""

    def __init__(self, tidepool, postgres, mode, size=1, **pool):
        if mode == "session":
            size += 1                       # the other client has a server to itself there
        self.mode, self.size, self.postgres = mode, size, postgres
        settings = {"min_size": 0, "max_size": size, "timeout": "60s", **pool}
        if mode != "session":
            settings |= {"mode": mode, "max_pinned": size}
        self.daemon = tidepool(pools={"bench": settings})
        self.database = self.daemon.databases["bench"]
        self.owner = directly(postgres, self.database)
        self.owner.ask(TABLES)
        self.count = 0

    def other_client(self):
        """Settings, and statements of the names that everybody uses, but with other texts; on every server of the pool, if they rest."""
        self.count += 1
        self.disturber = getattr(self, "disturber", None) or self.daemon.wire("bench")
        value = f"other {self.count}"
        names = b"".join(close("S", name) + parse(f"select 'not yours', {self.count}", name) + bind((), name) + execute() for name in ("s", "p", "_pg3_0"))
        data = (query("set timezone to 'Pacific/Apia'; set datestyle to 'German'") + query(f"select set_config('app.own', '{value}', false)")
                + query("set search_path to pg_catalog; set work_mem to '77kB'") + names + parse("select 'not yours'") + SYNC)
        self.disturber.send(data)
        for _ in range(4):
            answers = self.disturber.read_until_ready()
            assert not [answer for answer in answers if answer.type == "E"], list(map(str, answers))

    def compare(self, turns, pieces=None, startup=None, between=True):
        said = []
        for pooled in (False, True):
            self.owner.ask(CLEAN)
            with (self.daemon.wire("bench", **(startup or {})) if pooled else directly(self.postgres, self.database, **(startup or {}))) as client:
                answers = []
                for data, ready in turns:
                    client.send(data, pieces=pieces)
                    got = []
                    for _ in range(ready):
                        got += [(answer.type, answer.body) for answer in client.read_until_ready()]
                    answers.append(got)
                    if pooled and between and client.status == "I":
                        self.other_client()
                assert client.is_silent(0.01)
                client.terminate()
            said.append(answers)
        script = Script(0, 0, 0, {}, [Step("turn", (Send(data, ready),)) for data, ready in turns], forgiven=known_to_differ())
        number = first_difference(script, *([[], *answers] for answers in said))
        if number is not None:
            direct, through = (normalised(answers[number - 1]) for answers in said)
            raise AssertionError(f"turn {number - 1} {[spoken(data)[:500] for data, _ in turns[:number]]}:\n"
                                 f"  {shown(through)}\n  instead of\n  {shown(direct)}")
        return said[0]


def turns(*data):
    """Each is a turn: bytes, or (bytes, ready)."""
    return [each if isinstance(each, tuple) else (each, 1) for each in data]


def values(answers):
    return [wire.Message(letter, body).values for letter, body in answers if letter == "D"]


def sqlstates(answers):
    return [wire.Message(letter, body).fields["C"] for letter, body in answers if letter == "E"]
