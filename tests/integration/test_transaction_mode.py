"""Transaction mode: who has a server, and what follows a session from one server to the next."""

import select

import pytest

from harness.daemon import CONSTANT_MEMORY
from harness.waiting import wait_until
from harness.wire import query


def pool_of(size=1, **settings):
    return {"bench": {"min_size": 0, "max_size": size, "mode": "transaction", **settings}}


def test_a_server_goes_back_after_each_transaction(tidepool):
    daemon = tidepool(pools=pool_of())
    with daemon.connect("bench") as one, daemon.connect("bench") as other:
        for _ in range(3):
            assert one.execute("select 1").fetchone() == (1,)
            assert other.execute("select 2").fetchone() == (2,)


def test_a_transaction_keeps_its_server(tidepool):
    daemon = tidepool(pools=pool_of(2))
    with daemon.connect("bench") as one, daemon.connect("bench") as other:
        with one.transaction():
            pid = one.execute("select pg_backend_pid()").fetchone()
            assert other.execute("select pg_backend_pid()").fetchone() != pid
            assert one.execute("select pg_backend_pid()").fetchone() == pid


@pytest.mark.parametrize("setting, value", [
    ("work_mem", "'7MB'"), ("timezone", "'Europe/Berlin'"), ("search_path", "\"a b\", 'C', public"), ("app.user_id", "'42'"),
    ("app.long", "'" + "x" * 500 + "'"), ("datestyle", "'german'"), ("application_name", "'me'"), ("search_path", "''")])
def test_a_setting_follows_its_session_and_nobody_else(tidepool, setting, value):
    daemon = tidepool(pools=pool_of())
    with daemon.connect("bench") as one, daemon.connect("bench") as other:
        default = other.execute(f"select current_setting('{setting}', true)").fetchone()
        one.execute(f"set {setting} = {value}")
        shown = one.execute(f"select current_setting('{setting}', true)").fetchone()
        for _ in range(2):
            assert other.execute(f"select coalesce(nullif(current_setting('{setting}', true), ''), %s)", [default[0]]).fetchone() == default
            assert one.execute(f"select current_setting('{setting}', true)").fetchone() == shown
        one.execute(f"reset {setting}")
        assert one.execute(f"select coalesce(nullif(current_setting('{setting}', true), ''), %s)", [default[0]]).fetchone() == default


def test_prepared_statements_of_two_clients_have_the_same_name(tidepool):
    daemon = tidepool(pools=pool_of())
    with daemon.connect("bench", prepare_threshold=0) as one, daemon.connect("bench", prepare_threshold=0) as other:
        for i in range(5):
            assert one.execute("select %s::int", [i]).fetchone() == (i,)
            assert other.execute("select %s::text", [str(i)]).fetchone() == (str(i),)


def test_listen_pins_and_unlisten_lets_go(tidepool):
    daemon = tidepool(pools=pool_of(2))
    with daemon.connect("bench") as one, daemon.connect("bench") as other:
        one.execute("listen here")
        wait_until(lambda: [pin["why"] for pin in daemon.console("show pins")] == ["LISTEN"], "it is pinned")
        other.execute("notify here, 'hello'")
        assert next(one.notifies(timeout=10)).payload == "hello"
        one.execute("unlisten here")
        wait_until(lambda: daemon.console("show pins") == [], "it is not pinned any more")


def test_a_client_that_is_slow_to_take_its_answer_leaves_a_server_that_answers_the_next(tidepool):
    """Its socket was full when the last of the answer was passed on: the server stayed deaf."""
    daemon = tidepool(pools=pool_of())
    slow = daemon.wire("bench")
    with daemon.connect("bench") as other:
        for size in range(64_000, 600_000, 32_000):
            slow.send(query(f"select repeat('x', {size})"))
            wait_until(lambda: any(row["state"] == "idle" or row["wait_event"] == "ClientWrite" for row in daemon.backends("bench")), "all is sent that can be")
            slow.read_until_ready()
            assert other.execute("select 42").fetchone() == (42,)
    slow.terminate()


def test_a_client_that_does_not_read_gets_no_more_transactions_and_costs_no_memory(tidepool):
    """Each answer is one send of PostgreSQL's, so that nothing of it would hold its server up."""
    daemon = tidepool(pools=pool_of())
    slow = daemon.wire("bench")
    before = daemon.resident_bytes()
    with daemon.connect("bench") as other:
        asked = 0
        while asked < 2500 and select.select([], [slow.socket], [], 1)[1]:
            slow.send(query("select repeat('x', 6000)"))
            other.execute("select 1")
            asked += 1
        assert daemon.resident_bytes() - before < CONSTANT_MEMORY
        for _ in range(asked):
            slow.read_until_ready()
    slow.terminate()
