"""A read model against the log: level with it, and byte for byte what a rebuild gives."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg

from services.cli.verification.finding import Difference, Progress
from services.kernel import checkpoint
from services.kernel.checkpoint import ReadModel, schema_of
from services.kernel.clock import utc_now
from services.kernel.feed_client import FeedClient
from services.projections.rebuild import Rebuild

NAMED_AT_MOST = 20


async def check_level(
    pool: asyncpg.Pool, model: str, heads: dict[int, tuple[int, str | None]], wait_s: float
) -> list[Difference]:
    """Is the live generation at these (position, event id) in every partition, or beyond? Waits `wait_s` for it to come."""
    deadline = utc_now().timestamp() + wait_s
    while True:
        live = await checkpoint.live_generation(pool, model)
        if live is None:
            return [Difference(model, "has no generation: projections never ran on this store")]
        known = await checkpoint.checkpoints(pool, model, live)
        found = []
        for partition, (position, event_id) in heads.items():
            at = known.get(partition, checkpoint.Checkpoint())
            if at.position < position:
                found.append(
                    Difference(f"{model}, partition {partition}", f"stands at {at.position}, the log at {position}")
                )
            elif at.position == position and position and at.event_id != event_id:
                found.append(
                    Difference(
                        f"{model}, partition {partition}", f"has applied another event at {position} than the log holds"
                    )
                )
        if parked := await checkpoint.parked_leads(pool, model, live):
            found.append(Difference(model, f"has {parked} parked leads: see `salescycle parked list`"))
        if not found or utc_now().timestamp() > deadline:
            return found
        await asyncio.sleep(0.25)


async def check_rebuilt(
    pool: asyncpg.Pool, model: ReadModel, feed: FeedClient, partitions: int, progress: Progress
) -> AsyncIterator[Difference]:
    """Build another generation from the log, compare it with the live one partition by partition, and drop it again."""
    reached = dict.fromkeys(range(partitions), (0, 0))

    def told(partition: int, position: int, head: int) -> None:
        reached[partition] = position, head
        progress(model.name, sum(at for at, _ in reached.values()), sum(head for _, head in reached.values()))

    rebuild = Rebuild(pool, model, feed, partitions, told)
    async with rebuild.trial() as generation:
        unequal = list(range(partitions))
        for _ in range(10):  # a partition that moves meanwhile is compared again once both stand at the same event
            unequal = [n for n in unequal if not await _equal(pool, model, generation, n)]
            if not unequal:
                return
            await asyncio.sleep(0.3)
            await rebuild.fill(generation)
        for partition in unequal:
            async for difference in _differences(pool, model, generation, partition):
                yield difference


async def _equal(pool: asyncpg.Pool, model: ReadModel, generation: int, partition: int) -> bool:
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        home = await connection.fetchval("SELECT current_schema()")
        live = await checkpoint.live_generation(connection, model.name)
        assert live is not None
        sums, places = [], []
        for number in (live, generation):
            places.append((await checkpoint.checkpoints(connection, model.name, number))[partition][:2])
            await connection.execute(f'SET LOCAL search_path = "{schema_of(model.name, number)}"')
            sums.append(await model.checksum(connection, partition))
            await connection.execute(f'SET LOCAL search_path = "{home}"')
    return places[0] == places[1] and sums[0] == sums[1]


async def _differences(
    pool: asyncpg.Pool, model: ReadModel, generation: int, partition: int
) -> AsyncIterator[Difference]:
    """Name the leads and other streams whose rows differ; where none does, say which sums do."""
    live = await checkpoint.live_generation(pool, model.name)
    assert live is not None
    one, other = schema_of(model.name, live), schema_of(model.name, generation)
    tables = await pool.fetch(
        "SELECT table_name, bool_or(column_name = 'subject') AS by_subject FROM information_schema.columns WHERE table_schema = $1 "
        "GROUP BY table_name HAVING bool_or(column_name = 'partition') ORDER BY table_name",
        one,
    )  # fmt: skip
    named = 0
    for table, by_subject in tables:
        if not by_subject:
            continue
        rows = await pool.fetch(
            f'SELECT DISTINCT subject FROM ((SELECT * FROM "{one}"."{table}" WHERE partition = $1 EXCEPT SELECT * FROM "{other}"."{table}" '
            f'WHERE partition = $1) UNION ALL (SELECT * FROM "{other}"."{table}" WHERE partition = $1 EXCEPT SELECT * FROM '
            f'"{one}"."{table}" WHERE partition = $1)) AS d ORDER BY subject LIMIT {NAMED_AT_MOST}',
            partition,
        )  # fmt: skip
        for (subject,) in rows:
            named += 1
            yield Difference(f"{model.name}, {subject}", f"has other rows in {table} than a rebuild gives")
    if not named:
        yield Difference(
            f"{model.name}, partition {partition}", "has other sums than a rebuild gives, though no stream differs"
        )
