"""Kinds of steps of session scripts: transaction and utility commands as prepared statements that are run later, FETCH and portals by the protocol,
two-phase commit."""

from harness import script_settings
from harness.script_kinds import FORGOTTEN, kind, said
from harness.wire import SYNC, bind, close, describe, execute, extended, parse, query

# By flags, as kinds have them.
COMMANDS = {
    "": ("set work_mem to '3MB'", "set timezone to 'Asia/Tokyo'", "set local datestyle to 'German'", "show timezone", "show work_mem", "show transaction_isolation",
         "set app.user_id to 'named'", "deallocate s2", "deallocate all", "discard sequences", "discard temp", "discard all", "vacuum {c}.u", "analyze {c}.u",
         "vacuum (analyze) {c}.u", "lock table {c}.u", "close all", "explain (costs off) select 1", "notify nobody", "do $$ begin raise notice 'named'; end $$",
         "set role differ", "reset role", "values (1), (2)", "copy (select 1) to stdout", "unlisten *", "table {c}.u limit 0", "reset timezone", "reset all",
         "set session characteristics as transaction read write", "set transaction read write", "call shared.nothing()", "reindex table {c}.u",
         "set client_encoding to 'UTF8'", "select set_config('work_mem', '4MB', false)", "truncate {c}.u", "checkpoint"),
    "X": ("begin", "commit", "rollback", "savepoint a", "rollback to a", "release a", "commit", "rollback", "end", "abort", "start transaction read only",
          "begin isolation level serializable read only", "rollback and chain", "fetch 2 from c", "move 1 in c", "close c",
          "declare c cursor for select n from shared.numbers order by n"),
}
NAMES = ("S_1", "S_2", "S_3", "S_4")
OPENS = ("begin", "start transaction", "rollback and chain")
ENDS = ("commit", "rollback", "end", "abort")


def a_command(w):
    found = COMMANDS["X"] if w.transactions and w.r.random() < 0.55 else COMMANDS[""]
    while True:
        text = w.r.choice(found).format(c=w.schema)
        # RESET in company of startup settings, where that is left out; SET TRANSACTION only right behind a BEGIN: script_settings.change().
        if "reset" in text and w.startup and not w.may("resets"):
            continue
        if text.startswith("set transaction") and w.in_transaction:
            continue
        return text


def ran(w, text):
    """What the script knows of its transaction, and of its statements, once `text` has run."""
    if text.startswith(OPENS):
        w.in_transaction = True
    elif text in ENDS:
        w.in_transaction = False
    if text in ("deallocate all", "discard all") and not w.in_transaction:
        w.commands.clear()
        w.named.clear()


@kind(5)
def command_is_prepared(w):
    texts = {name: a_command(w) for name in w.r.sample(NAMES, w.r.randint(1, 2))}
    w.commands.update(texts)
    return said(*[close("S", name) + parse(text, name) + (describe("S", name) if w.r.random() < 0.3 else b"") for name, text in texts.items()], SYNC)


@kind(8)
def command_is_run(w):
    if not w.commands:
        return command_is_prepared(w)
    names = [w.r.choice(sorted(w.commands)) for _ in range(w.r.choice((1, 1, 1, 2)))]
    texts = [w.commands.get(name, "") for name in names]
    for text in texts:
        ran(w, text)
    if len(names) == 2 and w.r.random() < 0.5:
        return said(*[bind((), name) + execute() for name in names], SYNC)
    return [said(bind((), name), describe() if w.r.random() < 0.4 else b"", execute(), SYNC) for name in names]


@kind(3, "X")
def transaction_of_named_commands(w):
    """As pgjdbc and others say them, once prepared: an error in between, often."""
    begin, end = w.r.choice(("begin", "start transaction", "begin read only")), w.r.choice(("rollback", "commit", "rollback", "end"))
    data = said(close("S", "S_1"), parse(begin, "S_1"), close("S", "S_2"), parse(end, "S_2"), SYNC)
    w.commands.update(S_1=begin, S_2=end)
    w.in_transaction = False
    middle = w.r.choice((w.wrong(), w.simple(), script_settings.change(w, False)))
    return [data, said(query(script_settings.change(w, False))), said(bind((), "S_1"), execute(), SYNC), said(query(middle)),
            said(bind((), "S_2"), execute(), SYNC), said(bind((), "S_2"), execute(), SYNC)]


@kind(1)
def utility_in_a_pipeline(w):
    """What must not run in a transaction block: behind a SET that others' copies of the text have not seen."""
    text = w.r.choice((f"vacuum {w.schema}.u", "discard all", f"vacuum (analyze) {w.schema}.t"))
    w.commands["S_3"] = text
    change = w.r.choice(("set datestyle to 'German'", "set timezone to 'Asia/Tokyo'", "set intervalstyle to 'iso_8601'"))
    steps = [said(close("S", "S_3"), parse(text, "S_3"), SYNC), said(query(change)), said(bind((), "S_3"), execute(), SYNC)]
    ran(w, text)
    if w.r.random() < 0.3:
        steps.append(said(extended(w.simple()), bind((), "S_3"), execute(), SYNC))
    if w.r.random() < 0.3:
        steps.append(said(bind((), "S_3"), execute(), extended("select 1"), SYNC))
    return steps


