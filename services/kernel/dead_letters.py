"""Where a consumer puts records that are no event of the log: their original bytes, where they lay, and why.

Events that cannot be applied are another matter: they are parked in PostgreSQL, in order, with their lead.
"""

from collections.abc import Sequence
from typing import Any

import structlog

from services.kernel import kafka
from services.kernel.errors import SalescycleError
from services.kernel.settings import KafkaSettings

_logger = structlog.get_logger(__name__)

MOST_AT_ONCE = 500


class DeadLetters:
    """The topic `<topic>.<group>.dlq`, looked for when it is first needed, and again after `stop`."""

    def __init__(self, settings: KafkaSettings, topic: str, group: str) -> None:
        self._settings = settings
        self._original = topic
        self._group = group
        self._producer: kafka.Producer | None = None
        self.topic = f"{topic}.{group}.dlq"

    async def put(self, partition: int, refused: Sequence[tuple[Any, Exception]]) -> None:
        """Publish the bytes of these records with their origin; a broker that refuses is logged, for the log lost nothing.

        One producer serves all: whoever sends thousands of foreign records must not hold up those who read events.
        """
        _logger.error(
            "records are no events of the log; they go to the dead letters",
            partition=partition,
            records=len(refused),
            first_offset=refused[0][0].offset,
            topic=self.topic,
        )
        letters = [self._letter(partition, record, error) for record, error in refused]
        try:
            producer = await self._open()
            while letters:
                _, count = await producer.publish(0, letters[:MOST_AT_ONCE])
                del letters[:count]
        except SalescycleError as refusal:
            _logger.error("dead letters could not be published", records=len(letters), reason=str(refusal))
            await self.stop()

    async def stop(self) -> None:
        """Let go of the broker; the next letter connects anew."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _open(self) -> kafka.Producer:
        if self._producer is None:
            await kafka.require_topic(self._settings, self.topic, 1)
            self._producer = kafka.Producer(self._settings, self.topic)
            await self._producer.start()
        return self._producer

    def _letter(self, partition: int, record: Any, error: Exception) -> kafka.Record:
        headers = [
            *record.headers,
            ("dlq-original-topic", self._original.encode()),
            ("dlq-original-partition", str(partition).encode()),
            ("dlq-original-offset", str(record.offset).encode()),
            ("dlq-original-timestamp", str(record.timestamp).encode()),
            ("dlq-group", self._group.encode()),
            ("dlq-attempts", b"1"),
            ("dlq-error-class", type(error).__name__.encode()),
            ("dlq-error-message", str(error)[:200].encode()),
        ]
        return record.key, record.value, headers, record.timestamp
