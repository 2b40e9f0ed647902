"""Settings in session scripts: at start-up, changed in every way that SQL has, looked at."""

import random
import re

LONG = "x" * 200
SETTINGS = {
    "TimeZone": ["UTC", "Asia/Tokyo", "Europe/Rome", "america/new_york", "+02", "<+02>-02"],
    "DateStyle": ["ISO, MDY", "German", "SQL, DMY", "Postgres, YMD", "iso, dmy", "ISO"],
    "IntervalStyle": ["postgres", "iso_8601", "sql_standard", "postgres_verbose"],
    "application_name": ["", "one", "ONE", "a" * 100, "it's \"quoted\"", "one "],
    "client_encoding": ["UTF8", "LATIN1", "utf-8"],
    "standard_conforming_strings": ["on", "off"],
    "default_transaction_read_only": ["on", "off", "off"],
    "work_mem": ["1MB", "4096", "77kB", "2GB"],
    "statement_timeout": ["100s", "1000000", "1h", "0"],
    "lock_timeout": ["100s", "1000000", "0"],
    "idle_in_transaction_session_timeout": ["1h", "0"],
    "enable_seqscan": ["on", "off", "true"],
    "enable_hashjoin": ["on", "off"],
    "extra_float_digits": ["0", "1", "3", "-5"],
    "bytea_output": ["hex", "escape"],
    "client_min_messages": ["notice", "warning", "error"],
    "default_transaction_isolation": ["read committed", "read uncommitted", "repeatable read"],
    "plan_cache_mode": ["auto", "force_generic_plan", "force_custom_plan"],
    "quote_all_identifiers": ["on", "off"],
    "row_security": ["on", "off"],
    "xmloption": ["content", "document"],
    # No two that name the same schemas: that a statement is not read again between such is known to differ.
    "search_path": ["", "c{0}", "c{0}_b, c{0}", "c{0}, public", '"Odd Schema", c{0}', '","', '"$user", public, shared', "shared, C{0}",
                    "pg_catalog, public, c{0}", '"c{0}, c{0}_b", shared', "c{0}_b"],
}
CUSTOM = ["app.user_id", "app.tenant", "APP.Tenant", "app.long"]
CUSTOM_VALUES = ["42", "Value", "value", "VALUE", LONG, LONG.upper(), "O'Reilly \"quoted\" \\ back", "a,b, c", "ä€", "  blanks  ", "null", ""]
BAD = [("work_mem", "lots"), ("nosuch", "1"), ("timezone", "Nowhere/There"), ("log_statement", "all"), ("datestyle", "x, y, z"),
       ("shared_buffers", "1MB"), ("server_version", "1"), ("search_path", 'a"b'), ("statement_timeout", "-5"), ("is_superuser", "on")]
WHAT_STATEMENTS_SEE = ("TimeZone", "DateStyle", "IntervalStyle", "search_path")


def quoted(value):
    """A literal that means the same whatever standard_conforming_strings says."""
    if "\\" in value:
        return "E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + value.replace("'", "''") + "'"


def pair(w):
    r = w.r
    what = r.random()
    if what < 0.25:
        return r.choice(CUSTOM), r.choice(CUSTOM_VALUES if w.exact else CUSTOM_VALUES[:-1])
    if what < 0.32:
        return r.choice(BAD)
    if what < 0.5:
        name = r.choice(WHAT_STATEMENTS_SEE)
    else:
        name = r.choice(list(SETTINGS))
    return name, r.choice(SETTINGS[name]).format(w.client)


def change(w, alone=True):
    """A statement that changes a setting, or tries to. Behind a RESET in the same request the start-up packet's values are not yet there again
    (fact 7), so that in a session that has such there is none with company; in session mode none at all (both where "resets" are left out), for inside of a transaction they come back in front
    of a BEGIN ISOLATION LEVEL, too, which fails then. SET TRANSACTION in a transaction stands right behind its BEGIN
    (begin in script_steps.py): whether a Describe of a named statement in between counts as its first query is known to differ."""
    while True:
        text = any_change(w)
        if w.in_transaction and "set transaction" in text:
            continue
        if w.may("resets"):
            return text
        if (alone and w.exact) or not w.startup or not re.search("(?i)reset|default|local$", text):
            return text


