"""Servers that say in a login what no server would, plain and by TLS: that login fails and is logged, the daemon and its
other pools go on."""

import os
import random
import ssl
import struct
import subprocess
import threading

import pytest
from harness import wire
from harness.fake_server import PARAMETERS, complete, data_row, notice_response, parameter_status, ready, row_description
from harness.waiting import wait_until
from harness.wire import message, text

AUTHENTICATION_OK = message("R", struct.pack("!I", 0))
LYING_ROW = message("D", struct.pack("!HI", 1, 0x7FFFFFF0) + b"x")
KEY = message("K", struct.pack("!I", 4711) + b"\x80\x00\xff\n")
GREETING = [AUTHENTICATION_OK, *(parameter_status(*each) for each in PARAMETERS.items()),
            parameter_status("of some pooler", "yes"), notice_response("welcome"), KEY, ready()]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A context for a server, of a certificate that it has signed itself."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "30",
                    "-keyout", folder / "key", "-out", folder / "crt"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")
    return context


def pools(good, evil, **others):
    """Of a server that is as it should be, and of one that is not."""
    return {"good": {"conninfo": good.conninfo(), "min_size": 1},
            "bad": {"conninfo": evil.conninfo(connect_timeout=2, **others), "min_size": 1, "when_down": "fail"}}


def still_serves(daemon):
    with daemon.wire("good") as client:
        assert client.value("select 1") == "1"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", list("DTGHWdcCI12nt3AVsv") + ["R", "unknown"])
def test_a_message_that_belongs_into_no_login_fails_that_login_and_nothing_else(tidepool, fake_server, certificate, kind, tls):
    """PQtrace, from which a login was read once, ended the daemon by a DataRow that claims 2 GB."""
    lie = LYING_ROW[5:]
    wrong = message("\x01" if kind == "unknown" else kind, lie)

    def script(server):
        server.read_startup(tls=certificate if tls else None)
        server.send(AUTHENTICATION_OK, wrong)
        server.never_answer()
    evil = fake_server(script, tcp=tls)
    daemon = tidepool(pools=pools(fake_server(), evil, sslmode="require" if tls else "disable"))
    wait_until(lambda: "pool=bad server cannot be reached: 08P01" in daemon.log(), "the login is refused")
    assert " of type " in daemon.log()
    still_serves(daemon)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_parameters_of_unknown_names_reach_the_client_and_the_key_cancels(tidepool, fake_server, certificate, tls):
    key = os.urandom(4)

    def script(server):
        server.read_startup(tls=certificate if tls else None)
        greeting = b"".join([*GREETING[:-2], message("K", struct.pack("!I", 4711) + key), ready()])
        for byte in range(0, len(greeting), 7):     # records and pieces end anywhere
            server.send(greeting[byte:byte + 7])
        server.expect("S")
        server.send(ready())
        server.serve({"select 'long'": None})
    fake = fake_server(script, tcp=tls)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(sslmode="require" if tls else "disable")}})
    with daemon.wire("bench") as client:
        assert client.parameters["of some pooler"] == "yes"
        client.send(wire.query("select 'long'"))
        wait_until(lambda: any("select 'long'" in str(got) for server in fake.connections for got in server.received),
                   "the query is there")
        client.cancel()
        wait_until(lambda: fake.cancels, "the cancel is there")
        assert fake.cancels[0] == (4711, key)


@pytest.mark.parametrize("answers_row", [True, False], ids=["a row", "a row that lies"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_what_libpq_asks_behind_a_login_is_answered_by_rows(tidepool, fake_server, certificate, tls, answers_row):
    """Of a server that does not report whether it may write, libpq asks that."""
    def script(server):
        server.read_startup(tls=certificate if tls else None)
        server.send(AUTHENTICATION_OK, parameter_status("server_version", "13.4"), KEY, ready())
        assert server.expect("Q").body == b"SHOW transaction_read_only\0"
        server.send(row_description("transaction_read_only"), data_row("off") if answers_row else LYING_ROW,
                    complete("SHOW"), ready())
        server.expect("S")
        server.send(ready())
        server.serve()
    fake = fake_server(script, tcp=tls)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(target_session_attrs="read-write", connect_timeout=2,
                                                                 sslmode="require" if tls else "disable"),
                                       "when_down": "fail", "min_size": 1}})
    if answers_row:
        with daemon.wire("bench") as client:
            assert client.value("select 1") == "1"
    else:
        wait_until(lambda: "the server sent a malformed message" in daemon.log(), "the login is refused")


