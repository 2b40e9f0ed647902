"""A daemon between clients and servers whose bytes are changed on their way, and others whose bytes are not: those must notice nothing.

    with MangledStorm(seed=7, workers=2) as storm:
        storm.blow(60)
        storm.calm()                        # all that was changed is over: every pool must work
    storm.problems                          # words; none, if all is well

Pools, each in several modes: `calm`, nothing is changed; `clients`, what comes from clients; `servers`, what comes from servers; `requests`, what the
daemon says to its servers; `logins`, what a server says in logins, with a password and with TLS. The PostgreSQL is the storm's own, and its clients are a
user that may not do much.
"""

import random
import re
import shutil
import struct
import subprocess
import threading
import time
import traceback
from contextlib import ExitStack

from harness import tagged_work as work
from harness import wire
from harness.daemon import REPORT, Tidepool
from harness.mangling import CLIENT, SERVER
from harness.mangling_proxy import ManglingProxy
from harness.postgres import PrivatePostgres
from harness.tagged_work import Wrong, Work
from harness.waiting import SLOWNESS, TimedOut, wait_until
from harness.wire import Closed, LoginFailed

MODES = ("session", "transaction", "statement")
PASSWORD = "a secret of the tests"
PATIENCE = 30           # seconds: a client of a pool where nothing is changed has its answer by then
SILENCE = 0.3           # seconds after which one whose bytes are changed goes on, or leaves
MEMORY = 64 << 20       # what resident memory may grow by, once it has been there for a while
PINNED = "C53400"        # others keep as many servers as may be kept
# Of the pools whose servers may fall silent.
SHORT = {"check_timeout": "300ms", "reset_timeout": "500ms"}
KINDS = ("clients", "servers", "requests", "server-logins", "client-logins")
# What a client of a pool whose servers' bytes are changed may meet, and anybody whose own are.
ROUGH = (Closed, LoginFailed, OSError, TimeoutError, AssertionError, struct.error, IndexError, ValueError, StopIteration)


