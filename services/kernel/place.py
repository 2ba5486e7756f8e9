"""Finding the place: where publishing a partition goes on, by what its topic holds now (ADR-0005)."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import asyncpg
import structlog

from schemas.wire import NotAnEvent, from_kafka
from services.kernel import kafka
from services.kernel.errors import Diverged
from services.kernel.settings import KafkaSettings
from services.kernel.sql_files import sql
from services.kernel.telemetry import RELAY_BROKER_LOSSES

_logger = structlog.get_logger(__name__)

CHECK_AT_ONCE = 5_000


class Confirmed(NamedTuple):
    """The last record of a partition that the broker is known to have acknowledged; position 0 = none."""

    position: int = 0
    offset: int = -1
    event_id: str | None = None


class Place:
    """Where publishing a partition goes on: the position to send next, the offset it should get."""

    __slots__ = ("expected_offset", "flying", "next_position")

    def __init__(self, next_position: int, expected_offset: int) -> None:
        self.next_position = next_position
        self.expected_offset = expected_offset
        self.flying = False
        """A batch is under way, or the topic is looked into: nobody else may send."""


class _Search:
    """Looks for the highest position that a partition of the topic holds without a hole, from the confirmed record on."""

    def __init__(self, confirmed: Confirmed, marks: kafka.Watermarks) -> None:
        self._confirmed = confirmed
        self.reached = confirmed.position
        self.end = marks.end
        trimmed = confirmed.position > 0 and marks.first > confirmed.offset
        # Retention takes the oldest records first: what is gone was there, so the confirmed position still holds.
        there = confirmed.position > 0 and marks.first <= confirmed.offset < marks.end
        self.start = confirmed.offset if there else marks.first
        self.sure = confirmed.position == 0 or trimmed
        # whether the confirmed record, if it should still be there, was found
        # nothing to start from: the beginning, or where retention has left off
        self._fresh = confirmed.position == 0 and marks.first > 0

    def see(self, offset: int, position: int, event_id: str | None) -> None:
        self.end = max(self.end, offset + 1)
        if offset == self._confirmed.offset and (position, event_id) == (
            self._confirmed.position,
            self._confirmed.event_id,
        ):
            self.sure = True
        if self._fresh:
            self.reached, self._fresh = position - 1, False
        if position == self.reached + 1:
            self.reached = position


async def find_places(
    pool: asyncpg.Pool, settings: KafkaSettings, topic: str, confirmed: Mapping[int, Confirmed]
) -> dict[int, Place]:
    """Where to go on in each partition of `confirmed`, by what the topic holds now.

    Raises:
        Diverged: the topic or a confirmed record holds what the log does not: the log went back in time.
        Unavailable: the broker does not answer.
    """
    await check_confirmed(pool, topic, confirmed)
    reader = kafka.Reader(settings, topic)
    await reader.start()
    try:
        marks = await reader.watermarks(list(confirmed))
        searches = {partition: _Search(each, marks[partition]) for partition, each in confirmed.items()}
        unsure = await _look(pool, topic, reader, searches, marks)
        if unsure:
            # acknowledged records are gone: trust only what is there now, and look at all of it
            searches.update({partition: _Search(Confirmed(), marks[partition]) for partition in unsure})
            await _look(pool, topic, reader, {partition: searches[partition] for partition in unsure}, marks)
    finally:
        await reader.stop()
    for partition, search in searches.items():
        if search.reached < confirmed[partition].position:
            RELAY_BROKER_LOSSES.inc()
            _logger.error("the broker lost acknowledged records; publishing them again from the log",
                          partition=partition, confirmed=confirmed[partition].position, reached=search.reached)  # fmt: skip
    return {partition: Place(search.reached + 1, search.end) for partition, search in searches.items()}


async def _look(
    pool: asyncpg.Pool,
    topic: str,
    reader: kafka.Reader,
    searches: Mapping[int, _Search],
    marks: Mapping[int, kafka.Watermarks],
) -> list[int]:
    """Show every search its records; returns the partitions whose confirmed record is not where it was."""
    unread: list[tuple[int, int, str | None]] = []
    starts = {partition: search.start for partition, search in searches.items()}
    async for partition, record in reader.read_to_end(
        starts, {partition: marks[partition].end for partition in searches}
    ):
        try:
            event = from_kafka(partition, record.key, record.value, record.headers, record.timestamp)
        except NotAnEvent as error:
            raise Diverged(
                f"partition {partition} of {topic} holds a record at offset {record.offset} that no log wrote."
            ) from error
        searches[partition].see(record.offset, event.position, event.id)
        unread.append((partition, event.position, event.id))
        if len(unread) >= CHECK_AT_ONCE:
            await _check_log(pool, topic, unread)
            unread.clear()
    await _check_log(pool, topic, unread)
    return [partition for partition, search in searches.items() if not search.sure]


async def check_confirmed(pool: asyncpg.Pool, topic: str, confirmed: Mapping[int, Confirmed]) -> None:
    """One query: raise Diverged unless the log still holds every confirmed event at its position."""
    await _check_log(
        pool,
        topic,
        [(partition, each.position, each.event_id) for partition, each in confirmed.items() if each.position],
    )


async def _check_log(pool: asyncpg.Pool, topic: str, seen: Iterable[tuple[int, int, str | None]]) -> None:
    """Raise Diverged unless the log holds each of these events (partition, position, id) at its position."""
    expected = set(seen)
    if not expected:
        return
    places = {(partition, position) for partition, position, _ in expected}
    rows = await pool.fetch(
        sql("services.kernel.sql", "events_at"), [place[0] for place in places], [place[1] for place in places]
    )
    found = {(row["partition"], row["position"]): row["id"] for row in rows}
    for partition, position, event_id in expected:
        if (there := found.get((partition, position))) != event_id:
            what = "ends before it" if there is None else "holds another event there"
            raise Diverged(
                f"{topic} holds an event at position {position} of partition {partition}, and the log {what}."
            )
