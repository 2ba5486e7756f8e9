"""Builds a second generation of a read model beside the one that serves, from the log's first event on, and swaps it in.

The old one serves until the swap and stays until it is dropped; rolling back is the same swap, after it has caught up. A
rebuild that was interrupted goes on where it stopped.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import structlog

from schemas.envelope import Recorded
from services.kernel import checkpoint
from services.kernel.apply import Partition
from services.kernel.checkpoint import ReadModel
from services.kernel.errors import LogDiverged, NotFound, SalescycleError
from services.kernel.feed_client import FeedClient

_logger = structlog.get_logger(__name__)

BATCH_EVENTS = 20_000
"""Larger than live batches: a lead that recurs in a batch is written once."""

BATCH_BYTES = 16 * 2**20
"""Of data, after which a batch takes no further page: four are in memory at once, and an event may hold 256 KiB."""

PARTITIONS_AT_ONCE = 2

Progress = Callable[[int, int, int], None]
"""Called with (partition, position reached, head)."""


class Rebuild:
    """One rebuild or roll-back of `model`, reading `feed`."""

    def __init__(
        self, pool: asyncpg.Pool, model: ReadModel, feed: FeedClient, partitions: int, progress: Progress
    ) -> None:
        self._pool = pool
        self._model = model
        self._feed = feed
        self._partitions = partitions
        self._progress = progress

    async def build(self) -> int:
        """Fill a new generation (or one that was left unfinished), index it, and swap it in. Returns its number."""
        async with self._alone():
            await checkpoint.ensure_live(self._pool, self._model, self._partitions)
            generation = await self._unfinished()
            if generation is None:
                generation = await self._new()
            await self.fill(generation)
            await self._index(generation)
            await self._swap(generation)
        return generation

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One builder of a model at a time. A session lock on a connection of our own: it goes when we go."""
        name = f"rebuild {self._model.name}"
        async with self._pool.acquire() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock(hashtext($1))", name):
                raise SalescycleError(f"another rebuild or verify of {self._model.name} is under way; wait for it")
            try:
                yield
            finally:
                await connection.fetchval("SELECT pg_advisory_unlock(hashtext($1))", name)

    @asynccontextmanager
    async def trial(self) -> AsyncIterator[int]:
        """A full generation that never serves and is dropped at the end, for comparing. `fill` brings it up again."""
        async with self._alone():
            generation = await self._new()
            try:
                await self.fill(generation)
                yield generation
            finally:
                async with self._pool.acquire() as connection:
                    await checkpoint.drop_generation(connection, self._model.name, generation)

    async def roll_back(self) -> int:
        """Make the generation that was live before the newest swap live again, once it has caught up.

        Raises:
            NotFound: there is none.
            SalescycleError: it was made with another zone, pipelines, fold or tables: filling it up would mix two kinds of rows.
        """
        generation = await self._pool.fetchval(
            "SELECT generation FROM generation WHERE model = $1 AND state = 'old' ORDER BY swapped_at DESC LIMIT 1",
            self._model.name,
        )
        if generation is None:
            raise NotFound(f"{self._model.name} has no older generation to go back to")
        if otherwise := await checkpoint.made_otherwise(self._pool, self._model, int(generation)):
            raise SalescycleError(
                f"generation {generation} of {self._model.name} was made with {otherwise}: "
                "put that back, here and in projections, then roll back"
            )
        async with self._alone():
            await self._swap(int(generation))
        return int(generation)

    async def drop_old(self) -> list[int]:
        """Drop every generation that is neither live nor being built; returns their numbers."""
        rows = await self._pool.fetch(
            "SELECT generation FROM generation WHERE model = $1 AND state = 'old' ORDER BY 1", self._model.name
        )
        async with self._pool.acquire() as connection:
            for (generation,) in rows:
                await checkpoint.drop_generation(connection, self._model.name, generation)
        return [row[0] for row in rows]

    async def _unfinished(self) -> int | None:
        """A generation that was left half built and can be gone on with; one that cannot is dropped."""
        rows = await self._pool.fetch(
            "SELECT generation FROM generation WHERE model = $1 AND state = 'building' ORDER BY generation DESC",
            self._model.name,
        )
        chosen: int | None = None
        for (number,) in rows:
            if (
                chosen is None
                and not await checkpoint.made_otherwise(self._pool, self._model, number)
                and not await self._is_of_another_history(number)
            ):
                chosen = number
                _logger.info("going on with an unfinished rebuild", model=self._model.name, generation=number)
                continue
            async with self._pool.acquire() as connection:
                await checkpoint.drop_generation(connection, self._model.name, number)
        return chosen

    async def _new(self) -> int:
        async with self._pool.acquire() as connection:
            return await checkpoint.create_generation(connection, self._model, self._partitions, live=False)

    async def fill(self, generation: int) -> None:
        """Read every partition from its checkpoint to its head."""
        self._model.forget()
        parts = await Partition.open(self._pool, self._model, generation, range(self._partitions), live=False)
        at_once = asyncio.Semaphore(PARTITIONS_AT_ONCE)

        async def fill_one(part: Partition) -> None:
            async with at_once:
                await self._fill_partition(part, generation)

        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(fill_one(part))

    async def _fill_partition(self, part: Partition, generation: int) -> None:
        """Read ahead while the last batch is applied: the feed and the store work side by side."""
        position, event_id = part.known.position, part.known.event_id
        batch: list[Recorded] = []
        size = 0
        applying: asyncio.Task[int] | None = None
        try:
            while True:
                page = await self._feed.read(part.number, position, event_id)
                batch += page.events
                size += sum(len(event.data) for event in page.events)
                if page.events:
                    position, event_id = page.events[-1].position, page.events[-1].id
                level = position >= page.head
                if len(batch) >= BATCH_EVENTS or size >= BATCH_BYTES or (level and batch):
                    if applying is not None:
                        await applying
                    applying, batch, size = asyncio.create_task(part.apply(batch, "rebuild")), [], 0
                self._progress(part.number, position, page.head)
                if level:
                    if applying is not None:
                        await applying
                    await checkpoint.mark_through(
                        self._pool, self._model.name, generation, [(part.number, page.head, page.through)]
                    )
                    return
        finally:
            if applying is not None and not applying.done():
                applying.cancel()
                await asyncio.gather(applying, return_exceptions=True)

    async def _index(self, generation: int) -> None:
        """Secondary indexes are cheaper made once, on full tables."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            await connection.execute(f'SET LOCAL search_path = "{checkpoint.schema_of(self._model.name, generation)}"')
            await connection.execute(self._model.indexes_sql, timeout=3600)
            await connection.execute("ANALYZE", timeout=3600)

    async def _is_of_another_history(self, generation: int | None) -> bool:
        """Whether a generation stands where the log never was: the log was restored to an older state."""
        assert generation is not None
        for partition, known in (await checkpoint.checkpoints(self._pool, self._model.name, generation)).items():
            try:
                await self._feed.read(partition, known.position, known.event_id, limit=1)
            except LogDiverged:
                return True
        return False

    async def _swap(self, generation: int) -> None:
        """Catch up with the live generation, and replace it in one step; it may have moved on, so try again."""
        for _ in range(100):
            await self.fill(generation)
            another = await self._is_of_another_history(await checkpoint.live_generation(self._pool, self._model.name))
            async with self._pool.acquire() as connection:
                before = await checkpoint.swap(connection, self._model, generation, even_behind=another)
            if before is not None:
                _logger.info("swapped", model=self._model.name, live=generation, before=before)
                return
        raise SalescycleError(f"generation {generation} of {self._model.name} does not catch up with the live one")
