"""A service manager's side of sd_notify(3): a socket of the test's own, and what the daemon says on it."""

import os
import socket

from harness.waiting import wait_until


class ServiceManager:
    """ServiceManager(folder): give the daemon `env`; `said` is what came so far, each message as a dictionary."""

    def __init__(self, folder):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(os.path.join(folder, "notify"))
        self._socket.setblocking(False)
        self.env = {"NOTIFY_SOCKET": os.path.join(folder, "notify")}
        self.said = []

    def listen(self):
        try:
            while True:
                lines = self._socket.recv(1 << 16).decode().splitlines()
                self.said.append(dict(line.split("=", 1) for line in lines))
        except BlockingIOError:
            return self.said

    def wait_for(self, what, since=0, **others):
        """Waits for a message that has all of `what` ("READY=1"); returns it."""
        wanted = dict([what.split("=", 1)])
        return wait_until(lambda: next((message for message in self.listen()[since:] if wanted.items() <= message.items()), None),
                          lambda: f"the service manager is told {what}; it was told {self.said}", **others)

    def close(self):
        self._socket.close()
