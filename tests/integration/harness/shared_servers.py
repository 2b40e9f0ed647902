"""One session in transaction mode, which gets a server that another client has just had, and another server the next time, beside the same
session on a direct connection: each must be told the same."""

from harness import wire
from harness.sessions import directly

# What the others have: were any of it met by the session, it would show.
OTHERS_NAME = "another client"
OTHERS_SETTINGS = ("set timezone = 'Pacific/Chatham'; set app.startup = 'another client''s'; set work_mem = '3MB'; set search_path = 'another', 'clients'; set datestyle = 'SQL, DMY'; set app.user_id = 'another client';"
                   " set statement_timeout = '59s'")


def transaction_pool(size=2, **settings):
    return {"bench": {"min_size": 0, "max_size": size, "mode": "transaction", **settings}}


class Neighbours:
    """Two other clients of a pool of two servers. prepare_next() leaves it with the server that `session` did not have last, if that
    is not pinned; whichever it gets has another client's settings."""

    def __init__(self, daemon, pool="bench", **startup):
        """`startup`: the session's, since only such clients share its servers."""
        self.one, self.other = (daemon.wire(pool, **{**startup, "application_name": OTHERS_NAME}) for _ in range(2))
        for client in (self.one, self.other):
            client.rows(OTHERS_SETTINGS)

    def servers(self):
        """The process ids of both servers, by holding both."""
        pids = []
        for client in (self.one, self.other):
            client.rows("begin")
            pids.append(client.value("select pg_backend_pid()"))
        self.rest()
        return pids

    def hold(self):
        """One server, the one that came back last."""
        self.one.rows("begin")

    def rest(self):
        for client in (self.one, self.other):
            if client.status != "I":
                client.rows("rollback")

    def touch(self):
        """Has the server that would be lent next."""
        assert self.other.value("select current_setting('app.user_id')") == "another client"


def answers_to(client, step):
    """The answers to a text (a Query) or to bytes with one Sync, without parameters, which the client has noted: (type, body)."""
    client.send(wire.query(step) if isinstance(step, str) else step)
    return [(answer.type, answer.body) for answer in client.read_until_ready() if answer.type != "S"]


def told_of(client):
    return {name: value for name, value in client.parameters.items() if name != "in_hot_standby"}


def same_as_directly(daemon, postgres, *steps, pool="bench", **startup):
    """Says `steps` (texts or bytes with one Sync each) in a session of a pool of two servers and on a direct connection; between two
    transactions other clients have the servers, and the session is moved. Returns the session, for more."""
    neighbours = Neighbours(daemon, pool, **startup)
    direct = directly(postgres, daemon.databases[pool], **startup)
    session = daemon.wire(pool, **startup)
    assert told_of(session) == told_of(direct)
    for number, step in enumerate(steps):
        moves = session.status == "I" and number % 2 == 0
        if moves:
            neighbours.hold()
        elif session.status == "I":
            neighbours.touch()
        shown = f"step {number}: {step!r}"
        here, there = answers_to(session, step), answers_to(direct, step)
        assert here == there, f"{shown}\nhere:     {here}\ndirectly: {there}"
        here, there = (sorted(told_of(client).items()) for client in (session, direct))
        assert here == there, f"{shown}\nhere:     {here}\ndirectly: {there}"
        if moves:
            neighbours.rest()
    session.neighbours = neighbours
    return session
