"""What follows from an event on streams of another placement: derived again by a reader of the log, and appended there.

In one placement the committer appends what follows in the transaction of its cause. It cannot reach into another database, so
where there are several, every process reads the log of each behind a checkpoint and derives everything once more: ids follow
from the cause, so what stands already is answered by its receipt, and processes that do it at the same time change nothing. The checkpoint
moves after the append; a crash between the two derives a page again. ADR-0015.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog

from schemas.envelope import Event, Recorded
from services.kernel import postgres
from services.kernel.decider import Around
from services.kernel.errors import IdempotencyMismatch, Invalid, SalescycleError, Unavailable
from services.kernel.placements import Placement, Placements
from services.kernel.sql_files import sql
from services.lifecycle.past import Kinds

_logger = structlog.get_logger(__name__)

NAME = "derivation"
CAUSES = frozenset(
    {
        "LeadMerged",
        "UpgradeAccepted",
        "LeadSplit",
        "Won",
        "ConsentGranted",
        "ConsentWithdrawn",
        "OwnerLeft",
        "EventRetracted",
    }
)
"""Types from which something may follow; what comes to an absorbed lead besides."""
PAGE_EVENTS = 500
INTERRUPTIONS: tuple[type[Exception], ...] = (SalescycleError, *postgres.TROUBLE)
MOST_FOUND = 10_000
PAUSE_S = 0.5
SETTLED: tuple[type[SalescycleError], ...] = (IdempotencyMismatch, Invalid)
"""Derived before from an earlier state of things, or no fact of that stream: trying again would not change it."""


class Across:
    """Starts and stops with the service; does nothing where there is one placement."""

    def __init__(self, placements: Placements, kinds: Kinds) -> None:
        self._placements = placements
        self._kinds = kinds
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        if len(self._placements.all) > 1:
            self._tasks = [
                asyncio.create_task(self._follow(placement), name=f"derive {placement.log.name}")
                for placement in self._placements.all
            ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _follow(self, placement: Placement) -> None:
        news = placement.heads.subscribe()
        while True:
            try:
                news.clear()
                if not await self._pass(placement):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(PAUSE_S):
                            await news.wait()
            except INTERRUPTIONS as error:
                _logger.warning("deriving across placements waits", reason=postgres.described(error))
                await asyncio.sleep(PAUSE_S)

    async def _pass(self, placement: Placement) -> bool:
        """One page of every partition; true where there was something to read."""
        log = placement.log
        rows = await log.pool.fetch("SELECT partition, position FROM reader_checkpoint WHERE name = $1", NAME)
        known = {row[0]: row[1] for row in rows}
        read = False
        for partition in log.owned:
            events = await log.read(partition, known.get(partition, 0), PAGE_EVENTS)
            if events:
                read = True
                await self._derive(placement, events)
                await log.pool.execute(sql("services.kernel.sql", "move_reader"), NAME, partition, events[-1].position)
        return read

    async def _derive(self, placement: Placement, events: Sequence[Recorded]) -> None:
        streams = sorted({event.stream for event in events})
        rows = await placement.log.reads.fetch(
            "SELECT stream FROM stream WHERE stream = ANY ($1) AND labels @> ARRAY['standing=absorbed']", streams
        )
        absorbed = {row[0] for row in rows}
        for event in events:
            if event.type in CAUSES or event.stream in absorbed:
                await self._append(await self._following(event))

    async def _following(self, event: Recorded) -> list[Event]:
        kind = self._kinds[event.stream.partition("/")[0]]
        history = [pair for pair in await self._history(event.stream) if pair[0].version <= event.version]
        fact = next(fact for told, fact in history if told.version == event.version)
        before = kind.fold([each for told, each in history if told.version < event.version])
        after = kind.fold([each for _, each in history])
        cause = _as_posted(event, fact)
        around = Around({event.stream: [pair for pair in history if pair[0].version < event.version]}, ())
        labels = kind.searches(cause, fact, around)
        if labels is not None:
            around = around._replace(found=await self._search(labels))
        histories: dict[str, Any] = dict(around.histories)
        for stream in kind.reads(cause, fact, before, around):
            histories[stream] = await self._history(stream)
        return kind.derive(cause, fact, before, after, around._replace(histories=histories))

    async def _history(self, stream: str) -> list[tuple[Recorded, Any]]:
        kind = self._kinds[stream.partition("/")[0]]
        log, partition = self._placements.of_stream(stream).log, self._placements.partition_of(stream)
        found: list[tuple[Recorded, Any]] = []
        while page := await log.read_stream(partition, stream, len(found), 1_000):
            found += [(event, kind.fact(event, event.version)) for event in page]
        return found

    async def _search(self, labels: tuple[str, ...]) -> list[str]:
        found: list[str] = []
        for placement in self._placements.all:
            rows = await placement.log.reads.fetch(sql("services.kernel.sql", "find_streams"), list(labels), MOST_FOUND)
            found += [row[0] for row in rows]
        return found

    async def _append(self, events: list[Event]) -> None:
        """Store each where it is not. Raises Unavailable where that is not sure: the page is derived again."""
        if not events:
            return
        for outcome in await self._placements.append_each(events, strict=False):
            if isinstance(outcome, SETTLED):
                _logger.warning("what was derived does not fit any more", reason=str(outcome))
            elif isinstance(outcome, SalescycleError):
                raise Unavailable(f"what was derived could not be stored: {outcome}")


def _as_posted(event: Recorded, fact: Any) -> Event:
    return Event(
        source=event.source, id=event.id, type=event.type, stream=event.stream, occurred_at=event.occurred_at, data=event.data,
        body=fact.body, digest=b"", meta=event.meta,
    )  # fmt: skip
