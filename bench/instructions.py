"""The part of bench/instructions after the build.

callgrind counts what a daemon runs between two moments: all clients are there, and a fixed number of transactions is done. Unlike time, that hardly depends on
what else the machine does; where several clients ask at once, how many of them a turn of the loop finds does, so the median of some samples is taken.
"""

import argparse
import re
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/integration"))

from bench_database import DOUBTFUL, make_bench_database  # noqa: E402
from contenders import OLD, Programs, Server, Setup, start, start_fake_server  # noqa: E402
from callgrind import functions, grown  # noqa: E402
from harness.postgres import PrivatePostgres  # noqa: E402
from load import Load  # noqa: E402

MOST = 1.02                                 # of new to old
WARM_UP = 100
# The clients' own name: servers that have another one are given it, or replaced in the end, and how many have been by then is not the same each time.
NAME = {"application_name": "load"}
TRANSACTION, SESSION = Setup(4, mode="transaction", **NAME), Setup(16, **NAME)
DISCARDS = Setup(4, "discard_all", **NAME)


@dataclass
class Work:
    name: str
    setup: Setup
    mode: str
    clients: int
    transactions: int = 2000
    query: str = "select 1"
    server: str = "fake"
    is_judged: bool = True                  # False: more is done than before, on purpose, or it is not the same each time


WORKS = [
    # Who waits for whom, of 16 clients on 4 servers, is another matter each time: an old build against itself comes to 0.98 to 1.02.
    *(Work(f"transaction, {mode}, {clients} clients", TRANSACTION, mode, clients, is_judged=clients <= 4)
      for mode in ("simple", "extended", "prepared") for clients in (1, 4, 16)),
    *(Work(f"session, {mode}, {clients} clients", SESSION, mode, clients) for mode in ("simple", "prepared") for clients in (1, 16)),
    Work("connect, ask, leave, transaction mode, 8 clients", TRANSACTION, "connect", 8, 1000),
    Work("connect, ask, leave, session mode, 8 clients", DISCARDS, "connect", 8, 1000),
    *(Work(f"PostgreSQL, transaction, {mode}, 4 clients", TRANSACTION, mode, 4, server="postgres", query="select abalance from pgbench_accounts where aid = 1")
      for mode in ("simple", "extended", "prepared")),
    Work("PostgreSQL, visit, prepares and runs one statement, 4 clients", TRANSACTION, "visit", 4, 1000, server="postgres", is_judged=False,
         query="select abalance from pgbench_accounts where aid = 1"),
    Work("PostgreSQL, in doubt, a DO block, 4 clients", TRANSACTION, "simple", 4, 2000, "do $$ begin perform 1; end $$", "postgres", False),
    Work("PostgreSQL, in doubt, a function, 4 clients", TRANSACTION, "simple", 4, 2000, f"select {DOUBTFUL}", "postgres", False),
]


class Counted:
    """A daemon under callgrind."""

    def __init__(self, stack, name, server, work, programs):
        callgrind = ["setpriv", "--pdeathsig", "KILL", "valgrind", "--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=counted.%p"]
        self.work, self.load = work, programs.of_bench("load")
        self.contender = stack.enter_context(start(name, server, work.setup, programs, callgrind))
        self.dumps = 0
        self.run(WARM_UP)

    def run(self, transactions):
        """Instructions per transaction."""
        with Load(self.load, self.contender.socket_path, mode=self.work.mode, clients=self.work.clients, transactions=transactions,
                  query=self.work.query) as load:
            self.tell("--zero")
            load.begin()
            result = load.result()
            self.tell("--dump")
            load.leave()
        assert not result["failures"], result["failures"]
        self.dumps += 1
        return sum(self.by_function().values()) / transactions

    def tell(self, command):
        done = subprocess.run(["callgrind_control", command, str(self.contender.pid)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and "OK" in done.stdout, f"callgrind_control {command}: {done.stdout}{done.stderr}"

    def by_function(self):
        """Of the last dump: instructions by function."""
        return functions(self.contender.folder / f"counted.{self.contender.pid}.{self.dumps}")


def read_arguments():
    parser = argparse.ArgumentParser(prog="bench/instructions", description="Counts instructions per transaction by callgrind.")
    parser.add_argument("--old", metavar="PATH", type=Path, help="a tidepoold to compare with")
    parser.add_argument("--tidepool", metavar="PATH", type=Path, default=ROOT / "build/release/daemon/tidepoold", help="another than build/release")
    parser.add_argument("--only", metavar="WORDS", default="", help="kinds whose name matches this regular expression")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--transactions", type=int, help="of each sample, in place of what each kind has")
    parser.add_argument("--functions", action="store_true", help="those that cost more than before, of every kind; else where it is too much")
    return parser.parse_args()


def main():
    options = read_arguments()
    works = [replace(work, transactions=options.transactions or work.transactions) for work in WORKS if re.search(options.only, work.name)]
    tidepoolds = {OLD: options.old.resolve()} if options.old else {}
    tidepoolds["tidepoold"] = options.tidepool.resolve()
    programs = Programs(ROOT / "build/release", {}, tidepoolds)
    is_good = True
    with ExitStack() as servers:
        found = {}
        if any(work.server == "fake" for work in works):
            found["fake"] = Server(servers.enter_context(start_fake_server(programs)).folder)
        if any(work.server == "postgres" for work in works):
            found["postgres"] = make_bench_database(servers.enter_context(PrivatePostgres()))
        for work in works:
            with ExitStack() as stack:
                counted = {name: Counted(stack, name, found[work.server], work, programs) for name in tidepoolds}
                samples = {name: [] for name in counted}
                for _ in range(options.samples):
                    for name, one in counted.items():
                        samples[name].append(one.run(work.transactions))
                medians = {name: median(taken) for name, taken in samples.items()}
                words = "  ".join(f"{name} {medians[name]:9,.0f} ({min(taken):,.0f} to {max(taken):,.0f})" for name, taken in samples.items())
                ratio = medians["tidepoold"] / medians[OLD] if options.old else 1
                judged = "" if not options.old else f"  ratio {ratio:.4f}" + (f"  at most {MOST}: {'met' if ratio <= MOST else 'MISSED'}" if work.is_judged else "")
                print(f"{work.name}:  {words}{judged}", flush=True)
                is_good = is_good and (ratio <= MOST or not work.is_judged)
                if options.old and (options.functions or ratio > MOST):
                    print(*grown(counted["tidepoold"].by_function(), counted[OLD].by_function(), work.transactions), sep="\n", flush=True)
    return 0 if is_good else 1


sys.exit(main())
