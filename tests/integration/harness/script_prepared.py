"""Kinds of steps of session scripts: prepared statements of the protocol, batches, portals."""

from harness import script_settings
from harness.script_kinds import FORGOTTEN, Send, kind, said
from harness.wire import FLUSH, SYNC, bind, close, describe, execute, extended, parse, query

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
SETS = ("reset all", "set timezone to 'Asia/Tokyo'")
NAMES = ("s1", "s2", "S 1", "_pg3_0", "__asyncpg_stmt_1__")


def values_for(w, count):
    return [w.r.choice(("1", "2", "5", "x", "", None) if w.r.random() < 0.2 else ("1", "2", "3", "7")) for _ in range(count)]


def a_text(w):
    text, count, types = w.r.choice(TEXTS if not w.startup or w.may("resets") else TEXTS[1:])
    return text.format(c=w.schema), count, types


def a_parse(w, name):
    text, count, types = a_text(w)
    if name not in w.named or name == "":
        w.named[name] = count
    if text in SETS:
        w.setters.add(name)
    return parse(text, name, types)


def a_run(w, name, rows=0):
    w.sets_now |= name in w.setters
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
    pieces, size, w.sets_now = [], w.r.randint(1, 3), False
    # What comes behind a SET in one batch, and was parsed before, is known to differ (docs/transaction-mode.md).
    while len(pieces) < size and not w.sets_now:
        pieces.append(pieces_of_a_batch(w))
    return said(*pieces, SYNC)


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
            w.sets_now = False
            data += pieces_of_a_batch(w)
            data += pieces_of_a_batch(w) * (not w.sets_now and w.r.random() < 0.5) + SYNC
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


LITERALS = ("select '01/02/2020'::date", "select '01/02/2020'::date, $1::int", "select '2020-06-01 12:00+00'::timestamptz::text", "select '1 day 2 hours'::interval",
            "select 'Ä', length('ä'), 'a\\b'", "select coalesce(current_setting('app.tenant', true), ''), current_setting('DateStyle')", "select v from w", "select v, $1::text from w")
LOCALLY = ("set local datestyle to 'iso, dmy'", "set local datestyle to german", "select set_config('DateStyle', 'iso, dmy', true)", "set local timezone to 'Asia/Tokyo'",
           "set local intervalstyle to 'iso_8601'", "select set_config('TimeZone', 'Asia/Tokyo', true)", "set local search_path to {c}_b, public", "set local app.tenant to 'two'",
           "set local standard_conforming_strings to off", "set local datestyle to default")


@kind(3, "X")
def parsed_behind_a_setting_of_its_transaction(w):
    """Behind the end of the transaction it is not asked for: what its text means on another server is known to differ."""
    r, name = w.r, w.r.choice(NAMES)
    text = r.choice(LITERALS)
    values = ["1"] if "$1" in text else ()

    def sets():
        words = r.choice(LOCALLY).format(c=w.schema)
        return said(query(words) if r.random() < 0.5 else extended(words) + SYNC)
    steps = [] if w.in_transaction else [said(query("begin"))]
    steps += [sets(), said(close("S", name), parse(text, name), describe("S", name) if r.random() < 0.3 else b"", SYNC)]
    for _ in range(r.randint(1, 3)):
        steps.append(said(bind(values, name), describe() if r.random() < 0.3 else b"", execute(), SYNC))
        if r.random() < 0.4:
            steps.append(sets())
    steps += [said(close("S", name), SYNC), said(query(r.choice(("commit", "rollback"))))]
    w.named.pop(name, None)
    w.in_transaction = False
    return steps
