"""Many clients at work at once."""

import threading

from harness.waiting import wait_until


class Load:
    """Threads that do work(client_number, turn) until stopped; what they raise ends the test."""

    def __init__(self, count, work):
        self.done = [0] * count
        self.failures = []
        self._work = work
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[number]) for number in range(count)]

    def _run(self, number):
        while not self._stop.is_set():
            try:
                self._work(number, self.done[number])
            except Exception as error:
                self.failures.append(error)
                return
            self.done[number] += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def until(self, condition, what, timeout=60):
        wait_until(lambda: condition() or self.failures, what, timeout, 0.02)

    def __exit__(self, kind, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if kind is None:
            assert not self.failures, self.failures[:3]
