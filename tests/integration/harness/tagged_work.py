"""What a client says that is known by a tag: its tag is in all that it says, so that nothing of it can be taken for another's.

A step is a function with @step: it yields blocks, each what is said at once and what the answer must be. Whose bytes are changed on their way says
the same, and its answers are not judged but for the tags in them.
"""

import random
import re
import secrets
import struct
from dataclasses import dataclass, field

from harness import wire
from harness.wire import WireClient

TAG = re.compile(rb"tag_[0-9a-f]{24}")


def new_tag():
    return f"tag_{secrets.token_hex(12)}"


class TaggedClient(WireClient):
    """Looks for the tags of others in every byte that it gets. `tags`: all that there are, each with whom it belongs to; `tell`: a function of words."""

    def __init__(self, address, tags, tell, tag, **others):
        self.tag, self.tags, self.tell = tag, tags, tell
        self._tail = b""
        super().__init__(address, **others)

    def _fill(self, count, timeout):
        before = len(self._buffer)
        try:
            super()._fill(count, timeout)
        finally:
            self._look(self._buffer[before:])

    def _look(self, data):
        if not data:
            return
        data = self._tail + data
        self._tail = data[-27:]
        for found in set(TAG.findall(data)):
            other = found.decode()
            if other != self.tag and other in self.tags:
                self.tell(f"{self.tag} ({self.tags[self.tag]}) got a byte of {other} ({self.tags[other]}): {data[:3000]!r}")


@dataclass
class Block:
    """`types` are the answers up to the last ReadyForQuery, without reports of parameters; `values` the first columns of all rows; `contains` is
    somewhere in the answers. `may_fail` are SQLSTATEs by which the step may end."""
    data: bytes
    types: str
    values: list = None
    contains: str = ""
    may_fail: tuple = ()
    ready: int = 1
    notifications: int = 0


class Wrong(AssertionError):
    """A client got another answer than it must."""


@dataclass
class Work:
    """What steps know of their client."""
    tag: str
    chance: random.Random
    mode: str = "session"
    count: int = 0
    began: dict = field(default_factory=dict)           # settings of its startup packet
    settings: dict = field(default_factory=dict)        # and those of now

    def words(self):
        """Others each time, and always the tag."""
        self.count += 1
        return f"{self.tag} {self.count}"


STEPS = {}              # name: (function, its flags)


def step(*flags):
    """state: reads what its session has set, or keeps its server; transaction: not in statement mode."""
    def add(function):
        STEPS[function.__name__] = (function, flags)
        return function
    return add


def steps_for(mode, state=True):
    return [function for function, flags in STEPS.values()
            if (state or "state" not in flags) and (mode != "statement" or "transaction" not in flags)]


PINNED = ("53400",)


@step()
def simple(work):
    words = work.words()
    yield Block(wire.query(f"select '{words}'"), "TDCZ", [words])


@step()
def two_statements(work):
    one, other = work.words(), work.words()
    yield Block(wire.query(f"select '{one}'; select '{other}', 1"), "TDCTDCZ", [one, other])


@step()
def extended(work):
    words = work.words()
    yield Block(wire.extended("select $1::text", [words]) + wire.SYNC, "12DCZ", [words])


@step()
def described(work):
    words = work.words()
    yield Block(wire.parse("select $1::text as given") + wire.describe("S") + wire.bind([words]) + wire.describe() + wire.execute() + wire.SYNC, "1tT2TDCZ",
                [words])


@step()
def named(work):
    words, name = work.words(), f"s{work.count}"
    text = f"select '{words}', $1::int"
    yield Block(wire.parse(text, name) + wire.describe("S", name) + wire.SYNC, "1tTZ")
    for number in range(work.chance.randint(1, 3)):
        yield Block(wire.bind([number], name) + wire.execute() + wire.SYNC, "2DCZ", [words])
    if work.chance.random() < 0.5:
        yield Block(wire.close("S", name) + wire.SYNC, "3Z")


@step()
def shared_text(work):
    """One text for all clients, prepared on a server once."""
    words, name = work.words(), f"s{work.count}"
    yield Block(wire.parse("select $1::text, 'of all'", name) + wire.bind([words], name) + wire.execute() + wire.SYNC, "12DCZ", [words])
    words = work.words()
    yield Block(wire.bind([words], name) + wire.describe() + wire.execute() + wire.close("S", name) + wire.SYNC, "2TDC3Z", [words])


@step()
def unnamed_later(work):
    """Parsed in one batch, run in the next."""
    words = work.words()
    yield Block(wire.parse(f"select '{words}', $1::int") + wire.SYNC, "1Z")
    yield Block(wire.bind([1]) + wire.execute() + wire.SYNC, "2DCZ", [words])


@step()
def pipeline(work):
    words = [work.words() for _ in range(3)]
    yield Block(b"".join(wire.extended("select $1::text", [one]) + wire.SYNC for one in words), "12DCZ" * 3, words, ready=3)


@step()
def error(work):
    words = work.words()
    yield Block(wire.query(f"select '{words}'::int"), "EZ", contains=words)


@step()
def error_in_a_batch(work):
    words = work.words()
    yield Block(wire.extended("select $1::int", [words]) + wire.extended("select 1") + wire.SYNC, "1EZ", contains=words)


@step()
def notice(work):
    words = work.words()
    yield Block(wire.query(f"do $$ begin raise notice '{words}'; end $$"), "NCZ", contains=words)


@step()
def large(work):
    words = work.words()
    yield Block(wire.query(f"select '{words}', repeat('x', 100000) from generate_series(1, 3)"), "TDDDCZ", [words] * 3)


@step()
def copy_out(work):
    words, rows = work.words(), work.chance.choice((1, 50, 2000))
    yield Block(wire.query(f"copy (select '{words}' from generate_series(1, {rows})) to stdout"), "H" + "d" * rows + "cCZ", contains=words)


