"""The broker, as little of it as the log needs: publish a batch to a partition, read a partition from an offset, topics.

All of aiokafka is behind this module. Nothing here needs transactions, compaction or retention to be correct.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from services.kernel.errors import Diverged, Unavailable
from services.kernel.settings import KafkaSettings

_logger = structlog.get_logger(__name__)

Record = tuple[bytes, bytes, list[tuple[str, bytes]], int]
"""Key, value, headers, timestamp in ms: what `schemas.wire.to_kafka` gives."""

BATCH_BYTES = 900_000
"""Below the broker's usual limit of 1 MB a batch; one event's data is at most 256 KiB."""

REQUEST_TIMEOUT_MS = 10_000


class Watermarks(NamedTuple):
    """`first` is the offset of the oldest record kept, `end` the offset that the next record will get."""

    first: int
    end: int


class WrongTopic(Diverged):
    code = "wrong-topic"
    title = "The topic has another number of partitions than the log"


async def partition_count(settings: KafkaSettings, topic: str) -> int | None:
    """How many partitions the topic has; None where it does not exist. Raises Unavailable."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        if topic not in await admin.list_topics():
            return None
        (description,) = await admin.describe_topics([topic])
        return len(description["partitions"]) or None
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(f"the broker at {settings.bootstrap} does not answer: {type(error).__name__}") from error
    finally:
        with suppress(Exception):
            await admin.close()


async def ensure_topic(
    settings: KafkaSettings, topic: str, partitions: int, configuration: dict[str, str] | None = None
) -> bool:
    """Make sure that the topic exists with just so many partitions; True where it was made now.

    Raises:
        WrongTopic: it has another number of partitions, and `recreate_topics` is off.
        Unavailable: the broker does not answer.
    """
    found = await partition_count(settings, topic)
    if found == partitions:
        return False
    if found is not None and not settings.recreate_topics:
        raise WrongTopic(_wrong(topic, found, partitions))
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        if found is not None:
            _logger.warning(
                "the broker made the topic anew with its own number of partitions; making it again",
                topic=topic,
                found=found,
            )
            with suppress(UnknownTopicOrPartitionError):
                await admin.delete_topics([topic])
        new = NewTopic(topic, partitions, settings.replication_factor, topic_configs=configuration or {})
        with suppress(TopicAlreadyExistsError):
            await admin.create_topics([new])
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(f"the topic {topic} cannot be made: {type(error).__name__}") from error
    finally:
        with suppress(Exception):
            await admin.close()
    for _ in range(50):  # the brokers of a cluster hear of a new topic one after the other
        if await partition_count(settings, topic) == partitions:
            return True
        await asyncio.sleep(0.2)
    raise Unavailable(f"the topic {topic} was made, but is not ready after ten seconds")


async def require_topic(settings: KafkaSettings, topic: str, partitions: int) -> None:
    """As `ensure_topic` on the embedded broker, which forgets its topics; elsewhere topics are made by an operator.

    Raises:
        WrongTopic: it has another number of partitions.
        Unavailable: it is not there, or the broker does not answer.
    """
    if settings.recreate_topics:
        await ensure_topic(settings, topic, partitions)
        return
    found = await partition_count(settings, topic)
    if found is None:
        raise Unavailable(f"there is no topic {topic}: run `salescycle topics apply`")
    if found != partitions:
        raise WrongTopic(_wrong(topic, found, partitions))


def _wrong(topic: str, found: int, partitions: int) -> str:
    return (
        f"{topic} has {found} partitions, the log has {partitions}: a lead would change its partition. "
        "Delete the topic and run `salescycle topics apply`; it is published again from the log"
    )


async def _stop(client: Any) -> None:
    """Stop a client, for at most two seconds, whatever it raises.

    In a task of its own: aiokafka awaits tasks that it has cancelled, and their CancelledError would pass for ours.
    """
    stopping = asyncio.create_task(client.stop())
    await asyncio.wait([stopping], timeout=2)
    if not stopping.done():
        stopping.cancel()
    elif not stopping.cancelled():
        stopping.exception()  # looked at, so that nobody is told that it never was


