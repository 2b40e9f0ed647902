"""Kinds of steps of session scripts: row-level security, roles, what hides from who reads a text, levels of messages, limits of time that strike."""

from harness import script_settings
from harness.script_kinds import FORGOTTEN, PAST, Send, kind, said
from harness.wire import SYNC, bind, close, describe, execute, extended, parse, query

TENANTS = ("one", "two", "three")
TENANT_WAYS = ("set app.tenant to '{}'", "select set_config('app.tenant', '{}', false)", "set session app.tenant = '{}'")


def set_tenant(w):
    return w.r.choice(TENANT_WAYS).format(w.r.choice(TENANTS))


@kind(5)
def rows_of_a_tenant(w):
    r, c = w.r, w.schema
    texts = (f"select * from {c}.rls order by v, tenant", f"with u as (update {c}.rls set v = v + 0 returning v) select v from u order by v", f"select count(*) from {c}.rls where tenant = current_setting('app.tenant', true)",
             f"insert into {c}.rls values (current_setting('app.tenant', true), 0) returning tenant", f"delete from {c}.rls where v = 0")
    name, text = r.choice(("t1", "t2")), r.choice(texts)
    first = said(query(set_tenant(w)))
    steps = [first, said(close("S", name), parse(text, name), describe("S", name) if r.random() < 0.4 else b"", SYNC), said(bind((), name), execute(), SYNC)]
    again = r.random()
    if again < 0.5:
        steps.append(said(query(set_tenant(w))))
    elif again < 0.7:
        steps.append(said(query(r.choice(("set role differ", "reset role", "set role none", "set row_security to off", "set row_security to on")))))
    elif again < 0.8 and w.transactions:
        w.in_transaction = False
        steps += [said(query("begin")), said(query("set local app.tenant to 'two'")), said(bind((), name), execute(), SYNC), said(query("commit"))]
    steps.append(said(bind((), name), execute(), SYNC))
    return [*steps, said(query(f"select * from {c}.rls order by tenant, v"))]


@kind(3)
def what_a_plan_takes_for_constant(w):
    """shared.tenant() says that it is IMMUTABLE, which is not true: parsed, and run, while the setting stays."""
    name = w.r.choice(("t1", "t2", ""))
    text = w.r.choice(("select shared.tenant()", f"select v from {w.schema}.rls where tenant = shared.tenant() order by v", f"select * from {w.schema}.folded order by v"))
    steps = [said(query(set_tenant(w))), said(close("S", name), parse(text, name), bind((), name), execute(), SYNC)]
    if name:
        steps += [said(query(w.r.choice(("select 1", "show work_mem")))), said(bind((), name), execute(), SYNC), said(close("S", name), SYNC)]
    return steps


@kind(2)
def roles(w):
    """By every way that SQL has; of the pool of a superuser they may do more."""
    ways = ["set role differ", "set role none", "reset role", "set role app", "set local role differ", "select set_config('role', 'differ', false)", "set role 'no such role'"]
    authorizations = ["set session authorization app", "set session authorization differ", "set session authorization default", "reset session authorization",
                      "set local session authorization app", "set session authorization boss"]
    if w.may("resets") or not w.startup:
        ways += authorizations
    texts = [w.r.choice(ways) for _ in range(w.r.randint(1, 3))]
    look = "select current_user, session_user, current_setting('role'), current_setting('is_superuser')"
    steps = []
    for text in texts:
        steps.append(said(query(text)) if w.r.random() < 0.7 else said(extended(text), SYNC))
        steps.append(said(query(look)))
    if w.r.random() < 0.3:
        steps.append(said(query("; ".join([*texts, look]))))
    return steps


@kind(1)
def a_function_sets(w):
    """What the server reports, so that it is noticed."""
    name, value = w.r.choice((("TimeZone", "Asia/Tokyo"), ("DateStyle", "German"), ("application_name", "of a function"), ("IntervalStyle", "iso_8601")))
    text = f"select shared.sets('{name}', '{value}')"
    steps = [said(query(text)) if w.r.random() < 0.6 else said(extended(text), *FORGOTTEN, ready=2)]
    if w.is_superuser and w.r.random() < 0.5:
        steps.append(said(query("select shared.becomes('differ')")))
    return [*steps, said(query(script_settings.look(w))), said(query("select current_user, session_user"))]


