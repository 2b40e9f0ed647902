"""Random session scripts for the differential test: what a client says, step by step, and how its replies are made comparable.

A script follows from (seed, number) alone. Client number C works in the schemas cC and cC_b and only reads `shared`, so that clients
that run at once cannot change each other's replies; keys of advisory locks and names of channels have the script's number in them.
What Tidepool says will differ (docs/transaction-mode.md) is not generated.
"""

import random
from dataclasses import dataclass, field, replace

from harness import script_commands, script_objects, script_prepared, script_rights, script_settings, script_steps, script_values  # noqa: F401
from harness.script_kinds import FORGOTTEN, KINDS, Send, Step, readies
from harness.script_replies import known_to_differ
from harness.wire import SYNC, bind, close, execute, extended, parse

# Run once in each of the two databases, for clients 0 to the last one.
SHARED = """
create schema shared;
create table shared.numbers as select n, repeat(chr(65 + n % 26), n % 40) as words from generate_series(1, 1000) n;
create schema "Odd Schema"; create schema ",";
create table "Odd Schema".w as select 'odd' as v; create table ",".w as select 'comma' as v;
grant usage on schema shared, "Odd Schema", "," to public;
grant select on all tables in schema shared, "Odd Schema", "," to public;
create procedure shared.nothing() language sql as '';
create function shared.tenant() returns text language plpgsql immutable as $$ begin return current_setting('app.tenant', true); end $$;
create function shared.sets(name text, value text) returns text language plpgsql as $$ begin return set_config(name, value, false); end $$;
create function shared.becomes(name text) returns void language plpgsql as $$ begin execute format('set role %I', name); end $$;
create function shared.deallocates() returns int language plpgsql as $$ begin deallocate all; return 1; end $$;
"""
EACH_CLIENT = """
create schema c{0}; create schema c{0}_b;
create table c{0}.t(a int primary key, b text); create table c{0}.u(a int);
create sequence c{0}.s;
create table c{0}.w as select 'first'::text as v; create table c{0}_b.w as select 'second'::text as v;
grant all on schema c{0}, c{0}_b to public; grant all on all tables in schema c{0}, c{0}_b to public;
create table c{0}.rls as select t as tenant, v from unnest(array['one', 'two', 'app', 'differ']) t, generate_series(1, 2) v;
alter table c{0}.rls enable row level security; alter table c{0}.rls force row level security;
create policy tenants on c{0}.rls using (tenant = current_setting('app.tenant', true) or tenant = current_user::text);
create table c{0}.folded as select * from c{0}.rls; alter table c{0}.folded enable row level security; alter table c{0}.folded force row level security;
create policy tenants on c{0}.folded using (tenant = shared.tenant());
alter table c{0}.rls owner to app; alter table c{0}.folded owner to app;
grant all on all sequences in schema c{0} to public; grant all on all tables in schema c{0} to public;
"""
ROLE = "differ"         # granted to the scripts' user
SUPERUSER = "boss"

# What scripts with steps of the flag O find, and may change as they like.
OBJECTS = """
set client_min_messages to warning;
drop view if exists c{0}.v; drop table if exists c{0}.d, c{0}.dd, c{0}.e, c{0}.ch cascade; drop type if exists c{0}.mood, c{0}.mood_before cascade;
drop function if exists c{0}.f(int);
set role app;
create type c{0}.mood as enum ('sad', 'happy');
create table c{0}.d(a int, b text, at timestamp); insert into c{0}.d values (1, 'one', '2020-01-01 12:00'), (2, 'two', null);
create table c{0}.e(m c{0}.mood); insert into c{0}.e values ('sad');
create view c{0}.v as select a from c{0}.d; create function c{0}.f(int) returns int language sql as 'select $1 + 1';
grant all on c{0}.d, c{0}.e, c{0}.v to public; reset role
"""

# What one client has left in its tables; then they are as they were at first.
CONTENTS = ("select (select string_agg(t::text, ',' order by a) from c{0}.t t), (select string_agg(a::text, ',' order by a) from c{0}.u);"
            " delete from c{0}.t; delete from c{0}.u; select setval('c{0}.s', 1, false); select pg_advisory_unlock_all();"
            " delete from c{0}.rls where v = 0")

# Pools, with settings of theirs; the middle one is a superuser's. Of the others only the first client keeps servers to itself.
POOLS = {"scripts": {}, "boss": {"max_size": 2}, "few": {"max_size": 2, "max_prepared_statements": 3}}

# Features that are no kinds of steps, and may be left out as those: RESET in company and in session mode; everything by the extended protocol; process ids of
# notifications; startup packets with more in them; the superuser's pool; the pool of few statements.
FEATURES = ("resets", "extended", "pids", "startups", "boss", "few")


@dataclass
class Script:
    seed: int
    number: int
    client: int
    startup: dict
    steps: list = field(default_factory=list)
    exact: bool = True                  # else what a client is told by ParameterStatus counts only until its first RESET
    ending: str = "terminate"           # or "close", or "half" (a batch without its Sync, then close)
    pool: str = "scripts"
    objects: bool = False               # has steps with OBJECTS
    gids: list = field(default_factory=list)
    forgiven: frozenset = frozenset()   # names of ROWS of script_replies.py, "pids", "every reset"

    def without(self, position):
        return replace(self, steps=self.steps[:position] + self.steps[position + 1:])