class Producer:
    """Publishes batches, each to one partition, and tells the offset that the first record got."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._topic = topic
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap,
            enable_idempotence=settings.idempotence,
            acks="all",
            max_batch_size=BATCH_BYTES,
            max_request_size=16 * BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=50,
            metadata_max_age_ms=30_000,
        )

    async def start(self) -> None:
        """Raises Unavailable."""
        try:
            await self._producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable(f"the broker does not answer: {type(error).__name__}") from error

    async def stop(self) -> None:
        await _stop(self._producer)

    async def publish(self, partition: int, records: Sequence[Record]) -> tuple[int, int]:
        """Publish as many of `records` as one batch holds; returns (offset of the first, number published).

        Raises:
            Unavailable: the broker did not acknowledge; the batch may still land, now, later or twice.
        """
        batch = self._producer.create_batch()
        count = 0
        for key, value, headers, timestamp in records:
            if batch.append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
                break
            count += 1
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000 + 5):
                acknowledged = await self._producer.send_batch(batch, self._topic, partition=partition)
                metadata = await acknowledged
        except (KafkaError, OSError, TimeoutError, asyncio.IncompleteReadError, AssertionError) as error:
            # aiokafka asserts that it knows the partition: a topic made anew has fewer for a moment
            raise Unavailable(f"the broker did not acknowledge: {type(error).__name__}") from error
        return metadata.offset, count


class Reader:
    """Reads chosen partitions of a topic from chosen offsets. It belongs to no consumer group."""

    def __init__(self, settings: KafkaSettings, topic: str, *, wait_ms: int = 500) -> None:
        self._topic = topic
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=wait_ms,
            max_partition_fetch_bytes=2 * 2**20,
            fetch_max_bytes=16 * 2**20,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=30_000,
            check_crcs=True,
        )

    async def start(self) -> None:
        """Raises Unavailable."""
        try:
            await self._consumer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable(f"the broker does not answer: {type(error).__name__}") from error

    async def stop(self) -> None:
        await _stop(self._consumer)

    async def watermarks(self, partitions: Sequence[int]) -> dict[int, Watermarks]:
        """Raises Unavailable."""
        places = [TopicPartition(self._topic, partition) for partition in partitions]
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000 + 5):
                first = await self._consumer.beginning_offsets(places)
                end = await self._consumer.end_offsets(places)
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"the broker does not tell its offsets: {type(error).__name__}") from error
        return {place.partition: Watermarks(first[place], end[place]) for place in places}

    def assign(self, offsets: dict[int, int]) -> None:
        """Read these partitions from these offsets, and no others."""
        places = {TopicPartition(self._topic, partition): offset for partition, offset in offsets.items()}
        self._consumer.assign(list(places))
        for place, offset in places.items():
            self._consumer.seek(place, offset)

    async def fetch(self, max_records: int, timeout_ms: int) -> dict[int, list[Any]]:
        """Records by partition, in offset order (key, value, headers, timestamp, offset); empty after `timeout_ms`.

        Raises:
            Unavailable: the broker does not answer, or no longer holds the offset that was asked for.
        """
        try:
            fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable(f"the broker does not give records: {type(error).__name__}") from error
        return {place.partition: records for place, records in fetched.items()}

    async def read_to_end(self, starts: dict[int, int], ends: dict[int, int]) -> AsyncIterator[tuple[int, Any]]:
        """(partition, record) for everything from `starts` on, each partition in order, until all have reached their ends.

        An end is what the broker told. Tansu 0.6 tells the base of the last batch instead, so one more fetch must come
        back empty before a partition counts as read. Changes what is assigned. Raises Unavailable.
        """
        reading = {partition: offset for partition, offset in starts.items() if offset < ends[partition]}
        if not reading:
            return
        self.assign(reading)
        silent = 0
        while True:
            level = all(offset >= ends[partition] for partition, offset in reading.items())
            fetched = await self.fetch(5_000, 200 if level else 1_000)
            if not fetched:
                silent += 1
                if level:
                    return
                if silent > 10:
                    raise Unavailable("the broker tells of records that it does not give")
                continue
            silent = 0
            for partition, records in fetched.items():
                for record in records:
                    reading[partition] = record.offset + 1
                    yield partition, record


async def watermarks(settings: KafkaSettings, topic: str, partitions: Sequence[int]) -> dict[int, Watermarks]:
    """The ends of these partitions now, by a reader made for this one question. Raises Unavailable."""
    reader = Reader(settings, topic)
    await reader.start()
    try:
        return await reader.watermarks(partitions)
    finally:
        await reader.stop()
