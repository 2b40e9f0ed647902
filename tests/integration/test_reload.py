"""Reload, by SIGHUP and by the console's RELOAD, and RECONNECT: what changes, what stays, while clients work."""

import os
import re
import threading
import time

import psycopg
import pytest
from harness import wire
from harness.conformance import MODES
from harness.waiting import holds_for, wait_until


def pid_of(connection):
    return connection.execute("select pg_backend_pid()").fetchone()[0]


def changed(daemon, pool="bench", **settings):
    """The daemon's settings with some of one pool's changed."""
    pools = {**daemon.settings["pools"], pool: {**daemon.settings["pools"][pool], **settings}}
    return {**daemon.settings, "pools": pools}


def reload(daemon, settings):
    daemon.reload(settings, expect="settings reloaded")


def refused(daemon, settings):
    return daemon.reload(settings, expect="reload refused").group()


def login_error(daemon, pool, user="app"):
    with pytest.raises(wire.LoginFailed) as failure:
        daemon.wire(pool, user=user)
    return failure.value.sqlstate


# Sizes and limits


def test_a_larger_max_size_serves_who_waits(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, "timeout": "60s"}})
    with daemon.connect("bench") as holder:
        pid_of(holder)
        client = daemon.wire("bench")
        client.send(wire.query("select 42"))
        assert client.is_silent(0.2)
        reload(daemon, changed(daemon, max_size=2))
        assert client.read_until_ready()[1].values == [b"42"]
        assert daemon.pool_stats("bench")["pool_max"] == 2


def test_a_smaller_max_size_closes_resting_servers_now_and_lent_ones_when_they_come_back(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 6}})
    held = [daemon.connect("bench") for _ in range(4)]
    pids = {pid_of(connection) for connection in held}
    reload(daemon, changed(daemon, min_size=1, max_size=2))
    wait_until(lambda: {row["pid"] for row in daemon.backends("bench")} == pids, "only those at work are left")
    assert {pid_of(connection) for connection in held} == pids, "clients at work notice nothing"
    for left in (3, 2):
        held.pop().close()
        wait_until(lambda: len(daemon.backends("bench")) == left, f"{left} are left")
    held.pop().close()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 1, "the next one rests")
    assert len(daemon.backends("bench")) == 2
    held.pop().close()


def test_a_larger_min_size_is_dialed_for_without_overshoot(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 4}})
    with daemon.connect("bench") as one, daemon.connect("bench") as two, daemon.connect("bench") as three:
        for connection in (one, two, three):
            pid_of(connection)
        reload(daemon, changed(daemon, min_size=4))
        wait_until(lambda: len(daemon.backends("bench")) == 4, "there are four")
        holds_for(lambda: len(daemon.backends("bench")) == 4, "and no more", 0.5, 0.05)


def test_a_shorter_timeout_holds_for_who_waits_already(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, "timeout": "60s"}})
    with daemon.connect("bench") as holder:
        pid_of(holder)
        client = daemon.wire("bench")
        client.send(wire.query("select 42"))
        assert client.is_silent(0.2)
        reload(daemon, changed(daemon, timeout="300ms"))
        assert client.read_until_ready()[0].fields["C"] == "53300"


def test_a_shorter_max_lifetime_and_max_idle_hold_for_servers_that_are_there(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 4}})
    held = [daemon.connect("bench") for _ in range(4)]
    pids = {pid_of(connection) for connection in held}
    for connection in held:
        connection.close()
    reload(daemon, changed(daemon, max_idle="1s"))
    wait_until(lambda: len(daemon.backends("bench")) == 2, "the surplus goes")
    reload(daemon, changed(daemon, max_lifetime="1s"))
    wait_until(lambda: not pids & {row["pid"] for row in daemon.backends("bench")}, "the old ones go")


def test_the_mode_and_what_belongs_to_it_change(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 4}})

    def rows():
        return {row["key"]: row["value"] for row in daemon.console("SHOW CONFIG")}

    assert daemon.console("SHOW POOLS")[0]["pool_mode"] == "session" and rows()["pools.bench.max_pinned"] == "3"
    wanted = {"mode": "transaction", "user_modes": {"app": "statement"}, "max_prepared_statements": 7, "on_session_state": "error", "max_pinned": 2,
              "pin_functions": ["App.Lock_It"], "transaction": "90s"}
    reload(daemon, changed(daemon, **wanted))
    assert daemon.console("SHOW POOLS")[0]["pool_mode"] == daemon.console("SHOW DATABASES")[0]["pool_mode"] == "transaction"
    shown = {**wanted, "user_modes": "app: statement", "max_prepared_statements": "7", "max_pinned": "2", "pin_functions": "app.lock_it"}
    assert {key: rows()[f"pools.bench.{key}"] for key in wanted} == shown


