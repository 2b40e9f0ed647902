"""What cannot be read with certainty, in transaction mode: nothing of it reaches another client. Rows of docs/transaction-mode.md."""

import re
import struct
from pathlib import Path

import pytest
from harness import wire
from harness.shared_servers import transaction_pool
from harness.sessions import directly
from harness.two_sides import prepare, run, told_alike
from harness.waiting import wait_until

FUNCTIONS = """
do $do$ begin create role doubtful; exception when duplicate_object or unique_violation then null; end $do$;
create function sets(name text, value text) returns text language plpgsql as $f$ begin return set_config(name, value, false); end $f$;
create procedure sets_too(name text, value text) language plpgsql as $f$ begin perform set_config(name, value, false); end $f$;
create function becomes() returns void language plpgsql as $f$ begin set role doubtful; end $f$;
create function cleans() returns void language plpgsql as $f$ begin deallocate all; end $f$;
create function reads_strings_otherwise() returns void language plpgsql as $f$ begin set standard_conforming_strings = off; end $f$;
create function locks() returns text language sql as 'select pg_advisory_lock(7)::text';
"""
SECRET = "select current_setting('app.secret', true)"
SET_CONFIG = 2078


def function_call(oid, *arguments):
    body = struct.pack("!IHH", oid, 0, len(arguments))
    for argument in arguments:
        body += struct.pack("!i", len(argument)) + argument
    return wire.message("F", body + struct.pack("!H", 0))


def prepared(*texts):
    """Named statements, made and run in one batch."""
    return b"".join(wire.extended(text, name=f"s{number}") for number, text in enumerate(texts)) + wire.SYNC


@pytest.fixture
def superusers_pool(tidepool, postgres):
    """Makes a daemon with a pool of one server whose login may do anything, and functions there that do things unseen."""
    def made(**settings):
        database = postgres.create_database()
        directly(postgres, database, user="postgres").rows(FUNCTIONS)
        daemon = tidepool(pools={"bench": {**transaction_pool(1, **settings)["bench"], "conninfo": postgres.conninfo(database, "postgres"), "users": ["app", "keeper"]}})
        daemon.database = database
        return daemon
    return made


@pytest.fixture
def pool(superusers_pool):
    """Such a daemon, a client that does things, and another one."""
    daemon = superusers_pool()
    daemon.session, daemon.other = daemon.wire("bench"), daemon.wire("bench")
    return daemon


def say(client, *batch):
    client.send(*batch)
    return client.read_until_ready()


HIDDEN = [
    pytest.param(wire.query("select sets('app.secret', 'left')"), id="a function"),
    pytest.param(wire.query("call sets_too('app.secret', 'left')"), id="a procedure"),
    pytest.param(prepared("select sets('app.secret', 'left')"), id="a function in a prepared statement"),
    pytest.param(wire.query("do $$ begin perform sets('app.secret', 'left'); end $$"), id="a DO block that calls a function"),
    pytest.param(wire.query("do $$ begin execute 'set app.sec' || 'ret = ''left'''; end $$"), id="a composed text"),
    pytest.param(wire.query("select U&\"set\\005fconfig\"('app.secret', 'left', false)"), id="a name with escapes"),
    pytest.param(wire.query("set app.U&\"\\0073ecret\" = 'left'"), id="a setting with escapes"),
    pytest.param(wire.query("select query_to_xml('select set_config(''app.secret'', ''left'', false)', true, false, '')"), id="a text that a function runs"),
    pytest.param(wire.query("select schema_to_xml('hides', true, false, '')"), id="a text that a function composes"),
    pytest.param(wire.query("prepare p as select set_config($1, 'left', false); execute p('app.secret'); deallocate p"), id="a name that EXECUTE gives"),
    pytest.param(wire.query(f"select '{'x' * 70000}', set_config('app.secret', 'left', false)"), id="a long text"),
    pytest.param(wire.query("create function pg_temp.x() returns int begin atomic select 1 end; end; set app.secret = 'left'; drop function pg_temp.x()"), id="a word that may be a label"),
]


