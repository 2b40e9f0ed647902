"""Kinds of steps of session scripts: plain statements, transactions, settings, COPY, and what stays with a server."""

import struct

from harness import script_settings
from harness.script_kinds import FORGOTTEN, Send, kind, said
from harness.wire import COPY_DONE, FLUSH, SYNC, bind, close, copy_data, copy_fail, execute, extended, message, parse, query


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
    text = w.r.choice(("begin", "begin", "begin", "start transaction", "begin isolation level serializable read only", "begin read only",
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


@kind(2, "P")
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
