"""Clients that wait for a server: their order, their time limits, what they are told, and how they leave."""

import socket

import pytest
from harness import wire
from harness.cutting_proxy import also_cut
from harness.daemon import CONSTANT_MEMORY
from harness.waiting import holds_for, wait_until


def waiting(daemon, count):
    wait_until(lambda: daemon.pool_stats("bench")["requests_waiting"] == count, f"{count} clients wait")


@pytest.fixture
def full(tidepool):
    """full(timeout="1s", ...): a daemon whose only server of pool bench is held by a client, and that client."""

    def start(**pool):
        daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, **pool}})
        holder = daemon.wire("bench")
        assert holder.value("select 42") == "42"
        return daemon, holder

    return start


# Order


def test_waiters_are_served_first_come_first_served(full):
    daemon, holder = full()
    holder.ask("create table arrivals (number serial, who int)")
    clients = []
    for who in range(8):
        client = daemon.wire("bench")
        client.send(wire.query(f"insert into arrivals (who) values ({who})"))
        waiting(daemon, who + 1)
        clients.append(client)
    holder.terminate()
    for client in clients:
        assert client.read_until_ready()[-1].type == "Z"
        client.terminate()
    with daemon.connect("bench") as connection:
        served = [row[0] for row in connection.execute("select who from arrivals order by number")]
    assert served == list(range(8))
    stats = daemon.pool_stats("bench")
    assert stats["requests_queued"] >= 8 and stats["requests_errors"] == 0


def test_who_comes_later_does_not_overtake_who_waits(full):
    daemon, holder = full()
    early = daemon.wire("bench")
    early.send(wire.query("select 'early'"))
    waiting(daemon, 1)
    late = daemon.wire("bench")
    late.send(wire.query("select 'late'"))
    waiting(daemon, 2)
    holder.terminate()
    assert early.read_until_ready()
    assert late.is_silent(0.2)
    early.terminate()
    assert late.read_until_ready()


# Time limit


def assert_is_a_timeout(answers, pool="bench"):
    """ERROR 53300 that names pool, limit and wait, then ReadyForQuery, and nothing else."""
    assert [answer.type for answer in answers] == ["E", "Z"], answers
    fields = answers[0].fields
    assert (fields["S"], fields["V"], fields["C"]) == ("ERROR", "ERROR", "53300")
    for word in (f'"{pool}"', "timeout 400 ms", "max_size 1", "within 4", " ms"):
        assert word in fields["M"], fields["M"]
    assert answers[1].body == b"I"


@pytest.mark.parametrize("pieces", [None, 1], ids=["whole", "byte by byte"])
def test_a_timeout_is_an_error_53300_and_the_session_stays_simple_query(full, pieces):
    daemon, holder = full(timeout="400ms")
    client = daemon.wire("bench")
    for _ in range(2):
        client.send(wire.query("select 1"), pieces=pieces)
        assert_is_a_timeout(client.read_until_ready())
    holder.terminate()
    client.send(wire.query("select 'served'"), pieces=pieces)
    assert client.read_until_ready()[1].values == [b"served"]
    assert daemon.pool_stats("bench")["requests_errors"] == 2


@pytest.mark.parametrize("pieces", [None, 1], ids=["whole", "byte by byte"])
@also_cut
def test_a_timeout_is_an_error_53300_and_the_rest_of_its_batch_is_skipped_to_sync(full, pieces):
    daemon, holder = full(timeout="400ms")
    holder.ask("create table done (what text)")
    client = daemon.wire("bench")
    batch = (wire.parse("insert into done values ($1)", "one") + wire.describe("S", "one") + wire.bind(["a"], "one")
             + wire.execute() + wire.extended("insert into done values ('b')") + wire.close("S", "one") + wire.SYNC)
    client.send(batch, pieces=pieces)
    assert_is_a_timeout(client.read_until_ready())
    assert client.is_silent(0.1)
    client.send(batch, pieces=pieces)
    assert_is_a_timeout(client.read_until_ready())
    holder.terminate()
    assert client.rows("select * from done") == []
    client.send(batch)
    assert [answer.type for answer in client.read_until_ready()] == list("1tn2C12C3Z")


@also_cut
def test_after_a_timeout_what_follows_the_sync_is_a_new_request(full):
    daemon, holder = full(timeout="400ms")
    client = daemon.wire("bench")
    client.send(wire.extended("select 1") + wire.SYNC + wire.extended("select 2") + wire.SYNC + wire.query("select 3"))
    for _ in range(2):
        assert_is_a_timeout(client.read_until_ready())
    holder.terminate()
    answers = client.read_until_ready()
    assert answers[1].values == [b"3"]


