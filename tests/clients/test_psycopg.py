"""psycopg 3 and psycopg2 as applications use them without an ORM, one connection for each unit of work."""

import threading

import psycopg
import psycopg2
import pytest
from harness.waiting import wait_until


def connect(target, **options):
    return psycopg.connect(target.conninfo, **options)


def sleeps(target):
    return any("pg_sleep" in row["query"] and row["state"] == "active" for row in target.backends())


def test_server_side_cursors(target):
    with connect(target) as connection, connection.cursor("mine", scrollable=True) as cursor:
        cursor.execute("select generate_series(1, 5000)")
        assert sum(row[0] for row in cursor) == 12502500
        cursor.scroll(0, mode="absolute")
        assert cursor.fetchmany(2) == [(1,), (2,)]
    with connect(target) as connection:
        cursor = connection.cursor("held", withhold=True)
        cursor.execute("select generate_series(1, 10)")
        connection.commit()
        assert len(cursor.fetchall()) == 10
    with psycopg2.connect(target.conninfo) as connection, connection.cursor("old") as cursor:
        cursor.execute("select generate_series(1, 5000)")
        assert sum(row[0] for row in cursor) == 12502500


def test_listen_and_notify(target, table):
    with connect(target, autocommit=True) as listener, connect(target, autocommit=True) as speaker:
        listener.execute(f"listen {table}")
        for number in range(5):
            speaker.execute("select pg_notify(%s, %s)", [table, f"message {number}"])
        heard = [notification.payload for notification in listener.notifies(timeout=20, stop_after=5)]
        assert heard == [f"message {number}" for number in range(5)]
    with connect(target, autocommit=True) as other:
        assert other.execute("select pg_listening_channels()").fetchall() == []


def test_large_objects(target):
    content = bytes(range(256)) * 4096
    connection = psycopg2.connect(target.conninfo)
    large = connection.lobject(0, "wb")
    large.write(content)
    large.close()
    connection.commit()
    connection.close()
    with connect(target) as connection:                 # and read by another, in pieces
        descriptor = connection.execute("select lo_open(%s, x'40000'::int)", [large.oid]).fetchone()[0]
        pieces = [connection.execute("select loread(%s, 65536)", [descriptor]).fetchone()[0] for _ in range(16)]
        assert b"".join(pieces) == content
        connection.execute("select lo_unlink(%s)", [large.oid])


def test_copy_in_and_out(target, table):
    with connect(target) as connection:
        connection.execute(f"create table {table} (id int, body text)")
        with connection.cursor().copy(f"copy {table} from stdin (format binary)") as copy:
            copy.set_types(["int4", "text"])
            for number in range(20000):
                copy.write_row((number, f"row {number} " + "x" * 200))
    with connect(target) as connection, connection.cursor().copy(f"copy {table} to stdout") as copy:
        assert sum(bytes(part).count(b"\n") for part in copy) == 20000


def test_a_copy_that_the_application_gives_up_leaves_nothing(target, table):
    with connect(target, autocommit=True) as connection:
        connection.execute(f"create table {table} (id int)")
    with pytest.raises(RuntimeError), connect(target) as connection:
        with connection.cursor().copy(f"copy {table} from stdin") as copy:
            copy.write("1\n2\n")
            raise RuntimeError("the application fails")
    with connect(target) as connection:
        assert connection.execute(f"select count(*) from {table}").fetchone() == (0,)


@pytest.mark.parametrize("method", ["cancel", "cancel_safe"])
def test_a_running_query_is_cancelled_and_the_session_goes_on(target, method):
    with connect(target, autocommit=True) as connection:
        def cancel():
            wait_until(lambda: sleeps(target), "the query runs")
            getattr(connection, method)()

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(50)")
        thread.join()
        assert connection.execute("select 42").fetchone() == (42,)


def test_psycopg2_cancels(target):
    connection = psycopg2.connect(target.conninfo)
    cursor = connection.cursor()

    def cancel():
        wait_until(lambda: sleeps(target), "the query runs")
        connection.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(psycopg2.errors.QueryCanceled):
        cursor.execute("select pg_sleep(50)")
    thread.join()
    connection.close()


def test_pipelines(target, table):
    with connect(target, autocommit=True) as connection:
        connection.execute(f"create table {table} (id int primary key)")
        with connection.pipeline():
            cursors = [connection.execute(f"insert into {table} values (%s) returning id", [number]) for number in range(200)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(200))
        with pytest.raises(psycopg.errors.UniqueViolation), connection.pipeline():
            connection.execute(f"insert into {table} values (1000)")
            connection.execute(f"insert into {table} values (1000)")
        assert connection.execute(f"select count(*) from {table}").fetchone()[0] in (200, 201)


def test_prepared_statements_do_not_meet(target):
    for _ in range(20):
        with connect(target, autocommit=True, prepare_threshold=1) as connection:
            for number in range(5):
                assert connection.execute("select %s::int + 1", [number]).fetchone() == (number + 1,)


def test_two_phase_commit_when_it_is_off_says_so(target):
    with connect(target) as connection, pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        connection.execute("prepare transaction 'x'")


def test_a_result_larger_than_any_buffer(target):
    with connect(target) as connection:
        assert len(connection.execute("select repeat('x', 20000000)").fetchone()[0]) == 20000000
        assert connection.execute("select length(%s)", ["y" * 20000000]).fetchone() == (20000000,)
