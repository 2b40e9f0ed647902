"""Names of prepared statements (2 of the conformance list), in every mode: what PostgreSQL itself answers, while another client uses the same names
for other texts on the same servers."""

import pytest
from harness.conformance import Conversations, each_way, every_mode, pool_sizes, sqlstates, transactions, turns, values
from harness.wire import FLUSH, SYNC, bind, close, describe, execute, extended, parse, query


def run(name, *arguments):
    return bind(arguments, name) + describe() + execute()


NAMES = {
    "parsed once, run often": turns(parse("select $1::text, 'mine'", "s") + SYNC, run("s", "a") + SYNC, run("s", "b") + SYNC, run("s", "c") + run("s", "d") + SYNC),
    "described later": turns(parse("select $1::int as n, $2", "s") + SYNC, describe("S", "s") + SYNC, describe("S", "s") + run("s", 1, "x") + SYNC),
    "parsed twice": turns(parse("select 1", "s") + SYNC, parse("select 2", "s") + SYNC, run("s") + SYNC, (parse("select 3", "s") + FLUSH + SYNC, 1), run("s") + SYNC),
    "parsed twice in a batch": turns(parse("select 1", "s") + parse("select 2", "s") + run("s") + SYNC, run("s") + SYNC),
    "closed and parsed anew": turns(parse("select 'old'", "s") + SYNC, close("S", "s") + parse("select 'new'", "s") + SYNC, run("s") + SYNC),
    "closed and gone": turns(parse("select 1", "s") + SYNC, close("S", "s") + SYNC, run("s") + SYNC, describe("S", "s") + SYNC),
    "unknown names": turns(run("nothing") + SYNC, describe("S", "nothing") + SYNC, close("S", "nothing") + close("P", "nothing") + SYNC,
                           (run("nothing") + SYNC + extended("select 1") + SYNC, 2)),
    "many Closes": turns(b"".join(parse(f"select {n}", f"n{n}") for n in range(10)) + SYNC, b"".join(close("S", f"n{n}") for n in range(12)) + run("n3") + SYNC),
    "a Parse that fails": turns(parse("no SQL", "s") + SYNC, run("s") + SYNC, parse("select 1", "s") + SYNC, run("s") + SYNC),
    "a Parse behind an error": turns(extended("select 1/0") + parse("select 1", "s") + SYNC, run("s") + SYNC, parse("select 2", "s") + SYNC, run("s") + SYNC),
    "a Close behind an error": turns(parse("select 1", "s") + SYNC, extended("select 1/0") + close("S", "s") + SYNC, run("s") + SYNC),
    "a Parse in a batch that fails stays": turns(parse("select 1", "s") + extended("select 1/0") + SYNC, run("s") + SYNC, parse("select 2", "s") + SYNC),
    "the same text with other types": turns(parse("select $1", "a", [23]) + parse("select $1", "b", [25]) + parse("select $1", "c") + SYNC,
                                            *[describe("S", name) + run(name, "7") + SYNC for name in "abcabc"], run("a", "x") + SYNC),
    "the same text under many names": turns(b"".join(parse("select $1::int + 1", f"n{n}") for n in range(30)) + SYNC,
                                            *[run(f"n{n}", n) + SYNC for n in range(0, 30, 7)]),
    "DEALLOCATE by SQL": turns(parse("select 1", "s") + parse("select 2", "p") + SYNC, query("deallocate s"), run("s") + SYNC, run("p") + SYNC, query("deallocate s"),
                               parse("select 3", "s") + SYNC, run("s") + SYNC, extended("deallocate all") + SYNC, run("p") + SYNC, parse("select 4", "p") + run("p") + SYNC),
    "odd names": turns(*[parse(f"select '{number}'", name) + SYNC + b"" for number, name in enumerate(("S 1", "s\"'\\", "ä" * 40, "x" * 200, "tidepool_1"))],
                       *[run(name) + SYNC for name in ("S 1", "s\"'\\", "ä" * 40, "x" * 200, "tidepool_1", "tidepool_2")]),
    "DDL between": turns(parse("select * from t order by a", "s") + run("s") + SYNC, query("alter table log add column if not exists c int"), run("s") + SYNC,
                         query("insert into t values (1, 'one')"), run("s") + SYNC, query("alter table log drop column c"), run("s") + SYNC),
    "what a statement saw at its Parse": turns(query("set datestyle to 'SQL, DMY'"), parse("select '01/02/2020'::date", "s") + SYNC, query("set datestyle to 'ISO, MDY'"), run("s") + SYNC,
                                               query("set datestyle to 'German'"), run("s") + SYNC, close("S", "s") + parse("select '01/02/2020'::date", "s") + run("s") + SYNC),
    "names follow the search_path": turns(query("set search_path to one"),
                                          parse("select n from v", "s") + run("s") + SYNC, query("set search_path to two"), run("s") + SYNC,
                                          query("set search_path to one"), run("s") + SYNC),
    "a statement of the client's that changes settings": turns(parse("select set_config($1, $2, false)", "s") + SYNC, run("s", "TimeZone", "Asia/Tokyo") + SYNC, query("show timezone"),
                                                               run("s", "app.own", "mine") + SYNC, query("select current_setting('app.own')"), query("show timezone")),
}
for before in (parse("select 'old'", "s"), b""):
    for text in ("deallocate all", "discard all", "deallocate s"):
        for kind, forget in (("Query", (query(text), 1)), ("batch", (extended(text) + SYNC, 1))):
            # Behind the Parse, in front of another of the same name, all in one write.
            NAMES[f"{text} ({kind}) in a pipeline, {'after a Parse' if before else 'alone'}"] = turns(
                (before + SYNC + forget[0] + parse("select 'new'", "s") + run("s") + SYNC + run("s") + SYNC, 4), run("s") + SYNC)
    NAMES[f"deallocate all inside a batch, {'after a Parse' if before else 'alone'}"] = turns(
        before + extended("deallocate all") + parse("select 'new'", "s") + run("s") + SYNC, run("s") + SYNC, close("S", "s") + SYNC)


