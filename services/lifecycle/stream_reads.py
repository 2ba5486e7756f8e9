"""What reads of all kinds of stream share: a list by labels, the history of one, one event of it."""

import heapq
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from schemas.wire import structured
from services.kernel.errors import BadCursor, NotFound
from services.kernel.http import Limit, answers, csv_lines, decode_cursor, encode_cursor, negotiate, next_link
from services.kernel.log import recorded
from services.kernel.placements import Placements
from services.kernel.sql_files import sql
from services.lifecycle.views import Shown, cells

StreamId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9._:-]+$",
        description="The id, without the kind of the stream",
    ),
]
Cursor = Annotated[str | None, Query(max_length=4_000, description="`next_cursor` of the page before")]
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="As it stood with the event of this version")]

JSON: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {}}, "description": "As the schema says"}
}

JSON_FORM, NDJSON, CSV = FORMS = ("application/json", "application/x-ndjson", "text/csv")
LISTED: dict[int | str, dict[str, Any]] = {
    200: {"content": {form: {} for form in FORMS}, "description": "A page of the list"}
}

_encode = msgspec.json.Encoder().encode


async def listed(
    request: Request, placements: Placements, kind: str, name: str, labels: Sequence[str], limit: int, cursor: str | None,
    shown: Callable[[Any], Awaitable[Shown]], columns: tuple[str, ...],
) -> Response:  # fmt: skip
    """A page of the streams of a kind that have all labels, by id: {<name>: [...], next_cursor}.

    By `Accept` also one item a line (NDJSON), or a table of these columns (CSV); the next page is in `Link` always.
    """
    form = negotiate(request.headers.get("accept"), FORMS)
    asked = [name, *labels]
    after = _after(cursor, asked, str) or f"{kind}/"
    statement = sql("services.lifecycle.sql", "list_streams")
    pages = [
        await placement.log.reads.fetch(statement, after, f"{kind}0", list(labels), limit + 1)
        for placement in placements.all
    ]
    rows = list(heapq.merge(*pages, key=lambda row: row["stream"]))[: limit + 1]
    following = encode_cursor([asked, rows[limit - 1]["stream"]]) if len(rows) > limit else None
    items = [await shown(row) for row in rows[:limit]]
    if form == CSV:
        body = b"".join(csv_lines(columns, [cells(item, columns) for item in items]))
    elif form == NDJSON:
        body = b"".join(_encode(item) + b"\n" for item in items)
    else:
        body = _encode({name: items, "next_cursor": following})
    return Response(body, media_type=form, headers=_link(request, following))


def add_history(router: APIRouter, placements: Placements, base_url: str, path: str, kind: str, title: str) -> None:
    """`/v1/<path>/{id}/events` and `/v1/<path>/{id}/events/{version}`."""

    @router.get(
        f"/v1/{path}/{{id}}/events", operation_id=f"get{title}Events", summary=f"The history of one {kind}, by version",
        response_class=Response, responses=JSON, dependencies=[Depends(answers("application/json"))],
    )  # fmt: skip
    async def get_events(request: Request, id: StreamId, limit: Limit = 50, cursor: Cursor = None) -> Response:
        stream = f"{kind}/{id}"
        asked = ["events", stream]
        after = _after(cursor, asked, int) or 0
        log = placements.of_stream(stream).log
        events = await log.read_stream(placements.partition_of(stream), stream, after, limit + 1)
        if not events and not after:
            raise NotFound("no event of it is stored")
        following = encode_cursor([asked, events[limit - 1].version]) if len(events) > limit else None
        page = b",".join(structured(event, base_url) for event in events[:limit])
        body = b'{"events":[' + page + b'],"next_cursor":' + _encode(following) + b"}"
        return Response(body, media_type="application/json", headers=_link(request, following))

    @router.get(
        f"/v1/{path}/{{id}}/events/{{version}}", operation_id=f"get{title}Event", summary=f"One event of one {kind}",
        response_class=Response, responses={200: {"content": {"application/cloudevents+json": {}}}},
        dependencies=[Depends(answers("application/cloudevents+json", "application/json"))],
    )  # fmt: skip
    async def get_event(id: StreamId, version: Annotated[int, Path(ge=1, le=2**31 - 1)]) -> Response:
        stream = f"{kind}/{id}"
        row = await placements.of_stream(stream).log.reads.fetchrow(
            "SELECT partition, position, stream, version, type, source, id, occurred_at, recorded_at, data, meta "
            "FROM event WHERE partition = $1 AND stream = $2 AND version = $3",
            placements.partition_of(stream), stream, version,
        )  # fmt: skip
        if row is None:
            raise NotFound("it has no event of that version")
        return Response(structured(recorded(row), base_url), media_type="application/cloudevents+json")


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
