"""What a session began with is what it goes back to, at once: every form of RESET, in any company, in session and in transaction mode. Each session is
said message by message to PostgreSQL itself as well, and must be answered the same: rows, tags, errors, and every ParameterStatus in its place."""

import struct

import pytest
from harness import wire
from harness.sessions import directly
from harness.waiting import wait_until
from harness.wire import SYNC, extended, query

STARTUP = {"search_path": "one, pg_catalog", "DateStyle": "German", "TimeZone": "Europe/Berlin", "client_encoding": "LATIN1",
           "application_name": "tester", "options": r"-c role=differ -c work_mem=7MB --app.tenant=seven\ of\ nine"}
OTHERS = {"search_path": "two", "DateStyle": "SQL, MDY", "TimeZone": "Asia/Tokyo", "client_encoding": "UTF8", "role": "none", "work_mem": "9MB",
          "app.tenant": "eight"}
LOOK = "select " + ", ".join(f"current_setting('{name}')" for name in OTHERS) + ", current_user, current_schemas(false), '2020-02-01'::date"
FORMS = {name: [f"reset {name}", f"set {name} to default", f"set session {name} to default", f"select set_config('{name}', null, false)"]
         for name in OTHERS}
FORMS["TimeZone"] += ["set time zone local", "set time zone default", "reset time zone"]
FORMS["client_encoding"] += ["set names default"]
FORMS["role"] = ["reset role", "select set_config('role', null, false)"]
ALL = ["reset all", "reset all; reset role"]

# How the text is said: a list of writes, each with the number of ReadyForQuery that it is answered with.
COMPANY = {
    "alone": lambda text: [(query(text), 1), (query(LOOK), 1)],
    "in one text with others": lambda text: [(query(f"select 1; {text}; {LOOK}"), 1)],
    "in one write with the next message": lambda text: [(query(text) + query(LOOK) + extended(LOOK) + SYNC, 3)],
    "in a batch": lambda text: [(extended("select 1") + parts(text) + extended(LOOK) + SYNC, 1)],
    "in one write, as batches": lambda text: [(parts(text) + SYNC + extended(LOOK) + SYNC, 2)],
    "in a transaction": lambda text: [(query("begin"), 1), (query(text), 1), (query(LOOK), 1), (query("commit"), 1)],
    "in a transaction that is rolled back": lambda text: [(query("begin"), 1), (query(text) + query(LOOK), 2), (query("rollback"), 1),
                                                         (query(LOOK), 1)],
    "behind a savepoint": lambda text: [(query("begin; savepoint a"), 1), (query(text), 1), (query("rollback to a"), 1), (query(LOOK), 1),
                                        (query("commit"), 1)],
    "in a block": lambda text: [(query(f"do $$ begin {plpgsql(text)}; raise notice '%', '2020-02-01'::date; end $$"), 1), (query(LOOK), 1)],
    "in a function": lambda text: [(query(f"create or replace function public.resets() returns text language plpgsql as $f$ begin {plpgsql(text)};"
                                          " return current_setting('TimeZone') || current_user; end $f$"), 1),
                                   (query(f"select public.resets(); {LOOK}"), 1), (query(text), 1)],
    "in a procedure's text": lambda text: [(query(f"do $$ begin execute $x${text}$x$; end $$"), 1), (query(LOOK), 1)],
}


def parts(text):
    return b"".join(extended(part.strip()) for part in text.split(";"))


def plpgsql(text):
    return "; ".join(part.strip().replace("select ", "perform ") for part in text.split(";"))


def said(client, writes):
    """Of parameters that are told together PostgreSQL's order is that in which they were changed first, by others perhaps."""
    answers = []
    for data, ready in writes:
        client.send(data)
        for _ in range(ready):
            got = [(answer.type, answer.body) for answer in client.read_until_ready()]
            first = next((at for at, (letter, _) in enumerate(got) if letter == "S"), 0)
            last = first + sum(letter == "S" for letter, _ in got)
            answers.append(got[:first] + sorted(got[first:last]) + got[last:])
    return answers


