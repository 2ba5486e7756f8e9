"""A lease: one owner at a time, in a row of PostgreSQL, with an epoch that fences whoever owned it before.

Not a session lock: a lease survives a pooler between us and the server, and a failover (ADR-0006).
"""

import asyncpg

from services.kernel.sql_files import sql


class Lease:
    """`name` held by `owner` for `seconds` from each successful `acquire`."""

    def __init__(self, pool: asyncpg.Pool, name: str, owner: str, seconds: float = 5.0) -> None:
        self._pool = pool
        self.name = name
        self.owner = owner
        self.seconds = seconds
        self.epoch: int | None = None

    async def acquire(self) -> bool:
        """Take or keep the lease. True where it is ours now; `epoch` is set then and only then."""
        self.epoch = await self._pool.fetchval(
            sql("services.kernel.sql", "acquire_lease"), self.name, self.owner, self.seconds
        )
        return self.epoch is not None

    async def release(self) -> None:
        """Let the next owner in at once. Harmless where the lease is not ours."""
        self.epoch = None
        await self._pool.execute(
            "UPDATE lease SET expires_at = clock_timestamp() - interval '1 second' WHERE name = $1 AND owner = $2",
            self.name, self.owner,
        )  # fmt: skip
