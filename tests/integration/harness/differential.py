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
from harness.script_kinds import PAST
from harness.script_replies import ANOTHERS, OWN, first_difference, normalised
from harness.session_scripts import CONTENTS, EACH_CLIENT, OBJECTS, POOLS, ROLE, SHARED, SUPERUSER
from harness.waiting import SLOWNESS

TIME_FOR_A_SCRIPT = 30
DIRECT, POOLED = "direct", "pooled"

# What a server needs for scripts.
SERVER_SETTINGS = {"max_prepared_transactions": "200", "max_connections": "300",
                   # enable_seqscan = off makes a plan so dear that each new process would load LLVM for it.
                   "jit": "off"}
# A process that makes its first temporary object makes a schema, if no process of its number has before; then PostgreSQL reads every statement of
# everybody again, by the settings of now. So the schemas are there from the beginning.
TEMPORARY_SCHEMAS = 120


def make_databases(server, clients):
    """The two databases, alike to their OIDs, and the role that scripts change to; returns their names by side."""
    names = {DIRECT: "scripts_direct", POOLED: "scripts_pooled"}
    server.create_role(ROLE)
    server.create_role(SUPERUSER, options="superuser")
    server.execute(f'grant "{ROLE}" to app')
    template = server.create_database("scripts_template")
    with server.connect(dbname=template, user="postgres") as owner:
        owner.execute(SHARED)
        for client in range(clients):
            owner.execute("set role app" if client == 0 else "")
            owner.execute(EACH_CLIENT.format(client))
            owner.execute(f"reset role; grant create on schema c{client} to app")
            owner.execute(OBJECTS.format(client))
    sessions = [server.connect(dbname=template, user="postgres") for _ in range(TEMPORARY_SCHEMAS)]
    for session in sessions:
        session.execute("create temp table first(a int)")
    for session in sessions:
        session.close()
    server.terminate(database=template)
    for name in names.values():
        server.create_database(name, template=template)
    return names


def settings_of_pools(server, database, mode, clients, servers):
    """The `pools` of the daemon's settings."""
    found = {}
    for name, special in POOLS.items():
        size = clients + 2 if mode == "session" else special.get("max_size", servers)
        found[name] = {"conninfo": server.conninfo(database, SUPERUSER if name == SUPERUSER else "app"), "min_size": 0, "timeout": "60s", **special, "max_size": size}
        if mode != "session":
            found[name] |= {"mode": mode, "max_pinned": size}
    return found


class Differential:
    """run(source) runs scripts until there are no more, or until replies differ, and returns that Difference. `source(client)` gives each of
    `clients` its next script, or None. `addresses` are by side: a socket path, and the database's name, or None for the name of a script's pool; `postgres` and
    `databases` are those behind them."""

    def __init__(self, addresses, clients, postgres, databases):
        self.addresses, self.clients = addresses, list(clients)
        self.controls = {side: (postgres, name) for side, name in databases.items()}
        self.epoll = select.epoll()
        self.sockets = {}               # descriptor: who reads it
        self.timers = []
        self.count = self.steps = 0
        self.difference = None
        self.noted = None               # a list: differences are noted there, and scripts go on
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

    @property
    def kind(self):
        """The kind of the step that differs."""
        return self.script.steps[self.step - 1].kind if self.step and self.step <= len(self.script.steps) else "login" if self.step == 0 else self.why[:20]

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

    def __init__(self, engine, address, database, startup, user="app"):
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
        self.send(wire.startup(user=user, database=database, **startup))

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
        self.seat, self.script, self.side = seat, seat.script, side
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
        self.status = b"I"
        address, database = seat.engine.addresses[side]
        super().__init__(seat.engine, address, database or self.script.pool, self.script.startup, SUPERUSER if self.script.pool == SUPERUSER else "app")

    def said(self, letter, body):
        if letter == "A":
            whose = OWN if body[:4] == self.key[:4] else ANOTHERS
            body = (ANOTHERS if "pids" in self.script.forgiven else whose) + body[4:]
        elif self.side == POOLED and self.script.gids:
            body = body.replace(b"gid_P", b"gid_D")
        self.replies[-1].append((letter, body))
        if letter == "Z":
            self.came, self.status = self.came + 1, body
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
        if send.by:
            return self.let_another_say(send)
        if send.cancel and send.cancel == self.last:
            self.cancel()
        self.ready, self.types = send.ready, send.types
        # Both databases are of one cluster, where identifiers of prepared transactions are of one space.
        self.send(send.data.replace(b"gid_D", b"gid_P") if self.side == POOLED and self.script.gids else send.data)
        if self.types and self.last == "E":
            self.go_on()                        # up to the Sync nothing more is answered
        elif not self.types and self.came >= self.ready:
            self.look("Z")

    def let_another_say(self, send):
        self.waits = False
        if self.status != b"I" and not send.whenever:
            self.replies[-1].append(("not said", b""))
            return self.go_on()

        def done(answers):
            if not self.over:
                self.replies[-1].append(("by another", repr(normalised(answers)).encode()))
                self.go_on()
        self.seat.another(self.side, send.by).say(send.data, done)

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