@pytest.fixture
def both(tidepool, postgres):
    """both(mode, user, **startup): a direct session, one through a pool, and what sets everything to something else on the pool's servers."""
    for role in ("differ", "guest"):
        if not postgres.query("select 1 from pg_roles where rolname = %s", [role]):
            postgres.create_role(role)
    postgres.execute("grant differ, guest to app")

    def start(mode, user="app", **startup):
        database = postgres.create_database()
        daemon = tidepool(pools={"bench": {"conninfo": postgres.conninfo(database, user), "mode": mode, "min_size": 0, "max_size": 3,
                                           "max_pinned": 2}})
        with directly(postgres, database, user="postgres") as owner:
            owner.ask("create schema one; create schema two; grant all on schema one, two, public to public")
        direct = directly(postgres, database, user=user, **startup)
        session, other = (daemon.wire("bench", user=user, **startup) for _ in range(2))

        def others():
            """Another client of the same startup settings had the server, and left all of it otherwise."""
            if mode == "transaction":
                for name, value in OTHERS.items():
                    other.ask(f"set {name} to '{value}'")
        return direct, session, others
    return start


def same(direct, session, writes, why):
    there, here = said(direct, writes), said(session, writes)
    assert here == there, f"{why}\nhere:     {here}\ndirectly: {there}"
    for name, value in direct.parameters.items():
        assert session.parameters[name] == value, (why, name)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("company", COMPANY)
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_what_a_session_began_with_is_what_it_goes_back_to_at_once(both, mode, company):
    direct, session, others = both(mode, **STARTUP)
    for name, value in OTHERS.items():
        for text in FORMS[name] + ALL:
            for number, writes in enumerate(([(query(f"set {name} to '{value}'"), 1)], COMPANY[company](text), [(query(LOOK), 1)])):
                others()
                same(direct, session, writes, f"{name}, {text}: {number}")


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_set_local_to_default_is_what_the_session_began_with_until_the_transaction_ends(both, mode):
    direct, session, others = both(mode, **STARTUP)
    for name, value in OTHERS.items():
        for form in (f"set local {name} to default", f"select set_config('{name}', null, true)"):
            if name == "role" and form.startswith("set"):
                continue
            for end in ("commit", "rollback"):
                others()
                same(direct, session, [(query(f"set {name} to '{value}'"), 1), (query("begin"), 1), (query(form), 1), (query(LOOK), 1), (query(end), 1),
                                       (query(LOOK), 1), (query(f"begin; {form}; {LOOK}; commit; {LOOK}"), 1), (query(LOOK), 1)], f"{form}, {end}")


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_discard_all_ends_what_was_set_for_the_very_next_message(both, mode):
    direct, session, others = both(mode, **STARTUP)
    sets = query("; ".join(f"set {name} to '{value}'" for name, value in OTHERS.items()))
    for discard in (query("discard all"), extended("discard all") + SYNC):
        for writes in ([(sets, 1), (discard, 1), (query(LOOK), 1)], [(sets + discard + query(LOOK), 3)], [(sets + discard + extended(LOOK) + SYNC, 3)],
                       [(discard + sets + query(LOOK) + discard, 4)]):
            others()
            same(direct, session, writes, repr(discard))
            same(direct, session, [(query(LOOK), 1)], repr(discard))


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_session_authorization_takes_the_startup_role_along_and_brings_it_back(both, mode):
    """Nor does a session with a startup role ever run as the user that the pool logs in as."""
    direct, session, others = both(mode, user="postgres", options="-c role=differ", TimeZone="Europe/Berlin")
    who = "select session_user, current_user, current_setting('role'), current_setting('is_superuser')"
    texts = ["reset role", "set session authorization guest", "reset role", "set session authorization default", "set role guest", "reset all; reset role",
             "set session authorization guest", "reset session authorization", "set role none", "reset session authorization", "set role none",
             "discard all", "begin; set local session authorization guest; " + who + "; commit", "begin; set local role none; " + who + "; rollback",
             "set session authorization guest; reset session authorization", "begin; set session authorization guest", "rollback",
             "set session authorization guest", "set work_mem to '3MB'", "set session authorization guest; select 1/0", "set log_statement to 'all'",
             "reset session authorization", "set log_statement to 'all'", "set role none; set log_statement to 'none'; reset role", "discard all"]
    for number, text in enumerate(texts):
        others()
        same(direct, session, [(query(text), 1), (query(who), 1)], f"{number}: {text}")
        if session.status == "I":
            others()
            same(direct, session, [(query(who), 1)], f"{number}: {text}")


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_set_to_what_the_database_has_by_itself_is_not_taken_back(both, mode):
    """Session mode took it for a RESET once, when it came in one text with another."""
    direct, session, others = both(mode, TimeZone="Europe/Berlin", DateStyle="German", work_mem="7MB")
    for text in ("set DateStyle to 'ISO, MDY'; reset work_mem", "set work_mem to '4MB'; reset DateStyle", "set TimeZone to 'Etc/UTC'; reset DateStyle"):
        others()
        same(direct, session, [(query(text), 1), (query("show DateStyle"), 1), (query("show TimeZone"), 1), (query("show work_mem"), 1)], text)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_an_application_name_is_back_for_the_next_message_and_told_with_the_reset(tidepool, postgres, mode):
    """The server was dialed with another client's, and RESET there leads to that."""
    daemon = tidepool(pools={"bench": {"mode": mode, "min_size": 0, "max_size": 1}})
    daemon.wire("bench", application_name="the first").terminate()
    with daemon.wire("bench", application_name="the first") as client:
        client.ask("select 1")
        client.terminate()
    look = query("show application_name")
    with directly(postgres, daemon.databases["bench"], application_name="mine") as direct, daemon.wire("bench", application_name="mine") as session:
        for writes in ([(query("reset all"), 1), (look, 1)], [(query("reset all") + look, 2)], [(query("discard all") + look + look, 3)],
                       [(query("set application_name to 'other'"), 1), (look, 1), (query("reset application_name"), 1), (look, 1)],
                       [(query("set application_name to 'other'") + query("set application_name to default") + look, 3)],
                       [(extended("set application_name to 'other'") + SYNC + extended("reset all") + SYNC + extended("show application_name") + SYNC, 3)],
                       [(query("begin"), 1), (query("set application_name to 'other'"), 1), (query("reset all"), 1), (look, 1), (query("rollback"), 1),
                        (look, 1)],
                       [(query("begin"), 1), (query("reset all"), 1), (query("set transaction isolation level serializable"), 1), (look, 1),
                        (query("commit"), 1), (look, 1)],
                       [(query("set application_name to 'the first'"), 1), (look, 1), (query("set application_name to 'other'"), 1),
                        (query("reset all; select 1"), 1), (look, 1)],
                       [(query("do $$ begin set application_name to 'other'; reset application_name; end $$"), 1), (look, 1)],
                       [(query("reset all; copy (select 1) to stdout"), 1), (look, 1)]):
            same(direct, session, writes, repr(writes))
        # What gives it that very name, and what takes back something else.
        for sql in ("set application_name to 'the first'", "reset work_mem", "reset all"):
            same(direct, session, [(query(sql), 1), (look, 1)], sql)
        session.send(query("reset all") + look + wire.TERMINATE)
        session.close()
        wait_until(lambda: daemon.pool_stats("bench")["pool_available"] == 1, "its server is back")


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
@pytest.mark.timeout(120)
def test_a_name_that_was_set_to_none_is_told_and_back_with_the_reset(tidepool, postgres, mode):
    daemon = tidepool(pools={"bench": {"mode": mode, "min_size": 0, "max_size": 1}})
    look = query("show application_name")
    with directly(postgres, daemon.databases["bench"], application_name="mine") as direct, daemon.wire("bench", application_name="mine") as session:
        for text in ("reset all", "reset application_name", "discard all", "set application_name to default", "reset work_mem", "select 1",
                     "set work_mem to '5MB'; reset application_name", "reset application_name; reset work_mem", "reset all; reset role",
                     "reset all; set application_name to ''; reset work_mem"):
            for before in (query("set application_name to ''"), query("set session application_name = ''; reset work_mem"),
                           query("select set_config('application_name', '', false)"),
                           extended("select set_config($1, $2, false)", ("application_name", "")) + SYNC):
                same(direct, session, [(before, 1), (query(text), 1), (look, 1)], f"{before}; {text}")
                same(direct, session, [(before, 1), (query(text) + look, 2)], f"{before}; {text}")
                same(direct, session, [(before + query(text) + look, 3)], f"{before}; {text}")


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("sql", ["select set_config('application_name', 'the server''s', false)", "set application_name to 'the server''s'",
                                 "set application_name to 'the server''s'; select 1",
                                 "do $$ begin perform set_config('application_name', 'the server''s', false); end $$",
                                 "do $$ begin set application_name to 'another'; reset application_name; end $$"])
