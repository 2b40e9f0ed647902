"""The front door, byte by byte: versions of the protocol, requests for encryption, what is no startup packet at all."""

import struct

import pytest
from harness import wire
from harness.cutting_proxy import also_cut
from harness.wire import GSSENC_REQUEST, PROTOCOL_3_2, SSL_REQUEST, LoginFailed, WireClient

PROTOCOL_3_9999 = 3 << 16 | 9999        # what libpq asks for to keep servers honest ("GREASE")


def refused(client):
    """The fields of the FATAL error that ends the connection."""
    answers = client.read_until_closed()
    assert [answer.type for answer in answers] == ["E"], answers
    assert answers[0].fields["S"] == "FATAL" == answers[0].fields["V"]
    return answers[0].fields


def is_hung_up_on(client):
    """Without a word."""
    return client.read_until_closed() == []


@pytest.mark.parametrize("pieces", [None, 1])
@pytest.mark.parametrize("protocol, size_of_key", [(wire.PROTOCOL_3_0, 4), (PROTOCOL_3_2, 32)])
def test_protocol_3_0_and_3_2_log_in_whole_and_a_byte_at_a_time(tidepool, protocol, size_of_key, pieces):
    daemon = tidepool()
    with daemon.wire() as client:
        answers = client.log_in(database="bench", protocol=protocol, pieces=pieces)
        assert [answer.type for answer in answers if answer.type != "S"] == ["R", "K", "Z"]
        assert len(client.key) == size_of_key and client.process_id > 0 and client.status == "I"
        assert client.parameters["server_encoding"] == "UTF8" and "server_version" in client.parameters
        assert client.value("select 42") == "42"


@pytest.mark.parametrize("protocol, spoken, size_of_key", [
    (PROTOCOL_3_9999, PROTOCOL_3_2, 32), (3 << 16 | 3, PROTOCOL_3_2, 32), (PROTOCOL_3_2, PROTOCOL_3_2, 32),
    (wire.PROTOCOL_3_0, wire.PROTOCOL_3_0, 4)])
@also_cut
def test_unknown_options_of_the_protocol_are_named_in_one_NegotiateProtocolVersion(tidepool, protocol, spoken, size_of_key):
    daemon = tidepool()
    with daemon.wire() as client:
        options = {"_pq_.one": "1", "_pq_.test_protocol_negotiation": ""}
        answers = client.log_in(database="bench", protocol=protocol, **options)
        # https://www.postgresql.org/docs/current/protocol-message-formats.html, NegotiateProtocolVersion
        expected = struct.pack("!II", spoken, 2) + b"_pq_.one\0_pq_.test_protocol_negotiation\0"
        assert [answer.body for answer in answers if answer.type == "v"] == [expected]
        assert answers[0].type == "v", "it comes before anything else"
        assert len(client.key) == size_of_key
        assert client.value("select 42") == "42"


@also_cut
def test_a_later_minor_version_alone_is_negotiated_down_to_3_2(tidepool):
    daemon = tidepool()
    with daemon.wire() as client:
        answers = client.log_in(database="bench", protocol=PROTOCOL_3_9999)
        assert [answer.body for answer in answers if answer.type == "v"] == [struct.pack("!II", PROTOCOL_3_2, 0)]
        assert client.value("select 42") == "42"
    with daemon.wire() as client:       # and what needs no negotiation gets none
        assert "v" not in [answer.type for answer in client.log_in(database="bench", protocol=PROTOCOL_3_2)]


def test_protocol_2_is_refused_in_words_that_it_can_read(tidepool):
    daemon = tidepool()
    with daemon.wire() as client:
        client.send(struct.pack("!II", 296, 2 << 16) + bytes(288))
        client.socket.settimeout(10)
        answer = b""
        while part := client.socket.recv(1000):
            answer += part
    assert answer.startswith(b"EFATAL:  unsupported frontend protocol 2.0") and answer.endswith(b"\n\0")


@pytest.mark.parametrize("version", [4 << 16, 9999 << 16, 0xFFFFFFFF])
def test_versions_of_the_future_are_refused(tidepool, version):
    daemon = tidepool()
    with daemon.wire() as client:
        client.send(wire.startup(version, user="app", database="bench"))
        fields = refused(client)
        assert fields["C"] == "0A000" and "unsupported frontend protocol" in fields["M"]