class Another(Conversation):
    """Another session of a client's side, which stays: of the pool, as `app`, or straight to PostgreSQL, as its owner. The latter also looks at what
    a script left in its client's tables, and empties them."""

    def __init__(self, seat, side, past):
        self.answers, self.calls = [], [lambda answers: None]
        address, database = seat.engine.controls[side] if past else seat.engine.addresses[side]
        super().__init__(seat.engine, address, database or next(iter(POOLS)), {}, "postgres" if past else "app")

    def say(self, data, call):
        """call(answers) once it is ready, and has been for all that was said before."""
        self.calls.append(call)
        self.send(data)

    def said(self, letter, body):
        if letter in "DECN":
            self.answers.append((letter, body))
        elif letter == "Z":
            answers, self.answers = self.answers, []
            self.calls.pop(0)(answers)

    def ended(self):
        raise AssertionError(f"another session's connection was closed: {self.answers}")


class Seat:
    """One client: runs one script after the other, each on both sides at once."""

    def __init__(self, engine, client):
        self.engine, self.client = engine, client
        self.others = {}
        self.sessions, self.script, self.busy = [], None, False
        self.turn = 0

    def another(self, side, by):
        if (side, by) not in self.others:
            self.others[side, by] = Another(self, side, by == PAST)
        return self.others[side, by]

    def begin(self, source):
        self.source, self.script, self.busy = source, None, True
        self.ask_owners(CONTENTS.format(self.client), self.emptied)
        return True

    def ask_owners(self, text, call):
        """call(answers by side) once both have said it; a call that another script's end has made pointless is forgotten."""
        answers, turn = {}, self.turn
        for side in (DIRECT, POOLED):
            def done(found, side=side):
                answers[side] = found
                if len(answers) == 2 and self.busy and turn == self.turn:
                    call(answers)
            self.another(side, PAST).say(wire.query(text), done)

    def empty(self):
        for side in (DIRECT, POOLED):
            for gid in self.script.gids if self.script else ():
                gid = gid if side == DIRECT else gid.replace("gid_D", "gid_P")
                self.another(side, PAST).say(wire.query(f"rollback prepared '{gid}'"), lambda answers: None)
        self.ask_owners(CONTENTS.format(self.client), self.emptied)

    def emptied(self, left):
        if self.script is not None:
            if left[DIRECT] != left[POOLED] and self.script.ending == "terminate":
                return self.differs(f"the tables differ afterwards: {left[DIRECT]} directly, {left[POOLED]} through the pool")
            self.engine.count += 1
            self.engine.steps += len(self.script.steps)
        self.script = self.source(self.client)
        if self.script is None:
            self.busy = False
        elif self.script.objects:
            self.ask_owners(OBJECTS.format(self.client), self.start)
        else:
            self.start()

    def start(self, made=None):
        for side, answers in (made or {}).items():
            assert not [answer for answer in answers if answer[0] == "E"], (side, answers)
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
        if self.engine.only not in (None, self.script.number) or self.engine.noted is not None:
            if self.engine.noted is not None:
                self.engine.noted.append(Difference(self.script, *(session.replies for session in self.sessions), why, step))
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
        for other in self.others.values():
            other.hang_up()


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
