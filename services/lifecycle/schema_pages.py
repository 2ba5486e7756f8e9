"""`/schemas` and `/asyncapi.json`: the published language, public, so that a `dataschema` can be followed by anyone."""

from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path
from fastapi.responses import HTMLResponse, JSONResponse, Response

from schemas.events import EVENTS
from schemas.publication.asyncapi import asyncapi
from schemas.publication.json_schemas import schema_document
from schemas.upcast import versions
from services.kernel.auth import public
from services.kernel.errors import NotFound
from services.kernel.http import negotiate, problem_responses, strict_query
from services.lifecycle.catalogue_page import catalogue_page

_BODIES = {(name, version): body for name, version, body in versions()}
_SCHEMA = "application/schema+json"
_document_of = cache(asyncapi)


def schema_router(base_url: str, partitions: int) -> APIRouter:
    """The catalogue, the JSON Schema (2020-12) of one type and version, and the AsyncAPI document of this log."""
    router = APIRouter(tags=["schemas"], dependencies=[Depends(public), Depends(strict_query)])

    @router.get(
        "/schemas", operation_id="listSchemas", summary="Every event type with its versions; in a browser, the catalogue",
        response_class=Response,
        responses={
            200: {
                "description": "The list; as HTML every type with its fields and an example",
                "content": {"application/json": {"schema": _LIST}, "text/html": {"schema": {"type": "string"}}},
            },
            **problem_responses(406),
        },
    )  # fmt: skip
    async def catalogue(accept: Annotated[str | None, Header(include_in_schema=False)] = None) -> Response:
        varies = {"Vary": "Accept"}
        if negotiate(accept, ("application/json", "text/html")) == "text/html":
            return HTMLResponse(catalogue_page(), headers=varies)
        types = [
            {
                "type": name,
                "version": version,
                "streams": list(EVENTS[name].streams),
                "schema": f"{base_url}/schemas/{name}/{version}",
            }
            for name, version, _ in versions()
        ]
        return JSONResponse({"types": types}, headers=varies)

    @router.get(
        "/schemas/{type}/{version}", operation_id="getSchema", summary="The schema of an event type's data",
        response_class=Response,
        responses={
            200: {"description": "JSON Schema 2020-12", "content": {_SCHEMA: {"schema": {"type": "object"}}}},
            **problem_responses(404),
        },
    )  # fmt: skip
    async def schema(
        type: Annotated[str, Path(max_length=64)], version: Annotated[int, Path(ge=1, le=1_000)]
    ) -> Response:
        body = _BODIES.get((type, version))
        if body is None:
            raise NotFound("There is no such event type and version; /schemas lists them.")
        return JSONResponse(schema_document(type, version, body), media_type=_SCHEMA)

    @router.get(
        "/asyncapi.json", operation_id="getAsyncApi", summary="What lies in Kafka, as AsyncAPI 3.0",
        response_class=Response,
        responses={200: {"description": "AsyncAPI 3.0", "content": {"application/json": {"schema": {"type": "object"}}}}},
    )  # fmt: skip
    async def asyncapi_document() -> Response:
        return JSONResponse(_document_of(partitions))

    return router


_LIST: dict[str, Any] = {
    "type": "object",
    "required": ["types"],
    "properties": {
        "types": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "version", "streams", "schema"],
                "properties": {
                    "type": {"type": "string"},
                    "version": {"type": "integer", "description": "Of the schema"},
                    "streams": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "Kinds of stream it may stand on",
                    },
                    "schema": {"type": "string", "format": "uri", "description": "Where its JSON Schema is served"},
                },
            },
        }
    },
}
