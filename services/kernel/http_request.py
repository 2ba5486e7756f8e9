"""Reads what a request says, strictly: its media type, its body within a limit, its query, what it accepts."""

from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import Query, Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, BeforeValidator

from schemas import ijson
from services.kernel.clock import random_token
from services.kernel.errors import Flaw, Malformed, TooComplex, TooDeep
from services.kernel.http_errors import (
    BadQuery,
    BodyTooLarge,
    ClientLeft,
    NotAcceptable,
    UnsupportedCharset,
    UnsupportedMediaType,
)

MAX_SINGLE_BYTES = 2 * 1024 * 1024
MAX_BATCH_BYTES = 16 * 1024 * 1024

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
RawHeaders = Sequence[tuple[bytes, bytes]]

_REFUSALS = {"too-deep": TooDeep, "too-complex": TooComplex}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def header(headers: RawHeaders, name: bytes) -> bytes | None:
    """The first header of that (lower-case) name, as an ASGI server gives them."""
    for key, value in headers:
        if key == name:
            return value
    return None


def media_type(content_type: bytes | None, readable: Sequence[str]) -> str:
    """The media type of the body, lower case, one of `readable`.

    Raises UnsupportedMediaType for another or none, UnsupportedCharset for a `charset` that is not UTF-8.
    """
    kind, _, parameters = (content_type or b"").decode("latin-1").partition(";")
    kind = kind.strip().lower()
    if kind not in readable:
        raise UnsupportedMediaType(f"The body is read as one of: {', '.join(readable)}.")
    if parameters:
        for parameter in parameters.split(";"):
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in (
                "utf-8",
                "utf8",
                "us-ascii",
            ):
                raise UnsupportedCharset("The body must be UTF-8.")
    return kind


async def read_body(headers: RawHeaders, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body, at most `limit_bytes` of it in memory.

    Raises UnsupportedMediaType for a compressed one, BodyTooLarge as soon as it is known, ClientLeft.
    """
    refuse_compressed(headers)
    length = header(headers, b"content-length")
    if length is not None and int(length) > limit_bytes:
        raise _too_large(limit_bytes)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        return body
    parts = [body]
    size = len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        parts.append(part)
    return b"".join(parts)


def refuse_compressed(headers: RawHeaders) -> None:
    """For a body that is read as it comes; `read_body` does it itself. Raises UnsupportedMediaType."""
    encoding = header(headers, b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        raise UnsupportedMediaType("The body is read uncompressed only.")


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The limit of this body is {limit_bytes} bytes.")


def decode_json(raw: bytes, *, max_members: int = ijson.MAX_MEMBERS) -> Any:
    """The value of a JSON body. Raises Malformed, TooDeep, TooComplex; UnsupportedCharset where it is UTF-16."""
    try:
        return ijson.decode(raw, max_members=max_members)
    except ijson.Refused as refusal:
        raise refused(raw, refusal) from None


def refused(raw: bytes, refusal: ijson.Refused) -> Malformed | UnsupportedCharset:
    """The error to answer with where `schemas.ijson` refused these bytes."""
    if raw.startswith(_UTF16) or b"\0" in raw[:2]:
        return UnsupportedCharset("The body must be UTF-8.")
    return _REFUSALS.get(refusal.code, Malformed)(refusal.detail)


def negotiate(accept: str | None, offers: Sequence[str]) -> str:
    """The one of `offers` (best first) that the `Accept` header likes best. Raises NotAcceptable (RFC 9110, 12.5.1)."""
    if accept is None or accept.strip() in ("", "*/*"):
        return offers[0]
    ranges = [_media_range(part) for part in accept.split(",")[:64] if part.strip()]
    best, liked = None, 0.0
    for offer in offers:
        matching = [(precision, quality) for kind, quality in ranges if (precision := _matches(kind, offer))]
        quality = max(matching)[1] if matching else 0.0
        if quality > liked:
            best, liked = offer, quality
    if best is None:
        raise NotAcceptable(f"Offered are: {', '.join(offers)}.")
    return best


def _media_range(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return kind, min(1.0, max(0.0, float(parameter[2:])))
            except ValueError:
                return kind, 0.0
    return kind, 1.0


def _matches(kind: str, offer: str) -> int:
    """How precisely a media range names the offer: 0 not at all, 3 exactly."""
    if kind == offer:
        return 3
    if kind == offer.partition("/")[0] + "/*":
        return 2
    return 1 if kind == "*/*" else 0


def trace_id_of(headers: RawHeaders) -> str:
    """The trace that the caller continues (`traceparent`), or a new one: 32 hex digits."""
    given = (header(headers, b"traceparent") or b"").decode("latin-1").split("-")
    if len(given) >= 4 and len(given[1]) == 32 and set(given[1]) <= set("0123456789abcdef"):
        return given[1]
    return random_token(16)


def answers(*offers: str) -> Callable[[Request], Awaitable[str]]:
    """A FastAPI dependency that gives the one of `offers` that the caller likes best. Raises NotAcceptable."""

    async def negotiated(request: Request) -> str:
        return negotiate(request.headers.get("accept"), offers)

    return negotiated


async def strict_query(request: Request) -> None:
    """A FastAPI dependency: refuses a query parameter that the route does not declare, that is repeated, or no text.

    Also refuses a path that holds U+0000 or is not UTF-8. Raises BadQuery.
    """
    flaws: list[Flaw] = []
    known = _declared(request)
    seen: set[str] = set()
    for part in request.scope["query_string"].split(b"&"):
        if not part:
            continue
        raw_name, _, raw_value = part.replace(b"+", b" ").partition(b"=")
        name, value = _text(raw_name), _text(raw_value)
        if name is None or name not in known:
            shown = f"/query/{name}" if name and name.isidentifier() and len(name) <= 64 else "/query"
            flaws.append(Flaw(shown, "is no parameter of this query."))
        elif name in seen:
            flaws.append(Flaw(f"/query/{name}", "is given more than once."))
        elif value is None:
            flaws.append(Flaw(f"/query/{name}", "is not UTF-8 text without U+0000."))
        seen.add(name or "")
    if _text(request.scope.get("raw_path", b"")) is None:
        flaws.append(Flaw("/path", "is not UTF-8 text without U+0000."))
    if flaws:
        raise BadQuery("The query breaks a rule.", errors=flaws[:50])


def _text(quoted: bytes) -> str | None:
    try:
        text = unquote_to_bytes(quoted).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _declared(request: Request) -> frozenset[str]:
    route = request.scope["route"]
    known: frozenset[str] | None = getattr(route, "_declared_query", None)
    if known is None:
        known = frozenset(_query_names(route.dependant))
        route._declared_query = known
    return known


def _query_names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (inner.alias or name for name, inner in model.model_fields.items())
        else:
            yield field.alias
    for below in dependant.dependencies:
        yield from _query_names(below)


def _digits(value: Any) -> Any:
    """Python reads "1_000" and " 5" as integers; a query parameter is digits."""
    if isinstance(value, str) and not (value.isascii() and value.removeprefix("-").isdigit() and len(value) <= 20):
        raise ValueError("must be written in digits")
    return value


Digits = BeforeValidator(_digits)
"""For a number in an address: `after: Annotated[int, Query(ge=0), Digits]`."""

Limit = Annotated[int, Query(ge=1, le=500, description="How many items at most."), Digits]
"""The `limit` of a list: `limit: Limit = 50`."""
