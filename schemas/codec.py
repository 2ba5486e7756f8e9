"""From a decoded CloudEvent to an `Event` that may enter the log, and from a stored event back to its typed body.

What JSON Schema can say about a whole event is said by one schema per type (`document_schema`) and enforced by a compiled
validator in about 1.6 µs; what it cannot say (the calendar, decimals of a currency) is checked here. The accepting path
stops at the first doubt and gives no reason: `schemas.flaws` then reads the document again and lists all of them.

The wire functions are re-exported from `schemas.wire`, which needs no event type.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import jsonschema_rs
import msgspec

from schemas.envelope import LOG_ATTRIBUTES, Event, Recorded
from schemas.events import EVENTS, Body, EventType, data_schema
from schemas.events.fields import SOURCE_PATTERN
from schemas.meaning import has_meaning, is_sound
from schemas.upcast import OLDER, upcast, versions
from schemas.wire import NotAnEvent, from_kafka, from_structured, structured, to_kafka

__all__ = [
    "MAX_DATA_BYTES",
    "NotAnEvent",
    "Rejected",
    "UnknownEvent",
    "body_of",
    "document_schema",
    "from_kafka",
    "from_structured",
    "parse_event",
    "structured",
    "to_kafka",
]

MAX_DATA_BYTES = 256 * 1024
"""The largest canonical `data`: a record over 1 MB would block the relay."""
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
FUTURE = timedelta(hours=24)
"""How far ahead of our clock an event may lie: enough for a sender that takes its local time for UTC."""
VISIBLE_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+$"  # no bidi, no width 0
TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}")
MAX_EXTENSIONS = 32

CORE = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"})
_USUAL = frozenset({"sequence", "timeprecision", "expectedversion", "correlationid", "causationid", "traceparent"})


class Rejected(Exception):
    """The document is no event we take. `errors` lists (RFC 6901 pointer, sentence); no sentence echoes a value."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer or 'the document'} {detail}" for pointer, detail in errors[:3]))
        self.errors = errors


class UnknownEvent(Exception):
    """A stored event of a type or version that this release does not know."""


def document_schema(event_type: EventType, struct: type[Body] | None = None) -> dict[str, Any]:
    """The JSON Schema of one structured CloudEvent of this type, as a sender gives it; `struct`: of an older version."""
    body = data_schema(struct or event_type.body)
    definitions = body.pop("$defs", {})
    text = {"type": ["string", "null"], "minLength": 1, "maxLength": 256, "pattern": VISIBLE_PATTERN}
    properties = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": VISIBLE_PATTERN},
        "source": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": SOURCE_PATTERN},
        "type": {"const": event_type.name},
        "subject": {
            "type": "string",
            "pattern": f"^({'|'.join(event_type.streams)})/[A-Za-z0-9._:-]+$",
            "maxLength": max(map(len, event_type.streams)) + 129,
        },
        "time": {"type": "string", "pattern": TIME_PATTERN, "maxLength": 35},
        "dataschema": {"type": ["string", "null"], "minLength": 1, "maxLength": 500},
        "datacontenttype": {
            "type": ["string", "null"],
            "pattern": "^[Aa]pplication/[Jj][Ss][Oo][Nn]( *;.*)?$",
            "maxLength": 100,
        },
        "data": body,
        "sequence": {**text, "maxLength": 64},
        "timeprecision": {"enum": ["day", None]},
        "expectedversion": {"type": ["integer", "null"], "minimum": 0, "maximum": 2**31 - 1},
        "correlationid": text,
        "causationid": text,
        "traceparent": text,
        "data_base64": False,
        **dict.fromkeys(sorted(LOG_ATTRIBUTES), False),
    }
    return {
        "type": "object",
        "properties": properties,
        "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
        "additionalProperties": {
            "type": ["string", "integer", "boolean", "null"],
            "maxLength": 1024,
            "pattern": VISIBLE_PATTERN,
            "minimum": -(2**31),
            "maximum": 2**31 - 1,
        },
        "$defs": definitions,
    }


class Rule(msgspec.Struct, frozen=True):
    """What the events of one version of a type are held to, compiled once."""

    event_type: EventType
    version: int
    body: type[Body]
    validator: Any
    means: bool
    """Whether there is anything to check that the schema does not see."""


def _rule(name: str, version: int, body: type[Body]) -> Rule:
    schema = document_schema(EVENTS[name], body)
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    return Rule(EVENTS[name], version, body, validator, has_meaning(body))


ALL_RULES = {(name, version): _rule(name, version, body) for name, version, body in versions()}
"""By type and schema version."""
RULES = {name: ALL_RULES[name, 1] for name in EVENTS}
"""What an event is held to that names no `dataschema`: version 1, for ever."""
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
    from schemas.flaws import flaws_of  # noqa: PLC0415  it reads this module's rules; only a refusal needs it

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


def rule_of(document: dict[str, Any]) -> Rule | None:
    """The rule of the type and the version that a document names; None where either is not known."""
    name = document.get("type")
    rule = RULES.get(name) if type(name) is str else None
    address = document.get("dataschema")
    if rule is None or address is None:
        return rule
    version = schema_version(address, rule.event_type) if type(address) is str else None
    return None if version is None else ALL_RULES[rule.event_type.name, version]


def instant(text: str) -> datetime:
    """An RFC 3339 date-time with an offset, in UTC. Raises ValueError or OverflowError: no such instant in the calendar."""
    moment = msgspec.convert(text, datetime)
    zone = moment.tzinfo
    if zone is UTC:
        return moment
    if zone is None:
        raise ValueError("no offset")
    return moment.astimezone(UTC)


@lru_cache(maxsize=256)
def schema_version(address: str, event_type: EventType) -> int | None:
    """The version that a `dataschema` names, by its path `…/schemas/<Type>/<n>` alone; None where it names no known one."""
    path = re.split("[?#]", address, maxsplit=1)[0]
    found = re.search(r"(?:^|/)schemas/([A-Za-z]{1,64})/([1-9][0-9]{0,3})$", path, re.ASCII)
    if found is None or found[1] != event_type.name or int(found[2]) > event_type.version:
        return None
    return int(found[2])


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
