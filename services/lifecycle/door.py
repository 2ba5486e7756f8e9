"""`POST /v1/events`: the one door, as a plain ASGI endpoint inside the app, because it is the hottest path.

What comes in is held to I-JSON and to the schema before anything is queued, and the answer is made from what was committed.
A single event, a batch, and a stream of lines take the same way; only framing differs.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from schemas import ijson
from schemas.codec import Rejected, parse_event
from schemas.envelope import Event
from services.kernel.auth import KeyRing
from services.kernel.clock import utc_now
from services.kernel.errors import Flaw, Invalid, Overloaded, SalescycleError
from services.kernel.http import (
    MAX_BATCH_BYTES,
    MAX_SINGLE_BYTES,
    header,
    media_type,
    problem_members,
    read_body,
    refuse_compressed,
    trace_id_of,
)
from services.kernel.http_errors import BodyTooLarge
from services.kernel.http_request import RawHeaders, Receive, decode_json, negotiate, refused
from services.kernel.placements import Placements
from services.kernel.submission import Appended
from services.lifecycle.domain.derive import SOURCE as DERIVED
from services.lifecycle.parties import PATHS

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]

SINGLE = ("application/cloudevents+json", "application/json")
BATCH = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"

BATCH_EVENTS = 1_000
BATCH_MEMBERS = 99_999
LINES_AT_ONCE = 500
LINES_BYTES = 4 * 2**20
PATIENCE_WITH_OVERLOAD_S = 10.0

_encode = msgspec.json.Encoder().encode


class Door:
    """The ASGI endpoint. `base_url` starts the problem types of a batch's items. Lets errors out, as problems to be."""

    def __init__(self, placements: Placements, keys: KeyRing, base_url: str) -> None:
        self._placements = placements
        self._keys = keys
        self._base_url = base_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: RawHeaders = scope["headers"]
        authorization = header(headers, b"authorization")
        self._keys.authorise(authorization.decode("latin-1") if authorization else None, "events:write")
        kind = media_type(header(headers, b"content-type"), (*SINGLE, BATCH, LINES))
        atomic = _atomic(scope.get("query_string", b""))
        strict = _strict(headers)
        if atomic and kind != BATCH:
            raise _flawed("/query/atomic", "only a batch can be stored whole or not at all")
        if kind not in SINGLE and (header(headers, b"if-match") or header(headers, b"if-none-match")):
            raise _flawed("/header/if-match", "a batch has many streams; give each item its `expectedversion`")
        if kind == LINES:
            refuse_compressed(headers)
            _accepts(headers, LINES)
            await self._lines(headers, receive, send, strict)
            return
        _accepts(headers, "application/json")
        if kind == BATCH:
            status, extra, body = await self._batch(headers, receive, strict, atomic)
        else:
            status, extra, body = await self._single(headers, receive, strict)
        extra += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": extra})
        await send({"type": "http.response.body", "body": body})

    async def _single(self, headers: RawHeaders, receive: Receive, strict: bool) -> Answer:
        precondition = _precondition(headers)
        event = parse(await read_body(headers, receive, MAX_SINGLE_BYTES))
        if precondition is not None:
            if event.expected_version not in (None, precondition):
                raise _flawed("/expectedversion", "differs from what the header expects")
            event = msgspec.structs.replace(event, expected_version=precondition)
        answer = await self._placements.append_one(event, strict=strict)
        location = f"/v1/{_route(answer.stream)}/events/{answer.version}".encode()
        extra = [(b"location", location), (b"etag", b'"%d"' % answer.version)]
        return 200 if answer.repeated else 201, extra, answer_body(answer)

    async def _batch(self, headers: RawHeaders, receive: Receive, strict: bool, atomic: bool) -> Answer:
        """One result an item, in order; with `atomic=true` all are stored or none."""
        raw = await read_body(headers, receive, MAX_BATCH_BYTES)
        try:
            document = ijson.decode(raw, max_depth=ijson.MAX_DEPTH + 1, max_members=BATCH_MEMBERS)
        except ijson.Refused as refusal:
            raise refused(raw, refusal) from None
        if not isinstance(document, list):
            raise _flawed("", "a batch is an array of events")
        if not document:
            raise _flawed("", "a batch needs at least one event")
        if len(document) > BATCH_EVENTS:
            raise _flawed("", f"a batch holds at most {BATCH_EVENTS} events")
        now = utc_now()
        parsed = [_tried(item, now) for item in document]
        if atomic:
            answers: list[Appended | SalescycleError] = list(await self._together(parsed, strict))
        else:
            events = [event for event in parsed if isinstance(event, Event)]
            answers = await self._placements.append_each(events, strict=strict) if events else []
        following = iter(answers)
        results = [next(following) if isinstance(each, Event) else each for each in parsed]
        trace_id = trace_id_of(headers)
        body = b"[" + b",".join([self._item(result, trace_id) for result in results]) + b"]"
        return 200, [], body

    async def _together(self, parsed: list[Event | SalescycleError], strict: bool) -> list[Appended]:
        events = []
        for index, each in enumerate(parsed):
            if isinstance(each, SalescycleError):
                flaws = [Flaw(f"/{index}{flaw.pointer}", flaw.detail) for flaw in each.errors]
                raise Invalid(f"item {index} is refused, so nothing was stored", errors=flaws)
            events.append(each)
        return await self._placements.append_together(events, strict=strict)

    async def _lines(self, headers: RawHeaders, receive: Receive, send: Send, strict: bool) -> None:
        """Answer every line with a line, as it is stored; a client that was cut off sends the whole again, safely."""
        trace_id = trace_id_of(headers)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", LINES.encode())]})
        batch: list[bytes] = []
        size = 0
        async for line in _split_lines(receive):
            batch.append(line)
            size += len(line)
            if len(batch) >= LINES_AT_ONCE or size >= LINES_BYTES:
                await send(
                    {
                        "type": "http.response.body",
                        "body": await self._store(batch, strict, trace_id),
                        "more_body": True,
                    }
                )
                batch, size = [], 0
        if batch:
            await send(
                {"type": "http.response.body", "body": await self._store(batch, strict, trace_id), "more_body": True}
            )
        await send({"type": "http.response.body", "body": b""})

    async def _store(self, lines: list[bytes], strict: bool, trace_id: str) -> bytes:
        parsed: list[Event | SalescycleError] = []
        for line in lines:
            try:
                if len(line) > MAX_SINGLE_BYTES:
                    raise BodyTooLarge(f"a line may hold {MAX_SINGLE_BYTES} bytes")
                parsed.append(parse(line))
            except SalescycleError as refusal:
                parsed.append(refusal)
        events = [event for event in parsed if isinstance(event, Event)]
        answers = iter(await self._patiently(events, strict) if events else [])
        return b"".join(
            [self._item(next(answers) if isinstance(each, Event) else each, trace_id) + b"\n" for each in parsed]
        )

    async def _patiently(self, events: list[Event], strict: bool) -> list[Appended | SalescycleError]:
        """A stream of lines is its own back-pressure: where the queue is full, it waits rather than refuses."""
        waited = 0.0
        while True:
            try:
                return await self._placements.append_each(events, strict=strict)
            except Overloaded as full:
                if waited >= PATIENCE_WITH_OVERLOAD_S:
                    return [full] * len(events)
                await asyncio.sleep(0.05)
                waited += 0.05

    def _item(self, result: Appended | SalescycleError, trace_id: str) -> bytes:
        """The single answer or the problem, with its `status`."""
        if isinstance(result, Appended):
            return answer_body(result)[:-1] + (b',"status":200}' if result.repeated else b',"status":201}')
        return _encode(problem_members(result, self._base_url, trace_id))


