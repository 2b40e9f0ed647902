"""A PostgreSQL that does what a script says: for the faults that a real one cannot be brought to.

    def stops_in_the_middle(server):                 # one call for each connection, on a thread of its own
        server.log_in()                              # reads the startup packet, answers trust to ReadyForQuery
        server.expect("Q")
        server.send(message("T", b"half"), cut=3)    # three bytes of it
        server.close()

    with FakeServer(stops_in_the_middle) as fake:
        tidepool(pools={"bench": {"conninfo": fake.conninfo()}})

Cancel requests never reach the script: they are collected in fake.cancels as (process id, key).
"""

import shutil
import socket
import struct
import tempfile
import threading
from pathlib import Path

from harness.waiting import wait_until
from harness.wire import Closed, Message, message, text

PARAMETERS = {
    "server_version": "15.4", "server_encoding": "UTF8", "client_encoding": "UTF8", "DateStyle": "ISO, MDY",
    "TimeZone": "Etc/UTC", "integer_datetimes": "on", "standard_conforming_strings": "on", "is_superuser": "off",
    "IntervalStyle": "postgres", "session_authorization": "app", "application_name": "",
    "default_transaction_read_only": "off", "in_hot_standby": "off",
}
CANCEL, SSL, GSSENC = 80877102, 80877103, 80877104


def error_response(sqlstate, words, severity="ERROR"):
    return message("E", text(f"S{severity}") + text(f"V{severity}") + text(f"C{sqlstate}") + text(f"M{words}") + b"\0")


def notice_response(words, sqlstate="00000"):
    return message("N", text("SNOTICE") + text("VNOTICE") + text(f"C{sqlstate}") + text(f"M{words}") + b"\0")


def parameter_status(name, value):
    return message("S", text(name) + text(value))


def ready(status="I"):
    return message("Z", status.encode())


def row_description(*names):
    columns = b"".join(text(name) + struct.pack("!IHIhih", 0, 0, 25, -1, -1, 0) for name in names)
    return message("T", struct.pack("!H", len(names)) + columns)


def data_row(*values):
    body = struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value.encode()
    return message("D", body)


def complete(tag):
    return message("C", text(tag))


def _usual_answer(sql, description=b""):
    """What serve() says to a statement."""
    if sql == "DISCARD ALL":
        return complete(sql)
    command = (sql.split() or [""])[0].upper()
    if command in ("BEGIN", "COMMIT", "ROLLBACK", "SET", "RESET", "DISCARD"):
        return complete(command)
    return description + data_row("1") + complete("SELECT 1")