def test_after_a_timeout_bytes_that_come_late_are_skipped_to_sync_too(full):
    daemon, holder = full(timeout="400ms")
    client = daemon.wire("bench")
    client.send(wire.parse("select 1"))
    assert client.read_until("E")[-1].fields["C"] == "53300"
    holder.terminate()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 1, "a server is free")
    client.send(wire.bind() + wire.execute() + wire.FLUSH)
    assert client.is_silent(0.2)
    client.send(wire.SYNC)
    assert [answer.type for answer in client.read_until_ready()] == ["Z"]
    assert client.value("select 42") == "42"


def test_drivers_keep_their_connection_after_a_timeout(full):
    import psycopg
    daemon, holder = full(timeout="400ms")
    with daemon.connect("bench") as connection:
        with pytest.raises(psycopg.errors.TooManyConnections, match="bench"):
            connection.execute("select %s", [1])
        assert not connection.closed
        holder.terminate()
        assert connection.execute("select %s", [42]).fetchone() == (42,)


def test_a_login_that_waits_for_the_first_server_has_the_pools_timeout(tidepool, fake_server):
    fake = fake_server(lambda server: (server.read_startup(), server.never_answer()))
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1, "timeout": "700ms"}},
                      limits={"login_timeout": "30s"})
    with pytest.raises(wire.LoginFailed, match="700 ms") as failure:
        daemon.wire("bench")
    assert failure.value.sqlstate == "53300" and failure.value.fields["S"] == "FATAL"
    assert '"bench"' in failure.value.fields["M"]


# max_waiting


def test_who_finds_the_queue_full_is_told_at_once_and_keeps_its_session(full):
    daemon, holder = full(max_waiting=2, timeout="60s")
    queued = [daemon.wire("bench") for _ in range(2)]
    for count, client in enumerate(queued):
        client.send(wire.query("select 1"))
        waiting(daemon, count + 1)
    late = daemon.wire("bench")
    for request in (wire.query("select 2"), wire.extended("select 2") + wire.SYNC):
        late.send(request)
        answers = late.read_until_ready(5)
        assert [answer.type for answer in answers] == ["E", "Z"]
        fields = answers[0].fields
        assert fields["C"] == "53300" and fields["S"] == "ERROR"
        for word in ('"bench"', "max_waiting 2", "max_size 1", "2 clients waiting", "the first of them for"):
            assert word in fields["M"], fields["M"]
    holder.terminate()
    for client in queued:
        assert client.read_until_ready()[-1].type == "Z"
        client.terminate()
    assert late.value("select 2") == "2"


# Notice


def test_who_waits_for_notice_after_is_told_once(full):
    daemon, holder = full(notice_after="200ms", timeout="30s")
    client = daemon.wire("bench")
    client.send(wire.query("select 42"))
    notice = client.read()
    assert notice.type == "N" and notice.fields["S"] == "NOTICE" and '"bench"' in notice.fields["M"]
    assert client.is_silent(0.7)
    holder.terminate()
    assert [answer.type for answer in client.read_until_ready()] == ["T", "D", "C", "Z"]


def test_notice_after_0_says_nothing(full):
    daemon, holder = full(notice_after=0, timeout="600ms")
    client = daemon.wire("bench")
    client.send(wire.query("select 42"))
    assert [answer.type for answer in client.read_until_ready()] == ["E", "Z"]
    holder.terminate()


def test_a_short_wait_brings_no_notice(full):
    daemon, holder = full()
    client = daemon.wire("bench")
    client.send(wire.query("select 42"))
    waiting(daemon, 1)
    holder.terminate()
    assert [answer.type for answer in client.read_until_ready()] == ["T", "D", "C", "Z"]


# Leaving


def test_a_waiting_client_that_leaves_is_forgotten(full):
    daemon, holder = full()
    holder.ask("create table done (who int)")
    gone = daemon.wire("bench")
    gone.send(wire.query("insert into done values (1)"))
    waiting(daemon, 1)
    stays = daemon.wire("bench")
    stays.send(wire.query("insert into done values (2)"))
    waiting(daemon, 2)
    gone.close()
    waiting(daemon, 1)
    holder.terminate()
    assert stays.read_until_ready()[-1].type == "Z"
    assert stays.rows("select who from done") == [["2"]]
    assert daemon.pool_stats("bench")["requests_errors"] == 0


def test_a_client_that_dies_while_it_waits_is_forgotten_before_its_timeout(full):
    daemon, holder = full(timeout="60s")
    clients = [daemon.wire("bench") for _ in range(20)]
    for client in clients:
        client.send(wire.extended("select 1") + wire.SYNC)
    waiting(daemon, 20)
    for client in clients:
        client.close()
    waiting(daemon, 0)
    assert len([row for row in daemon.console("SHOW CLIENTS") if row["database"] == "bench"]) == 1


@pytest.mark.parametrize("startup", [{}, {"application_name": "me", "options": "-c work_mem=5MB"}],
                         ids=["plain", "with settings"])
