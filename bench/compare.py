"""The part of bench/run after the build."""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/integration"))

from bench_database import make_bench_database  # noqa: E402
from contenders import OLD, Programs, Server, start_fake_server  # noqa: E402
from harness.postgres import PrivatePostgres, newest_bin_dir  # noqa: E402
from idle import idle_rows  # noqa: E402
from report import lines, summary  # noqa: E402
from restart import restart_rows  # noqa: E402
from peers import PREPARES, first_line, pgbouncer_version  # noqa: E402
from rows import (calls_rows, connect_rows, copy_rows, fairness_rows, steady_rows, transaction_calls_rows,  # noqa: E402
                  transaction_rows, visit_rows, workers_rows)


@dataclass
class World:
    programs: Programs
    servers: dict
    seconds: float
    postgres: PrivatePostgres = None

    def start_servers(self, stack, kinds):
        if "fake" in kinds:
            self.servers["fake"] = Server(stack.enter_context(start_fake_server(self.programs)).folder)
        if "postgres" in kinds:
            self.postgres = stack.enter_context(PrivatePostgres(settings={"max_connections": 400}))
            self.servers["postgres"] = make_bench_database(self.postgres)


def all_rows():
    return [*connect_rows(), *steady_rows(), *transaction_rows(), *visit_rows(), *workers_rows(), *fairness_rows(), *calls_rows(), *transaction_calls_rows(),
            *copy_rows(), *idle_rows(), *restart_rows()]


def read_arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description="Compares tidepoold with other poolers, a byte relay and no pooler.")
    parser.add_argument("--only", action="append", metavar="WORDS", help="rows whose name matches this regular expression")
    parser.add_argument("--list", action="store_true", help="the rows' names")
    parser.add_argument("--pairs", type=int, default=9, metavar="N", help="samples of each contender (default: 9)")
    parser.add_argument("--seconds", type=float, default=1, metavar="S", help="how long a sample takes (default: 1)")
    parser.add_argument("--quick", action="store_true", help="3 pairs: to see whether it works")
    parser.add_argument("--contenders", metavar="A,B", help="only these, of direct, pgbouncer, debian, odyssey, pg_doorman, relay, one worker, old, tidepoold")
    parser.add_argument("--old", metavar="PATH", help="a tidepoold of before a change; without --contenders, that and tidepoold alone are compared")
    parser.add_argument("--pgbouncer", metavar="PATH", default=os.environ.get("BENCH_PGBOUNCER", "pgbouncer"),
                        help="another one than the system's; rows of transaction mode want 1.21 or newer (or $BENCH_PGBOUNCER)")
    parser.add_argument("--odyssey", metavar="PATH", default=os.environ.get("BENCH_ODYSSEY"),
                        help="rows of transaction mode have it too (or $BENCH_ODYSSEY)")
    parser.add_argument("--pg-doorman", metavar="PATH", default=os.environ.get("BENCH_PG_DOORMAN"), help="and this one (or $BENCH_PG_DOORMAN)")
    parser.add_argument("--tidepool", action="append", metavar="PATH", help="another tidepoold than build/release; twice: two to compare")
    parser.add_argument("--json", metavar="FILE", default=str(ROOT / "build/bench.json"), help="where the results go (default: build/bench.json)")
    options = parser.parse_args()
    if options.old and not options.contenders:
        options.contenders = f"{OLD},tidepoold"
    return options


def alternate(row, world, pairs, names):
    """Each pair takes one sample of every contender; every other pair in the opposite order."""
    samples = {name: [] for name in names}
    try:
        row.begin(world, names)
        for pair in range(pairs):
            for name in names if pair % 2 == 0 else reversed(names):
                samples[name].append(row.measure(name))
    finally:
        row.end()
    return samples


def find_peers(options):
    """Other poolers, name to path; `debian` is the system's PgBouncer as long as it is one that knows no prepared statements."""
    given = {"pgbouncer": options.pgbouncer, "odyssey": options.odyssey, "pg_doorman": options.pg_doorman}
    found = {name: path for name, path in given.items() if path and (not options.contenders or name in options.contenders.split(","))}
    for path in found.values():
        if not shutil.which(path):
            sys.exit(f"{path} is no program.")
    system = pgbouncer_version("pgbouncer")
    if system and system < PREPARES:
        found["debian"] = "pgbouncer"
    return {name: shutil.which(path) for name, path in found.items()}


def machine(programs):
    """Where and with what: `name: value` for docs/benchmarks.md."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    names = {"pgbouncer": "PgBouncer", "debian": "Debian's PgBouncer", "odyssey": "Odyssey", "pg_doorman": "pg_doorman"}
    versions = {names[name]: first_line(path, "--version").split(maxsplit=2)[1] for name, path in programs.peers.items()}
    return {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "machine": f"{os.cpu_count()} CPUs ({model[1] if model else platform.machine()}), Linux {platform.release().split('-')[0]}",
            "PostgreSQL": first_line(newest_bin_dir() / "postgres", "--version").removeprefix("postgres (PostgreSQL) "),
            **versions, "tidepoold": first_line("git", "-C", ROOT, "describe", "--always", "--dirty")}


def main():
    options = read_arguments()
    rows = [row for row in all_rows() if not options.only or any(re.search(words, row.name) for words in options.only)]
    if options.list:
        print("\n".join(row.name for row in rows))
        return 0
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    paths = options.tidepool or [ROOT / "build/release/daemon/tidepoold"]
    tidepoolds = {OLD: Path(options.old).resolve()} if options.old else {}
    tidepoolds |= {"tidepoold" if i == 0 else f"tidepoold {i + 1}": Path(path).resolve() for i, path in enumerate(paths)}
    programs = Programs(ROOT / "build/release", find_peers(options), tidepoolds)
    found = []
    with ExitStack() as stack:
        world = World(programs, {}, options.seconds)
        world.start_servers(stack, {row.server for row in rows})
        for row in rows:
            names = [name for name in row.contenders if name != "tidepoold"] + list(tidepoolds)
            names = [name for name in names if programs.can_start(name, row.setup)]
            if options.contenders:
                names = [name for name in names if name in options.contenders.split(",")]
            if not names:
                continue
            pairs = 3 if options.quick else min(options.pairs, row.pairs or options.pairs)
            found.append(summary(row, alternate(row, world, pairs, names)))
            print("\n".join(lines(found[-1])), flush=True)
            Path(options.json).write_text(json.dumps({"machine": machine(programs), "rows": found}, indent=1))
    return 0


try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