@pytest.mark.parametrize("bytes_", [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),          # a TLS ClientHello
    struct.pack("!II", 0, 3 << 16), struct.pack("!II", 7, 3 << 16), struct.pack("!II", 10005, 3 << 16),
    struct.pack("!II", 0x7FFFFFFF, 3 << 16), struct.pack("!II", 0xFFFFFFFF, 3 << 16),
], ids=["http", "tls", "zero", "too-short", "oversize", "2GB", "minus-one"])
@pytest.mark.parametrize("pieces", [None, 1])
def test_what_does_not_look_like_postgresql_is_hung_up_on(tidepool, bytes_, pieces):
    daemon = tidepool()
    with daemon.wire() as client:
        try:
            client.send(bytes_, pieces=pieces)
        except (BrokenPipeError, ConnectionResetError):
            pass                        # hung up on already
        assert is_hung_up_on(client)
    with daemon.wire("bench") as client:
        assert client.value("select 42") == "42"


@pytest.mark.parametrize("body", [b"user\0app", b"user\0app\0database\0bench\0", b"user\0app\0database\0bench\0\0surplus", b""],
                         ids=["no-zero", "no-end", "surplus", "empty"])
def test_a_startup_packet_of_the_wrong_layout_is_refused(tidepool, body):
    daemon = tidepool()
    with daemon.wire() as client:
        client.send(struct.pack("!II", len(body) + 8, wire.PROTOCOL_3_0) + body)
        fields = refused(client)
        assert fields["C"] in ("08P01", "28000")       # 28000: no user name in it
    with daemon.wire("bench") as client:
        assert client.value("select 42") == "42"


def test_a_startup_packet_may_be_as_long_as_postgresqls_and_not_longer(tidepool):
    daemon = tidepool()
    rest = len(wire.startup(user="app", database="bench", application_name=""))
    with daemon.wire() as client:
        client.log_in(database="bench", application_name="x" * (10000 - rest))
        assert client.value("select 42") == "42"
    with daemon.wire() as client:
        client.send(wire.startup(user="app", database="bench", application_name="x" * (10005 - rest)))
        assert is_hung_up_on(client)


def test_names_of_any_length_are_refused_as_unknown(tidepool):
    """Long database names crashed PgBouncer once (CVE-2012-4575)."""
    daemon = tidepool()
    for name in ("d" * 64, "d" * 9000, "\x01\x02\x7f", "%s%n", "täter"):
        with daemon.wire() as client, pytest.raises(LoginFailed) as failure:
            client.log_in(database=name)
        assert failure.value.sqlstate == "3D000"
        with daemon.wire() as client, pytest.raises(LoginFailed) as failure:
            client.log_in(user=name, database="bench")
        assert failure.value.sqlstate == "28000"


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSSENC_REQUEST], ids=["ssl", "gssenc"])
@pytest.mark.parametrize("pieces", [None, 1])
def test_requests_for_encryption_are_answered_no_and_the_login_goes_on(tidepool, request_, pieces):
    daemon = tidepool()
    with daemon.wire() as client:
        client.send(request_, pieces=pieces)
        assert client.read_bytes(1) == b"N"
        client.log_in(database="bench", pieces=pieces)
        assert client.value("select 42") == "42"


def test_both_kinds_of_encryption_may_be_asked_for_once_each(tidepool):
    daemon = tidepool()
    with daemon.wire() as client:
        for request in (GSSENC_REQUEST, SSL_REQUEST):
            client.send(request)
            assert client.read_bytes(1) == b"N"
        client.log_in(database="bench")
    for request in (GSSENC_REQUEST, SSL_REQUEST):
        with daemon.wire() as client:
            client.send(request)
            assert client.read_bytes(1) == b"N"
            client.send(request)
            assert "unsupported frontend protocol 1234" in refused(client)["M"]


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSSENC_REQUEST], ids=["ssl", "gssenc"])
@pytest.mark.parametrize("behind", [b"\0", wire.startup(user="app", database="bench")], ids=["a byte", "a login"])
def test_bytes_sent_together_with_a_request_for_encryption_close_the_connection(tidepool, request_, behind):
    """CVE-2021-3935 and its kin: such bytes may come from somebody in between."""
    daemon = tidepool()
    with daemon.wire() as client:
        client.send(request_ + behind)
        fields = refused(client)        # and nothing of `behind` is answered, nor an N said
        assert fields["C"] == "08P01" and "received unencrypted data after" in fields["M"]


@pytest.mark.parametrize("value", ["true", "on", "1", "yes", "database"])
def test_replication_is_refused(tidepool, value):
    daemon = tidepool()
    with daemon.wire() as client:
        client.send(wire.startup(user="app", database="bench", replication=value))
        fields = refused(client)
        assert fields["C"] == "0A000" and "replication" in fields["M"]


