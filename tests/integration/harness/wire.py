"""A client that speaks PostgreSQL's protocol byte for byte, for what no driver can be brought to send.

Follows https://www.postgresql.org/docs/15/protocol-message-formats.html; every read has a time limit.
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
import time
from dataclasses import dataclass

from harness.waiting import SLOWNESS

PROTOCOL_3_0 = 3 << 16
PROTOCOL_3_2 = 3 << 16 | 2
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)


class Closed(EOFError):
    """The peer hung up."""


@dataclass(frozen=True)
class Message:
    type: str               # one letter, as in the documentation
    body: bytes

    @property
    def fields(self):
        """Of an ErrorResponse or a NoticeResponse: {"C": "57014", "M": "...", ...}."""
        parts = self.body.rstrip(b"\0").split(b"\0")
        return {chr(part[0]): part[1:].decode(errors="replace") for part in parts if part}

    @property
    def values(self):
        """Of a DataRow: a list of bytes or None."""
        count, at, found = struct.unpack_from("!H", self.body)[0], 2, []
        for _ in range(count):
            size = struct.unpack_from("!i", self.body, at)[0]
            at += 4
            found.append(None if size < 0 else self.body[at:at + size])
            at += max(size, 0)
        return found

    def __str__(self):
        return f"{self.type} {self.body[:200]!r}"


# Building messages

def message(kind, body=b""):
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def text(value):
    return (value if isinstance(value, bytes) else value.encode()) + b"\0"


def startup(protocol=PROTOCOL_3_0, **parameters):
    body = b"".join(text(name) + text(str(value)) for name, value in parameters.items()) + b"\0"
    return struct.pack("!II", len(body) + 8, protocol) + body


def cancel_request(process_id, key):
    return struct.pack("!III", 12 + len(key), 80877102, process_id & 0xFFFFFFFF) + key


def query(sql):
    return message("Q", text(sql))


def parse(sql, name="", types=()):
    return message("P", text(name) + text(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(values=(), statement="", portal=""):
    """All values and results as text."""
    body = text(portal) + text(statement) + struct.pack("!HH", 0, len(values))
    for value in values:
        raw = None if value is None else str(value).encode()
        body += struct.pack("!i", -1) if raw is None else struct.pack("!i", len(raw)) + raw
    return message("B", body + struct.pack("!H", 0))


def describe(kind="P", name=""):
    return message("D", kind.encode() + text(name))


def execute(portal="", rows=0):
    return message("E", text(portal) + struct.pack("!I", rows))


def close(kind="S", name=""):
    return message("C", kind.encode() + text(name))


def copy_data(data):
    return message("d", data if isinstance(data, bytes) else data.encode())


def copy_fail(reason="the test says so"):
    return message("f", text(reason))


def extended(sql, values=(), name=""):
    """Parse, Bind, Execute without their Sync."""
    return parse(sql, name) + bind(values, name) + execute()


SYNC = message("S")
FLUSH = message("H")
COPY_DONE = message("c")
TERMINATE = message("X")


class WireClient:
    """One connection. `address` is the path of a Unix socket, or (host, port)."""

    def __init__(self, address, timeout=10.0):
        self.address = address
        self.timeout = timeout * SLOWNESS
        self.parameters = {}            # by ParameterStatus
        self.process_id = None          # by BackendKeyData
        self.key = b""
        self.status = None              # of the last ReadyForQuery: I, T or E
        self.authentication = []        # the codes of the Authentication messages, in order
        self._buffer = b""
        if isinstance(address, tuple):
            self.socket = socket.create_connection(address, self.timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(self.timeout)
            self.socket.connect(str(address))

    # Sending

    def send(self, *data, pieces=None, pause=0.0):
        """Sends bytes; `pieces` cuts them into so many bytes a write (1: byte by byte)."""
        data = b"".join(data)
        if pieces is None:
            self.socket.sendall(data)
            return
        for at in range(0, len(data), pieces):
            self.socket.sendall(data[at:at + pieces])
            if pause:
                time.sleep(pause)

    def finish_sending(self):
        """Closes our direction only."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        """Leaves without a word."""
        self.socket.close()

    def reset(self):
        """Leaves with a TCP reset (TCP only)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def terminate(self):
        """Says goodbye, then leaves."""
        self.send(TERMINATE)
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Receiving

    def read_bytes(self, count, timeout=None):
        """Exactly so many raw bytes, as the answer to SSLRequest."""
        self._fill(count, timeout)
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def read(self, timeout=None):
        """The next message. Closed when there is none any more, TimeoutError when none comes."""
        self._fill(5, timeout)
        size = struct.unpack("!I", self._buffer[1:5])[0]
        assert 4 <= size < 1 << 30, f"not a message: {self._buffer[:20]!r}"
        self._fill(size + 1, timeout)
        raw = self.read_bytes(size + 1)
        return self._noted(Message(chr(raw[0]), raw[5:]))

    def read_until(self, *types, timeout=None):
        """Messages up to and with the first of one of these types."""
        found = []
        while not found or found[-1].type not in types:
            try:
                found.append(self.read(timeout))
            except (Closed, TimeoutError) as error:
                raise type(error)(f"{error}; before that came: {', '.join(map(str, found)) or 'nothing'}") from None
        return found

    def read_until_ready(self, timeout=None):
        return self.read_until("Z", timeout=timeout)

    def read_until_closed(self, timeout=None):
        """All messages until the peer hangs up."""
        found = []
        while True:
            try:
                found.append(self.read(timeout))
            except (Closed, ConnectionError):
                return found

    def is_silent(self, duration=0.3):
        """Nothing comes for so long."""
        if self._buffer:
            return False
        self.socket.settimeout(duration)
        try:
            self._buffer += self.socket.recv(65536) or b""
            return False
        except TimeoutError:
            return True

    # Conversations

    def log_in(self, user="app", database="postgres", password=None, protocol=PROTOCOL_3_0, pieces=None, **parameters):
        """From the startup packet to the first ReadyForQuery; answers passwords, md5 and SCRAM. LoginFailed carries
        the server's ErrorResponse."""
        self.send(startup(protocol, user=user, database=database, **parameters), pieces=pieces)
        return self.finish_login(user, password, pieces)

    def finish_login(self, user="app", password=None, pieces=None):
        seen = []
        while not seen or seen[-1].type != "Z":
            seen.append(self.read())
            if seen[-1].type == "E":
                raise LoginFailed(seen[-1])
            if seen[-1].type == "R":
                self._answer_authentication(seen[-1].body, user, password, pieces)
        return seen

    def ask(self, sql, timeout=None):
        """A simple query; all messages through ReadyForQuery."""
        self.send(query(sql))
        return self.read_until_ready(timeout)

    def rows(self, sql, timeout=None):
        """A simple query's rows as text; an error fails the test."""
        answers = self.ask(sql, timeout)
        errors = [answer.fields for answer in answers if answer.type == "E"]
        assert not errors, errors
        return [[None if value is None else value.decode() for value in answer.values]
                for answer in answers if answer.type == "D"]

    def value(self, sql):
        return self.rows(sql)[0][0]

    def error(self, sql):
        """The fields of the error that a simple query ends with."""
        return next(answer.fields for answer in self.ask(sql) if answer.type == "E")

    def cancel(self):
        """A cancel request for this session, over a connection of its own; returns once the peer has closed that."""
        with WireClient(self.address) as other:
            other.send(cancel_request(self.process_id, self.key))
            return other.read_until_closed()

    # Inside

    def _fill(self, count, timeout):
        limit = self.timeout if timeout is None else timeout * SLOWNESS
        deadline = time.monotonic() + limit
        while len(self._buffer) < count:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self.socket.recv(1 << 18)
            except TimeoutError:
                raise TimeoutError(f"nothing for {limit:g} s (in hand: {self._buffer[:50]!r})") from None
            if not data:
                raise Closed(f"the peer hung up (in hand: {self._buffer[:50]!r})")
            self._buffer += data

    def _noted(self, got):
        if got.type == "S":
            name, value = got.body[:-1].split(b"\0")
            self.parameters[name.decode()] = value.decode(errors="backslashreplace")
        elif got.type == "K":
            self.process_id, self.key = struct.unpack_from("!i", got.body)[0], got.body[4:]
        elif got.type == "Z":
            self.status = got.body.decode()
        return got

    def _answer_authentication(self, body, user, password, pieces):
        code = struct.unpack_from("!I", body)[0]
        self.authentication.append(code)
        if code == 3:
            self.send(message("p", text(password)), pieces=pieces)
        elif code == 5:
            inner = hashlib.md5((password + user).encode()).hexdigest().encode()
            self.send(message("p", text("md5" + hashlib.md5(inner + body[4:8]).hexdigest())), pieces=pieces)
        elif code == 10:
            assert b"SCRAM-SHA-256" in body[4:].split(b"\0")
            self._scram = ScramClient(password)
            first = self._scram.first().encode()
            self.send(message("p", text("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first), pieces=pieces)
        elif code == 11:
            self.send(message("p", self._scram.final(body[4:].decode()).encode()), pieces=pieces)
        elif code == 12:
            assert self._scram.verifies(body[4:].decode()), "the server does not know the password either"


class LoginFailed(Exception):
    def __init__(self, answer):
        self.fields = answer.fields
        self.sqlstate = self.fields.get("C")
        super().__init__(f"{self.fields.get('S')} {self.sqlstate}: {self.fields.get('M')}")


class ScramClient:
    """The client's half of SCRAM-SHA-256 (RFC 5802), without channel binding."""

    def __init__(self, password, nonce=None):
        self.password = password.encode()
        self.nonce = nonce or base64.b64encode(os.urandom(18)).decode()

    def first(self):
        self._bare = f"n=,r={self.nonce}"
        return "n,," + self._bare

    def final(self, server_first):
        parts = dict(part.split("=", 1) for part in server_first.split(","))
        assert parts["r"].startswith(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(parts["s"]), int(parts["i"]))
        without_proof = f"c=biws,r={parts['r']}"
        signed = ",".join([self._bare, server_first, without_proof]).encode()
        key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(key, signature))
        self._server_signature = base64.b64encode(_hmac(_hmac(salted, b"Server Key"), signed)).decode()
        return f"{without_proof},p={base64.b64encode(proof).decode()}"

    def verifies(self, server_final):
        return server_final == f"v={self._server_signature}"


def scram_secret(password, iterations=4096, salt=None):
    """A password as PostgreSQL stores it, for the settings file."""
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, _hmac(salted, b"Server Key"))]
    return f"SCRAM-SHA-256${iterations}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def md5_secret(user, password):
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


def _hmac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()
