"""Bugs that poolers had: the wrong data to the wrong client (5.2), session state that leaked (5.3), COPY (5.5). The numbers are
those of docs/tests.md, "Traps"."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import fake_server as fakes
from harness import wire
from harness.cutting_proxy import also_cut
from harness.sessions import backend_of, directly, wait_until_resting, wait_until_running
from harness.waiting import wait_until

ONE = {"bench": {"min_size": 1, "max_size": 1, "timeout": "60s"}}


def answers_of(client, data, ready=1):
    client.send(data)
    found = []
    for _ in range(ready):
        found += client.read_until_ready()
    return found


# 5.2 Wrong data to the wrong client


@also_cut
@pytest.mark.workers
@pytest.mark.timeout(120)
def test_trap_5_2_unnamed_statements_under_load_bring_each_client_its_own_rows(tidepool):
    """Every third client vanishes in the middle of its answers."""
    daemon = tidepool(pools={"bench": {"min_size": 2, "max_size": 2, "timeout": "60s"}}, workers=2)
    wrong = []

    def work(number):
        for turn in range(12):
            mine = f"{number}.{turn}"
            with daemon.wire("bench") as client:
                batch = wire.extended("select $1::text, repeat($1::text, 200)", [mine]) + wire.SYNC
                client.send(batch * 3)
                if (number + turn) % 3 == 0:
                    client.read_until("D")
                    continue
                for _ in range(3):
                    rows = [answer.values[0].decode() for answer in client.read_until_ready(60) if answer.type == "D"]
                    if rows != [mine]:
                        wrong.append((mine, rows))
                client.terminate()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert not wrong
    wait_until_resting(daemon, count=2)


@also_cut
def test_trap_5_2_after_a_cancel_each_answer_belongs_to_its_own_query(tidepool, postgres):
    """And no ReadyForQuery of the cancel's own reaches the client (5.6)."""
    daemon = tidepool(pools=ONE)
    client = daemon.wire("bench")
    for turn in range(5):
        client.send(wire.query("select pg_sleep(600)") + wire.query(f"select 'behind {turn}'"))
        wait_until_running(postgres, "pg_sleep", database=daemon.databases["bench"])
        client.cancel()
        assert next(a for a in client.read_until_ready() if a.type == "E").fields["C"] == "57014"
        assert client.read_until_ready()[1].values == [f"behind {turn}".encode()]
        assert client.value(f"select 'then {turn}'") == f"then {turn}"
        assert client.is_silent(0.05)


@also_cut
@pytest.mark.parametrize("letter", ["Z", "E", "C", "T"])
def test_trap_5_2_payload_full_of_Z_is_not_ReadyForQuery(tidepool, letter):
    """Whatever a read begins with: the transaction goes on, its server is not lent, the answers are whole."""
    daemon = tidepool(pools=ONE)
    client, other = daemon.wire("bench"), daemon.wire("bench")
    client.ask("begin")
    other.send(wire.query("select 'other'"))
    for size in (1, 5, 6, 70_000):
        sql = f"select repeat('{letter}', {size}), '{letter * 7}'"
        for data in (wire.query(sql), wire.extended(sql) + wire.SYNC):
            row = next(answer for answer in answers_of(client, data) if answer.type == "D")
            assert row.values == [letter.encode() * size, letter.encode() * 7]
            assert client.status == "T"
    assert other.is_silent(0.05)
    client.ask("commit")
    client.terminate()
    assert other.read_until_ready()[1].values == [b"other"]


@also_cut
def test_trap_5_2_a_query_and_a_batch_in_one_packet_are_two_answers(tidepool):
    daemon = tidepool(pools=ONE)
    with daemon.wire("bench") as owner:
        owner.ask("create table done(a int)")
        owner.terminate()
    for _ in range(5):
        client = daemon.wire("bench")
        client.send(wire.query("select pg_sleep(0.05)") + wire.extended("insert into done values (1)") + wire.SYNC)
        assert [answer.type for answer in client.read_until_ready()] == ["T", "D", "C", "Z"]
        assert [answer.type for answer in client.read_until_ready()] == ["1", "2", "C", "Z"]
        client.send(wire.query("select pg_sleep(0.05)") + wire.extended("insert into done values (1)") + wire.SYNC)
        client.terminate()
    with daemon.wire("bench") as client:
        wait_until(lambda: client.value("select count(*) from done") == "10", "all was run")


def test_trap_5_2_a_client_that_leaves_behind_its_parse_leaves_no_lock(tidepool, postgres):
    daemon = tidepool(pools=ONE)
    client = daemon.wire("bench")
    client.ask("create table locked(a int)")
    server = backend_of(client)
    client.send(wire.extended("lock table locked in access exclusive mode") + wire.parse("select 1") + wire.FLUSH)
    client.read_until("1", "E")
    client.read_until("1", "E")
    client.close()
    with daemon.wire("bench") as following:
        assert following.value("select count(*) from locked") == "0"
        assert backend_of(following) == server
        assert following.value("select count(*) from pg_locks where relation = 'locked'::regclass") == "0"


# 5.3 Leaked session state


@also_cut
def test_trap_5_3_a_set_that_was_rolled_back_is_forgotten(tidepool):
    daemon = tidepool(pools=ONE)
    turns = {
        "rollback": ["begin", "set timezone to 'Asia/Tokyo'", "rollback"],
        "to a savepoint": ["begin", "savepoint s", "set timezone to 'Asia/Tokyo'", "rollback to s", "commit"],
        "released": ["begin", "savepoint s", "set timezone to 'Asia/Tokyo'", "release s", "commit"],
        "an error": ["begin", "set timezone to 'Asia/Tokyo'", "select 1/0", "commit"],
        "local": ["begin", "set local timezone to 'Asia/Tokyo'", "commit"],
    }
    for name, statements in turns.items():
        for startup in ({}, {"TimeZone": "Europe/Rome"}):
            with daemon.wire("bench", **startup) as client:
                for sql in statements:
                    client.ask(sql)
                now = client.value("show timezone")
                assert client.parameters["TimeZone"] == now, name
                assert (now == "Asia/Tokyo") == (name == "released"), name
                client.terminate()


