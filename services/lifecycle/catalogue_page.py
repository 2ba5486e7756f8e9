"""The event catalogue as one page: every type with its meaning, its fields, an example and its versions.

It loads nothing from anywhere, so it can be read where there is no network, and saved. How it looks is `catalogue.html`.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from schemas.events import EVENTS, EventType
from schemas.events.fields import ID_PATTERN, VISIBLE
from schemas.examples import examples
from schemas.publication.json_schemas import hoisted, key_of, schema_documents

_SHOWN_PATTERN: Final = 48
"""Longer patterns, and those that only forbid control characters, say less than the sentence beside them."""
_PLACEHOLDER: Final = re.compile(r"<!--(\w+)-->")
_CODE: Final = re.compile(r"`([^`]+)`")
_KEY: Final = re.compile(r"^( *)(&quot;[^&]+&quot;)(?=:)", re.MULTILINE)


@cache
def catalogue_page() -> str:
    """The HTML. The links in it are relative to `/schemas`."""
    shared: dict[str, Any] = {}
    schemas = {key: hoisted(schema, shared) for key, schema in schema_documents().items()}
    groups = _groups()
    parts = {
        "navigation": "".join(_navigation(title, kinds) for title, kinds in groups.items()),
        "main": "".join(
            [
                _introduction(len(schemas)),
                *(_section(title, kinds, schemas) for title, kinds in groups.items()),
                _shared_types(shared),
            ]
        ),
    }
    shell = Path(__file__).with_name("catalogue.html").read_text(encoding="utf-8")
    return _PLACEHOLDER.sub(lambda found: parts[found[1]], shell)


def _groups() -> dict[str, list[EventType]]:
    """The types under their headings, both in the order of the catalogue."""
    groups: dict[str, list[EventType]] = {}
    for kind in EVENTS.values():
        groups.setdefault(_heading(kind), []).append(kind)
    return groups


def _heading(kind: EventType) -> str:
    if kind.phase is not None:
        return f"Lead: {kind.phase.replace('_', ' ')}"
    return "Any stream" if len(kind.streams) > 2 else kind.stream_type.capitalize()


def _navigation(title: str, kinds: Iterable[EventType]) -> str:
    links = "".join(f"<li><a href='#{kind.name}'>{kind.name}</a></li>" for kind in kinds)
    return f"<div class='group'><h2>{_text(title)}</h2><ul>{links}</ul></div>"


def _introduction(schemas: int) -> str:
    return (
        f"<p class='lead'>Everything that can be said of a sales cycle: {len(EVENTS)} types of event, {schemas} schemas. Post them to "
        "<code>POST /v1/events</code> as CloudEvents; read them in Kafka and at <code>/v1/log</code>. An optional field is left out "
        "where it is not known, never null. Sets called open may hold other words too.</p>"
        "<p class='lead'>For machines: <a href='asyncapi.json'>AsyncAPI</a> (Kafka), <a href='openapi.json'>OpenAPI</a> (HTTP), "
        "and a JSON Schema for each version, linked beside it. For people: <a href='docs'>the HTTP interface</a>, "
        "<a href='problems'>what errors mean</a>.</p>"
    )


def _section(title: str, kinds: Iterable[EventType], schemas: dict[str, Any]) -> str:
    return f"<section><h2>{_text(title)}</h2>{''.join(_article(kind, schemas) for kind in kinds)}</section>"


def _article(kind: EventType, schemas: dict[str, Any]) -> str:
    key = key_of(kind.name, kind.version)
    older = "".join(_older(kind, version, schemas) for version in range(kind.version - 1, 0, -1))
    streams = kind.streams if len(kind.streams) <= 2 else ("any stream",)
    tags = "".join(f"<span class='tag'>{_text(stream)}</span>" for stream in streams)
    return (
        f"<article id='{kind.name}'><h3><a class='name' href='#{kind.name}'>{kind.name}</a>{tags}"
        f"<a class='tag' href='schemas/{kind.name}/{kind.version}'>schema, version {kind.version}</a></h3>"
        f"<p>{_prose(schemas[key].get('description', ''))}</p>{_fields_and_example(kind.name, kind.version, schemas)}{older}</article>"
    )


def _older(kind: EventType, version: int, schemas: dict[str, Any]) -> str:
    schema = schemas[key_of(kind.name, version)]
    return (
        f"<details><summary>Version {version}, still taken: <a href='schemas/{kind.name}/{version}'>schema</a></summary>"
        f"<p>{_prose(schema.get('description', ''))} It is read as version {version + 1}.</p>"
        f"{_fields_and_example(kind.name, version, schemas)}</details>"
    )


def _fields_and_example(name: str, version: int, schemas: dict[str, Any]) -> str:
    shown = html.escape(json.dumps(examples()[name, version], indent=2, ensure_ascii=False))
    coloured = _KEY.sub(r"\1<span class='key'>\2</span>", shown)
    return (
        f"<div class='pair'>{_fields(schemas[key_of(name, version)])}"
        f"<figure><figcaption>Example</figcaption><pre tabindex='0'>{coloured}</pre></figure></div>"
    )


def _fields(schema: dict[str, Any]) -> str:
    needed = set(schema.get("required", ()))
    rows = "".join(_field(name, part, name in needed) for name, part in schema.get("properties", {}).items())
    if not rows:
        return "<p class='none'>It has no fields: that it happened is all it says.</p>"
    return f"<table><thead><tr><th>Field</th><th>Type and unit</th><th>Meaning</th></tr></thead><tbody>{rows}</tbody></table>"


def _field(name: str, part: dict[str, Any], needed: bool) -> str:
    marks = "<span class='mark needed'>required</span>" if needed else ""
    if part.get("x-pii"):
        marks += "<span class='mark'><span class='pii'>person data</span></span>"
    return (
        f"<tr><td><code>{_text(name)}</code>{marks}</td><td>{type_words(part)}</td>"
        f"<td>{_prose(part.get('description', ''))}</td></tr>"
    )


def type_words(part: dict[str, Any]) -> str:
    """What may stand in a field, for people, as HTML: the kind, its unit and its limits."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"<a href='#type-{_text(name)}'>{_text(name)}</a>"
    if "enum" in part:
        return "one of " + ", ".join(f"<code>{_text(choice)}</code>" for choice in part["enum"])
    match part.get("type"):
        case "string":
            return _string_words(part)
        case "integer" | "number" as kind:
            return f"{'whole number' if kind == 'integer' else 'number'}{_limits(part, 'minimum', 'maximum')}"
        case "boolean":
            return "true or false"
        case "array":
            return f"list of {type_words(part.get('items', {}))}{_limits(part, 'minItems', 'maxItems')}"
        case "object":
            inner = part.get("additionalProperties")
            return f"object of {type_words(inner)}" if isinstance(inner, dict) and inner else "object"
        case _:
            return "any value"


