"""SQLAlchemy 2 with asyncio, its own pool turned off (NullPool), with psycopg 3 and asyncpg."""

import asyncio

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, exc, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

DRIVERS = ["psycopg", "asyncpg"]


def run(target, driver, work):
    async def main():
        engine = create_async_engine(target.url(driver), poolclass=NullPool)
        try:
            await work(engine)
        finally:
            await engine.dispose()
    asyncio.run(main())


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_documented_nullpool_example(target, driver):
    # https://docs.sqlalchemy.org/en/20/orm/extensions/asyncio.html#using-multiple-asyncio-event-loops, two lines changed
    async def work():
        engine = create_async_engine(f"postgresql+{driver}://app@/{target.dbname}?host={target.host}&port={target.port}",
                                     poolclass=NullPool)
        async with engine.connect() as conn:
            assert await conn.scalar(text("select 42")) == 42
    asyncio.run(work())


@pytest.mark.parametrize("driver", DRIVERS)
def test_many_short_connections_in_parallel(target, driver, table, max_size):
    notes = Table(table, MetaData(), Column("id", Integer, primary_key=True), Column("body", String))

    async def work(engine):
        async with engine.begin() as connection:
            await connection.run_sync(notes.metadata.create_all)

        gate = asyncio.Semaphore(100)

        async def unit_of_work(number):
            async with gate, engine.begin() as connection:
                await connection.execute(insert(notes).values(id=number, body=f"note {number}"))
                return await connection.scalar(select(notes.c.body).where(notes.c.id == number))

        bodies = await asyncio.gather(*[unit_of_work(number) for number in range(400)])
        assert bodies == [f"note {number}" for number in range(400)]

    run(target, driver, work)
    assert target.direct or len(target.backends()) <= max_size


@pytest.mark.parametrize("driver", DRIVERS)
def test_transactions_and_errors(target, driver, table):
    async def work(engine):
        async with engine.begin() as connection:
            await connection.execute(text(f"create table {table} (id int primary key)"))
        for _ in range(10):
            with pytest.raises(exc.IntegrityError):
                async with AsyncSession(engine) as session, session.begin():
                    await session.execute(text(f"insert into {table} values (1)"))
                    await session.execute(text(f"insert into {table} values (1)"))
            async with AsyncSession(engine) as session:
                assert await session.scalar(text(f"select count(*) from {table}")) == 0

    run(target, driver, work)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_result_is_streamed(target, driver):
    async def work(engine):
        async with engine.connect() as connection:
            total = 0
            async with connection.stream(text("select generate_series(1, 10000)")) as rows:
                async for row in rows:
                    total += row[0]
            assert total == 50005000

    run(target, driver, work)


@pytest.mark.parametrize("driver", DRIVERS)
def test_tasks_that_are_cancelled_in_the_middle_leave_the_pool_well(target, driver):
    async def work(engine):
        async def sleeps():
            async with engine.connect() as connection:
                await connection.execute(text("select pg_sleep(30)"))

        for _ in range(5):
            tasks = [asyncio.create_task(sleeps()) for _ in range(8)]
            await asyncio.sleep(0.2)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        async with engine.connect() as connection:
            assert await connection.scalar(text("select 42")) == 42

    run(target, driver, work)
