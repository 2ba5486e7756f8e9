"""Reads of leads: the state of one, the list of all, the history of one. Straight from the log's own tables."""

import heapq
from collections.abc import Sequence
from typing import Annotated, Any

import asyncpg
import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from schemas.wire import structured
from services.kernel.auth import requires
from services.kernel.errors import BadCursor, NotFound
from services.kernel.http import Limit, answers, decode_cursor, encode_cursor, next_link, strict_query
from services.kernel.log import recorded
from services.kernel.placements import Placements
from services.kernel.sql_files import sql
from services.lifecycle.lead_body import lead_body

LeadId = Annotated[
    str, Path(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$", description="The lead's id, without `lead/`")
]
Cursor = Annotated[str | None, Query(max_length=4_000, description="`next_cursor` of the page before")]

_encode = msgspec.json.Encoder().encode


def leads_router(placements: Placements, base_url: str) -> APIRouter:
    """The routes below `/v1/leads`, behind `events:read`."""
    router = APIRouter(
        tags=["leads"],
        dependencies=[
            Depends(requires("events:read")),
            Depends(strict_query),
            Depends(answers("application/json", "application/cloudevents+json")),
        ],
    )

    @router.get(
        "/v1/leads", operation_id="listLeads", summary="List leads by id", response_class=Response, responses=_JSON
    )
    async def list_leads(
        request: Request,
        stage: Annotated[str | None, Query(max_length=200, description="Only leads in this stage")] = None,
        owner: Annotated[str | None, Query(max_length=200, description="Only leads of this owner")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        asked = ["leads", stage, owner]
        after = _after(cursor, asked, str) or "lead/"
        labels = [f"{name}={value}" for name, value in (("owner", owner), ("stage", stage)) if value is not None]
        pages = [
            await placement.log.reads.fetch(sql("services.lifecycle.sql", "list_leads"), after, labels, limit + 1)
            for placement in placements.all
        ]
        rows = list(heapq.merge(*pages, key=lambda row: row["stream"]))[: limit + 1]
        following = encode_cursor([asked, rows[limit - 1]["stream"]]) if len(rows) > limit else None
        body = (
            b'{"leads":['
            + b",".join(_lead(row) for row in rows[:limit])
            + b'],"next_cursor":'
            + _encode(following)
            + b"}"
        )
        return Response(body, media_type="application/json", headers=_link(request, following))

    @router.get(
        "/v1/leads/{id}",
        operation_id="getLead",
        summary="The state of one lead",
        response_class=Response,
        responses=_JSON,
    )
    async def get_lead(id: LeadId) -> Response:
        stream = f"lead/{id}"
        row = await placements.of_stream(stream).log.reads.fetchrow(
            "SELECT stream, partition, version, state FROM stream WHERE stream = $1", stream
        )
        if row is None:
            raise NotFound("no event of this lead is stored")
        return Response(_lead(row), media_type="application/json", headers={"ETag": f'"{row["version"]}"'})

    @router.get(
        "/v1/leads/{id}/events", operation_id="getLeadEvents", summary="The history of one lead, by version",
        response_class=Response, responses=_JSON,
    )  # fmt: skip
    async def get_events(request: Request, id: LeadId, limit: Limit = 50, cursor: Cursor = None) -> Response:
        stream = f"lead/{id}"
        asked = ["events", id]
        after = _after(cursor, asked, int) or 0
        log = placements.of_stream(stream).log
        events = await log.read_stream(placements.partition_of(stream), stream, after, limit + 1)
        if not events and not after:
            raise NotFound("no event of this lead is stored")
        following = encode_cursor([asked, events[limit - 1].version]) if len(events) > limit else None
        page = b",".join(structured(event, base_url) for event in events[:limit])
        body = b'{"events":[' + page + b'],"next_cursor":' + _encode(following) + b"}"
        return Response(body, media_type="application/json", headers=_link(request, following))

    @router.get(
        "/v1/leads/{id}/events/{version}", operation_id="getLeadEvent", summary="One event of a lead",
        response_class=Response, responses={200: {"content": {"application/cloudevents+json": {}}}},
    )  # fmt: skip
    async def get_event(id: LeadId, version: Annotated[int, Path(ge=1, le=2**31 - 1)]) -> Response:
        stream = f"lead/{id}"
        row = await placements.of_stream(stream).log.reads.fetchrow(
            "SELECT partition, position, stream, version, type, source, id, occurred_at, recorded_at, data, meta "
            "FROM event WHERE partition = $1 AND stream = $2 AND version = $3",
            placements.partition_of(stream), stream, version,
        )  # fmt: skip
        if row is None:
            raise NotFound("this lead has no event of that version")
        return Response(structured(recorded(row), base_url), media_type="application/cloudevents+json")

    return router


_JSON: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {}}, "description": "As the schema says"}
}


def _lead(row: asyncpg.Record) -> bytes:
    return lead_body(row["stream"], row["partition"], row["version"], row["state"])


def _link(request: Request, cursor: str | None) -> dict[str, str]:
    return {"Link": next_link(request, cursor)} if cursor else {}


def _after(cursor: str | None, asked: Sequence[str | None], kind: type[Any]) -> Any:
    """Where the page before ended. Raises BadCursor where the cursor is none of ours, or of another list or filter."""
    if cursor is None:
        return None
    match decode_cursor(cursor):
        case [of, value] if of == asked and isinstance(value, kind):
            return value
    raise BadCursor("the cursor belongs to another list, or to other filters")
