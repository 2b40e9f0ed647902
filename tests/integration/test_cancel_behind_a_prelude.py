"""A cancel whose query travelled with what a server needs in front of it (facts 3 and 4): PostgreSQL sends nothing before the query
ends, so the daemon cannot see that the front part is done, and the query runs."""

from harness import wire
from harness.waiting import wait_until


def test_a_query_that_runs_behind_an_unanswered_prelude_is_cancelled_in_postgresql_too(tidepool, postgres):
    daemon = tidepool(pools={"bench": {"min_size": 0, "max_size": 1}})
    with daemon.wire("bench", application_name="first") as first:
        first.rows("select 1")
        first.terminate()

    client = daemon.wire("bench", application_name="second", timezone="Asia/Tokyo")

    def running():
        return [row for row in daemon.backends("bench") if row["state"] == "active" and "pg_sleep" in row["query"]]

    client.send(wire.query("select pg_sleep(50)"))
    wait_until(running, "the query runs")
    client.cancel()
    assert next(answer for answer in client.read_until_ready() if answer.type == "E").fields["C"] == "57014"
    wait_until(lambda: not running(), "PostgreSQL has ended the query")
    assert client.rows("show timezone") == [["Asia/Tokyo"]]
    wait_until(lambda: len(daemon.backends("bench")) <= 1, "there is one server at most, as max_size says")
