"""A read model in PostgreSQL under test: given a log, when it is delivered in some way, then its answers and its bytes."""

import random
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from schemas.envelope import Recorded
from services.projections.days import Days
from services.projections.pipeline.model import pipeline_model
from services.projections.pipeline.queries import Question, snapshot
from services.projections.quadrant import GENERATION
from services.projections.store import LedgerReadModel
from tests.unit.projections.histories import PIPELINES, Counted, Group, numbered

ZONE = "Europe/Berlin"


class Projected:
    """One generation of the pipeline in a schema of its own."""

    def __init__(self, connection: asyncpg.Connection, schema: str, *, leads_kept: int = 50_000) -> None:
        self.connection = connection
        self.schema = schema
        self.model: LedgerReadModel = pipeline_model(PIPELINES, ZONE, leads_kept)
        self._reached: dict[int, int] = {}

    async def create(self) -> "Projected":
        await self.connection.execute(f'CREATE SCHEMA "{self.schema}"; SET search_path = "{self.schema}"')
        await self.connection.execute(self.model.tables_sql)
        await self.connection.execute(self.model.indexes_sql)
        return self

    async def deliver(
        self, events: Sequence[Recorded], *, batch: int = 1_000, forgetting: random.Random | None = None
    ) -> None:
        """All events, partition by partition, in batches of at most `batch`; with `forgetting`, of random sizes, and the
        memory is lost now and then."""
        await self.connection.execute(f'SET search_path = "{self.schema}"')
        for partition, log in numbered(events).items():
            position = self._reached.get(partition, 0)
            while position < len(log):
                size = forgetting.randint(1, batch) if forgetting else batch
                async with self.connection.transaction():
                    await self.model.apply(self.connection, partition, log[position : position + size])
                position += size
                if forgetting and forgetting.random() < 0.3:
                    self.model.forget()
            self._reached[partition] = len(log)

    async def checksum(self) -> list[bytes]:
        await self.connection.execute(f'SET search_path = "{self.schema}"')
        return [await self.model.checksum(self.connection, partition) for partition in (0, 1)]

    async def ask(
        self, as_of: datetime, known_at: datetime | None, group_by: tuple[str, ...] = (), *, by_cells: bool = True
    ) -> dict[Group, Counted]:
        query, parameters = self.sql(
            snapshot(Question(as_of, known_at, group_by), Days.of_zone(ZONE), by_cells=by_cells)
        )
        rows = await self.connection.fetch(query, *parameters)
        return {tuple(row)[:-2]: Counted(int(row["n"]), Decimal(row["amount"])) for row in rows}

    def sql(self, query: sa.Select[Any]) -> tuple[str, list[Any]]:
        """The statement and its values as asyncpg takes them."""
        compiled = query.compile(
            dialect=asyncpg_dialect(),  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it so
            schema_translate_map={GENERATION: self.schema},
            compile_kwargs={"render_postcompile": True},
        )
        text = str(compiled).replace(f"__[SCHEMA_{GENERATION}]", f'"{self.schema}"')
        assert compiled.positiontup is not None
        return text, [compiled.params[name] for name in compiled.positiontup]