@pytest.mark.parametrize("said", HIDDEN)
def test_a_custom_setting_that_was_made_unseen_meets_nobody_else(pool, said):
    pool.session.rows("create schema if not exists hides")
    pool.session.rows("create or replace view hides.v as select set_config('app.secret', 'left', false)")
    assert all(answer.type != "E" for answer in say(pool.session, said))
    mine = pool.session.value(SECRET)
    assert pool.other.value(SECRET) in (None, "")
    assert mine == "left", "the session itself has it, on that server"


def test_set_config_by_a_function_call_message_follows_its_session(tidepool, postgres):
    daemon = tidepool(pools=transaction_pool(2))
    session, other, third = (daemon.wire("bench") for _ in range(3))
    assert [answer.type for answer in say(session, function_call(SET_CONFIG, b"app.secret", b"mine", b"f"))] == ["V", "Z"]
    other.rows("begin")
    for _ in range(2):
        assert session.value(SECRET) == "mine"
        assert third.value(SECRET) in (None, "")
    other.rows("rollback")
    assert session.value(SECRET) == "mine"
    assert other.value(SECRET) in (None, "")


@pytest.mark.parametrize("said", ["select becomes()", "do $$ begin perform becomes(); end $$", "do $$ begin execute 'set ro' || 'le doubtful'; end $$",
                                  "select U&\"becomes\"()"])
def test_a_role_that_was_set_inside_a_function_is_that_sessions_alone(pool, said):
    pool.session.rows(said)
    for _ in range(2):
        assert pool.session.value("select current_user") == "doubtful"
        assert pool.other.value("select current_user") == "postgres"


def test_what_is_undone_in_front_does_not_change_what_a_client_may_do(pool):
    for first in ("vacuum", "begin isolation level serializable", "select 1/0", "create table t (a int)", "rollback"):
        pool.session.rows("select sets('work_mem', '7MB')")
        answers = say(pool.other, wire.query(first))
        assert [answer.fields["C"] for answer in answers if answer.type == "E"] == (["22012"] if "1/0" in first else []), first
        if pool.other.status == "T":
            pool.other.rows("rollback")
        assert pool.other.value("show work_mem") == "4MB"


def test_who_gets_its_own_server_back_keeps_what_it_made_unseen(pool):
    pool.session.rows("select sets('app.secret', 'left')")
    for _ in range(3):
        assert pool.session.value(SECRET) == "left"
    pool.session.terminate()
    assert pool.other.value(SECRET) in (None, "")


def test_statements_settings_and_told_parameters_live_through_what_is_undone(pool):
    say(pool.other, wire.parse("select 41 + 1, current_setting('work_mem'), current_setting('timezone')", "mine") + wire.SYNC)
    pool.other.rows("set work_mem = '5MB'; set timezone = 'Asia/Tokyo'")
    for _ in range(2):
        pool.session.rows("select sets('work_mem', '7MB'), sets('timezone', 'UTC'), becomes()")
        answers = say(pool.other, wire.bind((), "mine") + wire.execute() + wire.SYNC)
        assert [answer.type for answer in answers] == ["2", "D", "C", "Z"]
        assert b"42" in answers[1].body and b"5MB" in answers[1].body and b"Asia/Tokyo" in answers[1].body
        assert pool.other.parameters["TimeZone"] == "Asia/Tokyo"


@pytest.mark.parametrize("said", ["select cleans()", "do $$ begin deallocate all; end $$", "do $$ begin execute 'deallo' || 'cate all'; end $$"])
def test_deallocate_all_inside_takes_only_its_own_clients_statements(pool, postgres, said):
    for client in (pool.session, pool.other):
        say(client, wire.parse("select 'good'", "mine") + wire.SYNC)
        assert say(client, wire.bind((), "mine") + wire.execute() + wire.SYNC)[1].type == "D"
    direct = directly(postgres, pool.database, user="postgres")
    say(direct, wire.parse("select 'good'", "mine") + wire.SYNC)
    direct.rows(said)
    pool.session.rows(said)
    for _ in range(2):
        assert [answer.type for answer in say(pool.other, wire.bind((), "mine") + wire.execute() + wire.SYNC)] == ["2", "D", "C", "Z"]
    for client in (direct, pool.session):
        answers = say(client, wire.bind((), "mine") + wire.execute() + wire.SYNC)
        assert [(answer.type, answer.fields.get("C")) for answer in answers if answer.type == "E"] == [("E", "26000")]


