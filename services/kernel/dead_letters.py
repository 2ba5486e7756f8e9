"""Where a consumer puts records that are no event of the log: their original bytes, where they lay, and why.

Events that cannot be applied are another matter: they are parked in PostgreSQL, in order, with their lead.
"""

from typing import Any

import structlog

from services.kernel import kafka
from services.kernel.errors import SalescycleError
from services.kernel.settings import KafkaSettings

_logger = structlog.get_logger(__name__)


class DeadLetters:
    """The topic `<topic>.<group>.dlq`, made when it is first needed."""

    def __init__(self, settings: KafkaSettings, topic: str, group: str) -> None:
        self._settings = settings
        self._original = topic
        self._group = group
        self.topic = f"{topic}.{group}.dlq"

    async def put(self, partition: int, record: Any, error: Exception) -> None:
        """Publish one record's bytes with its origin; a broker that refuses is logged, for the log itself lost nothing."""
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
        _logger.error(
            "a record is no event of the log; it goes to the dead letters",
            partition=partition,
            offset=record.offset,
            topic=self.topic,
        )
        producer = kafka.Producer(self._settings, self.topic)
        try:
            await kafka.require_topic(self._settings, self.topic, 1)
            await producer.start()
            await producer.publish(0, [(record.key, record.value, headers, record.timestamp)])
        except SalescycleError as refusal:
            _logger.error("the dead letter could not be published", reason=str(refusal))
        finally:
            await producer.stop()
