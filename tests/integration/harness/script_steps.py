"""The kinds of steps of session scripts: each is a function of the script in the making (session_scripts.py) that returns what is sent."""

import struct
from dataclasses import dataclass

from harness import script_settings
from harness.script_replies import spoken
from harness.wire import COPY_DONE, FLUSH, SYNC, bind, close, copy_data, copy_fail, describe, execute, extended, message, parse, query


@dataclass(frozen=True)
class Send:
    """Bytes, and what the client waits for before it goes on: until so many ReadyForQuery have come in this step, or for a message of one of
    these types (or a ReadyForQuery, whatever comes first). `cancel`: first a cancel request, if a message of that type ended the last wait."""
    data: bytes
    ready: int = 0
    types: str = ""
    cancel: str = ""


@dataclass(frozen=True)
class Step:
    kind: str
    sends: tuple

    def __str__(self):
        return f"{self.kind}: " + " | ".join(
            (f"[cancel] {spoken(send.data)}" if send.cancel else spoken(send.data)) for send in self.sends)


def said(*data, ready=1):
    return (Send(b"".join(data), ready),)


# Ends a batch, and no unnamed statement of it is left.
FORGOTTEN = (SYNC, close("S"), SYNC)

# What a step may be: (weight, kinds). P: keeps the server; X: an explicit transaction.
KINDS = {}


def kind(weight, flags=""):
    def register(function):
        KINDS[function.__name__] = (weight, flags, function)
        return function
    return register


# Plain statements

@kind(10)
def simple_query(w):
    return said(query(w.simple()))


@kind(4)
def several_statements(w):
    texts = [w.simple() for _ in range(w.r.randint(2, 4))]
    if w.r.random() < 0.3:
        texts.insert(w.r.randrange(len(texts) + 1), w.wrong())
    return said(query("; ".join(texts)))


@kind(4)
def an_error(w):
    return said(query(w.wrong()))


@kind(1)
def notices(w):
    return said(query("do $$ begin raise notice 'a notice'; raise warning 'a warning'; raise info 'for your information'; end $$"))


@kind(2)
def queries_in_one_write(w):
    texts = [w.wrong() if w.r.random() < 0.2 else w.simple() for _ in range(w.r.randint(2, 6))]
    return said(*map(query, texts), ready=len(texts))


@kind(1)
def function_call(w):
    arguments = [b"-41"] * w.r.choice((1, 1, 1, 2))
    body = struct.pack("!IHH", 1397, 0, len(arguments)) + b"".join(struct.pack("!i", len(a)) + a for a in arguments)
    return said(message("F", body + struct.pack("!H", 0)))


# Transactions

@kind(9, "X")
def begin(w):
    again, w.in_transaction = w.in_transaction, True
    text = w.r.choice(("begin", "begin", "begin", "start transaction", "begin isolation level serializable", "begin read only",
                       "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ", "/* c */ begin; select 1", "begin; set local work_mem to '3MB'",
                       "begin; set transaction isolation level repeatable read"))
    if again and "isolation" in text.lower():
        text = "begin"                  # behind a RESET ALL in this transaction it is known to fail
    if ";" not in text and w.r.random() < 0.2:
        return said(extended(text), SYNC)
    if ";" not in text and w.r.random() < 0.2:
        return said(extended(text), extended(w.simple()), SYNC)
    return said(query(text))


@kind(1, "X")
def end_transaction(w):
    text = w.r.choice(("commit", "commit", "commit", "rollback", "rollback", "end", "abort", "commit and chain", "rollback and chain",
                       "commit; select 1", "select 2; commit"))
    w.in_transaction = "chain" in text
    if ";" not in text and w.r.random() < 0.2:
        return said(extended(text), SYNC)
    return said(query(text))


@kind(3, "X")
def savepoints(w):
    inside = w.r.choice((script_settings.change(w), w.simple(), script_settings.change(w), w.wrong()))
    name = w.r.choice(("a", "b", '"A b"'))
    steps = [said(query(f"savepoint {name}")), said(query(inside))]
    end = w.r.choice((f"rollback to {name}", f"rollback to savepoint {name}", f"release {name}", f"release savepoint {name}", None))
    if end:
        steps.append(said(query(end)))
    steps.append(said(query(script_settings.look(w))))
    if not w.in_transaction and w.r.random() < 0.9:
        w.in_transaction = w.r.random() < 0.3
        steps = [said(query("begin")), *steps] + ([] if w.in_transaction else [said(query(w.r.choice(("commit", "rollback"))))])
    return steps