DEALLOCATES = "create function deallocates() returns int language plpgsql as $$ begin deallocate all; return 1; end $$"


@pytest.mark.parametrize("said", [wire.query("select deallocates()"), wire.query("do $$ begin deallocate all; end $$"), wire.query("do $$ begin execute 'deallo' || 'cate all'; end $$"),
                                  wire.query("select query_to_xml('select deallocates()', true, false, '')"), wire.query(f"select length('{'x' * 100_000}'); select deallocates()"),
                                  wire.extended("select deallocates()") + wire.SYNC, wire.parse("select deallocates()", "d") + wire.bind((), "d") + wire.execute() + wire.SYNC])
def test_who_loses_its_statements_inside_on_a_server_that_had_none_of_them_has_lost_them(tidepool, postgres, said):
    def story(side):
        client = side.connect()
        for name in ("s1", "s2"):
            side.say(client, prepare("select 'kept'", name))
        side.elsewhere()
        side.say(client, said)
        side.say(client, run((), "s1"))
        side.say(client, wire.describe("S", "s2") + wire.SYNC)
        side.say(client, prepare("select 'again'", "s1"))
        side.say(client, run((), "s1"))
        side.rest()
        side.say(client, run((), "s1"))
    told_alike(tidepool, postgres, story, prepares=[DEALLOCATES], size=2)


def test_what_is_prepared_behind_a_loss_is_there(tidepool, postgres):
    def story(side):
        client = side.connect()
        side.say(client, prepare("select 'old'", "old"))
        side.elsewhere()
        side.say(client, "begin")
        side.say(client, "select deallocates()")
        side.say(client, prepare("select 'new'", "new"))
        side.say(client, run((), "new"))
        side.say(client, "commit")
        side.rest()
        for name in ("new", "old", "new"):
            side.say(client, run((), name))
    told_alike(tidepool, postgres, story, prepares=[DEALLOCATES], size=2)


LOSSES = [wire.query("select deallocates()"), wire.query("do $$ begin deallocate all; end $$"), wire.query("do $$ begin execute 'deallo' || 'cate all'; end $$"),
          wire.extended("select deallocates()") + wire.SYNC, wire.parse("select deallocates()", "d") + wire.bind((), "d") + wire.execute() + wire.SYNC]
USES = {"bind": run((), "kept"), "describe": wire.describe("S", "kept") + wire.SYNC, "execute": "execute kept", "deallocate": "deallocate kept",
        "fetch": wire.describe("S", "fetch") + wire.SYNC, "named execute": run((), "runs"), "named deallocate": run((), "takes")}


@pytest.mark.parametrize("used", USES)
@pytest.mark.parametrize("has_others", [False, True])
@pytest.mark.parametrize("said", LOSSES)
def test_what_is_lost_inside_is_not_prepared_anew_in_its_transaction(tidepool, postgres, said, has_others, used):
    def story(side):
        client = side.connect()
        side.say(client, prepare("select 'kept'", "kept"))
        side.say(client, prepare("execute kept", "runs"))
        side.say(client, prepare("deallocate kept", "takes"))
        side.say(client, "begin; declare c cursor for select 1")
        side.say(client, prepare("fetch c", "fetch"))
        side.say(client, "commit")
        side.elsewhere()
        if has_others:
            side.say(side.connect(), prepare("select 'another'", "kept"))
        side.say(client, "begin")
        side.say(client, said)
        side.say(client, USES[used])
        side.say(client, "select 1")
        side.say(client, "rollback")
        for name in ("kept", "runs", "takes", "fetch"):
            side.say(client, run((), name))
        side.say(client, prepare("select 'again'", "kept"))
        side.say(client, run((), "kept"))
        side.rest()
        side.say(client, run((), "kept"))
    told_alike(tidepool, postgres, story, prepares=[DEALLOCATES], size=2)


