"""What follows the log: the relay to the topic, the read model from the topic, the rebuild from the feed."""

import asyncio
import time
from itertools import islice
from typing import Any

import asyncpg
import uvloop

from schemas.codec import parse_event
from schemas.pipeline_files import read_pipelines
from schemas.wire import from_kafka, to_kafka
from services.kernel import checkpoint, kafka, postgres
from services.kernel.apply import Partition
from services.kernel.clock import utc_now
from services.kernel.configuration import read_documents
from services.kernel.feed_client import FeedClient
from services.kernel.settings import KafkaSettings
from services.kernel.telemetry import RELAY_PUBLISHED
from services.projections.models import MODELS
from services.projections.rebuild import Rebuild
from services.projections.settings import SCHEMA
from tests.bench.history import histories
from tests.bench.meter import Meter, main
from tests.support.logs import opened, publishing
from tests.support.processes import ROOT

PARTITIONS = 12


def settings(bootstrap: str) -> KafkaSettings:
    return KafkaSettings(bootstrap=bootstrap, idempotence=False, recreate_topics=True)


async def fill(url: str, events: int) -> dict[str, Any]:
    """Append a synthetic history to an empty log, through the committer like everything else."""
    now = utc_now()
    documents = histories(events)
    stored = 0
    async with opened(url, max_batch=1_000) as log:
        while chunk := [parse_event(each, now) for each in islice(documents, 2_000)]:
            await log.post(*chunk)
            stored += len(chunk)
    return {"rate": 0, "events": stored}


async def relay(url: str, bootstrap: str, events: int) -> dict[str, Any]:
    """Everything that stands in the log, to a topic that is new."""
    connection = await asyncpg.connect(url)
    await connection.execute("TRUNCATE lifecycle.relay_confirmed, lifecycle.lease")
    await connection.close()

    def published() -> float:
        return next(
            sample.value
            for metric in RELAY_PUBLISHED.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        )

    async with opened(url) as log, publishing(log, bootstrap, f"bench-{time.time_ns()}"):
        while not (first := published()):
            await asyncio.sleep(0.002)
        with Meter() as meter:
            while published() < events:
                await asyncio.sleep(0.002)
    return meter.answer(round(events - first))


async def produce(url: str, bootstrap: str, events: int, topic: str) -> dict[str, Any]:
    """The same records from memory, by the same client with the same settings, one batch of 1,000 in flight a partition."""
    async with opened(url) as log:
        stored = await log.everything()
    records = {partition: [to_kafka(event, "http://tests") for event in found] for partition, found in stored.items()}
    del stored
    await kafka.ensure_topic(settings(bootstrap), topic, PARTITIONS)
    producer = kafka.Producer(settings(bootstrap), topic)
    await producer.start()

    async def one(partition: int) -> None:
        at = 0
        while at < len(records[partition]):
            _, sent = await producer.publish(partition, records[partition][at : at + 1_000])
            at += sent

    with Meter() as meter:
        await asyncio.gather(*(one(partition) for partition in records))
    await producer.stop()
    return meter.answer(events)


def pipeline() -> checkpoint.ReadModel:
    return MODELS["pipeline"](read_pipelines(read_documents(ROOT / "deploy" / "pipelines", ".yaml")), "UTC", 50_000)


async def _pool(url: str) -> asyncpg.Pool:
    return await postgres.create_pool(url, schema=SCHEMA, role="salescycle_projector", min_size=2, max_size=10)


async def live(url: str, bootstrap: str, topic: str, events: int) -> dict[str, Any]:
    """From the topic, in the batches that the broker gives, to an empty live generation: the consumer's own steps."""
    pool = await _pool(url)
    await _drop_generations(pool)
    model = pipeline()
    generation = await checkpoint.ensure_live(pool, model, PARTITIONS)
    parts = {part.number: part for part in await Partition.open(pool, model, generation, range(PARTITIONS), live=True)}
    reader = kafka.Reader(settings(bootstrap), topic)
    await reader.start()
    reader.assign(dict.fromkeys(range(PARTITIONS), 0))
    applied = batches = 0
    with Meter() as meter:
        while applied < events:
            for number, records in (await reader.fetch(5_000, 200)).items():
                batch = [from_kafka(number, each.key, each.value, each.headers, each.timestamp) for each in records]
                applied += await parts[number].apply(batch, "kafka")
                batches += 1
    await reader.stop()
    await pool.close()
    return meter.answer(applied, None, events_a_batch=round(applied / batches))


async def rebuild(url: str, feed: str, key: str, events: int) -> dict[str, Any]:
    """From the feed of a running lifecycle to a second generation, indexes and swap included."""
    pool = await _pool(url)
    model = pipeline()
    await checkpoint.ensure_live(pool, model, PARTITIONS)
    client = FeedClient(feed, key)
    with Meter() as meter:
        await Rebuild(pool, pipeline(), client, PARTITIONS, lambda *_: None).build()
    await client.close()
    await pool.close()
    return meter.answer(events)


async def _drop_generations(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("DELETE FROM read_model")
        for model, generation in await connection.fetch(
            "SELECT model, generation FROM generation WHERE state <> 'dropped'"
        ):
            await checkpoint.drop_generation(connection, model, generation)


if __name__ == "__main__":
    main({"fill": fill, "relay": relay, "produce": produce, "live": live, "rebuild": rebuild}, uvloop.run)
