"""Lifecycle over HTTP: the door in front, everything else in FastAPI behind it."""

from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

from services.kernel import http
from services.kernel.auth import KeyRing
from services.kernel.feed import feed_router
from services.kernel.placements import Placements
from services.lifecycle.door import Door
from services.lifecycle.door_openapi import describe_door
from services.lifecycle.leads import leads_router
from services.lifecycle.parties import parties_router
from services.lifecycle.past import Kinds
from services.lifecycle.schema_pages import schema_router


def lifecycle(placements: Placements, kinds: Kinds, keys: KeyRing, base_url: str) -> http.Doors:
    """The ASGI app. The door is looked for first: its requests pay for no framework."""
    door = Door(placements, keys, base_url)
    return http.Doors(build_app(placements, kinds, keys, base_url, door), {("POST", "/v1/events"): door})


def build_app(placements: Placements, kinds: Kinds, keys: KeyRing, base_url: str, door: Door) -> FastAPI:
    app = FastAPI(
        title="salescycle lifecycle",
        version="1",
        docs_url=None,
        redoc_url=None,
        description="Post what happened in a sales cycle; read leads, their history, and the log that everything follows.",
    )
    app.state.keys = keys
    http.install(app, base_url=base_url, cursor_key=keys.cursor_key)
    # so that another method there is 405 with the right Allow
    app.router.routes.append(Route("/v1/events", door, methods=["POST"]))
    app.include_router(feed_router(placements, base_url, "events:read"))
    app.include_router(leads_router(placements, kinds, base_url))
    app.include_router(parties_router(placements, kinds, base_url))
    app.include_router(schema_router(base_url, placements.partitions))
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        return describe_door(generate())

    app.openapi = openapi  # type: ignore[method-assign]
    return app
