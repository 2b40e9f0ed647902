"""No secret is shown to anybody: not by the log at any level, the console, --check, an error, or the environment of the process."""

import subprocess
from pathlib import Path

import pytest
from harness import wire
from harness.daemon import binary_under_test
from harness.postgres import free_port
from harness.shared_servers import transaction_pool
from harness.waiting import wait_until
from harness.wire import LoginFailed, WireClient

# Each holds this word, so that a part of one is found, too.
MARK = "hunter"
PASSWORD = MARK + "-of-app"
SCRAM = wire.scram_secret(MARK + "-of-other")
TABLES = ["clients", "config", "databases", "lists", "pins", "pools", "pool_stats", "servers", "stats", "version", "help"]
HBA = "local all wrong scram-sha-256\nlocal all all trust\n"


def parts_of(secret):
    return {MARK, *secret.split("$")[2:], *secret.split(":")[-2:]}


@pytest.fixture
def daemon(tidepool, new_postgres, tmp_path):
    server = new_postgres(hba=HBA)
    server.execute(f"create role wrong login password '{MARK}-in-postgres'")
    (tmp_path / "password").write_text(MARK + "-in-a-file\n")
    (tmp_path / "password").chmod(0o600)
    port = free_port()
    daemon = tidepool(
        start=False, server=server, env={"PGPASSWORD": MARK + "-of-libpq", "OF_ADMIN": MARK + "-in-a-variable"},
        users={"app": {"password": PASSWORD}, "other": {"password": SCRAM}, "third": {"password_file": str(tmp_path / "password")},
               "admin": {"password": "${OF_ADMIN}"}},
        pools={
            "bench": {**transaction_pool(max_pinned=1)["bench"], "conninfo": server.conninfo("postgres", "app", password=MARK + "-of-conninfo")},
            "uri": {"conninfo": f"postgresql://app:{MARK}-of-uri@localhost:1/x?sslpassword={MARK}-of-key", "when_down": "fail"},
            "wrong": {"conninfo": server.conninfo("postgres", "wrong", password=MARK + "-that-is-wrong"), "when_down": "fail"},
            "strict": {**transaction_pool(on_session_state="error")["bench"], "conninfo": server.conninfo("postgres", "app")},
        })
    daemon.write_settings({**daemon.settings, "listen": [*daemon.settings["listen"], {"tcp": "127.0.0.1", "port": port, "auth": "password"},
                                                         {"tcp": "127.0.0.1", "port": port + 1, "auth": "scram-sha-256"}]})
    daemon.ports = [port, port + 1]
    return daemon.start()


def told(daemon):
    """All that others may see."""
    shown = "".join(str(daemon.console(f"show {table}")) for table in TABLES)
    return daemon.log() + shown


def refused_login(daemon, port, **login):
    with WireClient(("127.0.0.1", port)) as client, pytest.raises(LoginFailed) as failure:
        client.log_in(**{"database": "bench", "user": "app", **login})
    return str(failure.value.fields)


def test_secrets_of_settings_clients_and_servers_are_shown_to_nobody(daemon):
    errors = []
    for port in daemon.ports:
        with WireClient(("127.0.0.1", port)) as client:
            client.log_in(user="app", database="bench", password=PASSWORD)
            assert client.value("select 42") == "42"
        errors.append(refused_login(daemon, port, password=MARK + "-wrong"))
    errors.append(refused_login(daemon, daemon.ports[0], user="third", database="nowhere", password=MARK + "-in-a-file"))

    pinned, other, strict = daemon.wire("bench"), daemon.wire("bench"), daemon.wire("strict")
    pinned.rows(f"listen a; select '{MARK}-of-a-statement', $${MARK}$$ /* {MARK} */; set app.key = {MARK}")
    wait_until(lambda: daemon.console("show pins"), "it is pinned")
    other.rows("begin")
    for client, sqlstate in ((other, "53400"), (strict, "0A000")):
        error = client.error(f"listen a; alter role app password '{MARK}-refused'")
        assert error["C"] == sqlstate
        errors.append(str(error))
    for pool in ("wrong", "uri"):
        with pytest.raises(LoginFailed) as failure:
            daemon.wire(pool)
        errors.append(str(failure.value.fields))

    shown = told(daemon) + "".join(errors)
    for part in parts_of(SCRAM):
        assert part not in shown


@pytest.mark.parametrize("conninfo", [
    f"host=a password=b {MARK}", f"host=a password='b {MARK}", f"postgresql://a:{MARK}@b:x/%zz", f"postgresql://a:{MARK}%zz@b", f"hots=a password={MARK}",
    f"password={MARK} port=x", f"{MARK}"])
def test_a_reload_whose_conninfo_is_wrong_quotes_no_password(daemon, conninfo):
    settings = {**daemon.settings, "pools": {**daemon.settings["pools"], "bench": {"conninfo": conninfo}}}
    secret = MARK if "password" in conninfo or "://" in conninfo else "nothing of this"
    daemon.reload(settings, expect="reload refused")
    assert secret not in daemon.log()
    checked = subprocess.run([binary_under_test(), "--check", daemon.settings_file], capture_output=True, text=True, check=False)
    assert checked.returncode == 1 and secret not in checked.stdout + checked.stderr


def test_libpqs_password_is_wiped_out_of_the_environment(daemon):
    environment = Path(f"/proc/{daemon.pid}/environ").read_bytes()
    assert f"{MARK}-of-libpq".encode() not in environment
    assert f"OF_ADMIN={MARK}-in-a-variable".encode() in environment, "a reload reads it again"
