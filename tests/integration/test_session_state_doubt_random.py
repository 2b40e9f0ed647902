"""Random texts in which a setting and a role are hidden among strings, names and comments of every kind: what PostgreSQL takes for code must be noticed, so that
the next client of the server meets neither. A fixed seed; TIDEPOOL_TEXTS=20000 and TIDEPOOL_SEED for longer by hand."""

import os
import random

from harness import wire
from harness.sessions import directly
from harness.shared_servers import transaction_pool

FUNCTIONS = """
do $do$ begin create role doubtful; exception when duplicate_object or unique_violation then null; end $do$;
create function hides(text) returns text language plpgsql as $f$ begin return set_config('app.secret', $1, false); end $f$;
create function "select"(text) returns text language sql as 'select hides($1)';
create table t (a text, b text);
"""
JUNK = ["'", "\"", "\\", "$", "$$", "--", "/*", "*/", ";", "(", ")", "set role doubtful", "a", "E", "e'", "U&", "\n", "\r", " ", "1", "é", "x$y", "begin", "end", "as"]


def junk(rng, most=5):
    return "".join(rng.choice(JUNK) for _ in range(rng.randrange(most)))


def blank(rng):
    """What separates two words."""
    def comment():
        depth, text = 1, "/*"
        while depth:
            piece = rng.choice(["x", "'", "\"", "$$", "\\", "/*", "*/", "*/", "--", "\n", ";"])
            depth += {"/*": 1, "*/": -1}.get(piece, 0)
            text += piece + ("" if piece in ("/*", "*/") else " ")
        return text
    return "".join(rng.choice([" ", "\t", "\n", "\r", "\f", " ", comment(), "--" + junk(rng).replace("\n", "").replace("\r", "") + rng.choice("\n\r")])
                   for _ in range(rng.randrange(1, 3)))


def string(rng, standard):
    """A literal of any kind, which holds junk."""
    inside = junk(rng)
    kind = rng.choice(["plain", "plain", "E", "N", "dollar", "U", "continued", "bits"])
    if kind == "dollar":
        tag = rng.choice(["", "a", "_", "é", "a1"])
        return f"${tag}$" + inside.replace("$", "S") + f"${tag}$"
    if kind == "bits":
        return rng.choice(["B'01'", "x'1F'", "X'0'"])
    doubled = inside.replace("'", "''")
    escaped = inside.replace("\\", "\\\\").replace("'", rng.choice(["''", "\\'"]))
    if kind == "E":
        return rng.choice("eE") + f"'{escaped}'"
    if kind == "U" and standard:
        return rng.choice("uU") + "&'" + doubled.replace("\\", "\\\\") + "'"
    if kind == "continued":
        return "'" + "a''" + "'" + rng.choice(["\n", " \n ", "\r", "--x\n"]) + "'b'"
    return ("" if kind == "plain" else rng.choice("nN")) + "'" + (doubled if standard else escaped) + "'"


def cased(rng, word):
    return "".join(rng.choice([c.lower(), c.upper()]) for c in word)


def quoted(rng, name):
    """A name in any spelling."""
    way = rng.randrange(4)
    if way == 0:
        return f'"{name}"'
    if way == 1:
        at = rng.randrange(len(name))
        return 'U&"' + name[:at] + f"\\{ord(name[at]):04x}" + name[at + 1:] + '"'
    return cased(rng, name)


def leaf(rng, standard):
    return rng.choice(["1", "null", "1.5e3", "2", "true", string(rng, standard), string(rng, standard),
                       f"{rng.choice(['lower', 'upper', 'length'])}({string(rng, standard)}::text)"])


