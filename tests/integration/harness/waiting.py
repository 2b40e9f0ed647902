"""Waiting for a condition, never for a time."""

import os
import time

# Sanitizers make everything slower: tools/test sets this, and every time limit of the harness is multiplied by it.
SLOWNESS = float(os.environ.get("TIDEPOOL_SLOWNESS", "1"))


class TimedOut(AssertionError):
    """A condition did not come true in time."""


def wait_until(condition, what, timeout=10.0, interval=0.01):
    """Calls `condition` until it returns something true, and returns that. `what` completes the sentence
    "waited in vain until ..."; where it is a function, what it returns does."""
    deadline = time.monotonic() + timeout * SLOWNESS
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimedOut(f"waited in vain for {timeout * SLOWNESS:g} s until {what() if callable(what) else what}")
        time.sleep(interval)


def holds_for(condition, what, duration=0.5, interval=0.01):
    """Fails as soon as `condition` is not true; returns when it has been for `duration`. For what must *not* happen."""
    deadline = time.monotonic() + duration
    while time.monotonic() < deadline:
        assert condition(), what() if callable(what) else what
        time.sleep(interval)