def test_max_clients_and_the_log_level_change(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 3}}, limits={"max_clients": 50}, log={"level": "info"})
    first = daemon.wire("bench")
    assert " logged in" not in re.sub("server_pid=.*", "", daemon.log())
    reload(daemon, {**daemon.settings, "limits": {"max_clients": 1}, "log": {"level": "debug"}})
    assert login_error(daemon, "bench") == "53300"
    assert first.value("select 42") == "42", "who is in stays in"
    reload(daemon, {**daemon.settings, "limits": {"max_clients": 2}})
    assert daemon.wire("bench").value("select 42") == "42"
    assert "logged in" in daemon.log()


def test_reset_and_time_limits_change_for_clients_that_are_there(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1}})
    with daemon.connect("bench") as connection:
        connection.execute("set work_mem = '7MB'")
        reload(daemon, changed(daemon, reset="rollback"))
    with daemon.connect("bench") as connection:
        assert connection.execute("show work_mem").fetchone() == ("7MB",)
        reload(daemon, changed(daemon, reset="discard_all", query="300ms"))
        with pytest.raises(psycopg.Error) as failure:
            connection.execute("select pg_sleep(60)")
        assert failure.value.sqlstate == "57014"


# Users


def test_users_and_passwords_are_added_changed_and_removed(tidepool, postgres):
    conninfo = postgres.conninfo("postgres", "app")

    def settings(users, allowed):
        return {"users": {name: {"password": password} for name, password in users.items()},
                "pools": {"bench": {"conninfo": conninfo, "users": allowed, "min_size": 1, "max_size": 5, "auth": "scram-sha-256"}},
                "workers": 2}

    daemon = tidepool(settings({"app": "one"}, ["app"]))

    def logs_in(user, password):
        client = daemon.wire()
        try:
            client.log_in(user=user, database="bench", password=password)
            return client
        except wire.LoginFailed as failure:
            return failure.sqlstate

    app = logs_in("app", "one")
    assert app.value("select 42") == "42"
    assert logs_in("report", "two") == "28P01"
    reload(daemon, settings({"app": "changed", "report": wire.scram_secret("two")}, ["app"]))
    assert logs_in("app", "one") == "28P01"
    assert logs_in("app", "changed").value("select 42") == "42"
    assert logs_in("report", "two") == "28000", "may log in, but may not use this pool"
    reload(daemon, settings({"app": "changed", "report": "two"}, ["app", "report"]))
    assert logs_in("report", "two").value("select 42") == "42"
    reload(daemon, settings({"report": "two"}, ["report"]))
    assert logs_in("app", "changed") == "28P01"
    assert app.value("select 42") == "42", "who is in stays in"


# Pools


def test_a_pool_that_is_added_serves_at_once(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1}})
    assert login_error(daemon, "more") == "3D000"
    reload(daemon, {**daemon.settings, "pools": {**daemon.settings["pools"], "more": {
        "conninfo": postgres.conninfo("postgres", "app"), "min_size": 1}}})
    with daemon.connect("more") as connection:
        assert connection.execute("select current_database()").fetchone() == ("postgres",)
    assert {row["name"] for row in daemon.console("SHOW DATABASES")} >= {"bench", "more"}


def test_a_pool_that_is_removed_refuses_who_comes_and_who_waits_and_lets_who_works_finish(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 1}, "other": {"min_size": 1}}, workers=2)
    worker = daemon.wire("bench")
    worker.ask("begin")
    worker.ask("create table done (who int)")
    waiter = daemon.wire("bench")
    waiter.send(wire.query("select 1"))
    assert waiter.is_silent(0.2)
    idle = daemon.wire("bench")
    pools = {name: pool for name, pool in daemon.settings["pools"].items() if name != "bench"}
    reload(daemon, {**daemon.settings, "pools": pools})
    assert_sent_away(waiter)
    assert_sent_away(idle)
    assert login_error(daemon, "bench") == "3D000"
    worker.ask("insert into done values (1)")
    assert worker.ask("commit")[0].body == b"COMMIT\0"
    worker.terminate()
    wait_until(lambda: not daemon.backends("bench"), "its servers are closed when they come back")
    with daemon.connect("other") as connection:
        assert connection.execute("select 42").fetchone() == (42,)


def without(daemon, pool):
    return {**daemon.settings, "pools": {name: each for name, each in daemon.settings["pools"].items() if name != pool}}


