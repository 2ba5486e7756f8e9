"""What the events of each type and version are held to: the JSON Schema of the whole event, compiled, and the limits around it."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import jsonschema_rs
import msgspec

from schemas.envelope import LOG_ATTRIBUTES
from schemas.events import EVENTS, Body, EventType, data_schema
from schemas.events.fields import SOURCE_PATTERN
from schemas.meaning import has_meaning
from schemas.upcast import versions

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
