"""`POST /v1/events`: the one door, as a plain ASGI endpoint inside the app, because it is the hottest path.

What comes in is held to I-JSON and to the schema before anything is queued, and the answer is made from what was committed.
A single event, a batch, and a stream of lines take the same way; only framing differs.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

from schemas import ijson
from schemas.codec import Rejected, parse_event
from schemas.envelope import Event
from services.kernel.auth import KeyRing
from services.kernel.clock import utc_now
from services.kernel.draft import Appended
from services.kernel.errors import Flaw, Invalid, Malformed, Overloaded, SalescycleError, TooComplex, TooDeep
from services.kernel.http import body_of_request, problem, request_trace_id
from services.kernel.http_transport import BodyTooLarge, UnsupportedMediaType
from services.kernel.placements import Placements

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SINGLE = frozenset({b"application/cloudevents+json", b"application/json"})
BATCH = b"application/cloudevents-batch+json"
LINES = b"application/x-ndjson"

SINGLE_BYTES = 2 * 2**20
BATCH_BYTES = 16 * 2**20
BATCH_EVENTS = 1_000
LINES_AT_ONCE = 500
PATIENCE_WITH_OVERLOAD_S = 10.0

_JSON_ERRORS: dict[str, type[Malformed]] = {"too-deep": TooDeep, "too-complex": TooComplex}
_encode = msgspec.json.Encoder().encode


class Door:
    """The ASGI endpoint. `base_url` starts problem types and `Location`."""

    def __init__(self, placements: Placements, keys: KeyRing, base_url: str) -> None:
        self._placements = placements
        self._keys = keys
        self._base_url = base_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            authorization = headers.get(b"authorization")
            self._keys.authorise(authorization.decode("latin-1") if authorization else None, "events:write")
            kind = _media_type(headers)
            strict = b"handling=strict" in headers.get(b"prefer", b"")
            if kind in SINGLE:
                status, extra, body = await self._single(headers, receive, strict)
            elif kind == BATCH:
                atomic = b"atomic=true" in scope.get("query_string", b"")
                status, extra, body = await self._batch(headers, receive, strict, atomic)
            else:
                await self._lines(receive, send, strict)
                return
        except SalescycleError as error:
            status, extra, body = problem(error, self._base_url, request_trace_id(headers))
        await send({"type": "http.response.start", "status": status, "headers": [*extra, (b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def _single(
        self, headers: Mapping[bytes, bytes], receive: Receive, strict: bool
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        event = parse(await body_of_request(headers, receive, SINGLE_BYTES))
        precondition = _precondition(headers)
        if precondition is not None:
            event = msgspec.structs.replace(event, expected_version=precondition)
        answer = await self._placements.append_one(event, strict=strict)
        location = f"/v1/{_route(answer.stream)}/events/{answer.version}".encode()
        return (
            200 if answer.repeated else 201,
            [
                (b"content-type", b"application/json"),
                (b"location", location),
                (b"etag", b'"%d"' % answer.version),
            ],
            answer_body(answer),
        )

    async def _batch(
        self, headers: Mapping[bytes, bytes], receive: Receive, strict: bool, atomic: bool
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """One result an item, in order; with `atomic` all are stored or none."""
        document = decode(await body_of_request(headers, receive, BATCH_BYTES), max_depth=33, max_members=99_999)
        if not isinstance(document, list):
            raise _flawed("", "a batch is an array of events")
        if not document:
            raise _flawed("", "a batch needs at least one event")
        if len(document) > BATCH_EVENTS:
            raise _flawed("", f"a batch holds at most {BATCH_EVENTS} events")
        now = utc_now()
        parsed: list[Event | SalescycleError] = []
        for index, item in enumerate(document):
            try:
                parsed.append(_parsed(item, now))
            except Invalid as refusal:
                if atomic:
                    raise Invalid(
                        f"item {index} is refused, so nothing was stored",
                        errors=[Flaw(f"/{index}{flaw.pointer}", flaw.detail) for flaw in refusal.errors],
                    ) from None
                parsed.append(refusal)
        events = [event for event in parsed if isinstance(event, Event)]
        answers: list[Appended | SalescycleError]
        if atomic:
            answers = list(await self._placements.append_together(events, strict=strict))
        else:
            answers = await self._placements.append_each(events, strict=strict) if events else []
        following = iter(answers)
        results = [next(following) if isinstance(each, Event) else each for each in parsed]
        body = b"[" + b",".join([self._item(result) for result in results]) + b"]"
        return 200, [(b"content-type", b"application/json")], body

    async def _lines(self, receive: Receive, send: Send, strict: bool) -> None:
        """Answer every line with a line, as it is stored; a client that was cut off sends the whole again, safely."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", LINES)]})
        batch: list[bytes] = []
        async for line in _split_lines(receive):
            batch.append(line)
            if len(batch) >= LINES_AT_ONCE:
                await send({"type": "http.response.body", "body": await self._store_lines(batch, strict), "more_body": True})
                batch = []
        if batch:
            await send({"type": "http.response.body", "body": await self._store_lines(batch, strict), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _store_lines(self, lines: list[bytes], strict: bool) -> bytes:
        parsed: list[Event | SalescycleError] = []
        for line in lines:
            try:
                if len(line) > SINGLE_BYTES:
                    raise BodyTooLarge(f"a line may hold {SINGLE_BYTES} bytes")
                parsed.append(parse(line))
            except SalescycleError as refusal:
                parsed.append(refusal)
        events = [event for event in parsed if isinstance(event, Event)]
        answers = iter(await self._patiently(events, strict) if events else [])
        return b"".join([self._item(next(answers) if isinstance(each, Event) else each) + b"\n" for each in parsed])

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

    def _item(self, result: Appended | SalescycleError) -> bytes:
        """The single answer or the problem, with its `status`."""
        if isinstance(result, Appended):
            return answer_body(result)[:-1] + (b',"status":200}' if result.repeated else b',"status":201}')
        return problem(result, self._base_url, None)[2]


def decode(raw: bytes, *, max_depth: int = 32, max_members: int = 10_000) -> Any:
    """I-JSON or a refusal."""
    try:
        return ijson.decode(raw, max_depth=max_depth, max_members=max_members)
    except ijson.Refused as refused:
        raise _JSON_ERRORS.get(refused.code, Malformed)(refused.detail) from None


def parse(raw: bytes) -> Event:
    """One event from its bytes. Raises Malformed or Invalid."""
    return _parsed(decode(raw), utc_now())


def _parsed(document: Any, now: Any) -> Event:
    try:
        return parse_event(document, now)
    except Rejected as rejected:
        raise Invalid(
            "the event breaks a rule of its schema", errors=[Flaw(pointer, detail) for pointer, detail in rejected.errors]
        ) from None


def answer_body(answer: Appended) -> bytes:
    """The JSON of one stored event: id, source, subject, version, partition, position, recorded_at, implied?, anomaly?."""
    body = b'{"id":%b,"source":%b,"subject":"%b","version":%d,"partition":%d,"position":%d,"recorded_at":"%b"' % (
        _encode(answer.id), _encode(answer.source), answer.stream.encode(), answer.version, answer.partition, answer.position,
        answer.recorded_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode(),
    )  # fmt: skip
    if answer.implied:
        body += b',"implied":' + _encode(answer.implied)
    if answer.anomaly is not None:
        body += b',"anomaly":' + _encode(answer.anomaly)
    return body + b"}"


def _media_type(headers: Mapping[bytes, bytes]) -> bytes:
    """The media type of the body. Raises UnsupportedMediaType, with what the door takes."""
    raw = headers.get(b"content-type", b"")
    kind = raw.partition(b";")[0].strip().lower()
    if kind not in SINGLE and kind != BATCH and kind != LINES:
        raise UnsupportedMediaType(
            "send application/cloudevents+json, application/cloudevents-batch+json or application/x-ndjson"
        )
    if b"charset=" in raw.lower() and b"utf-8" not in raw.lower():
        raise UnsupportedMediaType("JSON is UTF-8", code="unsupported-charset")
    return kind


def _precondition(headers: Mapping[bytes, bytes]) -> int | None:
    """The expected version that `If-Match` or `If-None-Match` asks for; None without either. Raises Invalid."""
    if headers.get(b"if-none-match", b"").strip() == b"*":
        return 0
    match = headers.get(b"if-match")
    if match is None:
        return None
    text = match.strip().strip(b'"')
    if not text.isdigit() or len(text) > 10:
        raise _flawed("", 'If-Match holds the version of the stream in quotes, as the ETag gave it: "3"')
    return int(text)


def _route(stream: str) -> str:
    kind, _, name = stream.partition("/")
    return f"{kind}s/{name}"


def _flawed(pointer: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[Flaw(pointer, detail)])


async def _split_lines(receive: Receive) -> AsyncIterator[bytes]:
    """The non-empty lines of a request body as they arrive. A line that never ends is cut at the limit and refused there."""
    rest = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        *lines, rest = (rest + message.get("body", b"")).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > SINGLE_BYTES + 65_536:
            yield rest
            return
    if rest.strip():
        yield rest
