"""Who was told what the rows of a prepared statement look like gets no others, wherever it goes on: what a direct connection says to it
after DDL, any server of the pool says. Rows of docs/transaction-mode.md."""

from contextlib import contextmanager

import pytest
from harness import wire
from harness.sessions import backend_of, directly
from harness.shared_servers import OTHERS_SETTINGS, transaction_pool
from harness.waiting import wait_until

CHANGED = "cached plan must not change result type"
DESCRIBED = wire.describe("S", "s") + wire.SYNC
USED = wire.bind((), "s") + wire.describe() + wire.execute() + wire.SYNC


class Servers:
    """Both servers of a pool, each kept by a client of ours, so that all others get the one that is lent."""

    def __init__(self, daemon, settings=()):
        self.keepers = [daemon.wire("bench") for _ in range(2)]
        for keeper in self.keepers:
            for text in settings:
                keeper.rows(text)
            keeper.rows("listen kept")
        self.pids = [backend_of(keeper) for keeper in self.keepers]
        assert len(set(self.pids)) == 2

    @contextmanager
    def only(self, number):
        self.keepers[number].rows("unlisten *")
        yield
        self.keepers[number].rows("listen kept")
        assert backend_of(self.keepers[number]) == self.pids[number]


class Side:
    """A session through the pool, or directly: what is compared of its answers are types, errors, rows and descriptions."""

    def __init__(self, client, pieces=None):
        self.client, self.pieces = client, pieces

    def says(self, *batches):
        found = []
        for batch in batches:
            self.client.send(wire.query(batch) if isinstance(batch, str) else batch, pieces=self.pieces)
            for _ in range(1 if isinstance(batch, str) else batch.count(wire.SYNC)):
                found.append(self._answers())
        return found

    def _answers(self):
        answers = [answer for answer in self.client.read_until_ready() if answer.type not in "SN"]
        # A Describe of a statement whose rows have changed fails behind its ParameterDescription there, here without it.
        types = [answer.type for answer in answers]
        if types[-3:-1] == ["t", "E"]:
            del answers[-3]
        return [(answer.type, {key: answer.fields[key] for key in "SCM"} if answer.type == "E" else answer.body) for answer in answers]


def errors_in(answers):
    return [answer[1]["C"] for batch in answers for answer in batch if answer[0] == "E"]


each_way = pytest.mark.parametrize("pieces", [None, 1], ids=["whole", "byte by byte"])
both_modes = pytest.mark.parametrize("mode", ["transaction", "statement"])
# Whether the session's settings have to be set in front of its message, since others had the server.
in_front = pytest.mark.parametrize("others", [(), (OTHERS_SETTINGS,)], ids=["as they are", "settings in front"])


@pytest.fixture
def place(tidepool, postgres):
    def make(mode="transaction", pieces=None, others=()):
        daemon = tidepool(pools=transaction_pool(2, **{"mode": mode, "max_pinned": 2}))
        database = daemon.databases["bench"]
        owner = directly(postgres, database)
        owner.rows("create table t as select 1 as a, 'x'::varchar(5) as c")
        return Servers(daemon, others), Side(daemon.wire("bench"), pieces), Side(directly(postgres, database), pieces), owner
    return make


@in_front
@each_way
@both_modes
@pytest.mark.parametrize("tell", [DESCRIBED, USED], ids=["the statement", "a portal"])
def test_after_ddl_who_was_told_the_old_rows_gets_an_error_on_another_server_too(place, mode, pieces, others, tell):
    servers, session, _, owner = place(mode, pieces, others)
    parse = wire.parse("select * from t", "s") + wire.SYNC
    with servers.only(0):
        session.says(parse, tell)
        assert errors_in(session.says(USED)) == []
    with servers.only(1):
        assert errors_in(session.says(USED, USED)) == []
    owner.rows("alter table t add column b int default 2")
    for number in (0, 1, 0, 1):
        with servers.only(number):
            session.client.send(USED)
            error = next(answer.fields for answer in session.client.read_until_ready() if answer.type == "E")
            assert {key: error[key] for key in "SVCMFR"} == {"S": "ERROR", "V": "ERROR", "C": "0A000", "M": CHANGED, "F": "plancache.c",
                                                             "R": "RevalidateCachedQuery"}
    # As drivers do. On the other server that is known, too.
    with servers.only(1):
        answers = session.says(wire.close("S", "s") + wire.SYNC, parse, DESCRIBED, USED)
        assert errors_in(answers) == []
    with servers.only(0):
        assert session.says(USED)[0] == answers[-1]
    assert [body for kind, body in answers[-1] if kind == "D"] == [b"\0\3\0\0\0\x011\0\0\0\1x\0\0\0\0012"]


# (text, values); nothing is inserted, since both sides see one table.
TEXTS = [
    ("select * from t", ()),
    ("select * from t where a = $1::int", (1,)),
    ("select a from t", ()),
    ("insert into t (a) select 7 where false", ()),
    ("insert into t (a) select 7 where $1::int = 0 returning *", (8,)),
    ("select case when $1::int = 1 then 'a'::varchar(5) else 'b'::varchar(7) end, a from t", (1,)),     # its plan knows the type modifier
    ("rollback", ()),
]
CHANGES = ["select 1", "alter table t add column b int", "alter table t alter column a type bigint", "alter table t rename column a to z",
           "alter table t alter column c type varchar(9)", "drop table t", "drop table t; create table t as select 1 as a, 'x'::varchar(5) as c",
           "alter table t add column b int; alter table t drop column b"]


