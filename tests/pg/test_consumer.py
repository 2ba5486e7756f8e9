"""What a consumer of the log promises, against a real database, with a feed that can be told to misbehave."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import asyncpg
import msgspec
import pytest

from schemas.envelope import Recorded
from services.kernel import checkpoint, postgres
from services.kernel.apply import Gap, Partition
from services.kernel.checkpoint import Fenced, Swapped
from services.kernel.consumer import Consumer
from services.kernel.errors import Diverged, LogDiverged, Poison, SalescycleError
from services.kernel.feed_client import Page
from services.kernel.migrate import CONSUMER, migrate
from services.kernel.settings import KafkaSettings
from services.projections.rebuild import Rebuild

START = datetime(2026, 1, 1, tzinfo=UTC)


class Tally:
    """A read model as small as one can be: how many events each lead has had, and in which order."""

    name = "tally"
    tables_sql = "CREATE TABLE seen (partition integer, position bigint, lead text, PRIMARY KEY (partition, position))"
    indexes_sql = "CREATE INDEX ON seen (lead)"

    def __init__(self) -> None:
        self.made_with = {"zone": "as it is"}
        self.poison: set[str] = set()
        self.broken = 0
        self.tries = 0
        self.forgotten = 0

    async def apply(self, connection: postgres.Connection, partition: int, events: Sequence[Recorded]) -> None:
        self.tries += 1
        if self.broken:
            self.broken -= 1
            raise RuntimeError("out of luck")
        for event in events:
            if event.id in self.poison:
                raise Poison("this event makes no sense", position=event.position, stream=event.stream)
            if f"silent {event.id}" in self.poison:
                raise KeyError("a bug that names no event")
        rows = [(partition, event.position, event.stream) for event in events]
        await connection.executemany("INSERT INTO seen (partition, position, lead) VALUES ($1, $2, $3)", rows)

    def forget(self) -> None:
        self.forgotten += 1

    async def checksum(self, connection: postgres.Connection, partition: int) -> bytes:
        rows = await connection.fetch("SELECT position, lead FROM seen WHERE partition = $1 ORDER BY 1", partition)
        return str([tuple(row) for row in rows]).encode()


class Feed:
    """A log of two partitions in memory, read as the HTTP feed is."""

    def __init__(self) -> None:
        self.logs: dict[int, list[Recorded]] = {0: [], 1: []}
        self.silent = False

    def append(self, partition: int, *names: str) -> list[Recorded]:
        """`names` are `lead:id`."""
        for name in names:
            lead, _, event_id = name.partition(":")
            position = len(self.logs[partition]) + 1
            at = START + timedelta(seconds=position)
            self.logs[partition].append(
                Recorded(
                    partition=partition, position=position, stream=f"lead/{lead}", version=1, type="ActivityLogged",
                    source="/t", id=event_id, occurred_at=at, recorded_at=at, data=b"{}",
                )
            )  # fmt: skip
        return self.logs[partition]

    async def read(
        self, partition: int, after: int, event_id: str | None, *, limit: int = 5_000, wait_s: float = 0
    ) -> Page:
        log = self.logs[partition]
        if after > len(log) or (after and event_id is not None and log[after - 1].id != event_id):
            raise LogDiverged("the log went back in time")
        events = [] if self.silent else log[after : after + limit]
        return Page(events, len(log), START + timedelta(days=1))

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    connection = await asyncpg.connect(database)
    await migrate(connection, "projections", [CONSUMER])
    await connection.close()
    pool = await postgres.create_pool(
        database, schema="projections", role="salescycle_projector", min_size=1, max_size=8
    )
    yield pool
    await pool.close()


async def opened(pool: asyncpg.Pool, model: Tally, number: int = 0) -> Partition:
    generation = await checkpoint.ensure_live(pool, model, 2)
    (part,) = await Partition.open(pool, model, generation, [number], live=True)
    return part


async def seen(pool: asyncpg.Pool, generation: int = 1, partition: int = 0) -> list[int]:
    rows = await pool.fetch(f"SELECT position FROM tally_g{generation}.seen WHERE partition = $1 ORDER BY 1", partition)
    return [row[0] for row in rows]


async def parked(pool: asyncpg.Pool, generation: int = 1) -> list[tuple[int, str, str]]:
    rows = await pool.fetch("SELECT position, stream, cause FROM parked WHERE generation = $1 ORDER BY 1", generation)
    return [tuple(row) for row in rows]


async def test_what_was_seen_is_dropped_and_a_hole_is_refused(pool: asyncpg.Pool) -> None:
    part, log = await opened(pool, Tally()), Feed().append(0, "A:1", "B:2", "A:3", "C:4")
    assert await part.apply(log[:2], "feed") == 2
    assert await part.apply(log[:3], "kafka") == 1
    with pytest.raises(Gap):
        await part.apply([msgspec.structs.replace(log[3], position=5)], "kafka")
    assert await seen(pool) == [1, 2, 3]


async def test_another_event_at_the_checkpoint_stops_the_reader(pool: asyncpg.Pool) -> None:
    part = await opened(pool, Tally())
    await part.apply(Feed().append(0, "A:1", "B:2"), "feed")
    with pytest.raises(Diverged):
        await part.apply(Feed().append(0, "A:1", "B:other"), "kafka")


async def test_a_zombies_write_is_refused(pool: asyncpg.Pool) -> None:
    model, log = Tally(), Feed().append(0, "A:1", "B:2", "A:3")
    zombie, owner = await opened(pool, model), await opened(pool, Tally())
    await owner.apply(log[:2], "kafka")
    with pytest.raises(Fenced):
        await zombie.apply(log, "kafka")
    assert await seen(pool) == [1, 2]
    assert model.forgotten, "what the zombie remembers is not what the store holds"


async def test_a_poison_event_parks_its_lead_in_order_and_others_go_on(pool: asyncpg.Pool) -> None:
    model = Tally()
    model.poison = {"2"}
    part, log = await opened(pool, model), Feed().append(0, "A:1", "B:2", "A:3", "B:4", "C:5")
    await part.apply(log[:3], "kafka")
    await part.apply(log, "kafka")
    assert await seen(pool) == [1, 3, 5]
    assert await parked(pool) == [
        (2, "lead/B", "this event makes no sense"),
        (4, "lead/B", "an earlier event of this lead is parked"),
    ]
    assert part.known.position == 5


async def test_an_error_that_names_no_event_is_tried_again_and_then_its_event_is_found(pool: asyncpg.Pool) -> None:
    model = Tally()
    model.broken = 2
    part, log = await opened(pool, model), Feed().append(0, "A:1", "B:2", "C:3")
    await part.apply(log[:1], "kafka")
    assert (await seen(pool), model.tries) == ([1], 3)
    model.poison, model.tries = {"silent 2"}, 0
    await part.apply(log, "kafka")
    assert await seen(pool) == [1, 3]
    ((position, stream, cause),) = await parked(pool)
    assert (position, stream) == (2, "lead/B")
    assert "KeyError" in cause
    assert model.tries <= 5 + 3, "five tries for the batch, then one for each event and one without the poison"


async def test_parked_leads_are_applied_in_order_when_an_operator_asks(pool: asyncpg.Pool) -> None:
    model = Tally()
    model.poison = {"2"}
    part, log = await opened(pool, model), Feed().append(0, "A:1", "B:2", "B:3")
    await part.apply(log, "kafka")
    await pool.execute("UPDATE parked SET retry_requested = true")
    await part.retry_parked()
    assert [row[0] for row in await parked(pool)] == [2, 3], "it failed again, and stays as it was"
    assert not await pool.fetchval("SELECT bool_or(retry_requested) FROM parked")
    model.poison = set()
    await pool.execute("UPDATE parked SET retry_requested = true")
    await part.retry_parked()
    assert (await parked(pool), await seen(pool)) == ([], [1, 2, 3])
    log = [*log, *Feed().append(0, "x:1", "x:2", "x:3", "B:4")[3:]]
    await part.apply(log, "kafka")
    assert await seen(pool) == [1, 2, 3, 4]


async def test_a_rebuild_parks_what_the_live_path_parks_and_serves_beside_it(pool: asyncpg.Pool) -> None:
    model, feed = Tally(), Feed()
    model.poison = {"2"}
    feed.append(0, "A:1", "B:2", "A:3", "B:4")
    feed.append(1, "Z:1")
    part = await opened(pool, model)
    await part.apply(feed.logs[0], "feed")
    other = await opened(pool, model, 1)
    await other.apply(feed.logs[1], "feed")
    rebuild = Rebuild(pool, model, feed, 2, lambda *_: None)  # type: ignore[arg-type]
    assert await rebuild.build() == 2
    assert await parked(pool, 1) == await parked(pool, 2)
    assert await seen(pool, 1) == await seen(pool, 2) == [1, 3]
    with pytest.raises(Swapped):
        await part.apply(feed.append(0, "A:5"), "kafka")
    assert await rebuild.roll_back() == 1
    assert await seen(pool, 1) == [1, 3, 5], "it caught up before it went live again"
    assert await rebuild.drop_old() == [2]


async def test_a_generation_made_with_something_else_is_neither_filled_nor_made_live(pool: asyncpg.Pool) -> None:
    model, changed, feed = Tally(), Tally(), Feed()
    changed.made_with = {"zone": "another", "fold": "2"}
    feed.append(0, "A:1", "B:2")
    await Rebuild(pool, model, feed, 2, lambda *_: None).build()  # type: ignore[arg-type]
    later = Rebuild(pool, changed, feed, 2, lambda *_: None)  # type: ignore[arg-type]
    assert await later.build() == 3
    feed.append(0, "A:3")
    with pytest.raises(SalescycleError) as refused:
        await later.roll_back()
    for told in ("generation 2", "zone as it is (this program has another)", "fold None (this program has 2)"):
        assert told in str(refused.value)
    async with pool.acquire() as connection:
        with pytest.raises(SalescycleError, match="cannot go live"):
            await checkpoint.swap(connection, changed, 2, even_behind=True)
    assert await checkpoint.live_generation(pool, "tally") == 3
    assert await seen(pool, 2) == [1, 2], "no row of the other kind was mixed in"
    assert await Rebuild(pool, model, feed, 2, lambda *_: None).roll_back() == 2  # type: ignore[arg-type]
    assert await seen(pool, 2) == [1, 2, 3]


async def test_an_interrupted_rebuild_goes_on_where_it_stopped(pool: asyncpg.Pool) -> None:
    model, feed = Tally(), Feed()
    feed.append(0, *(f"A:{n}" for n in range(10)))
    await checkpoint.ensure_live(pool, model, 2)
    async with pool.acquire() as connection:
        generation = await checkpoint.create_generation(connection, model, 2, live=False)
    (part,) = await Partition.open(pool, model, generation, [0], live=False)
    await part.apply(feed.logs[0][:6], "rebuild")
    assert await Rebuild(pool, model, feed, 2, lambda *_: None).build() == generation  # type: ignore[arg-type]
    assert await seen(pool, generation) == list(range(1, 11))


async def test_a_batch_of_a_rebuild_is_bounded_in_bytes(pool: asyncpg.Pool) -> None:
    class Measuring(Tally):
        largest = 0

        async def apply(self, connection: postgres.Connection, partition: int, events: Sequence[Recorded]) -> None:
            self.largest = max(self.largest, sum(len(event.data) for event in events))
            await super().apply(connection, partition, events)

    class InPages(Feed):
        async def read(self, partition: int, after: int, event_id: str | None, **_: Any) -> Page:
            return await super().read(partition, after, event_id, limit=140)  # about 8 MiB, the most that a page holds

    model, feed = Measuring(), InPages()
    large = b'"' + b"x" * 60_000 + b'"'
    feed.append(0, *(f"A:{n}" for n in range(1_000)))
    feed.logs[0] = [msgspec.structs.replace(event, data=large) for event in feed.logs[0]]
    await Rebuild(pool, model, feed, 2, lambda *_: None).build()  # type: ignore[arg-type]
    assert await seen(pool, 2) == list(range(1, 1_001))
    assert model.largest < 25 * 2**20


class Started:
    """A consumer that runs without a broker: the feed alone must carry it."""

    def __init__(self, pool: asyncpg.Pool, model: Any, feed: Feed, **options: Any) -> None:
        self.stuck: list[str] = []
        self.consumer = Consumer(
            pool, model, feed, KafkaSettings(bootstrap="127.0.0.1:1"),  # type: ignore[arg-type]
            topic="t", partitions=2, member="one", stuck=self.stuck.append, check_s=0.05, **options,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        await self.consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.consumer.stop()


async def until(condition: Any, within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not (await condition() if inspect.iscoroutinefunction(condition) else condition()):
            await asyncio.sleep(0.02)


async def test_without_a_broker_the_feed_is_enough(pool: asyncpg.Pool) -> None:
    feed = Feed()
    feed.append(0, "A:1", "B:2")
    async with Started(pool, Tally(), feed) as running:
        await until(lambda: running.consumer.ready)
        feed.append(0, "A:3")

        async def all_seen() -> bool:
            return await seen(pool) == [1, 2, 3]

        await until(all_seen)


async def test_a_log_that_went_back_in_time_stops_the_consumer_and_says_what_to_do(pool: asyncpg.Pool) -> None:
    feed = Feed()
    feed.append(0, "A:1", "B:2", "A:3")
    async with Started(pool, Tally(), feed) as running:
        await until(lambda: running.consumer.ready)
        del feed.logs[0][1:]
        feed.append(0, "C:9", "C:10", "C:11")
        await until(lambda: running.consumer.diverged is not None)
        assert running.consumer.diverged is not None
        assert "salescycle rebuild tally" in running.consumer.diverged
        assert await seen(pool) == [1, 2, 3]


async def test_a_consumer_that_does_not_move_though_there_is_lag_says_that_it_is_stuck(pool: asyncpg.Pool) -> None:
    feed = Feed()
    feed.append(0, "A:1")
    async with Started(pool, Tally(), feed, patience_s=0.3) as running:
        await until(lambda: running.consumer.ready)
        feed.silent = True
        feed.append(0, "A:2")
        await until(lambda: bool(running.stuck))
        assert "stands at 1 of 2" in running.stuck[0]


async def test_a_generation_made_with_another_configuration_is_not_gone_on_with(pool: asyncpg.Pool) -> None:
    feed, model = Feed(), Tally()
    feed.append(0, "A:1")
    await (await opened(pool, model)).apply(feed.logs[0], "feed")
    changed = Tally()
    changed.made_with = {"zone": "another"}
    async with Started(pool, changed, feed) as running:
        await until(lambda: running.consumer.diverged is not None)
        assert running.consumer.diverged is not None
        assert "salescycle rebuild tally" in running.consumer.diverged
    async with pool.acquire() as connection:  # left half built by the old program: not to be gone on with either
        await checkpoint.create_generation(connection, model, 2, live=False)
    assert await Rebuild(pool, changed, feed, 2, lambda *_: None).build() == 3  # type: ignore[arg-type]
    async with Started(pool, changed, feed) as running:
        await until(lambda: running.consumer.ready)
        assert running.consumer.diverged is None
