"""Streams of PostgreSQL's protocol, cut into messages and changed at random: what broken programs, broken networks and attackers send.

    frames = Frames(untyped=True)                   # what a client says: its first packets have no type
    pieces = frames.feed(data)
    changed = Mangler(random.Random(seed), CLIENT).mangle(pieces)
    changed.data, changed.what, changed.cuts        # bytes, words for people, whether the connection should end behind them
"""

import struct
from dataclasses import dataclass

from harness import wire
from harness.fake_server import data_row, error_response, notice_response, parameter_status, row_description

CLIENT, SERVER = "client", "server"
ENCRYPTION = (80877103, 80877104)           # SSLRequest, GSSENCRequest: answered by one byte
STARTUP_MAJOR = 3


@dataclass
class Piece:
    """A message, or a part of one; `header` is what stands in front of its length: 1 byte, 0 in a packet without a type, None in the middle."""
    raw: bytes
    header: int | None = 1
    is_whole: bool = True

    @property
    def type(self):
        return chr(self.raw[0]) if self.header == 1 and self.raw else ""


class Frames:
    """Cuts a stream into pieces as it comes. Never waits for more than a header."""

    def __init__(self, untyped=False):
        self.untyped = untyped              # the next packet has no type
        self.is_opaque = False              # encrypted from here on, or no stream of messages at all
        self.single_bytes = 0               # answers of one byte that come next
        self._held = b""
        self._missing = 0                   # bytes of the message that has begun

    def feed(self, data):
        found, data = [], self._held + data
        self._held = b""
        while data:
            if self.is_opaque:
                found.append(Piece(data, None, False))
                break
            if self.single_bytes:
                self.single_bytes -= 1
                self.is_opaque = data[:1] in (b"S", b"G")
                found.append(Piece(data[:1], None, True))
                data = data[1:]
                continue
            if self._missing:
                part, data = data[:self._missing], data[self._missing:]
                self._missing -= len(part)
                found.append(Piece(part, None, False))
                continue
            header = 0 if self.untyped else 1
            if len(data) < header + 4:
                self._held = data
                break
            size = header + max(struct.unpack_from("!I", data, header)[0], 4)
            part, data = data[:size], data[size:]
            self._missing = size - len(part)
            found.append(Piece(part, header, not self._missing))
            if self.untyped:
                self.untyped = not _is_startup(part)
        return found

    def rest(self):
        """What is still in hand when the stream ends."""
        held, self._held = self._held, b""
        return held


def _is_startup(packet):
    return len(packet) >= 8 and struct.unpack_from("!I", packet, 4)[0] >> 16 == STARTUP_MAJOR


def asks_for_encryption(piece):
    return piece.header == 0 and len(piece.raw) == 8 and struct.unpack_from("!I", piece.raw, 4)[0] in ENCRYPTION


@dataclass
class Mangled:
    data: bytes
    what: str
    cuts: bool = False


LENGTHS = (0, 1, 2, 3, 4, 5, 8, 0x7F, 0x100, 0xFFFF, 10_000, 30_000, 30_001, 1 << 20, 0x3FFFFFFF, 0x40000000, 0x7FFFFFFB, 0x7FFFFFFF,
           0x80000000, 0xFFFFFFFB, 0xFFFFFFFF)
NUMBERS = (b"\0\0", b"\0\1", b"\x7f\xff", b"\x80\0", b"\xff\xff", b"\0\0\0\0", b"\0\0\0\1", b"\x7f\xff\xff\xf0", b"\x7f\xff\xff\xff",
           b"\x80\0\0\0", b"\xff\xff\xff\xfe", b"\xff\xff\xff\xff")
SERVER_TYPES = "RSKZTDCENAGHWdc123nsItVv"
CLIENT_TYPES = "QPBEDCSHXFdcfp"


class Mangler:
    """Changes what one `side` says. All chances come from `chance`, so that a seed repeats them."""

    def __init__(self, chance, side):
        self.chance, self.side = chance, side

    def mangle(self, pieces):
        """One to three changes of a block of pieces."""
        pieces, words, cuts = list(pieces), [], False
        for _ in range(self.chance.choice((1, 1, 1, 1, 2, 3))):
            if not pieces:
                break
            change = self.chance.choice(CHANGES)
            what = change(self, pieces)
            words.append(f"{change.__name__.strip('_')} {what}")
            cuts = cuts or what.endswith("cut")
        return Mangled(b"".join(piece.raw for piece in pieces), "; ".join(words), cuts)

    def mangle_opaque(self, data):
        """What is encrypted, or has no messages: bytes only."""
        pieces = [Piece(data, None, False)]
        change = self.chance.choice((_flip_bits, _set_bytes, _insert_bytes, _truncate, _drop, _repeat))
        what = change(self, pieces)
        return Mangled(b"".join(piece.raw for piece in pieces), f"{change.__name__.strip('_')} {what}", what.endswith("cut"))

    def any_message(self):
        return self.chance.choice(SERVER_MESSAGES if self.side == SERVER else CLIENT_MESSAGES)(self.chance)

    def any_index(self, pieces):
        return self.chance.randrange(len(pieces))


