"""Projections over HTTP: every metric is a query, each answer with its definition and how fresh it is."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from inspect import Parameter as Argument
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from schemas.pipeline_files import read_pipelines
from services.kernel import http
from services.kernel.auth import KeyRing, requires
from services.kernel.configuration import read_documents
from services.kernel.errors import Flaw, Invalid, RangeTooWide
from services.kernel.http_listing import encode_cursor
from services.projections.days import Days
from services.projections.metrics import METRICS
from services.projections.query import texts
from services.projections.query.forms import CSV, FORMS, NDJSON, in_form
from services.projections.query.metric import Answer, Asked, Deployment, Metric, Reading, Row
from services.projections.query.question import Question, parameters_of, signature_of
from services.projections.readings import Freshness, parked_leads, parked_streams, reading_engine, snapshot_of, wait_for
from services.projections.reference.facts import NAME as REFERENCE
from services.projections.reference.reading import rates_to
from services.projections.settings import Settings

MOST_ROWS = 50_000
"""Of one answer; more is a question that was not meant."""

MOST_PARKED = 100
"""Streams that wait for an operator are named one by one up to here."""


class ParameterAnswer(BaseModel):
    name: str
    description: str
    default: str
    choices: list[str]


class MetricDescription(BaseModel):
    id: str
    version: int
    title: str
    definition: str
    formula: str
    columns: dict[str, str] = Field(description="What a row of the answer holds: name, and meaning with unit.")
    time: str = Field(description="instant: asked as_of; period: asked from, to and interval.")
    parameters: list[ParameterAnswer]
    dimensions: list[str] = Field(description="What it is grouped and filtered by.")
    read_models: list[str]
    href: str


class MetricList(BaseModel):
    metrics: list[MetricDescription]


class MetricAnswer(BaseModel):
    """`known_at` is the instant applied, null for everything; `known_through`: all recorded before it is applied."""

    metric: str
    version: int
    definition: str
    as_of: datetime
    known_at: datetime | None
    zone: str
    currency: str | None
    dims: str
    group_by: list[str]
    parameters: dict[str, Any]
    complete: bool = Field(description="Whether everything recorded before the end of the question is applied.")
    rows: list[dict[str, Any]]
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
    pipelines = read_pipelines(read_documents(settings.pipelines_dir, ".yaml"))
    app.include_router(router(engine, Deployment(pipelines, settings.channel_groups, settings.reporting_zone)))
    try:
        yield app
    finally:
        await engine.dispose()


def router(engine: AsyncEngine, deployment: Deployment) -> APIRouter:
    """The routes. Raises as `Days.of_zone` for the deployment's reporting zone."""
    routes = APIRouter(dependencies=[Depends(http.strict_query), Depends(requires("projections:read"))])
    # now, because it takes a quarter of a second, and an impossible zone is told at the start
    Days.of_zone(deployment.reporting_zone)
    described = MetricList(metrics=[_description(metric) for metric in METRICS.values()])

    @routes.get(
        "/v1/metrics", operation_id="listMetrics", summary="Every metric, with its definition and parameters",
        response_model=MetricList, responses=http.problem_responses(401, 403, 422),
    )  # fmt: skip
    async def metrics() -> MetricList:
        return described

    for metric in METRICS.values():
        _add(routes, f"/v1/metrics/{metric.id}", metric, engine, deployment)
    _add(routes, "/v1/pipeline", METRICS["pipeline_snapshot"], engine, deployment, operation_id="getPipeline")
    return routes


def _add(
    routes: APIRouter, path: str, metric: Metric, engine: AsyncEngine, deployment: Deployment, operation_id: str = ""
) -> None:
    routes.add_api_route(
        path,
        _endpoint(metric, engine, deployment),
        operation_id=operation_id or "get" + "".join(part.title() for part in metric.id.split("_")),
        summary=metric.title,
        description=f"{metric.definition}\n\nFormula: {metric.formula}\n\n"
        + "\n".join(f"- `{name}`: {meaning}" for name, meaning in metric.columns.items()),
        response_model=MetricAnswer,
        responses={
            200: {
                "description": "In CSV and NDJSON only the rows; the rest is in the headers.",
                "content": {CSV: {"schema": {"type": "string"}}, NDJSON: {"schema": {"type": "string"}}},
            },
            **http.problem_responses(400, 401, 403, 406, 422, 503),
        },
    )


