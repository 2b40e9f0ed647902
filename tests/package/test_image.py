"""The image that the Dockerfile describes, built on a clean Debian 12: small, not root, healthy, serves a query. Takes minutes."""

import json
import os
import shutil
import signal
import subprocess
import tempfile

import pytest
from debian import base
from harness.daemon import ROOT
from harness.postgres import PrivatePostgres, children_of
from harness.waiting import wait_until
from harness.wire import WireClient

pytestmark = pytest.mark.timeout(1800)      # the daemon is compiled in it
BASE, IMAGE = "localhost/tidepool-test-base", "localhost/tidepool-test"


class Buildah:
    """A store of images and containers of its own."""

    def __init__(self):
        self.store = tempfile.mkdtemp(prefix="tidepool-image-")
        self._options = ["--root", f"{self.store}/root", "--runroot", f"{self.store}/run", "--storage-driver", "vfs"]

    def command(self, *command):
        return ["buildah", *self._options, *map(str, command)]

    def __call__(self, *command):
        done = subprocess.run(self.command(*command), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=1500,
                              env={**os.environ, "BUILDAH_ISOLATION": "chroot"})
        assert done.returncode == 0, f"buildah {command}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def buildah():
    buildah = Buildah()
    scratch = buildah("from", "scratch")
    buildah("add", "--quiet", scratch, base(), "/")
    buildah("commit", "--quiet", "--rm", scratch, BASE)
    buildah("bud", "--quiet", "--isolation", "chroot", "--format", "docker", "--build-arg", f"BASE={BASE}", "-t", IMAGE, ROOT)
    yield buildah
    buildah("rm", "--all")
    shutil.rmtree(buildah.store, ignore_errors=True)


@pytest.fixture(scope="module")
def config(buildah):
    return json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]


def size(buildah, image):
    """Bytes of files in the image."""
    container = buildah("from", image)
    mounted = buildah("mount", container)
    used = int(subprocess.run(["du", "-sbx", mounted], capture_output=True, text=True, check=True).stdout.split()[0])
    buildah("rm", container)
    return used


def test_it_is_debian_and_the_package(buildah):
    more = size(buildah, IMAGE) - size(buildah, BASE)
    print(f"the image is {more / 1e6:.1f} MB larger than its base")
    assert more < 60e6


def test_it_is_not_root_and_says_how_it_is_asked_and_ended(config):
    assert config["User"] == "tidepool" and config["StopSignal"] == "SIGTERM"
    assert "tidepoold --ping" in config["Healthcheck"]["Test"][-1]
    assert "6432/tcp" in config["ExposedPorts"]


def test_it_is_healthy_and_serves_a_query(buildah, config):
    container = buildah("from", IMAGE)
    health = ["run", container, "--", "sh", "-c", config["Healthcheck"]["Test"][-1]]
    with PrivatePostgres(tcp=True) as postgres:
        postgres.create_role("app")
        postgres.create_database("app")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as settings:
            port = postgres.port - 1 if postgres.port > 60000 else postgres.port + 1
            settings.write(f"listen: [{{tcp: 127.0.0.1, port: {port}, auth: trust}}, {{unix: /run/tidepool}}]\n"
                           f"pools: {{app: {{conninfo: 'host=127.0.0.1 port={postgres.port} dbname=app user=app'}}}}\n")
            settings.flush()
            os.chmod(settings.name, 0o644)
            buildah("copy", container, settings.name, "/etc/tidepool/tidepool.yaml")
        assert subprocess.run(buildah.command(*health), env={**os.environ, "BUILDAH_ISOLATION": "chroot"}, capture_output=True).returncode != 0
        started = subprocess.Popen(buildah.command("run", container, "--", *config["Entrypoint"], *config["Cmd"]), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "BUILDAH_ISOLATION": "chroot"})
        try:
            def answers():
                assert started.poll() is None, started.stdout.read()
                try:
                    with WireClient(("127.0.0.1", port)) as client:
                        client.log_in(database="app")
                        return client.value("select 42")
                except OSError:
                    return None
            assert wait_until(answers, "the daemon in the container answers", timeout=30) == "42"
            assert "accepting connections" in buildah(*health)
            daemon = next(pid for pid in children_of(started.pid) if command_of(pid) == "tidepoold")
            with open(f"/proc/{daemon}/status") as status:
                assert next(line for line in status if line.startswith("Uid:")).split()[1] != "0"
            os.kill(daemon, signal.SIGTERM)
            assert started.wait(60) == 0
        finally:
            if started.poll() is None:
                started.kill()


def command_of(pid):
    with open(f"/proc/{pid}/comm") as name:
        return name.read().strip()
