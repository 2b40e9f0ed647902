"""Sessions compared: what a client leaves behind, and the same bytes said to PostgreSQL directly and through the pool."""

from harness import wire
from harness.waiting import wait_until
from harness.wire import WireClient

# All that a session can see of itself. A new connection and the next client of a server must see the same.
FINGERPRINT = {
    "who": "select session_user, current_user, current_setting('role'), current_setting('session_authorization')",
    "settings": "select name, setting from pg_settings order by name",
    "schemas": "select current_schemas(false)",
    "prepared statements": "select name, statement from pg_prepared_statements",
    "cursors": "select name, statement from pg_cursors where name <> ''",
    "channels": "select pg_listening_channels()",
    "locks": "select locktype, classid, objid, mode from pg_locks"
             " where pid = pg_backend_pid() and locktype not in ('relation', 'virtualxid')",
    "temporary objects": "select relname from pg_class where relpersistence = 't' union all"
                         " select proname from pg_proc where pronamespace = pg_my_temp_schema()",
    "transaction": "select now() = statement_timestamp(), txid_current_if_assigned()",
}
SEQUENCE_PROBE = "select lastval()"         # 55000 as long as no sequence was used in this session


def fingerprint(client):
    """What `client` (a WireClient) sees of its session, by name; the first answers must be its own and nothing more."""
    first = client.ask("select 'mine'")
    assert [answer.type for answer in first if answer.type != "S"] == ["T", "D", "C", "Z"], list(map(str, first))
    assert client.status == "I"
    seen = {name: client.rows(sql) for name, sql in FINGERPRINT.items()}
    seen["last value"] = client.error(SEQUENCE_PROBE)["C"]
    client.send(wire.bind() + wire.SYNC)
    seen["unnamed statement"] = next(answer.fields["C"] for answer in client.read_until_ready() if answer.type == "E")
    return seen


def differences(one, other):
    """Where two fingerprints differ, for people."""
    found = []
    for name in one:
        if one[name] == other[name]:
            continue
        if isinstance(one[name], list):
            missing = [row for row in one[name] if row not in other[name]]
            added = [row for row in other[name] if row not in one[name]]
            found.append(f"{name}: {missing} became {added}")
        else:
            found.append(f"{name}: {one[name]!r} became {other[name]!r}")
    return found


def backend_of(client):
    """The process id of the backend that serves `client`."""
    return int(client.value("select pg_backend_pid()"))


def runs(postgres, words, **which):
    """Whether a query with these words is running. One that sleeps must be asleep: it is `active` from its Parse on, and PostgreSQL
    ignores a cancel that comes before the Execute."""
    return any(words in row["query"] and row["state"] == "active" and ("pg_sleep" not in words or row["wait_event"] == "PgSleep")
               for row in postgres.backends(**which))


def wait_until_running(postgres, words, **which):
    wait_until(lambda: runs(postgres, words, **which), f"a query with {words!r} runs")


def wait_until_resting(daemon, pool="bench", count=1):
    wait_until(lambda: daemon.pool_stats(pool)["pool_available"] == count, f"{count} servers rest")


def wait_until_waiting(daemon, pool="bench", count=1):
    wait_until(lambda: daemon.pool_stats(pool)["requests_waiting"] == count, f"{count} clients wait")


def conversation(client, data, ready=1, pieces=None, closes=False, timeout=None):
    """Sends bytes and returns the raw answers, [(type, body), ...], through the `ready`th ReadyForQuery, or until the
    peer closes."""
    if closes:
        try:
            client.send(data, pieces=pieces)
        except OSError:
            pass                            # it closed while we were still speaking
        return [(answer.type, answer.body) for answer in client.read_until_closed(timeout)]
    client.send(data, pieces=pieces)
    answers = []
    for _ in range(ready):
        answers += client.read_until_ready(timeout)
    return [(answer.type, answer.body) for answer in answers]


def directly(postgres, database, user="app", **startup):
    """A raw session straight to PostgreSQL."""
    client = WireClient(postgres.socket_path)
    client.log_in(user=user, database=database, **startup)
    return client
