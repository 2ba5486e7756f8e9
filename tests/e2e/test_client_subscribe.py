"""Following the log with the kit: each event once and in order, from the feed and from Kafka, whatever happens between."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from schemas.events.opportunity import LeadCaptured
from schemas.wire import from_structured, to_kafka
from services.cli.embedded import EmbeddedPostgres
from services.client import (
    Batch,
    Diverged,
    Fenced,
    KeyRefused,
    KitError,
    MemoryCheckpoint,
    Place,
    SqliteCheckpoint,
    Subscription,
    Topic,
    subscribe,
)  # fmt: skip
from tests.support.brokers import Broker, GivenBroker, create_topic
from tests.support.started import Started, started

pytestmark = pytest.mark.timeout(120)

NEVER = 3_600.0
"""Seconds between checks of the feed: only Kafka can bring what comes."""


@pytest.fixture(scope="module")
def system(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started(tmp_path_factory.mktemp("system"), postgres) as running:
        yield running


def post(system: Started, number: int, kind: str) -> None:
    """So many captures of sixty leads; `kind` keeps the events of a test apart from those of the others."""
    system.post(
        [
            {
                "specversion": "1.0", "id": f"{kind}-{n}", "source": "/tests", "type": "LeadCaptured", "data": {"source_channel": "web"},
                "subject": f"lead/L-{n % 60}", "time": "2026-01-05T10:00:00Z",
            }
            for n in range(number)
        ]
    )  # fmt: skip


class Reader:
    """Another company's program: its database holds what it was given, and its checkpoint in the same transaction."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path)
        self.database.execute(
            "CREATE TABLE IF NOT EXISTS seen (n INTEGER PRIMARY KEY, partition INTEGER, id TEXT, UNIQUE (partition, id))"
        )
        self.checkpoint = SqliteCheckpoint(self.database)

    def apply(self, batch: Batch) -> None:
        with self.database:
            self.checkpoint.save(batch)
            self.database.executemany(
                "INSERT INTO seen (partition, id) VALUES (?, ?)",
                [(batch.partition, each.recorded.id) for each in batch.events],
            )

    @property
    def seen(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for partition, id in self.database.execute("SELECT partition, id FROM seen ORDER BY n"):
            found.setdefault(partition, []).append(id)
        return found

    def count(self) -> int:
        return int(self.database.execute("SELECT count(*) FROM seen").fetchone()[0])


async def follow(reader: Reader, batches: Subscription, until: Callable[[], bool], within_s: float = 30) -> None:
    async with asyncio.timeout(within_s), batches:
        while not until():
            reader.apply(await anext(batches))


async def test_the_feed_alone_gives_each_event_once_in_order_through_restarts_of_both(
    system: Started, tmp_path: Path
) -> None:
    post(system, 3_000, "feed")
    total = system.total()
    reader = Reader(tmp_path / "own.sqlite")
    while reader.count() < total - 500:  # it stops, and begins again where it was, many times over
        more = reader.count() + 400
        batches = subscribe(system.url, system.key, reader.checkpoint, page_events=50)
        await follow(reader, batches, lambda more=more: reader.count() >= more)  # type: ignore[misc]
    batches = subscribe(system.url, system.key, reader.checkpoint)
    following = asyncio.create_task(follow(reader, batches, lambda: reader.count() >= total + 600))
    await asyncio.sleep(1)
    await asyncio.to_thread(system.lifecycle.kill9)
    await asyncio.to_thread(system.lifecycle.start)
    await asyncio.to_thread(post, system, 600, "later")
    await following
    assert reader.seen == system.ids()


@pytest.mark.broker
async def test_kafka_brings_what_is_new_and_a_broker_that_loses_everything_changes_nothing(
    system: Started, tmp_path: Path
) -> None:
    post(system, 500, "before")
    total = system.total()
    reader = Reader(tmp_path / "own.sqlite")
    where = Topic(system.broker.bootstrap, system.topic)

    async def read(batches: Subscription, number: int) -> None:
        while reader.count() < number:
            reader.apply(await anext(batches))

    batches = subscribe(system.url, system.key, reader.checkpoint, topic=where, check_s=NEVER)
    async with asyncio.timeout(30), batches:
        await read(batches, total)
        await asyncio.to_thread(post, system, 300, "live")
        await read(batches, total + 300)  # nobody asks the feed: Kafka brings them
    if isinstance(system.broker, GivenBroker):
        assert reader.seen == system.ids()
        return  # a broker of somebody else is not ours to kill
    batches = subscribe(system.url, system.key, reader.checkpoint, topic=where, check_s=0.5)
    async with asyncio.timeout(60), batches:
        await asyncio.to_thread(post, system, 100, "again")
        await read(batches, total + 400)
        await asyncio.to_thread(system.broker.kill9)
        await asyncio.to_thread(post, system, 200, "without")
        await read(batches, total + 600)  # from the feed: there is no broker
        await asyncio.to_thread(system.broker.start)
        await asyncio.to_thread(post, system, 200, "anew")
        await read(batches, total + 800)
        assert batches.level
    await asyncio.to_thread(post, system, 200, "last")
    batches = subscribe(system.url, system.key, reader.checkpoint, topic=where)
    await follow(reader, batches, lambda: reader.count() >= total + 1_000)
    assert reader.seen == system.ids()


Records = Mapping[int, Sequence[tuple[bytes, bytes, list[tuple[str, bytes]], int]]]


async def publish(broker: Broker, topic: str, records: Records) -> None:
    """Put records into a topic as they are: what a relay would never do, and a broker or an operator might."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    for partition, inside in records.items():
        for key, value, headers, timestamp in inside:
            await producer.send_and_wait(
                topic, value, key=key, headers=headers, timestamp_ms=timestamp, partition=partition
            )
    await producer.stop()


def as_records(events: Sequence[dict[str, Any]]) -> list[tuple[bytes, bytes, list[tuple[str, bytes]], int]]:
    return [to_kafka(from_structured(msgspec.json.encode(event)), "http://tests") for event in events]


@pytest.mark.broker
async def test_holes_repetitions_disorder_and_rubbish_in_the_topic_are_seen_through(
    system: Started, tmp_path: Path
) -> None:
    scripted = f"{system.topic}.holes"
    await create_topic(system.broker, scripted)
    post(system, 300, "old")
    total = system.total()
    reader = Reader(tmp_path / "own.sqlite")
    where = Topic(system.broker.bootstrap, scripted)
    batches = subscribe(system.url, system.key, reader.checkpoint, topic=where, check_s=NEVER)
    async with asyncio.timeout(60), batches:
        while reader.count() < total:
            reader.apply(await anext(batches))
        post(system, 600, "new")
        log = system.log()
        rubbish = (b"k", b"no event", [("x", b"y")], 1_700_000_000_000)
        records = {}
        for partition, events in log.items():
            if events:
                old, new = as_records(events[:20]), as_records(events[-40:])
                # old ones again, a hole before the last, the first behind the last, the last twice
                records[partition] = [*old, rubbish, new[-1], old[0], new[-1], *new[-4:-1]]
        await publish(system.broker, scripted, records)
        while reader.count() < total + 600:
            reader.apply(await anext(batches))
    assert reader.seen == system.ids()


async def test_a_log_of_another_history_stops_the_reader_and_says_what_to_do(
    system: Started,
) -> None:
    post(system, 600, "history")
    log = system.log()
    partition = max(log, key=lambda number: len(log[number]))
    end = len(log[partition])
    for place in (Place(end, "another"), Place(end + 5, "beyond its end"), Place(3, "another")):
        for where in (None, Topic(system.broker.bootstrap, system.topic)):
            checkpoint = MemoryCheckpoint({partition: place})
            with pytest.raises(
                Diverged, match=rf"Partition {partition}: .*empty what this reader has written"
            ) as caught:
                await drained(subscribe(system.url, system.key, checkpoint, topic=where, partitions=[partition]))
            assert caught.value.partition == partition

    # and a topic that holds another history than the log that was read
    scripted = f"{system.topic}.another"
    await create_topic(system.broker, scripted)
    checkpoint = MemoryCheckpoint()
    batches = subscribe(
        system.url, system.key, checkpoint, topic=Topic(system.broker.bootstrap, scripted), partitions=[partition],
        check_s=NEVER,
    )  # fmt: skip
    async with asyncio.timeout(30), batches:
        while (await anext(batches)).place.position < end:
            pass
        (record,) = as_records([{**log[partition][-1], "id": "another"}])
        await asyncio.sleep(1)  # until it stands at the topic's end
        await publish(system.broker, scripted, {partition: [record]})
        with pytest.raises(Diverged, match="another event stands at position"):
            await anext(batches)
        with pytest.raises(Diverged):  # asked again it says so again, and does not hang
            await anext(batches)


async def drained(batches: Subscription) -> None:
    async with asyncio.timeout(20), batches:
        async for _ in batches:
            pass


async def test_where_it_begins_and_what_it_gives_is_the_readers_to_say(system: Started, tmp_path: Path) -> None:
    post(system, 300, "past")
    total = system.total()
    reader = Reader(tmp_path / "own.sqlite")
    batches = subscribe(system.url, system.key, reader.checkpoint, begin_at="now")
    async with asyncio.timeout(20), batches:
        for _ in range(12):  # an empty batch a partition: from here on nothing is missed, whatever dies
            batch = await anext(batches)
            assert batch.events == ()
            reader.apply(batch)
    places = reader.checkpoint.load()
    assert sum(place.position for place in places.values()) == total
    post(system, 100, "now")
    batches = subscribe(system.url, system.key, reader.checkpoint, begin_at="now")
    await follow(reader, batches, lambda: reader.count() >= 100)
    assert {id for inside in reader.seen.values() for id in inside} == {f"now-{n}" for n in range(100)}
    assert batches.level

    batches = subscribe(system.url, system.key, MemoryCheckpoint(), types={"Won"}, partitions=[9])
    async with asyncio.timeout(20), batches:
        batch = await anext(batches)
    assert (batch.partition, list(batch.events)) == (9, [])
    assert batch.place.position > 0

    batches = subscribe(system.url, system.key, MemoryCheckpoint(), types={"LeadCaptured"}, partitions=[9])
    async with asyncio.timeout(20), batches:
        received = (await anext(batches)).events[0]
    assert (received.body, received.stream[:7]) == (LeadCaptured(source_channel="web"), "lead/L-")

    with pytest.raises(KitError, match="partitions 0 to 11; there is no 40"):
        await drained(subscribe(system.url, system.key, MemoryCheckpoint(), partitions=[40]))
    with pytest.raises(KitError, match="there is no 12"):
        await drained(subscribe(system.url, system.key, MemoryCheckpoint({12: Place(1, "x")})))
    with pytest.raises(KeyRefused, match="events:read"):
        await drained(subscribe(system.url, "sc_x_y", MemoryCheckpoint()))


async def test_two_processes_of_one_reader_cannot_apply_one_event_twice(system: Started, tmp_path: Path) -> None:
    post(system, 300, "two")
    one, other = Reader(tmp_path / "own.sqlite"), Reader(tmp_path / "own.sqlite")
    async with asyncio.timeout(30):
        async with (
            subscribe(system.url, system.key, one.checkpoint, partitions=[9], page_events=5) as first,
            subscribe(system.url, system.key, other.checkpoint, partitions=[9], page_events=5) as second,
        ):
            one.apply(await anext(first))
            with pytest.raises(Fenced):
                other.apply(await anext(second))
    assert one.count() == 5
    assert one.checkpoint.load()[9].position == 5


async def test_a_reader_that_stands_still_is_told_of(system: Started, caplog: pytest.LogCaptureFixture) -> None:
    post(system, 600, "still")
    batches = subscribe(system.url, system.key, MemoryCheckpoint(), partitions=[9], page_events=5, watch_s=0.2)
    with caplog.at_level("INFO", logger="services.client"):
        async with asyncio.timeout(20), batches:
            await anext(batches)
            await asyncio.sleep(1)  # the reader is busy
            assert batches.lag[9].events == batches.lag[9].head - 5  # type: ignore[operator]
            assert not batches.level
    assert "partition 9 stands still at 5" in caplog.text