def assert_sent_away(client):
    """By FATAL: who hears ERROR takes its connection for a good one."""
    fields = client.read_until("E")[-1].fields
    assert (fields["S"], fields["C"]) == ("FATAL", "57P01") and '"bench"' in fields["M"]
    client.read_until_closed()


@pytest.mark.parametrize("mode", MODES)
def test_clients_of_a_pool_that_was_removed_and_added_again_are_sent_away(tidepool, mode):
    daemon = tidepool(pools={"bench": {"mode": mode, "min_size": 1, "max_size": 1}, "other": {"min_size": 1}}, workers=2)
    whole = daemon.settings
    never_asked = daemon.wire("bench")
    has_asked = daemon.wire("bench")
    if mode != "session":
        assert has_asked.value("select 42") == "42"
    holder = daemon.wire("bench")
    holder.send(wire.query("select pg_sleep(2)"))
    wait_until(lambda: any(row["query"] == "select pg_sleep(2)" for row in daemon.backends("bench")), "it works")
    waiter = daemon.wire("bench")
    waiter.send(wire.query("select 1"))
    assert waiter.is_silent(0.2)
    elsewhere = daemon.wire("other")
    reload(daemon, without(daemon, "bench"))
    reload(daemon, whole)
    for client in (never_asked, has_asked, waiter):
        assert_sent_away(client)
    assert holder.read_until_ready()[-1].type == "Z"
    if mode == "session":
        assert holder.value("select 42") == "42", "it holds its server until it leaves"
        holder.terminate()
    else:
        assert_sent_away(holder)
    assert elsewhere.value("select 42") == "42"
    assert daemon.wire("bench").value("select 42") == "42"
    wait_until(lambda: len(daemon.backends("bench")) == 1, "nothing of the old pool is left")


def test_who_is_pinned_in_a_pool_that_is_removed_is_sent_away_when_nothing_pins_it(tidepool):
    daemon = tidepool(pools={"bench": {"mode": "transaction", "min_size": 1}, "other": {"min_size": 1}})
    client = daemon.wire("bench")
    client.ask("create temporary table kept (a int)")
    client.ask("begin")
    reload(daemon, without(daemon, "bench"))
    client.ask("commit")
    assert client.is_silent(0.3)
    assert client.value("select count(*) from kept") == "0"
    client.ask("drop table kept")
    assert_sent_away(client)


@pytest.mark.parametrize("mode", MODES)
def test_who_asks_in_the_moment_that_its_pool_is_removed_is_served_or_sent_away(tidepool, mode):
    daemon = tidepool(pools={"bench": {"mode": mode, "min_size": 2}, "other": {"min_size": 1}}, workers=2)
    clients = [daemon.wire("bench") for _ in range(20)]
    whole, less = daemon.settings, without(daemon, "bench")
    ended = threading.Event()
    heard = []

    def ask(client):
        try:
            while not ended.is_set():
                client.send(wire.query("select 42"))
                heard.extend(got.fields["S"] for got in client.read_until("E", "Z") if got.type == "E")
        except (wire.Closed, OSError):
            pass
        client.close()

    threads = [threading.Thread(target=ask, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for settings in (less, whole, less, whole):
        reload(daemon, settings)
    ended.set()
    for thread in threads:
        thread.join()
    assert set(heard) <= {"FATAL"}


def test_a_login_that_waits_for_the_first_server_of_a_pool_that_is_removed_is_refused(tidepool, fake_server):
    fake = fake_server(lambda server: server.never_answer())
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 0, "max_size": 1, "timeout": "60s"}, "other": {}})
    client = daemon.wire()
    client.send(wire.startup(user="app", database="bench"))
    fake.wait_for_connections(1)
    reload(daemon, without(daemon, "bench"))
    assert_sent_away(client)


def test_a_client_idle_that_a_reload_adds_counts_for_who_is_idle_already(tidepool):
    daemon = tidepool(pools={"bench": {"mode": "transaction", "min_size": 1}})
    client = daemon.wire("bench")
    assert client.value("select 42") == "42"
    reload(daemon, changed(daemon, client_idle="200ms"))
    assert client.read_until("E")[-1].fields["C"] == "57P05"


def test_a_pool_that_was_removed_and_is_added_again_works(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1}, "other": {"min_size": 1}}, workers=2)
    whole = daemon.settings
    old = daemon.wire("bench")
    assert old.value("select 42") == "42"
    for _ in range(3):
        reload(daemon, {**whole, "pools": {"other": whole["pools"]["other"]}})
        assert login_error(daemon, "bench") == "3D000"
        reload(daemon, whole)
        assert daemon.wire("bench").value("select 42") == "42"
        assert old.value("select 42") == "42", "a client of before still has its server"


