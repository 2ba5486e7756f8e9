"""`/schemas`: the JSON Schema of every event type and version, public, so that a `dataschema` can be followed."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse

from schemas.events import EVENTS, data_schema
from services.kernel.auth import public
from services.kernel.errors import NotFound


def schema_router(base_url: str) -> APIRouter:
    """The catalogue, and the schema of one type and version as JSON Schema 2020-12."""
    router = APIRouter(tags=["schemas"], dependencies=[Depends(public)])

    @router.get("/schemas", operation_id="listSchemas", summary="Every event type with its versions")
    async def catalogue() -> dict[str, list[dict[str, Any]]]:
        return {
            "types": [
                {
                    "type": kind.name,
                    "version": kind.version,
                    "stream": kind.stream_type,
                    "schema": f"{base_url}/schemas/{kind.name}/{kind.version}",
                }
                for kind in sorted(EVENTS.values(), key=lambda kind: kind.rank)
            ]
        }

    @router.get("/schemas/{type}/{version}", operation_id="getSchema", summary="The schema of an event type's data")
    async def schema(
        type: Annotated[str, Path(max_length=64)], version: Annotated[int, Path(ge=1, le=1_000)]
    ) -> JSONResponse:
        kind = EVENTS.get(type)
        if kind is None or kind.version != version:
            raise NotFound("There is no such event type and version; /schemas lists them.")
        return JSONResponse(data_schema(kind), media_type="application/schema+json")

    return router