def test_what_is_not_lost_behind_a_doubt_is_prepared_anew(tidepool, postgres):
    def story(side):
        client = side.connect()
        side.say(client, prepare("select 'kept'", "kept"))
        side.say(client, prepare("execute kept", "runs"))
        side.elsewhere()
        side.say(client, "begin")
        side.say(client, "do $$ begin execute 'select 1'; end $$")
        side.say(client, run((), "runs"), run((), "kept"), ready=2)
        side.say(client, wire.describe("S", "kept") + wire.SYNC)
        side.say(client, wire.parse("deallocate all", "all") + wire.bind((), "all") + wire.execute() + prepare("select 'behind'", "kept")[:-5] + run((), "kept"))
        side.say(client, run((), "kept"))
        side.say(client, "commit")
        side.say(client, run((), "kept"))
        side.say(client, run((), "runs"))
    told_alike(tidepool, postgres, story, prepares=[DEALLOCATES], size=2)


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize("said", LOSSES)
def test_a_name_that_was_lost_inside_is_free_in_its_transaction(tidepool, postgres, said, moves):
    def story(side):
        client = side.connect()
        other = side.connect()
        for each in (client, other):
            side.say(each, prepare("select 'kept'", "kept"))
        if moves:
            side.elsewhere()
        side.say(client, "begin")
        side.say(client, said)
        side.say(client, prepare("select 'again'", "kept", described=False))
        side.say(client, run((), "kept"))
        side.say(client, "commit")
        side.say(client, run((), "kept"))
        side.rest()
        for each in (client, other, other):
            side.say(each, run((), "kept"))
    told_alike(tidepool, postgres, story, prepares=[DEALLOCATES], size=2)


LOSES, MAY_LOSE = "do $$ begin execute 'deallo' || 'cate all'; end $$", "do $$ begin execute 'select 1'; end $$"
NEW, LONG = prepare("select 'new'", "new"), prepare(f"select 'again', length('{'x' * 70_000}')", "kept")
# What a client says in a transaction on a server that has none of its statements: "kept", of "select 'kept'"; "shown", of a command; "lost", which loses all of them.
BEHIND_A_LOSS = {
    "what is prepared behind it runs": [LOSES, NEW, run((), "new"), run((), "new")],
    "and is described": [LOSES, NEW, wire.describe("S", "new") + wire.SYNC],
    "and is executed by SQL": [LOSES, NEW, "execute new"],
    "and is deallocated": [LOSES, NEW, "deallocate new", run((), "new")],
    "and loses all again": [LOSES, prepare(LOSES, "new", described=False), run((), "new"), run((), "new")],
    "and is not lost with the others": [LOSES, NEW, MAY_LOSE, "savepoint s", run((), "kept"), "rollback to s", run((), "new")],
    "and is by the next loss": [LOSES, NEW, LOSES, run((), "new")],
    "and is not by one that did not run": [LOSES, NEW, "select 1/0", MAY_LOSE, run((), "new"), "rollback", run((), "new")],
    "and so is its name": [LOSES, NEW, LOSES, prepare("select 'newer'", "new"), run((), "new")],
    "an equal one is another": [LOSES, prepare("select 'kept'", "new"), run((), "new"), run((), "kept")],
    "an equal command is another": [LOSES, prepare("show work_mem", "new", described=False), run((), "new"), run((), "shown")],
    "a long text is parsed again": [LOSES, LONG, run((), "kept")],
    "a long text is not": [MAY_LOSE, LONG, "rollback", run((), "kept")],
    "one is deallocated by the unnamed statement": [LOSES, wire.extended("deallocate kept") + wire.SYNC],
    "one that lives is": [MAY_LOSE, wire.extended("deallocate kept") + wire.SYNC, run((), "kept")],
    "in a failed transaction nobody looks for it": [LOSES, "select 1/0", "execute kept"],
    "one that is closed behind its use": [MAY_LOSE, NEW, LOSES, run((), "new") + wire.close("S", "new") + wire.SYNC, run((), "kept")],
    "in the batch of another doubt": [wire.extended("do $$ begin deallocate all; end $$") + wire.extended(MAY_LOSE) + wire.SYNC, run((), "kept")],
    "what is prepared in its batch goes with the next": [wire.extended("do $$ begin deallocate all; end $$") + NEW, "deallocate all", run((), "new")],
    "in the batch of what takes the rest": [wire.extended("do $$ begin deallocate all; end $$") + wire.extended("deallocate all") + wire.SYNC, run((), "kept")],
    "the unnamed one lives": [wire.parse("select 'unnamed'") + wire.SYNC, run((), "") + run((), "lost") + run((), "")],
}


