"""Publishes the current state of streams to a compacted topic: behind the relay of the events, never in its way (ADR-0016).

A state is published when its stream's newest event is passed, so in any walk through the log each stream comes once, and
when position N of a partition was passed, every stream that last changed up to N is in the topic. Where the walk goes on
is the last acknowledged record; is it no longer where it was, the walk begins again at 1. Records that were found beyond
it (a relay that was thought dead, a batch acknowledged to nobody) may have hidden newer states from compaction: the walk
goes back before them. So versions of a stream may repeat or come late; readers keep the highest.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import structlog

from services.kernel import kafka, postgres
from services.kernel.errors import SalescycleError, Unavailable
from services.kernel.lease import Lease
from services.kernel.settings import KafkaSettings
from services.kernel.sql_files import sql
from services.kernel.telemetry import RELAY_BROKER_LOSSES, STATE_BACKLOG_EVENTS, STATES_PUBLISHED

_logger = structlog.get_logger(__name__)

INTERRUPTIONS: tuple[type[Exception], ...] = (SalescycleError, *postgres.TROUBLE)

PAGE_POSITIONS = 250
"""Positions a partition in one walk's step: bounds what is in memory, and shares the loop with the events' relay."""
LARGEST_BYTES = kafka.BATCH_BYTES - 8_192
"""A record with its key and headers must fit into a batch."""
LOOK_EVERY_S = 20.0
LONGEST_PAUSE_S = 10.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_JSON = ("content-type", b"application/json")


class StateTopic(NamedTuple):
    """The compacted topic, and what stands in it.

    `body` makes the value of a record from (stream, partition, version, state as JSON text), a pure function; None: no
    record is made of this stream.
    """

    name: str
    body: Callable[[str, int, int, str], bytes | None]


class _Place:
    """Where a partition stands: its last known record, and up to which position all states are published."""

    __slots__ = ("done", "expected_offset", "offset", "position")

    def __init__(self, position: int = 0, offset: int = -1) -> None:
        self.position = position
        self.offset = offset
        self.done = position
        self.expected_offset: int | None = None
        """What the next record should get; None where nothing is known that could be missed."""


class States:
    """The states of the streams in the partitions `owned`; works while the relay that holds `lease` runs it.

    `pool` acts as `salescycle_relay`. Trouble with this topic is retried here and never reaches the relay.
    """

    def __init__(
        self, pool: asyncpg.Pool, settings: KafkaSettings, topic: StateTopic, partitions: int, owned: Sequence[int],
        lease: Lease,
    ) -> None:  # fmt: skip
        self._pool = pool
        self._settings = settings
        self._topic = topic
        self._partitions = partitions
        self._lease = lease
        self._reached = dict.fromkeys(owned, 0)
        self._places = {partition: _Place() for partition in owned}
        self._unwritten: set[int] = set()
        self._news = asyncio.Event()

    async def load(self) -> None:
        """Begin where the relay before this one is known to have been."""
        self._unwritten.clear()
        self._places = {partition: _Place() for partition in self._places}
        for row in await self._pool.fetch("SELECT partition, position, kafka_offset FROM state_confirmed"):
            self._places[row[0]] = _Place(row[1], row[2])

    def reached(self, partition: int, position: int) -> None:
        """The events up to `position` are in their topic: their states may follow."""
        if position > self._reached[partition]:
            self._reached[partition] = position
            self._news.set()

    def tell_backlog(self) -> None:
        for partition, place in self._places.items():
            STATE_BACKLOG_EVENTS.labels(partition).set(max(0, self._reached[partition] - place.done))

    def forget_backlog(self) -> None:
        for partition in self._places:
            STATE_BACKLOG_EVENTS.remove(partition)

    async def run(self) -> None:
        """Publish until cancelled."""
        pause = 0.1
        while True:
            began = time.monotonic()
            try:
                await self._publish_all()
            except INTERRUPTIONS as error:
                _logger.warning(
                    "publishing states was interrupted and starts again",
                    reason=postgres.described(error), topic=self._topic.name, pause_s=pause,
                )  # fmt: skip
            except Exception:
                # a surprise of a client library must not end this task: nobody else publishes states
                _logger.exception("publishing states failed and starts again", topic=self._topic.name, pause_s=pause)
            pause = 0.1 if time.monotonic() - began > LONGEST_PAUSE_S else min(LONGEST_PAUSE_S, pause * 2)
            await asyncio.sleep(pause)

    async def write_confirmed(self) -> None:
        """Write down, behind the acknowledgements, what they said. Losing the newest costs states published twice."""
        partitions = sorted(self._unwritten)
        self._unwritten.clear()
        await self._confirm(partitions)

    async def _publish_all(self) -> None:
        await kafka.require_topic(self._settings, self._topic.name, self._partitions)
        producer = kafka.Producer(self._settings, self._topic.name)
        await producer.start()
        try:
            await self._look(list(self._places))
            looked = time.monotonic()
            while True:
                self._news.clear()
                if not await self._step(producer):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(1.0):
                            await self._news.wait()
                if time.monotonic() - looked > LOOK_EVERY_S:
                    await self._look_where_it_ends_elsewhere()
                    looked = time.monotonic()
        finally:
            await producer.stop()

    async def _step(self, producer: kafka.Producer) -> bool:
        """Publish the next page of every partition that is behind; False where none is."""
        ranges = {
            partition: (place.done, min(self._reached[partition], place.done + PAGE_POSITIONS))
            for partition, place in self._places.items()
            if self._reached[partition] > place.done
        }
        if not ranges:
            return False
        rows = await self._pool.fetch(
            sql("services.kernel.sql", "read_states"), list(ranges), [after for after, _ in ranges.values()],
            [through for _, through in ranges.values()],
        )  # fmt: skip
        pages: dict[int, list[asyncpg.Record]] = {partition: [] for partition in ranges}
        for row in rows:
            pages[row["partition"]].append(row)
        for (
            partition,
            page,
        ) in pages.items():  # one after the other: events go first, in as many flights as there are partitions
            await self._send(producer, partition, page, ranges[partition][1])
        return True

    async def _send(
        self, producer: kafka.Producer, partition: int, rows: Sequence[asyncpg.Record], through: int
    ) -> None:
        """Publish one page, and check where each batch of it landed; another place than expected: look, and go on there."""
        place = self._places[partition]
        made = list(self._records(rows))
        while made:
            offset, count = await producer.publish(partition, [record for _, record in made])
            if place.expected_offset not in (None, offset):
                _logger.warning(
                    "a batch of states landed elsewhere than expected",
                    partition=partition, expected=place.expected_offset, got=offset,
                )  # fmt: skip
                await self._look([partition])
                return
            place.position = place.done = made[count - 1][0]
            place.offset = offset + count - 1
            place.expected_offset = offset + count
            self._unwritten.add(partition)
            STATES_PUBLISHED.inc(count)
            del made[:count]
        place.done = through

    def _records(self, rows: Iterable[asyncpg.Record]) -> Iterable[tuple[int, kafka.Record]]:
        """(position, record) of every stream that has a body here."""
        for partition, position, stream, version, recorded_at, state in rows:
            body = self._topic.body(stream, partition, version, state)
            if body is None:
                continue
            if len(body) > LARGEST_BYTES:
                _logger.error("a state is too large to be published", partition=partition, position=position)
                continue
            headers = [_JSON, ("version", b"%d" % version), ("position", b"%d" % position)]
            yield position, (stream.encode(), body, headers, (recorded_at - _EPOCH) // _MILLISECOND)

    async def _look(self, partitions: Sequence[int]) -> None:
        """Find out what became of the last known record of each partition, and what lies beyond it."""
        reader = kafka.Reader(self._settings, self._topic.name)
        await reader.start()
        try:
            marks = await reader.watermarks(partitions)
            known = {partition: self._places[partition] for partition in partitions}
            finds = {partition: _Find(place) for partition, place in known.items()}
            # a broker that tells the base of its last batch as the end (Tansu) still shows that batch
            starts = {partition: min(place.offset, marks[partition].end - 1) for partition, place in known.items()}
            readable = {p: start for p, start in starts.items() if start >= max(0, marks[p].first)}
            async for partition, record in reader.read_to_end(readable, {p: marks[p].end for p in readable}):
                finds[partition].see(record.offset, _position_of(record))
        finally:
            await reader.stop()
        lost = [p for p, find in finds.items() if known[p].offset >= 0 and not find.there]
        self._unwritten.difference_update(partitions)
        for partition, find in finds.items():
            self._places[partition] = _Place() if partition in lost or known[partition].offset < 0 else find.place()
        if lost:
            RELAY_BROKER_LOSSES.inc(len(lost))
            _logger.error("the broker lost states; publishing them again", topic=self._topic.name, partitions=lost)
            if self._lease.epoch is None:
                raise Unavailable("the lease was lost; the next relay goes on")
            await self._confirm(lost)  # first: what is published from here on must not pass for what was there

    async def _look_where_it_ends_elsewhere(self) -> None:
        marks = await kafka.watermarks(self._settings, self._topic.name, list(self._places))
        elsewhere = [
            p for p, place in self._places.items() if place.offset >= 0 and place.expected_offset != marks[p].end
        ]
        if elsewhere:
            await self._look(elsewhere)

    async def _confirm(self, partitions: Sequence[int]) -> None:
        if not partitions or self._lease.epoch is None:
            return
        places = [self._places[partition] for partition in partitions]
        await self._pool.fetch(
            sql("services.kernel.sql", "confirm_states"), list(partitions), [place.position for place in places],
            [place.offset for place in places], self._lease.epoch,
        )  # fmt: skip


class _Find:
    """What a look sees of one partition, from its last known record on."""

    def __init__(self, known: _Place) -> None:
        self._known = known
        self._last = (known.position, known.offset)
        self._lowest = known.done + 1
        self.there = False
        """Whether the last known record is where it was."""

    def see(self, offset: int, position: int | None) -> None:
        if offset == self._known.offset:
            self.there = position == self._known.position
        elif offset > self._known.offset and position is not None:
            self._lowest = min(self._lowest, position)
            self._last = (position, offset)

    def place(self) -> _Place:
        place = _Place(*self._last)
        place.done = self._lowest - 1
        place.expected_offset = place.offset + 1
        return place


def _position_of(record: Any) -> int | None:
    """None for a record that no relay wrote: it hides no state."""
    with suppress(ValueError, KeyError):
        return int(dict(record.headers)["position"])
    return None
