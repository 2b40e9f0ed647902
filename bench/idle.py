"""Clients that are there and do nothing: what each of them costs in memory and at its login, before and after it has asked once.

A fresh process for each sample, since freed memory would be used again. The first 1,000 clients are not counted: what counts is
by how much 4,000 more raise the figure.

In session mode a client that has asked holds a server. What servers cost is not the question here, so tidepoold has all of
them open before the first client comes; PgBouncer, which cannot be brought to that, is in transaction mode for this row, where a
client gives its server back.
"""

from contextlib import ExitStack

from contenders import Setup, start
from figures import cpu_seconds, private_bytes
from harness.waiting import wait_until
from load import Load
from rows import AT_MOST, Row

FIRST, MORE = 1000, 4000


class Idle(Row):
    server = "fake"
    contenders = ("pgbouncer", "tidepoold")
    pairs = 5                               # it hardly differs

    def begin(self, world, names):
        self.world = world

    def end(self):
        pass

    def measure(self, name):
        holds = name.startswith("tidepoold")
        if self.asks:
            setup = Setup(FIRST + MORE) if holds else Setup(20, mode="transaction")
        else:
            setup = Setup(20)
        with ExitStack() as stack:
            contender = stack.enter_context(start(name, self.world.servers["fake"], setup, self.world.programs))
            if holds:
                self._wait_for_servers(contender, setup.pool_size)
            first = self._arrive(stack, contender, FIRST)
            if self.asks:
                self._ask(first)
            memory, cpu = private_bytes(contender.pid), cpu_seconds(contender.pid)
            more = self._arrive(stack, contender, MORE)
            if self.asks:
                self._ask(more)
            found = {"kib_per_client": (private_bytes(contender.pid) - memory) / MORE / 1024}
            if not self.asks:
                found["cpu_us_per_login"] = (cpu_seconds(contender.pid) - cpu) / MORE * 1e6
        return found

    def _arrive(self, stack, contender, clients):
        return stack.enter_context(Load(self.world.programs.of_bench("load"), contender.socket_path, clients=clients,
                                        transactions=clients))

    @staticmethod
    def _ask(load):
        load.begin()
        result = load.result()
        assert not result["failures"], result["failures"]

    @staticmethod
    def _wait_for_servers(contender, count):
        wait_until(lambda: contender.pool_stats()["pool_available"] == count, f"{count} servers rest in the pool", 120, 0.2)


def idle_rows():
    return [Idle("idle, 5,000 clients", Setup(), {("kib_per_client", None): (AT_MOST, 1.25), ("cpu_us_per_login", "pgbouncer"): (AT_MOST, 0.8)},
                 group="idle", asks=False),
            Idle("idle, 5,000 clients that have asked once", Setup(), {("kib_per_client", None): (AT_MOST, 1.25)}, group="idle", asks=True)]