@kind(2)
def statements_are_lost_inside(w):
    """DEALLOCATE ALL and its like where no lexer of a client's text sees it: the session itself has lost its statements, and nobody else. Of a single name
    it is known to differ (docs/transaction-mode.md)."""
    texts = ("do $$ begin deallocate all; end $$", "do $$ begin execute 'deallocate all'; end $$", "select shared.deallocates()", "do $$ begin execute 'deal' || 'locate all'; end $$", "select query_to_xml('select shared.deallocates()', true, false, '')")
    text = w.r.choice(texts)
    how = w.r.random()
    if how < 0.6:
        middle = [said(query(text))]
    elif how < 0.8:
        middle = [said(extended(text), *FORGOTTEN, ready=2)]
    else:
        middle = [said(close("S", "lost"), parse(text, "lost"), SYNC), said(bind((), "lost"), execute(), SYNC)]
    w.named.clear()
    return [said(close("S", "s1"), parse("select 'kept'", "s1"), SYNC), said(bind((), "s1"), execute(), SYNC), *middle, said(bind((), "s1"), execute(), SYNC),
            said(describe("S", "s1"), SYNC), said(parse("select 'again'", "s1"), SYNC), said(bind((), "s1"), execute(), SYNC), said(close("S", "lost"), SYNC)]


@kind(2)
def strings_read_both_ways(w):
    r"""'\' ends a string, or does not: by a setting that was changed in the same write."""
    hidden = w.r.choice(("set work_mem to '6MB'", "set timezone to 'Asia/Tokyo'", "set app.tenant to 'hidden'", "set role differ"))
    text = f"select '\\', '; {hidden}; --'"
    ways = [query("set standard_conforming_strings to off"), extended("set standard_conforming_strings to off") + SYNC,
            query("select set_config('standard_conforming_strings', 'off', false)")]
    data = w.r.choice(ways) + query(text) + query("set standard_conforming_strings to on")
    return [said(data, ready=3), said(query("select current_setting('work_mem'), current_setting('TimeZone'), nullif(current_setting('app.tenant', true), ''), current_user"))]


@kind(1)
def text_that_is_run_by_a_function(w):
    text = w.r.choice(("select query_to_xml('select set_config(''work_mem'', ''6MB'', false)', true, false, '')", "do $$ begin execute 'set work_' || 'mem to ''7MB'''; end $$",
                       "select U&\"set\\005fconfig\"('work_mem', '8MB', false)", "do $$ begin execute 'set ro' || 'le differ'; end $$"))
    return [said(query(text)) if w.r.random() < 0.6 else said(extended(text), *FORGOTTEN, ready=2),
            said(query("select current_setting('work_mem'), current_user, current_setting('TimeZone')"))]


# Levels of messages

@kind(2)
def levels_of_messages(w):
    level = w.r.choice(("debug1", "debug2", "debug3", "debug5", "log", "notice", "info"))
    name = w.r.choice(("", "m1"))
    text = w.r.choice(("select 1", "show work_mem", "do $$ begin raise debug 'a line'; raise log 'a log line'; raise notice 'a notice'; end $$", "begin" if w.transactions else "select 3"))
    steps = [said(query(f"set client_min_messages to '{level}'")), said(close("S", name) if name else b"", parse(text, name), bind((), name), execute(), SYNC)]
    for _ in range(w.r.randint(1, 3)):
        steps.append(w.r.choice((said(query("select 2")), said(bind((), name), execute(), SYNC) if name else said(extended("select 4"), SYNC), said(query("commit")) if w.transactions else said(query("select 5")))))
    if text == "begin" and w.transactions:
        steps.append(said(query("rollback")))
        w.in_transaction = False
    return [*steps, said(query("set client_min_messages to notice"))]


@kind(1)
def warnings_are_said_once(w):
    """BEGIN in a transaction, COMMIT without one: what a pool adds must not say it again."""
    texts = ["commit", "rollback"] if w.r.random() < 0.5 or not w.transactions else ["begin", "begin", "commit", "commit"]
    w.in_transaction = False
    return [said(query(text)) if w.r.random() < 0.5 else said(extended(text), SYNC) for text in texts]


# Limits that strike

@kind(0.25)
def statement_timeout_strikes(w):
    text = w.r.choice(("select pg_sleep(20)", "do $$ begin perform pg_sleep(20); end $$"))
    run = said(query(text)) if w.r.random() < 0.5 else said(extended(text), *FORGOTTEN, ready=2)
    return [said(query("set statement_timeout to '250ms'")), run, said(query("set statement_timeout to 0")), said(query("select 'and on'"))]


@kind(0.25)
def lock_timeout_strikes(w):
    """Somebody past the pool holds the lock."""
    key = w.key() + 7
    text = f"select pg_advisory_xact_lock({key})"
    run = said(query(text)) if w.r.random() < 0.5 else said(extended(text), *FORGOTTEN, ready=2)
    return [(Send(query(f"select pg_advisory_lock({key})"), by=PAST, whenever=True),), said(query("set lock_timeout to '60ms'")), run, said(query("set lock_timeout to 0")),
            (Send(query(f"select pg_advisory_unlock({key})"), by=PAST, whenever=True),), said(query("select 'and on'"))]
