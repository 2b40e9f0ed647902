"""What is measured: a table of rows. A row starts its contenders and takes a sample of one of them at a time; compare.py alternates.

A sample is a dictionary of figures. `limits` is what has been promised: (figure, against whom): (at most | at least, factor); against
None, the figure itself.
"""

from bench_database import DOUBTFUL
from contenders import OLD, ONE_WORKER, Setup, start
from load import by_load, by_pgbench, by_running_pgbench, by_shell, calls_by_load, fairness_by_load, with_postgres_by_load

AT_MOST, AT_LEAST = "at most", "at least"
MODES = ("simple", "extended", "prepared")
GIGABYTES = 1.0
NO_SLOWER = {("cpu_us", OLD): (AT_MOST, 1.03)}


class Row:
    """Contenders stay from the first sample to the last. Subclasses say what a sample is."""
    server = "postgres"                     # or "fake"
    contenders = ("direct", "pgbouncer", "relay", "tidepoold")
    pairs = None                            # fewer than asked for, where a sample takes long

    def __init__(self, name, setup, limits=None, **others):
        self.name, self.setup, self.limits = name, setup, limits or {}
        vars(self).update(others)

    def begin(self, world, names):
        self.world = world
        self.started = {}
        for name in names:
            self.started[name] = start(name, world.servers[self.server], self.setup, world.programs)
        for contender in self.started.values():
            self.sample(contender)          # fills the pool; not counted

    def end(self):
        for contender in self.started.values():
            contender.__exit__(None, None, None)

    def measure(self, name):
        return self.sample(self.started[name])


class ByLoad(Row):
    server = "fake"

    def sample(self, contender):
        return by_load(self.world.programs.of_bench("load"), contender, mode=self.mode, clients=self.clients,
                       seconds=self.world.seconds)


class ByPgbench(Row):
    logins_count = True                     # they are few, or are the work

    def sample(self, contender):
        seconds = max(1, round(self.world.seconds))
        if self.logins_count:
            return by_pgbench(contender, "-c", self.clients, "-T", seconds, *self.arguments)
        return by_running_pgbench(contender, seconds, "-c", self.clients, *self.arguments)


class WithPostgres(Row):
    """What it costs PostgreSQL counts too."""
    contenders = ("direct", "pgbouncer", "tidepoold")

    def sample(self, contender):
        return with_postgres_by_load(self.world.programs.of_bench("load"), contender, self.world.postgres.pid, mode=self.mode, clients=self.clients,
                                     query=self.query, seconds=self.world.seconds)


class CallsByLoad(Row):
    server = "fake"
    contenders = ("pgbouncer", "relay", "tidepoold")
    pairs = 2                               # they hardly differ, and strace is slow

    def sample(self, contender):
        return calls_by_load(self.world.programs.of_bench("load"), contender, max(2000, 20 * self.clients), mode=self.mode, clients=self.clients)


class Fairness(Row):
    contenders = ("pgbouncer", "odyssey", "pg_doorman", "tidepoold")
    query = "select abalance from pgbench_accounts where aid = 1"

    def sample(self, contender):
        return fairness_by_load(self.world.programs.of_bench("load"), contender, clients=self.clients, query=self.query,
                                seconds=self.world.seconds * 2)


class Copy(Row):
    """A line is 1,024 bytes; the table takes none of them (WHERE false), so that PostgreSQL reads and no disk writes."""

    def sample(self, contender):
        lines = int(GIGABYTES * 1e9 / 1024)
        if self.way == "out":
            command = (f"psql -X -q -c \"copy (select repeat('x', 1023) from generate_series(1, {lines})) to stdout\""
                       " > /dev/null")
        else:
            command = ("psql -X -q -c 'copy sink from stdin where false'"
                       f" < <(yes $(printf 'x%.0s' {{1..1023}}) 2> /dev/null | head -n {lines})")
        return by_shell(contender, command, lines * 1024 / 1e9)


def connect_rows():
    pooled = ("direct", "pgbouncer", "tidepoold")
    rows = []
    for clients, size in ((8, 8), (64, 16)):
        arguments = ("-C", "-j", clients)
        for reset, what, limits in (
                ("none", "no reset", {("cpu_us", "pgbouncer"): (AT_MOST, 0.75)}),
                ("discard_all", "DISCARD ALL",
                 {("cpu_us", "pgbouncer"): (AT_MOST, 0.6), ("rate", "pgbouncer"): (AT_LEAST, 1.4)})):
            rows.append(ByPgbench(f"connect, {clients} clients, {what}", Setup(size, reset), limits, contenders=pooled,
                                  clients=clients, arguments=arguments, group="connect"))
        for reset, what in (("none", "no reset"), ("discard_all", "DISCARD ALL")):
            rows.append(ByPgbench(f"connect, {clients} clients, SCRAM, {what}", Setup(size, reset, "scram-sha-256"),
                                  {("cpu_us", "pgbouncer"): (AT_MOST, 0.75)}, contenders=pooled[1:], clients=clients,
                                  arguments=arguments, group="connect"))
        for reset, what in (("none", "no reset"), ("discard_all", "DISCARD ALL")):
            rows.append(ByLoad(f"connect, fake server, {clients} clients, {what}", Setup(size, reset), clients=clients, mode="connect",
                               contenders=("direct", "pgbouncer", "relay", "tidepoold"), group="connect"))
    return rows


def client_count(clients):
    return f"{clients:,} client{'s' if clients > 1 else ''}"


