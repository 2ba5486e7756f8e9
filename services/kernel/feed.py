"""The log over HTTP: what fills every gap, what a rebuild reads, and what subscribers without Kafka follow.

`GET /v1/log/{partition}` is the truth by position; `GET /v1/log` the same as server-sent events over all partitions.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from schemas.envelope import Recorded
from schemas.wire import structured
from services.kernel.auth import requires
from services.kernel.errors import LogDiverged
from services.kernel.feed_cursor import Stand
from services.kernel.http import strict_query
from services.kernel.http_request import Digits
from services.kernel.log import PAGE_BYTES, recorded
from services.kernel.placements import Placements

_logger = structlog.get_logger(__name__)

MAX_LINES = 5_000
READ_AT_ONCE = 1_000
COMMENT_EVERY_S = 15.0
SSE_PAGE = 200


def feed_router(placements: Placements, base_url: str, scope: str) -> APIRouter:
    """The two feed routes of a log, behind `scope`."""
    router = APIRouter(tags=["log"])

    @router.get(
        "/v1/log/{partition}",
        operation_id="readLog",
        summary="Read a partition of the log from a position on",
        response_class=Response,
        responses={200: {"content": {"application/x-ndjson": {}}, "description": "One structured CloudEvent a line"}},
        dependencies=[Depends(requires(scope)), Depends(strict_query)],
    )
    async def read_log(
        request: Request,
        partition: Annotated[int, Path(ge=0, le=1023), Digits],
        after: Annotated[int, Query(ge=0, le=2**62, description="Give events with a higher position"), Digits] = 0,
        id: Annotated[
            str | None,
            Query(max_length=128, description="Id of the event at `after`, to prove that this is the same log"),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LINES, description="At most so many events"), Digits] = 1_000,
        wait: Annotated[
            float, Query(ge=0, le=30, description="Where there is nothing yet, wait so many seconds for it")
        ] = 0,
    ) -> Response:
        placement = placements.of_partition(partition)
        head = await placement.log.check(partition, after, id)
        if head.position <= after and wait:
            await _first_of(placement.heads.wait_beyond(partition, after, wait), request.app.state.draining.wait())
            head = await placement.log.check(partition, after, id)  # again: time has passed
        lines: list[bytes] = []
        size = 0
        while head.position > after and len(lines) < limit and size < PAGE_BYTES:
            rows = await placement.log.read_raw(
                partition, after, min(limit - len(lines), READ_AT_ONCE), PAGE_BYTES - size
            )
            page = [structured(recorded(row), base_url) for row in rows]
            if not page:
                break
            lines += page
            size += sum(map(len, page))
            after = rows[-1]["position"]
        body = b"".join([line + b"\n" for line in lines])
        headers = {"Log-Head": str(head.position), "Log-Through": head.through.isoformat()}
        return Response(body, media_type="application/x-ndjson", headers=headers)

    @router.get(
        "/v1/log",
        operation_id="followLog",
        summary="Follow the whole log as server-sent events",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "`id` is the cursor over all partitions"}
        },
        dependencies=[Depends(requires(scope)), Depends(strict_query)],
    )
    async def follow_log(
        request: Request,
        last_event_id: Annotated[str | None, Header(description="Cursor of the last event seen")] = None,
        after: Annotated[
            str | None, Query(max_length=8_000, description="The same cursor, or `now`; absent: from the beginning")
        ] = None,
    ) -> StreamingResponse:
        stand = await Stand.at(placements, last_event_id or after)
        return StreamingResponse(
            _events(
                placements,
                base_url,
                stand,
                request.app.state.draining,
                lambda: request.app.state.keys.allows(request.headers.get("authorization"), scope),
            ),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    return router


async def _events(
    placements: Placements,
    base_url: str,
    stand: Stand,
    draining: asyncio.Event,
    still_allowed: Callable[[], bool],
) -> AsyncIterator[bytes]:
    """Server-sent events from `stand` on: each partition in order, partitions in turn.

    Ends when the reader leaves, when the service drains, when the reader's key is revoked, and when the log goes back in
    time: who comes again with his cursor is told so (409).
    """
    yield b"retry: 2000\n\n"
    loop = asyncio.get_running_loop()
    silent_since: float | None = None
    checked_at = loop.time()
    news = asyncio.Event()
    events = [placement.heads.subscribe() for placement in placements.all]
    watchers = [asyncio.create_task(_forward(event, news)) for event in events]
    try:
        while not draining.is_set() and still_allowed():
            news.clear()
            idle = True
            if loop.time() - checked_at > COMMENT_EVERY_S:
                # heads never fall here: in a log that went back nothing would be read until it has grown past them
                await stand.check(placements)
                checked_at = loop.time()
            for partition in range(placements.partitions):
                for event in await _page(placements, stand, partition):
                    stand.move(event)
                    yield (
                        b"id: "
                        + stand.cursor.encode()
                        + b"\nevent: "
                        + event.type.encode()
                        + b"\ndata: "
                        + structured(event, base_url)
                        + b"\n\n"
                    )
                    idle = False
            if idle:
                silent_since = silent_since or loop.time()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):  # so that draining is noticed
                        await news.wait()
                if loop.time() - silent_since > COMMENT_EVERY_S:
                    silent_since = None
                    yield b": still here\n\n"
            else:
                silent_since = None
    except LogDiverged as error:
        _logger.warning("a stream of the log ends", reason=str(error))
    finally:
        for watcher in watchers:
            watcher.cancel()
        for placement, woken in zip(placements.all, events, strict=True):
            placement.heads.unsubscribe(woken)


async def _first_of(*awaited: Coroutine[Any, Any, object]) -> None:
    """Wait until one of these has happened; the others are given up. So a service that drains need not wait for events."""
    tasks = [asyncio.create_task(each) for each in awaited]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _page(placements: Placements, stand: Stand, partition: int) -> list[Recorded]:
    """The next events of a partition, read together with the one before them. Raises LogDiverged where that is another."""
    placement = placements.of_partition(partition)
    position = stand.positions[partition]
    if placement.heads.positions[partition] <= position:
        return []
    before = 1 if position else 0
    events = [recorded(row) for row in await placement.log.read_raw(partition, position - before, SSE_PAGE + before)]
    if before:
        stand.follows(partition, events[0] if events else None)
    return events[before:]


async def _forward(event: asyncio.Event, news: asyncio.Event) -> None:
    while True:
        await event.wait()
        news.set()
        event.clear()
