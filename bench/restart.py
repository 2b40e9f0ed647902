"""PostgreSQL restarts (`pg_ctl restart -m fast`) under 64 clients that connect, ask and leave, again and again: who notices?"""

import re
import time

from contenders import Setup
from load import Load
from rows import AT_MOST, Row

SECONDS, RESTART_AFTER = 5, 1.5
IN_FLIGHT = re.compile(r"query: (57P01|08006|.*(closed|reset|crash))")     # each pooler has its words


class Restart(Row):
    """`lost`: transactions that had been sent to PostgreSQL when it went, which nobody could save; `refused`: all other failures.
    `back_s`: from the server's own "ready" to the first answer, as far as nothing was answered in between."""
    contenders = ("pgbouncer", "tidepoold")
    pairs = 5

    def sample(self, contender):
        with Load(self.world.programs.of_bench("load"), contender.socket_path, mode="connect", clients=64, seconds=SECONDS) as load:
            load.begin()
            time.sleep(RESTART_AFTER)
            self.world.postgres.restart("fast")
            ready = time.monotonic()
            result = load.result()
            load.leave()
        lost = sum(count for words, count in result["failures"].items() if IN_FLIGHT.match(words))
        return {"lost": lost, "refused": sum(result["failures"].values()) - lost, "back_s": max(0, result["silence_end"] - ready)}


def restart_rows():
    return [Restart("restart of PostgreSQL, 64 reconnecting clients", Setup(16, "discard_all"),
                    {("refused", None): (AT_MOST, 0), ("back_s", None): (AT_MOST, 1)}, group="restart")]