# The changes: each takes the pieces, changes them in place, and says what it did.

def _flip_bits(self, pieces):
    at = self.any_index(pieces)
    raw = bytearray(pieces[at].raw)
    if not raw:
        return "nothing"
    places = sorted(self.chance.randrange(len(raw) * 8) for _ in range(self.chance.choice((1, 1, 2, 8))))
    for place in places:
        raw[place // 8] ^= 1 << place % 8
    pieces[at] = Piece(bytes(raw), pieces[at].header, pieces[at].is_whole)
    return f"{places} of {pieces[at].type or 'a piece'}"


def _set_bytes(self, pieces):
    at = self.any_index(pieces)
    raw = bytearray(pieces[at].raw)
    if not raw:
        return "nothing"
    first = self.chance.randrange(len(raw))
    value = self.chance.choice((0, 0xFF, ord("'"), ord('"'), ord("$"), ord(";"), ord("\\"), 0x80, self.chance.randrange(256)))
    raw[first:first + self.chance.choice((1, 1, 2, 4))] = bytes([value]) * self.chance.choice((1, 1, 2, 4))
    pieces[at] = Piece(bytes(raw), pieces[at].header, pieces[at].is_whole)
    return f"{first} of {pieces[at].type or 'a piece'} to {value}"


def _change_type(self, pieces):
    at = self.any_index(pieces)
    if pieces[at].header != 1 or not pieces[at].raw:
        return "nothing"
    types = (SERVER_TYPES if self.side == SERVER else CLIENT_TYPES).encode()
    new = self.chance.choice((*types, *types, 0, 0x20, 0xFF, ord("z")))
    old, pieces[at] = pieces[at], Piece(bytes([new]) + pieces[at].raw[1:], 1, pieces[at].is_whole)
    return f"{old.type} to {chr(new)!r}"


def _change_length(self, pieces):
    at = self.any_index(pieces)
    raw, header = pieces[at].raw, pieces[at].header
    if header is None or len(raw) < header + 4:
        return "nothing"
    old = struct.unpack_from("!I", raw, header)[0]
    near = old + self.chance.choice((-1, 1, -4, 4, -5, 5, self.chance.randint(-20, 200)))
    new = min(max(near, 0), 0xFFFFFFFF) if self.chance.random() < 0.5 else self.chance.choice(LENGTHS)
    pieces[at] = Piece(raw[:header] + struct.pack("!I", new) + raw[header + 4:], header, pieces[at].is_whole)
    return f"of {pieces[at].type or 'a packet'} from {old} to {new}"


def _change_number(self, pieces):
    """A count or a length inside of a message."""
    at = self.any_index(pieces)
    raw = pieces[at].raw
    body = 0 if pieces[at].header is None else pieces[at].header + 4
    first = self.chance.randint(min(body, len(raw)), len(raw))
    number = self.chance.choice(NUMBERS)
    pieces[at] = Piece(raw[:first] + number + raw[first + len(number):], pieces[at].header, pieces[at].is_whole)
    return f"at {first} of {pieces[at].type or 'a piece'} to {number.hex()}"


def _drop(self, pieces):
    gone = pieces.pop(self.any_index(pieces))
    return gone.type or "a piece"


def _repeat(self, pieces):
    at = self.any_index(pieces)
    times = self.chance.choice((1, 1, 2, 50))
    pieces[at:at] = [pieces[at]] * times
    return f"{pieces[at].type or 'a piece'} {times} times"


def _swap(self, pieces):
    one, other = self.any_index(pieces), self.any_index(pieces)
    pieces[one], pieces[other] = pieces[other], pieces[one]
    return f"{pieces[one].type} and {pieces[other].type}"


def _insert_message(self, pieces):
    new = self.any_message()
    at = self.chance.randint(0, len(pieces))
    pieces.insert(at, Piece(new))
    return f"{new[:60]!r} as {at} of {len(pieces)}"


def _insert_messages(self, pieces):
    at = self.chance.randint(0, len(pieces))
    new = [self.any_message() for _ in range(self.chance.randint(2, 6))]
    pieces[at:at] = [Piece(raw) for raw in new]
    return f"{''.join(chr(raw[0]) for raw in new)} as {at}"


def _insert_bytes(self, pieces):
    at = self.any_index(pieces)
    raw, first = pieces[at].raw, self.chance.randint(0, len(pieces[at].raw))
    new = self.chance.randbytes(self.chance.choice((1, 2, 4, 5, 20)))
    pieces[at] = Piece(raw[:first] + new + raw[first:], pieces[at].header, pieces[at].is_whole)
    return f"{new.hex()} at {first} of {pieces[at].type or 'a piece'}"


def _body_of_another(self, pieces):
    """A message's body under another one's header."""
    one, other = self.any_index(pieces), self.any_index(pieces)
    if pieces[one].header != 1 or pieces[other].header != 1 or len(pieces[other].raw) < 5 or not pieces[one].raw:
        return "nothing"
    pieces[one] = Piece(pieces[one].raw[:1] + pieces[other].raw[1:], 1, pieces[other].is_whole)
    return f"{pieces[one].type} has that of {pieces[other].type}"


def _empty_body(self, pieces):
    at = self.any_index(pieces)
    if pieces[at].header != 1:
        return "nothing"
    pieces[at] = Piece(pieces[at].raw[:1] + struct.pack("!I", 4))
    return pieces[at].type


def _truncate(self, pieces):
    at = self.any_index(pieces)
    raw = pieces[at].raw
    pieces[at] = Piece(raw[:self.chance.randint(0, len(raw))], None, False)
    del pieces[at + 1:]
    return f"piece {at}, then " + self.chance.choice(("cut", "cut", "silence"))


CHANGES = (_flip_bits, _flip_bits, _set_bytes, _change_type, _change_length, _change_length, _change_number, _change_number, _drop, _repeat, _swap,
           _insert_message, _insert_message, _insert_messages, _insert_bytes, _body_of_another, _empty_body, _truncate)


# What is inserted. Nothing here says anything of a client's: tags come from clients only.

def _any_bytes(chance, most=40):
    return chance.randbytes(chance.randint(0, most))


def _any_typed(chance, types):
    return wire.message(chance.choice(types), _any_bytes(chance))


SERVER_MESSAGES = (
    lambda chance: _any_typed(chance, SERVER_TYPES),
    lambda chance: wire.message(chr(chance.randrange(1, 127)), _any_bytes(chance)),
    lambda chance: parameter_status(chance.choice(("TimeZone", "client_encoding", "is_superuser", "search_path", "server_version", "DateStyle",
                                                   "standard_conforming_strings", "session_authorization", "application_name", "", "new_one",
                                                   "x" * 300)),
                                    chance.choice(("UTC", "SJIS", "on", "off", "postgres", "", "18.0", "'", "y" * 3000))),
    lambda chance: wire.message("S", chance.choice((b"", b"\0", b"TimeZone", b"TimeZone\0", b"a\0b", b"\0\0", b"a\0b\0c\0"))),
    lambda chance: notice_response("a notice that nobody asked for"),
    lambda chance: error_response(chance.choice(("57P01", "XX000", "26000", "0A000", "42P05", "25P02", "58030")), "an error of nobody's",
                                  chance.choice(("ERROR", "FATAL", "PANIC"))),
    lambda chance: wire.message(chance.choice("EN"), chance.choice((b"", b"\0", b"C\0", b"M", b"SERROR\0", b"SERROR\0C1\0Mx\0\0junk", b"\0\0\0"))),
    lambda chance: wire.message("A", chance.choice((struct.pack("!I", chance.randrange(1 << 32)) + b"channel\0payload\0", b"", b"\0\0\0\1", b"\0\0\0\1c"))),
    lambda chance: wire.message("Z", chance.choice((b"I", b"T", b"E", b"X", b"", b"\0", b"II"))),
    lambda chance: wire.message("K", chance.choice((struct.pack("!II", 1, 2), b"", b"\0", struct.pack("!I", 1), _any_bytes(chance, 300)))),
    lambda chance: wire.message("R", struct.pack("!I", chance.choice((0, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13, 1 << 31)))
                                + chance.choice((b"", b"salt", b"SCRAM-SHA-256\0\0", b"SCRAM-SHA-256-PLUS\0", b"r=a,s=b,i=0", b"v=x"))),
    lambda chance: wire.message(chance.choice("GHW"), chance.choice((b"\0\0\0", b"\0\0\1\0\0", b"\1\xff\xff", b"", b"\0\x7f\xff\0\0"))),
    lambda chance: wire.message("v", chance.choice((struct.pack("!II", 0, 0), struct.pack("!II", 2, 1) + b"_pq_.x\0", b"", struct.pack("!Ii", 0, -1)))),
    lambda chance: wire.message("D", struct.pack("!HI", chance.choice((0, 1, 0x7FFF, 0xFFFF)), chance.choice((0, 1, 0x7FFFFFF0, 0xFFFFFFFF))) + b"x"),
    lambda chance: wire.message("T", chance.choice((struct.pack("!H", 0), struct.pack("!H", 0xFFFF), struct.pack("!H", 1) + b"name",
                                                    row_description("a", "b")[5:]))),
    lambda chance: wire.message("t", chance.choice((struct.pack("!H", 0), struct.pack("!HI", 0xFFFF, 23), b""))),
    lambda chance: data_row("nobody's"),
    lambda chance: wire.message("C", chance.choice((b"SELECT 1\0", b"SET\0", b"DISCARD ALL\0", b"", b"COMMIT", b"LISTEN\0", b"\0"))),
    lambda chance: wire.message(chance.choice("123nsI")),
    lambda chance: wire.message("V", chance.choice((struct.pack("!i", -1), struct.pack("!I", 0x7FFFFFFF), b""))),
    lambda chance: wire.message("d", _any_bytes(chance)),
    lambda chance: wire.message("c"),
)

SCRAPS = ("", "select 1", "begin", "commit", "rollback", "discard all", "deallocate all", "reset all", "set datestyle to german", "listen nobody",
          "unlisten *", "create temp table odd (a int)", "select pg_advisory_lock_shared(7)", "prepare odd as select 1", "declare odd cursor with hold for"
          " select 1", "copy (select 1) to stdout", "copy taken from stdin where false", "set role app", "select set_config('app.odd', 'x', false)", "do $$"
          " begin perform 1; end $$", "set standard_conforming_strings to off", "select '", 'select "', "select $a$", "/*", "--", "savepoint a",
          "prepare transaction 'x'", "fetch 1 from odd", "execute odd", "select 1; select 2", ";;", "set client_encoding to sjis")
NAMES = ("", "a", "s1", "named", "n" * 100)

CLIENT_MESSAGES = (
    lambda chance: _any_typed(chance, CLIENT_TYPES),
    lambda chance: wire.message(chr(chance.randrange(1, 127)), _any_bytes(chance)),
    lambda chance: wire.query(chance.choice(SCRAPS)),
    lambda chance: wire.message("Q", chance.choice((b"", b"select 1", b"select 1\0\0", b"\0select", _any_bytes(chance)))),
    lambda chance: wire.parse(chance.choice(SCRAPS), chance.choice(NAMES), [chance.choice((0, 23, 25, 99999))] * chance.choice((0, 0, 1, 3))),
    lambda chance: wire.message("P", chance.choice((b"", b"\0", b"a\0select 1\0\xff\xff", b"a\0select 1\0\0\1", b"a\0select 1", b"a\0select 1\0\x7f\xff\0\0"))),
    lambda chance: wire.bind(["x"] * chance.choice((0, 0, 1, 2)), chance.choice(NAMES), chance.choice(NAMES)),
    lambda chance: wire.message("B", chance.choice((b"", b"\0\0", b"\0\0\xff\xff", b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0", b"\0s1\0\0\0\xff\xff",
                                                    b"\0\0\0\0\0\1\x7f\xff\xff\xff\0\0"))),
    lambda chance: wire.describe(chance.choice("SPX"), chance.choice(NAMES)),
    lambda chance: wire.close(chance.choice("SPX"), chance.choice(NAMES)),
    lambda chance: wire.message(chance.choice("DC"), chance.choice((b"", b"S", b"P", b"Sname", b"S\0\0"))),
    lambda chance: wire.execute(chance.choice(NAMES), chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF))),
    lambda chance: wire.message("E", chance.choice((b"", b"\0", b"a", b"\0\0\0"))),
    lambda chance: wire.message("F", chance.choice((struct.pack("!IHHIH", 1598, 0, 0, 0, 0)[:10], b"", struct.pack("!IHH", 1598, 0, 0xFFFF),
                                                    struct.pack("!IHHH", 1598, 0, 0, 0)))),
    lambda chance: wire.SYNC, lambda chance: wire.FLUSH, lambda chance: wire.COPY_DONE,
    lambda chance: wire.copy_data(_any_bytes(chance)),
    lambda chance: wire.copy_fail(),
    lambda chance: wire.message("p", chance.choice((b"", b"secret\0", b"SCRAM-SHA-256\0\0\0\0\4n,,n", b"SCRAM-SHA-256\0\xff\xff\xff\xff", _any_bytes(chance)))),
    lambda chance: wire.TERMINATE,
    lambda chance: wire.SSL_REQUEST, lambda chance: wire.GSSENC_REQUEST,
    lambda chance: wire.startup(user="app", database="postgres"),
    lambda chance: wire.startup(chance.choice((0, 2 << 16, 3 << 16 | 99, 1 << 31)), user="app"),
    lambda chance: wire.cancel_request(chance.randrange(1 << 32), _any_bytes(chance)),
)