@pytest.mark.parametrize("said", BEHIND_A_LOSS.values(), ids=BEHIND_A_LOSS)
@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("has_others", [True, False])
def test_behind_a_loss_each_statement_is_what_it_is_directly(tidepool, postgres, said, begins, has_others):
    def story(side):
        client = side.connect()
        for sql, name in (("select 'kept'", "kept"), ("show work_mem", "shown"), (LOSES, "lost")):
            side.say(client, prepare(sql, name))
        side.elsewhere()
        if has_others:
            other = side.connect()
            for sql in ("select 'kept'", "show work_mem"):
                side.say(other, prepare(sql, sql))
            side.say(other, MAY_LOSE)
        if begins:
            side.say(client, "begin")
        for each in said:
            side.say(client, each, ready=1 if isinstance(each, str) else each.count(wire.SYNC))
        side.say(client, "rollback")
        side.rest()
        for name in ("kept", "new", "shown"):
            side.say(client, run((), name))
    told_alike(tidepool, postgres, story, size=2)


@pytest.mark.parametrize("form", ["deallocate {0}; prepare {0} as select 'forged'", "do $$ begin deallocate {0}; prepare {0} as select 'forged'; end $$",
                                  "do $$ begin execute 'deallo' || 'cate {0}'; execute 'prep' || 'are {0} as select ''forged'''; end $$",
                                  "deallocate {1}; prepare {1} as select 'forged'"])
@pytest.mark.parametrize("leaves", [True, False])
def test_nobody_runs_a_statement_that_another_client_has_put_in_the_place_of_its_own(pool, form, leaves):
    say(pool.other, wire.parse("select 'good'", "mine") + wire.bind((), "mine") + wire.execute() + wire.SYNC)
    (name,), *_ = pool.session.rows("select name from pg_prepared_statements")
    escaped = 'U&"' + name.replace("_", "\\005f") + '"'
    pool.session.rows(form.format(f'"{name}"', escaped))
    if leaves:
        pool.session.terminate()
    else:
        pool.session.rows("deallocate all")
    for _ in range(2):
        assert say(pool.other, wire.bind((), "mine") + wire.execute() + wire.SYNC)[1].body.endswith(b"good")


def test_who_forges_the_question_gets_no_lie_believed(pool):
    pool.session.rows("select sets('app.secret', 'left')")
    (name,), *_ = pool.session.rows("select name from pg_prepared_statements where statement like '%pg_locks%'")
    pool.session.rows(f"do $do$ begin execute 'deallocate \"{name}\"'; execute $$prepare \"{name}\" as select 'p', '0 0 0 0', '' from sets('app.secret', 'left') $$;"
                      " perform pg_advisory_lock(7); end $do$")
    for _ in range(2):
        pool.session.rows("select sets('work_mem', '7MB')")
        pool.session.rows("")                                   # waits for the answer
        assert "prepared statements of its own" in pool.console("show pins")[0]["why"]
    pool.session.terminate()
    assert pool.other.value("select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()") == "0"
    assert pool.other.value(SECRET) in (None, "")


HIDING = r"select '\', '; set role doubtful; select set_config($$app.secret$$, $$left$$, false); --'"


