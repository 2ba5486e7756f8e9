"""A primary becomes a standby under a running service: it refuses writes until the connections lead to the new one."""

import asyncio

import asyncpg

from tests.support.logs import event, opened, prepare


async def test_a_primary_that_was_demoted_is_waited_for_like_one_that_is_away(database: str) -> None:
    await prepare(database)
    operator = await asyncpg.connect(database)
    name = await operator.fetchval("SELECT current_database()")
    await operator.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    async with opened(database) as log:
        posting = asyncio.create_task(log.post_one(event("LeadCaptured", "L-1")))
        await asyncio.sleep(0.5)
        assert not posting.done()
        await operator.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        await operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        assert (await posting).version == 1
    await operator.close()
