"""Who may log in, and as whom; who may then use which pool; and that nobody learns from us who exists."""

import base64
import json
import os
import pwd
import struct
import subprocess

import psycopg
import psycopg.sql
import pytest
from harness import wire
from harness.cutting_proxy import also_cut
from harness.postgres import free_port
from harness.wire import LoginFailed, WireClient

PASSWORD = "correct horse"
SECRETS = {
    "plain": PASSWORD,
    "md5": wire.md5_secret("app", PASSWORD),
    "scram": wire.scram_secret(PASSWORD),
}
CLEARTEXT, MD5, SASL = 3, 5, 10         # codes of the Authentication messages
CHALLENGES = {"password": CLEARTEXT, "md5": MD5, "scram-sha-256": SASL}


def guarded(tidepool, method, secret="plain", **others):
    """A daemon whose pool `bench` asks for a password; nobody else's secret is near the one of `app`."""
    return tidepool(users={"app": {"password": SECRETS.get(secret, secret)}},
                    pools={"bench": {"auth": method, "users": ["app", "other"]}}, **others)


def refusal(daemon, user="app", database="bench", password=PASSWORD):
    with daemon.wire() as client, pytest.raises(LoginFailed) as failure:
        client.log_in(user=user, database=database, password=password)
    assert failure.value.fields["S"] == "FATAL"
    return failure.value


PREPARED = {
    "ascii": "all of it ascii", "composed": "p\u00e4ssw\u00f6rd", "decomposed": "pa\u0308sswo\u0308rd",
    "no-break space": "two\u00a0words", "soft hyphen": "pass\u00adword", "compatibility letters": "\u00aa\u00bd\ufb01",
    "beyond the BMP": "key\U0001f511", "not allowed": "a\u0308\u0085", "nothing but a soft hyphen": "\u00ad",
}


@pytest.mark.parametrize("kind", PREPARED)
def test_a_password_that_SASLprep_changes_opens_as_it_does_in_PostgreSQL(tidepool, postgres, kind):
    password = PREPARED[kind]
    role = f"prepared_{abs(hash(kind))}"
    with postgres.connect() as connection:
        connection.execute(psycopg.sql.SQL("create role {} password {}").format(psycopg.sql.Identifier(role), psycopg.sql.Literal(password)))
        stored = connection.execute("select rolpassword from pg_authid where rolname = %s", [role]).fetchone()[0]
        connection.execute(psycopg.sql.SQL("drop role {}").format(psycopg.sql.Identifier(role)))
    assert stored.startswith("SCRAM-SHA-256$")
    users = {"plain": {"password": password}, "stored": {"password": stored}}
    daemon = tidepool(users=users, pools={
        "scram": {"auth": "scram-sha-256", "users": list(users)}, "clear": {"auth": "password", "users": list(users)}})
    for pool in ("scram", "clear"):
        for user in users:
            with daemon.connect(pool, user, password=password) as connection:
                assert connection.execute("select 42").fetchone() == (42,)
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                daemon.connect(pool, user, password=password + "x")


def test_settings_that_a_JSON_serializer_wrote_may_have_characters_beyond_the_BMP(tidepool):
    daemon = tidepool(users={"app": {"password": PASSWORD}}, pools={"bench": {"auth": "scram-sha-256"}})
    password = 'key\U0001f511, and "\\ud83d\\ude00"'
    settings = {**daemon.settings, "users": {"app": {"password": password}}}
    mark = len(daemon.log())
    daemon.settings_file.write_text(json.dumps(settings))
    assert "\\ud83d\\udd11" in daemon.settings_file.read_text()
    daemon.reload(expect="settings reloaded")
    with daemon.connect("bench", password=password) as connection:
        assert connection.execute("select 42").fetchone() == (42,)
    daemon.settings_file.write_text(json.dumps(settings).replace("\\udd11", ""))
    daemon.reload(expect="reload refused")
    assert "half of a surrogate pair" in daemon.log()[mark:]


# Methods and secrets

@pytest.mark.parametrize("method, secret, challenge", [
    ("password", "plain", CLEARTEXT), ("password", "md5", CLEARTEXT), ("password", "scram", CLEARTEXT),
    ("md5", "plain", MD5), ("md5", "md5", MD5), ("md5", "scram", SASL),        # a SCRAM secret is offered SCRAM
    ("scram-sha-256", "plain", SASL), ("scram-sha-256", "scram", SASL)])
