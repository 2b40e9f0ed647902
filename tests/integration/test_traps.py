"""Bugs that poolers had: security (5.1), cancel (5.6), life cycle and operations (5.7). The numbers are those of docs/tests.md,
"Traps"."""

import base64
import re
import stat
import struct
import time

import pytest
from harness import fake_server as fakes
from harness import wire
from harness.daemon import check
from harness.sessions import wait_until_resting, wait_until_running
from harness.waiting import SLOWNESS, wait_until
from harness.wire import message, text

SECRET = "do-not-tell-anybody"


# 5.1 Security


def test_trap_5_1_a_hostile_servers_scram_messages_fail_their_dial_and_nothing_else(tidepool, fake_server):
    nonces = {"huge": "x" * 100_000, "without the client's": "nothing of yours", "empty": ""}
    turn = iter([*nonces.values()])

    def script(server):
        server.read_startup()
        nonce = next(turn, None)
        if nonce is None:
            server.log_in()
            return server.serve()
        server.send(message("R", struct.pack("!I", 10) + text("SCRAM-SHA-256") + b"\0"))
        first = server.expect("p").body
        mine = first.split(b"r=")[-1].decode()
        salt = base64.b64encode(b"s" * 60_000).decode()
        server.send(message("R", struct.pack("!I", 11) + f"r={mine if 'x' in nonce else ''}{nonce},s={salt},i=1".encode()))
        try:
            server.expect("p")
            server.send(message("R", struct.pack("!I", 12) + b"v=" + b"A" * 50_000))
            server.never_answer()
        finally:
            server.close()

    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(password="word", connect_timeout=5), "min_size": 0,
                                       "max_size": 1, "timeout": "60s"}})
    with daemon.wire("bench") as client:
        assert client.ask("x")[-1].type == "Z"
    assert daemon.pool_stats("bench")["connections_errors"] == len(nonces)


@pytest.mark.parametrize("fields", [b"\0", b"SERROR\0\0", b"C\0\0", b"", b"M"], ids=["none", "S", "an empty C", "nothing", "cut"])
def test_trap_5_1_an_error_with_fields_missing_harms_nothing(tidepool, fake_server, fields):
    """At a login, in answer to a query, at rest."""
    turn = []

    def script(server):
        turn.append(server)
        server.read_startup()
        if len(turn) == 1:
            server.send(message("E", fields))
            return server.close()
        server.log_in()
        server.serve({"fail": message("E", fields) + fakes.ready(), "then": lambda _: server.send(
            fakes.row_description("a"), fakes.data_row("1"), fakes.complete("SELECT 1"), fakes.ready(), message("E", fields))})

    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(connect_timeout=2), "min_size": 0, "max_size": 1}})
    client = daemon.wire("bench")
    answers = client.ask("fail")
    assert [(answer.type, answer.body) for answer in answers] == [("E", fields), ("Z", b"I")]
    client.send(wire.query("then"))
    client.read_until_ready()
    client.close()
    with daemon.wire("bench") as again:
        assert again.ask("x")[-1].type == "Z"


def test_trap_5_1_no_command_of_the_console_hands_out_a_secret(tidepool, postgres):
    daemon = tidepool(users={"app": {"password": SECRET}, "other": {"password": wire.scram_secret(SECRET)}},
                      pools={"bench": {"conninfo": postgres.conninfo("postgres", "app", password=SECRET), "min_size": 1}})
    daemon.wire("bench").value("select 1")
    with daemon.wire("tidepool") as console:
        notice = next(answer for answer in console.ask("SHOW HELP") if answer.type == "N")
        words = set(re.findall(r"[A-Z_]{3,}", notice.fields["D"]))
        assert {"POOLS", "CONFIG", "CLIENTS", "SERVERS"} <= words
        for name in sorted(words | {"FDS", "USERS", "SOCKETS"}):
            said = b"".join(answer.body for answer in console.ask(f"SHOW {name}"))
            assert SECRET.encode() not in said and b"SCRAM-SHA-256$" not in said, name


def test_trap_5_1_a_unix_socket_is_not_for_the_world_by_default(tidepool):
    daemon = tidepool(start=False)
    settings = dict(daemon.settings)
    settings["listen"] = [{"unix": str(daemon.folder)}]
    daemon.write_settings(settings)
    daemon.start()
    assert stat.S_IMODE(daemon.socket_path.stat().st_mode) == 0o660


# 5.6 Cancel


@pytest.mark.parametrize("who_is_gone", ["nobody", "the client", "the server"])
def test_trap_5_6_a_stop_while_cancels_are_on_their_way_ends_in_good_order(tidepool, new_postgres, who_is_gone):
    server = new_postgres()
    daemon = tidepool(server=server, pools={"bench": {"min_size": 1, "max_size": 2, "reset_timeout": "2s"}}, workers=2)
    client = daemon.wire("bench")
    client.send(wire.query("select pg_sleep(600)"))
    wait_until_running(server, "pg_sleep")
    backend = next(row["pid"] for row in daemon.backends("bench") if "pg_sleep" in row["query"])
    server.pause()                                          # the postmaster: cancels hang
    cancels = [daemon.wire() for _ in range(5)]
    for cancel in cancels:
        cancel.send(wire.cancel_request(client.process_id, client.key))
    wait_until(lambda: any("cancel" in row["state"] for row in daemon.console("SHOW SERVERS")), "a cancel is on its way")
    if who_is_gone == "the client":
        client.close()
    elif who_is_gone == "the server":
        server.query("select pg_terminate_backend(%s)", [backend])
        client.read_until_closed()
    daemon.stop()
    server.resume()


