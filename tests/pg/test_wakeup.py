"""Who waits is woken across processes, also after the connection that carries the news was cut."""

import asyncio

import asyncpg

from services.kernel.postgres import close_pool, create_pool
from services.kernel.wakeup import Heads
from tests.support.logs import opened, prepare


async def test_a_process_that_only_listens_hears_again_after_a_cut(database: str) -> None:
    await prepare(database)
    async with opened(database) as one, opened(database) as two:
        # only the news can tell: neither polls while the test lasts
        speaks = Heads(one.log, channel="heads", poll_s=600, silence_s=0.2)
        listens = Heads(two.log, channel="heads", poll_s=600, silence_s=0.2)
        for heads in (speaks, listens):
            await heads.start()
        try:
            await _until_heard(speaks, listens, 1)
            connection = await asyncpg.connect(database)
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
            await connection.close()
            await _until_heard(speaks, listens, 100)
        finally:
            for heads in (speaks, listens):
                await heads.stop()


async def _until_heard(speaks: Heads, listens: Heads, first: int) -> None:
    """Speak until the other hears: what is sent while a channel is being made reaches nobody."""
    async with asyncio.timeout(10):
        position = first
        while listens.positions[0] < first:
            speaks.appended({0: position})
            position += 1
            await asyncio.sleep(0.1)


async def test_a_connection_that_is_never_given_back_does_not_keep_a_process_from_leaving(database: str) -> None:
    await prepare(database)
    pool = await create_pool(database, schema="lifecycle", role=None, min_size=1, max_size=2)
    await pool.acquire()
    async with asyncio.timeout(3):
        await close_pool(pool, within_s=0.5)
