"""The part of tools/quickstart after the build: quickstart.py TIDEPOOLD [--once]."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/integration"))
from harness.daemon import Tidepool  # noqa: E402
from harness.postgres import PrivatePostgres  # noqa: E402

SETTINGS = """\
listen:
  - {{unix: {folder}, port: 6432, mode: "0777", auth: trust}}
console: {{users: [app]}}
pools:
  bench:                        # what clients give as dbname
    conninfo: "host={postgres.folder} port={postgres.port} dbname=bench user=app"
    min_size: 2
    max_size: {max_size}
    max_idle: 10s               # a short one, to watch the pool shrink again
"""
MAX_SIZE = 8


def title(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


class Watch:
    """Looks at pg_stat_activity while work is done, and keeps the highest number of connections to the database."""

    def __init__(self, postgres):
        self.postgres, self.most = postgres, 0
        self._end = threading.Event()

    def _look(self):
        while not self._end.wait(0.01):
            self.most = max(self.most, len(self.postgres.backends(database="bench")))

    def __enter__(self):
        self.begin = time.monotonic()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.begin
        self._end.set()
        self._thread.join()


def run(environment, *command):
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stderr}{done.stdout}")
    return done.stdout


def psql_in_parallel(daemon, environment):
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: run(environment, "psql", "-XAt", "-c", "select 42"), range(64)))
    assert answers == ["42\n"] * 64
    return "64 times psql -c 'select 42', 16 at a time: 42 each time"


def pgbench(daemon, environment):
    run(environment, "pgbench", "-i", "-q", "-s", "1")
    out = run(environment, "pgbench", "-n", "-C", "-S", "-c", "16", "-j", "2", "-t", "100")
    done = re.search(r"actually processed: (\S+)", out)[1]
    rate = re.search(r"tps = ([\d.]+)", out)
    return f"pgbench -C -S -c 16: {done} transactions, a new connection for each, {float(rate[1]):.0f} per second"


def sqlalchemy_nullpool(daemon, environment):
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool
    engine = create_engine(f"postgresql+psycopg://app@/bench?host={daemon.host}&port={daemon.port}", poolclass=NullPool)

    def unit_of_work(number):
        with engine.begin() as connection:
            connection.execute(text("insert into pgbench_history (tid, bid, aid, delta) values (1, 1, :aid, 0)"), {"aid": number})
            return connection.scalar(text("select 42"))

    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(unit_of_work, range(500)))
    assert answers == [42] * 500
    return "SQLAlchemy, NullPool, 32 threads: 500 units of work, each with a connection and a transaction of its own"


def work(daemon, postgres):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment.update(PGHOST=str(daemon.host), PGPORT=str(daemon.port), PGDATABASE="bench", PGUSER="app")
    for job in (psql_in_parallel, pgbench, sqlalchemy_nullpool):
        with Watch(postgres) as watch:
            done = job(daemon, environment)
        print(f"  {done}\n    {watch.seconds:.1f} s, never more than {watch.most} connections in PostgreSQL (max_size: {MAX_SIZE})",
              flush=True)
        assert watch.most <= MAX_SIZE, f"{watch.most} connections, max_size is {MAX_SIZE}"
    title("What the pool did")
    print("$ psql tidepool -c 'SHOW POOL_STATS'")
    print(run({**environment, "PGDATABASE": "tidepool"}, "psql", "-X", "-x", "-P", "pager=off", "-c", "SHOW POOL_STATS"))


def main(binary, once):
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, stop)
    daemon = postgres = None
    try:
        title("A private PostgreSQL, and tidepoold in front of it")
        postgres = PrivatePostgres()
        postgres.start()
        postgres.create_role("app")
        postgres.create_database("bench")
        daemon = Tidepool("", binary=binary)
        daemon.write_settings(SETTINGS.format(folder=daemon.folder, postgres=postgres, max_size=MAX_SIZE))
        daemon.start()
        print(f"  PostgreSQL  {postgres.folder}  (log: {postgres.log_file})")
        print(f"  tidepoold   {daemon.folder}  (log: {daemon.log_file})")
        title(f"Settings: {daemon.settings_file}")
        print(daemon.settings_file.read_text(), end="")
        title("Real work through the pool")
        work(daemon, postgres)
        title("Point your application at it")
        print(f"  psql        psql 'host={daemon.host} port={daemon.port} dbname=bench user=app'\n"
              f"  SQLAlchemy  create_engine(\"postgresql+psycopg://app@/bench?host={daemon.host}&port={daemon.port}\", poolclass=NullPool)\n"
              f"  asyncio     create_async_engine(\"postgresql+asyncpg://app@/bench?host={daemon.host}&port={daemon.port}\", poolclass=NullPool)\n"
              f"  the console psql 'host={daemon.host} port={daemon.port} dbname=tidepool user=app' -c 'SHOW POOLS'\n"
              f"  PostgreSQL  psql '{postgres.conninfo('bench', 'app')}'   (past the pool)", flush=True)
        if not once:
            title("Both run until Ctrl-C")
            while daemon.is_running():
                time.sleep(0.5)
            raise RuntimeError("tidepoold has ended by itself")
        return 0
    except Stopped:
        return 0
    except Exception as problem:
        print(f"\nThat went wrong: {problem}", file=sys.stderr)
        if daemon is not None:
            print(f"The end of tidepoold's log:\n{daemon.log()[-3000:]}", file=sys.stderr)
        return 1
    finally:
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signal_number, signal.SIG_IGN)
        try:
            if daemon is not None:
                daemon.remove()
        finally:
            if postgres is not None:
                postgres.remove()
        print("\nBoth are stopped, their folders gone.", flush=True)


class Stopped(BaseException):
    pass


def stop(*_):
    raise Stopped


sys.exit(main(sys.argv[1], "--once" in sys.argv))
