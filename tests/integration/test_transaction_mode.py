"""Transaction mode: who has a server, and what follows a session from one server to the next."""

import pytest

from harness.waiting import wait_until


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