def test_replication_false_is_an_ordinary_login(tidepool):
    daemon = tidepool()
    with daemon.wire("bench", replication="false") as client:
        assert client.value("select 42") == "42"


def test_a_user_must_be_named_and_the_database_defaults_to_it(tidepool, postgres):
    daemon = tidepool(pools={"app": {}})
    with daemon.wire() as client:
        client.send(wire.startup(database="app"))
        fields = refused(client)
        assert fields["C"] == "28000" and "no PostgreSQL user name specified in startup packet" in fields["M"]
    with daemon.wire() as client:
        client.send(wire.startup(user="app"))
        client.finish_login()
        assert client.value("select current_database()") == daemon.databases["app"]


def test_what_is_sent_behind_the_startup_packet_without_waiting_is_answered(tidepool):
    daemon = tidepool()
    with daemon.wire() as client:
        client.send(wire.startup(user="app", database="bench") + wire.query("select 42") + wire.extended("select 43") + wire.SYNC)
        client.finish_login()
        assert [answer.values for answer in client.read_until_ready() if answer.type == "D"] == [[b"42"]]
        assert [answer.values for answer in client.read_until_ready() if answer.type == "D"] == [[b"43"]]


@pytest.mark.parametrize("first", [wire.query("select 1"), wire.message("p", b"secret\0"), wire.SYNC, wire.TERMINATE])
def test_a_message_in_place_of_the_startup_packet_is_hung_up_on(tidepool, first):
    """Packets in an unexpected order before the login crashed PgBouncer 1.5.4."""
    daemon = tidepool()
    with daemon.wire() as client:
        client.send(first)
        client.finish_sending()
        assert all(answer.type == "E" for answer in client.read_until_closed())
    with daemon.wire("bench") as client:
        assert client.value("select 42") == "42"


def test_a_cancel_request_that_matches_nobody_is_closed_without_a_word(tidepool):
    daemon = tidepool()
    with daemon.wire("bench") as session:
        for process_id, key in ((session.process_id, b"\0\0\0\0"), (0, session.key), (0xFFFFFFFF, session.key),
                                (session.process_id, session.key + bytes(28))):
            with daemon.wire() as client:
                client.send(wire.cancel_request(process_id, key))
                assert is_hung_up_on(client)
        for size in (0, 257):           # longer than any key may be, and none
            with daemon.wire() as client:
                client.send(wire.cancel_request(session.process_id, bytes(size)))
                assert is_hung_up_on(client)
        assert session.value("select 42") == "42"


def test_a_long_application_name_is_clipped_as_postgresql_does_and_harms_no_login_of_ours(tidepool):
    """As it came it would make the startup packet of the pool's own login longer than PostgreSQL reads: the pool looked as if its server were gone."""
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, "timeout": 5}})
    for name, kept in (("x" * 9900, "x" * 63), ("x" * 62 + "ä" * 10, "x" * 62)):
        with daemon.wire("bench", application_name=name) as client:
            assert client.parameters["application_name"] == kept == client.value("show application_name")
            client.terminate()


def greeting(client):
    """What a login said of notices, and of the name that the session has."""
    return [(answer.fields["V"], answer.fields["C"], answer.fields["M"]) if answer.type == "N" else answer.body
            for answer in client if answer.type == "N" or answer.body.startswith(b"application_name\0")]


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("startup", [
    {"application_name": "x" * 65}, {"application_name": "x" * 63}, {"application_name": "ä" * 40}, {"application_name": "tab\tä"},
    {"client_min_messages": "Warning", "application_name": "x" * 65}, {"application_name": "x" * 65, "client_min_messages": "error"},
    {"client_min_messages": "notice", "application_name": "x" * 65},
    {"options": "-c application_name=" + "y" * 70, "application_name": "x" * 65},
    {"options": "-c client_min_messages=warning", "application_name": "x" * 65}], ids=str)
def test_a_long_application_name_is_noticed_at_login_as_directly(tidepool, postgres, mode, startup):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, "mode": mode}})
    with WireClient(postgres.socket_path) as direct:
        expected = greeting(direct.log_in(database=daemon.databases["bench"], **startup))
        name = direct.value("show application_name")
    for _ in range(2):              # behind the pool's first login, and without a server
        with daemon.wire() as client:
            assert greeting(client.log_in(database="bench", **startup)) == expected
            assert client.value("show application_name") == name
            assert [answer.type for answer in client.ask("select 1")] == ["T", "D", "C", "Z"]
            client.terminate()