@each_way
@pool_sizes
@every_mode
@pytest.mark.timeout(240)
def test_names(tidepool, postgres, mode, size, pieces):
    both = Conversations(tidepool, postgres, mode, size)
    wrong = {}
    for name, conversation in NAMES.items():
        try:
            both.compare(conversation, pieces)
        except AssertionError as problem:
            wrong[name] = str(problem)[:3000]
    assert not wrong, "\n\n".join(f"{name}: {what}" for name, what in wrong.items())


@each_way
@transactions
def test_names_in_transactions(tidepool, postgres, mode, pieces):
    both = Conversations(tidepool, postgres, mode)
    both.compare(turns(query("begin"), parse("select 1", "s") + SYNC, query("rollback"), run("s") + SYNC), pieces)
    both.compare(turns(query("begin"), parse("no SQL", "s") + SYNC, parse("select 1", "s") + SYNC, query("rollback"), run("s") + SYNC), pieces)
    both.compare(turns(parse("select 1", "s") + SYNC, query("begin"), query("deallocate s"), query("rollback"), run("s") + SYNC), pieces)
    both.compare(turns(parse("select 1", "s") + SYNC, query("begin; select 1/0"), run("s") + SYNC, close("S", "s") + SYNC, query("rollback"), run("s") + SYNC), pieces)
    both.compare(turns(extended("begin") + extended("insert into log values (1)") + SYNC, parse("select a from log", "s") + run("s") + SYNC,
                       extended("commit") + SYNC, run("s") + SYNC), pieces)


@each_way
@every_mode
@pytest.mark.timeout(120)
def test_a_thousand_statements_over_an_lru_of_ten(tidepool, postgres, mode, pieces):
    both = Conversations(tidepool, postgres, mode, 2, **({} if mode == "session" else {"max_prepared_statements": 10}))
    count = 1000 if pieces is None else 100
    data = b"".join(parse(f"select {n}, $1::text", f"n{n}") + (SYNC if n % 10 == 9 else b"") for n in range(count))
    again = b"".join(run(f"n{n * 7 % count}", "x") + (SYNC if n % 5 == 4 else b"") for n in range(200))
    both.compare(turns((data, count // 10), (again, 40), (again, 40)), pieces)
    if mode == "session":
        return
    for resting in both.daemon.backends("bench"):
        assert resting
    with both.daemon.wire("bench") as client:
        assert int(client.value("select count(*) from pg_prepared_statements")) <= 11


@each_way
@every_mode
def test_a_plan_whose_result_changes_is_told_to_who_was_told_another_shape_and_to_who_was_not(tidepool, postgres, mode, pieces):
    both = Conversations(tidepool, postgres, mode)
    with both.daemon.wire("bench") as client:
        def ask(data):
            client.send(data, pieces=pieces)
            return [(answer.type, answer.body) for answer in client.read_until_ready()]
        both.owner.ask("create table changing(a int); insert into changing values (1)")
        ask(parse("select * from changing", "told") + describe("S", "told") + SYNC)
        assert values(ask(bind((), "told") + execute() + SYNC)) == [[b"1"]]
        ask(parse("select * from changing where a > 0", "untold") + SYNC)
        assert values(ask(bind((), "untold") + execute() + SYNC)) == [[b"1"]]
        both.owner.ask("alter table changing add column b int default 2")
        assert sqlstates(ask(bind((), "told") + execute() + SYNC)) == ["0A000"]
        assert sqlstates(ask(bind((), "untold") + execute() + SYNC)) == ["0A000"]
        assert values(ask(query("select 'goes on'"))) == [[b"goes on"]]
        client.terminate()
