"""A consumer in this process on a real database, fed by a scripted log and topic: for schedules that real ones do not show."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple, cast

import asyncpg
import pytest

from schemas.envelope import Recorded
from schemas.wire import to_kafka
from services.kernel import checkpoint, kafka
from services.kernel.apply import Partition
from services.kernel.consumer import Consumer
from services.kernel.errors import LogDiverged
from services.kernel.feed_client import FeedClient, Page
from services.kernel.migrate import CONSUMER, migrate
from services.kernel.postgres import Connection, create_pool
from services.kernel.settings import KafkaSettings
from tests.support.builders import NOW, document, recorded

PARTITIONS = 2


class Tally:
    """The plainest read model: it writes down what it took, in order; `fault` says what is wrong with an event."""

    name = "tally"
    tables_sql = "CREATE TABLE taken (number bigserial, partition integer, position bigint, stream text, id text)"
    indexes_sql = "CREATE INDEX ON taken (partition, position)"

    def __init__(self, fault: Callable[[Recorded], Exception | None] = lambda event: None) -> None:
        self.made_with = {"tables": "as they are"}
        self.fault = fault
        self.tries: Counter[str] = Counter()
        self.hanging = asyncio.Event()
        self.hanging.set()

    async def apply(self, connection: Connection, partition: int, events: Sequence[Recorded]) -> None:
        await self.hanging.wait()
        for event in events:
            self.tries[event.id] += 1
            if (error := self.fault(event)) is not None:
                raise error
            await connection.execute(
                "INSERT INTO taken (partition, position, stream, id) VALUES ($1, $2, $3, $4)",
                partition, event.position, event.stream, event.id,
            )  # fmt: skip

    def forget(self) -> None:
        """It remembers nothing."""

    async def checksum(self, connection: Connection, partition: int) -> bytes:
        rows = await connection.fetch("SELECT position, id FROM taken WHERE partition = $1 ORDER BY 1", partition)
        return repr([tuple(row) for row in rows]).encode()


def log_of(*leads: str, partition: int = 0, first: int = 1, prefix: str = "e") -> list[Recorded]:
    """One activity of each of these leads after the other, as they lie in a partition from position `first` on."""
    versions: Counter[str] = Counter()
    events = []
    for position, lead in enumerate(leads, first):
        versions[lead] += 1
        events.append(
            recorded(
                document("ActivityLogged", lead, id=f"{prefix}{position}", data={"kind": "call", "direction": "out"}),
                partition=partition, position=position, version=versions[lead], recorded_at=NOW + timedelta(seconds=position),
            )
        )  # fmt: skip
    return events


class ScriptedFeed:
    """A log's feed over plain lists."""

    def __init__(self, *events: Recorded) -> None:
        self.log: dict[int, list[Recorded]] = {number: [] for number in range(PARTITIONS)}
        self.add(*events)

    def add(self, *events: Recorded) -> None:
        for event in events:
            self.log[event.partition].append(event)

    async def read(
        self, partition: int, after: int, event_id: str | None, *, limit: int = 5_000, wait_s: float = 0
    ) -> Page:
        events = self.log[partition]
        if after > len(events) or (after and event_id is not None and events[after - 1].id != event_id):
            raise LogDiverged(f"partition {partition} ends at {len(events)}, the reader stands at {after}")
        through = events[-1].recorded_at if events else NOW
        return Page(events[after : after + limit], len(events), through)


class _Record(NamedTuple):
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp: int
    offset: int


class ScriptedTopic:
    """Stands in for `kafka.Reader`: gives just the records that are put, in the order they are put."""

    def __init__(self) -> None:
        self._records: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()
        self.failure: Exception | None = None

    def put(self, *events: Recorded) -> None:
        for event in events:
            self._records.put_nowait((event.partition, _Record(*to_kafka(event, ""), offset=event.position)))

    def __call__(self, settings: KafkaSettings, topic: str, **_options: Any) -> "ScriptedTopic":
        return self

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        """Nothing to leave."""

    async def watermarks(self, partitions: Sequence[int]) -> dict[int, kafka.Watermarks]:
        return {number: kafka.Watermarks(0, 0) for number in partitions}

    def assign(self, offsets: dict[int, int]) -> None:
        """It gives everything to whoever asks."""

    async def fetch(self, max_records: int, timeout_ms: int) -> dict[int, list[Any]]:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                partition, record = await self._records.get()
        except TimeoutError:
            return {}
        return {partition: [record]}


class Rig:
    """A prepared database, a feed and a topic; makes consumers and partitions on them, as many as a test wants."""

    def __init__(self, pool: asyncpg.Pool, feed: ScriptedFeed, topic: ScriptedTopic) -> None:
        self.pool = pool
        self.feed = feed
        self.topic = topic
        self.stuck: list[str] = []

    @asynccontextmanager
    async def consuming(self, model: Tally, **options: Any) -> AsyncIterator[Consumer]:
        settings: dict[str, Any] = {"check_s": 0.1, "patience_s": 60.0, "lease_s": 2.0, "member": "one", **options}
        consumer = Consumer(
            self.pool, model, cast(FeedClient, self.feed), KafkaSettings(), topic="tally", partitions=PARTITIONS,
            stuck=self.stuck.append, **settings,
        )  # fmt: skip
        await consumer.start()
        try:
            yield consumer
        finally:
            model.hanging.set()
            await consumer.stop()

    async def partition(self, model: Tally, number: int = 0, generation: int | None = None) -> Partition:
        """The partition of the live generation as it stands now, or of another one, as a rebuild sees it."""
        live = generation is None
        chosen = await checkpoint.ensure_live(self.pool, model, PARTITIONS) if generation is None else generation
        (part,) = await Partition.open(self.pool, model, chosen, [number], live=live)
        return part

    async def new_generation(self, model: Tally) -> int:
        async with self.pool.acquire() as connection:
            return await checkpoint.create_generation(connection, model, PARTITIONS, live=False)

    async def taken(self, generation: int = 1) -> list[tuple[int, int]]:
        """(partition, position) in the order in which effects were written."""
        rows = await self.pool.fetch(f"SELECT partition, position FROM tally_g{generation}.taken ORDER BY number")
        return [(row[0], row[1]) for row in rows]

    async def parked(self, generation: int = 1) -> list[tuple[int, str, str]]:
        """(position, stream, cause), in order."""
        rows = await self.pool.fetch(
            "SELECT position, stream, cause FROM parked WHERE generation = $1 ORDER BY partition, position", generation
        )
        return [(row[0], row[1], row[2]) for row in rows]

    async def ask_retry(self) -> None:
        await self.pool.execute("UPDATE parked SET retry_requested = true")


@asynccontextmanager
async def rig_on(url: str, patched: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    connection = await asyncpg.connect(url)
    await migrate(connection, "projections", [CONSUMER])
    await connection.close()
    pool = await create_pool(url, schema="projections", role="salescycle_projector", min_size=1, max_size=6)
    topic = ScriptedTopic()
    patched.setattr(kafka, "Reader", topic)
    try:
        yield Rig(pool, ScriptedFeed(), topic)
    finally:
        await pool.close()


async def until(condition: Callable[[], Any], within_s: float = 10, what: str = "the condition") -> None:
    """Wait until `condition()` (which may be a coroutine function) is true. Raises AssertionError."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        answer = condition()
        if await answer if asyncio.iscoroutine(answer) else answer:
            return
        assert asyncio.get_running_loop().time() < deadline, f"{what} did not hold within {within_s} s"
        await asyncio.sleep(0.02)
