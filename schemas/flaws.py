"""Lists everything that is wrong with a document that `schemas.codec` refused: pointers and sentences, never the values.

This is the slow path, some tens of microseconds. It must find at least one flaw in whatever the fast path refused; a
property test holds the two together.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import msgspec

from schemas import rules
from schemas.events import EVENTS, ID_PATTERN
from schemas.events.fields import SOURCE_PATTERN
from schemas.meaning import flaws_of_meaning

CATALOGUE = "/schemas"
"""Where lifecycle lists the event types it knows."""
MAX_FLAWS = 50

_PATTERNS = {
    ID_PATTERN: "may hold only letters and digits of ASCII and . _ : -",
    SOURCE_PATTERN: "is not a URI-reference",
    rules.TIME_PATTERN: "is not an RFC 3339 date-time with an offset",
}
_NOUNS = {
    "string": "text",
    "integer": "an integer",
    "object": "an object",
    "array": "an array",
    "boolean": "true or false",
}

Flaw = tuple[str, str]


def flaws_of(document: Any, now: datetime) -> list[Flaw]:
    """At least one flaw of a refused document, at most `MAX_FLAWS`, one per place, in the order of the document's parts."""
    if type(document) is not dict:
        return [("", "must be a JSON object that holds one CloudEvent.")]
    found: dict[str, str] = {}
    for pointer, sentence in _all_flaws(document, now):
        found.setdefault(pointer, sentence)
        if len(found) == MAX_FLAWS:
            break
    return list(found.items()) or [("", "is not an event that can be stored as it is.")]


def _all_flaws(document: dict[str, Any], now: datetime) -> Iterator[Flaw]:
    name = document.get("type")
    rule = rules.rule_of(document) or (rules.RULES.get(name) if type(name) is str else None)
    if name is None:
        yield "/type", f"is missing; {CATALOGUE} lists the event types."
    elif rule is None:
        yield "/type", f"is not a known event type; {CATALOGUE} lists them."
    validator = rule.validator if rule else _any_envelope
    try:
        yield from _schema_flaws(validator, document)
    except ValueError:
        yield "", "holds something that is not JSON."
        return
    yield from _time_flaws(document.get("time"), now)
    yield from _attribute_flaws(document)
    if rule:
        yield from _data_flaws(rule, document)


def _schema_flaws(validator: Any, document: dict[str, Any]) -> Iterator[Flaw]:
    for error in validator.iter_errors(document):
        kind = error.kind.as_dict() if hasattr(error.kind, "as_dict") else {}
        pointer = pointer_of(error.instance_path)
        match error.kind.name:
            case "required":
                yield f"{pointer}/{kind['property']}", "is missing."
            case "additionalProperties":
                for unexpected in kind["unexpected"]:
                    yield _below(pointer, unexpected), "is not a field of this event type."
            case "falseSchema":
                yield pointer, _forbidden(pointer)
            case "pattern":
                yield pointer, f"{_pattern_sentence(kind['pattern'], pointer)}."
            case "propertyNames":
                yield pointer, "names a member that it may not have."
            case _:
                yield pointer, f"{_sentence(error.kind.name, kind)}."


def _sentence(keyword: str, kind: dict[str, Any]) -> str:
    match keyword:
        case "type":
            types = kind.get("types") or [kind.get("type")]
            return "must be " + " or ".join(_NOUNS[name] for name in types if name in _NOUNS)
        case "enum":
            return "must be one of: " + ", ".join(str(option) for option in kind["options"] if option is not None)
        case "const" | "constant":
            return f"must be {kind['expected_value']}"
        case "format":
            return "is not a day of the calendar" if kind["format"] == "date" else "is not a date-time with an offset"
        case "minLength":
            return "must not be empty" if kind["limit"] == 1 else f"must have at least {kind['limit']} characters"
        case "maxLength":
            return f"may have at most {kind['limit']} characters"
        case "minimum":
            return f"must be {kind['limit']} or more"
        case "maximum":
            return f"must be {kind['limit']} or less"
        case "maxItems" | "maxProperties":
            return f"may hold at most {kind['limit']}"
        case _:
            return "breaks the schema"


