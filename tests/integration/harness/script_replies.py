"""What session scripts say and hear: in words, for people, and made comparable. What PostgreSQL promises to nobody (process ids, OIDs and schemas of
temporary objects, the places in its sources) is made equal by normalised()."""

import re
import struct
from pathlib import Path

from harness.wire import Message

def spoken(data):
    """Messages of a client, in words."""
    words, at = [], 0
    while at + 5 <= len(data):
        size = struct.unpack_from("!I", data, at + 1)[0]
        letter, body = chr(data[at]), data[at + 5:at + 1 + size]
        at += 1 + size
        strings = [_shortened(part) for part in body.split(b"\0", 2)]
        if letter == "Q":
            words.append(f"Q {strings[0]!r}")
        elif letter == "P":
            words.append(f"Parse({strings[0]!r}, {strings[1]!r}, {body.split(bytes(1), 2)[2][2:].hex()})")
        elif letter == "B":
            words.append(f"Bind({strings[0]!r}, {strings[1]!r}, {body.split(bytes(1), 2)[2]!r})")
        elif letter in "DC":
            words.append(f"{'Describe' if letter == 'D' else 'Close'}({strings[0]!r})")
        elif letter == "E":
            words.append(f"Execute({strings[0]!r}, {struct.unpack('!I', body[-4:])[0]})")
        else:
            words.append({"S": "Sync", "H": "Flush", "c": "CopyDone", "f": "CopyFail", "X": "Terminate"}.get(letter, f"{letter} {body[:60]!r}"))
    return " ".join(words)


def _shortened(text):
    try:
        shown = text.decode()
    except UnicodeDecodeError:
        return text
    return shown if len(shown) < 1000 else f"{shown[:60]}... {len(shown)} letters ...{shown[-60:]}"


NOT_COMPARED_IN_ERRORS = b"FLR"         # where in PostgreSQL's sources; errors that the pooler makes have none

# What is forgiven in transaction and statement mode, and the row of the table of known differences that says so: as long as the table has it.
ROWS = {
    "late": "ParameterStatus behind RESET ALL and DISCARD ALL",
    "failed": "in a failed transaction, a Bind or Describe of a statement that is not prepared on that server",
    "gone": "Describe of a statement whose table is gone, or whose rows have changed, on a server that has not prepared it",
    "impossible": "a Bind of a statement that DDL has made impossible, or given other rows, on a server that has not prepared it",
}


def known_to_differ():
    """The names of ROWS that docs/transaction-mode.md has."""
    table = (Path(__file__).resolve().parents[3] / "docs/transaction-mode.md").read_text().partition("## What is known to differ")[2]
    cells = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")}
    return frozenset(name for name, row in ROWS.items() if row in cells)


def first_difference(script, direct, pooled):
    """The number of the first step whose replies differ, or None; direct[0] and pooled[0] are those to the login. `script.forgiven` has names of ROWS.

    Where "late" is forgiven, what the client was told by ParameterStatus behind a RESET or DISCARD ALL is compared behind the step after it, and only there
    not message by message."""
    told = ({}, {})
    late = failed = False
    for number in range(max(len(direct), len(pooled))):
        sides = [replies[number] if number < len(replies) else None for replies in (direct, pooled)]
        if None in sides:
            return number
        for known, replies in zip(told, sides):
            known.update(body.split(b"\0")[:2] for letter, body in replies if letter == "S")
        resets = "late" in script.forgiven and 0 < number <= len(script.steps) and _resets(script.steps[number - 1], sides[0], "every reset" not in script.forgiven)
        if sides[0] != sides[1]:
            compared = [normalised(replies, not late and not resets) for replies in sides]
            if not _is_same(*compared, failed, script.forgiven):
                return number
            if _loses_names(*compared):
                return None                     # what is said from here on is of other statements
        statuses = [body for letter, body in sides[0] if letter == "Z"]
        failed = statuses[-1] == b"E" if statuses else failed
        if late and not resets and script.exact and number <= len(script.steps) and told[0] != told[1]:
            return number
        late = resets or (late and (number > len(script.steps) or not script.exact))
    return None


def _is_same(direct, pooled, failed, forgiven):
    requests = [_up_to_ready(replies) for replies in (direct, pooled)]
    if len(requests[0]) != len(requests[1]):
        return False
    for ours, theirs in zip(*requests):
        if ours != theirs and not ("gone" in forgiven and _describes_what_is_gone(ours, theirs)) \
                and not ("impossible" in forgiven and _looks_at_values_first(ours, theirs)) \
                and not ("failed" in forgiven and failed and _is_refused_in_a_failed_transaction(ours, theirs)):
            return False
        failed = ours[-1:] == [("Z", b"E")]
    return True


def _is_refused_in_a_failed_transaction(ours, theirs):
    """In a failed transaction a server cannot prepare what it has not: what is wrong with the values of a Bind, or what a Describe would tell, it does not
    say then, but that the transaction has failed. Never of what runs there."""
    before = theirs[:-2]
    if not (_is_error(theirs[-2:-1], b"25P02") and ours[:len(before)] == before and ours[-1:] == theirs[-1:] == [("Z", b"E")]):
        return False
    instead = ours[len(before):]
    return instead[0][0] == "t" or _is_error(instead[:1], b"08P01")


