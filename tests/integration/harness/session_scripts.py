"""Random session scripts for the differential test: what a client says, step by step, and how its replies are made comparable.

A script follows from (seed, number) alone. Client number C works in the schemas cC and cC_b and only reads `shared`, so that clients
that run at once cannot change each other's replies; keys of advisory locks and names of channels have the script's number in them.
What Tidepool says will differ (docs/transaction-mode.md) is not generated.
"""

import random
from dataclasses import dataclass, field

from harness import script_settings
from harness.script_steps import KINDS, Step

# Run once in each of the two databases, for clients 0 to the last one.
SHARED = """
create schema shared;
create table shared.numbers as select n, repeat(chr(65 + n % 26), n % 40) as words from generate_series(1, 1000) n;
create schema "Odd Schema"; create schema ",";
create table "Odd Schema".w as select 'odd' as v; create table ",".w as select 'comma' as v;
grant usage on schema shared, "Odd Schema", "," to public;
grant select on all tables in schema shared, "Odd Schema", "," to public;
"""
EACH_CLIENT = """
create schema c{0}; create schema c{0}_b;
create table c{0}.t(a int primary key, b text); create table c{0}.u(a int);
create sequence c{0}.s;
create table c{0}.w as select 'first'::text as v; create table c{0}_b.w as select 'second'::text as v;
grant all on schema c{0}, c{0}_b to public; grant all on all tables in schema c{0}, c{0}_b to public;
grant all on all sequences in schema c{0} to public;
"""
ROLE = "differ"         # granted to the scripts' user

# What one client has left in its tables; then they are as they were at first.
CONTENTS = ("select (select string_agg(t::text, ',' order by a) from c{0}.t t), (select string_agg(a::text, ',' order by a) from c{0}.u);"
            " delete from c{0}.t; delete from c{0}.u; select setval('c{0}.s', 1, false)")


@dataclass
class Script:
    seed: int
    number: int
    client: int
    startup: dict
    steps: list = field(default_factory=list)
    exact: bool = True                  # else what a client is told by ParameterStatus counts only until its first RESET
    ending: str = "terminate"           # or "close", or "half" (a batch without its Sync, then close)

    def without(self, position):
        return Script(self.seed, self.number, self.client, self.startup, self.steps[:position] + self.steps[position + 1:], self.exact, self.ending)


class Generator:
    """script(number) for number 0 and so on. `mode` as the pool has it; in `statement` mode there are no explicit transactions.
    Clients from `pinning` on get no step that keeps a server to itself beyond its transaction."""

    def __init__(self, seed, clients, mode="session", pinning=None, without=()):
        self.seed, self.clients, self.mode = seed, clients, mode
        self.pinning = clients if pinning is None else pinning
        self.without = set(without)

    def script(self, number):
        return _Writer(self, number).write()


class _Writer:
    """One script in the making; `r` is its source of chance."""

    def __init__(self, generator, number):
        self.r = random.Random(f"{generator.seed} {number}")
        self.number, self.client = number, number % generator.clients
        self.schema = f"c{self.client}"
        self.transactions = generator.mode != "statement"
        # In session mode SET ... TO DEFAULT goes back to start-up values late, a custom setting of the start-up packet that was SET to '' goes
        # back to it, and SET SESSION AUTHORIZATION leaves the start-up packet's role.
        self.exact = generator.mode != "session"
        # A session that pins does so in one script of three, so that all servers go round most of the time.
        self.pins = self.client < generator.pinning and (generator.mode == "session" or self.r.random() < 0.34)
        self.in_transaction = False         # as far as a generator can know
        self.named = {}                     # protocol statements that it believes alive: name: number of parameters
        self.portals = 0
        chosen = [(name, weight) for name, (weight, flags, _) in KINDS.items()
                  if name not in generator.without and (self.pins or "P" not in flags) and (self.transactions or "X" not in flags)]
        self.names, weights = zip(*chosen)
        self.weights = list(weights)
        self.seed = generator.seed

    def write(self):
        r = self.r
        self.startup = script_settings.startup(r, self.client, self.exact)
        script = Script(self.seed, self.number, self.client, self.startup, exact=self.exact)
        size = r.randint(5, 25)
        while len(script.steps) < size:
            if self.in_transaction and r.random() < 0.25:
                self.add(script, "end_transaction")
            else:
                self.add(script, r.choices(self.names, self.weights)[0])
        if r.random() < 0.3:
            self.add(script, "all_settings")
        script.ending = r.choices(["terminate", "close", "half"], [8, 1, 1])[0]
        return script

    def add(self, script, name):
        sends = KINDS[name][2](self)
        # A kind may be several steps: each is a tuple of Sends.
        for each in (sends if isinstance(sends, list) else [sends]):
            script.steps.append(Step(name, each))

    # What kinds are made of

    def key(self):
        return self.number * 10 + self.r.randrange(3)

    def portal(self):
        """A name that was never used before: PostgreSQL 15 crashes at an Execute of a portal that its transaction's failure has killed."""
        self.portals += 1
        return f"p {self.portals}"

    def channel(self):
        return f"n{self.number}_{self.r.randrange(2)}"

    def simple(self):
        """A statement that may stand anywhere."""
        r, c = self.r, self.schema
        return r.choice((
            "select 1 as a, null as b, 'x' as c",
            f"select n, words from shared.numbers where n <= {r.randrange(30)} order by n",
            f"select repeat('{r.choice('ZECTD')}', {r.choice((1, 5, 300, 9000))})",
            f"insert into {c}.t values ({r.randrange(1, 8)}, '{r.choice('abc')}')",
            f"insert into {c}.t values ({r.randrange(1, 8)}, 'x') on conflict (a) do update set b = excluded.b || 'y' returning *",
            f"insert into {c}.u select generate_series(1, {r.randrange(4)})",
            f"update {c}.t set b = b || 'u' where a < {r.randrange(8)}",
            f"delete from {c}.t where a = {r.randrange(8)}",
            f"select * from {c}.t order by a",
            f"select count(*) from {c}.u",
            "select v from w",
            "select '01/02/2020'::date, '2020-06-01 12:00+00'::timestamptz, '1 day 2 hours'::interval",
            "select '\\xdeadbeef'::bytea, 0.1::float8 + 0.2::float8",
            "select current_user, session_user, current_schemas(false)",
            f"select nextval('{c}.s')",
            "values (1), (2)",
            f"table {c}.t limit 0",
            "", "-- nothing", ";;",
        ))

    def wrong(self):
        r, c = self.r, self.schema
        return r.choice((
            "select 1/0", "no SQL", "select nothing", f"select * from {c}.nothing", f"insert into {c}.t values (1, 'a'), (1, 'b')",
            "select 10 / (3 - n) from shared.numbers order by n", "select 'x'::int", "execute unknown_statement", "select unknown_function(1)",
            "fetch 1 from unknown_cursor", "do $$ begin raise exception 'words' using errcode = 'P0042', detail = 'd', hint = 'h'; end $$",
        ))