# FETCH

SHAPES = ("select n from shared.numbers order by n", "select words, n from shared.numbers order by n", "select now() - now(), 'x'::text, 1.5",
          "values (1), (2), (3)")


@kind(3, "X")
def fetch_is_prepared(w):
    """One statement that fetches, of cursors with other columns each."""
    shapes = w.r.sample(SHAPES, 2)
    name = w.r.choice(("f1", "f2"))
    text = w.r.choice(("fetch 2 from c", "fetch 1 from c", "fetch forward 3 from c", "fetch next c", "move 1 in c"))
    w.in_transaction = False
    first = w.r.random()
    made = [close("S", name), parse(text, name)]
    steps = [said(*made, SYNC)] if first < 0.3 else []
    steps += [said(query("begin")), said(extended(f"declare c cursor for {shapes[0]}"), SYNC)]
    if first >= 0.3:
        steps.append(said(*made, describe("S", name) if w.r.random() < 0.5 else b"", SYNC))
    steps += [said(bind((), name), describe() if w.r.random() < 0.5 else b"", execute(), SYNC), said(query(w.r.choice(("close c", "select 1; close c")))),
              said(query(f"declare c cursor for {shapes[1]}")), said(bind((), name), describe() if w.r.random() < 0.5 else b"", execute(), SYNC),
              said(query(w.r.choice(("commit", "rollback"))))]
    if w.r.random() < 0.4:
        steps += [said(query("begin")), said(query(f"declare c cursor for {shapes[0]}")), said(describe("S", name), bind((), name), execute(), SYNC), said(query("commit"))]
    return steps


@kind(2, "X")
def cursor_by_protocol(w):
    shape = w.r.choice(SHAPES)
    texts = [f"declare c2 cursor for {shape}", "fetch 2 from c2", "move 1 in c2", "fetch all from c2" if "numbers" not in shape else "fetch 3 from c2", "close c2"]
    w.in_transaction = False
    steps = [said(extended("begin"), SYNC)]
    steps += [said(parse(text), bind(), describe() if w.r.random() < 0.5 else b"", execute("", w.r.choice((0, 0, 1))), *FORGOTTEN, ready=2) for text in texts]
    return [*steps, said(extended(w.r.choice(("commit", "rollback"))), SYNC)]


@kind(3, "X")
def portal_that_is_kept(w):
    """Run in portions of several batches, with nothing that may fail in between: PostgreSQL 15 crashes at an Execute of a portal that its
    transaction's failure has killed."""
    portal, name = w.portal(), w.r.choice(("k1", "k2", ""))
    harmless = ("select 1", "select count(*) from shared.numbers", "show timezone", "select 'x'")
    w.in_transaction = False
    steps = [said(query("begin")),
             said(close("S", name) if name else b"", parse("select n, words from shared.numbers where n < $1::int order by n", name), bind(["40"], name, portal),
                  describe("P", portal) if w.r.random() < 0.5 else b"", execute(portal, 2), SYNC)]
    for _ in range(w.r.randint(1, 3)):
        if w.r.random() < 0.4:
            steps.append(said(query(w.r.choice(harmless))) if w.r.random() < 0.6 else said(extended(w.r.choice(harmless)), SYNC))
        steps.append(said(execute(portal, w.r.choice((1, 3, 7))), SYNC))
    if w.r.random() < 0.5:
        steps.append(said(close("P", portal), SYNC))
    return [*steps, said(query(w.r.choice(("commit", "rollback"))))]


# Two-phase commit

@kind(1, "X")
def two_phases(w):
    """Both databases live in one cluster: the replay tells their identifiers apart."""
    gid = w.gid()
    end = w.r.choice(("commit", "rollback"))
    steps = [said(query("begin")), said(query(f"insert into {w.schema}.u values (7)"))]
    if w.r.random() < 0.3:
        steps.append(said(query(script_settings.change(w, False))))
    prepares, ends = f"prepare transaction '{gid}'", f"{end} prepared '{gid}'"
    w.in_transaction = False
    steps.append(said(extended(prepares), SYNC) if w.r.random() < 0.3 else said(query(prepares)))
    if w.r.random() < 0.5:
        steps.append(said(query(f"select count(*) from {w.schema}.u")))
    if w.r.random() < 0.4:
        w.commands["S_4"] = "table shared.numbers limit 0"
        steps += [said(close("S", "S_4"), parse(ends, "S_4"), SYNC), said(bind((), "S_4"), execute(), SYNC), said(close("S", "S_4"), parse("table shared.numbers limit 0", "S_4"), SYNC)]
    else:
        steps.append(said(query(ends)))
    return [*steps, said(query(f"select count(*) from {w.schema}.u"))]