@also_cut
def test_each_method_opens_to_the_password_whatever_way_it_is_stored(tidepool, method, secret, challenge):
    daemon = guarded(tidepool, method, secret)
    for pieces in (None, 1):
        with daemon.wire() as client:
            client.log_in(database="bench", password=PASSWORD, pieces=pieces)
            assert client.authentication[0] == challenge and client.authentication[-1] == 0
            assert client.value("select current_user") == "app"
    with daemon.connect("bench", password=PASSWORD) as connection:                  # libpq's half of each
        assert connection.execute("select 42").fetchone() == (42,)
    for wrong in ("wrong", PASSWORD + "x", PASSWORD[:-1], PASSWORD.upper(), SECRETS["md5"], SECRETS["scram"]):
        assert refusal(daemon, password=wrong).sqlstate == "28P01"
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "app"'):
        daemon.connect("bench", password="wrong")


def test_an_md5_secret_cannot_log_in_by_scram(tidepool):
    daemon = guarded(tidepool, "scram-sha-256", "md5")
    assert refusal(daemon).sqlstate == "28P01"


def test_a_secret_as_postgresql_stores_it_opens_here(tidepool, postgres):
    postgres.execute("set password_encryption = 'scram-sha-256'")
    postgres.create_role("stored", PASSWORD)
    secret = postgres.query("select rolpassword from pg_authid where rolname = 'stored'")[0][0]
    assert secret.startswith("SCRAM-SHA-256$")
    daemon = guarded(tidepool, "scram-sha-256", secret)
    with daemon.connect("bench", password=PASSWORD) as connection:
        assert connection.execute("select 42").fetchone() == (42,)


@pytest.mark.parametrize("password", ["x" * 900, "pässwörd", " ", "with 'quotes' and \\", "a" * 1500])
def test_passwords_of_every_length_and_alphabet(tidepool, password):
    """Passwords of 1024 bytes and more crashed PgBouncer (#1215)."""
    daemon = guarded(tidepool, "password", password)
    with daemon.wire() as client:
        client.log_in(database="bench", password=password)
    assert refusal(daemon, password=password + "x").sqlstate == "28P01"


def test_trust_believes_everybody(tidepool):
    daemon = tidepool()
    with daemon.connect("bench", password="whatever") as connection:
        assert connection.execute("select 42").fetchone() == (42,)


def test_all_clients_use_servers_that_are_logged_in_as_the_conninfos_user(tidepool):
    daemon = tidepool(pools={"bench": {"users": ["app", "report"]}})
    with daemon.connect("bench", user="report") as connection:
        assert connection.execute("select current_user").fetchone() == ("app",)


# Peer

def as_user(name, daemon, pool, user):
    """select 42 by psql as another operating-system user; what it printed."""
    done = subprocess.run(["setpriv", "--reuid", name, "--regid", name, "--clear-groups", "psql", "-XAt", "-c", "select 42",
                           "-d", daemon.conninfo(pool, user)], capture_output=True, text=True, timeout=60, cwd="/")
    return done.stdout.strip() or done.stderr.strip()


@pytest.fixture
def me():
    return pwd.getpwuid(os.geteuid()).pw_name


def test_peer_lets_everybody_in_under_the_own_name(tidepool, postgres, me):
    daemon = tidepool(pools={"bench": {"auth": "peer", "users": [me, "app"]}})
    with daemon.connect("bench", user=me) as connection:
        assert connection.execute("select 42").fetchone() == (42,)
    failure = refusal(daemon, user="app")
    assert failure.sqlstate == "28000" and failure.fields["M"] == 'Peer authentication failed for user "app"'


def test_peer_map_gives_further_names(tidepool, me):
    daemon = tidepool(pools={"bench": {"auth": "peer", "users": ["app", "report", "secret"]}}, peer_map={me: ["app", "report"]})
    for user in ("app", "report"):
        daemon.connect("bench", user=user).close()
    assert refusal(daemon, user="secret").sqlstate == "28000"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_peer_goes_by_the_user_of_the_process_at_the_other_end(tidepool, me):
    daemon = tidepool(pools={"bench": {"auth": "peer", "users": ["app", "nobody", me]}}, peer_map={me: ["app"]})
    assert as_user("daemon", daemon, "bench", "app").endswith('Peer authentication failed for user "app"')
    assert as_user("daemon", daemon, "bench", me).endswith(f'Peer authentication failed for user "{me}"')
    daemon.connect("bench", user="app").close()


