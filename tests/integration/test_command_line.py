"""tidepoold's command line: --check, --version, wrong usage; what it does with a file that has mistakes."""

import os
import re
import subprocess

import pytest
import yaml
from harness.daemon import ROOT, SANITIZERS, binary_under_test, check

GOOD = """\
listen:
  - {unix: /run/tidepool}
pools:
  orders: {conninfo: "host=/var/run/postgresql dbname=orders user=app"}
"""
BAD = """\
listen:
  - {unix: relative, port: 99999, auht: trust}
  - {tcp: 127.0.0.1, mode: "0660"}
workers: many
pools:
  orders:
    conninfo: "host=x dbname=y usr=z"
    max_szie: 7
    min_size: 9
    max_size: 3
    timeout: 10m
    timeout: 3s
    reset: 7
  orders: {}
limits: {max_clients: -1}
peer_mpa: {}
"""
MISTAKE = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+): (?P<key>\S+): (?P<what>.+)$")


def run(*arguments, **options):
    return subprocess.run([binary_under_test(), *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **SANITIZERS}, stdin=subprocess.DEVNULL, **options)


@pytest.fixture
def bad(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)
    return file


def test_check_of_a_good_file_prints_ok_and_exits_with_0():
    assert check(GOOD) == (0, ["ok"], "")


def test_check_prints_every_mistake_with_file_line_column_and_key_and_exits_with_1(bad):
    done = run("--check", bad)
    assert done.returncode == 1 and done.stderr == ""
    mistakes = [MISTAKE.match(line) for line in done.stdout.splitlines()]
    assert mistakes and all(mistakes), done.stdout
    assert all(each["file"] == str(bad) for each in mistakes)
    found = {(int(each["line"]), each["key"]): each for each in mistakes}
    for line, key, what in [
            (2, "listen[0].unix", "absolute"), (2, "listen[0].port", "65535"), (2, "listen[0].auht", "auth"), (3, "listen[1].mode", ""),
            (4, "workers", "auto"), (7, "pools.orders.conninfo", "usr"), (8, "pools.orders.max_szie", "max_size"),
            (11, "pools.orders.timeout", "min or ms"), (12, "pools.orders.timeout", ""), (14, "pools.orders", ""),
            (15, "limits.max_clients", ""), (16, "peer_mpa", "peer_map")]:
        assert (line, key) in found, f"nothing about {key} in line {line}:\n{done.stdout}"
        assert what in found[line, key]["what"], found[line, key][0]
    # In the order of the file; columns count from 1, and point at the thing.
    places = [(int(each["line"]), int(each["column"])) for each in mistakes]
    assert places == sorted(places)
    lines = BAD.splitlines()
    max_szie = found[8, "pools.orders.max_szie"]
    assert lines[7][int(max_szie["column"]) - 1:].startswith("max_szie")
    assert lines[1][int(found[2, "listen[0].port"]["column"]) - 1:].startswith("99999")


def test_the_daemon_refuses_to_start_on_the_same_mistakes_in_the_same_lines(bad):
    started = run("-c", bad)
    assert started.returncode == 1
    assert started.stderr == run("--check", bad).stdout


@pytest.mark.parametrize("text, what", [
    ("", "listen"), ("listen: [", ""), ("- a\n- b\n", ""), ("\x00\x01", ""), ("a: &a [*a]\n", ""), ("listen: []\npools: {}\n", "listen"),
    (GOOD.replace("orders:", "tidepool:"), "tidepool"), (GOOD.replace("orders:", "pgbouncer:"), "pgbouncer"), ("%YAML 9.9\n---\n" + GOOD, None)])
def test_files_that_are_hardly_settings_are_mistakes_and_no_crash(text, what):
    code, lines, _ = check(text)
    if what is None:
        assert code in (0, 1)
        return
    assert code == 1 and lines and all(re.match(r"[^:]+:\d+:\d+: ", line) for line in lines)
    assert any(what in line for line in lines)


