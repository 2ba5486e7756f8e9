"""Read models in PostgreSQL under test: given a log, when it is delivered in some way, then its answers and its bytes."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from schemas.envelope import Recorded
from schemas.pipelines import Pipelines
from services.projections.days import Days
from services.projections.metrics import METRICS
from services.projections.models import MODELS
from services.projections.pipeline.snapshot import by_cells, by_rows
from services.projections.query.metric import Asked, Deployment, Reading
from services.projections.query.periods import EVER, Periods
from services.projections.query.question import Question
from services.projections.readings import Freshness
from services.projections.reference.reading import rates_to
from services.projections.settings import CHANNEL_GROUPS
from services.projections.store import LedgerReadModel
from tests.unit.projections.histories import PIPELINES, Counted, Group, numbered

ZONE = "Europe/Berlin"
FAR = datetime(2199, 1, 1, tzinfo=UTC)


class Projected:
    """One generation of some read models, each in a schema of its own; `number` tells it from others."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        engine: AsyncEngine,
        number: int,
        names: Sequence[str],
        leads_kept: int,
        pipelines: Pipelines = PIPELINES,
    ) -> None:
        self.connection = connection
        self.engine = engine
        self.pipelines = pipelines
        self.schemas = {name: f"{name}_g{number}" for name in MODELS}
        self.models: dict[str, Any] = {name: MODELS[name](pipelines, ZONE, leads_kept) for name in names}
        self._reached: dict[tuple[str, int], int] = {}

    @property
    def model(self) -> LedgerReadModel:
        model: LedgerReadModel = self.models["pipeline"]
        return model

    async def create(self) -> "Projected":
        for name, model in self.models.items():
            schema = self.schemas[name]
            await self.connection.execute(f'CREATE SCHEMA "{schema}"; SET search_path = "{schema}"')
            await self.connection.execute(model.tables_sql)
            await self.connection.execute(model.indexes_sql)
        return self

    async def deliver(
        self, events: Sequence[Recorded], *, batch: int = 1_000, forgetting: random.Random | None = None
    ) -> None:
        """All events, partition by partition, in batches of at most `batch`; with `forgetting`, of random sizes, and the
        memory is lost now and then."""
        for name, model in self.models.items():
            await self.connection.execute(f'SET search_path = "{self.schemas[name]}"')
            for partition, log in numbered(events).items():
                position = self._reached.get((name, partition), 0)
                while position < len(log):
                    size = forgetting.randint(1, batch) if forgetting else batch
                    async with self.connection.transaction():
                        await model.apply(self.connection, partition, log[position : position + size])
                    position += size
                    if forgetting and forgetting.random() < 0.3:
                        model.forget()
                self._reached[name, partition] = len(log)

    async def checksum(self) -> list[bytes]:
        found = []
        for name, model in self.models.items():
            await self.connection.execute(f'SET search_path = "{self.schemas[name]}"')
            found += [await model.checksum(self.connection, partition) for partition in (0, 1)]
        return found

    async def answer(self, metric: str, now: datetime = FAR, /, **texts: str) -> dict[str, Any]:
        """What the metric answers to a query with these parameters (`from_` stands for `from`): rows and what else it says."""
        return await self.page(metric, None, now, **texts)

    async def page(self, metric: str, after: Any, now: datetime = FAR, /, **texts: str) -> dict[str, Any]:
        """The same, from where a list goes on after `after`."""
        given: dict[str, str | None] = {name.rstrip("_"): text for name, text in texts.items()}
        question = Question(METRICS[metric], given, ZONE)
        async with self.engine.connect() as plain:
            connection = await plain.execution_options(schema_translate_map=self.schemas)
            fresh = Freshness({}, FAR, now, ZONE)
            known_at = question.known_at
            rates = None if question.currency is None else await rates_to(connection, question.currency, known_at)
            asked = question.asked(fresh, known_at, rates)._replace(after=after)
            found = await METRICS[metric].answer(asked, self._reading(connection, fresh))
        return {"rows": found.rows, "notes": found.notes, "next_after": found.next_after, **found.more}

    async def rows(self, metric: str, /, **texts: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.answer(metric, **texts))["rows"]
        return rows

    def _reading(self, connection: AsyncConnection, fresh: Freshness) -> Reading:
        return Reading(connection, fresh, Deployment(self.pipelines, CHANNEL_GROUPS, ZONE))

    async def ask(
        self, as_of: datetime, known_at: datetime | None, group_by: tuple[str, ...] = (), *, cells: bool = True
    ) -> dict[Group, Counted]:
        """The pipeline snapshot: from cells, or by the plain definition."""
        async with self.engine.connect() as plain:
            connection = await plain.execution_options(schema_translate_map=self.schemas)
            rows = await connection.execute(self.snapshot(as_of, known_at, group_by, cells=cells))
            return {tuple(row)[:-2]: Counted(int(row.n), Decimal(row.amount)) for row in rows}

    def snapshot(
        self, as_of: datetime, known_at: datetime | None, group_by: tuple[str, ...] = (), *, cells: bool = True
    ) -> sa.Select[Any]:
        asked = Asked(as_of, known_at, FAR, ZONE, Periods((EVER, as_of), ("",)), group_by)
        if cells:
            return by_cells(asked, Days.of_zone(ZONE))
        fresh = Freshness({}, FAR, FAR, ZONE)
        return by_rows(asked, self._reading(None, fresh))  # type: ignore[arg-type]  # nothing is read yet

    def sql(self, query: sa.Select[Any]) -> tuple[str, list[Any]]:
        """The statement and its values as asyncpg takes them."""
        compiled = query.compile(
            dialect=asyncpg_dialect(),  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it so
            schema_translate_map=self.schemas,
            compile_kwargs={"render_postcompile": True},
        )
        text = str(compiled)
        for name, schema in self.schemas.items():
            text = text.replace(f"__[SCHEMA_{name}]", f'"{schema}"')
        assert compiled.positiontup is not None
        return text, [compiled.params[name] for name in compiled.positiontup]