def _endpoint(metric: Metric, engine: AsyncEngine, deployment: Deployment) -> Callable[..., Awaitable[Response]]:
    async def endpoint(request: Request, **given: str | None) -> Response:
        form = http.negotiate(request.headers.get("accept"), FORMS)
        named = {name.removeprefix("q_"): text for name, text in given.items()}
        answer = await answered(Question(metric, named, deployment.reporting_zone), engine, deployment)
        return in_form(form, answer)

    signature = signature_of(metric, Argument("request", Argument.POSITIONAL_OR_KEYWORD, annotation=Request))
    endpoint.__signature__ = signature  # type: ignore[attr-defined]
    return endpoint


async def answered(question: Question, engine: AsyncEngine, deployment: Deployment) -> Row:
    """The whole answer to a question, read in one transaction.

    Raises Invalid, RangeTooWide, Unavailable.
    """
    metric = question.metric
    models = (*metric.models, REFERENCE)
    stale = question.min_position is not None and not await _reached(engine, models, question)
    async with snapshot_of(engine, *models) as (connection, fresh):
        known_at, notes = texts.known(question.known_at, fresh)
        rates = None if question.currency is None else await rates_to(connection, question.currency, known_at)
        asked = question.asked(fresh, known_at, rates)
        parked = await parked_leads(connection, *models)
        waiting = await parked_streams(connection, MOST_PARKED, *models) if parked else []
        found = await metric.answer(asked, Reading(connection, fresh, deployment, waiting))
    if len(found.rows) > MOST_ROWS:
        raise RangeTooWide(f"The answer has more than {MOST_ROWS} rows: group by less, or filter.")
    notes += found.notes
    if parked:
        notes.append(f"{parked} leads are parked and counted only up to where they stopped: `salescycle parked list`.")
    if not found.rows and question.known_at is not None:
        notes.append("Nothing that matches was known at that instant.")
    return _answer(question, asked, fresh, found, stale=stale, parked=parked, notes=notes)


async def _reached(engine: AsyncEngine, models: tuple[str, ...], question: Question) -> bool:
    partition, position = map(int, str(question.min_position).split(":"))
    reached = await wait_for(engine, models, partition, position, question.timeout_s)
    if reached is None:
        raise Invalid(
            "There is no such partition.", errors=[Flaw("/query/min_position", "names no partition of the log.")]
        )
    return reached


def _answer(
    question: Question, asked: Asked, fresh: Freshness, found: Answer, *, stale: bool, parked: int, notes: list[str]
) -> Row:
    metric = question.metric
    end = min(asked.periods.end, asked.as_of)
    answer: Row = {
        "metric": metric.id,
        "version": metric.version,
        "definition": metric.definition,
        "as_of": asked.as_of,
    }
    if metric.time == "period":
        answer |= {"from": asked.periods.start, "to": asked.periods.end}
    answer |= {
        "known_at": asked.known_at,
        "zone": asked.zone,
        "currency": question.currency,
        "dims": asked.dims,
        "group_by": list(asked.group_by),
        "parameters": {each.name: _shown(asked.options[each.name]) for each in metric.parameters},
        "complete": fresh.through is not None
        and end <= fresh.through
        and asked.periods.end <= asked.as_of
        and not parked,
        **found.more,
        "rows": found.rows,
    }
    if metric.listed:
        more = found.next_after is not None
        answer["next_cursor"] = encode_cursor([question.identity(), found.next_after]) if more else None
    return answer | {
        "positions": {str(partition): position for partition, position in fresh.positions.items()},
        "known_through": fresh.through,
        "lag_ms": fresh.lag_ms,
        "stale": stale,
        "notes": notes,
    }


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_shown(part) for part in value]
    return value if value is None or isinstance(value, str | int | bool) else float(value)


def _description(metric: Metric) -> MetricDescription:
    return MetricDescription(
        id=metric.id, version=metric.version, title=metric.title, definition=metric.definition, formula=metric.formula,
        columns=dict(metric.columns), time=metric.time, dimensions=list(metric.dimensions),
        parameters=[
            ParameterAnswer(name=each.name, description=each.description, default=each.default, choices=list(each.choices))
            for each in parameters_of(metric)
        ],
        read_models=[*metric.models, REFERENCE], href=f"/v1/metrics/{metric.id}",
    )  # fmt: skip