@pytest.mark.parametrize("search_path", ["", '""', '"A b", c', "pg_catalog", '"$user", public', "'quoted'", 'a,"b""c"'])
def test_trap_5_3_a_search_path_is_never_quoted_again(tidepool, postgres, search_path):
    daemon = tidepool(pools=ONE)
    for _ in range(2):                              # by a dial, then from the book
        with daemon.wire("bench", search_path=search_path) as pooled, \
                directly(postgres, daemon.databases["bench"], search_path=search_path) as direct:
            for sql in ("show search_path", "select current_schemas(true)::text"):
                assert pooled.value(sql) == direct.value(sql)
            pooled.terminate()


@also_cut
def test_trap_5_3_values_may_be_long_and_differ_by_case_alone(tidepool):
    daemon = tidepool(pools=ONE)
    long = ", ".join(f"schema_{number}" for number in range(180))
    values = ["Value", "value", "VALUE", "x" * 127, "x" * 128, "x" * 129, "ÄÖ ü'\"\\", long]
    for value in values * 2:
        escaped = value.replace("\\", "\\\\").replace(" ", "\\ ")
        with daemon.wire("bench", options=f"-c app.own={escaped}", search_path=long) as client:
            assert client.value("show app.own") == value
            assert client.value("show search_path") == long
            client.terminate()


def test_trap_5_3_names_and_values_of_settings_are_never_part_of_sql(tidepool, postgres):
    """Nor is anything else that a client may choose before it is let in (5.1)."""
    daemon = tidepool(pools=ONE)
    evil = "x'; drop table kept; --"
    with daemon.wire("bench") as owner:
        owner.ask("create table kept(a int)")
        owner.terminate()
    with daemon.wire("bench", application_name=evil, **{"app.own": evil}) as client:
        assert client.value("show app.own") == evil and client.value("show application_name") == evil
        client.terminate()
    for name in ("work_mem = '1MB'; drop table kept; --", "work_mem'", "x y", ""):
        with pytest.raises(wire.LoginFailed) as pooled:
            daemon.wire("bench", options=f"--{name.replace(' ', chr(92) + ' ')}=1")
        with pytest.raises(wire.LoginFailed) as direct:
            directly(postgres, daemon.databases["bench"], options=f"--{name.replace(' ', chr(92) + ' ')}=1")
        assert pooled.value.fields["S"] == direct.value.fields["S"] == "FATAL"
    with daemon.wire("bench") as client:
        assert client.value("select count(*) from kept") == "0"


def test_trap_5_3_parameter_statuses_may_come_any_number_of_times_at_any_place(tidepool, fake_server):
    def script(server):
        server.log_in()
        def many(first):
            return b"".join(fakes.parameter_status("TimeZone", f"Zone/{first + n}") for n in range(5))
        server.serve({"many": many(0) + fakes.row_description("a") + many(5) + fakes.data_row("1") + many(10)
                      + fakes.complete("SELECT 1") + many(15) + fakes.ready() + many(20)})

    fake = fake_server(script)
    daemon = tidepool(pools={"bench": {"conninfo": fake.conninfo(), "min_size": 1, "max_size": 1}})
    client = daemon.wire("bench")
    answers = answers_of(client, wire.query("many"))
    assert [answer.type for answer in answers if answer.type != "S"] == ["T", "D", "C", "Z"]
    wait_until(lambda: [client.ask("x")] and client.parameters["TimeZone"] == "Zone/24", "the last one counts")
    assert sum(answer.type == "S" for answer in answers) == 20
    client.terminate()
    wait_until_resting(daemon)
    assert len(fake.connections) == 1, "nothing of that was out of step"


def test_trap_5_3_names_that_drivers_make_up_do_not_collide(tidepool):
    daemon = tidepool(pools=ONE)
    server = None
    for value in ("1", "2", "3"):
        with daemon.wire("bench") as client:
            data = wire.parse(f"select {value}", "_pg3_0") + wire.bind(statement="_pg3_0") + wire.execute() + wire.SYNC
            assert next(answer for answer in answers_of(client, data) if answer.type == "D").values == [value.encode()]
            server = server or backend_of(client)
            assert backend_of(client) == server
            (client.terminate if value == "1" else client.close)()


# 5.5 COPY


@also_cut
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("end", [wire.COPY_DONE, wire.copy_fail(), b""], ids=["CopyDone", "CopyFail", "vanishes"])
def test_trap_5_5_a_copy_that_fails_early_swallows_its_late_data_and_its_server_comes_back(tidepool, extended, end):
    daemon = tidepool(pools=ONE)
    client = daemon.wire("bench")
    client.ask("create table t(a int)")
    begin = wire.extended("copy t from stdin") if extended else wire.query("copy t from stdin")
    late = wire.copy_data("no number\n") + wire.copy_data("1\n") * 500 + end
    if end:
        client.send(begin + late + (wire.SYNC if extended else b"") + wire.query("select 'next'"))
        assert next(a for a in client.read_until_ready() if a.type == "E").fields["C"] == "22P02"
        assert client.read_until_ready()[1].values == [b"next"]
        client.terminate()
    else:
        client.send(begin + late)
        client.read_until("E")
        client.close()
    with daemon.wire("bench") as following:
        assert following.value("select count(*) from t") == "0"
