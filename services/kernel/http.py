"""HTTP of every service: what `install` adds to a FastAPI app, and the parts that routes use, in one place to import.

Errors of our tree become problem details, and so do FastAPI's own 404, 405 and 422; anything else is a 500 that says
nothing of the inside and is logged with its trace id.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from services.kernel import postgres
from services.kernel.api_page import api_page
from services.kernel.auth import public
from services.kernel.errors import Flaw, Invalid, NotFound, SalescycleError, Unavailable
from services.kernel.http_errors import BadRequest, ClientLeft, MethodNotAllowed
from services.kernel.http_listing import csv_lines, decode_cursor, encode_cursor, next_link, set_cursor_key
from services.kernel.http_request import (
    MAX_BATCH_BYTES,
    MAX_SINGLE_BYTES,
    Limit,
    answers,
    decode_json,
    header,
    media_type,
    negotiate,
    read_body,
    refuse_compressed,
    strict_query,
    trace_id_of,
)
from services.kernel.http_server import PortTaken, serve
from services.kernel.pages import problem_index, problem_page
from services.kernel.problems import (
    MEDIA_TYPE,
    PROBLEM_SCHEMA,
    problem,
    problem_members,
    problem_responses,
    status_of,
)
from services.kernel.routes import routes_of

__all__ = [
    "MAX_BATCH_BYTES",
    "MAX_SINGLE_BYTES",
    "ClientLeft",
    "Doors",
    "Limit",
    "PortTaken",
    "answers",
    "csv_lines",
    "decode_cursor",
    "decode_json",
    "encode_cursor",
    "header",
    "install",
    "media_type",
    "negotiate",
    "next_link",
    "problem",
    "problem_members",
    "problem_responses",
    "read_body",
    "refuse_compressed",
    "send_problem",
    "serve",
    "strict_query",
    "trace_id_of",
]

Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = structlog.get_logger()


def install(app: FastAPI, *, base_url: str, cursor_key: bytes | Callable[[], bytes | None] | None = None) -> None:
    """Gives `app` its error handlers, the pages of the problem types and the Problem schema.

    `base_url` is where others reach the service (`HttpSettings.base_url`); `cursor_key` signs page cursors and must be
    the same in every process of the service; a function is asked for it whenever it is needed.
    """
    app.state.base_url = base_url
    app.router.redirect_slashes = False  # one address per thing: a slash more is another address, and 404
    if cursor_key is not None:
        set_cursor_key(cursor_key)
    for kind in (SalescycleError, RequestValidationError, HTTPException, ClientLeft, Exception):
        app.add_exception_handler(kind, _answer)
    _add_pages(app)
    _add_problem_schema(app)


async def _answer(request: Request, error: Exception) -> Response:
    """One handler for all: the response that says what went wrong."""
    trace_id = trace_id_of(request.scope["headers"])
    if isinstance(error, ClientLeft):
        return Response(status_code=499)
    refusal = _as_ours(request, error)
    if status_of(refusal) == 500:
        _log.error("request failed", trace_id=trace_id, path=request.scope["path"], exc_info=error)
    status, headers, body = problem(refusal, request.app.state.base_url, trace_id, request.scope["path"])
    response = Response(body, status)
    response.raw_headers = list(headers)
    return response


def _as_ours(request: Request, error: Exception) -> Exception:
    """FastAPI's and Starlette's errors in the words of our tree."""
    if isinstance(error, RequestValidationError):
        flaws = [Flaw(_place(flaw["loc"]), _reason(flaw)) for flaw in error.errors()[:50]]
        return Invalid("The request breaks a rule of the schema.", errors=flaws)
    if isinstance(error, postgres.TROUBLE):
        return _store_trouble(error)
    if not isinstance(error, HTTPException):
        return error
    match error.status_code:
        case 404:
            return NotFound("There is nothing at this address.")
        case 405:
            return MethodNotAllowed("The address has other methods.", allow=_methods_of(request))
        case 400:
            return BadRequest("The request could not be read.")
        case _:
            return error


def _store_trouble(error: Exception) -> Unavailable:
    """What PostgreSQL raised, without its words: they may quote values."""
    _log.warning("the store did not answer a request", error=postgres.described(error))
    return Unavailable("The store does not answer now; ask again.")


def _place(location: tuple[Any, ...]) -> str:
    """FastAPI's location as a pointer: into the body, or below /query, /path, /header."""
    parts = location[1:] if location[:1] == ("body",) else location
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts if len(str(part)) <= 64)