@pytest.mark.parametrize("by_portal", [False, True], ids=["the statement", "a portal"])
@pytest.mark.parametrize("change", CHANGES)
def test_after_any_ddl_another_server_says_what_a_direct_connection_does(place, change, by_portal):
    servers, session, direct, owner = place()

    def told(name, sql, values):
        tells = wire.bind(values, name) + wire.describe() + wire.execute() if by_portal else wire.describe("S", name)
        return wire.parse(sql, name) + tells + wire.SYNC

    with servers.only(0):
        for number, (sql, values) in enumerate(TEXTS):
            step = told(f"s{number}", sql, values)
            assert session.says(step) == direct.says(step)
    owner.rows(change)
    with servers.only(1):
        for number, (sql, values) in enumerate(TEXTS):
            use = wire.bind(values, f"s{number}") + wire.execute() + wire.SYNC
            described = wire.describe("S", f"s{number}") + wire.SYNC
            # What has no rows is described directly without a look at its table; here it is parsed for that.
            looks = [] if sql.startswith("insert") and "returning" not in sql else [described]
            for step in (use, *looks, use, "begin", use, use, "rollback", use + use, wire.parse("select 7", f"other {number}") + wire.SYNC + use, *looks):
                assert session.says(step) == direct.says(step), (sql, step)


@each_way
@both_modes
def test_in_a_pipeline_what_is_in_front_and_behind_is_as_directly(place, mode, pieces):
    servers, session, direct, owner = place(mode, pieces)
    tells = wire.parse("select * from t", "s") + wire.describe("S", "s") + wire.parse("select a from t", "same") + wire.describe("S", "same") + wire.SYNC
    with servers.only(0):
        assert session.says(tells) == direct.says(tells)
    owner.rows("alter table t add column b int")
    pipeline = (wire.extended("select 1", (), "one") + wire.bind((), "same") + wire.execute() + wire.bind((), "s") + wire.describe() + wire.execute()
                + wire.bind((), "one") + wire.execute() + wire.SYNC
                + wire.bind((), "same") + wire.execute() + wire.SYNC + wire.close("S", "s") + wire.parse("select * from t", "s") + wire.describe("S", "s")
                + wire.bind((), "s") + wire.execute() + wire.SYNC)
    with servers.only(1):
        assert session.says(pipeline) == direct.says(pipeline)


def test_in_a_transaction_its_own_ddl_counts(place):
    servers, session, direct, owner = place()
    tells = [wire.parse("select * from t", "s") + DESCRIBED]
    steps = ["begin", "savepoint a", USED, "alter table t add column b int", USED, USED, "rollback to a", USED, "alter table t drop column c", USED, "rollback", USED]
    with servers.only(0):
        assert session.says(*tells) == direct.says(*tells)
    there = direct.says(*steps)
    with servers.only(1):
        here = session.says(*steps)
        assert here == there
    assert errors_in(here) == ["0A000", "25P02", "0A000"]


def test_what_rows_look_like_is_asked_for_once_on_a_server(place):
    servers, session, _, owner = place()
    count = "select count(*) from pg_prepared_statements where not from_sql"
    with servers.only(0):
        session.says(wire.parse("select * from t", "s") + DESCRIBED)
    with servers.only(1):
        for _ in range(3):
            assert errors_in(session.says(USED)) == []
    assert [keeper.value(count) for keeper in servers.keepers] == ["1", "1"]
    names = "select name from pg_prepared_statements where not from_sql"
    assert [keeper.value(names).rpartition("_")[2] for keeper in servers.keepers] == ["1", "1"]


# While the relay asks

def begin_to_ask(servers, session, owner, postgres):
    """`session` was told, and has come to another server, where the question waits for a lock of `owner`'s."""
    with servers.only(0):
        session.says(wire.parse("select * from t", "s") + DESCRIBED)
    owner.rows("begin; lock table t in access exclusive mode")
    servers.keepers[1].rows("unlisten *")
    session.client.send(USED)
    wait_until(lambda: any(row["pid"] == servers.pids[1] and row["wait_event"] == "relation" for row in postgres.backends()), "the question waits")


@contextmanager
def asking(servers, session, owner, postgres):
    begin_to_ask(servers, session, owner, postgres)
    yield
    if owner.status != "I":
        owner.rows("rollback")
    servers.keepers[1].rows("listen kept")


def test_what_waits_for_the_question_goes_on_when_it_is_answered(place, postgres):
    servers, session, _, owner = place()
    with asking(servers, session, owner, postgres):
        assert session.client.is_silent()
        owner.rows("commit")
        assert [answer.type for answer in session.client.read_until_ready()] == ["2", "T", "D", "C", "Z"]


def test_a_cancel_ends_the_question_and_the_session_goes_on(place, postgres):
    servers, session, _, owner = place()
    with asking(servers, session, owner, postgres):
        session.client.cancel()
        assert [answer.fields["C"] for answer in session.client.read_until_ready() if answer.type == "E"] == ["57014"]
        owner.rows("rollback")
        assert errors_in(session.says(USED)) == []


def test_who_vanishes_while_the_relay_asks_leaves_a_server_for_others(place, postgres):
    servers, session, _, owner = place()
    with asking(servers, session, owner, postgres):
        session.client.close()
    with servers.only(1):
        assert servers.keepers[1].value("select count(*) from pg_prepared_statements") == "0"


def test_a_server_that_dies_while_it_is_asked_is_told_to_its_client_alone(place, postgres):
    servers, session, _, owner = place()
    begin_to_ask(servers, session, owner, postgres)
    postgres.execute("select pg_terminate_backend(%s)", [servers.pids[1]])
    assert [answer.fields["C"] for answer in session.client.read_until_closed() if answer.type == "E"] == ["57P01"]
    owner.rows("rollback")
    assert servers.keepers[1].value("select 1") == "1"
