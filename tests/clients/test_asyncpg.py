"""asyncpg without SQLAlchemy: a connection for each unit of work, server_settings, and what its own pool does at each release."""

import asyncio
import io

import asyncpg
import pytest


def arguments(target, **others):
    return {"host": str(target.host), "port": target.port, "user": target.user, "database": target.dbname, **others}


def test_many_short_connections_in_parallel(target):
    async def unit_of_work(gate, number):
        async with gate:
            connection = await asyncpg.connect(**arguments(target))
            try:
                async with connection.transaction():
                    return await connection.fetchval("select $1::int + 1", number)
            finally:
                await connection.close()

    async def work():
        gate = asyncio.Semaphore(64)
        return await asyncio.gather(*[unit_of_work(gate, number) for number in range(400)])
    assert asyncio.run(work()) == [number + 1 for number in range(400)]


def test_server_settings_hold_and_come_back_after_the_pools_reset(target):
    async def work():
        settings = {"timezone": "Asia/Tokyo", "application_name": "worker", "search_path": "pg_catalog", "statement_timeout": "45000"}
        async with asyncpg.create_pool(**arguments(target, server_settings=settings), min_size=1, max_size=1) as pool:
            for _ in range(5):          # at each release the pool sends RESET ALL, among others
                async with pool.acquire() as connection:
                    assert await connection.fetchval("show timezone") == "Asia/Tokyo"
                    assert await connection.fetchval("show application_name") == "worker"
                    assert await connection.fetchval("show search_path") == "pg_catalog"
                    assert await connection.fetchval("show statement_timeout") == "45s"
                    await connection.execute("set timezone = 'Europe/Paris'; set statement_timeout = 0")
        connection = await asyncpg.connect(**arguments(target))
        try:
            assert await connection.fetchval("show timezone") != "Asia/Tokyo"
            assert await connection.fetchval("show statement_timeout") == "0"
        finally:
            await connection.close()
    asyncio.run(work())


def test_a_bad_server_setting_is_refused_at_login(target):
    async def work():
        with pytest.raises(asyncpg.UndefinedObjectError, match="no_such_setting"):
            await asyncpg.connect(**arguments(target, server_settings={"no_such_setting": "1"}))
        with pytest.raises(asyncpg.InvalidParameterValueError, match="work_mem"):
            await asyncpg.connect(**arguments(target, server_settings={"work_mem": "much"}))
    asyncio.run(work())


def test_cursors_copy_and_prepared_statements(target, table):
    async def work():
        connection = await asyncpg.connect(**arguments(target))
        await connection.execute(f"create table {table} (id int, body text)")
        await connection.copy_records_to_table(table, records=[(number, f"row {number}") for number in range(5000)])
        sink = io.BytesIO()
        await connection.copy_from_table(table, output=sink)
        assert sink.getvalue().count(b"\n") == 5000
        async with connection.transaction():
            seen = [row["id"] async for row in connection.cursor(f"select id from {table} order by id", prefetch=100)]
        assert seen == list(range(5000))
        statement = await connection.prepare(f"select body from {table} where id = $1")
        assert await statement.fetchval(7) == "row 7"
        await connection.close()
    asyncio.run(work())


def test_listen_and_notify(target, table):
    async def work():
        listener = await asyncpg.connect(**arguments(target))
        speaker = await asyncpg.connect(**arguments(target))
        heard = asyncio.Queue()
        await listener.add_listener(table, lambda *message: heard.put_nowait(message[3]))
        await speaker.execute(f"notify {table}, 'hello'")
        assert await asyncio.wait_for(heard.get(), 20) == "hello"
        await listener.remove_listener(table, lambda *_: None)
        await listener.close()
        await speaker.close()
    asyncio.run(work())


def test_a_timeout_cancels_the_query_and_the_session_goes_on(target):
    async def work():
        connection = await asyncpg.connect(**arguments(target))
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await connection.fetchval("select pg_sleep(50)", timeout=0.3)
            assert await connection.fetchval("select 42") == 42
        await connection.close()
    asyncio.run(work())
