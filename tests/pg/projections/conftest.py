from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from schemas.pipelines import Pipelines
from tests.pg.projections.projected import Projected
from tests.unit.projections.histories import PIPELINES

NewProjected = Callable[..., Awaitable[Projected]]


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    yield engine
    await engine.dispose()


@pytest.fixture
def projected(connection: asyncpg.Connection, engine: AsyncEngine) -> NewProjected:
    """Makes further empty generations: `await projected()`, `await projected("churn", "reference", leads_kept=5)`."""
    made = 0

    async def make(*names: str, leads_kept: int = 50_000, pipelines: Pipelines = PIPELINES) -> Projected:
        nonlocal made
        made += 1
        return await Projected(connection, engine, made, names or ("pipeline",), leads_kept, pipelines).create()

    return make
