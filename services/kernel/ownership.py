"""Who applies which partition: processes share a consumer's partitions evenly by rows that expire.

Not Kafka's group protocol: partitions must be applied from the feed while the broker is away, and a stuck group must not
stop a read model (ADR-0007). Ownership only avoids double work; what keeps two owners apart is the checkpoint's
compare-and-set.
"""

import asyncpg


class Ownership:
    """This process (`member`) as one of those that share `consumer`; what it owns lasts `seconds` from each beat."""

    def __init__(self, pool: asyncpg.Pool, consumer: str, member: str, partitions: int, seconds: float = 6.0) -> None:
        self._pool = pool
        self._consumer = consumer
        self._member = member
        self._partitions = partitions
        self.seconds = seconds

    async def beat(self) -> list[int]:
        """Say that we live; returns the partitions that are ours now, ascending."""
        rows = await self._pool.fetch(
            "SELECT * FROM share_ownership($1, $2, $3, $4)",
            self._consumer,
            self._member,
            self._partitions,
            self.seconds,
        )
        return [row[0] for row in rows]

    async def leave(self) -> None:
        """Give everything up, so that the others need not wait for it to expire."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "UPDATE ownership SET member = NULL, expires_at = '-infinity' WHERE consumer = $1 AND member = $2",
                self._consumer, self._member,
            )  # fmt: skip
            await connection.execute(
                "DELETE FROM member WHERE consumer = $1 AND member = $2", self._consumer, self._member
            )
