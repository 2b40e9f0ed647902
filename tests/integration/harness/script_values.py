"""Kinds of steps of session scripts: values in binary, letters of many encodings, prepares without Sync, FunctionCall messages, long texts."""

import datetime
import struct
import uuid

from harness import script_settings
from harness.script_kinds import FORGOTTEN, OTHER, PAST, Send, kind, readies, said
from harness.wire import FLUSH, SYNC, bind, close, describe, execute, extended, message, parse, query, text

SINCE_2000 = datetime.datetime(2000, 1, 1)
NOON = int((datetime.datetime(2020, 1, 2, 12) - SINCE_2000).total_seconds()) * 1_000_000

# A type: its OID, its value as text, and in binary.
BINARY = {
    "int2": (21, "7", struct.pack("!h", 7)), "int4": (23, "-41", struct.pack("!i", -41)), "int8": (20, "3000000000", struct.pack("!q", 3_000_000_000)),
    "float4": (700, "1.5", struct.pack("!f", 1.5)), "float8": (701, "0.1", struct.pack("!d", 0.1)), "text": (25, "ä\\", "ä\\".encode()),
    "bytea": (17, "\\x00ff", b"\0\xff"), "bool": (16, "t", b"\1"), "date": (1082, "2020-01-02", struct.pack("!i", 7306)),
    "timestamp": (1114, "2020-01-02 12:00", struct.pack("!q", NOON)), "timestamptz": (1184, "2020-01-02 12:00+00", struct.pack("!q", NOON)),
    "uuid": (2950, "00000000-0000-0000-0000-000000000007", uuid.UUID(int=7).bytes), "numeric": (1700, "1.5", struct.pack("!hhhhhh", 2, 0, 0, 1, 1, 5000)),
    "interval": (1186, "1 day", struct.pack("!qii", 0, 1, 0)), "jsonb": (3802, '{"a": 1}', b'\1{"a": 1}'),
}


def bind_in(values, statement="", portal="", formats=(), results=()):
    """bind() with formats: 0 for text, 1 for binary."""
    body = text(portal) + text(statement) + struct.pack(f"!H{len(formats)}HH", len(formats), *formats, len(values))
    for value in values:
        raw = value.encode() if isinstance(value, str) else value
        body += struct.pack("!i", -1) if raw is None else struct.pack("!i", len(raw)) + raw
    return message("B", body + struct.pack(f"!H{len(results)}H", len(results), *results))


def a_value(w, kind_of):
    """A format and a value of this type, or, seldom, of another one."""
    if w.r.random() < 0.1:
        kind_of = w.r.choice(list(BINARY))
    binary = w.r.randrange(2)
    return binary, None if w.r.random() < 0.1 else BINARY[kind_of][1 + binary]


@kind(6)
def binary_values(w):
    r = w.r
    types = [r.choice(list(BINARY)) for _ in range(r.choice((1, 1, 2, 3)))]
    name = r.choice(("", "b1", "b2"))
    columns = ", ".join(f"${n + 1}::{each}" if r.random() < 0.6 else f"${n + 1}" for n, each in enumerate(types))
    declared = [BINARY[each][0] if r.random() < 0.5 or "::" not in columns else 0 for each in types]
    results = r.choice(((), (0,), (1,), (1,), [r.randrange(2) for _ in types]))

    def run():
        formats, values = zip(*[a_value(w, each) for each in types])
        formats = r.choice(((1,) * (1 if all(formats) else 0), formats)) if all(formats) or not any(formats) else formats
        return bind_in(values, name, "", formats, results) + (describe() if r.random() < 0.5 else b"") + execute()
    steps = [said(close("S", name) if name else b"", parse(f"select {columns}", name, declared), describe("S", name) if r.random() < 0.5 else b"", run(), SYNC)]
    for _ in range(r.randrange(3)):
        if r.random() < 0.4:
            steps.append(said(query(w.r.choice((w.simple(), script_settings.change(w, False))) if name else script_settings.look(w))))
        steps.append(said(run(), SYNC))
    return steps


