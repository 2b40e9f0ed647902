"""The part of bench/profile after the build."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/integration"))

from contenders import Programs, Server, Setup, start, start_fake_server  # noqa: E402
from load import Load  # noqa: E402

PATHS = {"one query on a held session, 16 clients": (Setup(16), {"mode": "simple", "clients": 16}),
         "connect, ask, leave with DISCARD ALL, 64 clients on 16 servers": (Setup(16, "discard_all"), {"mode": "connect", "clients": 64}),
         **{f"transaction mode, {mode}, 64 clients on 16 servers": (Setup(16, mode="transaction"), {"mode": mode, "clients": 64})
            for mode in ("simple", "extended", "prepared")}}
LINE = re.compile(r"^\s*([\d.]+)%\s+(\S+)\s+\[([.k])\]\s+(.*?)(?:\s+-\s+-)?\s*$", re.M)


def profile(pid, seconds):
    """(share in percent, object, symbol), the largest first; the kernel is one object."""
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "4000", "-p", str(pid), "-o", file.name, "--", "sleep", str(seconds)],
                       check=True, capture_output=True)
        done = subprocess.run(["perf", "report", "-q", "-i", file.name, "--stdio", "--sort", "dso,symbol"], check=True, capture_output=True, text=True)
    return [(float(share), "kernel" if mode == "k" else owner, symbol) for share, owner, mode, symbol in LINE.findall(done.stdout)]


def main():
    parser = argparse.ArgumentParser(prog="bench/profile", description="Where tidepoold's CPU time goes.")
    parser.add_argument("--contender", default="tidepoold", help="pgbouncer or relay in its place")
    parser.add_argument("--pgbouncer", metavar="PATH", default=os.environ.get("BENCH_PGBOUNCER", "pgbouncer"), help="another one than the system's")
    parser.add_argument("--only", metavar="WORDS", default="", help="paths whose title matches this regular expression")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--lines", type=int, default=25, help="symbols to print")
    options = parser.parse_args()
    programs = Programs(ROOT / "build/release", {"pgbouncer": options.pgbouncer}, {"tidepoold": ROOT / "build/release/daemon/tidepoold"})
    with start_fake_server(programs) as fake:
        for title, (setup, work) in PATHS.items():
            if not re.search(options.only, title):
                continue
            with start(options.contender, Server(fake.folder), setup, programs) as contender, \
                    Load(programs.of_bench("load"), contender.socket_path, seconds=options.seconds + 2, **work) as load:
                load.begin()
                lines = profile(contender.pid, options.seconds)
                load.result()
                load.leave()
            print(f"\n{options.contender}: {title}\n")
            owners = Counter()
            for share, owner, _ in lines:
                owners[owner] += share
            print("  " + ", ".join(f"{owner} {share:.0f} %" for owner, share in owners.most_common() if share >= 0.5) + "\n")
            for share, owner, symbol in lines[:options.lines]:
                print(f"  {share:5.1f} %  {owner:<22} {symbol}")


main()
