"""Kinds of steps of session scripts: DDL between executions, by the session itself, by another client of the pool, past the pool; temporary tables
that hide permanent ones. They work on objects of the script's own: OBJECTS of session_scripts.py.

No object is made that PostgreSQL would find in front of another one but temporary tables: what a text means is settled at its Parse on a direct connection,
where a copy that is made later on another server would find the new one. Texts have no literals that settings decide, as DDL makes PostgreSQL read
them again (docs/transaction-mode.md has both)."""

from harness.script_kinds import FORGOTTEN, OTHER, PAST, Send, kind, said
from harness.wire import SYNC, bind, close, describe, execute, extended, parse, query

# Text, number of parameters.
TEXTS = (
    ("select * from {c}.d order by 1", 0), ("insert into {c}.d(a) values ($1)", 1), ("update {c}.d set b = 'x' where a = $1", 1), ("select b from {c}.d where a = $1", 1),
    ("select count(*) from {c}.d where b = $1", 1), ("insert into {c}.d(a, b) values ($1, $2) returning a, b", 2), ("delete from {c}.d where a = $1", 1),
    ("select a, $1 as p from {c}.d order by 1, 2", 1), ("insert into {c}.e values ($1)", 1), ("select m from {c}.e order by 1", 0), ("select $1::{c}.mood", 1),
    ("update {c}.d set at = $1", 1), ("select {c}.f($1)", 1), ("select v.a from {c}.v v where v.a = $1", 1), ("select * from {c}.v order by 1", 0),
    ("select d from {c}.d order by a", 0), ("insert into {c}.d select a, b, at from {c}.d where a = $1", 1),
)
CHANGES = (
    "alter table {c}.d add column x int", "alter table {c}.d drop column if exists x", "alter table {c}.d alter a type bigint", "alter table {c}.d alter a type text",
    "alter table {c}.d alter a type smallint using 1", "alter table {c}.d rename b to bb", "alter table {c}.d rename bb to b", "alter table {c}.d alter at type timestamptz",
    "drop table {c}.d cascade; create table {c}.d(a text, b int, at date)", "drop table {c}.d cascade; create table {c}.d(a int, b text, at timestamp)",
    "alter table {c}.d rename to dd; create table {c}.d(b text, a int, at timestamp)", "create index on {c}.d(a)", "truncate {c}.d", "analyze {c}.d",
    "alter type {c}.mood add value if not exists 'glad'",
    "alter type {c}.mood rename to mood_before; create type {c}.mood as enum ('sad', 'happy', 'new'); alter table {c}.e alter m type {c}.mood using m::text::{c}.mood;"
    " drop type {c}.mood_before cascade",
    "create or replace function {c}.f(int) returns int language sql as 'select $1 + 100'", "drop function {c}.f(int); create function {c}.f(int) returns text language sql as 'select $1::text'",
    "create or replace view {c}.v as select a from {c}.d where a is not null", "drop view if exists {c}.v; create view {c}.v as select b as a from {c}.d",
    "drop view if exists {c}.v", "comment on table {c}.d is 'words'", "alter table {c}.d alter b set default 'z'", "alter table {c}.e alter m set not null", "drop table {c}.d cascade",
)
GOOD = ("1", "2", "3", "sad", "happy", "x", "2020-02-03 04:05:06", None, "3000000000")
NAMES = ("o1", "o2", "o3")


def values(w, count):
    return [w.r.choice(GOOD) for _ in range(count)]


def a_change(w):
    return w.r.choice(CHANGES).format(c=w.schema)


def changed(w, text):
    """By whom the schema is changed."""
    chance = w.r.random()
    if chance < 0.2:
        return (Send(query(text), by=OTHER),)
    if chance < 0.35:
        return (Send(query(text), by=PAST),)
    if ";" not in text and chance < 0.5:
        return said(extended(text), SYNC)
    return said(query(text))


def a_run(w, name, count):
    return said(bind(values(w, count), name), describe() if w.r.random() < 0.4 else b"", execute(), SYNC)


def prepares(w, name, text):
    return [close("S", name), parse(text.format(c=w.schema), name), describe("S", name) if w.r.random() < 0.5 else b""]


@kind(12, "O")
def ddl_between_executions(w):
    r = w.r
    name, (text, count) = r.choice(NAMES), r.choice(TEXTS)
    steps = [said(*prepares(w, name, text), SYNC)]
    for _ in range(r.randint(0, 2)):
        steps.append(a_run(w, name, count))
    steps += [changed(w, a_change(w)), a_run(w, name, count)]
    if r.random() < 0.6:
        again = r.choice([each for each in NAMES if each != name]) if r.random() < 0.5 else name
        steps.append(said(*prepares(w, again, text), SYNC) if r.random() < 0.5 else
                     said(*prepares(w, again, text), bind(values(w, count), again), describe() if r.random() < 0.5 else b"", execute(), SYNC))
        steps += [a_run(w, again, count), a_run(w, name, count)]
    w.own.update({name: count})
    return steps


@kind(4, "O")
def one_prepared_before_ddl_is_run(w):
    if not w.own:
        return ddl_between_executions(w)
    name = w.r.choice(sorted(w.own))
    return a_run(w, name, w.own[name])


