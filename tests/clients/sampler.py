"""Looks at pg_stat_activity all the time and keeps the highest number of backends of a database."""

import threading


class Sampler:
    def __init__(self, target):
        self.target, self.most, self.samples = target, 0, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self):
        sql = "select count(*) from pg_stat_activity where usename = 'app' and datname = %s"
        with self.target.postgres.connect() as connection:
            over = False
            while not over:
                over = self._end.wait(0.002)
                self.most = max(self.most, connection.execute(sql, [self.target.database]).fetchone()[0])
                self.samples += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
