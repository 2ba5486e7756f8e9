"""Group commit: concurrent requests of one process are gathered into batches, and each batch is one transaction.

A commit costs a disk flush whatever it holds, so the more requests wait for one, the cheaper each is. Two batches may be
under way at once (one flushes while the other is built), never with a stream in common. A request that lost a race with
another process is decided again; one that is refused fails alone; after a connection broke at COMMIT, nobody is answered
before the batch has been looked up by (source, id).
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from schemas.envelope import Event, Recorded
from services.kernel import postgres
from services.kernel.decider import Deciders, decider_of
from services.kernel.draft import Draft
from services.kernel.errors import Overloaded, SalescycleError, Unavailable
from services.kernel.log import SQL, Log, recorded
from services.kernel.partition import partition_of
from services.kernel.sql_files import sql
from services.kernel.stream_state import StreamRecord, decode_state
from services.kernel.submission import Appended, Receipt, Sink, Submission
from services.kernel.telemetry import APPEND_BATCH_EVENTS, APPEND_CONFLICTS, APPEND_RETRIES

_logger = structlog.get_logger(__name__)
_ARRAYS = (
    "text", "smallint", "integer", "integer", "json", "text",
    "smallint", "integer",
    "integer", "integer", "text", "integer", "text", "text", "text", "timestamptz", "json", "json", "bytea", "text",
)  # fmt: skip
_PARAMETERS = ", ".join(f"CAST(CAST(${n} AS text) AS {kind}[])" for n, kind in enumerate(_ARRAYS, 1))
_APPEND = f"SELECT recorded_at, bases FROM append({_PARAMETERS})"
_RETRIED_SQLSTATES = frozenset({postgres.STREAMS_MOVED, postgres.RECEIPTS_EXIST, "40001", "40P01", "55P03"})

MOST_FOUND = 10_000
"""On how many streams something may follow from one event; an owner with more open leads hands over the first of them."""
WORTH_SPLITTING = 64
"""Submissions in a batch from which on deciding only a part of them again is worth a second append."""
SMALL_BATCH = 16
"""Below this, splitting what waits would only cost a second flush."""

Outcome = list[Appended] | SalescycleError


class Committer:
    """Appends to one placement. Bounded: `max_batch` events a transaction, `max_queue` events and `max_queue_bytes` waiting."""

    def __init__(
        self,
        log: Log,
        deciders: Deciders,
        *,
        on_append: Callable[[dict[int, int]], None] = lambda heads: None,
        depth: int = 2,
        max_batch: int = 256,
        max_queue: int = 20_000,
        max_queue_bytes: int = 64 * 2**20,
        cached_streams: int = 20_000,
        patience_s: float = 10.0,
    ) -> None:
        self._log = log
        self._owned = frozenset(log.owned)
        self._deciders = deciders
        self._on_append = on_append
        self._depth = depth
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._max_queue_bytes = max_queue_bytes
        self._cached_streams = cached_streams
        self._patience_s = patience_s
        self._queue: deque[Submission] = deque()
        self._queued = 0
        self._queued_bytes = 0
        self._flying = 0
        self._busy: set[str] = set()
        self._cache: OrderedDict[str, StreamRecord] = OrderedDict()
        self._careful_until = 0.0
        self._wake = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self._closing = False

    async def start(self) -> None:
        self._workers = [asyncio.create_task(self._work(), name=f"committer {n}") for n in range(self._depth)]

    async def stop(self, drain_s: float = 20.0) -> None:
        """Take nothing more, finish what was taken, stop. Tolerates being called twice."""
        self._closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                while self._queued or self._busy:  # noqa: ASYNC110  happens once, at the end; an event would cost every batch
                    await asyncio.sleep(0.01)
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers = []
        self._fail(list(self._queue), Unavailable("the service is stopping"))
        self._queue.clear()

    def submit(self, groups: Sequence[tuple[Event, ...]], *, strict: bool = False) -> "asyncio.Future[list[Outcome]]":
        """Queue events; each group is stored together or not at all. Resolves to one outcome a group, in order.

        Raises:
            Overloaded: the queue is full; nothing was taken.
        """
        events = sum(map(len, groups))
        size = sum(len(event.data) for group in groups for event in group)
        if self._closing:
            raise Unavailable("the service is stopping")
        if self._queued + events > self._max_queue or self._queued_bytes + size > self._max_queue_bytes:
            raise Overloaded("too many events are waiting to be stored")
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        sink = Sink(future, len(groups))
        for index, group in enumerate(groups):
            self._queue.append(Submission(group, strict, sink, index, len(group)))
        self._queued += events
        self._queued_bytes += size
        self._wake.set()
        return future

    @property
    def queued(self) -> int:
        return self._queued

    def _take(self) -> list[Submission]:
        """The next batch: in order, and without any stream that is under way or was passed over.

        It leaves its share to the other workers, so that one batch is decided here while another is in the store.
        """
        share = -(-(self._queued + self._flying) // self._depth)
        most = min(self._max_batch, max(share, SMALL_BATCH))
        taken: list[Submission] = []
        left: list[Submission] = []
        passed_over: set[str] = set()
        events = size = 0
        queue = self._queue
        while queue and events < most and size < 4 * 2**20 and len(left) < self._max_batch:
            submission = queue.popleft()
            streams = {event.stream for event in submission.events}
            if streams & self._busy or streams & passed_over:
                passed_over |= streams
                left.append(submission)
                continue
            taken.append(submission)
            events += submission.size
            size += sum(len(event.data) for event in submission.events)
        queue.extendleft(reversed(left))
        self._queued -= events
        self._flying += events
        self._queued_bytes -= size
        return taken

    async def _work(self) -> None:
        while True:
            batch = self._take()
            if not batch:
                self._wake.clear()
                await self._wake.wait()
                # let callers that were woken by the same answer queue their next request before the batch is cut
                await asyncio.sleep(0)
                continue
            streams = {event.stream for submission in batch for event in submission.events}
            size = sum(submission.size for submission in batch)
            self._busy |= streams
            try:
                await self._commit(batch)
            except asyncio.CancelledError:
                self._fail(batch, Unavailable("the service stopped while the event was being stored; send it again"))
                raise
            except Exception as error:
                _logger.exception("append failed", error=postgres.described(error))
                await self._apart(batch)
            finally:
                self._busy -= streams
                self._flying -= size
                self._wake.set()
            await asyncio.sleep(0)

    async def _commit(self, batch: list[Submission]) -> None:
        """Try until every submission of the batch has its outcome. Gives up on an unreachable store after `patience_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        careful = loop.time() < self._careful_until
        pause = 0.02
        while True:
            try:
                async with self._log.pool.acquire(timeout=5) as connection:
                    await self._attempt(connection, batch, careful)
                return
            except postgres.TROUBLE as error:
                state = postgres.sqlstate(error)
                careful = True
                if state in _RETRIED_SQLSTATES:
                    APPEND_CONFLICTS.labels(state).inc()
                    self._careful_until = loop.time() + 2.0
                    self._forget(batch)
                    if loop.time() > deadline:
                        self._fail(batch, Unavailable("the event lost every race; it is safe to send it again"))
                        return
                    await asyncio.sleep(0)
                elif isinstance(error, postgres.UNREACHABLE):
                    APPEND_RETRIES.inc()
                    _logger.warning(
                        "the store does not answer; the batch is looked up and tried again",
                        error=postgres.described(error),
                    )
                    self._forget(batch)
                    if loop.time() > deadline:
                        self._fail(
                            batch, Unavailable("the store cannot be reached; it is safe to send the event again")
                        )
                        return
                    await asyncio.sleep(pause)
                    pause = min(1.0, pause * 2)
                elif len(batch) > 1:  # one of them is at fault: let each stand for itself
                    for submission in batch:
                        await self._commit([submission])
                    return
                else:
                    _logger.error("the store refused an event", error=postgres.described(error))
                    batch[0].deliver(SalescycleError("the event could not be stored"))
                    return

    async def _apart(self, batch: list[Submission]) -> None:
        """Something raised what nobody foresaw, such as a stream that another release wrote: let each stand for itself."""
        for submission in batch:
            try:
                if submission.sink.outcomes[submission.index] is None:
                    await self._commit([submission])
            except asyncio.CancelledError:
                raise
            except SalescycleError as refusal:
                submission.deliver(refusal)
            except Exception as error:
                _logger.exception("an event could not be stored", error=postgres.described(error))
                submission.deliver(SalescycleError("the event could not be stored"))

    def _forget(self, batch: list[Submission]) -> None:
        """What is remembered of these streams may be wrong: another process appended, or our own commit is uncertain."""
        for submission in batch:
            for event in submission.events:
                self._cache.pop(event.stream, None)

    async def _attempt(self, connection: Any, batch: list[Submission], careful: bool) -> None:
        """Load, decide, append, answer: one round trip where every stream is cached, else two or three.

        `batch` keeps those that have no answer yet.
        """
        while batch:
            draft, again = await self._decide(connection, batch, careful)
            await self._append(connection, draft)
            batch[:] = again

    async def _append(self, connection: Any, draft: Draft) -> None:
        if draft.rows:
            try:
                recorded_at, bases = await connection.fetchrow(_APPEND, *draft.arguments())
            except BaseException:
                for stream in draft.records():  # also those that something was derived on
                    self._cache.pop(stream, None)
                raise
            APPEND_BATCH_EVENTS.observe(len(draft.rows))
        else:
            recorded_at, bases = None, []
        for stream, record in draft.records().items():
            self._cache[stream] = record
            self._cache.move_to_end(stream)
        while len(self._cache) > self._cached_streams:
            self._cache.popitem(last=False)
        heads = draft.deliver(recorded_at, bases)
        if heads:
            self._on_append(heads)

    async def _decide(self, connection: Any, batch: list[Submission], careful: bool) -> tuple[Draft, list[Submission]]:
        """A draft whose refusals rest on the store: a cached stream may be older than another process's append.

        Where something is missing for a few of many, such as the history of a stream that has a late event, the draft is of the
        others alone, and those few come second: so that not all are decided again with each thing that a few need.
        """
        events = [event for submission in batch for event in submission.events]
        wanted = {event.stream for event in events if event.stream not in self._cache}
        # held here, not looked up again: while we wait for the store, the other worker may empty the cache
        records = {event.stream: self._cache[event.stream] for event in events if event.stream in self._cache}
        fresh: set[str] = set()
        receipts: dict[tuple[str, str], Receipt] | None = None
        asked: set[tuple[str, str]] = set()
        found: dict[tuple[str, ...], list[str]] = {}
        histories: dict[str, list[Recorded]] = {}
        while True:
            if wanted:
                records = {stream: record for stream, record in records.items() if stream not in wanted}
                records |= await self._load_streams(connection, wanted)
            fresh |= wanted
            histories = {stream: history for stream, history in histories.items() if stream not in wanted}
            if receipts is None and (fresh or careful):
                # where a stream must be loaded, a repeated event is likely: ask for receipts too, before deciding
                receipts = await self._load_receipts(connection, events)
            draft = Draft(
                self._deciders, self._log.partitions, records, receipts or {}, histories,
                owned=self._owned, loaded=fresh | records.keys(), found=found, fresh=fresh, asked=asked,
            )  # fmt: skip
            for submission in batch:
                draft.decide(submission)
            if len(batch) >= WORTH_SPLITTING and draft.falls_short:
                done, again = draft.split()
                if len(done) >= len(again):
                    draft.keep_only(done)
                    return draft, again
            wanted = draft.doubted | draft.missing
            if wanted:
                continue
            if draft.unsearched:
                for labels in draft.unsearched:
                    rows = await connection.fetch(sql(SQL, "find_streams"), list(labels), MOST_FOUND)
                    found[labels] = [row[0] for row in rows]
                continue
            unasked = [event for event in draft.derived if (event.source, event.id) not in asked]
            if unasked:
                receipts = (receipts or {}) | await self._load_receipts(connection, unasked)
                asked |= {(event.source, event.id) for event in unasked}
            elif draft.unread:
                histories |= await self._load_histories(connection, draft.unread, records)
            else:
                return draft, []

    async def _load_streams(self, connection: Any, streams: set[str]) -> dict[str, StreamRecord]:
        """What the store knows of `streams`; nothing for those that it does not know."""
        return {
            stream: decode_state(state, version, decider_of(self._deciders, stream))
            for stream, version, state in await connection.fetch(sql(SQL, "load_streams"), list(streams))
        }

    async def _load_receipts(self, connection: Any, events: list[Event]) -> dict[tuple[str, str], Receipt]:
        rows = await connection.fetch(sql(SQL, "load_receipts"), [e.source for e in events], [e.id for e in events])
        found = {}
        for row in rows:
            meta = msgspec.json.decode(row["meta"]) if row["meta"] else {}
            answer = Appended(
                row["source"], row["id"], row["stream"], row["version"], row["partition"], row["position"],
                row["recorded_at"], tuple(row["implied"] or ()), meta.get("anomaly"), repeated=True,
            )  # fmt: skip
            found[row["source"], row["id"]] = Receipt(row["digest"], answer)
        return found

    async def _load_histories(
        self, connection: Any, streams: set[str], records: dict[str, StreamRecord]
    ) -> dict[str, list[Recorded]]:
        """The events of streams that have a late event: their fold begins anew."""
        histories: dict[str, list[Recorded]] = {
            stream: [] for stream in streams
        }  # a new one may be late within the batch
        known = [stream for stream in streams if stream in records]
        partitions = [partition_of(stream, self._log.partitions) for stream in known]
        rows = await connection.fetch(sql(SQL, "load_history"), partitions, known)
        for row in rows:
            stored = recorded(row)
            histories[stored.stream].append(stored)
        for stream in known:
            # the cache and the store may disagree when another process appended in between: the append would be
            # refused anyway, so decide on what the store holds up to the cached version
            histories[stream] = [each for each in histories[stream] if each.version <= records[stream].version]
        return histories

    @staticmethod
    def _fail(batch: list[Submission], error: SalescycleError) -> None:
        for submission in batch:
            if submission.sink.outcomes[submission.index] is None:
                submission.deliver(error)
