"""What session scripts say and hear: in words, for people, and made comparable. What PostgreSQL promises to nobody (process ids, OIDs and schemas of
temporary objects, the places in its sources) is made equal by normalised()."""

import re
import struct

from harness.wire import Message

def spoken(data):
    """Messages of a client, in words."""
    words, at = [], 0
    while at + 5 <= len(data):
        size = struct.unpack_from("!I", data, at + 1)[0]
        letter, body = chr(data[at]), data[at + 5:at + 1 + size]
        at += 1 + size
        strings = [part.decode(errors="replace") for part in body.split(b"\0")]
        if letter == "Q":
            words.append(f"Q {strings[0]!r}")
        elif letter == "P":
            words.append(f"Parse({strings[0]!r}, {strings[1]!r}, {body[len(strings[0].encode()) + len(strings[1].encode()) + 4:].hex()})")
        elif letter == "B":
            words.append(f"Bind({strings[0]!r}, {strings[1]!r}, {body[len(strings[0].encode()) + len(strings[1].encode()) + 2:]!r})")
        elif letter in "DC":
            words.append(f"{'Describe' if letter == 'D' else 'Close'}({strings[0]!r})")
        elif letter == "E":
            words.append(f"Execute({strings[0]!r}, {struct.unpack('!I', body[-4:])[0]})")
        else:
            words.append({"S": "Sync", "H": "Flush", "c": "CopyDone", "f": "CopyFail", "X": "Terminate"}.get(letter, f"{letter} {body[:40]!r}"))
    return " ".join(words)


NOT_COMPARED_IN_ERRORS = b"FLR"         # where in PostgreSQL's sources; errors that the pooler makes have none


def first_difference(script, direct, pooled):
    """The number of the first step whose replies differ, or None; direct[0] and pooled[0] are those to the login.

    After a RESET or DISCARD ALL a pool may set the client's startup values again with its next message, and tell then what that changed. So
    what the client was told by ParameterStatus is compared behind that step, and only there not message by message."""
    told = ({}, {})
    late = failed = False
    for number in range(max(len(direct), len(pooled))):
        sides = [replies[number] if number < len(replies) else None for replies in (direct, pooled)]
        if None in sides:
            return number
        for known, replies in zip(told, sides):
            known.update(body.split(b"\0")[:2] for letter, body in replies if letter == "S")
        resets = 0 < number <= len(script.steps) and _resets(script.steps[number - 1], sides[0])
        if sides[0] != sides[1]:
            compared = [normalised(replies, not late and not resets) for replies in sides]
            if not _is_same(*compared, failed):
                return number
            if _loses_names(*compared):
                return None                     # what is said from here on is of other statements
        statuses = [body for letter, body in sides[0] if letter == "Z"]
        failed = statuses[-1] == b"E" if statuses else failed
        if late and not resets and script.exact and number <= len(script.steps) and told[0] != told[1]:
            return number
        late = resets or (late and (number > len(script.steps) or not script.exact))
    return None


def _is_same(direct, pooled, failed):
    """In a failed transaction a server cannot prepare what it has not: what is wrong with a Bind, or what a Describe would tell, it does not
    say then, but that the transaction has failed (docs/transaction-mode.md has that as known to differ)."""
    requests = [_up_to_ready(_without_vain_descriptions(replies)) for replies in (direct, pooled)]
    if len(requests[0]) != len(requests[1]):
        return False
    for ours, theirs in zip(*requests):
        before = theirs[:-2]
        is_refusal = theirs[-2:-1] and theirs[-2][0] == "E" and b"C25P02" in theirs[-2][1] and ours[:len(before)] == before
        if ours != theirs and not (failed and is_refusal and ours[-1:] == theirs[-1:] == [("Z", b"E")]):
            return False
        failed = ours[-1:] == [("Z", b"E")]
    return True


def _without_vain_descriptions(replies):
    """Behind Describe of a statement whose table is gone: who prepares it for that says the error at once (docs/transaction-mode.md)."""
    return [reply for reply, next_one in zip(replies, [*replies[1:], ("", b"")])
            if not (reply[0] == "t" and next_one[0] == "E" and b"C42P01" in next_one[1])]


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


def _resets(step, replies):
    return (any(letter == "C" and body in (b"RESET\0", b"DISCARD ALL\0") for letter, body in replies)
            or any(re.search(rb"(?i)default|time zone local", send.data) for send in step.sends))


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
        elif letter == "A":
            body = body[4:]
        elif letter in "EN":
            fields = [part for part in body.split(b"\0") if part and part[0] not in NOT_COMPARED_IN_ERRORS]
            if b"C57014" in fields:
                fields = [part for part in fields if part[0] != ord("W")]
            body = b"\0".join(fields)
        elif letter == "D" and b"pg_temp_" in body:
            body = re.sub(rb"pg_temp_\d+", b"pg_temp_N", b"\0".join(value or b"" for value in Message(letter, body).values))
        elif letter == "T":
            body = _without_table_oids(body)
        elif letter == "Z" and statuses:
            found += sorted(statuses)
            statuses = []
        found.append((letter, body))
    return found + sorted(statuses)


def _without_table_oids(body):
    """A RowDescription whose columns' table is only: none, or one."""
    out, at = bytearray(body), 2
    for _ in range(struct.unpack_from("!H", body)[0]):
        at = body.index(b"\0", at) + 1
        if out[at:at + 4] != b"\0\0\0\0":
            out[at:at + 4] = b"\0\0\0\1"
        at += 18
    return bytes(out)
