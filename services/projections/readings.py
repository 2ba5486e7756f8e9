"""Reading a read model: one snapshot of its live generation, its checkpoints and its tables, and how fresh they are."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import NamedTuple

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.kernel.errors import Unavailable
from services.projections.settings import SCHEMA
from services.projections.store import ZONE

_POLL_S = 0.01

_CHECKPOINTS = sa.text(
    "SELECT m.name AS model, m.live_generation, g.made_with ->> :zone AS zone, c.partition, c.position, "
    "CASE WHEN isfinite(c.through) THEN c.through END AS through, clock_timestamp() AS now "
    "FROM read_model AS m JOIN generation AS g ON g.model = m.name AND g.generation = m.live_generation "
    "JOIN checkpoint AS c ON c.model = m.name AND c.generation = m.live_generation "
    "WHERE m.name = ANY(:models) ORDER BY c.partition"
)
_PARKED = sa.text(
    "SELECT count(DISTINCT p.stream) FROM read_model AS m JOIN parked AS p ON p.model = m.name AND p.generation = m.live_generation "
    "WHERE m.name = ANY(:models)"
)
_PARKED_STREAMS = sa.text(
    "SELECT model, stream, position, cause, parked_at FROM ("
    "SELECT DISTINCT ON (p.model, p.stream) p.model, p.stream, p.position, p.cause, p.parked_at "
    "FROM read_model AS m JOIN parked AS p ON p.model = m.name AND p.generation = m.live_generation "
    "WHERE m.name = ANY(:models) ORDER BY p.model, p.stream, p.position) AS first ORDER BY parked_at, model, stream LIMIT :limit"
)
_POSITION = sa.text(
    "SELECT min(c.position) FROM read_model AS m JOIN checkpoint AS c ON c.model = m.name AND c.generation = m.live_generation "
    "WHERE m.name = ANY(:models) AND c.partition = CAST(:partition AS integer)"
)


class Freshness(NamedTuple):
    """How far the live generation is. `through` (W): every event recorded before it is applied; None: not known yet.

    `zone` is the one that its days are cut in, whatever the settings of this process say: it may be waiting for a rebuild.
    """

    positions: dict[int, int]
    through: datetime | None
    now: datetime
    zone: str

    @property
    def lag_ms(self) -> int | None:
        return None if self.through is None else max(0, int((self.now - self.through).total_seconds() * 1000))


def reading_engine(url: str, *, pool_size: int = 5, statement_timeout_ms: int = 30_000) -> AsyncEngine:
    """Connections that can only read, as `salescycle_reader`; `url` is a libpq URL. Nothing is connected yet."""
    return create_async_engine(
        sa.make_url(url).set(drivername="postgresql+asyncpg"),
        isolation_level="REPEATABLE READ",
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        connect_args={
            "timeout": 10,
            "server_settings": {
                "search_path": SCHEMA,
                "role": "salescycle_reader",
                "application_name": "salescycle projections queries",
                "statement_timeout": str(statement_timeout_ms),
                "default_transaction_read_only": "on",
                "timezone": "UTC",
                "jit": "off",
                "work_mem": "64MB",  # a hash of all leads must not go through a file
            },
        },
    )


@contextmanager
def _store_that_may_be_away() -> Iterator[None]:
    """Turns what the store or the way to it raises into Unavailable; a value that fits no column is a bug of ours, not that."""
    try:
        yield
    except (DBAPIError, sa.exc.TimeoutError, OSError) as error:
        if isinstance(error, DBAPIError) and isinstance(getattr(error.orig, "__cause__", None), asyncpg.DataError):
            raise
        raise Unavailable("The store does not answer now.") from error


@asynccontextmanager
async def snapshot_of(engine: AsyncEngine, *models: str) -> AsyncIterator[tuple[AsyncConnection, Freshness]]:
    """One transaction that sees the live generations of some read models and their checkpoints as of one instant.

    Its freshness is that of the one that is furthest behind, partition by partition; the zone is the first one's.

    Raises:
        Unavailable: the store does not answer, or a read model has no generation yet.
    """
    with _store_that_may_be_away():
        async with engine.connect() as connection:
            rows = (await connection.execute(_CHECKPOINTS, {"models": list(models), "zone": ZONE})).all()
            live = {row.model: row.live_generation for row in rows}
            if missing := [model for model in models if model not in live]:
                raise Unavailable(f"The read model {missing[0]} is not there yet.")
            throughs = [row.through for row in rows]
            positions: dict[int, int] = {}
            for row in rows:
                positions[row.partition] = min(row.position, positions.get(row.partition, row.position))
            fresh = Freshness(
                positions,
                None if None in throughs else min(throughs),
                rows[0].now,
                next(row.zone for row in rows if row.model == models[0]),
            )
            translated = await connection.execution_options(
                schema_translate_map={model: f"{model}_g{generation}" for model, generation in live.items()}
            )
            yield translated, fresh


async def parked_leads(connection: AsyncConnection, *models: str) -> int:
    """How many streams wait for an operator, because one of their events could not be applied to a live generation."""
    return int((await connection.execute(_PARKED, {"models": list(models)})).scalar_one())


class Parked(NamedTuple):
    """A stream that waits for an operator, from an event on that could not be applied."""

    model: str
    stream: str
    position: int
    cause: str
    since: datetime


async def parked_streams(connection: AsyncConnection, limit: int, *models: str) -> list[Parked]:
    """Streams that wait for an operator, those that have waited longest first; at most `limit`."""
    found = await connection.execute(_PARKED_STREAMS, {"models": list(models), "limit": limit})
    return [Parked(*row) for row in found]


async def wait_for(
    engine: AsyncEngine, models: Sequence[str], partition: int, position: int, timeout_s: float
) -> bool | None:
    """Whether the position was reached in time; None where there is no such partition."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        with _store_that_may_be_away():
            async with engine.connect() as connection:
                reached = (
                    await connection.execute(_POSITION, {"models": list(models), "partition": partition})
                ).scalar()
        if reached is None:
            return None
        if reached >= position:
            return True
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        await asyncio.sleep(min(_POLL_S, left))
