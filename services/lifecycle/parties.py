"""Reads of people, accounts, owners, products, campaigns, targets and currency pairs: state at any moment, lists, history."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from schemas.attributes import STATES
from services.kernel.auth import Principal, requires
from services.kernel.http import Limit, answers, strict_query
from services.kernel.placements import Placements
from services.kernel.stream_state import decode_state
from services.lifecycle.past import Instant, Kinds, moment, standing
from services.lifecycle.stream_reads import JSON, Cursor, StreamId, Version, add_history, listed
from services.lifecycle.views import Shown, attributes_shown

PATHS: Final = {
    "person": "people", "account": "accounts", "owner": "owners", "product": "products", "campaign": "campaigns",
    "target": "targets", "fx": "fx",
}  # fmt: skip
"""The path below `/v1/` of each kind of stream that is not a lead."""

Reader = Annotated[Principal, Depends(requires("events:read"))]


def parties_router(placements: Placements, kinds: Kinds, base_url: str) -> APIRouter:
    """`/v1/people`, `/v1/accounts` and the like, behind `events:read`; person data only with `pii:read` besides."""
    router = APIRouter(
        tags=["parties"],
        dependencies=[Depends(strict_query)],
    )
    for kind, path in PATHS.items():
        _add_kind(router, placements, kinds, base_url, kind, path)
    return router


def _add_kind(router: APIRouter, placements: Placements, kinds: Kinds, base_url: str, kind: str, path: str) -> None:
    title = path.capitalize()
    columns = ("id", "version", *STATES[kind].__struct_fields__)

    @router.get(
        f"/v1/{path}",
        operation_id=f"list{title}",
        summary=f"List {path} by id",
        response_class=Response,
        responses=JSON,
    )
    async def list_all(request: Request, reader: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
        async def shown(row: Any) -> Shown:
            record = decode_state(row["state"], row["version"], kinds[kind])
            return attributes_shown(
                row["stream"], row["partition"], record.version, record.state, person_data="pii:read" in reader.scopes
            )

        return await listed(request, placements, kind, path, [], limit, cursor, shown, columns)

    @router.get(
        f"/v1/{path}/{{id}}", operation_id=f"get{title}", summary=f"One {kind}, now or at any moment",
        response_class=Response, responses=JSON, dependencies=[Depends(answers("application/json"))],
    )  # fmt: skip
    async def get_one(
        reader: Reader, id: StreamId, as_of: Instant = None, known_at: Instant = None, version: Version = None
    ) -> Response:
        asked = moment(as_of, known_at, version)
        found = await standing(placements, kinds, f"{kind}/{id}", asked)
        headers = {"ETag": f'"{found.version}"'} if asked.is_now else {}
        shown = attributes_shown(*found[:4], person_data="pii:read" in reader.scopes)
        return Response(msgspec.json.encode(shown), media_type="application/json", headers=headers)

    history = APIRouter(dependencies=[Depends(requires("pii:read" if kind in ("person", "owner") else "events:read"))])
    add_history(history, placements, base_url, path, kind, title)
    router.include_router(history)
