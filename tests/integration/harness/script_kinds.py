"""What steps of session scripts are made of; the kinds of steps stand in KINDS, each a function of the script in the making (session_scripts.py)
that returns what is sent."""

import struct
from dataclasses import dataclass

from harness.script_replies import spoken
from harness.wire import SYNC, close

OTHER, PAST = "another client", "past the pool"


@dataclass(frozen=True)
class Send:
    """Bytes, and what the client waits for before it goes on: until so many ReadyForQuery have come in this step, or for a message of one of
    these types (or a ReadyForQuery, whatever comes first). `cancel`: first a cancel request, if a message of that type ended the last wait.
    `by`: another session says this Query, of the pool (OTHER) or on a connection to PostgreSQL (PAST), and the client waits until it is done: if it is
    in no transaction, whose locks would have to be waited for, or if `whenever`."""
    data: bytes
    ready: int = 0
    types: str = ""
    cancel: str = ""
    by: str = ""
    whenever: bool = False

    def __str__(self):
        return f"[{self.by or 'cancel'}] {spoken(self.data)}" if self.by or self.cancel else spoken(self.data)


@dataclass(frozen=True)
class Step:
    kind: str
    sends: tuple

    def __str__(self):
        return f"{self.kind}: " + " | ".join(map(str, self.sends))


def said(*data, ready=1):
    return (Send(b"".join(data), ready),)


def readies(data):
    """How many ReadyForQuery these messages ask for."""
    count, at = 0, 0
    while at < len(data):
        count += data[at:at + 1] in (b"Q", b"S", b"F")
        at += 1 + struct.unpack_from("!I", data, at + 1)[0]
    return count


# Ends a batch, and no unnamed statement of it is left.
FORGOTTEN = (SYNC, close("S"), SYNC)

# What a step may be: (weight, flags, function). P: keeps the server; X: an explicit transaction; O: objects of the script's own (session_scripts.py).
KINDS = {}


def kind(weight, flags=""):
    def register(function):
        KINDS[function.__name__] = (weight, flags, function)
        return function
    return register
