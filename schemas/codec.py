"""From a decoded CloudEvent to an `Event` that may enter the log, and from a stored event back to its typed body.

What JSON Schema can say about a whole event is said by one schema per type (`document_schema`) and enforced by a compiled
validator in about 1.6 µs; what it cannot say (the calendar, decimals of a currency) is checked here. The accepting path
stops at the first doubt and gives no reason: `schemas.flaws` then reads the document again and lists all of them.

The wire functions are re-exported from `schemas.wire`, which needs no event type.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import jsonschema_rs
import msgspec

from schemas.currency import exponent
from schemas.envelope import LOG_ATTRIBUTES, Event, Recorded
from schemas.events import EVENTS, Body, Contract, EventType, Money, Won, data_schema
from schemas.wire import NotAnEvent, from_kafka, from_structured, structured, to_kafka

__all__ = [
    "MAX_DATA_BYTES",
    "NotAnEvent",
    "Rejected",
    "UnknownEvent",
    "body_of",
    "business_at",
    "document_schema",
    "from_kafka",
    "from_structured",
    "order_key",
    "parse_event",
    "structured",
    "to_kafka",
]

MAX_DATA_BYTES = 256 * 1024
"""The largest canonical `data`: a record over 1 MB would block the relay."""
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
FUTURE = timedelta(hours=24)
"""How far ahead of our clock an event may lie: enough for a sender that takes its local time for UTC."""
SOURCE_PATTERN = r"^([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$"
VISIBLE_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+$"  # no bidi, no width 0
TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}")
MAX_EXTENSIONS = 32

CORE = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"})
_USUAL = frozenset({"sequence", "timeprecision", "expectedversion", "correlationid", "causationid", "traceparent"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Rejected(Exception):
    """The document is no event we take. `errors` lists (RFC 6901 pointer, sentence); no sentence echoes a value."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer or 'the document'} {detail}" for pointer, detail in errors[:3]))
        self.errors = errors


class UnknownEvent(Exception):
    """A stored event of a type or version that this release does not know."""