class FakeConnection:
    """The server's end of one connection."""

    def __init__(self, peer, process_id):
        self.socket = peer
        self.socket.settimeout(60)
        self.process_id = process_id
        self.key = struct.pack("!I", 0x5EC2E7 + process_id)
        self.startup = {}
        self.received = []                  # every message after the startup packet
        self._buffer = b""

    def read_startup(self, tls=None):
        """The startup packet's parameters; SSLRequest and GSSENCRequest get their N. `tls`: an ssl.SSLContext that
        grants the SSLRequest."""
        while True:
            size = struct.unpack("!I", self._take(4))[0]
            body = self._take(size - 4)
            code = struct.unpack_from("!I", body)[0]
            if code == SSL and tls:
                self.socket.sendall(b"S")
                self.socket = tls.wrap_socket(self.socket, server_side=True)
            elif code in (SSL, GSSENC):
                self.socket.sendall(b"N")
            elif code == CANCEL:
                raise CancelCame(struct.unpack_from("!I", body, 4)[0], body[8:])
            else:
                parts = body[4:].rstrip(b"\0").split(b"\0")
                self.startup = {parts[i].decode(): parts[i + 1].decode() for i in range(0, len(parts) - 1, 2)}
                return self.startup

    def log_in(self, parameters=None, answer_sync=True):
        """The whole login as with trust. The daemon proves the stream with a Sync of its own: answered too."""
        if not self.startup:
            self.read_startup()
        greeting = message("R", struct.pack("!I", 0))
        for name, value in {**PARAMETERS, **(parameters or {})}.items():
            greeting += parameter_status(name, value)
        self.send(greeting, message("K", struct.pack("!I", self.process_id) + self.key), ready())
        if answer_sync:
            self.expect("S")
            self.send(ready())

    def refuse(self, sqlstate, words, severity="FATAL"):
        """Ends a login with an error."""
        if not self.startup:
            self.read_startup()
        self.send(error_response(sqlstate, words, severity))
        self.close()

    def read(self):
        head = self._take(5)
        got = Message(chr(head[0]), self._take(struct.unpack("!I", head[1:])[0] - 4))
        self.received.append(got)
        return got

    def expect(self, *types):
        """Reads messages until one of these types, and returns it."""
        while True:
            got = self.read()
            if got.type in types:
                return got

    def serve(self, answers=None):
        """A server that works: SELECT, and what it does not know, gives one row '1'; DISCARD ALL, BEGIN, SET and the
        like only complete. `answers` maps the SQL of simple queries to bytes, or to a function of this connection that
        returns them (or None: no answer)."""
        parsed = ""
        while True:
            got = self.read()
            if got.type == "X":
                return
            if got.type == "Q":
                sql = got.body[:-1].decode()
                answer = (answers or {}).get(sql, _usual_answer(sql, row_description("a")) + ready())
                answer = answer(self) if callable(answer) else answer
                if answer:
                    self.send(answer)
            elif got.type == "P":
                parsed = got.body.split(b"\0")[1].decode()
                self.send(message("1"))
            elif got.type in "BCD":
                self.send({"B": message("2"), "C": message("3"), "D": message("n")}[got.type])
            elif got.type == "E":
                self.send(_usual_answer(parsed))
            elif got.type == "S":
                self.send(ready())

    def send(self, *data, cut=None):
        """`cut`: only so many of the bytes."""
        data = b"".join(data)
        self.socket.sendall(data if cut is None else data[:cut])

    def never_answer(self):
        """Reads and says nothing until the peer leaves."""
        while self.socket.recv(65536):
            pass

    def close(self):
        self.socket.close()

    def _take(self, count):
        while len(self._buffer) < count:
            data = self.socket.recv(65536)
            if not data:
                raise Closed("the daemon hung up")
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


class CancelCame(Exception):
    pass


class FakeServer:
    """Listens on a Unix socket in a folder of its own (tcp=True: on 127.0.0.1) and runs `script` for each connection.
    An exception other than the peer's leaving fails the test at the end of the with."""

    def __init__(self, script=None, tcp=False):
        self.script = script or (lambda server: (server.log_in(), server.serve()))
        self.tcp = tcp
        self.connections = []
        self.cancels = []
        self._failures = []
        self.folder = Path(tempfile.mkdtemp(prefix="tidepool-fake-"))
        self.port = 5432
        self._listen()

    def _listen(self):
        if self.tcp:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self.folder / ".s.PGSQL.5432"))
            self._listener.listen(1024)
            self.folder.chmod(0o755)
            (self.folder / ".s.PGSQL.5432").chmod(0o777)
        threading.Thread(target=self._accept, daemon=True).start()

    def conninfo(self, dbname="bench", user="app", **others):
        host = "127.0.0.1" if self.tcp else self.folder
        others = {"host": host, "port": self.port, "dbname": dbname, "user": user, **others}
        return " ".join(f"{key}={value}" for key, value in others.items())

    def wait_for_connections(self, count, timeout=10):
        wait_until(lambda: len(self.connections) >= count, f"the fake server has had {count} connections", timeout)
        return self.connections

    def stop(self):
        # shutdown() wakes the thread that accepts; close() alone would leave it the descriptor.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for connection in self.connections:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None and self._failures:
            raise self._failures[0]

    def _accept(self):
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=[peer], daemon=True).start()

    def _run(self, peer):
        connection = FakeConnection(peer, 1000 + len(self.connections))
        try:
            # Looks at the first packet without taking it, so that a script may do with it what it likes.
            head = peer.recv(8, socket.MSG_PEEK | socket.MSG_WAITALL)
            if len(head) == 8 and struct.unpack("!II", head)[1] == CANCEL:
                try:
                    connection.read_startup()
                except CancelCame as came:
                    self.cancels.append(came.args)
                return
            if not head:
                return
            self.connections.append(connection)
            self.script(connection)
        except (Closed, OSError):
            pass
        except Exception as error:          # told to the test at the end
            self._failures.append(error)
        finally:
            peer.close()