@kind(1, "X")
def transaction_in_one_write(w):
    texts = ["begin", script_settings.change(w, False), w.simple(), w.r.choice(("commit", "rollback", "select 1/0; commit"))]
    w.in_transaction = False
    return said(*map(query, texts), ready=4)


@kind(1, "X")
def transaction_in_one_query(w):
    w.in_transaction = False
    # On lines of their own: one may be a comment.
    return said(query(f"begin; {script_settings.change(w, False)};\n{w.simple()};\n{w.r.choice(('commit', 'rollback'))};\n{w.simple()}"))


# Settings

@kind(14)
def a_change_of_settings(w):
    text = script_settings.change(w)
    return said(extended(text), SYNC) if w.r.random() < 0.2 else said(query(text))


@kind(14)
def a_look_at_settings(w):
    text = script_settings.look(w)
    return said(extended(text), SYNC) if w.r.random() < 0.2 else said(query(text))


@kind(2)
def set_and_show_custom(w):
    """Not by SHOW: it has the spelling of whoever named the setting first on that server. One step, for a query without the SET before it is
    an error on a new server and '' on others (fact 6)."""
    name, value = w.r.choice(script_settings.CUSTOM), w.r.choice(script_settings.CUSTOM_VALUES if w.exact else script_settings.CUSTOM_VALUES[:-1])
    return (Send(query(f"set {name} to {script_settings.quoted(value)}"), ready=1), Send(query(f"select nullif(current_setting('{name}', true), '')"), ready=2))


@kind(2)
def several_changes(w):
    texts = [script_settings.change(w, False) for _ in range(w.r.randint(2, 4))]
    if w.r.random() < 0.3:
        texts.append(w.wrong())
    return [said(query("; ".join(texts))), said(query(script_settings.look(w)))]


@kind(2)
def set_config_with_parameters(w):
    name, value = script_settings.pair(w)
    local = w.r.choice(("false", "true", "f", "0"))
    statement = w.r.choice(("", "", "sc"))
    w.named.pop(statement, None)
    return said(close("S", statement), parse("select set_config($1, $2, $3)", statement), bind([name, value, local], statement), execute(), SYNC)


@kind(1)
def reset_all(w):
    if w.startup and not w.exact:
        return said(query("reset no_such_setting"))
    return [said(query(w.r.choice(("reset all", "RESET ALL", "reset /* x */ all; select 1")))), said(query(script_settings.look(w)))]


@kind(2)
def discard(w):
    text = w.r.choice(("discard all", "discard all", "DISCARD ALL;", "discard plans", "discard sequences", "discard temp"))
    if text == "discard plans" and w.named:
        text = "discard temp"           # it makes PostgreSQL read the session's statements again, which is known to differ
    if "all" in text.lower() and not w.in_transaction:
        w.named.clear()
    return [said(extended(text), SYNC) if w.r.random() < 0.3 else said(query(text)), said(query(script_settings.look(w)))]


@kind(0)
def all_settings(w):
    return said(query("select name, setting from pg_settings where setting is distinct from boot_val and category <> 'Customized Options'"
                      " order by name"))


# Prepared statements of the protocol

TEXTS = (
    ("reset all", 0, ()),
    ("select $1::text", 1, ()), ("select $1", 1, ()), ("select $1", 1, (23,)), ("select $1", 1, (25,)), ("select $1::int + $2::int", 2, ()),
    ("select 7", 0, ()), ("select n from shared.numbers where n <= $1::int order by n", 1, ()), ("select v from w", 0, ()),
    ("select '01/02/2020'::date", 0, ()), ("select current_user, current_setting('TimeZone'), current_setting('application_name')", 0, ()),
    ("insert into {c}.t values ($1::int, 'p') returning a", 1, ()), ("delete from {c}.t where a = $1::int", 1, ()),
    ("select * from {c}.t order by a", 0, ()), ("set timezone to 'Asia/Tokyo'", 0, ()), ("", 0, ()), ("select 1/$1::int", 1, ()),
    ("select set_config('work_mem', '5MB', $1::bool)", 1, ()), ("show datestyle", 0, ()), ("select no_such_column", 0, ()),
    ("select pg_typeof($1)::text, $1::text", 1, (1700,)), ("select 'ä', length('ä')", 0, ()),
)
NAMES = ("s1", "s2", "S 1", "_pg3_0", "__asyncpg_stmt_1__")


def values_for(w, count):
    return [w.r.choice(("1", "2", "5", "x", "", None) if w.r.random() < 0.2 else ("1", "2", "3", "7")) for _ in range(count)]


def a_text(w):
    text, count, types = w.r.choice(TEXTS if not w.startup else TEXTS[1:])
    return text.format(c=w.schema), count, types


