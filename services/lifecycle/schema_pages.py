"""`/schemas`: the JSON Schema of every event type and version, public, so that a `dataschema` can be followed."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse

from schemas.events import EVENTS, data_schema
from schemas.upcast import versions
from services.kernel.auth import public
from services.kernel.errors import NotFound

_BODIES = {(name, version): body for name, version, body in versions()}


def schema_router(base_url: str) -> APIRouter:
    """The catalogue, and the schema of one type and version as JSON Schema 2020-12."""
    router = APIRouter(tags=["schemas"], dependencies=[Depends(public)])

    @router.get("/schemas", operation_id="listSchemas", summary="Every event type with its versions")
    async def catalogue() -> dict[str, list[dict[str, Any]]]:
        return {
            "types": [
                {
                    "type": name,
                    "version": version,
                    "streams": list(EVENTS[name].streams),
                    "schema": f"{base_url}/schemas/{name}/{version}",
                }
                for name, version, _ in versions()
            ]
        }

    @router.get("/schemas/{type}/{version}", operation_id="getSchema", summary="The schema of an event type's data")
    async def schema(
        type: Annotated[str, Path(max_length=64)], version: Annotated[int, Path(ge=1, le=1_000)]
    ) -> JSONResponse:
        body = _BODIES.get((type, version))
        if body is None:
            raise NotFound("There is no such event type and version; /schemas lists them.")
        return JSONResponse(data_schema(body), media_type="application/schema+json")

    return router
