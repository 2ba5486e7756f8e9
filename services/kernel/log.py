"""One placement of a log: the partitions that lie in one PostgreSQL database, and how they are read and appended to.

Positions are dense and given in commit order, because the counter's row lock is held until commit (ADR-0003). So a reader
with `position > n` can never skip an event, and no reader needs more than that.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec

from schemas.envelope import Recorded
from services.kernel import postgres
from services.kernel.errors import Diverged, LogDiverged, Unavailable
from services.kernel.migrate import one_at_a_time
from services.kernel.sql_files import sql

SQL = "services.kernel.sql"
WRITING_CONNECTIONS = 12
"""Two or more committers' workers, the wake-up channel, and what looks at heads now and then."""
READ_TIMEOUT_MS = 10_000
"""A read over HTTP that takes longer is given up, so that it does not wear out the store."""
PAGE_BYTES = 8 * 2**20
"""A page ends with the event that brings its data to so many bytes: one event may hold 256 KiB."""
_decode_meta = msgspec.json.Decoder(dict[str, Any]).decode


class Head(NamedTuple):
    """Where a partition ends. `through`: no later event of it has an earlier recorded_at."""

    position: int
    through: datetime


class Log:
    """The partitions `owned` (ascending) of a log of `partitions` in one database, seen as `writer` and as `relay`."""

    def __init__(
        self, name: str, pool: asyncpg.Pool, reads: asyncpg.Pool, partitions: int, owned: Sequence[int]
    ) -> None:
        self.name = name
        self.pool = pool
        """For appends, heads and wake-ups alone: however many read, an append finds its connection."""
        self.reads = reads
        self.partitions = partitions
        self.owned = tuple(owned)

    @classmethod
    async def open(
        cls, name: str, url: str, *, schema: str, partitions: int, owned: Sequence[int], pool_size: int,
        statement_timeout_ms: int = 30_000, role: str = "salescycle_writer",
    ) -> "Log":  # fmt: skip
        """Connect and check that the database holds just these partitions.

        Raises:
            Unavailable: PostgreSQL cannot be used.
            Diverged: the database was laid out for other partitions.
        """
        pool = await postgres.create_pool(
            url,
            schema=schema,
            role=role,
            min_size=2,
            max_size=WRITING_CONNECTIONS,
            statement_timeout_ms=statement_timeout_ms,
        )
        reads = await postgres.create_pool(
            url, schema=schema, role=role, min_size=1, max_size=pool_size,
            statement_timeout_ms=min(statement_timeout_ms, READ_TIMEOUT_MS), plan_each_time=True,
        )  # fmt: skip
        log = cls(name, pool, reads, partitions, owned)
        try:
            rows = await pool.fetch("SELECT partition FROM log_partition ORDER BY partition")
        except asyncpg.UndefinedTableError:
            await log.close()
            raise Unavailable(f"the store has no log in the schema {schema}: run `salescycle migrate`") from None
        there = [row[0] for row in rows]
        if there != list(log.owned):
            await log.close()
            raise Diverged(
                f"the log in placement {name} holds {len(there)} partitions, the settings say {len(log.owned)} of "
                f"{partitions}; the number of partitions is fixed when the store is made"
            )
        return log

    async def close(self) -> None:
        await postgres.close_pool(self.pool)
        await postgres.close_pool(self.reads)

    async def heads(self) -> dict[int, Head]:
        rows = await self.pool.fetch("SELECT partition, head, through FROM log_partition ORDER BY partition")
        return {row[0]: Head(row[1], row[2]) for row in rows}

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
        """At most `limit` events with position > `after`, in order, and no more once `PAGE_BYTES` of data are there."""
        return [recorded(row) for row in await self.read_raw(partition, after, limit)]

    async def read_raw(
        self, partition: int, after: int, limit: int, max_bytes: int = PAGE_BYTES
    ) -> list[asyncpg.Record]:
        """As `read`, but rows as they came: (partition, position, stream, version, type, source, id, …, data, meta)."""
        rows: list[asyncpg.Record] = await self.reads.fetch(
            sql(SQL, "read_partition"), partition, after, limit, max_bytes
        )
        return rows

    async def read_stream(self, partition: int, stream: str, after_version: int, limit: int) -> list[Recorded]:
        """At most `limit` events of a stream with version > `after_version`, in order of version."""
        rows = await self.reads.fetch(
            "SELECT partition, position, stream, version, type, source, id, occurred_at, recorded_at, data, meta "
            "FROM event WHERE partition = $1 AND stream = $2 AND version > $3 ORDER BY version LIMIT $4",
            partition, stream, after_version, limit,
        )  # fmt: skip
        return [recorded(row) for row in rows]

    async def check(self, partition: int, position: int, event_id: str | None) -> Head:
        """The head, once it is sure that a reader who stands at `position`, event `event_id`, stands in this log.

        Raises:
            LogDiverged: the log ends before the reader, or holds another event there: it went back in time.
        """
        row = await self.reads.fetchrow(sql(SQL, "events_at"), [partition], [position])
        assert row is not None, partition
        if position > row["head"]:
            raise LogDiverged(
                f"partition {partition} ends at {row['head']}, the reader stands at {position}",
                partition=partition, head=row["head"], after=position,
            )  # fmt: skip
        if position and event_id is not None and row["id"] != event_id:
            raise LogDiverged(
                f"partition {partition} holds another event at {position} than the one the reader has seen",
                partition=partition, head=row["head"], after=position,
            )  # fmt: skip
        return Head(row["head"], row["through"])

    async def ids_at(self, positions: Mapping[int, int]) -> dict[int, str]:
        """The id of the event at a position of each partition. Raises LogDiverged where the log ends before one of them."""
        found: dict[int, str] = {}
        for row in await self.pool.fetch(sql(SQL, "events_at"), list(positions), list(positions.values())):
            if row["id"] is None:
                raise LogDiverged(
                    f"partition {row['partition']} ends at {row['head']}, the reader stands at {row['position']}"
                )
            found[row["partition"]] = row["id"]
        return found


async def lay_out(connection: asyncpg.Connection, schema: str, owned: Sequence[int]) -> None:
    """Make the partitions of a new log; leaves an existing layout alone."""
    async with connection.transaction():
        await one_at_a_time(connection)
        if not await connection.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{schema}".log_partition)'):
            await connection.executemany(
                f'INSERT INTO "{schema}".log_partition (partition) VALUES ($1)', [(number,) for number in owned]
            )


def recorded(row: asyncpg.Record) -> Recorded:
    """The event of a row of `read_partition.sql` or `load_history.sql`."""
    meta = row[10]
    return Recorded(
        partition=row[0], position=row[1], stream=row[2], version=row[3], type=row[4], source=row[5], id=row[6],
        occurred_at=row[7], recorded_at=row[8], data=row[9].encode(), meta=_decode_meta(meta) if meta else {},
    )  # fmt: skip
