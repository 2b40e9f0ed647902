"""A proxy that changes bytes and lengths, drops, repeats, inserts and swaps messages, and cuts: harness/mangling.py has the changes.

    ManglingProxy(daemon.socket_path, side=CLIENT, seed=7, login=0.2, talk=0.1)          # clients' bytes, on their way to the daemon
    ManglingProxy(postgres.socket_path, side=SERVER, seed=7, login=0.2, talk=0.1)        # servers' bytes, on their way to the daemon
    ManglingProxy(postgres.socket_path, side=CLIENT, last=True, ...)                     # the daemon's bytes, on their way to its servers

`login` and `talk` are how many blocks of a hundred are changed, before the first ReadyForQuery and after it. What was changed is kept in `done`.

Who lies about servers can make any daemon show one client what is another's: it may say ReadyForQuery in the midst of an answer, and send the rest when
the server is somebody else's. So that every foreign byte at a client is the daemon's fault, a connection goes on behind a changed block only if PostgreSQL
owes nothing more, and the block is sent at once; else the block is its last. Where it is the servers' requests that are changed (`last`), the first changed one is
the last request of its connection: what PostgreSQL's session is like from there on, nobody knows.
"""

import random
import select
import socket
import threading
import time
from collections import deque

from harness.mangling import CLIENT, SERVER, Frames, Mangler, Piece, asks_for_encryption
from harness.proxy import Proxy, hang_up

SMALL = 8192            # larger blocks need not come to the daemon in one read
STUCK = 3.0             # seconds that a write may take
AFTERWARDS = 0.15       # seconds of silence after which a connection is cut whose last request was changed


class ManglingProxy(Proxy):
    def __init__(self, target, *, side, seed, login=0.0, talk=0.0, last=False, **others):
        self.side, self.seed, self.login, self.talk, self.last = side, seed, login, talk, last
        self.mangles = True                 # False: what passes is left as it is
        self.done = deque(maxlen=300)       # (time, connection, what, bytes)
        self.changed = 0
        super().__init__(target, **others)

    def _begin(self, client, server):
        connection = _Connection(self, client, server, self.accepted)
        threading.Thread(target=self._run, args=[connection], daemon=True).start()

    def _run(self, connection):
        try:
            connection.converse()
        except OSError:
            pass
        finally:
            pair = (connection.client, connection.server)
            hang_up(*pair)
            if pair in self._pairs:
                self._pairs.remove(pair)
            for one in pair:
                one.close()

    def note(self, connection, mangled):
        self.changed += 1
        self.done.append((time.time(), connection.number, mangled.what, mangled.data[:2000]))


class _Ended(OSError):
    pass


class _Connection:
    def __init__(self, proxy, client, server, number):
        self.proxy, self.client, self.server, self.number = proxy, client, server, number
        self.chance = random.Random(f"{proxy.seed} {proxy.side} {number}")
        self.mangler = Mangler(self.chance, proxy.side)
        self.up, self.down = Frames(untyped=True), Frames()
        self.is_in_login = self.was_in_login = True
        self.owed = 0                       # ReadyForQuery that PostgreSQL is still to say
        self.was_last = False
        for one in (client, server):
            one.settimeout(STUCK)

    def converse(self):
        poll = select.poll()
        for one in (self.client, self.server):
            poll.register(one, select.POLLIN)
        ends = {self.client.fileno(): (self.client, self.server, False), self.server.fileno(): (self.server, self.client, True)}
        while ends:
            ready = poll.poll(AFTERWARDS * 1000 if self.was_last else None)
            if not ready:
                return
            for descriptor, _ in ready:
                source, sink, answers = ends[descriptor]
                data = source.recv(65536)
                if data:
                    self.pass_on(data, sink, answers)
                    continue
                rest = (self.down if answers else self.up).rest()
                if rest:
                    sink.sendall(rest)
                sink.shutdown(socket.SHUT_WR)
                poll.unregister(descriptor)
                del ends[descriptor]

    def pass_on(self, data, sink, answers):
        pieces = (self.down if answers else self.up).feed(data)
        if self.was_last:
            if not answers:
                raise _Ended
            self.pass_on_what_is_owed(pieces, sink)
            return
        ready = self.count(pieces, answers)
        if answers != (self.proxy.side == SERVER) or not self.is_chosen():
            sink.sendall(b"".join(piece.raw for piece in pieces))
        elif answers:
            self.mangle_answer(data, pieces, ready, sink)
        else:
            self.mangle_request(pieces, sink)

    def count(self, pieces, answers):
        """What PostgreSQL owes after these; returns how often it is ready in them."""
        ready = 0
        for piece in pieces:
            if answers:
                ready += piece.type == "Z"
            elif piece.type in ("Q", "S", "F"):
                self.owed += 1
            elif asks_for_encryption(piece):
                self.down.single_bytes += 1
            elif piece.header == 0:
                self.owed += 1
        self.owed -= ready
        self.was_in_login = self.is_in_login
        self.is_in_login = self.is_in_login and not ready
        self.up.is_opaque = self.down.is_opaque
        return ready

    def is_chosen(self):
        return self.proxy.mangles and self.chance.random() < (self.proxy.login if self.was_in_login else self.proxy.talk)

    def changed(self, pieces):
        if self.down.is_opaque:
            mangled = self.mangler.mangle_opaque(b"".join(piece.raw for piece in pieces))
        else:
            mangled = self.mangler.mangle(pieces)
        self.proxy.note(self, mangled)
        return mangled

    def mangle_answer(self, data, pieces, ready, sink):
        if self.was_in_login or self.down.is_opaque or len(data) <= SMALL:
            mangled = self.changed(pieces)
            sink.sendall(mangled.data)
            may_mislead = self.owed > 0 and (not self.was_in_login or says_ready(mangled.data) > ready)
            if mangled.cuts or may_mislead and not self.down.is_opaque:
                raise _Ended
        else:
            # Whole ones, and then something else than what came.
            kept = self.chance.randrange(len(pieces))
            mangled = self.changed([Piece(self.mangler.any_message())])
            sink.sendall(b"".join(piece.raw for piece in pieces[:kept]))
            sink.sendall(mangled.data)
            raise _Ended

    def mangle_request(self, pieces, sink):
        mangled = self.changed(pieces)
        sink.sendall(mangled.data)
        self.was_last = self.proxy.last
        if mangled.cuts and not self.was_last:
            raise _Ended

    def pass_on_what_is_owed(self, pieces, sink):
        """As the daemon counts: what PostgreSQL made of changed requests may be more than it knows of."""
        passing = b""
        for piece in pieces:
            passing += piece.raw
            self.owed -= piece.type == "Z"
            if self.owed <= 0:
                break
        sink.sendall(passing)
        if self.owed <= 0:
            raise _Ended


def says_ready(data):
    """How often these bytes, from a message's beginning on, say ReadyForQuery to who reads them."""
    return sum(piece.type == "Z" for piece in Frames().feed(data))


__all__ = ["CLIENT", "SERVER", "ManglingProxy"]
