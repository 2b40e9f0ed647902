"""What bench/soak does to a daemon: everything that clients, administrators and PostgreSQL do to it in a bad week, at once."""

import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager

import psycopg
from load import Load

# What a client may be told when its backend was terminated under it. Whatever else goes wrong is the daemon's fault.
TERMINATED = re.compile(r"57P01|08006|terminating connection|connection .*closed|closed the connection|connection is lost|Connection reset|Broken pipe")
BASE_SIZE = 8
MOST = 20


class Storm:
    """Actors, a thread each, as long as `with` lasts. `count`: how often what was done; `wrong`: what should not have happened."""

    def __init__(self, daemon, postgres, settings, load_program):
        self.daemon, self.postgres, self.settings, self.load_program = daemon, postgres, settings, load_program
        self.count, self.wrong = {}, []
        self._lock = threading.Lock()

    def blow(self, seconds):
        """For so long; returns when every actor has left."""
        self._end = time.monotonic() + seconds
        actors = [self.connects, self.kills_backends, self.kills_clients, self.reloads, self.cancels, *[self.sessions] * 3]
        threads = [threading.Thread(target=self._act, args=[actor]) for actor in actors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _act(self, actor):
        try:
            actor()
        except Exception as problem:
            self._note(f"{actor.__name__}: {problem!r}")

    def _goes_on(self, pause=0.0):
        time.sleep(pause)
        return time.monotonic() < self._end

    def _did(self, what, times=1):
        with self._lock:
            self.count[what] = self.count.get(what, 0) + times

    def _note(self, problem):
        with self._lock:
            self.wrong.append(problem)

    # The actors

    def connects(self):
        """32 clients that connect, ask once and leave."""
        seconds = max(1, self._end - time.monotonic())
        with Load(self.load_program, self.daemon.socket_path, mode="connect", clients=32, seconds=seconds) as load:
            load.begin()
            result = load.result()
            load.leave()
        self._did("connections", result["transactions"])
        for words, count in result["failures"].items():
            if TERMINATED.search(words):
                self._did("connections that lost their server", count)
            else:
                self._note(f"connects: {count} times {words}")

    def sessions(self):
        """Clients that stay a while, find nothing of others, leave all kinds of things, and go in all kinds of ways."""
        while self._goes_on():
            with self._may_lose_server("sessions"):
                connection = psycopg.connect(self.daemon.conninfo("bench"), autocommit=True)
                self._look_for_traces(connection)
                self._leave_traces(connection)
                if random.random() < 0.5:
                    connection.close()
                else:
                    vanish(connection)
                self._did("sessions")

    def _look_for_traces(self, connection):
        found = connection.execute(
            "select (select count(*) from pg_prepared_statements), (select count(*) from pg_listening_channels()),"
            " (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),"
            " (select count(*) from pg_class where relnamespace = pg_my_temp_schema()), current_setting('work_mem')").fetchone()
        if found != (0, 0, 0, 0, "4MB"):
            self._note(f"sessions: something was left behind: {found}")

    def _leave_traces(self, connection):
        left = random.sample(["set work_mem = '64kB'", "listen channel", "prepare p as select 1", "create temp table t (a int)",
                              "select pg_advisory_lock_shared(1)", "begin; select 1", "select repeat('x', 300000)"], 3)
        for sql in sorted(left, key=lambda sql: sql.startswith("begin")):
            connection.execute(sql)

    def kills_backends(self):
        while self._goes_on(0.1):
            done = self.postgres.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'bench'"
                                       " order by random() limit 1")
            self._did("terminated backends", len(done))

    def kills_clients(self):
        """kill -9 of psql while its query runs, and while it is in a transaction."""
        for sql in endless("select pg_sleep(60)", "begin; select pg_sleep(60)"):
            if not self._goes_on():
                return
            client = subprocess.Popen([self.postgres.bin_dir / "psql", "-Xqc", sql, self.daemon.conninfo("bench", application_name="victim")],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while client.poll() is None and self._goes_on(0.01) and not self._is_asleep("victim"):
                pass
            client.kill()
            client.wait()
            self._did("killed clients")

    def cancels(self):
        while self._goes_on():
            with self._may_lose_server("cancels"):
                with psycopg.connect(self.daemon.conninfo("bench", application_name="cancelled"), autocommit=True) as connection:
                    thread = threading.Thread(target=self._cancel_when_asleep, args=[connection])
                    thread.start()
                    try:
                        connection.execute("select pg_sleep(60)")
                    except psycopg.errors.QueryCanceled:
                        self._did("cancelled queries")
                    finally:
                        thread.join()

    def _cancel_when_asleep(self, connection):
        end = time.monotonic() + 10
        while not connection.closed and not connection.broken and not self._is_asleep("cancelled") and time.monotonic() < end:
            time.sleep(0.01)
        try:
            connection.cancel_safe(timeout=10)
        except psycopg.Error as problem:
            if not (connection.closed or connection.broken):
                self._note(f"cancels: {problem!r}")

    def reloads(self):
        """New sizes and time limits; now and then other servers."""
        while self._goes_on(0.25):
            most = random.randint(BASE_SIZE, MOST)
            pool = {"min_size": random.randint(0, most), "max_size": most, "max_idle": random.choice(["1s", "10min"]),
                    "check": random.choice(["never", "always"]), "max_lifetime": random.choice(["1s", "1h"])}
            if random.random() < 0.2:
                pool["conninfo"] = self.postgres.conninfo("bench", "app", connect_timeout=random.randint(5, 20))
            self.reload(pool)
            self._did("reloads")

    def reload(self, pool):
        self.daemon.write_settings({**self.settings, "pools": {"bench": {**self.settings["pools"]["bench"], **pool}}})
        self.daemon.signal(signal.SIGHUP)

    # Inside

    def _is_asleep(self, name):
        return bool(self.postgres.query("select 1 from pg_stat_activity where application_name = %s and state = 'active'"
                                        " and wait_event = 'PgSleep'", [name]))

    @contextmanager
    def _may_lose_server(self, who):
        try:
            yield
        except psycopg.Error as problem:
            if TERMINATED.search(f"{problem.sqlstate} {problem}"):
                self._did(f"{who} that lost their server")
            else:
                self._note(f"{who}: {problem!r}")


def endless(*values):
    while True:
        yield from values


def vanish(connection):
    """Its socket ends without a Terminate."""
    with socket.socket(fileno=os.dup(connection.fileno())) as raw:
        raw.shutdown(socket.SHUT_RDWR)
    connection.close()
