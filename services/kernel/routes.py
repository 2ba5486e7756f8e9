"""The routes of an app one by one, whichever routers they came with."""

from collections.abc import Iterator
from typing import Any

from starlette.routing import BaseRoute


def routes_of(router: Any) -> Iterator[BaseRoute]:
    """Every route of an app or a router; FastAPI keeps what `include_router` was given as a router inside the router."""
    for route in router.routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from routes_of(included)
