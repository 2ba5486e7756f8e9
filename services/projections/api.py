"""Projections over HTTP: the queries, each answer with its definition and how fresh it is."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Header, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.kernel import http
from services.kernel.auth import KeyRing, requires
from services.kernel.errors import Flaw, Invalid, RangeTooWide
from services.projections import asked
from services.projections.days import Days
from services.projections.pipeline import queries
from services.projections.pipeline.model import NAME as PIPELINE
from services.projections.pipeline.queries import Question
from services.projections.readings import Freshness, parked_leads, reading_engine, snapshot_of, wait_for
from services.projections.settings import Settings

MOST_ROWS = 50_000
"""Of one answer; more is a question that was not meant."""

JSON, CSV, NDJSON = "application/json", "text/csv", "application/x-ndjson"
_encode = msgspec.json.Encoder().encode

_AS_OF = "The instant asked for: RFC 3339 with offset, or a date, which means its end in `zone`. Default: now."
_KNOWN_AT = (
    "What had been recorded before this instant (written as `as_of`); cut back to `known_through`. "
    "Default: everything applied."
)


class MoneyAnswer(BaseModel):
    amount: str = Field(examples=["1234.50"])
    currency: str = Field(examples=["EUR"])


class PipelineRow(BaseModel):
    """One group; a dimension is there if it was asked for."""

    stage: str | None
    phase: str | None
    outcome: Literal["open", "won", "lost"]
    owner: str | None = None
    source_channel: str | None = None
    product: str | None = None
    region: str | None = None
    n: int
    value: list[MoneyAnswer]
    value_unknown_n: int


class PipelineAnswer(BaseModel):
    """`known_at` is the instant applied, null for everything; `known_through`: all recorded before it is applied."""

    metric: str = queries.METRIC
    version: int = queries.VERSION
    definition: str = queries.DEFINITION
    as_of: datetime
    known_at: datetime | None
    zone: str
    group_by: list[str]
    complete: bool = Field(description="Whether everything recorded before as_of is applied.")
    rows: list[PipelineRow]
    positions: dict[str, int] = Field(description="Last position applied, by partition.")
    known_through: datetime | None
    lag_ms: int | None
    stale: bool = Field(description="min_position was not reached in time.")
    notes: list[str] = Field(description="What was done to the question, in sentences.")


@asynccontextmanager
async def projections(settings: Settings, keys: KeyRing) -> AsyncIterator[FastAPI]:
    """The app with all queries, and the connections that it reads with while the context lasts.

    Raises `zoneinfo.ZoneInfoNotFoundError` for an impossible reporting zone.
    """
    postgres = settings.postgres
    engine = reading_engine(
        postgres.url.get_secret_value(),
        pool_size=postgres.pool_size,
        statement_timeout_ms=postgres.statement_timeout_ms,
    )
    app = FastAPI(
        title="salescycle projections",
        version="1",
        docs_url=None,
        redoc_url=None,
        description="Figures of the sales cycle at any instant, as known at any other, with definition and freshness.",
    )
    app.state.keys = keys
    http.install(app, base_url=settings.projections.base_url, cursor_key=keys.cursor_key())
    app.include_router(router(engine, settings.reporting_zone))
    try:
        yield app
    finally:
        await engine.dispose()


def router(engine: AsyncEngine, reporting_zone: str) -> APIRouter:
    """The routes; `reporting_zone` is the default of `zone`. Raises as `Days.of_zone`."""
    routes = APIRouter(dependencies=[Depends(http.strict_query), Depends(requires("projections:read"))])
    Days.of_zone(
        reporting_zone
    )  # now, because it takes a quarter of a second, and an impossible zone is told at the start

    @routes.get(
        "/v1/pipeline",
        operation_id="getPipeline",
        summary="Leads by stage, with counts and values",
        response_model=PipelineAnswer,
        responses={
            200: {
                "description": "The snapshot. In CSV and NDJSON only the rows; the rest is in the headers.",
                "content": {CSV: {"schema": {"type": "string"}}, NDJSON: {"schema": {"type": "string"}}},
            },
            **http.problem_responses(401, 403, 406, 422, 503),
        },
    )
    async def pipeline(
        *,
        as_of: Annotated[str | None, Query(description=_AS_OF, max_length=64, examples=["2017-12-31"])] = None,
        known_at: Annotated[str | None, Query(description=_KNOWN_AT, max_length=64)] = None,
        zone: Annotated[str | None, Query(description="IANA time zone of dates.", max_length=64)] = None,
        group_by: Annotated[str | None, Query(description=f"Of {', '.join(queries.DIMENSIONS)}, with commas.")] = None,
        owner: Annotated[str | None, Query(max_length=200)] = None,
        source_channel: Annotated[str | None, Query(max_length=200)] = None,
        product: Annotated[str | None, Query(max_length=200)] = None,
        region: Annotated[str | None, Query(max_length=200)] = None,
        stage: Annotated[str | None, Query(max_length=200)] = None,
        outcome: Annotated[Literal["open", "won", "lost"] | None, Query()] = None,
        min_position: Annotated[
            str | None, Query(description="<partition>:<position> to wait for.", pattern="^[0-9]{1,6}:[0-9]{1,18}$")
        ] = None,
        timeout: Annotated[float, Query(description="Seconds to wait for it.", ge=0, le=30)] = 5.0,
        accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Response:
        form = http.negotiate(accept, (JSON, CSV, NDJSON))
        in_zone = asked.zone(zone, reporting_zone)
        dimensions = asked.names("group_by", group_by, queries.DIMENSIONS)
        instant, known = asked.instant("as_of", as_of, in_zone), asked.instant("known_at", known_at, in_zone)
        given = {
            "owner": owner, "source_channel": source_channel, "product": product, "region": region,
            "stage": stage, "outcome": outcome,
        }  # fmt: skip
        stale = min_position is not None and not await _reached(engine, min_position, timeout)
        async with snapshot_of(engine, PIPELINE) as (connection, fresh):
            applied, notes = asked.known(known, fresh)
            question = Question(
                instant or fresh.now,
                applied,
                dimensions,
                {name: value for name, value in given.items() if value is not None},
            )
            found = (
                await connection.execute(queries.snapshot(question, Days.of_zone(fresh.zone)).limit(MOST_ROWS + 1))
            ).all()
            parked = await parked_leads(connection, PIPELINE)
        if len(found) > MOST_ROWS:
            raise RangeTooWide(f"The answer has more than {MOST_ROWS} rows: group by less, or filter.")
        if parked:
            notes.append(
                f"{parked} leads are parked and counted only up to where they stopped: `salescycle parked list`."
            )
        rows = queries.answer_rows(found, dimensions)
        if not rows and known is not None:
            notes.append("Nothing that matches was known at that instant.")
        answer = _answer(question, fresh, in_zone, rows, stale=stale, parked=parked, notes=notes)
        return _in_form(form, answer, rows)

    return routes


async def _reached(engine: AsyncEngine, min_position: str, timeout_s: float) -> bool:
    partition, position = map(int, min_position.split(":"))
    reached = await wait_for(engine, PIPELINE, partition, position, timeout_s)
    if reached is None:
        raise Invalid(
            "There is no such partition.", errors=[Flaw("/query/min_position", "names no partition of the log.")]
        )
    return reached


def _answer(
    question: Question,
    fresh: Freshness,
    zone: str,
    rows: list[dict[str, Any]],
    *,
    stale: bool,
    parked: int,
    notes: list[str],
) -> dict[str, Any]:
    return {
        "metric": queries.METRIC,
        "version": queries.VERSION,
        "definition": queries.DEFINITION,
        "as_of": question.as_of,
        "known_at": question.known_at,
        "zone": zone,
        "group_by": list(question.group_by),
        "complete": fresh.through is not None and question.as_of <= fresh.through and not parked,
        "rows": rows,
        "positions": {str(partition): position for partition, position in fresh.positions.items()},
        "known_through": fresh.through,
        "lag_ms": fresh.lag_ms,
        "stale": stale,
        "notes": notes,
    }


def _in_form(form: str, answer: dict[str, Any], rows: list[dict[str, Any]]) -> Response:
    if form == JSON:
        return Response(_encode(answer), media_type=JSON)
    about = {f"Answer-{name.replace('_', '-').title()}": _header(answer[name]) for name in answer if name != "rows"}
    body = (
        b"".join(_encode(row) + b"\n" for row in rows) if form == NDJSON else b"".join(_csv(rows, answer["group_by"]))
    )
    return Response(body, media_type=form, headers=about)


def _header(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode().strip('"')


def _csv(rows: list[dict[str, Any]], group_by: list[str]) -> Iterable[bytes]:
    """One line per row and one column per currency, so that no count stands twice."""
    currencies = sorted({money["currency"] for row in rows for money in row["value"]})
    keys = ["stage", "phase", "outcome", *group_by, "n"]
    lines = []
    for row in rows:
        amounts = {money["currency"]: money["amount"] for money in row["value"]}
        lines.append([*(row[key] for key in keys), *map(amounts.get, currencies), row["value_unknown_n"]])
    return http.csv_lines([*keys, *(f"value_{currency}" for currency in currencies), "value_unknown_n"], lines)