def _string_words(part: dict[str, Any]) -> str:
    pattern = part.get("pattern", "")
    match part.get("format"):
        case "date":
            return "day, <code>YYYY-MM-DD</code>"
        case "date-time":
            return "instant, RFC 3339 with offset"
        case _:
            pass
    if pattern == ID_PATTERN:
        return f"identifier{_limits(part, '', 'maxLength')}"
    shown = pattern and pattern != VISIBLE and "\\u" not in pattern and len(pattern) <= _SHOWN_PATTERN
    return f"text{_limits(part, '', 'maxLength', ' characters')}{f', <code>{_text(pattern)}</code>' if shown else ''}"


def _limits(part: dict[str, Any], least: str, most: str, unit: str = "") -> str:
    low, high = part.get(least), part.get(most)
    if high == 2**31 - 1:
        high = None
    if low is not None and high is not None:
        return f", {low:,} to {high:,}{unit}"
    if low is not None:
        return f", {low:,} or more{unit}"
    return f", at most {high:,}{unit}" if high is not None else ""


def _shared_types(shared: dict[str, Any]) -> str:
    articles = "".join(
        f"<article id='type-{name}'><h3><a class='name' href='#type-{name}'>{name}</a></h3>"
        f"<p>{_prose(schema.get('description', ''))}</p>{''.join(_members(schema))}</article>"
        for name, schema in sorted(shared.items())
    )
    return f"<section><h2>Parts that several types share</h2>{articles}</section>"


def _members(schema: dict[str, Any]) -> Iterator[str]:
    yield _fields(schema) if schema.get("type") == "object" else f"<p>{type_words(schema)}</p>"


def _prose(sentence: str) -> str:
    """Text with `code` in it."""
    return _CODE.sub(r"<code>\1</code>", _text(" ".join(sentence.split())))


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)
