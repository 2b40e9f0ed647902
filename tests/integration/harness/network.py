"""A network of two machines that a test may break: two network namespaces, joined by a cable (veth), filtered by nftables.

    with Network() as network:
        server = new_postgres(prefix=network.right.enter, listen=network.right.address)   # PostgreSQL on the right
        daemon = tidepool(prefix=network.left.enter, ...)                                 # the daemon on the left
        network.drop()                      # every packet between them is lost from now on; nobody is told
        network.drop(percent=30)
        network.mend()

Nothing of it touches the machine's own network, and all of it is gone with the two processes that keep the namespaces.
Unix sockets know no namespaces: clients reach the daemon, and tests reach PostgreSQL, as ever. Needs root.
"""

import subprocess

TABLE = "add table ip weather; flush table ip weather;"


class Host:
    """One of the two machines: a process in a network namespace of its own."""

    def __init__(self, address):
        self.address = address
        self._keeper = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c",
                                         "echo ready; exec sleep infinity"], stdout=subprocess.PIPE)
        assert self._keeper.stdout.readline() == b"ready\n", "no network namespace (needs root)"
        self.enter = ["nsenter", f"--net=/proc/{self._keeper.pid}/ns/net", "--"]

    @property
    def pid(self):
        return self._keeper.pid

    def run(self, *command, stdin=None):
        done = subprocess.run([*self.enter, *command], input=stdin, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def end(self):
        self._keeper.kill()
        self._keeper.wait()
        self._keeper.stdout.close()


class Network:
    def __init__(self):
        self.left, self.right = Host("10.0.0.1"), Host("10.0.0.2")
        self.left.run("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(self.right.pid))
        for host in (self.left, self.right):
            host.run("ip", "address", "add", f"{host.address}/24", "dev", "cable")
            host.run("ip", "link", "set", "cable", "up")
            host.run("ip", "link", "set", "lo", "up")

    def drop(self, percent=100):
        """Loses so many of a hundred packets, whichever way they go."""
        rule = "drop" if percent == 100 else f"numgen random mod 100 < {percent} drop"
        self._filter(f"add chain ip weather in {{ type filter hook input priority 0; }}; "
                     f"add rule ip weather in iifname cable counter {rule};")

    def mend(self):
        self._filter("delete table ip weather;")

    def _filter(self, rules):
        for host in (self.left, self.right):
            host.run("nft", "-f", "-", stdin=TABLE + rules)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for host in (self.left, self.right):
            host.end()