def a_parse(w, name):
    text, count, types = a_text(w)
    if name not in w.named or name == "":
        w.named[name] = count
    return parse(text, name, types)


def a_run(w, name, rows=0):
    return bind(values_for(w, w.named.get(name, 0)), name) + (describe() if w.r.random() < 0.5 else b"") + execute("", rows)


def pieces_of_a_batch(w):
    """The messages of one batch, without its Sync."""
    r = w.r
    name = r.choice(NAMES) if r.random() < 0.75 else ""
    what = r.random()
    if what < 0.25:
        return a_parse(w, name)
    if what < 0.45 and w.named:
        return a_run(w, r.choice(sorted(w.named)))
    if what < 0.6:
        prefix = close("S", name) if name and r.random() < 0.8 else b""
        if prefix:
            w.named.pop(name, None)
        return prefix + a_parse(w, name) + (describe("S", name) if r.random() < 0.4 else b"") + a_run(w, name)
    if what < 0.7:
        w.named.pop(name, None)
        return close("S", name)
    if what < 0.8:
        return describe("S", name)
    if what < 0.85:
        return r.choice((bind((), "unknown") + execute(), describe("S", "unknown"), describe("P", "unknown"), execute("unknown"),
                         close("S", "unknown"), close("P", "unknown")))
    if what < 0.95:
        return extended(w.simple())
    return extended(w.wrong())


@kind(16)
def batch(w):
    return said(*[pieces_of_a_batch(w) for _ in range(w.r.randint(1, 3))], SYNC)


@kind(8)
def batches_without_reading(w):
    count, data = w.r.randint(2, 6), b""
    ready = 0
    for _ in range(count):
        what = w.r.random()
        if what < 0.15:
            data += query(w.simple())
            ready += 1
        elif what < 0.25:
            data += SYNC * 2
            ready += 2
        elif what < 0.35:
            data += query(script_settings.change(w, False))
            ready += 1
        else:
            data += pieces_of_a_batch(w) + pieces_of_a_batch(w) * (w.r.random() < 0.5) + SYNC
            ready += 1
    return (Send(data, ready),)


@kind(4)
def named_and_run_later(w):
    """Parsed in one batch, run in others: on another server, often."""
    name = w.r.choice(NAMES)
    w.named.pop(name, None)
    steps = [said(close("S", name), a_parse(w, name), *([describe("S", name)] if w.r.random() < 0.5 else []), SYNC)]
    for _ in range(w.r.randint(1, 3)):
        if w.r.random() < 0.3:
            steps.append(said(query(w.r.choice((w.simple(), script_settings.change(w))))))
        steps.append(said(a_run(w, name), SYNC))
    return steps


@kind(2)
def a_live_name_again(w):
    name = w.r.choice(NAMES)
    data = [close("S", name), a_parse(w, name), SYNC, parse("select 'another'", name), SYNC, bind((), name), execute(), SYNC]
    return said(*data, ready=3)


@kind(2)
def same_text_other_types(w):
    first, second = w.r.sample(("s1", "s2", "S 1"), 2)
    types = w.r.sample((23, 25, 1700, 0, 701), 2)
    w.named[first] = w.named[second] = 1
    return said(close("S", first), close("S", second), parse("select $1", first, types[:1]), parse("select $1", second, types[1:]),
                *[describe("S", n) + bind(["3"], n) + describe() + execute() for n in (first, second, first)], SYNC)


@kind(3)
def unnamed_again(w):
    """Parsed, then used behind its Sync."""
    steps = [said(a_parse(w, ""), SYNC)]
    if w.r.random() < 0.3:
        steps.append(said(query(w.simple())))       # which destroys it
    return steps + [said(a_run(w, ""), SYNC), said(describe("S"), a_run(w, ""), SYNC)]


@kind(2)
def failed_parse_of_the_unnamed(w):
    return said(parse("select 'old'"), SYNC, parse("no SQL"), SYNC, bind(), execute(), SYNC, ready=3)


@kind(3, "X")
def portal_in_portions(w):
    portal = w.portal()
    data = [parse("select generate_series(1, 7)"), bind(portal=portal)]
    cut = w.r.randrange(4)
    for position in range(4):
        data.append(execute(portal, w.r.choice((1, 3, 0))))
        if position == cut:
            data.append(SYNC)
    ready = 1 + sum(each is SYNC for each in data)
    return said(*data, close("P", portal), SYNC, ready=ready)


@kind(2)
def portal_in_portions_of_a_batch(w):
    portal = w.r.choice(("", w.portal()))
    return said(parse("select generate_series(1, 7)"), bind(portal=portal), execute(portal, 3), execute(portal, 2), execute(portal, 5), SYNC)


