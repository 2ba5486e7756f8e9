"""Applies batches of one partition to one generation of a read model: seen positions dropped, order proven, poison parked.

The same code serves the live path and a rebuild, so that both park the same events.
"""

import asyncio
import math
from collections.abc import Sequence

import asyncpg
import structlog

from schemas.envelope import Recorded
from schemas.wire import from_structured, structured
from services.kernel import checkpoint, postgres
from services.kernel.checkpoint import Checkpoint, ReadModel
from services.kernel.errors import Diverged, Poison, SalescycleError, Unavailable
from services.kernel.telemetry import CONSUMER_APPLIED, CONSUMER_DUPLICATES

_logger = structlog.get_logger(__name__)

TRIES = 5
"""How often an event is tried before it is parked."""

PASSING: tuple[type[Exception], ...] = (
    Unavailable, asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError,
)  # fmt: skip
"""What another transaction did to ours: no event is at fault, and the same batch may succeed next time."""

NOT_OURS: tuple[type[Exception], ...] = (checkpoint.Fenced, *postgres.UNREACHABLE)


class Gap(SalescycleError):
    """A batch does not begin right after the checkpoint; the hole must be filled from the log first."""

    code = "gap"
    title = "A hole in the topic"


class Partition:
    """One partition of one generation, applied by this process alone while nobody else moves its checkpoint."""

    def __init__(
        self, pool: asyncpg.Pool, model: ReadModel, generation: int, number: int, known: Checkpoint, parked: set[str],
        *, live: bool,
    ) -> None:  # fmt: skip
        self._pool = pool
        self._model = model
        self.generation = generation
        self.number = number
        self.known = known
        self._parked = parked
        self._live = live
        self.lock = asyncio.Lock()

    @classmethod
    async def open(
        cls, pool: asyncpg.Pool, model: ReadModel, generation: int, numbers: Sequence[int], *, live: bool
    ) -> "list[Partition]":
        """The partitions as the store knows them now."""
        known = await checkpoint.checkpoints(pool, model.name, generation)
        parked: dict[int, set[str]] = {}
        for row in await pool.fetch(
            "SELECT DISTINCT partition, stream FROM parked WHERE model = $1 AND generation = $2", model.name, generation
        ):
            parked.setdefault(row[0], set()).add(row[1])
        return [
            cls(pool, model, generation, n, known.get(n, Checkpoint()), parked.get(n, set()), live=live)
            for n in numbers
        ]

    def unseen(self, events: Sequence[Recorded]) -> list[Recorded]:
        """The events past the checkpoint, each once, in order.

        Raises:
            Gap: the first of them is not the next one, or there is a hole between them.
            Diverged: another event stands at the checkpoint's position than the one that was applied.
        """
        position = self.known.position
        fresh = []
        for event in events:
            if event.position == self.known.position and self.known.event_id not in (None, event.id):
                raise Diverged(
                    f"partition {self.number} gives another event at position {event.position} than {self._model.name} has applied"
                )
            if event.position <= position:
                continue
            if event.position > position + 1:
                raise Gap(f"partition {self.number} goes on at {event.position} after {position}")
            fresh.append(event)
            position += 1
        if len(fresh) < len(events):
            CONSUMER_DUPLICATES.labels(self._model.name).inc(len(events) - len(fresh))
        return fresh

    async def apply(self, events: Sequence[Recorded], via: str) -> int:
        """Apply what is new of `events`; returns how many were. Call with `lock` held.

        Raises:
            Gap, Diverged: as `unseen`. Fenced, Swapped: nothing was written, and this partition is not ours as it was.
            Unavailable: the store does not answer; the checkpoint tells later whether the batch was written.
        """
        fresh = self.unseen(events)
        if fresh:
            pieces = math.ceil(len(fresh) ** (1 / (TRIES - 1)))
            await self._settle(fresh, {}, 1, pieces)
            CONSUMER_APPLIED.labels(self._model.name, via).inc(len(fresh))
        return len(fresh)

    async def _settle(self, fresh: Sequence[Recorded], park: dict[int, str], attempt: int, pieces: int) -> None:
        """Apply what can be applied, and park the rest; `park` (position -> cause) is what is known to be poison already.

        Where a batch fails for a reason that no event admits to, it is cut into `pieces`, and so on: the `TRIES`th time an
        event is tried it stands alone, so it must be at fault. One by one a large batch would take a transaction an event.
        """
        passing = 0
        while True:
            try:
                return await self._write(fresh, park)
            except Poison as poison:
                self._blame(park, int(poison.extra["position"]), str(poison))
            except (checkpoint.Fenced, checkpoint.Swapped):
                self._model.forget()
                raise
            except postgres.UNREACHABLE as error:
                self._model.forget()
                raise Unavailable(f"the store does not answer: {postgres.described(error)}") from error
            except PASSING as error:
                self._model.forget()
                passing += 1
                self._log_failure(error, passing)
                if passing == TRIES:
                    raise Unavailable(f"the store is busy: {postgres.described(error)}") from error
                await asyncio.sleep(0.05 * 2**passing)
            except Exception as error:  # noqa: BLE001  whatever a read model raises, its partition must go on
                self._model.forget()
                self._log_failure(error, attempt)
                if len(fresh) == 1 and attempt >= TRIES:
                    self._blame(park, fresh[0].position, postgres.described(error))
                    continue
                if attempt == 1:
                    await asyncio.sleep(0.1)
                size = math.ceil(len(fresh) / pieces)
                for start in range(0, len(fresh), size):
                    await self._settle(fresh[start : start + size], park, attempt + 1, pieces)
                return None

    def _blame(self, park: dict[int, str], position: int, cause: str) -> None:
        if position in park:
            raise SalescycleError(f"{self._model.name} fails at an event that was taken out as poison: {cause}")
        park[position] = cause[:500]
        self._model.forget()
        _logger.error(
            "a lead is parked", model=self._model.name, partition=self.number, position=position, cause=park[position]
        )

    def _log_failure(self, error: Exception, attempt: int) -> None:
        _logger.warning(
            "a batch could not be applied",
            model=self._model.name, partition=self.number, attempt=attempt, error=postgres.described(error),
        )  # fmt: skip

    async def _write(self, fresh: Sequence[Recorded], park: "dict[int, str] | None" = None) -> None:
        """One transaction: checkpoint, effects, and what is parked (position -> cause).

        A lead's events before the one that is parked take effect, wherever a batch was cut: a rebuild cuts elsewhere.
        """
        park = park or {}
        last = fresh[-1]
        parked = set(self._parked)
        waiting: list[Recorded] = []
        for event in fresh if parked or park else ():
            if event.position in park:
                parked.add(event.stream)
            if event.stream in parked:
                waiting.append(event)
        held = {event.position for event in waiting}
        applied = [event for event in fresh if event.position not in held] if held else fresh
        async with self._pool.acquire() as connection, connection.transaction():
            await checkpoint.begin_apply(
                connection, self._model.name, self.generation, self.number, live=self._live, known=self.known, last=last
            )
            if applied:
                await self._model.apply(connection, self.number, applied)
            if waiting:
                await connection.executemany(
                    "INSERT INTO parked (model, generation, partition, position, stream, event, cause) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    [
                        (self._model.name, self.generation, self.number, event.position, event.stream,
                         structured(event, "").decode(), park.get(event.position, "an earlier event of this lead is parked"))
                        for event in waiting
                    ],
                )  # fmt: skip
        self.known = Checkpoint(last.position, last.id, last.recorded_at)
        self._parked = parked

    async def retry_parked(self) -> None:
        """Apply, in order, the parked events that an operator asked to retry. Call with `lock` held.

        A lead that fails again stays parked, with its new cause.
        """
        rows = await self._pool.fetch(
            "SELECT DISTINCT stream FROM parked WHERE model = $1 AND generation = $2 AND partition = $3 AND retry_requested",
            self._model.name, self.generation, self.number,
        )  # fmt: skip
        for (stream,) in rows:
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    # the checkpoint's row is locked so that no other process applies this partition meanwhile
                    held = await connection.fetchrow(
                        "SELECT position, event_id FROM checkpoint WHERE model = $1 AND generation = $2 AND partition = $3 FOR UPDATE",
                        self._model.name, self.generation, self.number,
                    )  # fmt: skip
                    if held is None or held["position"] != self.known.position:
                        raise checkpoint.Fenced(f"partition {self.number} moved while a parked lead was retried")
                    events = await connection.fetch(
                        "DELETE FROM parked WHERE model = $1 AND generation = $2 AND partition = $3 AND stream = $4 RETURNING event, position",
                        self._model.name, self.generation, self.number, stream,
                    )  # fmt: skip
                    ordered = sorted(events, key=lambda row: row["position"])
                    home = await connection.fetchval("SELECT current_schema()")
                    await connection.execute(
                        f'SET LOCAL search_path = "{checkpoint.schema_of(self._model.name, self.generation)}", "{home}"'
                    )
                    await self._model.apply(
                        connection, self.number, [from_structured(row["event"].encode()) for row in ordered]
                    )
            except NOT_OURS:
                self._model.forget()
                raise
            except PASSING as error:
                self._model.forget()
                self._log_failure(error, 1)  # it stays asked for, so it is tried again at the next look
            except Exception as error:  # noqa: BLE001  whatever a read model raises, the others must go on
                self._model.forget()
                cause = postgres.described(error) if not isinstance(error, SalescycleError) else str(error)
                await self._pool.execute(
                    "UPDATE parked SET retry_requested = false, cause = $5 WHERE model = $1 AND generation = $2 AND partition = $3 AND stream = $4",
                    self._model.name, self.generation, self.number, stream, cause,
                )  # fmt: skip
                _logger.warning(
                    "a parked lead failed again", model=self._model.name, partition=self.number, cause=cause
                )
            else:
                self._parked.discard(stream)
                _logger.info("a parked lead was applied", model=self._model.name, partition=self.number)
