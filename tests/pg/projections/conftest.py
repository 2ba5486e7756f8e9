from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from tests.pg.projections.projected import Projected

NewProjected = Callable[..., Awaitable[Projected]]


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
def projected(connection: asyncpg.Connection) -> NewProjected:
    """Makes further empty generations: `await projected()`, `await projected(leads_kept=5)`."""
    made = 0

    async def make(leads_kept: int = 50_000) -> Projected:
        nonlocal made
        made += 1
        return await Projected(connection, f"pipeline_g{made}", leads_kept=leads_kept).create()

    return make