def _reason(flaw: dict[str, Any]) -> str:
    """pydantic's sentence where it cannot hold the value, which is where it is about a limit or a kind."""
    kind = str(flaw["type"])
    if kind == "missing":
        return "is missing."
    if kind in ("enum", "literal_error"):
        return f"must be one of: {flaw.get('ctx', {}).get('expected', 'the listed values')}."
    limits = {"greater_than_equal": "ge", "less_than_equal": "le", "greater_than": "gt", "less_than": "lt"}
    if kind in limits:
        words = {"ge": "at least", "le": "at most", "gt": "more than", "lt": "less than"}[limits[kind]]
        return f"must be {words} {flaw['ctx'][limits[kind]]}."
    if kind == "value_error":  # raised by a check of ours, whose sentences hold no value
        return f"{flaw['ctx']['error']}."
    if kind == "string_pattern_mismatch":
        return "does not have the form that /docs shows."
    return f"is not valid ({kind.replace('_', ' ')})."


def _methods_of(request: Request) -> list[str]:
    """All methods of the path: Starlette names those of the first route that has it."""
    methods: set[str] = set()
    for route in routes_of(request.app.router):
        matched, _ = route.matches(request.scope)
        if matched is not Match.NONE:
            methods |= set(getattr(route, "methods", None) or ())
    return sorted(methods)


async def send_problem(scope: Scope, send: Send, error: BaseException, base_url: str) -> None:
    """Answers a plain ASGI request with a problem, logging what is ours. ClientLeft answers nothing: nobody reads it."""
    if isinstance(error, ClientLeft):
        return
    if isinstance(error, postgres.TROUBLE):
        error = _store_trouble(error)
    trace_id = trace_id_of(scope["headers"])
    if status_of(error) == 500:
        _log.error("request failed", trace_id=trace_id, path=scope["path"], exc_info=error)
    status, headers, body = problem(error, base_url, trace_id, scope["path"])
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


class Doors:
    """Plain ASGI endpoints in front of an app, by method and path: the hottest path skips the app's own machinery.

    An error that an endpoint lets out before it answers becomes a problem. All else goes to the app behind, which should
    declare the same paths, so that its document lists them and 405 knows their methods.
    """

    def __init__(self, app: FastAPI, endpoints: dict[tuple[str, str], Endpoint]) -> None:
        self.app = app
        self.state = app.state
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self.app(scope, receive, send)
            return
        try:
            await endpoint(scope, receive, send)
        except Exception as error:  # noqa: BLE001  the outermost handler; send_problem logs what is not the client's
            await send_problem(scope, send, error, self.state.base_url)


def _add_pages(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False, dependencies=[Depends(public)])
    async def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()))

    @app.get("/problems", include_in_schema=False, dependencies=[Depends(public)])
    async def problems() -> HTMLResponse:
        return HTMLResponse(problem_index())

    @app.get("/problems/{code}", include_in_schema=False, dependencies=[Depends(public)])
    async def one_problem(code: str) -> HTMLResponse:
        page = problem_page(code)
        if page is None:
            raise NotFound("There is no such problem type.")
        return HTMLResponse(page)


def _add_problem_schema(app: FastAPI) -> None:
    """FastAPI documents its own 422 body, which is not what we send."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        document = generate()
        if fresh:
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            schemas["Problem"] = PROBLEM_SCHEMA
            for operations in document.get("paths", {}).values():
                for operation in operations.values():
                    refused = operation.get("responses", {}).get("422")
                    if refused and "application/json" in refused.get("content", {}):
                        refused["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
                        refused["description"] = Invalid.title
        return document

    app.openapi = openapi  # type: ignore[method-assign]