class Generator:
    """script(number) for number 0 and so on. `mode` as the pool has it; in `statement` mode there are no explicit transactions.
    Clients from `pinning` on get no step that keeps a server to itself beyond its transaction. `without`: kinds of steps and FEATURES."""

    def __init__(self, seed, clients, mode="session", pinning=None, without=()):
        self.seed, self.clients, self.mode = seed, clients, mode
        self.pinning = clients if pinning is None else pinning
        self.without = set(without)
        assert self.without <= {*KINDS, *FEATURES}, self.without - {*KINDS, *FEATURES}
        # In session mode the table of known differences counts for nothing.
        self.forgiven = known_to_differ() if mode != "session" else frozenset()
        if "resets" in self.without:
            self.forgiven |= {"late", "every reset"}
        if "pids" in self.without:
            self.forgiven |= {"pids"}

    def script(self, number):
        return _Writer(self, number).write()


class _Writer:
    """One script in the making; `r` is its source of chance."""

    def __init__(self, generator, number):
        self.r = random.Random(f"{generator.seed} {number}")
        self.number, self.client, self.generator = number, number % generator.clients, generator
        self.schema = f"c{self.client}"
        self.transactions = generator.mode != "statement"
        # Without "resets": in session mode SET ... TO DEFAULT goes back to start-up values late, a custom setting of the start-up packet that was SET to
        # '' goes back to it, and SET SESSION AUTHORIZATION leaves the start-up packet's role.
        self.exact = generator.mode != "session" or self.may("resets")
        self.pool = self.r.choices(list(POOLS), [8, 1, 1])[0]
        self.pool = self.pool if self.pool == "scripts" or self.may(self.pool) else "scripts"
        self.is_superuser = self.pool == SUPERUSER
        self.keeps_its_server = generator.mode == "session"
        # A session that pins does so in one script of three, so that all servers go round most of the time.
        pinning = generator.pinning if self.pool == "scripts" or generator.mode == "session" else min(generator.pinning, 1)
        self.pins = self.client < pinning and (generator.mode == "session" or self.r.random() < 0.34)
        self.objects = self.r.random() < 0.3
        self.had_temporary = False          # objects of its own, or may have had
        self.in_transaction = False         # as far as a generator can know
        self.named = {}                     # protocol statements that it believes alive: name: number of parameters
        self.setters, self.sets_now = set(), False  # names that ever stood for a SET; whether one was run just now
        self.commands = {}                  # the same of script_commands.py: name: text
        self.own = {}                       # and of script_objects.py: name: number of parameters
        self.gids = []
        self.portals = 0
        chosen = [(name, weight) for name, (weight, flags, _) in KINDS.items()
                  if self.may(name) and (self.pins or "P" not in flags) and (self.transactions or "X" not in flags) and (self.objects or "O" not in flags)]
        self.names, weights = zip(*chosen)
        self.weights = list(weights)
        self.seed = generator.seed

    def may(self, feature):
        return feature not in self.generator.without

    def write(self):
        r = self.r
        self.startup = script_settings.startup(self)
        script = Script(self.seed, self.number, self.client, self.startup, exact=self.exact, pool=self.pool, gids=self.gids, forgiven=self.generator.forgiven)
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
        script.objects |= "O" in KINDS[name][1]
        said_now = b"".join(send.data for each in (sends if isinstance(sends, list) else [sends]) for send in each).lower()
        self.had_temporary |= any(word in said_now for word in (b"temp", b"discard all"))
        # A kind may be several steps: each is a tuple of Sends.
        for each in (sends if isinstance(sends, list) else [sends]):
            for step in self.by_extended_protocol(each):
                script.steps.append(Step(name, step))

    def by_extended_protocol(self, sends):
        """A single statement that is said by Query, now and then by other messages."""
        data = sends[0].data
        if len(sends) > 1 or not sends[0].ready or sends[0].by or not self.may("extended") or data[:1] != b"Q" or readies(data) != 1 or self.r.random() > 0.2:
            return [sends]
        text = data[5:-1]
        if b";" in text.rstrip(b"; "):
            return [sends]
        # Its text must not be run again by chance: of a COPY that would wait for ever, and of a DEALLOCATE it is known to differ.
        forgotten = self.r.random() < 0.5 or text.lower().startswith((b"copy", b"deallocate"))
        name = self.r.choice(("", "", "x1", "x 2"))
        made, run = close("S", name) + parse(text, name), bind((), name) + execute()
        if name == "":
            return [(Send(extended(text) + (b"".join(FORGOTTEN) if forgotten else SYNC), ready=2 if forgotten else 1),)]
        if self.r.random() < 0.5:
            return [(Send(made + run + SYNC, ready=1),)]
        return [(Send(made + SYNC, ready=1),), (Send(run + SYNC, ready=1),)]

    # What kinds are made of

    def key(self):
        return self.number * 10 + self.r.randrange(3)

    def portal(self):
        """A name that was never used before: PostgreSQL 15 crashes at an Execute of a portal that its transaction's failure has killed."""
        self.portals += 1
        return f"p {self.portals}"

    def gid(self):
        self.gids.append(f"gid_D_{self.number}_{len(self.gids)}")
        return self.gids[-1]

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