@pytest.mark.parametrize("said", [
    pytest.param(wire.query("set standard_conforming_strings = off") + wire.query(HIDING), id="one query behind another"),
    pytest.param(wire.query("begin") + wire.query("set local standard_conforming_strings = off") + wire.query(HIDING) + wire.query("commit"), id="in a transaction"),
    pytest.param(wire.query("select reads_strings_otherwise()") + wire.query(HIDING), id="by a function"),
    pytest.param(function_call(SET_CONFIG, b"standard_conforming_strings", b"off", b"f") + wire.query(HIDING), id="by a message"),
    pytest.param(wire.query("set standard_conforming_strings = off") + wire.query("begin; set local standard_conforming_strings = on") +
                 wire.query("rollback") + wire.query(HIDING), id="by a rollback"),
])
def test_a_text_behind_what_may_change_how_strings_are_read_hides_nothing(pool, said):
    pool.session.send(said)
    for _ in range(said.count(b"Q\0") + said.count(b"F\0")):
        pool.session.read_until_ready()
    for _ in range(2):
        assert pool.other.value("select current_user") == "postgres"
        assert pool.other.value(SECRET) in (None, "")


def test_a_text_in_the_batch_that_changes_how_strings_are_read_hides_nothing(pool):
    hiding = r"select '\', set_config($$app.secret$$, $$left$$, false); --'"
    other = r"select '\', ', set_config($$app.secret$$, $$left$$, false) --'"
    for text in (hiding, other):
        say(pool.session, wire.extended("set standard_conforming_strings = off") + wire.extended(text) + wire.SYNC)
        assert pool.other.value(SECRET) in (None, "")
        say(pool.session, wire.extended("set standard_conforming_strings = off") + wire.extended(text, name=f"n{text == other}") + wire.SYNC)
        assert pool.other.value(SECRET) in (None, "")


@pytest.mark.parametrize("encoding, letter", [("SJIS", b"\x95\x5c"), ("BIG5", b"\xa5\x5c"), ("GBK", b"\x95\x5c"), ("SHIFT_JIS_2004", b"\x95\x5c")])
def test_a_letter_that_holds_a_backslash_hides_nothing(pool, encoding, letter):
    session = pool.wire("bench", client_encoding=encoding)
    for text in (b"select E'" + letter + b"', set_config($$app.secret$$, $$left$$, false) --'",
                 b"select 1 as " + letter + b"E'', '\\', set_config($$app.secret$$, $$left$$, false) --'"):
        session.send(wire.query(text))
        session.read_until_ready()
        assert pool.other.value(SECRET) in (None, "")


@pytest.mark.timeout(120)
def test_no_other_letter_becomes_a_quote_or_a_backslash(postgres):
    """PostgreSQL converts a text before it reads it: asked of every conversion of a client's letters of one and two bytes, on a server in UTF8."""
    source = (Path(__file__).parents[2] / "lib/sql/encodings.cc").read_text()
    doubtful = set(re.findall(r'"([a-z0-9_]+)"', source[source.index("kDoubtful{"):]))
    assert doubtful == {"sjis", "shift_jis_2004", "big5", "gbk", "uhc", "gb18030", "johab"}
    postgres.query("create function converted(bytea, name) returns bytea language plpgsql immutable as $f$"
                   " begin return convert($1, $2, 'UTF8'); exception when others then return null; end $f$")
    encodings = [row[0] for row in postgres.query("select pg_encoding_to_char(conforencoding) from pg_conversion where condefault"
                                                  " and pg_encoding_to_char(contoencoding) = 'UTF8' order by 1")]
    assert len(encodings) > 30
    found = set()
    for encoding in encodings:
        two = "" if re.match("LATIN|WIN|KOI|ISO", encoding) else \
            " union all select decode(lpad(to_hex(i * 256 + j), 4, '0'), 'hex') from generate_series(161, 254, 3) i, generate_series(64, 255) j"
        if postgres.query(f"select count(*) from (select decode(to_hex(i), 'hex') from generate_series(128, 255) i{two}) l(letter),"
                          f" lateral converted(letter, '{encoding}') c(c) where position('\\x27'::bytea in c) > 0 or position('\\x5c'::bytea in c) > 0")[0][0]:
            found.add(encoding.lower())
    assert found <= doubtful


