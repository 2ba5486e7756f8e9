"""`subscribe`: the events of the log, each once and in the order of its partition, from the feed alone or from Kafka.

Kafka carries, the feed proves: whatever the topic lacks, repeats or has lost comes from the feed or is dropped, and every few
seconds the feed is asked whether the topic is behind. Without a topic the feed is followed by long polls, one a partition.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from schemas.envelope import Recorded
from services.client.batch import Batch, batch_of
from services.client.checkpoint import BEGINNING, Checkpoint, Place
from services.client.density import Reading
from services.client.errors import Away, KitError, NotTheService
from services.client.feed import Feed, Page
from services.client.lag import Lag, lag_of, watch
from services.client.patience import Patience
from services.client.topic import Tail, Topic

T = TypeVar("T")
_logger = logging.getLogger(__name__)

LONG_POLL_S: Final = 20.0
CATCHING_UP_AT_ONCE: Final = 4
LONGEST_PAUSE_S: Final = 2.0
SILENT_CHECKS: Final = 2
"""So often may Kafka be behind the feed in a row before the topic is looked at anew."""


def subscribe(
    url: str, key: str, checkpoint: Checkpoint, *, topic: Topic | None = None, types: Collection[str] | None = None,
    partitions: Collection[int] | None = None, begin_at: Literal["beginning", "now"] = "beginning", page_events: int = 1_000,
    ahead: int = 4, check_s: float = 2.0, watch_s: float = 10.0, http: Mapping[str, Any] | None = None,
) -> "Subscription":  # fmt: skip
    """Follow the log of the lifecycle service at `url` (the key needs `events:read`) from where `checkpoint` stands.

        async with subscribe(url, key, checkpoint) as batches:
            async for batch in batches:
                with database:                # one transaction
                    checkpoint.save(batch)    # first: it refuses a second process of this reader
                    ...                       # what the events do

    `topic`: read Kafka as well, for less delay and less load on the service. `types`: give only events of these types.
    `partitions`: only these (several processes may share the log so); None: all. `begin_at` says where to begin in a
    partition for which nothing was saved; "now" gives an empty batch at once, whose place must be saved like any other. To
    read everything again give an empty checkpoint. A batch holds up to `page_events` events, and up to `ahead` batches wait
    for the reader. Every `watch_s` seconds the logger `services.client` tells the lag. `http` goes to httpx.AsyncClient.

    Service and broker may come and go: the subscription waits. It raises, from the `async for`, Diverged (the log is not the
    one that the checkpoint was made in: stop), KeyRefused, and NotTheService.
    """
    if begin_at not in ("beginning", "now"):
        raise ValueError("begin_at is 'beginning' or 'now'")
    feed = Feed(url, key, http=http)
    return Subscription(
        feed, checkpoint, topic, types, partitions, begin_at == "now", page_events, ahead, check_s, watch_s
    )


class Subscription:
    """A running subscription; made by `subscribe`, entered with `async with`, read with `async for`."""

    def __init__(
        self, feed: Feed, checkpoint: Checkpoint, topic: Topic | None, types: Collection[str] | None,
        partitions: Collection[int] | None, from_now: bool, page_events: int, ahead: int, check_s: float, watch_s: float,
    ) -> None:  # fmt: skip
        self._feed = feed
        self._checkpoint = checkpoint
        self._topic = topic
        self._types = frozenset(types) if types is not None else None
        self._wanted = partitions
        self._from_now = from_now
        self._page_events = page_events
        self._check_s = check_s
        self._watch_s = watch_s
        self._readings: dict[int, Reading] = {}
        self._given: dict[int, Place] = {}
        self._seen_at: dict[int, datetime] = {}
        self._heads: dict[int, Page] = {}
        self._queue: asyncio.Queue[tuple[Batch, datetime | None] | BaseException] = asyncio.Queue(ahead)
        self._catching_up = asyncio.Semaphore(CATCHING_UP_AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        saved = self._checkpoint.load()
        self._tasks = [
            asyncio.create_task(self._run(saved), name="subscription"),
            asyncio.create_task(watch(lambda: self.lag, self._watch_s), name="watchdog of the subscription"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._feed.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        item = await self._queue.get()
        if isinstance(item, BaseException):
            self._queue.put_nowait(
                item
            )  # there is room: one was taken, and nobody puts any more; asked again, it says so again
            raise item
        batch, at = item
        self._given[batch.partition] = batch.place
        if at is not None:
            self._seen_at[batch.partition] = at
        return batch

    @property
    def lag(self) -> dict[int, Lag]:
        """How far each partition is behind, counted by what was given to the reader."""
        lags = {}
        for partition, place in self._given.items():
            page = self._heads.get(partition)
            head, through = (page.head, page.through) if page else (None, None)
            lags[partition] = lag_of(place.position, self._seen_at.get(partition), head, through)
        return lags

    @property
    def level(self) -> bool:
        """Whether the reader has been given everything that the log was last seen to hold, in every partition."""
        lags = self.lag
        return bool(lags) and all(lag.head is not None and not lag.events for lag in lags.values())

    # ---- the work behind it

    async def _run(self, saved: Mapping[int, Place]) -> None:
        """Work until something ends it for good; the reader is told after what was read before it."""
        try:
            await self._open(saved)
            if self._topic is None:
                await _all(*(self._follow_feed(reading) for reading in self._readings.values()))
            else:
                await self._follow_topic(self._topic)
        except Exception as error:  # noqa: BLE001  whatever it is, it belongs to who reads, not into a task that nobody awaits
            await self._queue.put(error)

    async def _open(self, saved: Mapping[int, Place]) -> None:
        count = await self._patiently(self._feed.partitions)
        wanted = sorted(set(range(count)) if self._wanted is None else set(self._wanted))
        beyond = sorted({*wanted, *saved} - set(range(count)))
        if beyond:
            raise KitError(
                f"The log has the partitions 0 to {count - 1}; there is no {beyond[0]}: is this the log you mean?"
            )
        for number in wanted:
            place = saved.get(number)
            self._given[number] = place or BEGINNING
            self._readings[number] = Reading(number, place or BEGINNING)
            if place is None and self._from_now:
                await self._begin_at_the_end(self._readings[number])

    async def _begin_at_the_end(self, reading: Reading) -> None:
        reading.place = await self._patiently(lambda: self._feed.end(reading.partition))
        await self._queue.put((Batch(reading.partition, BEGINNING, reading.place, ()), None))

    async def _follow_feed(self, reading: Reading) -> None:
        while True:
            await self._take_page(reading, await self._read(reading, wait_s=LONG_POLL_S))

    async def _follow_topic(self, topic: Topic) -> None:
        """Stand at the end of the topic, close the hole before it, tail; whenever the broker fails, begin again."""
        patience = self._patience()
        while True:
            tail = Tail(topic, list(self._readings))
            try:
                await tail.start()
                await self._catch_up_all()
                patience.went_well()
                await self._tail(tail)
            except Away as trouble:
                await self._catch_up_all()
                await patience.wait(f"{trouble}; the feed is read instead")
            finally:
                await tail.stop()

    async def _tail(self, tail: Tail) -> None:
        """Until the topic has been silent about new events for several checks. Raises Away."""
        clock = asyncio.get_running_loop().time
        next_check = clock() + self._check_s
        spoke: set[int] = set()
        silent = dict.fromkeys(self._readings, 0)
        while max(silent.values(), default=0) <= SILENT_CHECKS:
            for partition, events in (await tail.fetch(0.2)).items():
                spoke.add(partition)
                reading = self._readings[partition]
                if await self._give(reading, events):
                    _logger.info("a hole in the topic is filled from the feed, partition %d", partition)
                    await self._catch_up(reading)
            if clock() >= next_check:
                behind = await _all(*map(self._catch_up, self._readings.values()))
                for reading, missing in zip(self._readings.values(), behind, strict=True):
                    number = reading.partition
                    silent[number] = silent[number] + 1 if missing and number not in spoke else 0
                spoke.clear()
                next_check = clock() + self._check_s
        _logger.warning("the topic lacks events that the feed has; it is looked at anew")

    async def _catch_up_all(self) -> None:
        await _all(*map(self._catch_up, self._readings.values()))

    async def _catch_up(self, reading: Reading) -> bool:
        """Read the feed up to the end of the partition; whether there was anything."""
        anything = False
        async with self._catching_up:
            while True:
                page = await self._read(reading)
                await self._take_page(reading, page)
                anything = anything or bool(page.events)
                if reading.place.position >= page.head:
                    return anything

    async def _read(self, reading: Reading, *, wait_s: float = 0.0) -> Page:
        page = await self._patiently(
            lambda: self._feed.read(reading.partition, reading.place, limit=self._page_events, wait_s=wait_s)
        )
        self._heads[reading.partition] = page._replace(events=[])
        return page

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer of the service, however long it is away."""
        patience = self._patience()
        while True:
            try:
                return await ask()
            except Away as trouble:
                await patience.wait(str(trouble), trouble.asked_s)

    async def _take_page(self, reading: Reading, page: Page) -> None:
        if await self._give(reading, page.events):
            raise NotTheService(f"{self._feed.url} leaves out events after {reading.place.position}: that is no log")

    async def _give(self, reading: Reading, events: Sequence[Recorded]) -> bool:
        """Hand on what is new; whether a hole came after it. Waits while the reader is busy."""
        after = reading.place
        fresh, hole = reading.take(events)
        if fresh:
            batch = batch_of(reading.partition, after, reading.place, fresh, self._types)
            await self._queue.put((batch, fresh[-1].recorded_at))
        return hole

    def _patience(self) -> Patience:
        return Patience(None, longest_pause_s=LONGEST_PAUSE_S)


async def _all(*parts: Coroutine[Any, Any, T]) -> list[T]:
    """All at once, until all are done or the first fails: then the others are stopped, and its error is raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