@pytest.mark.parametrize("request_", [
    wire.query("insert into done select 1 from pg_sleep(0.3)"),
    wire.extended("insert into done select 1 from pg_sleep(0.3)") + wire.SYNC,
], ids=["simple", "extended"])
def test_fact_10_a_waiting_clients_requests_in_front_of_its_terminate_are_run(full, request_, startup):
    """As PostgreSQL does: it reads the Query, runs it, commits, and then finds the Terminate."""
    daemon, holder = full()
    holder.ask("create table done (who int)")
    if startup:
        holder.terminate()
        daemon.wire("bench", **startup).terminate()      # what they are greeted with is known now
        holder = daemon.wire("bench")
        holder.value("select 42")
    client = daemon.wire("bench", **startup)
    client.send(request_ + wire.TERMINATE)
    client.close()
    waiting(daemon, 1)
    holds_for(lambda: daemon.pool_stats("bench")["requests_waiting"] == 1, "it stays in the queue", 0.3, 0.05)
    assert holder.value("select count(*) from done") == "0"
    holder.terminate()
    with daemon.connect("bench") as connection:
        wait_until(lambda: connection.execute("select count(*) from done").fetchone() == (1,), "the request was run")


def test_a_waiting_batch_without_its_sync_is_not_run_for_a_client_that_said_terminate(full):
    """PostgreSQL runs it, but never commits it: there was no Sync."""
    daemon, holder = full()
    holder.ask("create table done (who int)")
    client = daemon.wire("bench")
    client.send(wire.extended("insert into done values (1)") + wire.TERMINATE)
    client.close()
    holder.terminate()
    with daemon.connect("bench") as connection:
        assert connection.execute("select count(*) from done").fetchone() == (0,)
    waiting(daemon, 0)


def test_a_gone_clients_request_is_given_up_at_its_timeout(full):
    daemon, holder = full(timeout="500ms")
    holder.ask("create table done (who int)")
    client = daemon.wire("bench")
    client.send(wire.query("insert into done values (1)") + wire.TERMINATE)
    client.close()
    waiting(daemon, 1)
    waiting(daemon, 0)
    assert daemon.pool_stats("bench")["requests_errors"] == 1
    assert holder.value("select count(*) from done") == "0"
    wait_until(lambda: len([row for row in daemon.console("SHOW CLIENTS") if row["database"] == "bench"]) == 1,
               "only the holder is left")


# Bytes of those who wait


def test_a_long_request_waits_in_bounded_memory_and_is_run_whole(full):
    daemon, holder = full(timeout="60s")
    size = 50_000_000
    before = daemon.resident_bytes()
    client = daemon.wire("bench")
    client.socket.settimeout(0.3)
    request, sent = memoryview(wire.query("select length('" + "x" * size + "')")), 0
    try:
        while sent < len(request):
            sent += client.socket.send(request[sent:sent + 65536])
    except (TimeoutError, socket.timeout):
        pass
    assert 0 < sent < len(request), "what the daemon does not read stays with its client"
    waiting(daemon, 1)
    assert daemon.resident_bytes() - before < CONSTANT_MEMORY
    holder.terminate()
    client.socket.settimeout(20)
    client.socket.sendall(request[sent:])
    assert client.read_until_ready(20)[1].values == [str(size).encode()]
    assert daemon.resident_bytes() - before < CONSTANT_MEMORY


def test_a_client_that_leaves_behind_more_than_is_read_is_noticed(full):
    daemon, holder = full(timeout="60s")
    client = daemon.wire("bench")
    client.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.socket.sendall(wire.query("select length('" + "x" * 20_000_000 + "')"))
    waiting(daemon, 1)
    client.close()
    waiting(daemon, 0)
    assert holder.value("select 42") == "42"


@also_cut
def test_a_pipeline_that_waits_is_run_in_its_order(full):
    daemon, holder = full()
    client = daemon.wire("bench")
    client.send(b"".join(wire.extended("select $1", [number]) + wire.SYNC for number in range(300)))
    waiting(daemon, 1)
    holder.terminate()
    values = []
    for _ in range(300):
        values += [answer.values[0] for answer in client.read_until_ready() if answer.type == "D"]
    assert values == [str(number).encode() for number in range(300)]


def test_a_waiting_client_can_be_cancelled_and_keeps_its_session(full):
    daemon, holder = full(timeout="60s")
    client = daemon.wire("bench")
    client.send(wire.extended("select 1") + wire.SYNC)
    waiting(daemon, 1)
    client.cancel()
    answers = client.read_until_ready()
    assert [answer.type for answer in answers] == ["E", "Z"] and answers[0].fields["C"] == "57014"
    waiting(daemon, 0)
    holder.terminate()
    assert client.value("select 42") == "42"