def test_the_name_that_its_server_was_dialed_with_may_be_a_clients_first_words(tidepool, postgres, mode, sql):
    """It looks like a RESET of the name that was set in front of it. Who set it by a function or among others hears of it all the same."""
    daemon = tidepool(pools={"bench": {"mode": mode, "min_size": 0, "max_size": 1}})
    with daemon.wire("bench", application_name="the server's") as first:
        first.rows("select 1")
        first.terminate()
    own = "the server's" if mode == "session" else ""
    text = sql.replace("the server''s", own.replace("'", "''"))
    look, another, pipelined = query("show application_name"), query("select 'another'"), parts(text) + SYNC if sql[:2] != "do" else query(text)
    for writes in ([(query(text), 1), (look, 1), (query("reset application_name"), 1), (look, 1)],
                   [(query(text) + look, 2), (another, 1), (query("reset application_name") + look, 2)],
                   [(pipelined, 1), (extended("show application_name") + SYNC, 1), (pipelined + pipelined + look, 3)],
                   [(query("begin"), 1), (query(text), 1), (look, 1), (query("rollback"), 1), (look, 1), (query(text), 1), (look, 1)]):
        with directly(postgres, daemon.databases["bench"], application_name="mine") as direct, \
                daemon.wire("bench", application_name="mine") as session:
            same(direct, session, writes, repr(writes))
            session.terminate()


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("value", [b"", b"other", b"the first", None])
def test_a_name_that_a_function_call_message_gives_is_told(tidepool, postgres, mode, value):
    """PostgreSQL calls set_config() by its number: 2078."""
    daemon = tidepool(pools={"bench": {"mode": mode, "min_size": 0, "max_size": 1}})
    with daemon.wire("bench", application_name="the first") as first:
        first.rows("select 1")
        first.terminate()
    look = query("select current_setting('application_name')")

    def call(value):
        arguments = [b"application_name", value, b"\0"]
        said = b"".join(struct.pack("!i", -1) if each is None else struct.pack("!i", len(each)) + each for each in arguments)
        return wire.message("F", struct.pack("!I4H", 2078, 3, 0, 0, 1) + struct.pack("!H", 3) + said + struct.pack("!H", 0))
    with directly(postgres, daemon.databases["bench"], application_name="mine") as direct, daemon.wire("bench", application_name="mine") as session:
        same(direct, session, [(call(value) if value is not None else call(b"else"), 1), (look, 1), (call(b"another"), 1), (call(value), 1)][:4 if value is not None else 2],
             repr(value))
        same(direct, session, [(look, 1), (call(b"another") + look, 2), (look, 1)], repr(value))


def test_a_client_that_leaves_while_its_name_is_asked_for_gives_its_server_back(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"mode": "session", "min_size": 0, "max_size": 1}})
    with daemon.wire("bench", application_name="the server's") as first:
        pid = first.value("select pg_backend_pid()")
        first.terminate()
    for goodbye in (wire.TERMINATE, b"", query("select 1") + wire.TERMINATE):
        client = daemon.wire("bench", application_name="mine")
        client.send(query("select set_config('application_name', 'the server''s', false)") + goodbye)
        client.close()
        with daemon.wire("bench", application_name="mine") as session:
            assert session.value("show application_name") == "mine"
            assert session.value("select pg_backend_pid()") == pid
            session.terminate()
