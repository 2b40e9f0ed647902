"""A byte proxy between the daemon and PostgreSQL (or a client and the daemon): cuts, holds back, splits what passes.

    with Proxy(postgres.socket_path) as proxy:       # conninfo: host=proxy.folder port=5432
        proxy.hold()                                 # bytes from the server stay in the proxy
        proxy.release()
        proxy.cut()                                  # all its connections end, as if the network broke
"""

import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path


class Proxy:
    """`target` is the path of a Unix socket or (host, port). `pieces`: so many bytes a write; `delay`: seconds in
    front of each write; `limit`: after so many bytes from the target a connection is cut."""

    def __init__(self, target, *, tcp=False, pieces=None, delay=0.0, limit=None):
        self.target, self.pieces, self.delay, self.limit = target, pieces, delay, limit
        self.accepted = 0
        self.from_target = self.to_target = 0       # bytes that passed
        self._flows = threading.Event()
        self._flows.set()
        self._pairs = []
        self.folder = Path(tempfile.mkdtemp(prefix="tidepool-proxy-"))
        self.folder.chmod(0o755)
        self.tcp, self.port = tcp, 5432
        if tcp:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self.folder / ".s.PGSQL.5432"))
            (self.folder / ".s.PGSQL.5432").chmod(0o777)
            self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def socket_path(self):
        return self.folder / f".s.PGSQL.{self.port}"

    def conninfo(self, dbname="postgres", user="app", **others):
        host = "127.0.0.1" if self.tcp else self.folder
        others = {"host": host, "port": self.port, "dbname": dbname, "user": user, **others}
        return " ".join(f"{key}={value}" for key, value in others.items())

    def hold(self):
        """What the target says stays here until release()."""
        self._flows.clear()

    def release(self):
        self._flows.set()

    def cut(self):
        """Ends all connections of this moment, both ends."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            hang_up(*pair)

    def stop(self):
        hang_up(self._listener)
        self._listener.close()
        self.cut()
        self._flows.set()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if isinstance(self.target, tuple):
                    server = socket.create_connection(self.target)
                else:
                    server = socket.socket(socket.AF_UNIX)
                    server.connect(str(self.target))
            except OSError:
                client.close()
                continue
            self.accepted += 1
            self._pairs.append((client, server))
            self._begin(client, server)

    def _begin(self, client, server):
        for source, sink, answers in ((client, server, False), (server, client, True)):
            threading.Thread(target=self._pass_on, args=[source, sink, answers], daemon=True).start()

    def _pass_on(self, source, sink, answers):
        passed = 0
        try:
            while data := source.recv(65536):
                if answers:
                    self._flows.wait()
                    if self.limit is not None:
                        data = data[:max(self.limit - passed, 0)]
                for at in range(0, len(data), self.pieces or len(data) or 1):
                    if self.delay:
                        time.sleep(self.delay)
                    sink.sendall(data[at:at + (self.pieces or len(data))])
                passed += len(data)
                if answers:
                    self.from_target += len(data)
                    if self.limit is not None and passed >= self.limit:
                        hang_up(source, sink)
                        return
                else:
                    self.to_target += len(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            hang_up(source, sink)


def hang_up(*sockets):
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
