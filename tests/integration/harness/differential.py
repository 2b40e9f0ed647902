"""The differential test: session scripts (session_scripts.py) by many clients at once, each through the pool and on a direct connection;
one loop over non-blocking sockets, because a script should cost no more than its queries do.

The direct sessions work in one database, the pooled ones in a copy of it. A session asks on as soon as it has its answers, or a moment
later, by chance: so servers change clients all the time.
"""

import heapq
import random
import select
import socket
import struct
import time

from harness import wire
from harness.script_replies import first_difference, normalised
from harness.session_scripts import CONTENTS, EACH_CLIENT, ROLE, SHARED
from harness.waiting import SLOWNESS

TIME_FOR_A_SCRIPT = 30
DIRECT, POOLED = "direct", "pooled"
POOL = "scripts"


def make_databases(server, clients):
    """The two databases, alike to their OIDs, and the role that scripts change to; returns their names by side."""
    names = {DIRECT: "scripts_direct", POOLED: "scripts_pooled"}
    server.create_role(ROLE)
    server.execute(f'grant "{ROLE}" to app')
    template = server.create_database("scripts_template")
    with server.connect(dbname=template, user="postgres") as owner:
        owner.execute(SHARED)
        for client in range(clients):
            owner.execute("set role app" if client == 0 else "")
            owner.execute(EACH_CLIENT.format(client))
    for name in names.values():
        server.create_database(name, template=template)
    return names


class Differential:
    """run(source) runs scripts until there are no more, or until replies differ, and returns that Difference. `source(client)` gives each of
    `clients` its next script, or None. `addresses` are socket paths and database names by side; `postgres` and `databases` those behind them."""

    def __init__(self, addresses, clients, postgres, databases):
        self.addresses, self.clients = addresses, list(clients)
        self.controls = {side: (postgres, name) for side, name in databases.items()}
        self.epoll = select.epoll()
        self.sockets = {}               # descriptor: who reads it
        self.timers = []
        self.count = self.steps = 0
        self.difference = None
        self._order = 0
        self._seats = {client: Seat(self, client) for client in self.clients}

    def run(self, source, chance=None, only=None):
        """`only`: differences of other scripts than this number do not count."""
        self.only, self.difference, self.chance = only, None, chance or random.Random()
        waiting = [seat for seat in self._seats.values() if seat.begin(source)]
        while self.difference is None and any(seat.busy for seat in waiting):
            limit = max(self.timers[0][0] - time.monotonic(), 0) if self.timers else 1
            for descriptor, _ in self.epoll.poll(limit, 64):
                reader = self.sockets.get(descriptor)
                if reader is not None:
                    reader.on_event()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                heapq.heappop(self.timers)[2]()
        for seat in self._seats.values():
            seat.abandon()
        self.timers.clear()
        return self.difference

    def after(self, seconds, call):
        self._order += 1
        heapq.heappush(self.timers, (time.monotonic() + seconds, self._order, call))

    def close(self):
        for seat in self._seats.values():
            seat.close()
        self.epoll.close()


class Difference:
    """A script whose replies differ; `step` is the number of the first step that does (0: the login), if it is known."""

    def __init__(self, script, direct, pooled, why, step):
        self.script, self.direct, self.pooled, self.why, self.step = script, direct, pooled, why, step

    def __str__(self):
        lines = [f"script {self.script.number} of seed {self.script.seed} (client {self.script.client}): {self.why}", f"startup {self.script.startup}"]
        steps = ["login", *map(str, self.script.steps), f"ending: {self.script.ending}"]
        for number, step in enumerate(steps):
            sides = [normalised(replies[number]) if number < len(replies) else None for replies in (self.direct, self.pooled)]
            same = sides[0] == sides[1]
            lines.append(f"{'  ' if same else '! '}{number}. {step}")
            if sides[0] is None and sides[1] is None:
                break
            if number == self.step:
                lines.append("      --- here")
            if number == 0 and same:
                continue
            if same:
                lines.append(f"      both: {shown(sides[0])}")
                continue
            known = [replies or [] for replies in sides]
            at = next((at for at, (one, other) in enumerate(zip(*known)) if one != other), min(map(len, known)))
            if at > 4:
                lines.append(f"      both: {shown(known[0][:at])}, then")
            for name, replies in zip((DIRECT, POOLED), sides):
                lines.append(f"      {name}: {shown(replies[at if at > 4 else 0:], 1000) if replies is not None else 'nothing'}")
        return "\n".join(lines)


