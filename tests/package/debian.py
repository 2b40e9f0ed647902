"""Clean Debians in folders, made by debootstrap."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.daemon import ROOT

MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
BASE = ROOT / "build/package/base"


def base():
    """A Debian 12 with nothing but what it cannot do without; made once, and copied."""
    if not (BASE / "etc/debian_version").exists() or (BASE / "debootstrap").exists():
        shutil.rmtree(BASE, ignore_errors=True)
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", BASE, MIRROR], check=True, stdout=subprocess.DEVNULL)
    return BASE


class Debian:
    """with Debian() as debian: a copy of the base; run() what is to be run in it, as root."""

    def __enter__(self):
        self.root = Path(tempfile.mkdtemp(prefix="debian-"))
        os.chmod(self.root, 0o755)
        subprocess.run(["cp", "-a", "--reflink=auto", f"{base()}/.", self.root], check=True)
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root, ignore_errors=True)

    def command(self, *command, user=None):
        """`user`: with its own groups, and nothing of root's."""
        who = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"] if user else []
        return ["chroot", self.root, *who, *command]

    def run(self, *command, user=None, check=True, **options):
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(self.command(*command, user=user), env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=600, **options)
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done if not check else done.stdout

    def install(self, package):
        """From a file, with what it depends on."""
        shutil.copy(package, self.root / "root")
        self.run("apt-get", "-qq", "-o", "Acquire::Retries=3", "update")
        self.run("apt-get", "-qq", "-y", "--no-install-recommends", "-o", "Acquire::Retries=3", "install", f"/root/{package.name}")