@kind(3, "O")
def binary_values_of_columns_whose_types_change(w):
    """Who was told a type goes on to send it so."""
    before, after = w.r.choice((("timestamp", "timestamptz"), ("int4", "int8"), ("int8", "int4"), ("int4", "float4"), ("float4", "float8"), ("int8", "float8"),
                                ("int4", "text"), ("date", "timestamp"), ("int4", "numeric")))
    what = w.r.choice(("insert into {c}.ch values ($1)", "update {c}.ch set x = $1", "insert into {c}.ch values ($1) returning x", "select x from {c}.ch where x = $1")).format(c=w.schema)
    value = BINARY[before][2]
    steps = [said(query(f"drop table if exists {w.schema}.ch; create table {w.schema}.ch(x {before}); insert into {w.schema}.ch values (null)")),
             said(close("S", "b1"), parse(what, "b1"), describe("S", "b1"), SYNC)]
    if w.r.random() < 0.5:
        steps.append(said(bind_in([value], "b1", "", [1], [1]), execute(), SYNC))
    alter = f"alter table {w.schema}.ch alter x type {after} using x::{after}"
    steps.append((Send(query(alter), by=w.r.choice((OTHER, PAST))),) if w.r.random() < 0.5 else said(query(alter)))
    steps += [said(bind_in([value], "b1", "", [1], []), execute(), SYNC), said(query(f"select x from {w.schema}.ch order by 1"))]
    if w.r.random() < 0.7:
        steps += [said(close("S", "b2"), parse(what, "b2"), describe("S", "b2"), SYNC), said(bind_in([BINARY[after][2]], "b2", "", [1], []), execute(), SYNC),
                  said(query(f"select x from {w.schema}.ch order by 1"))]
    return steps


# Letters

ENCODINGS = {
    "LATIN1": ("latin-1", ["é", "äöü ß", "it''s é"]), "SJIS": ("cp932", ["表", "ソース", "能''表", "ｱ"]), "EUC_JP": ("euc_jp", ["表", "日本''語"]),
    "GBK": ("gbk", ["表", "誠", "許功''蓋"]), "BIG5": ("big5", ["功", "許功蓋", "枯''功"]), "WIN1251": ("cp1251", ["привет", "ё''ж"]), "UTF8": ("utf-8", ["表 é ж", "''ä"]),
    "UHC": ("cp949", ["가나", "갂''"]), "GB18030": ("gb18030", ["表", "俒''"]),
}


@kind(4)
def letters_of_another_encoding(w):
    """In one step, for what is written is in the encoding that the SET in front made."""
    r = w.r
    encoding = r.choice(list(ENCODINGS))
    codec, words = ENCODINGS[encoding]
    word = r.choice(words)

    def in_letters(words):
        return words.encode(codec)
    literal = in_letters(f"select '{word}', length('{word}'), '{word}'::bytea")
    custom = in_letters(f"set app.user_id to '{word}'")
    plain = word.replace("''", "'")
    uses = [Send(query(literal), ready=2), Send(query(custom) + query("select nullif(current_setting('app.user_id', true), '')"), ready=3)]
    uses = [r.choice((
        query(literal), parse(literal, "l1") + bind((), "l1") + describe() + execute() + SYNC, query(custom) + query("select nullif(current_setting('app.user_id', true), '')"),
        parse("select $1::text, $1::text = " .encode() + in_letters(f"'{word}'"), "") + bind_in([in_letters(plain)]) + execute() + SYNC,
        query(in_letters(f'select 1 as "{plain}"')), query(in_letters(f"select '{word}'; select 2 -- {plain}")), query(in_letters(f"select no_{plain.replace(chr(39), '')}")),
        query(in_letters(f"insert into {w.schema}.t values (1, '{word}') on conflict do nothing")),
    )) for _ in range(r.randint(1, 3))]
    changes = r.choice((f"set client_encoding to '{encoding}'", f"set names '{encoding}'", f"select set_config('client_encoding', '{encoding}', false)"))
    end = r.choice(("set client_encoding to 'UTF8'", "set client_encoding to 'UTF8'", "set names 'utf-8'"))
    if r.random() < 0.3:
        data = b"".join((query(changes), *uses, query(end)))
        return said(close("S", "l1") + SYNC + data, ready=1 + readies(data))
    sends, ready = [Send(close("S", "l1") + SYNC + query(changes), ready=2)], 2
    for data in [*uses, query(end)]:
        ready += readies(data)
        sends.append(Send(data, ready=ready))
    return tuple(sends)


# Prepares without Sync