def shown(replies, longest=150):
    few = replies if len(replies) <= 16 else [*replies[:12], ("...", b""), *replies[-3:]]
    return "  ".join(f"{letter} {body[:longest]!r}" for letter, body in few)


class Conversation:
    """A non-blocking socket whose messages go to said(letter, body)."""

    def __init__(self, engine, address, database, startup):
        self.engine = engine
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(address))
        self.socket.setblocking(False)
        self.descriptor = self.socket.fileno()
        self.address = address
        self.received, self.unsent = b"", b""
        self.over = False
        self.events = select.EPOLLIN
        engine.sockets[self.descriptor] = self
        engine.epoll.register(self.descriptor, self.events)
        self.send(wire.startup(user="app", database=database, **startup))

    def send(self, data):
        self.unsent += data
        try:
            sent = self.socket.send(self.unsent)
            self.unsent = self.unsent[sent:]
        except BlockingIOError:
            pass
        except OSError:
            self.unsent = b""                   # the reader will see the end
        events = select.EPOLLIN | (select.EPOLLOUT if self.unsent else 0)
        if events != self.events and not self.over:
            self.events = events
            self.engine.epoll.modify(self.descriptor, events)

    def on_event(self):
        if self.unsent:
            self.send(b"")
        try:
            data = self.socket.recv(1 << 17)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.hang_up()
            self.ended()
            return
        data = self.received + data if self.received else data
        at, size = 0, len(data)
        while at + 5 <= size:
            end = at + 1 + int.from_bytes(data[at + 1:at + 5], "big")
            if end > size:
                break
            self.said(chr(data[at]), data[at + 5:end])
            at = end
            if self.over:
                return
        self.received = data[at:]

    def hang_up(self):
        if not self.over:
            self.over = True
            self.engine.epoll.unregister(self.descriptor)
            del self.engine.sockets[self.descriptor]
            self.socket.close()


class Session(Conversation):
    """A script on one side. replies[0] are those to the login, replies[n] those to step n."""

    def __init__(self, seat, side):
        self.seat, self.script = seat, seat.script
        self.replies = [[]]
        self.sends = ()
        self.at = 0                         # in sends
        self.step = 0                       # 0: the login
        self.ready, self.types = 1, ""      # what it waits for: so many ReadyForQuery in this step, or a type
        self.came = 0                       # ReadyForQuery in this step
        self.waits = True                   # else it goes on in a moment
        self.leaving = False
        self.key = None
        self.last = ""                      # what ended the last wait
        super().__init__(seat.engine, *seat.engine.addresses[side], self.script.startup)

    def said(self, letter, body):
        self.replies[-1].append((letter, body))
        if letter == "Z":
            self.came += 1
        elif letter == "K":
            self.key = body
        elif letter == "R" and body != b"\0\0\0\0":
            self.hang_up()
            return self.ended()
        if self.waits and (letter == "Z" or letter in self.types):
            self.look(letter)

    def look(self, letter):
        """Goes on if what it waits for has come, at once or in a moment."""
        if self.types or self.came >= self.ready:
            self.last = letter
            chance = self.engine.chance.random()
            if chance < 0.1:
                self.waits = False
                self.engine.after(chance * 0.03, self.go_on)
            else:
                self.go_on()

    def go_on(self):
        if self.over:
            return
        self.waits = True
        if self.at >= len(self.sends):
            if self.step == len(self.script.steps):
                return self.leave()
            self.sends, self.at, self.came = self.script.steps[self.step].sends, 0, 0
            self.step += 1
            self.replies.append([])
        send = self.sends[self.at]
        self.at += 1
        if send.cancel and send.cancel == self.last:
            self.cancel()
        self.ready, self.types = send.ready, send.types
        self.send(send.data)
        if not self.types and self.came >= self.ready:
            self.look("Z")

    def cancel(self):
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(self.address))
            other.sendall(wire.cancel_request(struct.unpack_from("!i", self.key)[0], self.key[4:]))
            other.settimeout(10)
            other.recv(1)

    def leave(self):
        self.leaving = True
        self.replies.append([])
        if self.script.ending == "terminate":
            self.send(wire.TERMINATE)       # and reads on until the other side hangs up
            return
        if self.script.ending == "half":
            self.send(wire.extended(f"insert into c{self.script.client}.u values (-1)") + wire.FLUSH)
        self.hang_up()
        self.ended()

    def ended(self):
        if not self.leaving:
            self.replies[-1].append(("hung up", b""))
        self.seat.session_ended()


