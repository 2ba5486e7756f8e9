"""Keeps a read model's live generation level with the log, with proof that nothing is missing.

Kafka carries, the feed proves. Each partition that this process owns is read from the feed up to its head, then tailed from
Kafka; every record must be the next position, a hole is filled from the feed, and every few seconds the feed is asked
whether Kafka is behind. Start-up, a broker that lost everything and a topic that was trimmed are all the same code.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import asyncpg
import structlog

from schemas.envelope import Recorded
from schemas.wire import NotAnEvent, from_kafka
from services.kernel import checkpoint, kafka, postgres
from services.kernel.apply import Gap, Partition
from services.kernel.checkpoint import Fenced, ReadModel, Swapped
from services.kernel.clock import utc_now
from services.kernel.dead_letters import DeadLetters
from services.kernel.errors import Diverged, LogDiverged, SalescycleError, Unavailable
from services.kernel.feed_client import FeedClient, Page
from services.kernel.ownership import Ownership
from services.kernel.settings import KafkaSettings
from services.kernel.telemetry import (
    CONSUMER_GAPS,
    CONSUMER_LAG_EVENTS,
    CONSUMER_LAG_SECONDS,
    CONSUMER_POSITION,
    PARKED_LEADS,
    forget_partition,
)

_logger = structlog.get_logger(__name__)

INTERRUPTIONS: tuple[type[Exception], ...] = (SalescycleError, *postgres.TROUBLE)

PAGE_EVENTS = 5_000
CATCHING_UP_AT_ONCE = 4

TAIL_WAIT_MS = 20
"""How long the broker may sit on an empty fetch. Tansu 0.6 sits on it that long even when a record comes meanwhile."""

WHAT_TO_DO = (
    "This read model and the log do not belong together, so it stops. If PostgreSQL was restored to an older state, restore the "
    "newer one; or, if what is there is to stand, build the read model anew: `salescycle rebuild {model}`."
)


class _Standing(NamedTuple):
    """Where a partition stood when it was last looked at, of which head, and since when it waits there."""

    position: int
    head: int
    since: float


class Consumer:
    """One process's part in following a log for one read model. `stuck` is called when nothing moves though there is lag."""

    def __init__(
        self, pool: asyncpg.Pool, model: ReadModel, feed: FeedClient, settings: KafkaSettings, *, topic: str, partitions: int,
        member: str, stuck: Callable[[str], None], check_s: float = 2.0, patience_s: float = 60.0, lease_s: float = 6.0,
    ) -> None:  # fmt: skip
        self._pool = pool
        self._model = model
        self._feed = feed
        self._settings = settings
        self._topic = topic
        self._count = partitions
        self._ownership = Ownership(pool, model.name, member, partitions, lease_s)
        self._dead_letters = DeadLetters(settings, topic, model.name)
        self._stuck = stuck
        self._check_s = check_s
        self._patience_s = patience_s
        self._generation = 0
        self._owned: dict[int, Partition] = {}
        self._changed = asyncio.Event()
        self._catching_up = asyncio.Semaphore(CATCHING_UP_AT_ONCE)
        self._kafka_behind: dict[int, int] = {}
        self._standing: dict[int, _Standing] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.ready = False
        """Whether everything this process owns has been level with the log's head since it took it over."""
        self.diverged: str | None = None
        """Why it stopped, and what to do; None again once that was done."""

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run(), name=f"consumer {self._model.name}"),
            # beside the work and not part of it: what hangs cannot say so itself
            asyncio.create_task(self._watch(), name=f"watchdog {self._model.name}"),
        ]

    async def stop(self) -> None:
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._let_go_of_all()
        with suppress(*postgres.TROUBLE):
            await self._ownership.leave()

    async def _run(self) -> None:
        pause = 0.1
        while True:
            try:
                self._let_go_of_all()
                self._model.forget()
                self._generation = await checkpoint.ensure_servable(self._pool, self._model, self._count)
                await self._follow()
            except Swapped:
                _logger.info("another generation is live; following that one", model=self._model.name)
                pause = 0.1
                continue
            except (Diverged, LogDiverged) as error:
                self.diverged = f"{error} {WHAT_TO_DO.format(model=self._model.name)}"
                self.ready = False
                _logger.error("the read model stopped", model=self._model.name, reason=self.diverged)
                with suppress(*postgres.TROUBLE):
                    await self._ownership.leave()
                await self._until_rebuilt()
                self.diverged = None
                pause = 0.1
                continue
            except INTERRUPTIONS as error:
                _logger.warning(
                    "following the log was interrupted and starts again",
                    model=self._model.name,
                    reason=postgres.described(error),
                )
            except Exception:
                # a surprise of a client library must not end this task: nobody would notice before the figures are old
                _logger.exception("following the log failed and starts again", model=self._model.name)
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 2)

    async def _until_rebuilt(self) -> None:
        """Wait until another generation is live: then what was said to do has been done."""
        self._let_go_of_all()
        while True:
            await asyncio.sleep(1.0)
            with suppress(*postgres.TROUBLE):
                if await checkpoint.live_generation(self._pool, self._model.name) not in (None, self._generation):
                    return

    async def _follow(self) -> None:
        """Own, tail, check and retry until one of them fails; raises what failed."""
        parts = (self._share(), self._tail(), self._check(), self._retry())
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ---- which partitions are ours

    async def _share(self) -> None:
        """Beat once a second; take over what is given to us, let go of what is not. Waits for no effect: silence costs all."""
        while True:
            mine = set(await self._ownership.beat())
            if not mine:
                self.ready = True  # there is nothing to catch up with; queries can be answered
            for number in set(self._owned) - mine:
                self._let_go(number)
            gained = sorted(mine - set(self._owned))
            if gained:
                # what we remember of a lead may be older than what its last owner wrote
                self._model.forget()
                for part in await Partition.open(self._pool, self._model, self._generation, gained, live=True):
                    self._owned[part.number] = part
                self._changed.set()
            if await checkpoint.live_generation(self._pool, self._model.name) != self._generation:
                raise Swapped("another generation is live")
            await asyncio.sleep(1.0)

    # ---- Kafka

    async def _tail(self) -> None:
        """Follow the topic; whenever what we own changes or the broker fails, begin again at its end and close the hole."""
        while True:
            self._changed.clear()
            owned = dict(self._owned)
            if not owned:
                await self._changed.wait()
                continue
            reader = kafka.Reader(self._settings, self._topic, wait_ms=TAIL_WAIT_MS)
            try:
                await reader.start()
                marks = await reader.watermarks(sorted(owned))
                reader.assign({number: mark.end for number, mark in marks.items()})
                await self._catch_up_all(owned)
                while not self._changed.is_set():
                    fetched = await reader.fetch(PAGE_EVENTS, 200)
                    mine = [
                        (self._owned[number], records) for number, records in fetched.items() if number in self._owned
                    ]
                    await asyncio.gather(*(self._apply_records(part, records) for part, records in mine))
            except Unavailable as error:
                _logger.warning(
                    "the broker is away; the feed is read instead", model=self._model.name, reason=str(error)
                )
                await self._catch_up_all(owned)
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._changed.wait()
            finally:
                await reader.stop()
                await self._dead_letters.stop()  # a broker that was away may have lost their topic

    async def _apply_records(self, part: Partition, records: Sequence[Any]) -> None:
        events: list[Recorded] = []
        foreign: list[tuple[Any, Exception]] = []
        for record in records:
            try:
                events.append(from_kafka(part.number, record.key, record.value, record.headers, record.timestamp))
            except NotAnEvent as error:
                foreign.append((record, error))
        if foreign:
            await self._dead_letters.put(part.number, foreign)
        if not await self._apply(part, events, "kafka"):
            CONSUMER_GAPS.labels(self._model.name).inc()
            _logger.info("a hole in the topic is filled from the log", model=self._model.name, partition=part.number)
            await self._catch_up(part)

    # ---- the feed

    async def _catch_up_all(self, owned: dict[int, Partition]) -> None:
        """Bring all partitions level with the log, and take over its time mark: from then on we are ready."""
        pages = await asyncio.gather(*(self._catch_up(part) for part in owned.values()))
        await self._mark_through([(number, page) for number, page in zip(owned, pages, strict=True) if page])
        self.ready = True

    async def _mark_through(self, pages: Sequence[tuple[int, Page]]) -> None:
        marks = [(number, page.head, page.through) for number, page in pages]
        if marks:
            await checkpoint.mark_through(self._pool, self._model.name, self._generation, marks)

    async def _catch_up(self, part: Partition) -> Page | None:
        """Read the feed from the checkpoint to the head; returns the last page, or None where the partition was lost."""
        async with self._catching_up:
            while self._owned.get(part.number) is part:
                known = part.known
                page = await self._feed.read(part.number, known.position, known.event_id, limit=PAGE_EVENTS)
                self._stands(part, page.head)
                if page.events:
                    await self._apply(part, page.events, "feed")
                if part.known.position >= page.head:
                    return page
            return None

    async def _check(self) -> None:
        """Every few seconds: are we level with the log's head? Read on where Kafka is behind; notice when nothing moves."""
        while True:
            await asyncio.sleep(self._check_s)
            level: list[tuple[int, Page]] = []
            for part in list(self._owned.values()):
                before = part.known.position
                try:
                    page = await self._feed.read(part.number, before, part.known.event_id, limit=PAGE_EVENTS)
                except Unavailable as error:
                    _logger.warning("the feed does not answer", reason=str(error))
                    break
                if self._owned.get(part.number) is not part:
                    continue
                self._stands(part, page.head)
                oldest = page.events[0].recorded_at if page.events and page.head > part.known.position else None
                CONSUMER_LAG_SECONDS.labels(self._model.name, part.number).set(
                    (utc_now() - oldest).total_seconds() if oldest else 0
                )
                if page.events and part.known.position == before:  # Kafka gave nothing while we asked
                    behind = self._kafka_behind[part.number] = self._kafka_behind.get(part.number, 0) + 1
                    await self._apply(part, page.events, "feed")
                    if page.head > part.known.position:
                        await self._catch_up(part)
                    if behind > 2:  # it keeps silent while the log goes on: look again where the topic ends
                        self._kafka_behind.clear()
                        self._changed.set()
                else:
                    self._kafka_behind.pop(part.number, None)
                if part.known.position == page.head:
                    level.append((part.number, page))
            await self._mark_through(level)
            PARKED_LEADS.labels(self._model.name).set(
                await checkpoint.parked_leads(self._pool, self._model.name, self._generation)
            )

    def _stands(self, part: Partition, head: int) -> None:
        """Remember and tell where the partition stands, where the log ends, and since when it has lag without moving."""
        if self._owned.get(part.number) is not part:
            return  # let go meanwhile: who owns it now watches it
        now, at = asyncio.get_running_loop().time(), part.known.position
        before = self._standing.get(part.number)
        waits = before is not None and before.position == at and before.position < before.head
        self._standing[part.number] = _Standing(at, head, before.since if before is not None and waits else now)
        CONSUMER_POSITION.labels(self._model.name, part.number).set(at)
        CONSUMER_LAG_EVENTS.labels(self._model.name, part.number).set(max(0, head - at))

    async def _watch(self) -> None:
        """Call `stuck` where a partition has lag and has not moved for `patience_s`: a restart is the surest cure."""
        while True:
            await asyncio.sleep(min(1.0, self._check_s))
            for number, part in self._owned.items():
                if number in self._standing:
                    self._stands(part, self._standing[number].head)
            for number, (position, head, since) in self._standing.items():
                still = asyncio.get_running_loop().time() - since
                if position < head and still > self._patience_s:
                    self._stuck(
                        f"partition {number} of {self._model.name} stands at {position} of {head} for {still:.0f} s"
                    )

    # ---- effects

    async def _retry(self) -> None:
        """Apply the parked leads that an operator asked for."""
        while True:
            for part in list(self._owned.values()):
                await self._guarded(part, part.retry_parked)
            await asyncio.sleep(1.0)

    async def _apply(self, part: Partition, events: Sequence[Recorded], via: str) -> bool:
        """Apply what is new; False where there is a hole before it. A partition that is no longer ours is let go."""
        complete = True

        async def apply() -> None:
            nonlocal complete
            try:
                await part.apply(events, via)
            except Gap:
                complete = False

        await self._guarded(part, apply)
        return complete

    async def _guarded(self, part: Partition, work: Callable[[], Awaitable[None]]) -> None:
        if self._owned.get(part.number) is not part:
            return
        async with part.lock:
            try:
                await work()
            except Fenced as error:
                # another process applied here: if the partition is still ours, the next beat opens it at its new place
                _logger.info("let go of a partition", model=self._model.name, partition=part.number, reason=str(error))
                if self._owned.get(part.number) is part:
                    self._let_go(part.number)

    def _let_go(self, number: int) -> None:
        del self._owned[number]
        self._standing.pop(number, None)
        forget_partition(self._model.name, number)

    def _let_go_of_all(self) -> None:
        for number in list(self._owned):
            self._let_go(number)
        self._standing.clear()
