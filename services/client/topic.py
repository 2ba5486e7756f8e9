"""The topic of the log: all of aiokafka that a reader needs. No consumer group: the checkpoint is the reader's own."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.envelope import Recorded
from schemas.wire import NotAnEvent, from_kafka
from services.client.errors import Away

_logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_MS: Final = 10_000
_FAILURES = (KafkaError, OSError, TimeoutError, ValueError)


class Topic(msgspec.Struct, frozen=True):
    """Where the log is published. `options` go to AIOKafkaConsumer as they are (`security_protocol`, `ssl_context`, `sasl_…`)."""

    bootstrap: str
    name: str = "sales.lifecycle.events.v1"
    options: Mapping[str, Any] = {}


class Tail:
    """Reads some partitions of a topic from its end on: what lies before comes from the feed, which has all of it."""

    def __init__(self, topic: Topic, partitions: Collection[int]) -> None:
        self._topic = topic
        self._places = [TopicPartition(topic.name, partition) for partition in partitions]
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=topic.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="none",  # a place that is gone is an error: the feed has what lay there
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            **{"fetch_max_wait_ms": 100, **topic.options},
        )

    async def start(self) -> None:
        """Stand at the end of every partition. Raises Away."""
        try:
            await self._consumer.start()
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000 + 5):
                ends = await self._consumer.end_offsets(self._places)
            self._consumer.assign(self._places)
            for place, offset in ends.items():
                self._consumer.seek(place, offset)
        except _FAILURES as error:
            raise Away(f"the broker at {self._topic.bootstrap} does not answer ({type(error).__name__})") from error

    async def fetch(self, timeout_s: float) -> dict[int, list[Recorded]]:
        """New events by partition, in the order in which they lie there; empty after `timeout_s`. Raises Away."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=5_000)
        except _FAILURES as error:
            raise Away(f"the broker at {self._topic.bootstrap} gives no records ({type(error).__name__})") from error
        return {place.partition: self._events(place.partition, records) for place, records in fetched.items()}

    def _events(self, partition: int, records: Collection[Any]) -> list[Recorded]:
        events = []
        for each in records:
            try:
                events.append(from_kafka(partition, each.key, each.value, each.headers, each.timestamp))
            except NotAnEvent:
                # somebody else writes to this topic; if it stands in an event's place, there is a hole, and the feed fills it
                _logger.warning("offset %d of partition %d holds no event of the log", each.offset, partition)
        return events

    async def stop(self) -> None:
        """At most two seconds, whatever the broker does."""
        # a task of its own: aiokafka awaits tasks that it has cancelled, and their CancelledError would pass for ours
        stopping = asyncio.create_task(self._consumer.stop())
        await asyncio.wait([stopping], timeout=2)
        if not stopping.done():
            stopping.cancel()
        elif not stopping.cancelled():
            stopping.exception()  # looked at, so that nobody is told that it never was