class Control(Conversation):
    """Looks at what a script left in its client's tables, and empties them."""

    def __init__(self, seat, side):
        self.seat = seat
        self.rows, self.pending = [], 1
        super().__init__(seat.engine, *seat.engine.controls[side], {})

    def ask(self):
        self.rows, self.pending = [], self.pending + 1
        self.send(wire.query(CONTENTS.format(self.seat.client)))

    def said(self, letter, body):
        if letter in "DE":
            self.rows.append((letter, body))
        elif letter == "Z":
            self.pending -= 1
            if self.pending == 0:
                self.seat.emptied()

    def ended(self):
        raise AssertionError(f"the connection that empties tables was closed: {self.rows}")


class Seat:
    """One client: runs one script after the other, each on both sides at once."""

    def __init__(self, engine, client):
        self.engine, self.client = engine, client
        self.controls = [Control(self, side) for side in (DIRECT, POOLED)]
        self.sessions, self.script, self.busy = [], None, False
        self.turn = 0

    def begin(self, source):
        self.source, self.script, self.busy = source, None, True
        self.empty()
        return True

    def empty(self):
        for control in self.controls:
            control.ask()

    def emptied(self):
        if not self.busy or any(control.pending for control in self.controls):
            return
        if self.script is not None:
            rows = [control.rows for control in self.controls]
            if rows[0] != rows[1] and self.script.ending == "terminate":
                return self.differs(f"the tables differ afterwards: {rows[0]} directly, {rows[1]} through the pool")
            self.engine.count += 1
            self.engine.steps += len(self.script.steps)
        self.script = self.source(self.client)
        if self.script is None:
            self.busy = False
            return
        self.turn += 1
        turn = self.turn
        self.engine.after(TIME_FOR_A_SCRIPT * SLOWNESS, lambda: turn == self.turn and self.busy and self.differs("it takes too long"))
        self.running = 2
        self.sessions = [Session(self, side) for side in (DIRECT, POOLED)]

    def session_ended(self):
        self.running -= 1
        if self.running:
            return
        direct, pooled = (session.replies for session in self.sessions)
        if direct != pooled:
            step = first_difference(self.script, direct, pooled)
            if step is not None:
                return self.differs("the replies differ", step)
        self.empty()

    def differs(self, why, step=None):
        if self.engine.only not in (None, self.script.number):
            self.leave_sessions()
            return self.empty()
        if self.engine.difference is None:
            self.engine.difference = Difference(self.script, *(session.replies for session in self.sessions), why, step)

    def abandon(self):
        self.busy = False
        self.leave_sessions()

    def leave_sessions(self):
        self.turn += 1
        for session in self.sessions:
            session.leaving = True
            session.hang_up()
        self.sessions, self.script = [], None

    def close(self):
        for control in self.controls:
            control.hang_up()


def shrunk(engine, generator, difference, seconds=60, say=lambda text: None):
    """The difference of a script as short as possible: steps are dropped as long as it still differs, with other scripts of
    the generator around it."""
    began = time.monotonic()
    chance = random.Random(difference.script.seed)

    def tried(script, times):
        turns = {"own": times, "end": False}

        def source(client):
            if client == script.client:
                turns["own"] -= 1
                if turns["own"] < 0:
                    turns["end"] = True
                    return None
                return script
            if turns["end"]:
                return None
            return generator.script(chance.randrange(1 << 20) * generator.clients + client)
        return engine.run(source, chance, script.number)

    again = tried(difference.script, 20)
    if again is None:
        return None
    difference, position = again, len(again.script.steps) - 1
    while position >= 0 and time.monotonic() - began < seconds:
        found = tried(difference.script.without(position), 6)
        if found is not None:
            difference = found
            say(f"{len(difference.script.steps)} steps left")
        position = min(position, len(difference.script.steps)) - 1
    if difference.script.startup:
        bare = difference.script.without(len(difference.script.steps))
        bare.startup = {}
        difference = tried(bare, 6) or difference
    return difference
