"""From a decoded CloudEvent to an `Event` that may enter the log, and from a stored event back to its typed body.

What JSON Schema can say about a whole event is said by one schema per type (`schemas.rules`) and enforced by a compiled
validator in about 2 µs; what it cannot say (the calendar, decimals of a currency) is checked here. The accepting path
stops at the first doubt and gives no reason: `schemas.flaws` then reads the document again and lists all of them.

The wire functions are re-exported from `schemas.wire`, which needs no event type.
"""

from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.envelope import Event, Recorded
from schemas.events import EVENTS, Body
from schemas.flaws import flaws_of
from schemas.meaning import is_sound
from schemas.rules import (
    ALL_RULES,
    CORE,
    EARLIEST,
    EXTENSION_NAME,
    FUTURE,
    MAX_DATA_BYTES,
    MAX_EXTENSIONS,
    Rule,
    instant,
    rule_of,
)
from schemas.upcast import OLDER, upcast
from schemas.wire import NotAnEvent, from_kafka, from_structured, structured, to_kafka

__all__ = [
    "NotAnEvent",
    "Rejected",
    "UnknownEvent",
    "body_of",
    "from_kafka",
    "from_structured",
    "parse_event",
    "structured",
    "to_kafka",
]

_USUAL = frozenset({"sequence", "timeprecision", "expectedversion", "correlationid", "causationid", "traceparent"})


class Rejected(Exception):
    """The document is no event we take. `errors` lists (RFC 6901 pointer, sentence); no sentence echoes a value."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer or 'the document'} {detail}" for pointer, detail in errors[:3]))
        self.errors = errors


class UnknownEvent(Exception):
    """A stored event of a type or version that this release does not know."""


_DECODERS = {key: msgspec.json.Decoder(rule.body).decode for key, rule in ALL_RULES.items()}
_canonical = msgspec.json.Encoder(order="deterministic").encode
_instant_text = msgspec.json.Encoder().encode


def parse_event(document: Any, now: datetime) -> Event:
    """One structured CloudEvent, given as a decoded JSON value, held to every rule of the language.

    `now` is the server's clock (aware): an event more than `FUTURE` ahead of it is refused. Raises Rejected.
    """
    try:
        event = _accept(document, now)
    except (ValueError, OverflowError):  # msgspec.ValidationError and UnicodeEncodeError are ValueErrors
        event = None
    if event is not None:
        return event
    raise Rejected(flaws_of(document, now))


def flaws_in_data(type_name: str, data: dict[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with the `data` of an event of that type in its newest version: pointers below `/data`, sentences."""
    kind = EVENTS[type_name]
    envelope = {
        "specversion": "1.0", "id": "x", "source": "/x", "type": type_name, "subject": f"{kind.stream_type}/x",
        "time": "2000-01-01T00:00:00Z", "dataschema": f"/schemas/{type_name}/{kind.version}",
    }  # fmt: skip
    try:
        parse_event({**envelope, "data": data}, EARLIEST + FUTURE * 10_000)
    except Rejected as rejected:
        return [(pointer.removeprefix("/data"), detail) for pointer, detail in rejected.errors]
    return []


def _accept(document: Any, now: datetime) -> Event | None:
    """The event, or None at the first doubt."""
    if type(document) is not dict:
        return None
    rule = rule_of(document)
    if rule is None or not rule.validator.is_valid(document):
        return None
    name = rule.event_type.name
    text, data = document["time"], document["data"]
    occurred_at = instant(text)
    if occurred_at < EARLIEST or (occurred_at > now and occurred_at - now > FUTURE):
        return None
    body = msgspec.convert(data, rule.body)
    canonical = _canonical(data)
    if len(canonical) > MAX_DATA_BYTES or (rule.means and not is_sound(body)):
        return None
    if (name, rule.version) in OLDER:
        body = upcast(name, rule.version, body)
    meta: dict[str, Any] = {}
    expected_version: int | None = None
    if len(document) > 8 or "datacontenttype" not in document:  # 8 that are all core attributes leave nothing over
        if not _take_extensions(rule, document, meta):
            return None
        expected_version = meta.pop("expectedversion", None)
    if not text.endswith(("Z", "z", "00:00")):  # the pattern lets only an offset of zero end so
        meta["time"] = text
    stream = document["subject"]
    head = f"{name}\n{stream}\n".encode() + _instant_text(occurred_at) + b"\n"
    return Event(
        source=document["source"],
        id=document["id"],
        type=name,
        stream=stream,
        occurred_at=occurred_at,
        data=canonical,
        body=body,
        digest=blake2b(head + canonical, digest_size=16).digest(),
        meta=meta,
        expected_version=expected_version,
    )


def _take_extensions(rule: Rule, document: dict[str, Any], meta: dict[str, Any]) -> bool:
    """Moves what is not a core attribute into `meta`, `expectedversion` too; false at the first doubt.

    The schema has seen to the types, except that it takes 1.0 for an integer.
    """
    for name, value in document.items():
        if name in CORE or value is None:  # the JSON format of CloudEvents says: null is the same as absent
            continue
        if name == "dataschema":
            if rule.version != 1:
                meta["dataschema"] = rule.version
        elif type(value) is float or (name not in _USUAL and not EXTENSION_NAME.fullmatch(name)):
            return False
        else:
            meta[name] = value
    return len(meta) <= MAX_EXTENSIONS


def body_of(recorded: Recorded) -> Body:
    """The typed body of a stored event. Raises UnknownEvent where this release cannot read it."""
    key = recorded.type, recorded.meta.get("dataschema", 1)
    decode = _DECODERS.get(key)
    if decode is None:
        raise UnknownEvent(f"no {key[0]} of schema version {key[1]} is known here")
    try:
        body = decode(recorded.data)
        return upcast(*key, body) if key in OLDER else body
    except msgspec.DecodeError:
        raise UnknownEvent(f"the stored {recorded.type} does not fit its schema") from None
