"""The management port of a service: `/livez` (the process runs), `/readyz` (it can serve, or why not), `/metrics`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.kernel import http, postgres
from services.kernel.settings import HttpSettings

READY_WITHIN_S = 3
WhyNotReady = Callable[[], Awaitable[str | None]]
"""None where the service can serve; else a sentence that says why not and what to do."""


class Management:
    """Serves the three pages on the management port between `start` and `stop`. They are public by declaration."""

    def __init__(self, settings: HttpSettings, why_not_ready: WhyNotReady) -> None:
        self._settings = settings
        self._why_not_ready = why_not_ready
        routes = [Route("/livez", self._livez), Route("/readyz", self._readyz), Route("/metrics", self._metrics)]
        self._app = Starlette(routes=routes)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        serving = http.serve(self._app, self._settings, port=self._settings.management_port, stop=self._stop)
        self._task = asyncio.create_task(serving, name="management")
        await asyncio.sleep(0)
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        if self._task is None:
            return
        self._stop.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def _livez(self, _request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _readyz(self, _request: Request) -> Response:
        # In a task of its own: the driver holds on to a query that it cancels until the store has answered.
        asking = asyncio.ensure_future(self._why_not_ready())
        await asyncio.wait([asking], timeout=READY_WITHIN_S)
        if not asking.done():
            asking.cancel()
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
            reason: str | None = f"cannot tell: no answer within {READY_WITHIN_S} s"
        elif (error := asking.exception()) is not None:  # a probe answers why not, it never fails
            reason = f"cannot tell: {postgres.described(error)}"
        else:
            reason = asking.result()
        if reason is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": reason}, status_code=503)

    async def _metrics(self, _request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