def test_a_server_that_asks_for_endless_iterations_is_refused_at_once(tidepool, fake_server):
    def script(server):
        server.read_startup()
        server.send(message("R", struct.pack("!I", 10) + text("SCRAM-SHA-256") + b"\0"))
        nonce = server.expect("p").body.split(b"r=")[-1].decode()
        server.send(message("R", struct.pack("!I", 11) + f"r={nonce}x,s=c2FsdA==,i=2147483647".encode()))
        server.never_answer()
    daemon = tidepool(pools=pools(fake_server(), fake_server(script), password="word"))
    wait_until(lambda: "asks for more SCRAM iterations" in daemon.log(), "the login is refused", timeout=5)
    still_serves(daemon)


# Mutations

def mutated(pieces, chance):
    """What is said, with something wrong in it."""
    pieces = list(pieces)
    for _ in range(chance.choice([1, 1, 2, 4])):
        at = chance.randrange(len(pieces))
        piece = bytearray(pieces[at])
        what = chance.randrange(9)
        if what == 0 and piece:
            piece[chance.randrange(len(piece))] ^= 1 << chance.randrange(8)
        elif what == 1 and len(piece) >= 5:
            lengths = [0, 1, 2, 3, 4, 5, len(piece), 30001, 1 << 20, 0x3FFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF]
            piece[1:5] = struct.pack("!I", chance.choice(lengths))
        elif what == 2:
            piece = piece[:chance.randrange(len(piece) + 1)]
        elif what == 3:
            piece += bytes(chance.randrange(256) for _ in range(chance.randrange(1, 20)))
        elif what == 4:
            piece = bytearray(message(chr(chance.randrange(128)), bytes(piece[5:])))
        elif what == 5:
            piece += bytes(piece)
        elif what == 6:
            piece += message("K", os.urandom(chance.randrange(300)))
        elif what == 7:
            piece += notice_response("x" * chance.choice([1, 30_000, 200_000])) * chance.choice([1, 10])
        else:
            piece += chance.choice([LYING_ROW, parameter_status("a" * 300, "b" * 300_000), row_description("a"),
                                    data_row("a"), complete("SELECT"), message("v", struct.pack("!II", 196610, 0xFFFFFFFF)),
                                    message("R", struct.pack("!I", chance.randrange(14))), message("N", b"M"), ready("T")])
        pieces[at] = bytes(piece)
    return pieces


def evil_script(chance_of, certificate, tls):
    def script(server):
        chance = chance_of()
        server.read_startup(tls=certificate if tls else None)
        where = chance.choice(["login", "login", "login", "proof", "configure"])
        login = mutated(GREETING, chance) if where == "login" else GREETING
        server.socket.settimeout(20)
        for piece in login:
            server.send(piece)
            if chance.random() < 0.02:
                return server.close()
        server.expect("S")
        proof = [notice_response("proof"), ready()]
        server.send(*(mutated(proof, chance) if where == "proof" else proof))
        server.expect("Q")
        server.send(*mutated([row_description("a"), data_row("1"), complete("SELECT 1"), ready()], chance))
        if chance.random() < 0.5:
            server.never_answer()
    return script


@pytest.mark.timeout(180)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_logins_of_mutated_bytes_end_and_harm_nothing(tidepool, fake_server, certificate, tls):
    """Some hundred logins, their proofs, and the answers to `configure`."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    number, lock = [0], threading.Lock()

    def chance_of():
        with lock:
            number[0] += 1
            return random.Random(f"{seed} {number[0]}")
    evil = fake_server(evil_script(chance_of, certificate, tls), tcp=tls)
    conninfo = evil.conninfo(connect_timeout=2, password="word", sslmode="require" if tls else "disable")
    bad = {f"bad{at}": {"conninfo": conninfo, "min_size": 1, "max_size": 3, "configure": "select 1", "when_down": "fail"}
           for at in range(60)}
    daemon = tidepool(pools={"good": {"conninfo": fake_server().conninfo(), "min_size": 1}, **bad}, limits={"max_dials": 32})
    wait_until(lambda: len(evil.connections) >= 240, lambda: f"240 logins were tried, not {len(evil.connections)}", timeout=120)
    still_serves(daemon)
    assert "Sanitizer" not in daemon.log()
