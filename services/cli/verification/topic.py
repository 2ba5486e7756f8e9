"""The topic against the store: every event in its partition, in order, with the same content."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec

from schemas.envelope import Recorded
from schemas.wire import NotAnEvent, from_kafka
from services.cli.verification.finding import Difference, Progress
from services.kernel import kafka
from services.kernel.log import SQL, recorded
from services.kernel.settings import KafkaSettings
from services.kernel.sql_files import sql

PAGE = 2_000


async def check_topic(
    connections: dict[int, asyncpg.Connection],
    settings: KafkaSettings,
    topic: str,
    heads: dict[int, int],
    progress: Progress,
) -> AsyncIterator[Difference]:
    """Compare every partition up to `heads`; `connections` by partition. Records that a reader drops (seen) are dropped here."""
    count = await kafka.partition_count(settings, topic)
    if count != len(heads):
        yield Difference(f"the topic {topic}", f"has {count or 'no'} partitions, the log has {len(heads)}")
        return
    reader = kafka.Reader(settings, topic)
    await reader.start()
    try:
        marks = await reader.watermarks(sorted(heads))
        walks = {partition: _Walk(partition, mark.first) for partition, mark in marks.items()}
        done, total = 0, sum(heads.values())
        ends = {partition: mark.end for partition, mark in marks.items()}
        async for partition, record in reader.read_to_end({p: mark.first for p, mark in marks.items()}, ends):
            walk = walks[partition]
            walk.see(record)
            done += 1
            if len(walk.page) >= PAGE:
                for difference in await walk.compare(connections[partition], heads[partition]):
                    yield difference
                progress("topic", min(done, total), total)
        for partition, walk in walks.items():
            for difference in await walk.compare(connections[partition], heads[partition]):
                yield difference
            for difference in walk.end(heads[partition]):
                yield difference
        progress("topic", total, total)
    finally:
        await reader.stop()


class _Walk:
    """One partition as a reader who drops what it has seen goes through it."""

    def __init__(self, partition: int, first_offset: int) -> None:
        self.partition = partition
        self.page: list[Recorded] = []
        self._trimmed = first_offset > 0
        self._reached: int | None = None if first_offset else 0
        self._found: list[Difference] = []

    def see(self, record: Any) -> None:
        try:
            event = from_kafka(self.partition, record.key, record.value, record.headers, record.timestamp)
        except NotAnEvent as error:
            self._found.append(
                Difference(f"offset {record.offset} of partition {self.partition}", f"is no event of the log: {error}")
            )
            return
        if self._reached is None:  # retention took what came before
            self._reached = event.position - 1
        # what follows a hole is passed over: the relay sends it again, after what the broker lost
        if event.position == self._reached + 1:
            self.page.append(event)
            self._reached = event.position

    async def compare(self, connection: asyncpg.Connection, head: int) -> list[Difference]:
        """Compare the page with the log, and empty it."""
        found, self._found = self._found, []
        if self.page:
            rows = await connection.fetch(
                sql(SQL, "read_partition"), self.partition, self.page[0].position - 1, len(self.page), 2**40
            )
            stored = {row[1]: recorded(row) for row in rows}
            for event in self.page:
                place = f"position {event.position} of partition {self.partition}"
                if event.position > head and event.position not in stored:
                    found.append(
                        Difference(place, "is in the topic, but beyond the end of the log: the log went back in time")
                    )
                elif stored.get(event.position) != event and not _same(stored.get(event.position), event):
                    found.append(Difference(place, "holds another event in the topic than in the log"))
            self.page.clear()
        return found

    def end(self, head: int) -> list[Difference]:
        reached = self._reached or 0
        if reached < head and not (self._trimmed and not reached):
            return [
                Difference(
                    f"partition {self.partition}",
                    f"of the topic reaches position {reached} without a hole, the log {head}",
                )
            ]
        return []


def _same(stored: Recorded | None, event: Recorded) -> bool:
    """Equal but for how the broker keeps numbers of extensions."""
    if stored is None:
        return False
    return msgspec.json.encode(stored) == msgspec.json.encode(event)
