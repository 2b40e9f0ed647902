"""SQLAlchemy 2, its own pool turned off (NullPool), with psycopg 3 and psycopg2."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.waiting import wait_until
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, event, exc, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool


@pytest.fixture(params=["psycopg", "psycopg2"])
def engine(request, target):
    engine = create_engine(target.url(request.param), poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def notes(engine, table):
    notes = Table(table, MetaData(), Column("id", Integer, primary_key=True), Column("body", String, nullable=False))
    notes.metadata.create_all(engine)
    return notes


def test_the_documented_nullpool_example(target):
    # https://docs.sqlalchemy.org/en/20/core/pooling.html#switching-pool-implementations, two lines changed
    engine = create_engine(f"postgresql+psycopg://app@/{target.dbname}?host={target.host}&port={target.port}",
                           poolclass=NullPool)
    with engine.connect() as conn:
        assert conn.scalar(text("select 42")) == 42


def test_many_short_connections_in_parallel(engine, notes, target, max_size):
    def unit_of_work(number):
        with engine.begin() as connection:
            connection.execute(insert(notes).values(id=number, body=f"note {number}"))
            return connection.scalar(select(notes.c.body).where(notes.c.id == number))

    with ThreadPoolExecutor(32) as threads:
        bodies = list(threads.map(unit_of_work, range(400)))
    assert bodies == [f"note {number}" for number in range(400)]
    assert target.direct or len(target.backends()) <= max_size


def test_a_transaction_is_rolled_back_with_its_connection(engine, notes):
    with pytest.raises(RuntimeError), engine.begin() as connection:
        connection.execute(insert(notes).values(id=1, body="never"))
        raise RuntimeError("the application fails")
    with engine.connect() as connection:
        connection.execute(insert(notes).values(id=2, body="not committed"))
    with engine.connect() as connection:
        assert connection.execute(select(notes)).all() == []


def test_savepoints_and_isolation_levels(engine, notes):
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection, connection.begin():
        assert connection.scalar(text("show transaction_isolation")) == "serializable"
        with pytest.raises(exc.IntegrityError), connection.begin_nested():
            connection.execute(insert(notes).values(id=1, body=None))
        connection.execute(insert(notes).values(id=1, body="after the savepoint"))
    with engine.connect() as connection:
        assert connection.scalar(text("show transaction_isolation")) == "read committed"
        assert connection.scalar(select(notes.c.body)) == "after the savepoint"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"vacuum {notes.name}"))


def test_errors_reach_the_application_and_the_next_connection_is_well(engine):
    for _ in range(20):
        with pytest.raises(exc.ProgrammingError, match="no_such_table"), engine.connect() as connection:
            connection.execute(text("select * from no_such_table"))
        with pytest.raises(exc.DataError), engine.connect() as connection:
            connection.execute(text("select 1 / 0"))
        with engine.connect() as connection:
            assert connection.scalar(text("select 42")) == 42


def test_a_server_side_cursor_streams(engine):
    with engine.connect().execution_options(stream_results=True, yield_per=100) as connection:
        rows = connection.execute(text("select generate_series(1, 10000)"))
        assert sum(row[0] for row in rows) == 50005000


def test_nothing_of_a_connection_reaches_the_next(engine):
    with engine.connect() as connection:
        connection.execute(text("set statement_timeout = '7s'; set search_path = pg_temp; create temp table leftover (a int)"))
        connection.commit()
    for _ in range(10):
        with engine.connect() as connection:
            assert connection.scalar(text("show statement_timeout")) == "0"
            assert connection.scalar(text("select to_regclass('pg_temp.leftover')")) is None


def test_connect_arguments_hold_for_their_connections_only(target):
    url = target.url("psycopg") + "&application_name=nightly&options=-c%20timezone%3DAsia/Tokyo"
    with create_engine(url, poolclass=NullPool).connect() as connection:
        assert connection.scalar(text("show timezone")) == "Asia/Tokyo"
        assert connection.scalar(text("show application_name")) == "nightly"
        connection.execute(text("reset all"))
        assert connection.scalar(text("show timezone")) == "Asia/Tokyo"
    with create_engine(target.url("psycopg"), poolclass=NullPool).connect() as connection:
        assert connection.scalar(text("show timezone")) != "Asia/Tokyo"


def test_copy_in_and_out(engine, notes):
    with engine.connect() as connection:
        cursor = connection.connection.dbapi_connection.cursor()
        lines = "".join(f"{number}\tcopied {number}\n" for number in range(1000))
        if engine.driver == "psycopg":
            with cursor.copy(f"copy {notes.name} from stdin") as copy:
                copy.write(lines)
            with cursor.copy(f"copy (select * from {notes.name} order by id) to stdout") as copy:
                back = b"".join(bytes(part) for part in copy).decode()
        else:
            import io
            cursor.copy_expert(f"copy {notes.name} from stdin", io.StringIO(lines))
            sink = io.StringIO()
            cursor.copy_expert(f"copy (select * from {notes.name} order by id) to stdout", sink)
            back = sink.getvalue()
    assert back == lines


def test_the_orm(engine, table):
    class Base(DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = table
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Author(name=f"author {number}") for number in range(500)])
        session.commit()
    with Session(engine) as session:
        found = session.scalars(select(Author).order_by(Author.id)).all()
        assert [author.name for author in found] == [f"author {number}" for number in range(500)]
        found[0].name = "changed"
        session.flush()
        session.rollback()
        assert session.get(Author, found[0].id).name == "author 0"


def test_a_lost_connection_is_replaced_by_the_next(engine, target):
    with engine.connect() as connection:
        pid = connection.scalar(text("select pg_backend_pid()"))
        target.postgres.execute("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: pid not in [row["pid"] for row in target.backends()], "the backend is gone")
        with pytest.raises(exc.DBAPIError):
            connection.execute(text("select 1"))
    with engine.connect() as connection:
        assert connection.scalar(text("select 42")) == 42


def test_events_of_the_application_see_a_new_connection_each_time(engine):
    connected = []
    event.listen(engine, "connect", lambda *_: connected.append(1))
    for _ in range(5):
        with engine.connect() as connection:
            connection.execute(text("select 1"))
    assert len(connected) == 5