# Conninfo


def test_a_changed_conninfo_replaces_resting_servers_now_and_lent_ones_when_they_come_back(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 3}})
    other = postgres.create_database()
    holder = daemon.connect("bench")
    old = holder.execute("select current_database()").fetchone()
    idle = daemon.connect("bench")
    reload(daemon, changed(daemon, conninfo=postgres.conninfo(other, "app")))
    wait_until(lambda: len(daemon.backends("bench")) == 1, "resting servers are closed")
    wait_until(lambda: postgres.backends(database=other), "new ones are dialed")
    assert holder.execute("select current_database()").fetchone() == old, "it keeps the server that it holds"
    assert idle.execute("select current_database()").fetchone() == (other,)
    with daemon.connect("bench") as new:
        assert new.execute("select current_database()").fetchone() == (other,)
    holder.close()
    wait_until(lambda: not daemon.backends("bench"), "the last old server is closed when it comes back")
    idle.close()
    reload(daemon, changed(daemon, conninfo=postgres.conninfo("postgres", "app")))
    wait_until(lambda: not postgres.backends(database=other), "those too")
    postgres.drop_database(other)


def test_a_changed_conninfo_counts_at_once_for_who_waits(tidepool, postgres, new_postgres):
    gone = new_postgres()
    dead = gone.conninfo("postgres", "app")
    gone.stop()
    daemon = tidepool(pools={"bench": {"conninfo": dead, "min_size": 0, "max_size": 2, "timeout": "60s"}})
    client = daemon.wire()
    client.send(wire.startup(user="app", database="bench") + wire.query("select 42"))
    daemon.wait_for_log("server cannot be reached")
    reload(daemon, changed(daemon, conninfo=postgres.conninfo("postgres", "app")))
    client.finish_login()
    assert client.read_until_ready()[1].values == [b"42"]


def test_a_changed_configure_replaces_servers_and_other_settings_do_not(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "reset": "rollback"}})
    with daemon.connect("bench") as connection:
        pid = pid_of(connection)
    reload(daemon, changed(daemon, timeout="7s", max_waiting=3))
    with daemon.connect("bench") as connection:
        assert pid_of(connection) == pid
    reload(daemon, changed(daemon, configure="set work_mem = '9MB'"))
    with daemon.connect("bench") as connection:
        assert pid_of(connection) != pid
        assert connection.execute("show work_mem").fetchone() == ("9MB",)


# Bad files


def test_a_bad_file_changes_nothing_and_the_log_has_every_mistake(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 2}})
    with daemon.connect("bench") as holder:
        pid = pid_of(holder)
        good = daemon.settings
        bad = changed(daemon, max_szie=7, timeout="soon", max_size=9, conninfo="host=x prot=1")
        mark = len(daemon.log())
        assert "old settings stay" in daemon.reload(bad, expect="reload refused.*").group()
        log = daemon.log()[mark:]
        for key in ("pools.bench.max_szie", "pools.bench.timeout", "pools.bench.conninfo"):
            assert re.search(rf"tidepool\.yaml:\d+:\d+: {re.escape(key)}: ", log), log
        assert "max_size" in re.search("max_szie: (.*)", log)[1]
        assert "has 3 mistake(s)" in log
        assert daemon.pool_stats("bench")["pool_max"] == 2
        assert pid_of(holder) == pid
    with daemon.connect("bench") as connection:
        assert pid_of(connection) == pid
    reload(daemon, {**good})


@pytest.mark.parametrize("text", ["", "pools: [", "listen: []\npools: {}\n", "\0\1\2", "a: &a [*a]\n"])
def test_a_file_that_is_no_settings_file_changes_nothing(tidepool, text):
    daemon = tidepool(pools={"bench": {"min_size": 1}})
    good = daemon.settings
    daemon.settings_file.write_text(text)
    refused(daemon, None)
    daemon.settings = good
    assert daemon.wire("bench").value("select 42") == "42"


def test_a_file_that_is_gone_changes_nothing(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1}})
    os.unlink(daemon.settings_file)
    refused(daemon, None)
    assert daemon.wire("bench").value("select 42") == "42"


def test_secrets_are_not_in_the_log_of_a_refused_reload(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 1}})
    good = daemon.settings
    bad = changed(daemon, conninfo="host=x password=top-secret-1 prot=1")
    refused(daemon, {**bad, "users": {"app": {"password": "top-secret-2", "nonsense": 1}}})
    assert "top-secret" not in daemon.log()
    daemon.settings = good


# The console