def test_trap_5_6_a_cancel_goes_to_the_server_that_runs_the_query_wherever_the_pool_points_now(tidepool, fake_server):
    def script(server):
        server.log_in()
        server.serve({"slow": lambda _: None})

    old, new = fake_server(script), fake_server()
    daemon = tidepool(pools={"bench": {"conninfo": old.conninfo(), "min_size": 0, "max_size": 2}})
    client = daemon.wire("bench")
    client.send(wire.query("slow"))
    wait_until(lambda: any(got.type == "Q" for connection in old.connections for got in connection.received), "it runs")
    settings = dict(daemon.settings)
    settings["pools"] = {"bench": {"conninfo": new.conninfo(), "min_size": 1, "max_size": 2}}
    daemon.reload(settings)
    with daemon.wire("bench") as other:
        assert other.ask("x")[-1].type == "Z" and len(new.connections) == 1
    client.cancel()
    wait_until(lambda: old.cancels, "the old server has the cancel")
    running = next(each for each in old.connections if any(got.type == "Q" for got in each.received))
    assert old.cancels == [(running.process_id, running.key)] and new.cancels == []


# 5.7 Life cycle and operations


def test_trap_5_7_scram_works_again_and_again_on_both_sides(tidepool, new_postgres):
    """Servers replaced, clients of several users, a password changed by a reload: keys belong to a user and its secret."""
    server = new_postgres()
    server.create_role("secret", password="servers word")
    server.set_hba("local all postgres trust\nlocal all app trust\nlocal all secret scram-sha-256\n")
    conninfo = server.conninfo("postgres", "secret", password="servers word")
    users = {"one": {"password": "first"}, "two": {"password": wire.scram_secret("second")}}
    daemon = tidepool(server=server, users=users, pools={"bench": {
        "conninfo": conninfo, "users": ["one", "two"], "auth": "scram-sha-256", "min_size": 2, "max_size": 4}})

    def logs_in(user, password):
        with daemon.wire() as client:
            client.log_in(user, "bench", password)
            assert client.value("select session_user") == "secret"
            client.terminate()

    for _ in range(5):
        logs_in("one", "first")
        logs_in("two", "second")
        daemon.console("RECONNECT bench")
    settings = dict(daemon.settings)
    settings["users"] = {**users, "one": {"password": "third"}}
    daemon.reload(settings)
    logs_in("one", "third")
    logs_in("two", "second")
    with pytest.raises(wire.LoginFailed) as refused:
        logs_in("one", "first")
    assert refused.value.sqlstate == "28P01"


@pytest.mark.parametrize("name", ["tidepool", "pgbouncer"])
def test_trap_5_7_a_pool_cannot_be_called_like_the_console(name):
    code, lines, _ = check({"listen": [{"tcp": "127.0.0.1"}], "pools": {name: {"conninfo": "dbname=x user=y"}}})
    assert code == 1 and name in lines[0]


def test_trap_5_7_a_wrong_password_is_not_tried_again_and_again(tidepool, fake_server):
    """Providers lock out who insists: clients are told at once, from the refusal that is known."""
    logins = []

    def script(server):
        logins.append(time.monotonic())
        server.refuse("28P01", 'password authentication failed for user "app"')

    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 4, "max_size": 8}})
    began = time.monotonic()
    refused = 0
    while time.monotonic() - began < 3:
        with pytest.raises(wire.LoginFailed) as failure:
            daemon.wire("bench")
        assert failure.value.sqlstate == "28P01"
        refused += 1
    assert refused > 20 / SLOWNESS
    # The first dials go out side by side (max_dials: 3); from then on one each 5 seconds.
    assert len(logins) <= 3 + 2 + (time.monotonic() - began) / 4


def test_trap_5_7_checks_and_probes_do_not_keep_a_pool_from_shrinking(tidepool, fake_server):
    fake = fake_server()
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 1, "max_size": 6, "check": "always",
                                       "max_idle": "1s", "timeout": "60s"}})
    clients = [daemon.wire("bench") for _ in range(6)]
    for client in clients:
        client.ask("x")
    for client in clients:
        client.terminate()

    def uses_one():
        with daemon.wire("bench") as client:
            client.ask("x")
            client.terminate()
        return daemon.pool_stats("bench")["pool_size"] <= 2

    wait_until(uses_one, "the pool has shrunk though it is checked all the time", 20)
    wait_until_resting(daemon, count=daemon.pool_stats("bench")["pool_size"])
