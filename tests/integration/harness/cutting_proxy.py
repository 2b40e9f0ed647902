"""A proxy that cuts and delays what passes, and never reorders it: every read that the other end does may then end anywhere.

`@also_cut` on a test runs it a second time with such a proxy between client and daemon, and another between daemon and
PostgreSQL. The seed is printed where such a test fails; TIDEPOOL_SEED=... runs it again with the same cuts.
"""

import os
import random
import socket
import time

import pytest
from harness.proxy import Proxy, hang_up

WHOLE, CUT = "whole", "cut and delayed"
also_cut = pytest.mark.parametrize("tidepool", [WHOLE, CUT], indirect=True)
only_cut = pytest.mark.parametrize("tidepool", [CUT], indirect=True)

FINE = 400              # so many bytes of each read are cut finely, the rest in larger pieces: time is bounded
LONGEST_DELAY = 0.002
DELAYS = 40             # a read is delayed so often at most


class CuttingProxy(Proxy):
    """Each connection and direction has cuts of its own, which follow from the seed."""

    def __init__(self, target, *, seed=None, **others):
        self.seed = int(os.environ.get("TIDEPOOL_SEED") or seed or random.SystemRandom().randrange(1 << 32))
        print(f"{target} is cut by TIDEPOOL_SEED={self.seed}")
        super().__init__(target, **others)

    def _pass_on(self, source, sink, answers):
        chance = random.Random(f"{self.seed} {self.accepted} {answers}")
        try:
            while data := source.recv(65536):
                delays = DELAYS
                for piece in cut(data, chance):
                    if delays and chance.random() < 0.1:
                        delays -= 1
                        time.sleep(chance.random() * LONGEST_DELAY)
                    sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            hang_up(source, sink)


def cut(data, chance):
    """Pieces down to single bytes; a style for each read: byte by byte, around a header's size, or anything."""
    longest = chance.choice((1, 2, 5, 6, 50, 1000))
    at = 0
    while at < len(data):
        size = chance.randint(1, longest if at < FINE else 20_000)
        yield data[at:at + size]
        at += size