def test_peer_for_a_pool_keeps_tcp_clients_out(tidepool, me):
    port = free_port()
    daemon = tidepool(pools={"bench": {"auth": "peer", "users": [me]}}, start=False)
    daemon.write_settings({**daemon.settings, "listen": [*daemon.settings["listen"], {"tcp": "127.0.0.1", "port": port, "auth": "trust"}]})
    daemon.start()
    assert "warning" in daemon.log() and "peer" in daemon.log()        # --check tells, too
    daemon.connect("bench", user=me).close()
    with WireClient(("127.0.0.1", port)) as client, pytest.raises(LoginFailed) as failure:
        client.log_in(user=me, database="bench")
    assert failure.value.sqlstate == "28000"


# What nobody is told

def conversation(daemon, user, password):
    """All that a failed login by SCRAM sees, with the nonce of the server left out."""
    with daemon.wire() as client:
        client.send(wire.startup(user=user, database="bench"))
        seen = [str(client.read())]
        scram = wire.ScramClient(password, nonce="the-same-each-time")
        first = scram.first().encode()
        client.send(wire.message("p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first))
        answer = client.read()
        fields = dict(part.split("=", 1) for part in answer.body[4:].decode().split(","))
        seen.append((answer.type, fields["s"], fields["i"], len(fields["r"])))
        client.send(wire.message("p", scram.final(answer.body[4:].decode()).encode()))
        seen += [(answer.type, {key: value.replace(user, "USER") for key, value in answer.fields.items()})
                 for answer in client.read_until_closed()]
        return seen


def test_unknown_users_cannot_be_told_from_wrong_passwords_by_scram(tidepool):
    daemon = guarded(tidepool, "scram-sha-256", "scram")
    known = conversation(daemon, "app", "wrong")
    for user in ("nobody-at-all", "other"):
        unknown = conversation(daemon, user, "wrong")
        assert [each if index != 1 else (each[0], len(base64.b64decode(each[1])), *each[2:]) for index, each in enumerate(unknown)] == \
               [each if index != 1 else (each[0], len(base64.b64decode(each[1])), *each[2:]) for index, each in enumerate(known)]
        # The salt stays the same, as a real one's does, and is another for each name.
        assert conversation(daemon, user, "wrong")[1] == unknown[1]
    assert conversation(daemon, "other", "wrong")[1] != conversation(daemon, "nobody-at-all", "wrong")[1]
    assert conversation(daemon, "app", "wrong")[1] == known[1]


@pytest.mark.parametrize("method, secret", [("password", "plain"), ("password", "scram"), ("md5", "md5"), ("md5", "plain"),
                                            ("scram-sha-256", "plain"), ("scram-sha-256", "md5")])
def test_unknown_users_cannot_be_told_from_wrong_passwords(tidepool, method, secret):
    daemon = guarded(tidepool, method, secret)
    told = []
    for user in ("app", "nobody-at-all"):
        with daemon.wire() as client, pytest.raises(LoginFailed) as failure:
            client.log_in(user=user, database="bench", password="wrong")
        told.append((client.authentication, {key: text.replace(user, "USER") for key, text in failure.value.fields.items()}))
    assert told[0] == told[1]
    assert told[0][0][0] == CHALLENGES[method] and told[0][1]["C"] == "28P01"


@pytest.mark.parametrize("method", ["password", "md5", "scram-sha-256"])
def test_whether_a_pool_exists_is_told_only_after_authentication(tidepool, method):
    daemon = tidepool(users={"app": {"password": PASSWORD}, "other": {"password": "another"}},
                      pools={"bench": {}, "theirs": {"users": ["other"]}},
                      console={"users": ["app"]}, start=False)
    daemon.write_settings({**daemon.settings, "listen": [{"unix": str(daemon.folder), "mode": "0777", "auth": method}]})
    daemon.start()
    for database in ("nowhere", "theirs", "bench", "tidepool"):
        assert refusal(daemon, database=database, password="wrong").sqlstate == "28P01"
        assert refusal(daemon, user="nobody-at-all", database=database).sqlstate == "28P01"
    with daemon.wire() as client:
        client.log_in(database="bench", password=PASSWORD)
    assert refusal(daemon, database="nowhere").sqlstate == "3D000"
    wrong_pool = refusal(daemon, database="theirs")
    assert wrong_pool.sqlstate == "28000" and '"theirs"' in wrong_pool.fields["M"]
    with daemon.wire() as client:
        client.log_in(user="other", database="theirs", password="another")
    assert refusal(daemon, user="other", password="another").sqlstate == "28000"


def test_without_a_list_of_users_only_the_conninfos_user_may(tidepool):
    daemon = tidepool()
    assert refusal(daemon, user="postgres").sqlstate == "28000"
    daemon.connect("bench", user="app").close()


def test_a_refused_user_reaches_no_server(tidepool):
    """CVE-2025-12819: settings from a startup packet reached a server before the login was over."""
    daemon = tidepool(users={"app": {"password": PASSWORD}}, pools={"bench": {"auth": "scram-sha-256", "min_size": 0, "max_size": 1}})
    for _ in range(3):
        with daemon.wire() as client, pytest.raises(LoginFailed):
            client.log_in(database="bench", password="wrong", search_path="evil", options="-c work_mem=1MB")
    assert daemon.backends("bench") == []


# Where the method and the secrets stand

def test_a_pools_auth_replaces_the_listeners(tidepool):
    daemon = tidepool(users={"app": {"password": PASSWORD}}, pools={"open": {}, "guarded": {"auth": "scram-sha-256"}})
    daemon.connect("open").close()
    assert refusal(daemon, database="guarded", password="wrong").sqlstate == "28P01"
    daemon.connect("guarded", password=PASSWORD).close()


def test_listeners_have_methods_of_their_own(tidepool):
    daemon = tidepool(start=False, users={"app": {"password": PASSWORD}})
    ports = [free_port() for _ in range(3)]
    methods = ["password", "md5", "scram-sha-256"]
    listen = [{"tcp": "127.0.0.1", "port": port, "auth": method} for port, method in zip(ports, methods)]
    daemon.write_settings({**daemon.settings, "listen": [*daemon.settings["listen"], *listen]})
    daemon.start()
    daemon.connect("bench").close()
    for port, method in zip(ports, methods):
        with WireClient(("127.0.0.1", port)) as client:
            client.log_in(database="bench", password=PASSWORD)
            assert client.authentication[0] == CHALLENGES[method]


def test_passwords_come_from_files_and_from_the_environment(tidepool):
    daemon = tidepool(users={"app": {"password_file": "app.password"}, "other": {"password": "${OTHER_PASSWORD}"}},
                      pools={"bench": {"auth": "scram-sha-256", "users": ["app", "other"]}},
                      env={"OTHER_PASSWORD": "of the environment"}, start=False)
    file = daemon.folder / "app.password"
    file.write_text("of the file\n")
    os.chmod(file, 0o600)
    daemon.start()
    daemon.connect("bench", password="of the file").close()
    daemon.connect("bench", user="other", password="of the environment").close()
    assert refusal(daemon, password="of the file\n").sqlstate == "28P01"
    # A reload reads the file again.
    file.write_text("a new one\n")
    daemon.reload(expect="settings reloaded")
    daemon.connect("bench", password="a new one").close()
    assert refusal(daemon, password="of the file").sqlstate == "28P01"


def test_users_that_a_reload_brings_and_takes_away(tidepool):
    daemon = guarded(tidepool, "scram-sha-256")
    inside = daemon.connect("bench", password=PASSWORD)
    daemon.reload({**daemon.settings, "users": {"other": {"password": "another"}}}, expect="settings reloaded")
    assert refusal(daemon).sqlstate == "28P01"
    daemon.connect("bench", user="other", password="another").close()
    assert inside.execute("select 42").fetchone() == (42,)     # who is inside stays
    inside.close()


# Secrets stay secret

@pytest.mark.parametrize("level, format", [("trace", "text"), ("debug", "json")])
def test_no_secret_is_ever_logged(tidepool, postgres, level, format):
    postgres.create_role(f"secretive_{format}", "servers-own-secret")
    database = postgres.create_database()
    scram = wire.scram_secret("scram-word")
    daemon = tidepool({
        "pools": {"bench": {"conninfo": postgres.conninfo(database, f"secretive_{format}", password="servers-own-secret"),
                            "users": ["app", "stored", "hashed"]},
                  "down": {"conninfo": "host=/nonexistent user=app password=secret-of-a-server-that-is-not-there", "min_size": 1,
                           "timeout": 1}},
        "users": {"app": {"password": "plain-word"}, "stored": {"password": scram},
                  "hashed": {"password": wire.md5_secret("hashed", "md5-word")}},
        "log": {"level": level, "format": format}, "workers": 1}, start=False)
    listener = {"unix": str(daemon.folder), "mode": "0777"}
    for method in ("password", "md5", "scram-sha-256"):
        daemon.write_settings({**daemon.settings, "listen": [{**listener, "auth": method}]})
        daemon.start()
        for user, password in (("app", "plain-word"), ("stored", "scram-word"), ("hashed", "md5-word")):
            for word in (password, "wrong-word"):
                try:
                    with daemon.wire() as client:
                        client.log_in(user=user, database="bench", password=word)
                        client.value("select 42")
                except LoginFailed:
                    pass
        with pytest.raises(LoginFailed), daemon.wire() as client:
            client.log_in(user="app", database="down", password="plain-word")
        shown = ""
        if method != "md5":
            with daemon.wire() as client:
                client.log_in(user="app", database="tidepool", password="plain-word")
                for command in ("SHOW CONFIG", "SHOW CLIENTS", "SHOW SERVERS", "SHOW DATABASES", "SHOW POOLS"):
                    shown += repr(client.rows(command))
        daemon.reload(expect="reloaded")
        daemon.stop()
        log = daemon.log() + shown
        for secret in ("plain-word", "scram-word", "md5-word", "wrong-word", "servers-own-secret", "secret-of-a-server-that-is-not-there",
                       scram[20:], wire.md5_secret("hashed", "md5-word")[3:]):
            assert secret not in log, f"{secret} shows, under {method}"
    if format == "json":
        for line in daemon.log().splitlines():
            json.loads(line)


def test_a_world_readable_file_with_a_secret_gets_a_warning(tidepool):
    daemon = tidepool(users={"app": {"password": PASSWORD}})
    assert "warning" not in daemon.log()
    os.chmod(daemon.settings_file, 0o644)
    daemon.reload(expect="settings reloaded")
    assert "warning" in daemon.log() and "read" in daemon.log() and PASSWORD not in daemon.log()


# Broken conversations

@pytest.mark.parametrize("answer", [
    wire.query("select 1"), wire.SYNC, wire.TERMINATE, wire.message("p"), wire.message("p", b"no zero"), wire.message("p", b"a\0b\0"),
    b"p\0\0\0\0", b"p\0\0\0\x03", b"p\x7f\xff\xff\xff", b"p\xff\xff\xff\xff", wire.message("p", bytes(70000)),
    wire.message("p", b"SCRAM-SHA-256-PLUS\0" + struct.pack("!I", 0)), wire.message("p", b"SCRAM-SHA-256\0" + struct.pack("!I", 500)),
    wire.message("p", b"SCRAM-SHA-256\0" + struct.pack("!I", 7) + b"n,,n=,r"),
    wire.message("p", b"SCRAM-SHA-256\0" + struct.pack("!I", 9) + b"y,,n=,r=\0"),
], ids=range(15))
@pytest.mark.parametrize("method", ["password", "md5", "scram-sha-256"])
def test_a_broken_answer_to_the_challenge_ends_the_login_and_nothing_else(tidepool, method, answer):
    daemon = guarded(tidepool, method)
    with daemon.wire() as client:
        client.send(wire.startup(user="app", database="bench"))
        assert client.read().type == "R"
        client.send(answer)
        answers = client.read_until_closed()
        assert all(each.type == "E" and each.fields["S"] == "FATAL" for each in answers), answers
    with daemon.wire() as client:
        client.log_in(database="bench", password=PASSWORD)
        assert client.value("select 42") == "42"


@pytest.mark.parametrize("method", ["password", "md5", "scram-sha-256"])
def test_a_query_behind_the_startup_packet_is_no_way_around_the_password(tidepool, method):
    daemon = guarded(tidepool, method)
    with daemon.wire() as client:
        client.send(wire.startup(user="app", database="bench") + wire.query("select 42"))
        answers = client.read_until_closed()
        assert [each.type for each in answers] == ["R", "E"] and answers[1].fields["C"] == "08P01"