def test_a_file_that_is_not_there_is_a_mistake(tmp_path):
    for arguments in (["--check", tmp_path / "missing.yaml"], ["-c", tmp_path / "missing.yaml"], ["--check", tmp_path]):
        done = run(*arguments)
        assert done.returncode == 1 and str(tmp_path) in done.stdout + done.stderr


def test_warnings_go_to_stderr_and_do_not_fail_the_check(tmp_path):
    file = tmp_path / "open.yaml"
    file.write_text(GOOD + "users: {app: {password: secret-word}}\n")
    file.chmod(0o644)
    done = run("--check", file)
    assert (done.returncode, done.stdout) == (0, "ok\n")
    assert done.stderr.startswith("warning: ") and "secret-word" not in done.stderr
    file.chmod(0o600)
    assert run("--check", file).stderr == ""


@pytest.mark.parametrize("name", ["tidepool.yaml", "tidepool.full.yaml"])
def test_the_shipped_files_pass_the_check(name):
    done = run("--check", ROOT / "config" / name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_a_daemon_on_the_shipped_file_starts(tidepool, postgres, tmp_path):
    """With its folders put elsewhere: everything else is as it is shipped."""
    database = postgres.create_database()
    os.chmod(tmp_path, 0o755)
    text = (ROOT / "config/tidepool.yaml").read_text()
    assert "/run/tidepool" in text and "host=/var/run/postgresql dbname=app" in text
    text = text.replace("/run/tidepool", str(tmp_path)).replace("host=/var/run/postgresql dbname=app", f"host={postgres.folder} dbname={database}")
    daemon = tidepool(text)
    assert "ready" in daemon.wait_for_log("is ready")[0]
    assert (tmp_path / ".s.PGSQL.6432").exists()
    assert {row["database"] for row in daemon.console("SHOW POOLS", user=yaml_peer(text))} == {"app"}


def yaml_peer(text):
    return yaml.safe_load(text)["console"]["peers"][0]


def test_the_version():
    for flag in ("--version", "-V"):
        done = run(flag)
        assert done.returncode == 0 and re.fullmatch(r"tidepool \d+\.\d+\.\d+\n", done.stdout)
    assert re.search(r"project\(tidepool VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1] == run("-V").stdout.split()[1]


def test_help_names_every_option():
    done = run("--help")
    assert done.returncode == 0
    for option in ("-c", "--check", "--version"):
        assert option in done.stdout


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["surplus"], ["-c"], ["--check"], ["-c", "a", "b"], ["--check", "a", "--check", "b"]])
def test_wrong_usage_exits_with_2(arguments):
    done = run(*arguments)
    assert done.returncode == 2 and done.stderr and done.stdout == ""


def test_the_file_is_etc_tidepool_tidepool_yaml_unless_told():
    if os.path.exists("/etc/tidepool/tidepool.yaml"):
        pytest.fail("this machine has an /etc/tidepool/tidepool.yaml of its own: the test would start a daemon on it")
    done = run()
    assert done.returncode == 1 and "/etc/tidepool/tidepool.yaml" in done.stderr


def test_the_environment_of_libpq_plays_no_part(tidepool):
    """PGHOST, PGOPTIONS and their like belong to whoever starts the daemon, not to its pools."""
    daemon = tidepool(env={"PGHOST": "/nonexistent", "PGPORT": "1", "PGOPTIONS": "-c work_mem=1234kB", "PGAPPNAME": "leaked",
                           "PGDATABASE": "nowhere", "PGTZ": "Asia/Tokyo", "PGSERVICE": "missing", "PGSSLMODE": "verify-full"})
    with daemon.connect("bench") as connection:
        assert connection.execute("show work_mem").fetchone() != ("1234kB",)
        assert connection.execute("show application_name").fetchone() != ("leaked",)
        assert connection.execute("show timezone").fetchone() != ("Asia/Tokyo",)