@kind(4, "O")
def unnamed_after_ddl(w):
    text, count = w.r.choice(TEXTS)
    text = text.format(c=w.schema)
    steps = [said(parse(text), describe("S") if w.r.random() < 0.5 else b"", bind(values(w, count)), execute(), *FORGOTTEN, ready=2), changed(w, a_change(w))]
    # What is run again elsewhere, behind more DDL, is known to have the types of there.
    return [*steps, said(parse(text), bind(values(w, count)), describe(), execute(), *FORGOTTEN, ready=2)]


@kind(4, "OX")
def ddl_in_a_transaction(w):
    """What was parsed behind DDL that is rolled back is the session's own affair."""
    name, (text, count) = w.r.choice(NAMES), w.r.choice(TEXTS)
    w.in_transaction = False
    first = said(*prepares(w, name, text), SYNC)
    steps = [said(query("begin")), said(query(a_change(w)))]
    steps.insert(w.r.choice((0, 1, 2, 2)), first)
    if w.r.random() < 0.5:
        steps.append(a_run(w, name, count))
    steps.append(said(query(w.r.choice(("rollback", "rollback", "commit")))))
    steps += [a_run(w, name, count), said(*prepares(w, "o3", text), SYNC), a_run(w, "o3", count)]
    w.own.update({name: count, "o3": count})
    return steps


@kind(3, "O")
def ddl_and_statements_in_one_write(w):
    name, (text, count) = w.r.choice(NAMES), w.r.choice(TEXTS)
    change = a_change(w)
    changes = query(change) if ";" in change or w.r.random() < 0.6 else extended(change) + SYNC
    data = [*prepares(w, name, text), SYNC, changes, bind(values(w, count), name), execute(), SYNC, close("S", name), parse(text.format(c=w.schema), name),
            bind(values(w, count), name), describe(), execute(), SYNC]
    w.own[name] = count
    return said(*data, ready=4)


# Temporary tables in front of permanent ones

HIDDEN = (("delete from d where a = $1", 1), ("select * from d order by 1", 0), ("insert into d(a) values ($1)", 1), ("update d set a = $1", 1), ("select count(*) from d", 0))


def both_tables(w):
    return said(query("select * from pg_temp.d order by 1")), said(query(f"select * from {w.schema}.d order by 1"))


@kind(5, "OP")
def temporary_table_hides(w):
    r, (text, count) = w.r, w.r.choice(HIDDEN)
    steps = [said(query(f"set search_path to {w.schema}"))]
    had_temporary = w.had_temporary
    if r.random() < 0.3:
        steps += [said(query("create temp table whatever(a int)")), said(query("drop table whatever"))]
        had_temporary = True
    had_temporary &= not w.keeps_its_server
    # Behind temporary objects of before, a statement that was prepared since is known to differ (docs/transaction-mode.md).
    if had_temporary:
        steps.append(said(close("S", "h1"), close("S", "h2"), SYNC))
    if r.random() < 0.7 and not had_temporary:
        steps.append(said(*prepares(w, "h1", text), SYNC))
        steps += [a_run(w, "h1", count)] * r.randrange(2)
    made = r.choice(("create temp table d as select 1 as a, 'temporary' as b", "create temp table d(a text, b int)", "create temp view d as select 1 as a",
                     "select 2 as a into temp d", "create temp table d(a int, b text, at timestamp)"))
    steps += [said(query(made)), said(*prepares(w, "h1" if r.random() < 0.5 else "h2", text), SYNC), a_run(w, "h1", count), a_run(w, "h2", count), *both_tables(w)]
    if r.random() < 0.7:
        steps.append(said(query(r.choice(("discard temp", "drop view pg_temp.d" if "view" in made else "drop table pg_temp.d")))))
        steps += [a_run(w, "h1", count), said(*prepares(w, "h2", text), SYNC), a_run(w, "h2", count), said(query(f"select * from {w.schema}.d order by 1"))]
    return steps


@kind(4, "OX")
def temporary_table_of_a_transaction_hides(w):
    text, count = w.r.choice(HIDDEN)
    w.in_transaction = False
    steps = [said(query(f"set search_path to {w.schema}")), said(*prepares(w, "h1", text), SYNC), said(query("begin")),
             said(query("create temp table d(a int, b text) on commit drop")), said(*prepares(w, "h2", text), SYNC), a_run(w, "h2", count)]
    if w.had_temporary and not w.keeps_its_server:
        steps.append(said(close("S", "h1"), SYNC))
    return [*steps, a_run(w, "h1", count), said(query(w.r.choice(("commit", "rollback")))), a_run(w, "h1", count), a_run(w, "h2", count), said(query(f"select * from {w.schema}.d order by 1"))]


@kind(2, "OP")
def temporary_tables_with_columns_of_their_own(w):
    """One session after the other, each with the same texts."""
    column, value = w.r.choice((("integer", "1"), ("text", "a word"), ("date", "2026-01-01"), ("timestamp", "2026-01-01 12:34"), ("smallint", "2"), ("bigint", "4")))
    return [said(query(f"create temp table kept(x {column})")), said(parse("insert into kept(x) values ($1)"), describe("S"), bind([value]), execute(), *FORGOTTEN, ready=2),
            said(close("S", "o1"), parse("select x from kept", "o1"), bind((), "o1"), describe(), execute(), SYNC), said(bind((), "o1"), execute(), SYNC),
            said(query("drop table kept")), said(bind((), "o1"), execute(), SYNC)]