def parse(raw: bytes) -> Event:
    """One event from its bytes. Raises Malformed or Invalid."""
    return _parsed(decode_json(raw), utc_now())


def _parsed(document: Any, now: datetime) -> Event:
    try:
        event = parse_event(document, now)
        if event.source == DERIVED:
            raise Rejected([("/source", "is kept for events that are derived here.")])
        return event
    except Rejected as rejected:
        flaws = [Flaw(pointer, detail) for pointer, detail in rejected.errors]
        raise Invalid("The event breaks a rule of its schema.", errors=flaws) from None


def _tried(document: Any, now: datetime) -> Event | SalescycleError:
    try:
        return _parsed(document, now)
    except Invalid as refusal:
        return refusal


def answer_body(answer: Appended) -> bytes:
    """The JSON of one stored event: id, source, subject, version, partition, position, recorded_at, implied?, anomaly?."""
    body = b'{"id":%b,"source":%b,"subject":"%b","version":%d,"partition":%d,"position":%d,"recorded_at":"%b"' % (
        _encode(answer.id), _encode(answer.source), answer.stream.encode(), answer.version, answer.partition, answer.position,
        _instant_text(answer.recorded_at),
    )  # fmt: skip
    if answer.implied:
        body += b',"implied":' + _encode(answer.implied)
    if answer.anomaly is not None:
        body += b',"anomaly":' + _encode(answer.anomaly)
    return body + b"}"


