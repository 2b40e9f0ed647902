"""How many backends of a database there were at once, by the truth: pg_stat_activity."""

import threading


class MostBackends:
    """Samples on a connection of its own, as fast as it can or with a `pause` in seconds, and once more at the end."""

    def __init__(self, postgres, database, user=None, pause=0):
        self.most = self.samples = 0
        self._postgres, self._which, self._pause = postgres, {"database": database, "user": user}, pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        sql = ("select count(*) from pg_stat_activity where datname = %(database)s"
               " and (%(user)s::text is null or usename = %(user)s)")
        with self._postgres.connect() as connection:
            over = False
            while not over:
                over = self._stop.wait(self._pause)
                self.most = max(self.most, connection.execute(sql, self._which).fetchone()[0])
                self.samples += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