class MangledStorm:
    """`kinds`: which bytes are changed. `binary`: as in Tidepool."""

    def __init__(self, seed, *, workers=1, kinds=KINDS, binary=None, rate=0.15, level="info", say=lambda words: None):
        self.seed, self.workers, self.kinds, self.binary, self.rate, self.level, self.say = seed, workers, kinds, binary, rate, level, say
        self.tags, self.problems, self.count = {}, [], {}
        self.resident, self.stacks = [], ""
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._ends = threading.Event()

    # Set-up

    def __enter__(self):
        with ExitStack() as stack:
            self.postgres = stack.enter_context(PrivatePostgres(tcp=True, tls=True, settings={
                "statement_timeout": f"{int(20 * SLOWNESS)}s", "max_connections": "150", "temp_file_limit": "100MB",
                "idle_in_transaction_session_timeout": f"{int(20 * SLOWNESS)}s", "password_encryption": "scram-sha-256"}))
            self.make_database()
            self.servers = {name: stack.enter_context(proxy) for name, proxy in self.server_proxies()}
            self.daemon = Tidepool("", binary=self.binary)
            self.daemon.write_settings(self.daemon_settings())
            stack.callback(self.end_daemon)
            self.daemon.start()
            self.fronts = {name: stack.enter_context(proxy) for name, proxy in self.fronts_of_clients()}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def end_daemon(self):
        try:
            self.daemon.remove()
        except AssertionError as problem:
            self.tell(f"the daemon's end: {problem}")

    def make_database(self):
        self.postgres.create_role("app", options="nocreatedb nocreaterole connection limit 100")
        self.postgres.create_role("locked", PASSWORD)
        self.postgres.create_database("odd", owner="postgres")
        with self.postgres.connect("odd") as connection:
            connection.execute("revoke create on schema public from public")
            connection.execute("create table taken (line text)")
            connection.execute("grant insert on taken to public")
        self.postgres.set_hba("local all postgres trust\nlocal all app trust\nlocal all locked scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n")

    def server_proxies(self):
        talk = {name: self.rate if name in self.kinds else 0 for name in ("servers", "requests")}
        login = self.rate if "server-logins" in self.kinds else 0
        path, address = self.postgres.socket_path, ("127.0.0.1", self.postgres.port)
        yield "servers", ManglingProxy(path, side=SERVER, seed=self.seed, talk=talk["servers"], login=login / 5)
        yield "requests", ManglingProxy(path, side=CLIENT, last=True, seed=self.seed, talk=talk["requests"], login=login / 5)
        yield "logins", ManglingProxy(path, side=SERVER, seed=self.seed + 1, login=login * 3)
        yield "tls", ManglingProxy(address, tcp=True, side=SERVER, seed=self.seed, login=login * 2, talk=talk["servers"] / 3)

    def daemon_settings(self):
        pools = {}
        for mode in MODES:
            pools[f"calm_{mode}"] = self.pool(mode, self.postgres.conninfo("odd", "app"), 3, timeout=f"{PATIENCE}s")
            pools[f"clients_{mode}"] = self.pool(mode, self.postgres.conninfo("odd", "app"), 5, timeout=f"{PATIENCE}s", client_idle="60s",
                                                 idle_in_transaction="30s", transaction="60s", query="30s")
            for kind in ("servers", "requests"):
                check = "always" if mode == "session" else "1s"
                pools[f"{kind}_{mode}"] = self.pool(mode, self.servers[kind].conninfo("odd", connect_timeout=2), 6, timeout="3s", query="1s",
                                                    client_idle="3s", idle_in_transaction="1s", transaction="5s", check=check, max_lifetime="20s",
                                                    **SHORT)
        password = f"'{PASSWORD}'"
        for name, conninfo in (("plain", self.servers["logins"].conninfo("odd", connect_timeout=2)),
                               ("password", self.servers["logins"].conninfo("odd", "locked", password=password, connect_timeout=2)),
                               ("tls", self.servers["tls"].conninfo("odd", "locked", password=password, sslmode="require", connect_timeout=2))):
            pools[f"logins_{name}"] = self.pool("transaction", conninfo, 4, timeout="3s", query="3s", max_lifetime="1s", max_idle="1s", check="always",
                                                when_down="fail", **SHORT)
        return {"listen": [{"unix": str(self.daemon.folder), "port": 6432, "mode": "0777", "auth": "trust"},
                           {"unix": str(self.daemon.folder), "port": 6433, "mode": "0777", "auth": "scram-sha-256"}],
                "workers": self.workers, "users": {"app": {"password": PASSWORD}}, "pools": pools, "console": {"users": ["app"]},
                "limits": {"login_timeout": "3s"}, "log": {"level": self.level}}

    @staticmethod
    def pool(mode, conninfo, size, **others):
        times = {name: f"{float(value[:-1]) * SLOWNESS:g}s" if re.fullmatch(r"\d+s", value) else value for name, value in others.items()}
        pinned = {} if mode == "session" else {"max_pinned": size - 1}
        return {"mode": mode, "users": ["app"], "conninfo": conninfo, "min_size": 0, "max_size": size, **pinned, **times}

    def fronts_of_clients(self):
        talk, login = (self.rate if "clients" in self.kinds else 0), (self.rate if "client-logins" in self.kinds else 0)
        for name, port in (("trust", 6432), ("password", 6433)):
            yield name, ManglingProxy(self.daemon.folder / f".s.PGSQL.{port}", side=CLIENT, seed=self.seed, talk=talk, login=login)

    # What happens

    def blow(self, seconds):
        """For so long; returns when every client has left."""
        self._ends.clear()
        actors = [(self.is_undisturbed, f"{kind}_{mode}", number) for kind, times in (("calm", 2), ("clients", 1)) for mode in MODES
                  for number in range(times)]
        actors += [(self.is_mangled, f"clients_{mode}", number) for mode in MODES for number in range(5)]
        actors += [(self.meets_odd_servers, f"{kind}_{mode}", number) for kind in ("servers", "requests") for mode in MODES for number in range(4)]
        actors += [(self.meets_odd_servers, f"logins_{name}", number) for name in ("plain", "password", "tls") for number in range(4)]
        threads = [threading.Thread(target=self._act, args=actor, daemon=True) for actor in actors]
        threads.append(threading.Thread(target=self._watch, daemon=True))
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.problems:
            self._ends.wait(0.5)
            if not self.daemon.is_running():
                self.tell("the daemon has ended")
        self._ends.set()
        for thread in threads:
            thread.join(PATIENCE * SLOWNESS * 2)
            if thread.is_alive():
                self.tell(f"{thread.name} does not end")

    def calm(self):
        """Nothing is changed any more: every pool serves, nothing of PostgreSQL's is left over, memory has not grown."""
        for proxy in (*self.servers.values(), *self.fronts.values()):
            proxy.mangles = False
        if self.problems:
            return
        try:
            for pool in self.daemon.settings["pools"]:
                wait_until(lambda pool=pool: self.serves(pool), lambda pool=pool: f"pool {pool} serves again: {self.refusal!r}", 30, 0.2)
            sizes = sum(pool["max_size"] for pool in self.daemon.settings["pools"].values())
            wait_until(lambda: len(self.postgres.backends(database="odd")) <= sizes, "PostgreSQL has no more backends than the pools have servers", 30, 0.2)
            wait_until(lambda: all(row["cl_active"] + row["cl_waiting"] + row["sv_login"] == 0 for row in self.daemon.console("SHOW POOLS") if row["database"] != "tidepool"),
                       lambda: f"all clients have left and nobody dials: {self.daemon.console('SHOW POOLS')}", 30, 0.2)
        except (TimedOut, OSError) as problem:
            self.tell(f"calm: {problem}")
        if self.resident:
            begin = max(self.resident[:max(len(self.resident) // 3, 1)])
            if self.resident[-1] > begin + MEMORY:
                self.tell(f"resident memory has grown from {begin >> 20} to {self.resident[-1] >> 20} MiB")

    def serves(self, pool):
        try:
            with self.client(pool, self.path()) as client:
                client.log_in("app", pool)
                self.converse(client, self.work(client, pool), [work.simple, work.extended, work.error], True)
                client.send(wire.TERMINATE)
            return True
        except ROUGH as problem:
            self.refusal = problem
            return False

    # The actors

    def is_undisturbed(self, pool, chance):
        """A client whose bytes nobody changes, in a pool whose servers' bytes nobody changes: every answer must be right."""
        with self.client(pool, self.path(), PATIENCE) as client:
            mine = self.work(client, pool, chance)
            client.log_in("app", pool, **self.startup(mine))
            steps = work.steps_for(mine.mode)
            goes_on = self.converse(client, mine, [chance.choice(steps) for _ in range(chance.randint(1, 25))], True)
            if goes_on and chance.random() < 0.1:
                self.cancel(client, mine)
            if goes_on and chance.random() < 0.7:
                client.send(wire.TERMINATE)
        self.did("undisturbed sessions")
        self._ends.wait(0.02)               # the others are to come to their work

    def is_mangled(self, pool, chance):
        """One whose bytes are changed."""
        front = chance.choice(("trust", "trust", "trust", "password"))
        with self.client(pool, self.fronts[front].socket_path, SILENCE) as client:
            try:
                self.go_wild(client, pool, chance)
            except ROUGH:
                pass
        self.did("mangled clients")

    def meets_odd_servers(self, pool, chance):
        """One whose server's bytes are changed, and now and then its own as well. What its session has set on such a server nobody knows: it sets nothing."""
        path = self.fronts["trust"].socket_path if chance.random() < 0.3 else self.path()
        with self.client(pool, path, SILENCE * 3) as client:
            try:
                self.go_wild(client, pool, chance, False)
            except ROUGH:
                pass
        self.did("clients of odd servers")

    def go_wild(self, client, pool, chance, state=True):
        mine = self.work(client, pool, chance)
        if chance.random() < 0.1:
            client.send(chance.choice((wire.SSL_REQUEST, wire.GSSENC_REQUEST)))
            client.read_bytes(1)
        protocol = chance.choice((wire.PROTOCOL_3_0, wire.PROTOCOL_3_0, wire.PROTOCOL_3_2))
        client.log_in("app", pool, PASSWORD, protocol=protocol, **(self.startup(mine) if state else {}))
        steps = work.steps_for(mine.mode, state)
        self.converse(client, mine, [chance.choice(steps) for _ in range(chance.randint(1, 8))], False)
        if chance.random() < 0.1:
            self.cancel(client, mine)
        if chance.random() < 0.5:
            client.send(wire.TERMINATE)

    def startup(self, mine):
        """Settings of its own for some: they are tried on a server in the login."""
        if mine.chance.random() > 0.3:
            return {}
        mine.began = {"application_name": mine.tag, "app.began": mine.tag}
        mine.settings = dict(mine.began)
        return {"application_name": mine.tag, "options": f"-c app.began={mine.tag}"}

    def converse(self, client, mine, steps, is_judged):
        """Says whether the session goes on."""
        for step in steps:
            for block in step(mine):
                client.send(block.data)
                try:
                    answers = [answer for _ in range(block.ready) for answer in client.read_until_ready()]
                    while is_judged and sum(answer.type == "A" for answer in answers) < block.notifications:
                        answers.append(client.read())
                except Closed as problem:
                    if is_judged and PINNED in str(problem) and self.tags[client.tag].startswith("clients"):
                        self.did("undisturbed sessions that would have kept one server too many")
                        return False
                    raise
                except TimeoutError:
                    if is_judged or mine.chance.random() < 0.5:
                        raise
                    continue
                if is_judged and not work.judge(block, answers):
                    break
            self.did("steps that were judged" if is_judged else "other steps")
            if self._ends.is_set():
                break
        return True

    def cancel(self, client, mine):
        """Of one's own query, which may be over by then."""
        words = mine.words()
        client.send(wire.query(f"select '{words}', pg_sleep(0.2)"))
        with work.TaggedClient(client.address, self.tags, self.tell, mine.tag, timeout=5) as other:
            other.send(wire.cancel_request(client.process_id, client.key))
            other.read_until_closed()
        types = "".join(answer.type for answer in client.read_until_ready() if answer.type != "S")
        if types not in ("TDCZ", "TEZ", "EZ"):
            raise Wrong(f"a cancelled query was answered by {types}")

    # Inside

    def path(self):
        return self.daemon.folder / ".s.PGSQL.6432"

    def client(self, pool, address, timeout=5.0):
        tag = work.new_tag()
        self.tags[tag] = pool
        return work.TaggedClient(address, self.tags, self.tell, tag, timeout=timeout)

    def work(self, client, pool, chance=None):
        return Work(client.tag, chance or random.Random(0), next((mode for mode in MODES if pool.endswith(mode)), "transaction"))

    def _act(self, actor, pool, number):
        chance = random.Random(f"{self.seed} {actor.__name__} {pool} {number}")
        while not self._ends.is_set():
            try:
                actor(pool, chance)
            except (ConnectionRefusedError, FileNotFoundError, BlockingIOError):
                time.sleep(0.1)             # no room in the listener's queue, or no daemon, which is told once
            except Exception as problem:
                self.tell(f"{actor.__name__} of {pool}: {problem!r} at {traceback.format_tb(problem.__traceback__)[-2:]}")
                self.look_into_it()

    def _watch(self):
        while not self._ends.wait(1):
            try:
                self.resident.append(self.daemon.resident_bytes())
            except (OSError, TypeError):
                return
            if REPORT.search(self.end_of_log(20000)):
                self.tell("a sanitizer reported something")

    def end_of_log(self, most=6000):
        try:
            with open(self.daemon.log_file, "rb") as file:
                file.seek(max(file.seek(0, 2) - most, 0))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def look_into_it(self):
        """Where its threads are, if it hangs and there is a debugger."""
        with self._lock:
            first, self.stacks = not self.stacks, self.stacks or "none"
        if first and shutil.which("gdb") and self.daemon.is_running():
            done = subprocess.run(["gdb", "-p", str(self.daemon.pid), "-batch", "-ex", "thread apply all backtrace 25"], capture_output=True, text=True)
            self.stacks = done.stdout[-20000:]

    def did(self, what):
        with self._lock:
            self.count[what] = self.count.get(what, 0) + 1

    def tell(self, problem):
        with self._lock:
            self.problems.append(problem)
            self.say(problem)

    def summary(self):
        changed = {name: proxy.changed for name, proxy in (*self.servers.items(), *((f"clients, {name}", proxy) for name, proxy in self.fronts.items()))}
        counts = ", ".join(f"{count:,} {what}" for what, count in self.count.items())
        return (f"{counts}; blocks changed: " + ", ".join(f"{name} {count:,}" for name, count in changed.items())
                + (f"; resident memory {self.resident[0] >> 20} to {max(self.resident) >> 20} MiB" if self.resident else ""))

    def last_changes(self, most=40):
        """What was changed last, for people."""
        every = [(*done, name) for name, proxy in (*self.servers.items(), *self.fronts.items()) for done in list(proxy.done)]
        return "\n".join(f"{at:.3f} {name} {number}: {what}\n    {data[:400]!r}" for at, number, what, data, name in sorted(every)[-most:])