@lru_cache(maxsize=16)
def _instant_text(at: datetime) -> bytes:
    """Events appended together share the instant."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def _accepts(headers: RawHeaders, offer: str) -> None:
    """Raises NotAcceptable where the caller cannot read what we would answer; problems are given to everyone."""
    accept = header(headers, b"accept")
    if accept is not None:
        negotiate(accept.decode("latin-1"), (offer,))


def _atomic(query: bytes) -> bool:
    """The only parameter of the door. Raises Invalid for any other."""
    if not query:
        return False
    if query not in (b"atomic=true", b"atomic=false"):
        raise _flawed("/query", "the only parameter is atomic, true or false, once")
    return query == b"atomic=true"


def _strict(headers: RawHeaders) -> bool:
    """Whether the caller prefers strict handling (RFC 7240; names are case-insensitive, there may be several headers)."""
    for name, value in headers:
        if name == b"prefer":
            for preference in value.split(b","):
                token, _, wish = preference.partition(b";")[0].partition(b"=")
                if token.strip().lower() == b"handling":
                    return wish.strip().strip(b'"').lower() == b"strict"  # the first one counts
    return False


def _precondition(headers: RawHeaders) -> int | None:
    """The expected version that `If-Match` or `If-None-Match` asks for; None without either. Raises Invalid."""
    unless, match = header(headers, b"if-none-match"), header(headers, b"if-match")
    if unless is not None:
        if unless.strip() != b"*" or match is not None:
            raise _flawed("/header/if-none-match", "is `*` or absent, and does not go together with If-Match")
        return 0
    if match is None:
        return None
    text = match.strip().strip(b'"')
    if not text.isdigit() or len(text) > 10:
        raise _flawed("/header/if-match", "holds one version of the stream in quotes, as an ETag gives it")
    return int(text)


def _route(stream: str) -> str:
    kind, _, name = stream.partition("/")
    return f"{PATHS.get(kind, f'{kind}s')}/{name}"


def _flawed(pointer: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[Flaw(pointer, detail)])


async def _split_lines(receive: Receive) -> AsyncIterator[bytes]:
    """The non-empty lines of a request body as they arrive.

    Of a line beyond the limit only so much is kept as shows that it is too long; the lines after it are read as ever.
    """
    rest = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return  # the half line that came last is not stored; everything before it is
        more = message.get("more_body", False)
        *lines, rest = (rest + message.get("body", b"")).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        rest = rest[: MAX_SINGLE_BYTES + 1]
    if rest.strip():
        yield rest
