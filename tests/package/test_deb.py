"""The package, installed in a clean Debian 12: what it brings, that the unit is a good one, that the daemon serves, that it goes."""

import re
import signal
import subprocess

import pytest
from debian import Debian
from harness.daemon import ROOT
from harness.postgres import PrivatePostgres
from harness.waiting import wait_until

UNITS = "/lib/systemd/system/tidepoold.service", "/lib/systemd/system/tidepoold.socket"
SETTINGS = "/etc/tidepool/tidepool.yaml"

pytestmark = pytest.mark.timeout(900)       # a Debian is fetched, at a mirror's pace


@pytest.fixture(scope="module")
def package():
    found = list((ROOT / "build/package").glob("tidepool_*.deb"))
    assert len(found) == 1, f"tools/package makes one package; there are {found}"
    return found[0]


@pytest.fixture(scope="module")
def debian(package):
    with Debian() as debian:
        debian.install(package)
        yield debian


def test_it_brings_the_daemon_its_user_settings_units_manuals_and_documents(debian, package):
    brought = debian.run("dpkg", "-L", "tidepool").splitlines()
    for file in ("/usr/bin/tidepoold", SETTINGS, *UNITS, "/usr/lib/sysusers.d/tidepool.conf", "/etc/logrotate.d/tidepool",
                 "/usr/share/man/man8/tidepoold.8.gz", "/usr/share/man/man5/tidepool.yaml.5.gz", "/usr/share/doc/tidepool/copyright",
                 "/usr/share/doc/tidepool/changelog.gz", "/usr/share/doc/tidepool/service.md", "/usr/share/doc/tidepool/tidepool.full.yaml"):
        assert file in brought, f"{file} is missing"
    assert debian.run("dpkg", "--verify", "tidepool") == "", "md5sums that are not those of the files"
    assert "/etc/tidepool/tidepool.yaml" in debian.run("dpkg-query", "-f", "${Conffiles}", "-W", "tidepool")
    depends = subprocess.run(["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True, check=True).stdout
    for library in ("libc6", "libidn12", "libpq5", "libssl3", "libsystemd0", "libuv1", "libyaml-cpp", "libspdlog"):
        assert library in depends


def test_its_user_can_do_nothing_but_run_it(debian):
    name, _, _, _, _, home, shell = debian.run("getent", "passwd", "tidepool").strip().split(":")
    assert (name, home) == ("tidepool", "/nonexistent") and shell.endswith("nologin")
    assert debian.run("stat", "-c", "%U:%G %a", "/etc/tidepool", SETTINGS).splitlines() == ["root:tidepool 750", "root:tidepool 640"]
    assert debian.run("tidepoold", "--check", SETTINGS, user="tidepool") == "ok\n"


def test_the_service_is_enabled_and_the_socket_is_not(debian):
    wanted = debian.root / "etc/systemd/system/multi-user.target.wants/tidepoold.service"
    assert wanted.is_symlink()
    assert not (debian.root / "etc/systemd/system/sockets.target.wants/tidepoold.socket").is_symlink()


@pytest.fixture(scope="module")
def analyze(debian):
    """systemd-analyze of that Debian, which works without a running systemd."""
    debian.run("apt-get", "-qq", "-y", "--no-install-recommends", "-o", "Acquire::Retries=3", "install", "systemd")
    return lambda *arguments: debian.run("systemd-analyze", "--no-pager", *arguments, check=False)


def test_systemd_has_nothing_to_say_about_the_units(analyze):
    done = analyze("verify", "--man=no", *UNITS)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_systemd_finds_the_service_little_exposed(analyze):
    done = analyze("security", "--offline=yes", UNITS[0])
    exposure = float(re.search(r"Overall exposure level for tidepoold.service: ([\d.]+)", done.stdout)[1])
    assert exposure < 2.0, done.stdout


def test_clients_must_not_look_like_nobody():
    """Fact 24: in a user namespace SO_PEERCRED gives 65534, and peer authentication breaks."""
    assert not re.search(r"^PrivateUsers=", (ROOT / "systemd/tidepoold.service").read_text(), re.M)


def test_the_manuals_are_clean_and_know_every_setting(debian):
    pages = [debian.root / "usr/share/man/man8/tidepoold.8.gz", debian.root / "usr/share/man/man5/tidepool.yaml.5.gz"]
    texts = []
    for page in pages:
        source = subprocess.run(["gzip", "-dc", page], capture_output=True, check=True).stdout
        shown = subprocess.run(["groff", "-man", "-Tascii", "-ww", "-P-c"], input=source, capture_output=True, check=True)
        assert shown.stderr == b""
        texts.append(re.sub(r".\x08", "", shown.stdout.decode()))
    for key in re.findall(r"^ *#? *- ?\{?(\w+):|^ +(\w+):", (ROOT / "config/tidepool.full.yaml").read_text(), re.M):
        if (name := key[0] or key[1]) not in ("app", "orders"):
            assert re.search(rf"^ +{name}\b", texts[1], re.M), name
    usage = debian.run("tidepoold", "--help")
    for option in re.findall(r"--\w+", usage):
        assert option in texts[0], option


def test_it_serves_a_query_as_it_comes(debian):
    """On the shipped settings; PostgreSQL's socket is where Debian's is, and a user of this Debian named app asks."""
    debian.run("adduser", "--quiet", "--system", "--group", "--no-create-home", "app")
    debian.run("adduser", "--quiet", "app", "tidepool")
    debian.run("install", "-d", "-o", "tidepool", "-g", "tidepool", "/run/tidepool")
    with PrivatePostgres(folder=debian.root / "run/postgresql") as postgres:
        postgres.create_role("app")
        postgres.create_database("app")
        log = debian.root / "tmp/log"
        with open(log, "wb") as to:
            daemon = subprocess.Popen(debian.command("tidepoold", "-c", SETTINGS, user="tidepool"), stdout=to, stderr=to, stdin=subprocess.DEVNULL)
        try:
            ping = lambda: debian.run("tidepoold", "--ping", SETTINGS, user="tidepool", check=False)
            wait_until(lambda: daemon.poll() is not None or ping().returncode == 0, lambda: f"it answers; its log:\n{log.read_text()}")
            assert ping().stdout == "/run/tidepool:6432 - accepting connections\n"
            uid = int(debian.run("id", "-u", "app"))
            group = int(debian.run("getent", "group", "tidepool").split(":")[2])
            ask = ["setpriv", f"--reuid={uid}", f"--regid={group}", "--clear-groups",
                   "psql", "-XAt", "-h", debian.root / "run/tidepool", "-p", "6432", "-U", "app", "app", "-c", "select 42"]
            done = subprocess.run(ask, capture_output=True, text=True, timeout=60, cwd="/")
            assert done.stdout == "42\n", done.stderr + log.read_text()
        finally:
            daemon.send_signal(signal.SIGTERM)
            code = daemon.wait(60)
        assert code == 0, log.read_text()
    assert ping().returncode == 2


def test_it_is_upgraded_removed_and_purged(debian, package):
    settings = debian.root / SETTINGS[1:]
    mine = settings.read_text() + "# mine\n"
    settings.write_text(mine)
    debian.run("chmod", "0600", SETTINGS)
    debian.run("dpkg", "-i", f"/root/{package.name}")
    assert settings.read_text() == mine and settings.stat().st_mode & 0o777 == 0o600, "what the administrator changed stays"
    debian.run("dpkg", "--remove", "tidepool")
    assert settings.exists() and not (debian.root / "usr/bin/tidepoold").exists()
    debian.run("dpkg", "--purge", "tidepool")
    left = debian.run("find", "/etc", "/usr", "/lib/systemd", "/var/log", "/var/lib/systemd", "-name", "*tidepool*", "-not", "-path", "*/dpkg/*").split()
    assert left == []
    assert debian.run("getent", "passwd", "tidepool"), "files of its user may be left elsewhere"
