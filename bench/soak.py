"""The part of bench/soak after the build.

Rounds: a storm (storm.py), then calm. In the calm all clients are gone and the pool has its base size again, so that the daemon's memory and
descriptors can be compared from round to round; flatness.py has the rule.
"""

import argparse
import resource
import sys
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/integration"))

from crowd import crowd  # noqa: E402
from figures import open_descriptors, private_bytes  # noqa: E402
from flatness import DESCRIPTORS, MEMORY, judge  # noqa: E402
from harness.daemon import Tidepool  # noqa: E402
from harness.postgres import PrivatePostgres  # noqa: E402
from harness.waiting import wait_until  # noqa: E402
from storm import BASE_SIZE, Storm  # noqa: E402

LOAD = ROOT / "build/release/bench/bench_load"


def calm(storm):
    """Base size, nobody there; what the daemon holds then. The asking itself comes and goes by a connection: the least of several looks."""
    daemon = storm.daemon
    storm.reload({})

    def rests():
        stats = daemon.pool_stats("bench")
        return stats["pool_available"] == stats["pool_size"] == BASE_SIZE

    wait_until(rests, lambda: f"the pool has its base size again; it has {daemon.pool_stats('bench')}", 60, 0.1)
    looks = []
    for _ in range(10):
        time.sleep(0.05)
        looks.append((private_bytes(daemon.pid), open_descriptors(daemon.pid)))
    return tuple(map(min, zip(*looks)))


def report(name, samples, tolerance, unit=1):
    verdict = judge(samples, tolerance)
    print(f"{name}: {verdict.middle / unit:.0f} in the second third, {verdict.last / unit:.0f} in the last"
          f" (at most {verdict.tolerance / unit:.0f} more): {'flat' if verdict.is_flat else 'GROWN'}", flush=True)
    return verdict.is_flat


def soak(daemon, postgres, settings, seconds):
    storm = Storm(daemon, postgres, settings, LOAD)
    round_seconds = min(30, seconds / 15)
    samples, end = [], time.monotonic() + seconds
    while time.monotonic() < end or len(samples) < 9:
        storm.blow(round_seconds)
        samples.append(calm(storm))
        print(f"{len(samples):4}  {samples[-1][0] / 1024:8.0f} KiB  {samples[-1][1]:3} descriptors"
              f"  {storm.count.get('connections', 0)} connections", flush=True)
    print(", ".join(f"{count} {what}" for what, count in storm.count.items()))
    for problem in storm.wrong[:20]:
        print(f"WRONG: {problem}")
    memory, descriptors = zip(*samples)
    flat = [report("private memory, KiB", memory, MEMORY, 1024), report("descriptors", descriptors, DESCRIPTORS)]
    return all(flat) and not storm.wrong


def main():
    parser = argparse.ArgumentParser(prog="bench/soak", description="Wears tidepoold out, and looks at what is left.")
    parser.add_argument("--seconds", type=float, metavar="N", help="how long (default: 3600; with --crowd 600)")
    parser.add_argument("--crowd", action="store_true", help="10,000 idle clients and 1,000 active ones on a pool of 20, in place of the storm")
    parser.add_argument("--tidepool", metavar="PATH", default=ROOT / "build/release/daemon/tidepoold", help="another binary")
    options = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    with ExitStack() as stack:
        postgres = stack.enter_context(PrivatePostgres())
        postgres.create_role("app")
        postgres.create_database("bench")
        size = 20 if options.crowd else BASE_SIZE
        daemon = Tidepool("", binary=Path(options.tidepool).resolve())
        settings = {"workers": 2, "log": {"level": "warning"}, "limits": {"max_clients": 12000},
                    "pools": {"bench": {"conninfo": postgres.conninfo("bench", "app"), "min_size": size, "max_size": size}}}
        daemon.write_settings(settings)
        stack.enter_context(daemon)
        if options.crowd:
            good = crowd(daemon, LOAD, options.seconds or 600, report)
        else:
            good = soak(daemon, postgres, settings, options.seconds or 3600)
        if not good:
            print(f"The end of its log:\n{daemon.log()[-3000:]}")
    return 0 if good else 1


sys.exit(main())
