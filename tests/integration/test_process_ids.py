"""The process id that a session is told (BackendKeyData): programs tell sessions apart by it, and know by it what they have sent themselves."""

import struct

import pytest
from harness import wire
from harness.sessions import wait_until_running
from harness.shared_servers import transaction_pool
from harness.wire import WireClient

BOTH_MODES = pytest.mark.parametrize("mode", ["session", "transaction"])


def notifications(client, sql="select 1"):
    """(process id, channel, payload) of those that have come by the end of a query."""
    found = []
    for answer in client.ask(sql):
        if answer.type == "A":
            channel, payload = answer.body[4:-1].split(b"\0")
            found.append((struct.unpack_from("!i", answer.body)[0], channel.decode(), payload.decode()))
    return found


@pytest.mark.workers
def test_ids_of_sessions_that_have_ended_are_not_used_again_soon(tidepool):
    daemon = tidepool(workers=2)
    ids = []
    for _ in range(300):
        with daemon.wire("bench") as client:
            ids.append(client.process_id)
            client.terminate()
    assert len(set(ids)) == len(ids) and min(ids) > 0


def test_the_key_of_a_session_that_has_ended_reaches_nobody(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}}, workers=1)
    keys = []
    for _ in range(3):
        client = daemon.wire("bench")
        keys.append((client.process_id, client.key))
        client.terminate()
    client = daemon.wire("bench")
    client.send(wire.query("select pg_sleep(600)"))
    wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
    for process_id, key in [*keys, (client.process_id, keys[0][1]), (keys[0][0], client.key)]:
        with WireClient(daemon.socket_path) as other:
            other.send(wire.cancel_request(process_id, key))
            assert other.read_until_closed() == []
    assert client.is_silent()
    client.cancel()
    assert client.read_until_ready()[-2].fields["C"] == "57014"


@BOTH_MODES
def test_who_notifies_itself_is_told_its_own_process_id(tidepool, mode):
    daemon = tidepool(pools=transaction_pool(2, mode=mode))
    client = daemon.wire("bench")
    client.rows("listen kept")
    assert notifications(client, "notify kept") == [(client.process_id, "kept", "")]
    assert notifications(client, "select pg_notify('kept', repeat('x', 7999))") == [(client.process_id, "kept", "x" * 7999)]
    client.rows("begin")
    assert notifications(client, "notify kept, 'held until the commit'") == []
    assert notifications(client, "commit") == [(client.process_id, "kept", "held until the commit")]
    client.send(wire.extended("notify kept, 'a batch'") + wire.extended("select 1") + wire.SYNC)
    got = client.read_until_ready()
    assert [answer.body[:4] for answer in got if answer.type == "A"] == [struct.pack("!i", client.process_id)]


@BOTH_MODES
@pytest.mark.workers
def test_who_is_notified_is_told_the_process_id_that_the_sender_knows(tidepool, postgres, mode):
    daemon = tidepool(pools=transaction_pool(6, mode=mode), workers=2)
    listener, *senders = (daemon.wire("bench") for _ in range(4))
    listener.rows("listen kept")
    for sender in senders:
        if mode == "transaction":
            sender.rows("listen another")       # it keeps its server
        sender.rows("notify kept, 'one'")
        assert [answer.body[:4] for answer in listener.read_until("A")] == [struct.pack("!i", sender.process_id)]
    with postgres.connect(daemon.databases["bench"], "app") as direct:
        direct.execute("notify kept, 'past the pool'")
        assert listener.read_until("A")[-1].body[:4] == struct.pack("!i", direct.info.backend_pid)


@BOTH_MODES
def test_a_notification_that_comes_in_pieces_is_told_the_same_way(tidepool, fake_server, mode):
    def script(server):
        server.log_in()
        while True:
            if server.expect("Q", "S").type == "S":
                continue
            note = wire.message("A", struct.pack("!i", server.process_id) + wire.text("kept") + wire.text("payload"))
            for at in range(len(note)):
                server.send(note[at:at + 1])
            server.send(wire.message("C", wire.text("SELECT 0")), wire.message("Z", b"I"))

    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "max_size": 1, "min_size": 0, "mode": mode, "reset": "none"}})
    client = daemon.wire("bench")
    assert notifications(client) == [(client.process_id, "kept", "payload")]