@kind(1)
def portal_of_another_transaction(w):
    portal = w.portal()
    return said(parse("select 1"), bind(portal=portal), SYNC, execute(portal), SYNC, ready=2)


@kind(3)
def flush_and_wait(w):
    name = w.r.choice(("", "s2"))
    w.named.pop(name, None)
    first = close("S", name) + a_parse(w, name) + describe("S", name) + FLUSH
    return (Send(first, types="TnE"), Send(a_run(w, name) + FLUSH * w.r.randrange(2) + SYNC, ready=1))


@kind(1)
def flushes(w):
    return said(FLUSH, parse("select 1"), FLUSH, bind(), FLUSH, FLUSH, execute(), FLUSH, SYNC, FLUSH, SYNC, ready=2)


@kind(3)
def error_in_a_batch(w):
    return said(pieces_of_a_batch(w), extended(w.simple()), extended(w.wrong()), pieces_of_a_batch(w), SYNC, extended(w.simple()), SYNC, ready=2)


@kind(2)
def deallocate(w):
    name = w.r.choice(NAMES + ("unknown", "all"))
    text = "deallocate " + (name if name == "all" else f'"{name}"')
    if not w.in_transaction:
        w.named = {} if name == "all" else {each: count for each, count in w.named.items() if each != name}
    if w.r.random() < 0.4:
        return said(extended(text), *FORGOTTEN, ready=2)
    return said(query(w.r.choice((text, text, f"select 1; {text}"))))


@kind(2)
def forgotten_in_a_pipeline(w):
    text = w.r.choice(("deallocate all", "discard all", "deallocate s1"))
    w.named = {"s1": 0}
    before = close("S", "s1") + parse("select 'old'", "s1")
    after = parse("select 'new'", "s1") + bind((), "s1") + execute()
    return w.r.choice((
        said(before, extended(text), after, *FORGOTTEN, ready=2), said(before, SYNC, extended(text), SYNC, after, *FORGOTTEN, ready=4),
        said(before, SYNC, query(text), after, SYNC, ready=3), said(before, SYNC, extended(text), after, *FORGOTTEN, ready=3),
        said(before, SYNC, query(text), bind((), "s1"), execute(), SYNC, parse("select 'again'", "s1"), SYNC, ready=4),
    ))


# COPY

@kind(3)
def copy_in(w):
    r, c = w.r, w.schema
    rows = b"".join(copy_data(f"{n}\n") for n in range(r.randrange(5)))
    if r.random() < 0.25:
        rows += copy_data("no number\n") + copy_data("1\n") * 20
    end = copy_fail() if r.random() < 0.2 else COPY_DONE
    text = r.choice((f"copy {c}.u from stdin", f"copy {c}.u from stdin", f"copy {c}.nothing from stdin", f"select 1; copy {c}.u from stdin; select 2"))
    if ";" in text or r.random() < 0.6:
        return said(query(text), rows, end)
    # The statement must not stay there: who runs it again by chance and says no data has broken the protocol, or waits for ever.
    if r.random() < 0.5:
        return said(extended(text), rows, end, *FORGOTTEN, ready=2)
    return (Send(extended(text) + FLUSH, types="GE"), Send(b"".join((rows, end, *FORGOTTEN)), ready=2))


@kind(2)
def copy_out(w):
    text = w.r.choice(("copy (select n, words from shared.numbers where n < 50 order by n) to stdout", f"copy {w.schema}.u to stdout (format csv)",
                       "copy (select 10 / (5 - n) from generate_series(1, 9) n) to stdout", "copy (select 1) to stdout (format binary)"))
    if text.startswith(f"copy {w.schema}"):
        text = f"copy (select a from {w.schema}.u order by a) to stdout (format csv)"
    return said(extended(text), SYNC) if w.r.random() < 0.4 else said(query(text))


# What stays with a server

@kind(3, "P")
def temporary_table(w):
    r = w.r
    name = r.choice(("tt", "t", '"T t"'))
    end = r.choice(("", "", "", " on commit drop", " on commit delete rows"))
    steps = [said(query(f"create temp table {name}(a int){end}")), said(query(f"insert into pg_temp.{name} values (1), (2)"))]
    steps.append(said(query(f"select * from pg_temp.{name} order by a")))
    if r.random() < 0.4:
        steps.append(said(query(f"drop table {name}" if name == '"T t"' and r.random() < 0.6 else "discard temp")))
        steps.append(said(query(f"select * from pg_temp.{name}")))
    return steps