def hidden(rng):
    """Code that leaves something, as an expression."""
    gap = lambda: rng.choice(["", "", blank(rng)])
    name = rng.choice(["'app.secret'", "$$app.secret$$", "e'app.s\\x65cret'", "'app.' || 'secret'", "N'app.secret '", "U&'app.secret'", "'app.secret'::text"])
    set_config = rng.choice(["", f"pg_catalog{gap()}.{gap()}"]) + quoted(rng, "set_config")
    call = f"{set_config}{gap()}({gap()}{name}{gap()},{gap()}'left', false{gap()})"
    return rng.choice([call, call, f"{quoted(rng, 'hides')}{gap()}('left')", "\"select\"('left')", f"(select {call})", f"coalesce(null, {call})",
                       f"set_config(new_value => 'left', setting_name => {name}, is_local => false)",
                       f"query_to_xml('select hides(''left'')', true, false, '')::text", "set_config('role', 'doubtful', false)"])


def statement(rng, standard):
    items = [leaf(rng, standard) for _ in range(rng.randrange(1, 5))]
    items.insert(rng.randrange(len(items) + 1), hidden(rng))
    named = [item + (blank(rng) + cased(rng, "as") + blank(rng) + rng.choice(['"a""b"', "x", "\"--\"", "\"'\"", "y$z", "end"]) if rng.random() < 0.3 else "") for item in items]
    select = cased(rng, "select") + blank(rng) + (blank(rng) + "," + blank(rng)).join(named)
    values = cased(rng, "values") + blank(rng) + "(" + ",".join(items) + ")"
    code = hidden(rng)
    return rng.choice([
        select, select, values, f"explain analyze {select}", f"with x as ({values}) select * from x", f"copy ({values}) to stdout",
        f"insert into t (a) values ({code})", f"insert into t select {code}", f"select distinct on (1) {code} from t right join (values (1)) v(w) on true",
        f"begin; {select}; commit", f"create temp table z on commit drop as {select}", f"select 1 from (values (1)) v (a) where {code} is not null",
        f"prepare p as {select}; execute p; deallocate p", f"do $do$ begin perform {code}; end $do$", f"do $do$ begin execute $q$ {select} $q$; end $do$",
        f"set {blank(rng)} app.{quoted(rng, 'secret')} {rng.choice(['=', 'to'])} 'left'", f"set session {quoted(rng, 'role')} to doubtful", "set role doubtful",
        "set session authorization doubtful", f"declare c cursor with hold for {select}; fetch all in c; close c", f"select 1{blank(rng)}union all{blank(rng)}select length({code})",
    ])


def test_what_is_hidden_in_random_texts_meets_nobody_else(tidepool, postgres):
    seed = int(os.environ.get("TIDEPOOL_SEED", "1"))
    texts = int(os.environ.get("TIDEPOOL_TEXTS", "400"))
    print("TIDEPOOL_SEED", seed)
    rng = random.Random(seed)
    database = postgres.create_database()
    directly(postgres, database, user="postgres").rows(FUNCTIONS)
    daemon = tidepool(pools={"bench": {**transaction_pool(1)["bench"], "conninfo": postgres.conninfo(database, "postgres"), "users": ["app"]}})
    other = daemon.wire("bench")
    ran = 0
    for number in range(texts):
        session = daemon.wire("bench")
        standard = rng.random() < 0.8
        if not standard:
            session.rows("set standard_conforming_strings = off; set escape_string_warning = off; set backslash_quote = on")
        text = statement(rng, standard) + rng.choice(["", ";", ";;", " -- x", "/* */"])
        extended = ";" not in text and rng.random() < 0.3
        session.send(wire.extended(text) + wire.SYNC if extended else wire.query(text))
        failed = any(answer.type == "E" for answer in session.read_until_ready())
        ran += not failed
        stays = number % 2 == 0 and session.status == "I" and not session.rows("") and not daemon.console("show pins")
        if not stays:
            session.terminate()
        secret, user, role = other.rows("select current_setting('app.secret', true), session_user, current_setting('role')")[0]
        assert (secret in (None, ""), user, role) == (True, "postgres", "none"), f"number {number} of seed {seed}: {text!r}"
        if stays:
            session.terminate()
    assert ran > texts // 2, "most of them run"
