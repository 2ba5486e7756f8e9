"""Publishes a log to its topic: every event, in position order, each partition of the log in the same of the topic.

The log is the outbox. What was published is asked of Kafka itself: on taking over, after any indefinite error, and
whenever an acknowledged offset or the end of an idle partition is not the expected one, the relay reads the topic from the last confirmed record and goes
on after the highest position reached without a hole. One batch is in flight per partition, so a late batch of a relay
that was thought dead can only repeat positions, which readers drop (ADR-0005). States of streams follow in a task of
their own (`services.kernel.states`).
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import asyncpg
import structlog

from schemas.envelope import Recorded
from schemas.wire import to_kafka
from services.kernel import kafka, postgres
from services.kernel.errors import Diverged, SalescycleError, Unavailable
from services.kernel.lease import Lease
from services.kernel.log import Log, recorded
from services.kernel.place import Confirmed, Place, check_confirmed, find_places
from services.kernel.settings import KafkaSettings
from services.kernel.sql_files import sql
from services.kernel.states import States, StateTopic
from services.kernel.telemetry import RELAY_BACKLOG_EVENTS, RELAY_PUBLISHED
from services.kernel.wakeup import Heads

_logger = structlog.get_logger(__name__)

INTERRUPTIONS: tuple[type[Exception], ...] = (SalescycleError, *postgres.TROUBLE)

BATCH_EVENTS = 1_000
BATCH_BYTES = 2 * 2**20
LOOK_EVERY_S = 20.0
"""How often the ends of partitions to which nothing is published are asked for: the longest time a loss stays unnoticed."""

WHAT_TO_DO = (
    "The log was restored to an older state, or the topic belongs to another log. Nothing is published until someone decides: "
    "either restore the newer state of PostgreSQL; or, if the older state is to stand, delete the topic and that of the states, run "
    "`salescycle topics apply`, restart lifecycle, and rebuild every read model. `salescycle verify` shows where the two histories part."
)


class Relay:
    """A candidate for publishing one placement of a log; it works while it holds the lease and waits otherwise.

    `pool` acts as `salescycle_relay`: it reads events and writes what was confirmed, and can append nothing.
    """

    def __init__(
        self, pool: asyncpg.Pool, log: Log, heads: Heads, settings: KafkaSettings, *, topic: str, base_url: str, owner: str, lease_s: float = 5.0,
        states: StateTopic | None = None,
    ) -> None:  # fmt: skip
        self._pool = pool
        self._log = log
        self._heads = heads
        self._settings = settings
        self._topic = topic
        self._base_url = base_url
        self._lease = Lease(pool, f"relay {topic}", owner, lease_s)
        self._task: asyncio.Task[None] | None = None
        self._confirmed: dict[int, Confirmed] = {}
        self._unwritten: set[int] = set()
        self._states = States(pool, settings, states, log.partitions, log.owned, self._lease) if states else None
        self.diverged: str | None = None
        """Why this relay stopped for good, and what to do; None while all is well."""
        self.publishing = False

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="relay")
        self._task.add_done_callback(lambda _: self._forget_backlog())

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        try:
            with suppress(Diverged):  # the next relay finds it as well, and says so
                await self._write_confirmed()
            await self._lease.release()
            await postgres.close_pool(self._pool)
        except postgres.TROUBLE as error:
            _logger.warning("the relay left without writing down its place", reason=postgres.described(error))
            self._pool.terminate()

    async def _run(self) -> None:
        """Wait for the lease; publish while it lasts; after trouble, find the place again."""
        pause = 0.1
        while True:
            try:
                if await self._lease.acquire():
                    await self._load_confirmed()
                    await self._mark_time()  # also while the broker is away: readers of the feed go on
                    self._tell_backlog()
                    await self._work()
                else:
                    self._forget_backlog()
            except Diverged as error:
                self.diverged = f"{error} {WHAT_TO_DO}"
                _logger.error("publishing stopped", reason=self.diverged, topic=self._topic)
                return
            except INTERRUPTIONS as error:
                _logger.warning(
                    "publishing was interrupted and starts again", reason=postgres.described(error), pause_s=pause
                )
            except Exception:
                # a surprise of a client library must not end this task: the log would go on and nobody publish it
                _logger.exception("publishing failed and starts again", topic=self._topic, pause_s=pause)
            pause = 0.1 if self.publishing else min(2.0, pause * 2)
            self.publishing = False
            await asyncio.sleep(pause)

    async def _work(self) -> None:
        """Publish until the lease is lost or something fails; raises what failed."""
        tasks = [
            asyncio.create_task(self._publish_all(), name="publish"),
            asyncio.create_task(self._keep_lease(), name="lease"),
        ]
        if self._states:
            tasks.append(asyncio.create_task(self._states.run(), name="states"))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_lease(self) -> None:
        """Renew the lease, write what was confirmed, move the time mark.

        Raises Unavailable once the lease is lost, Diverged once the log no longer holds what was confirmed.
        """
        while True:
            await asyncio.sleep(min(1.0, self._lease.seconds / 4))
            if not await self._lease.acquire():
                raise Unavailable("another relay took the lease")
            await self._write_confirmed()
            await self._mark_time()
            self._tell_backlog()

    async def _mark_time(self) -> None:
        """Move `through` of idle partitions to now; a partition that is being appended to moves it itself."""
        await self._pool.execute(sql("services.kernel.sql", "mark_time"))

    def _tell_backlog(self) -> None:
        for partition in self._log.owned:
            acknowledged = self._confirmed.get(partition, Confirmed()).position
            RELAY_BACKLOG_EVENTS.labels(partition).set(max(0, self._heads.positions[partition] - acknowledged))
        if self._states:
            self._states.tell_backlog()

    def _forget_backlog(self) -> None:
        """Who does not publish knows no backlog: a value that stands still would be taken for one."""
        for partition in self._log.owned:
            RELAY_BACKLOG_EVENTS.remove(partition)
        if self._states:
            self._states.forget_backlog()

    async def _publish_all(self) -> None:
        await kafka.require_topic(self._settings, self._topic, self._log.partitions)
        places = await self._find_places(self._log.owned)
        producer = kafka.Producer(self._settings, self._topic)
        await producer.start()
        news = self._heads.subscribe()
        self.publishing = True
        _logger.info("publishing", topic=self._topic, epoch=self._lease.epoch)
        sends = {asyncio.create_task(self._keep_looking(places, news))}
        try:
            while True:
                news.clear()
                idle = {p: place for p, place in places.items() if not place.flying}
                pages = await self._read_pages(idle)
                for partition, events in pages.items():
                    places[partition].flying = True
                    send = asyncio.create_task(self._send(producer, partition, places, events, news))
                    sends.add(send)
                for send in [send for send in sends if send.done()]:
                    sends.discard(send)
                    send.result()
                if not pages:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.5):
                            await news.wait()
        finally:
            self._heads.unsubscribe(news)
            for send in sends:
                send.cancel()
            await asyncio.gather(*sends, return_exceptions=True)
            await producer.stop()

    async def _read_pages(self, idle: dict[int, Place]) -> dict[int, list[Recorded]]:
        """The next events of every idle partition that has some, in one query."""
        wanted = {
            p: place.next_position for p, place in idle.items() if self._heads.positions[p] >= place.next_position
        }
        if not wanted:
            return {}
        rows = await self._pool.fetch(
            sql("services.kernel.sql", "read_pages"), list(wanted), list(wanted.values()), BATCH_EVENTS, BATCH_BYTES
        )
        pages: dict[int, list[Recorded]] = {}
        for row in rows:
            pages.setdefault(row[0], []).append(recorded(row))
        return pages

    async def _send(
        self,
        producer: kafka.Producer,
        partition: int,
        places: dict[int, Place],
        events: list[Recorded],
        news: asyncio.Event,
    ) -> None:
        """Publish one batch and check where it landed. Anything unexpected: look into the topic and go on from there."""
        place = places[partition]
        try:
            records = [to_kafka(event, self._base_url) for event in events]
            offset, count = await producer.publish(partition, records)
            if offset != place.expected_offset:
                _logger.warning(
                    "a batch landed elsewhere than expected",
                    partition=partition,
                    expected=place.expected_offset,
                    got=offset,
                )
                places.update(await self._find_places([partition]))
                return
            last = events[count - 1]
            place.next_position = last.position + 1
            place.expected_offset = offset + count
            self._confirmed[partition] = Confirmed(last.position, offset + count - 1, last.id)
            self._unwritten.add(partition)
            RELAY_PUBLISHED.inc(count)
            if self._states:
                self._states.reached(partition, last.position)
        finally:
            place.flying = False
            news.set()

    async def _keep_looking(self, places: dict[int, Place], news: asyncio.Event) -> None:
        """Notice what the broker lost where nothing is published, so that no acknowledgement would tell.

        Where the end is not the expected one, the partition itself is read from the confirmed record on: a broker that
        tells the base of its last batch (Tansu) costs one batch a partition, one that tells the end nothing.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            quiet = {p: place.expected_offset for p, place in places.items() if not place.flying}
            marks = await kafka.watermarks(self._settings, self._topic, list(quiet))
            elsewhere = [
                partition
                for partition, mark in marks.items()
                if not places[partition].flying and places[partition].expected_offset == quiet[partition] != mark.end
            ]
            for partition in elsewhere:
                places[partition].flying = True
            if elsewhere:
                places.update(await self._find_places(elsewhere))
                news.set()

    async def _find_places(self, partitions: Sequence[int]) -> dict[int, Place]:
        confirmed = {partition: self._confirmed.get(partition, Confirmed()) for partition in partitions}
        places = await find_places(self._pool, self._settings, self._topic, confirmed)
        if self._states:
            for partition, place in places.items():
                self._states.reached(partition, place.next_position - 1)
        return places

    async def _load_confirmed(self) -> None:
        self._unwritten.clear()
        rows = await self._pool.fetch("SELECT partition, position, kafka_offset, event_id FROM relay_confirmed")
        self._confirmed = {row[0]: Confirmed(row[1], row[2], row[3]) for row in rows}
        if self._states:
            await self._states.load()

    async def _write_confirmed(self) -> None:
        """Write down, behind the acknowledgements, what they said. Losing the newest costs a longer look on take-over.

        Raises Diverged where the log does not hold what was confirmed: it went back while we were connected, as on a
        failover to a standby that was behind, and what would be published next belongs to another history.
        """
        await check_confirmed(self._pool, self._topic, self._confirmed)
        if self._states:
            await self._states.write_confirmed()
        if not self._unwritten or self._lease.epoch is None:
            return
        partitions = sorted(self._unwritten)
        self._unwritten.clear()
        confirmed = [self._confirmed[partition] for partition in partitions]
        await self._pool.fetch(
            sql("services.kernel.sql", "confirm"), partitions, [each.position for each in confirmed],
            [each.offset for each in confirmed], [each.event_id for each in confirmed], self._lease.epoch,
        )  # fmt: skip
