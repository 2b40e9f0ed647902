"""One story told twice, each time in a database of its own: through a pool, whose clients may be moved from server to server, and on direct
connections. All that its clients hear must be the same. For stories with DDL, and with several clients; shared_servers.py has those of one client."""

from harness import wire
from harness.script_replies import normalised
from harness.sessions import directly
from harness.shared_servers import transaction_pool


class Side:
    """connect(**startup) is a client of this side; say() notes what it heard."""

    def __init__(self, connect, owner, moves):
        self.connect, self.owner, self.moves = connect, owner, moves
        self.heard = []
        self._holders = []

    def say(self, client, *batch, ready=1):
        """Texts are Queries, of which each has a ReadyForQuery of its own. Returns the answers, (type, body)."""
        data = b"".join(wire.query(each) if isinstance(each, str) else each for each in batch)
        client.send(data)
        answers = []
        for _ in range(ready + sum(isinstance(each, str) for each in batch[:-1])):
            answers += [(answer.type, answer.body) for answer in client.read_until_ready()]
        self.heard.append((data, normalised(answers)))
        return answers

    def elsewhere(self):
        """Whoever has no server now gets another one than the server that came back last."""
        if self.moves:
            self._holders.append(self.connect())
            self._holders[-1].rows("begin")

    def rest(self):
        """All servers rest again."""
        while self._holders:
            self._holders[-1].rows("rollback")
            self._holders.pop().terminate()


def told_alike(tidepool, postgres, story, *, prepares=(), mode="transaction", size=1, **pool):
    """story(side) on both sides; `prepares` are said by the owner of each database before, and side.owner is that connection, past the pool.
    Returns the pool's side."""
    settings = transaction_pool(size, **pool) if mode == "transaction" else {"bench": {"min_size": 0, "max_size": 9, **pool}}
    daemon = tidepool(pools=settings)
    databases = {"direct": postgres.create_database(), "pool": daemon.databases["bench"]}
    sides = {}
    for name, database in databases.items():
        owner = directly(postgres, database)
        for sql in prepares:
            owner.rows(sql)
        connect = (lambda **startup: daemon.wire("bench", **startup)) if name == "pool" else (lambda **startup: directly(postgres, databases["direct"], **startup))
        sides[name] = Side(connect, owner, name == "pool" and mode == "transaction" and size > 1)
        story(sides[name])
        owner.terminate()
    for number, ((said, direct), (_, pooled)) in enumerate(zip(sides["direct"].heard, sides["pool"].heard)):
        assert pooled == direct, f"{number}. {said[:300]}\nhere:     {pooled}\ndirectly: {direct}"
    assert len(sides["direct"].heard) == len(sides["pool"].heard)
    sides["pool"].daemon = daemon
    return sides["pool"]


def values(answers):
    """Of the rows among answers."""
    return [[None if value is None else value.decode(errors="replace") for value in wire.Message(letter, body).values] for letter, body in answers if letter == "D"]


def errors(answers):
    return [wire.Message(letter, body).fields["C"] for letter, body in answers if letter == "E"]


def prepare(sql, name="s", types=(), described=True):
    return wire.parse(sql, name, types) + (wire.describe("S", name) if described else b"") + wire.SYNC


def run(values=(), name="s"):
    return wire.bind(values, name) + wire.execute() + wire.SYNC