def _pattern_sentence(pattern: str, pointer: str) -> str:
    if pattern in _PATTERNS:
        return _PATTERNS[pattern]
    if pointer == "/subject":
        kinds = " or ".join(f"{kind}/" for kind in pattern[2:].partition(")")[0].split("|"))
        return f"must be {kinds} and an id of letters and digits of ASCII and . _ : -"
    if pointer == "/datacontenttype":
        return "must be application/json"
    if pointer.endswith("/amount"):
        return "must be a decimal number of zero or more, with at most 16 digits before the point and 4 after it"
    if pointer.endswith("/currency"):
        return "must be three capital letters"
    if pattern.startswith("^(19|"):
        return "must lie in the years 1900 to 2199"
    if pointer.endswith(("/email", "/phone")):
        return "is not written like one"
    return "holds invisible or control characters"


def _forbidden(pointer: str) -> str:
    if pointer == "/data_base64":
        return "is not taken; send JSON in data."
    return "is given by the log alone."


def _time_flaws(text: Any, now: datetime) -> Iterator[Flaw]:
    if type(text) is not str:
        return
    try:
        occurred_at = rules.instant(text)
    except (ValueError, OverflowError):
        yield "/time", "is not an instant of the calendar, written as an RFC 3339 date-time with an offset."
        return
    if occurred_at < rules.EARLIEST:
        yield "/time", f"lies before {rules.EARLIEST.year}."
    elif occurred_at - now.astimezone(UTC) > rules.FUTURE:
        yield "/time", "lies more than 24 hours ahead of the server's clock."


def _attribute_flaws(document: dict[str, Any]) -> Iterator[Flaw]:
    extensions = 0
    for key, value in document.items():
        if key in rules.CORE or value is None:
            continue
        extensions += 1
        if key not in {"dataschema", "data_base64"} and not rules.EXTENSION_NAME.fullmatch(key):
            yield _below("", key), "is no attribute: names have 1 to 20 lower-case letters and digits of ASCII."
        if type(value) is float:
            yield _below("", key), "must be an integer, written without point and exponent."
    if extensions > rules.MAX_EXTENSIONS:
        yield "", f"has more than {rules.MAX_EXTENSIONS} extension attributes."


def _data_flaws(rule: rules.Rule, document: dict[str, Any]) -> Iterator[Flaw]:
    address, data = document.get("dataschema"), document.get("data")
    if type(address) is str and rules.schema_version(address, rule.event_type) is None:
        yield "/dataschema", f"names no known schema: {CATALOGUE}/{rule.event_type.name}/1 is one."
    if type(data) is not dict:
        return
    try:
        body = msgspec.convert(data, rule.body)
        size = len(msgspec.json.encode(data))
    except msgspec.ValidationError as error:
        yield _pointer_in(str(error)), "is not what the schema says."
        return
    except (ValueError, OverflowError):
        yield "/data", "holds text that is not Unicode."
        return
    if size > rules.MAX_DATA_BYTES:
        yield "/data", f"takes more than {rules.MAX_DATA_BYTES // 1024} KiB."
    yield from flaws_of_meaning(body)


def pointer_of(path: list[str | int]) -> str:
    """The RFC 6901 pointer of a path, cut where a name is long or unprintable: names are the sender's text too."""
    pointer = ""
    for part in path:
        longer = _below(pointer, str(part))
        if longer == pointer:
            break
        pointer = longer
    return pointer


def _below(pointer: str, name: str) -> str:
    if len(name) > 64 or not name.isprintable():
        return pointer
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


def _pointer_in(message: str) -> str:
    """msgspec ends a message in `- at `$.a.b[0]``; only names of our own structs stand there."""
    _, found, path = message.rpartition("`$")
    if not found or "[...]" in path:
        return "/data"
    return "/data" + path.rstrip("`").replace(".", "/").replace("[", "/").replace("]", "")


_envelope = rules.document_schema(EVENTS["LeadCaptured"])
_any_envelope = jsonschema_rs.Draft202012Validator(
    {
        **_envelope,
        "required": [name for name in _envelope["required"] if name != "type"],
        "properties": {
            **_envelope["properties"],
            "type": {},
            "subject": {"type": "string", "pattern": "^[a-z]+/[A-Za-z0-9._:-]+$", "maxLength": 160},
            "data": {"type": "object"},
        },
    },
)
"""Holds the envelope alone, for an event whose type is not known."""