def test_the_consoles_reload_does_the_same_and_answers(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 2}})
    daemon.write_settings(changed(daemon, max_size=5))
    daemon.console("RELOAD")
    assert daemon.pool_stats("bench")["pool_max"] == 5
    good = daemon.settings
    daemon.write_settings(changed(daemon, max_size=6, timeout="soon", max_szie=1))
    with pytest.raises(psycopg.Error) as failure:
        daemon.console("RELOAD")
    assert "mistake" in str(failure.value)
    assert "pools.bench.timeout" in str(failure.value) and "pools.bench.max_szie" in str(failure.value)
    daemon.settings = good
    assert daemon.pool_stats("bench")["pool_max"] == 5


def test_workers_and_listen_keep_the_old_and_the_log_says_so(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 2}}, workers=2)
    good = daemon.settings
    mark = len(daemon.log())
    elsewhere = {**good["listen"][0], "port": 7777}
    daemon.reload({**changed(daemon, max_size=3), "workers": 3, "listen": [elsewhere]}, expect="settings reloaded")
    log = daemon.log()[mark:]
    assert re.search(r"workers.*stays? 2", log) and re.search(r"listen.*stays?", log), log
    daemon.settings = good
    assert daemon.wire("bench").value("select 42") == "42"
    assert not os.path.exists(f"{daemon.host}/.s.PGSQL.7777")
    assert daemon.pool_stats("bench")["pool_max"] == 3, "what can change has changed"
    threads = len(os.listdir(f"/proc/{daemon.pid}/task"))
    daemon.console("RELOAD")
    assert len(os.listdir(f"/proc/{daemon.pid}/task")) == threads


def test_reconnect_replaces_servers_of_one_pool_or_of_all(tidepool):
    daemon = tidepool(pools={"one": {"min_size": 2}, "two": {"min_size": 1}})
    wait_until(lambda: len(daemon.backends("one")) == 2 and len(daemon.backends("two")) == 1, "servers are there")

    def pids(pool):
        return {row["pid"] for row in daemon.backends(pool)}

    holder = daemon.connect("one")
    held = pid_of(holder)
    one, two = pids("one"), pids("two")
    daemon.console("RECONNECT one")
    wait_until(lambda: len(pids("one") - one) == 1 and len(pids("one")) == 2, "what rested is replaced")
    assert pid_of(holder) == held, "the client keeps its server"
    holder.close()
    wait_until(lambda: len(pids("one") - one) == 2, "it is replaced when it comes back")
    assert pids("two") == two
    one = pids("one")
    daemon.console("RECONNECT")
    wait_until(lambda: not pids("one") & one and not pids("two") & two, "all are replaced")
    with pytest.raises(psycopg.Error, match="no_such"):
        daemon.console("RECONNECT no_such")


# Under load


@pytest.mark.workers
@pytest.mark.timeout(120)
def test_reloads_and_reconnects_under_load_cost_no_client_an_error(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1, "max_size": 4}}, workers=2)
    failures, done, stop = [], [], threading.Event()

    def work():
        while not stop.is_set():
            try:
                with daemon.wire("bench") as client:
                    assert client.value("select 42") == "42"
                    client.send(wire.extended("select $1", ["x"]) + wire.SYNC)
                    assert [answer.type for answer in client.read_until_ready()] == ["1", "2", "D", "C", "Z"]
                    client.terminate()
                done.append(1)
            except Exception as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for round_ in range(12):
        settings = changed(daemon, max_size=2 + round_ % 4, max_lifetime="1h" if round_ % 2 else "300ms",
                           configure="" if round_ % 3 else "set work_mem = '5MB'")
        if round_ % 4 == 3:
            settings["pools"]["more"] = dict(settings["pools"]["bench"], min_size=1, max_size=1)
        else:
            settings["pools"].pop("more", None)
        reload(daemon, settings)
        daemon.console("RECONNECT")
        before = len(done)
        wait_until(lambda: len(done) >= before + 20 or failures, "work goes on")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    stats = daemon.pool_stats("bench")
    assert stats["requests_errors"] == 0 and stats["requests_waiting"] == 0
    wait_until(lambda: daemon.pool_stats("bench")["pool_size"] == daemon.pool_stats("bench")["pool_available"],
               "all that is left rests")


def test_a_reload_does_not_let_go_of_descriptors_or_memory(tidepool):
    daemon = tidepool(pools={"bench": {"min_size": 1}}, workers=2)
    settings = daemon.settings
    reload(daemon, settings)
    descriptors = daemon.open_descriptors()
    for _ in range(20):
        daemon.console("RELOAD")
    time.sleep(0.1)
    wait_until(lambda: daemon.open_descriptors() <= descriptors, "no more descriptors than before")