def steady_rows():
    rows = []
    for mode in MODES:
        for clients in (1, 16, 64):
            limits = {("cpu_us", "pgbouncer"): (AT_MOST, 0.95)}
            if clients > 1:
                limits["cpu_us", "relay"] = (AT_MOST, 1.15)
            rows.append(ByLoad(f"steady, fake server, {mode}, {client_count(clients)}", Setup(clients), limits, mode=mode,
                               clients=clients, group="steady"))
            rows.append(ByPgbench(f"steady, {mode}, {client_count(clients)}", Setup(clients), limits, clients=clients,
                                  arguments=("-M", mode, "-j", min(2, clients)), group="steady"))
    return rows


def copy_rows():
    return [Copy("copy out, 1 GB", Setup(2), {("cpu_s_per_gb", "pgbouncer"): (AT_MOST, 0.5)}, way="out", group="copy"),
            Copy("copy in, 1 GB", Setup(2), way="in", group="copy")]


def calls_rows():
    rows = [CallsByLoad(f"calls, connect, 64 clients on {size} servers, {what}", Setup(size, reset), {("calls", None): (AT_MOST, 13)},
                        mode="connect", clients=64, group="calls")
            for size in (64, 16) for reset, what in (("none", "no reset"), ("discard_all", "DISCARD ALL"))]
    return rows + [CallsByLoad(f"calls, steady, {mode}, {client_count(clients)}", Setup(clients),
                               {("calls", None): (AT_MOST, 4.4)} if clients > 1 else {}, mode=mode, clients=clients, group="calls")
                   for mode in MODES for clients in (1, 16, 64)]


SERVERS = 16


def transaction_limits(mode, clients):
    """`pgbouncer` is a current one in transaction mode; `debian` is 1.18."""
    if clients <= SERVERS:
        return {("cpu_us", "pgbouncer"): (AT_MOST, 0.85 if mode == "prepared" else 0.95)}
    limits = {("cpu_us", "debian"): (AT_MOST, 0.45)}
    if clients in (64, 1000):
        limits["cpu_us", "pgbouncer"] = (AT_MOST, 0.7)
    return limits


def transaction_rows():
    """The relay has a server for each client, which is the floor in front of the fake server, and too much for PostgreSQL."""
    setup = Setup(SERVERS, mode="transaction")
    rows = []
    for mode in MODES:
        # 1.18 knows no prepared statements in transaction mode.
        poolers = ("pgbouncer", *(("debian",) if mode != "prepared" else ()), "odyssey", "pg_doorman")
        for clients in (1, 16, 64, 128, 1000):
            limits = transaction_limits(mode, clients) | NO_SLOWER
            what = f"{mode}, {client_count(clients)}"
            rows.append(ByLoad(f"transaction, fake server, {what}", setup, limits, contenders=(*poolers, "relay", "tidepoold"), mode=mode,
                               clients=clients, group="transaction"))
            alone = ("direct", *poolers, "relay", "tidepoold") if clients <= SERVERS else (*poolers, "tidepoold")
            rows.append(ByPgbench(f"transaction, {what}", setup, limits, contenders=alone, clients=clients,
                                  arguments=("-M", mode, "-j", min(2, clients)), logins_count=clients < 1000, group="transaction"))
    return rows


def visit_rows():
    """Clients that stay for one statement, and texts that say nothing about what they do."""
    setup = Setup(SERVERS, mode="transaction")
    rows = []
    for clients in (8, 64):
        rows.append(WithPostgres(f"visit, prepares and runs one statement, {client_count(clients)}", setup, NO_SLOWER, mode="visit", clients=clients,
                                 query="select abalance from pgbench_accounts where aid = 1", group="visit"))
    for what, query in (("a DO block", "do $$ begin perform 1; end $$"), ("a function", f"select {DOUBTFUL}")):
        for mode in ("simple", "prepared"):
            rows.append(WithPostgres(f"in doubt, {what}, {mode}, 16 clients", setup, mode=mode, clients=16, query=query, group="visit"))
    return rows


def workers_rows():
    setup = Setup(SERVERS, mode="transaction", workers=2)
    others = {"contenders": ("pgbouncer", "odyssey", "pg_doorman", ONE_WORKER, "tidepoold"), "group": "workers"}
    limits = {("cpu_us", ONE_WORKER): (AT_MOST, 1.25)}
    rows = []
    for mode in MODES:
        for clients in (16, 64, 1000):
            rows.append(ByLoad(f"two workers, fake server, {mode}, {client_count(clients)}", setup, limits, mode=mode, clients=clients, **others))
        rows.append(ByPgbench(f"two workers, {mode}, 64 clients", setup, limits, clients=64, arguments=("-M", mode, "-j", 2), **others))
    return rows


def transaction_calls_rows():
    setup = Setup(SERVERS, mode="transaction")
    return [CallsByLoad(f"calls, transaction, {mode}, {client_count(clients)} on {SERVERS} servers", setup,
                        {("calls", None): (AT_MOST, 4.4)} if clients >= 16 else {}, mode=mode, clients=clients, group="calls",
                        contenders=("pgbouncer", "odyssey", "pg_doorman", "relay", "tidepoold"))
            for mode in MODES for clients in (1, 16, 64, 128, 1000)]


def fairness_rows():
    setup = Setup(8, mode="transaction")
    limits = {("p99_p50", "pgbouncer"): (AT_MOST, 1.1)}     # no worse; PgBouncer against itself comes to 1.1 as well
    return [Fairness(f"fairness, {where}500 clients on 8 servers", setup, limits, clients=500, server=server, group="fairness")
            for where, server in (("fake server, ", "fake"), ("", "postgres"))]