def _describes_what_is_gone(ours, theirs):
    """Behind Describe of a statement whose table is gone, or whose rows have changed: who prepares it for that says the error at once."""
    before = theirs[:-2]
    if not ((_is_error(theirs[-2:-1], b"42P01") or _is_error(theirs[-2:-1], b"0A000")) and ours[:len(before)] == before and ours[-1] == theirs[-1]):
        return False
    described, *instead = ours[len(before):-1]
    return described[0] == "t" and len(instead) == 1 and ((instead[0][0] == "n" and _is_error(theirs[-2:-1], b"42P01")) or instead[0] == theirs[-2])


def _looks_at_values_first(ours, theirs):
    """A value that is none of its type is noticed first, where the statement is prepared already. What else is wrong is of class 42, a type that is gone, rows that have changed, or a view
    that nothing can be written to."""
    before = theirs[:-2]
    if _is_error(theirs[-2:-1], b"XX000") and ours == [*before, ("E", theirs[-2][1] + b"\0Wunnamed portal parameter $1"), theirs[-1]]:
        return True
    return (len(ours) == len(theirs) and ours[:-2] == before and ours[-1] == theirs[-1] and any(_is_error(theirs[-2:-1], state) for state in (b"42", b"0A000", b"55000"))
            and b"Wunnamed portal parameter" in ours[-2][1]
            and _is_error(ours[-2:-1], b"22"))


def _is_error(replies, sqlstate):
    """An error of this SQLSTATE, or class."""
    return bool(replies) and replies[0][0] == "E" and any(field.startswith(b"C" + sqlstate) for field in replies[0][1].split(b"\0"))


def _loses_names(direct, pooled):
    """Of two that are the same as above: behind the refusal a Parse or Close was skipped that directly was not."""
    return any(ours != theirs and any(letter in "13" for letter, _ in ours[len(theirs) - 2:])
               for ours, theirs in zip(_up_to_ready(direct), _up_to_ready(pooled)))


def _up_to_ready(replies):
    requests = [[]]
    for reply in replies:
        requests[-1].append(reply)
        if reply[0] == "Z":
            requests.append([])
    return requests


def _resets(step, replies, of_all):
    """RESET ALL or DISCARD ALL; if not `of_all`, whatever goes back to startup values."""
    sent = b" ".join(send.data for send in step.sends)
    by_tag = any(letter == "C" and (body == b"DISCARD ALL\0" or (body == b"RESET\0" and (not of_all or not re.search(rb"(?i)reset\s+\w+", sent)
                                                                                           or re.search(rb"(?i)reset[^;]*\ball\b", sent)))) for letter, body in replies)
    return by_tag or (not of_all and re.search(rb"(?i)default|time zone local", sent) is not None)


def normalised(replies, statuses_too=True):
    """Replies [(type, body), ...] of one step with what may differ made equal: ParameterStatus are a set in front of the
    ReadyForQuery that they came before."""
    found, statuses = [], []
    for letter, body in replies:
        if letter == "S":
            if statuses_too:
                statuses.append((letter, body))
            continue
        if letter == "K":
            body = b""
        elif letter == "A" and body[:4] not in (OWN, ANOTHERS):
            body = body[4:]
        elif letter in "EN":
            body = _without_places(body)
            if letter == "N" and not _says_something(body):
                continue
        elif letter == "D" and b"pg_temp_" in body:
            body = re.sub(rb"pg_temp_\d+", b"pg_temp_N", b"\0".join(value or b"" for value in Message(letter, body).values))
        elif letter == "T":
            body = _without_own_oids(body)
        elif letter == "t":
            types = struct.unpack_from(f"!{struct.unpack_from('!H', body)[0]}I", body, 2)
            body = repr([min(oid, FIRST_OF_USERS) for oid in types]).encode()
        elif letter == "Z" and statuses:
            found += sorted(statuses)
            statuses = []
        found.append((letter, body))
    return found + sorted(statuses)


# In place of the process id of a notification (differential.py).
OWN, ANOTHERS = b"own ", b"oth "
FIRST_OF_USERS = 16384
# In errors: OIDs of types; a function's schema, which PL/pgSQL names as the process that compiled it saw it.
OF_ITS_OWN = rb"(?<=lookup failed for type )\d+|(?<=type with OID )\d+|(?<=PL/pgSQL function )shared\."


def _without_places(body):
    fields = [part for part in body.split(b"\0") if part and part[0] not in NOT_COMPARED_IN_ERRORS]
    if b"C57014" in fields:
        fields = [part for part in fields if part[0] != ord("W")]
    return re.sub(rb"pg_temp_\d+", b"pg_temp_N", re.sub(OF_ITS_OWN, b"", b"\0".join(fields)))


def _says_something(notice):
    """Of DEBUG messages, what is parsed and bound, and whatever has a name of ours: the rest is of transactions' numbers and caches."""
    return b"VDEBUG" not in notice or re.search(rb"\0M(parse|bind) ", notice) is not None or b"tidepool" in notice


def _without_own_oids(body):
    """A RowDescription whose columns' table is only: none, or one; and so for types that are not PostgreSQL's own."""
    out, at = bytearray(body), 2
    for _ in range(struct.unpack_from("!H", body)[0]):
        at = body.index(b"\0", at) + 1
        if out[at:at + 4] != b"\0\0\0\0":
            out[at:at + 4] = b"\0\0\0\1"
        if struct.unpack_from("!I", out, at + 6)[0] >= FIRST_OF_USERS:
            struct.pack_into("!I", out, at + 6, FIRST_OF_USERS)
        at += 18
    return bytes(out)
