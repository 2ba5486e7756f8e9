"""Two operators, or two pods, run `salescycle migrate` at the same time."""

import asyncio

import asyncpg

from services.kernel.log import lay_out
from services.kernel.migrate import LOG, migrate


async def test_a_layout_that_another_is_making_is_waited_for_and_left_alone(database: str) -> None:
    one, other = await asyncpg.connect(database), await asyncpg.connect(database)
    try:
        await migrate(one, "lifecycle", [LOG])
        async with one.transaction():
            await lay_out(one, "lifecycle", range(12))
            waiting = asyncio.create_task(lay_out(other, "lifecycle", range(12)))
            await asyncio.sleep(0.3)
            assert not waiting.done()
        await waiting
        assert await one.fetchval("SELECT count(*) FROM lifecycle.log_partition") == 12
    finally:
        await one.close()
        await other.close()