def any_change(w):
    r = w.r
    what = r.random()
    name, value = pair(w)
    if what < 0.35:
        if name == "search_path" and value and r.random() < 0.7:
            return f"set search_path to {value}"                # a list of names, as people write it
        return r.choice((f"set {name} to {quoted(value)}", f"SET SESSION {name} = {quoted(value)}", f"set\n{name}\t=/**/{quoted(value)}"))
    if what < 0.55:
        return f"select set_config('{name}', {quoted(value)}, {r.choice(('false', 'false', 'true'))})"
    if what < 0.65:
        return f"set local {name} to {quoted(value)}"
    if what < 0.75:
        return r.choice((f"reset {name}", f"set {name} to default", f"set {name} = DEFAULT") if w.exact else (f"reset {name}",))
    if what < 0.83:
        return r.choice(("set role differ", "set role none", "reset role", "set role no_such_role", "set local role differ", "set role 'differ'",
                         "select set_config('role', 'differ', false)"))
    if what < 0.86 and w.exact:
        return r.choice(("set session authorization app", "reset session authorization", "set session authorization default"))
    if what < 0.88 and w.exact:
        return r.choice(("set time zone local", "set names default", "set time zone default"))
    return r.choice((
        "set time zone 'Asia/Tokyo'", "set time zone -3", "set time zone interval '+02:30' hour to minute", "set names 'LATIN1'",
        f"set schema 'c{w.client}_b'", "set session characteristics as transaction read only",
        "set session characteristics as transaction isolation level repeatable read", "set transaction isolation level repeatable read",
        "set session characteristics as transaction read write, isolation level read committed", "reset all"))


def look(w):
    """A query that shows settings."""
    r = w.r
    what = r.random()
    if what < 0.2:
        return "show " + r.choice(list(SETTINGS))
    if what < 0.3:
        return r.choice(("show time zone", "show role", "show session authorization", "show transaction_isolation", "show transaction_read_only"))
    if what < 0.45:
        return "select '01/02/2020'::date, '2020-06-01 12:00+00'::timestamptz, '1 day 2 hours'::interval, current_user, current_schemas(false)"
    names = r.sample(list(SETTINGS), 4)
    custom = ", ".join(f"nullif(current_setting('{name}', true), '')" for name in CUSTOM)
    return f"select {', '.join(f'current_setting({quoted(name)})' for name in names)}, {custom}, current_user"


# Scripts of a block, so many for each client, have few mixes of startup settings between them, as clients of one application have: each mix has servers of its
# own, and where all differ a pooled server is dialed for nearly each transaction. In one block of so many they do.
SCRIPTS_OF_A_BLOCK, MIXES, BLOCKS = 10, 3, 20


def startup(w):
    """Parameters of the startup packet."""
    block = w.number // (SCRIPTS_OF_A_BLOCK * w.generator.clients)
    found = mix(w, w.r, w.client) if block % BLOCKS == 0 else mix_of_a_block(w, block)
    if found and w.exact and w.r.random() < 0.03:
        found[w.r.choice(("TimeZone", "nosuch", "work_mem"))] = "not good"
    return found


def mix_of_a_block(w, block):
    r = random.Random(f"{w.generator.seed} {w.pool} {block} {w.r.randrange(MIXES)}")
    client = r.randrange(w.generator.clients)
    found = mix(w, r, client)
    if client != w.client:
        found.pop("search_path", None)              # which has the client's own schemas
    return found


def mix(w, r, client):
    found = {}
    if r.random() < 0.4:
        return found
    if not w.exact:
        # In session mode a client's SET to what the server has by itself is taken for a reset: no such then.
        return {"app.user_id": r.choice(("7", "x y"))}
    wide = w.may("startups")
    for name in r.sample(("TimeZone", "DateStyle", "application_name", "search_path", "client_encoding", "IntervalStyle", "extra_float_digits"),
                         r.randrange(3)):
        # A long application_name is clipped with a NOTICE.
        found[name] = r.choice([value for value in SETTINGS[name] if len(value) < 64 or wide]).format(client)
    if r.random() < 0.4:
        found["options"] = r.choice(("-c work_mem=3MB", "--app.tenant=x\\ y", "-capp.user_id=7 --search-path=c0", "-c DateStyle=German",
                                     "-c statement_timeout=200s -c TimeZone=Asia/Tokyo", "-c default_transaction_read_only=on", "-c role=differ",
                                     "-c work_mem=3MB -c enable_seqscan=off"))
    if r.random() < 0.2:
        # PostgreSQL takes bytes at start-up as they are; a pool that sets them later has them converted.
        found["app.user_id"] = r.choice([value for value in CUSTOM_VALUES if value.isascii() or "client_encoding" not in found])
    if wide and r.random() < 0.3:
        found |= r.choice(({"role": "differ"}, {"work_mem": "5MB"}, {"role": "differ", "work_mem": "5MB"}, {"client_encoding": "SJIS"}, {"client_encoding": "WIN1251"},
                           {"app.tenant": "one"}, {"app.tenant": "two", "app.user_id": "9"}, {"search_path": f"c{client}_b", "DateStyle": "SQL, DMY", "TimeZone": "Asia/Tokyo"},
                           {"role": "app" if w.is_superuser else "differ", "TimeZone": "Asia/Tokyo"}, {"session_authorization": "app"}))
    return found