@step()
def copy_in(work):
    words = work.words()
    rows = [wire.copy_data(f"{words}\n")] * work.chance.choice((1, 20))
    yield Block(wire.query("copy taken from stdin where false") + b"".join(rows) + wire.COPY_DONE, "GCZ")


@step()
def copy_in_by_the_protocol(work):
    words = work.words()
    yield Block(wire.extended("copy taken from stdin where false") + wire.copy_data(f"{words}\n") + wire.COPY_DONE + wire.SYNC, "12GCZ")


@step()
def copy_fails(work):
    words = work.words()
    yield Block(wire.query("copy taken from stdin") + wire.copy_data(f"{words}\n") + wire.copy_fail(words), "GEZ", contains=words)


@step()
def function_call(work):
    words = work.words().encode()
    body = struct.pack("!IHHHI", TRIMMED, 1, 1, 1, len(words)) + words + struct.pack("!H", 1)
    yield Block(wire.message("F", body), "VZ", contains=words.decode())


TRIMMED = 885           # btrim(text)


@step("transaction")
def transaction(work):
    words = work.words()
    yield Block(wire.query("begin"), "CZ")
    yield Block(wire.query(f"select '{words}'"), "TDCZ", [words])
    yield Block(wire.extended("select $1::text", [words]) + wire.SYNC, "12DCZ", [words])
    yield Block(wire.query(work.chance.choice(("commit", "rollback"))), "CZ")


@step("transaction")
def failed_transaction(work):
    words = work.words()
    yield Block(wire.query("begin"), "CZ")
    yield Block(wire.query(f"select '{words}'::int"), "EZ", contains=words)
    yield Block(wire.query("rollback"), "CZ")


@step("transaction")
def portal(work):
    words = work.words()
    yield Block(wire.query("begin"), "CZ")
    yield Block(wire.parse("select $1::text from generate_series(1, 3)") + wire.bind([words], portal="p") + wire.execute("p", 2) + wire.SYNC, "12DDsZ",
                [words, words])
    yield Block(wire.execute("p", 2) + wire.SYNC, "DCZ", [words])
    yield Block(wire.query("commit"), "CZ")


@step("state")
def setting(work):
    work.settings["app.tag"] = words = work.words()
    yield Block(wire.query(f"set app.tag = '{words}'"), "CZ")
    yield Block(wire.query("select current_setting('app.tag')"), "TDCZ", [words])


@step("state")
def set_config(work):
    work.settings["app.tag"] = words = work.words()
    yield Block(wire.extended("select set_config('app.tag', $1, false)", [words]) + wire.SYNC, "12DCZ", [words])


@step("state")
def settings_are_there(work):
    for name, value in work.settings.items():
        yield Block(wire.query(f"select current_setting('{name}')"), "TDCZ", [value])


@step("state")
def reset(work):
    work.settings = dict(work.began)
    yield Block(wire.query("reset all"), "CZ")
    yield Block(wire.query("select coalesce(nullif(current_setting('app.tag', true), ''), 'none')"), "TDCZ", ["none"])


@step("state")
def reported(work):
    work.settings["application_name"] = words = work.words()
    yield Block(wire.query(f"set application_name = '{words}'"), "CZ")
    yield Block(wire.extended("show application_name") + wire.SYNC, "12DCZ", [words])


@step("state", "transaction")
def local_setting(work):
    words = work.words()
    yield Block(wire.query("begin"), "CZ")
    yield Block(wire.query(f"set local app.local = '{words}'; select current_setting('app.local')"), "CTDCZ", [words])
    yield Block(wire.query("rollback"), "CZ")


@step("state")
def notifications(work):
    words = work.words()
    yield Block(wire.query(f'listen "{work.tag}"'), "CZ", may_fail=PINNED)
    yield Block(wire.query(f"notify \"{work.tag}\", '{words}'"), "CZ", contains=words, notifications=1)
    yield Block(wire.query("unlisten *"), "CZ")


@step("state")
def temporary_table(work):
    words = work.words()
    yield Block(wire.query(f"create temp table own as select '{words}'::text as word"), "CZ", may_fail=PINNED)
    yield Block(wire.query("select word from own"), "TDCZ", [words])
    yield Block(wire.query("drop table own"), "CZ")


@step("state")
def prepared_by_sql(work):
    words = work.words()
    yield Block(wire.query(f"prepare own as select '{words}'"), "CZ", may_fail=PINNED)
    yield Block(wire.query("execute own"), "TDCZ", [words])
    yield Block(wire.query("deallocate own"), "CZ")


def judge(block, answers):
    """Raises Wrong, or returns whether the step goes on."""
    told = [answer for answer in answers if answer.type != "S" and not (answer.type == "N" and "N" not in block.types)]
    notified = [answer for answer in told if answer.type == "A"]
    types = "".join(answer.type for answer in told if answer.type != "A")
    failed = next((answer.fields.get("C") for answer in told if answer.type == "E"), None)
    if failed in block.may_fail:
        return False
    if types != block.types or len(notified) != block.notifications:
        raise Wrong(f"{block.data[:300]!r} was answered by {short(answers)}")
    values = [answer.values[0].decode() for answer in told if answer.type == "D"]
    if block.values is not None and values != block.values:
        raise Wrong(f"{block.data[:300]!r} was answered by {values}, not by {block.values}")
    if block.contains and not any(block.contains.encode() in answer.body for answer in told):
        raise Wrong(f"{block.data[:300]!r} was answered by {short(answers)}, without {block.contains}")
    return True


def short(answers):
    return ", ".join(map(str, answers[:12])) + (f" and {len(answers) - 12} more" if len(answers) > 12 else "")
