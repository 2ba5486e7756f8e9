"""The property everything rests on: a reader that only ever asks for `position > n` sees every event, once, in order."""

import asyncio
import random
from typing import Any

import asyncpg
import pytest

from services.kernel.errors import SalescycleError
from tests.support.logs import LeadLog, check_dense, event, opened, prepare


@pytest.fixture
async def prepared(database: str) -> str:
    await prepare(database)
    return database


async def test_a_naive_tailer_sees_every_event_once_under_writers_that_roll_back_and_lose_their_connections(
    prepared: str,
) -> None:
    rng = random.Random(7)
    acknowledged: set[str] = set()
    seen: list[str] = []
    writing = True

    async def write(log: LeadLog, number: int) -> None:
        for n in range(60):
            name = f"w{number}-{n}"
            while name not in acknowledged:
                try:
                    answer = await log.post_one(event("ActivityLogged", f"L-{(number * 7 + n) % 40}", id=name))
                    assert answer.id == name
                    acknowledged.add(name)
                except SalescycleError:
                    await asyncio.sleep(0.01)  # 5xx means unknown: send it again

    async def roll_back() -> None:
        """Appends like any other, but never commits: it takes the counters and gives them back."""
        connection = await asyncpg.connect(prepared, server_settings={"search_path": "lifecycle"})
        while writing:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(
                "UPDATE log_partition SET head = head + 3 WHERE partition = ANY ($1)",
                sorted(rng.sample(range(12), 3))[:1],
            )
            await asyncio.sleep(rng.random() * 0.004)
            await transaction.rollback()
            await asyncio.sleep(rng.random() * 0.01)
        await connection.close()

    async def cut() -> None:
        connection = await asyncpg.connect(prepared)
        while writing:
            await asyncio.sleep(rng.random() * 0.1)
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'salescycle salescycle_writer' AND state <> 'idle' ORDER BY random() LIMIT 1"
            )
        await connection.close()

    async def tail() -> None:
        connection = await asyncpg.connect(prepared, server_settings={"search_path": "lifecycle"})
        last = dict.fromkeys(range(12), 0)
        while True:
            done = not writing
            found = 0
            for partition, position in last.items():
                rows = await connection.fetch(
                    "SELECT position, id FROM event WHERE partition = $1 AND position > $2 ORDER BY position",
                    partition,
                    position,
                )
                for row in rows:
                    assert row["position"] == last[partition] + 1, (
                        f"partition {partition}: {row['position']} after {last[partition]}"
                    )
                    last[partition] = row["position"]
                    seen.append(row["id"])
                    found += 1
            if done and not found:
                break
            await asyncio.sleep(0.002)
        await connection.close()

    async with opened(prepared) as one, opened(prepared) as two, opened(prepared) as three:
        tailing = asyncio.create_task(tail())
        disturbing = [asyncio.create_task(roll_back()), asyncio.create_task(cut())]
        await asyncio.gather(*(write((one, two, three)[number % 3], number) for number in range(12)))
        writing = False
        await asyncio.gather(*disturbing, tailing)
        check_dense(await one.everything())
    assert len(seen) == len(set(seen)) == 12 * 60
    assert set(seen) == acknowledged


async def test_a_connection_cut_at_commit_is_looked_up_before_anyone_is_answered(prepared: str) -> None:
    """The append commits and its reply is lost: the caller must get the stored event, not a second one and not an error."""
    async with opened(prepared) as log:
        await log.post_one(event("LeadCaptured", "L-1"))
        lost = 0
        fetchrow: Any = asyncpg.pool.PoolConnectionProxy.fetchrow

        async def reply_lost(
            connection: asyncpg.Connection, query: str, *arguments: object, **options: object
        ) -> object:
            nonlocal lost
            row = await fetchrow(connection, query, *arguments, **options)
            if "append(" in query and not lost:
                lost += 1
                raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
            return row

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(asyncpg.pool.PoolConnectionProxy, "fetchrow", reply_lost)
            answer = await log.post_one(event("ActivityLogged", "L-1", id="a-1"))
        assert lost == 1
        assert answer.version == 2
        check_dense(await log.everything())
        assert sum(map(len, (await log.everything()).values())) == 2