def test_under_allow_roles_and_custom_settings_meet_nobody_else(superusers_pool):
    daemon = superusers_pool(on_session_state="allow")
    session, other = daemon.wire("bench"), daemon.wire("bench")
    for said in ("select sets('app.secret', 'left'), becomes()", "select set_config('app.' || 'secret', 'left', false)",
                 "do $$ begin execute 'set app.sec' || 'ret = ''left'''; execute 'set ro' || 'le doubtful'; end $$"):
        session.rows(said)
        assert other.rows("select current_user, current_setting('app.secret', true)")[0][0] == "postgres"
        assert other.value(SECRET) in (None, "")
    session.rows("select locks()")
    assert other.value("select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()") == "1", "that stays, as documented"


def test_a_client_in_session_mode_finds_nothing_of_what_was_made_unseen(superusers_pool):
    daemon = superusers_pool(user_modes={"keeper": "session"})
    session = daemon.wire("bench")
    session.rows("select sets('app.secret', 'left')")
    keeper = daemon.wire("bench", user="keeper")
    assert keeper.value(SECRET) in (None, "")
    keeper.terminate()
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 1, "the server rests")
    assert session.value(SECRET) in (None, "")


@pytest.mark.parametrize("said", ["select setseed(0.5)", "set seed = 0.5", "load '$libdir/plpgsql'"])
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_what_no_statement_undoes_ends_its_server_in_either_mode(tidepool, postgres, mode, said):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1, "mode": mode, "users": ["app"], "conninfo": postgres.conninfo(postgres.create_database(), "postgres")}})
    session = daemon.wire("bench")
    session.rows(said)
    server = session.value("select pg_backend_pid()")
    session.send(wire.query("create table written (a int)") + wire.query("insert into written values (1)"))
    session.terminate()
    other = daemon.wire("bench")
    wait_until(lambda: other.value("select to_regclass('written')") == "written", "what it asked for before its goodbye is done")
    assert other.value("select count(*) from written") == "1"
    assert other.value("select pg_backend_pid()") != server


@pytest.mark.parametrize("level", ["debug5", "debug2", "log"])
def test_names_of_ours_do_not_show_in_notices(superusers_pool, level):
    daemon = superusers_pool()
    session, other = daemon.wire("bench"), daemon.wire("bench")
    say(other, wire.parse("select 1", "others") + wire.SYNC)
    session.rows(f"set client_min_messages = {level}; set log_duration = on; set log_statement = 'all'")
    heard = []
    for said in (wire.extended("select 1", name="mine") + wire.SYNC, wire.bind((), "mine") + wire.execute() + wire.SYNC,
                 wire.query("select sets('app.secret', 'left')"), wire.bind((), "mine") + wire.execute() + wire.SYNC, wire.close("S", "mine") + wire.SYNC):
        heard += say(session, said)
        other.rows("select sets('work_mem', '7MB')")
    notices = [answer.body for answer in heard if answer.type == "N"]
    assert notices, "there are some"
    assert not [notice for notice in notices if b"tidepool" in notice]
    assert [notice for notice in notices if b" mine" in notice], "the client's own name is there"


@pytest.mark.parametrize("batch", [wire.close("S", "mine") + wire.parse("select 2", "mine") + wire.bind((), "mine") + wire.execute(),
                                   wire.bind((), "mine") + wire.close("S", "mine") + wire.execute() + wire.close("S", "nothing") + wire.extended("select 3"),
                                   wire.close("S", "nothing") + wire.extended("do $$ begin raise notice 'said'; raise log 'logged'; end $$"),
                                   wire.execute() + wire.close("S", "nothing") + wire.extended("select 3")])
@pytest.mark.parametrize("level", ["debug2", "log", "notice"])
def test_what_postgres_says_while_it_runs_something_follows_the_answer_to_what_was_before(tidepool, postgres, level, batch):
    def story(side):
        client = side.connect()
        side.say(client, f"set client_min_messages = {level}")
        side.say(client, prepare("select 1", "mine"))
        side.say(client, batch + wire.SYNC)
    told_alike(tidepool, postgres, story)


@pytest.mark.parametrize("text", ["begin", "set work_mem to '2MB'", "do $$ begin end $$"])
@pytest.mark.parametrize("how", ["set client_min_messages to 'DEBUG2'", "select set_config('client_min_messages', 'debug5', false)",
                                 "begin; set client_min_messages to debug3", "begin; set local client_min_messages to debug2",
                                 "begin; select set_config('client_min_messages', 'debug2', true)", "do $$ begin set client_min_messages to debug2; end $$"])