@kind(5)
def prepared_and_flushed(w):
    """Parse, Describe, Flush: as asyncpg prepares; run with the next write, or another thing is said."""
    r = w.r
    name = r.choice(("", "f1", "f2"))
    sql, count = r.choice((("select $1::int + 1", 1), ("select v from w", 0), (f"select * from {w.schema}.t order by a", 0), (f"insert into {w.schema}.u values ($1)", 1),
                           ("set work_mem to '2MB'", 0), ("select '01/02/2020'::date", 0), ("select nothing", 0), ("begin" if w.transactions else "select 1", 0)))
    sends = [Send((close("S", name) if name else b"") + parse(sql, name) + describe("S", name) + FLUSH, types="TnE")]
    if r.random() < 0.4:
        sends.append(Send(parse("select 2", "f3") + describe("S", "f3") + FLUSH, types="TnE"))
    if r.random() < 0.2:
        sends.append(Send(close("S", "f3") + FLUSH, types="3E"))
    if r.random() < 0.3:
        sends.append(Send(bind(["1"] * count, name) + describe() + FLUSH, types="TnE"))
        end = execute() + SYNC
    else:
        end = bind(["1"] * count, name) + execute() + SYNC
    # Not by a Query, which would destroy an unnamed statement that a batch after an error skips (docs/transaction-mode.md).
    end = r.choice((end, end, end, SYNC, extended("select 3") + SYNC))
    if sql == "begin" and end[:1] in (b"B", b"E"):
        w.in_transaction = True
    steps = [(*sends, Send(end + close("S", "f3") + SYNC, ready=2))]
    if name and r.random() < 0.5 and sql != "begin":
        steps.append(said(bind(["1"] * count, name), execute(), SYNC))
    return steps


@kind(1)
def flushed_one_by_one(w):
    sql, count = w.r.choice((("select $1::int", 1), ("select 7", 0), ("values (1), (2)", 0)))
    return (Send(parse(sql) + FLUSH, types="1E"), Send(bind(["5"] * count) + FLUSH, types="2E"), Send(execute("", 1) + FLUSH, types="CsE"), Send(execute() + FLUSH, types="CsE"),
            Send(b"".join(FORGOTTEN), ready=2))


# FunctionCall

FUNCTIONS = {"set_config": 2078, "int4pl": 177, "textlen": 1257, "current_setting": 3294, "pg_advisory_xact_lock": 2880}


def call(function, *arguments, formats=(), result=0):
    body = struct.pack(f"!IH{len(formats)}HH", FUNCTIONS[function], len(formats), *formats, len(arguments))
    for argument in arguments:
        raw = argument.encode() if isinstance(argument, str) else argument
        body += struct.pack("!i", -1) if raw is None else struct.pack("!i", len(raw)) + raw
    return message("F", body + struct.pack("!H", result))


@kind(3)
def function_calls(w):
    r = w.r
    name, value = script_settings.pair(w)
    what = r.random()
    if what < 0.4:
        data = call("set_config", name, value, r.choice(("false", "false", "true")))
    elif what < 0.5:
        data = call("set_config", name, value, b"\0", formats=(0, 0, 1), result=r.randrange(2))
    elif what < 0.6:
        data = call("int4pl", struct.pack("!i", 40), struct.pack("!i", 2), formats=(1,), result=r.randrange(2))
    elif what < 0.7:
        data = call("textlen", "äöü") + call("textlen", None) + call("textlen")
    elif what < 0.8:
        data = call("current_setting", "work_mem", "t")
    elif what < 0.9:
        data = call("pg_advisory_xact_lock", str(w.key()))
    else:
        data = query("select 1") + call("int4pl", "1", "x") + query("select 2")
    steps = [said(data, ready=readies(data))]
    return [*steps, said(query(script_settings.look(w)))]


# Long texts

@kind(0.5)
def long_text(w):
    """Parsed up to one Sync, run behind the next, while other clients work."""
    size = w.r.choice((7_000, 8_300, 8_300, 20_000, 59_000, 61_000, 61_000, 600_000))
    name = w.r.choice(("", "", "l2"))
    sql, count = w.r.choice(((f"select $1::int, length('{'a' * size}')", 1), (f"insert into {w.schema}.u values ($1) /* {'c' * size} */", 1),
                             (f"/* {'b' * size} */ select '01/02/2020'::date", 0)))
    steps = [said(close("S", name) if name else b"", parse(sql, name), describe("S", name) if w.r.random() < 0.5 else b"", SYNC)]
    if name and w.r.random() < 0.5:
        steps.append(said(query(w.simple())))
    steps += [said(bind(["4"] * count, name), execute(), SYNC)] * w.r.randint(1, 2)
    if w.r.random() < 0.3:
        steps.append(said(query(f"select length('{'q' * size}'), 1/{w.r.randrange(2)}")))
    return [*steps, said(close("S", name), SYNC)]
