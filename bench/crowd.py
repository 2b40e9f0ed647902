"""10,000 idle clients, 1,000 that connect, ask once and leave, again and again, and 20 servers for all of them.

Memory is looked at while they work, so it has to be at its peak before: in the beginning every server is held by somebody, until all of
the active clients wait in line.
"""

import time
from contextlib import ExitStack

from figures import open_descriptors, private_bytes
from flatness import MEMORY
from harness.waiting import wait_until
from load import Load

IDLE, ACTIVE, SERVERS = 10_000, 1_000, 20
IN_ONE_PROCESS = 5_000                      # of the load's: each client is a descriptor there too
SAMPLES = 30
OTHERS = 100                                # the daemon's own descriptors, and the console's


def crowd(daemon, load_program, seconds, report):
    """Whether nobody got an error, everybody was still there in the end, and memory was flat."""
    samples, wrong = [], []
    with ExitStack() as stack:
        for _ in range(IDLE // IN_ONE_PROCESS):
            stack.enter_context(Load(load_program, daemon.socket_path, clients=IN_ONE_PROCESS, transactions=IN_ONE_PROCESS))
        active = stack.enter_context(Load(load_program, daemon.socket_path, mode="connect", clients=ACTIVE, seconds=seconds))
        with Load(load_program, daemon.socket_path, clients=SERVERS, transactions=SERVERS) as holders:
            holders.begin()
            holders.result()
            active.begin()
            wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == ACTIVE, "all of the active clients wait", 25)
            holders.leave()
        begin = time.monotonic()
        for number in range(1, SAMPLES + 1):
            time.sleep(max(0, begin + seconds * number / (SAMPLES + 1) - time.monotonic()))
            samples.append((private_bytes(daemon.pid), open_descriptors(daemon.pid)))
            print(f"{samples[-1][0] / 1024:8.0f} KiB  {samples[-1][1]:5} descriptors", flush=True)
        result = active.result()
        active.leave()
        there = sum(client["state"] == "idle" for client in daemon.console("SHOW CLIENTS"))
    print(f"{result['transactions']} transactions, {result['transactions'] / result['seconds']:.0f} per second,"
          f" the longest wait {result['longest_wait']:.2f} s")
    if result["failures"]:
        wrong.append(f"failures: {result['failures']}")
    if there < IDLE:
        wrong.append(f"{there} idle clients are left of {IDLE}")
    memory, descriptors = zip(*samples)
    if max(descriptors) > IDLE + ACTIVE + SERVERS + OTHERS:
        wrong.append(f"{max(descriptors)} descriptors")
    for problem in wrong:
        print(f"WRONG: {problem}")
    return report("private memory, KiB", memory, MEMORY, 1024) and not wrong