def test_who_hears_debug_lines_hears_of_each_parse(tidepool, postgres, how, text):
    """Of those too that are answered here for others: the text is no query, and is prepared."""
    def story(side):
        client = side.connect()
        side.say(client, prepare(text, "mine"))
        side.say(client, wire.query(how))
        for _ in range(3):
            side.say(client, wire.close("S", "mine") + prepare(text, "mine"))
        side.say(client, wire.query("rollback"))
        side.say(client, wire.close("S", "mine") + prepare(text, "mine"))
    told_alike(tidepool, postgres, story)


def test_how_long_something_took_is_said_behind_it(superusers_pool, postgres):
    daemon = superusers_pool()
    order = []
    for client in (directly(postgres, daemon.database, user="postgres"), daemon.wire("bench")):
        client.rows("set client_min_messages = log; set log_duration = on")
        answers = say(client, wire.extended("select 1") + wire.close("S", "nothing") + wire.extended("select 2") + wire.SYNC)
        order.append([answer.fields["M"].split()[0] if answer.type == "N" else answer.type for answer in answers])
    assert order[0] == order[1]
    assert "duration:" in order[0]


def test_the_names_of_harmless_functions_are_postgresqls_own(postgres):
    """Of the server's version and of those before."""
    source = (Path(__file__).parents[2] / "lib/sql/catalog_names.cc").read_text()
    major = postgres.query("select current_setting('server_version_num')::int / 10000")[0][0]
    catalog = {row[0] for row in postgres.query("select distinct proname from pg_proc where pronamespace = 'pg_catalog'::regnamespace")}
    words = {row[0] for row in postgres.query("select word from pg_get_keywords() where catcode in ('R', 'C')")}
    listed = 0
    for kind, since, body in re.findall(r"k(Functions|Keywords)(\d+) =\n(.*?);", source, re.S):
        if int(since) > major:
            continue
        names = set("".join(re.findall(r'"(.*?)"', body)).split())
        listed += len(names)
        missing = names - (catalog if kind == "Functions" else words)
        assert not missing, f"{kind}{since}: {sorted(missing)}"
    assert listed > 1500
    # What PostgreSQL itself says may change something is looked at by people.
    harmful = {"set_config", "setseed", "nextval", "setval", "currval", "lastval", "pg_advisory_lock", "pg_try_advisory_lock", "query_to_xml", "ts_stat",
               "ts_rewrite", "pg_create_logical_replication_slot", "pg_create_physical_replication_slot"}
    assert not [name for name in harmful if re.search(rf'["\s]{name} ', source)]


def test_a_loss_is_noticed_by_what_was_prepared_in_doubt(tidepool, postgres):
    """A session that is pinned is not asked; its statement was parsed behind letters that nobody could be sure of, and used."""
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 2, "mode": "transaction"}})
    daemon.psql("-c", "create sequence s", pool="bench")
    heard = []
    for client in (directly(postgres, daemon.databases["bench"]), daemon.wire("bench")):
        say(client, wire.query("select case when current_setting('work_mem') = '' then currval('s') end"))
        say(client, wire.query("select nextval('s')"))
        client.send(wire.query("set client_encoding to 'UHC'") + wire.message("P", b"l\0select '\xb0\xa1', length('\xb0\xa1')\0\0\0") + wire.bind((), "l")
                    + wire.execute() + wire.SYNC + wire.query("set client_encoding to 'UTF8'"))
        for _ in range(3):
            client.read_until_ready()
        say(client, wire.parse("select 'kept'", "mine") + wire.SYNC)
        say(client, wire.bind((), "mine") + wire.execute() + wire.SYNC)
        say(client, wire.extended("do $$ begin execute 'deal' || 'locate all'; end $$") + wire.SYNC)
        heard.append([answer.fields["C"] if answer.type == "E" else answer.type for answer in say(client, wire.bind((), "mine") + wire.execute() + wire.SYNC)])
    assert heard == [["26000", "Z"]] * 2