@kind(1, "P")
def temporary_things(w):
    return [said(query(w.r.choice(("create temp sequence ts; select nextval('ts')", "select 1 as a into temp into_temp", "create temp view tv as select 1",
                                   "create table pg_temp.by_name as select 2", "create function pg_temp.f() returns int language sql as 'select 3'; select pg_temp.f()",
                                   "set search_path to pg_temp; create table here(a int)")))),
            said(query("select count(*) from pg_temp.into_temp")), said(query("select * from pg_temp.by_name"))]


@kind(1, "X")
def cursor(w):
    steps = ["declare c cursor for select n from shared.numbers order by n", "fetch 3 from c", "move 2 in c", "fetch backward 1 from c",
             w.r.choice(("close c", "close all", "select 1"))]
    if not w.in_transaction:
        steps = ["begin", *steps, w.r.choice(("commit", "rollback"))]
    return [said(query(text)) for text in steps]


@kind(2, "P")
def holdable_cursor(w):
    steps = ["declare h cursor with hold for select n from shared.numbers order by n limit 9", "fetch 3 from h", w.simple(), "fetch 2 from h",
             w.r.choice(("close h", "close all", "fetch all from h", "discard all"))]
    return [said(query(text)) for text in steps]


@kind(3, "P")
def listen(w):
    channel = w.channel()
    steps = [f"listen {channel}", f"notify {channel}, 'payload'", w.simple(), f"select pg_notify('{channel}', 'again')"]
    if w.r.random() < 0.5:
        steps += [w.r.choice((f"unlisten {channel}", "unlisten *", "discard all")), f"notify {channel}"]
    return [said(query(text)) for text in steps]


@kind(1)
def notify(w):
    return said(query(w.r.choice((f"notify {w.channel()}, 'nobody listens'", "unlisten *", f"unlisten {w.channel()}"))))


@kind(3, "P")
def session_lock(w):
    key = w.key()
    steps = [w.r.choice((f"select pg_advisory_lock({key})", f"select pg_try_advisory_lock({key})", f"select pg_try_advisory_lock_shared({key}, 7)")),
             f"select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and classid + objid = {key}", w.simple()]
    if w.r.random() < 0.7:
        steps += [w.r.choice((f"select pg_advisory_unlock({key})", "select pg_advisory_unlock_all()", f"select pg_advisory_unlock_shared({key}, 7)", "discard all")),
                  f"select pg_advisory_unlock({key})"]
    return [said(query(text)) for text in steps]


@kind(2)
def transaction_lock(w):
    return said(query(w.r.choice((f"select pg_advisory_xact_lock({w.key()})", f"select pg_try_advisory_xact_lock({w.key()})",
                                  f"select pg_advisory_unlock({w.key()})"))))


@kind(3, "P")
def prepared_by_sql(w):
    name = w.r.choice(("q1", "q2", '"Q 1"'))
    steps = [f"prepare {name}(int) as select $1 + 1", f"execute {name}(41)", w.simple(), f"execute {name}(1)"]
    if w.r.random() < 0.7:
        steps += [w.r.choice((f"deallocate {name}", f"deallocate prepare {name}", "deallocate all", "discard all")), f"execute {name}(2)"]
    return [said(query(text)) for text in steps]


@kind(2, "P")
def protocol_and_sql_names(w):
    """Both kinds of prepared statements have one space of names."""
    return [said(query("prepare twice as select 'by sql'")), said(bind((), "twice"), execute(), SYNC), said(parse("select 'by protocol'", "twice"), SYNC),
            said(query("deallocate twice")), said(parse("select 'by protocol'", "twice"), SYNC), said(query("execute twice")),
            said(query("deallocate twice"))]


@kind(2, "P")
def last_values(w):
    """Named once before nextval: then it is promised, unless that nextval fails, which it would where transactions are read only: then the currval behind
    it may be the session's first (docs/transaction-mode.md)."""
    c = w.schema
    steps = ["set default_transaction_read_only to off", f"select case when current_setting('work_mem') = '' then currval('{c}.s') end", f"select nextval('{c}.s')", w.simple(), f"select currval('{c}.s')",
             f"select currval('{c}.s') = lastval(), nextval('{c}.s')", f"select currval('{c}.s')"]
    return [said(query(text)) for text in steps]


@kind(0.15)
def cancelled(w):
    text = "do $$ begin raise info 'running'; perform pg_sleep(60); end $$"
    return (Send(query(text), types="NE"), Send(b"", ready=1, cancel="N"))


@kind(1)
def settings_in_a_block(w):
    name, value = script_settings.pair(w)
    value = script_settings.quoted(value)
    return said(query(f"do $body$ begin perform set_config('{name}', {value}, {w.r.choice(('false', 'true'))}); end $body$"))