def document_schema(event_type: EventType) -> dict[str, Any]:
    """The JSON Schema of one structured CloudEvent of this type, as a sender gives it."""
    body = data_schema(event_type)
    definitions = body.pop("$defs", {})
    text = {"type": ["string", "null"], "minLength": 1, "maxLength": 256, "pattern": VISIBLE_PATTERN}
    properties = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": VISIBLE_PATTERN},
        "source": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": SOURCE_PATTERN},
        "type": {"const": event_type.name},
        "subject": {
            "type": "string",
            "pattern": f"^{event_type.stream_type}/[A-Za-z0-9._:-]+$",
            "maxLength": len(event_type.stream_type) + 129,
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


_MONEY = "#/$defs/Money"


class Rule(msgspec.Struct, frozen=True):
    """What one type's events are held to, compiled once."""

    event_type: EventType
    validator: Any
    money: tuple[str, ...]


def _rule(event_type: EventType) -> Rule:
    return Rule(
        event_type=event_type,
        validator=jsonschema_rs.Draft202012Validator(document_schema(event_type), validate_formats=True),
        money=tuple(name for name, part in data_schema(event_type)["properties"].items() if part.get("$ref") == _MONEY),
    )


RULES = {name: _rule(event_type) for name, event_type in EVENTS.items()}
_DECODERS = {name: msgspec.json.Decoder(event_type.body).decode for name, event_type in EVENTS.items()}
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


def _accept(document: Any, now: datetime) -> Event | None:
    """The event, or None at the first doubt."""
    if type(document) is not dict:
        return None
    name = document.get("type")
    rule = RULES.get(name) if type(name) is str else None
    if rule is None or not rule.validator.is_valid(document):
        return None
    text, data = document["time"], document["data"]
    occurred_at = instant(text)
    if occurred_at < EARLIEST or (occurred_at > now and occurred_at - now > FUTURE):
        return None
    body = msgspec.convert(data, rule.event_type.body)
    canonical = _canonical(data)
    if len(canonical) > MAX_DATA_BYTES or not _means_something(rule, body):
        return None
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
        type=rule.event_type.name,
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
            version = schema_version(value, rule.event_type)
            if version is None:
                return False
            if version != 1:
                meta["dataschema"] = version
        elif type(value) is float or (name not in _USUAL and not EXTENSION_NAME.fullmatch(name)):
            return False
        else:
            meta[name] = value
    return len(meta) <= MAX_EXTENSIONS


def _means_something(rule: Rule, body: Any) -> bool:
    """Whether `flaws_of_meaning` would find nothing, without the cost of a generator where there is only money."""
    for name in rule.money:
        money = getattr(body, name)
        if money is not None and not _proper(money):
            return False
    return type(body) is not Won or next(flaws_of_meaning(rule, body), None) is None


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


def flaws_of_meaning(rule: Rule, body: Body) -> Iterator[tuple[str, str]]:
    """What is wrong with a body that its schema cannot say: (pointer below the document, sentence)."""
    for name in rule.money:
        yield from _money_flaws(getattr(body, name), f"/data/{name}")
    if type(body) is Won and body.contracts:
        seen = set()
        for index, contract in enumerate(body.contracts):
            pointer = f"/data/contracts/{index}"
            yield from _contract_flaws(contract, pointer)
            if contract.contract_id in seen:
                yield f"{pointer}/contract_id", "names a contract that this event names already."
            seen.add(contract.contract_id)


def _contract_flaws(contract: Contract, pointer: str) -> Iterator[tuple[str, str]]:
    if (contract.mrr is None) == (contract.amount is None):
        yield pointer, "needs exactly one of mrr and amount."
    yield from _money_flaws(contract.mrr, f"{pointer}/mrr")
    yield from _money_flaws(contract.amount, f"{pointer}/amount")


def _money_flaws(money: Money | None, pointer: str) -> Iterator[tuple[str, str]]:
    if money is None or _proper(money):
        return
    decimals = exponent(money.currency)
    if decimals is None:
        yield f"{pointer}/currency", "is not the code of a currency of ISO 4217."
    else:
        yield f"{pointer}/amount", f"has more decimals than the {decimals} of its currency."


def _proper(money: Money) -> bool:
    decimals = exponent(money.currency)
    point = money.amount.find(".")
    return decimals is not None and (point < 0 or len(money.amount) - point - 1 <= decimals)


def body_of(recorded: Recorded) -> Body:
    """The typed body of a stored event. Raises UnknownEvent where this release cannot read it."""
    decode = _DECODERS.get(recorded.type)
    if decode is None or recorded.meta.get("dataschema", 1) > EVENTS[recorded.type].version:
        raise UnknownEvent(f"no {recorded.type} of schema version {recorded.meta.get('dataschema', 1)} is known here")
    try:
        return decode(recorded.data)
    except msgspec.DecodeError:
        raise UnknownEvent(f"the stored {recorded.type} does not fit its schema") from None


def business_at(occurred_at: datetime, meta: dict[str, Any], body: Any) -> datetime:
    """The instant by which figures date an event, in UTC.

    It is the body's `effective_at` where there is one, else occurred_at; of an event known to the day only, the last
    microsecond of that day in the event's own offset, so that it sorts after the timed events of the day.
    """
    at: datetime = getattr(body, "effective_at", None) or occurred_at
    if meta.get("timeprecision") != "day":
        return at.astimezone(UTC)
    own = at if at is not occurred_at or "time" not in meta else msgspec.convert(meta["time"], datetime)
    return own.replace(hour=23, minute=59, second=59, microsecond=999_999).astimezone(UTC)


def order_key(occurred_at: datetime, meta: dict[str, Any], type_name: str, body: Any) -> tuple[int, int, str, int]:
    """Where an event stands among those of its stream; equal keys go by version.

    (business_at in µs since 1970, 1 where `sequence` is missing, `sequence` with digits padded to 20, rank of the type).
    """
    at = occurred_at
    if meta.get("timeprecision") == "day" or getattr(body, "effective_at", None) is not None:
        at = business_at(occurred_at, meta, body)
    sequence: str = meta.get("sequence", "")
    if sequence.isdigit() and sequence.isascii():
        sequence = sequence.zfill(20)
    return (at - _EPOCH) // _MICROSECOND, 0 if "sequence" in meta else 1, sequence, EVENTS[type_name].rank
