"""The door's place in the OpenAPI document: FastAPI does not see a plain ASGI endpoint, so its path is written here.

What all events share is said once (`Envelope`); each type adds its name, its streams and its data, version by version.
Definitions are moved into the components of the document: a `$ref` inside it is looked for at its root.
"""

from functools import cache
from typing import Any

from schemas.events import EVENTS
from schemas.examples import examples
from schemas.publication.json_schemas import hoisted, key_of, schema_document
from schemas.rules import document_schema
from schemas.upcast import versions

_PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_EXTENSION_NAME = "^[a-z0-9_]{1,20}$"
"""The underscore is that of `data_base64`, which is refused by name."""
_OF_THE_TYPE = ("type", "subject", "dataschema", "data")
"""Attributes of the envelope that each type narrows."""


def describe_door(document: dict[str, Any]) -> dict[str, Any]:
    """Add `POST /v1/events` and its schemas to an OpenAPI 3.1 document; harmless when done twice."""
    document.setdefault("components", {}).setdefault("schemas", {}).update(_schemas())
    document.setdefault("paths", {})["/v1/events"] = {"post": _operation()}
    return document


@cache
def _schemas() -> dict[str, Any]:
    """`Event`: any of all types; each type under its own name, the data of each version as `Won.1`."""
    schemas: dict[str, Any] = {"Answer": _ANSWER, "Envelope": _envelope()}
    of_type: dict[str, list[dict[str, Any]]] = {name: [] for name in EVENTS}
    shown = examples()
    for name, version, body in versions():
        key = key_of(name, version)
        schemas[key] = hoisted(schema_document(name, version, body), schemas)
        of_type[name].append({**_event(name, version), "examples": [shown[name, version]]})
    for name, variants in of_type.items():
        schemas[name] = variants[0] if len(variants) == 1 else {"oneOf": variants, "description": EVENTS[name].meaning}
    schemas["Event"] = {
        "description": "One event. Its `type` says which of these it is.",
        "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in EVENTS],
    }
    return schemas


def _envelope() -> dict[str, Any]:
    """What holds for the document of an event of any type."""
    schema = document_schema(next(iter(EVENTS.values())))
    properties: dict[str, Any] = {
        **schema["properties"], "type": {"type": "string"}, "subject": {"type": "string"}, "data": {"type": "object"},
    }  # fmt: skip
    return {
        "type": "object",
        "description": "CloudEvents 1.0, structured. `source` and `id` are unique together, for ever; `time` is when it happened "
        "in the business; `subject` is the stream. Further attributes are extensions, kept and passed on.",
        "properties": {name: _MEANING.get(name, {}) | part if part else part for name, part in properties.items()},
        "required": schema["required"],
        "additionalProperties": schema["additionalProperties"],
        "propertyNames": {"pattern": _EXTENSION_NAME},
    }


def _event(name: str, version: int) -> dict[str, Any]:
    """An event of one version of a type. Without `dataschema` it is of version 1."""
    properties = document_schema(EVENTS[name])["properties"]
    address = {"pattern": f"(^|/)schemas/{name}/{version}([?#].*)?$", "maxLength": 500}
    return {
        "title": name,
        "description": EVENTS[name].meaning,
        "allOf": [{"$ref": "#/components/schemas/Envelope"}],
        "type": "object",
        "properties": {
            "type": properties["type"],
            "subject": properties["subject"],
            "dataschema": {"type": ["string", "null"] if version == 1 else "string", **address},
            "data": {"$ref": f"#/components/schemas/{key_of(name, version)}"},
        },
        "required": list(_OF_THE_TYPE) if version > 1 else ["type", "subject", "data"],
    }


def _operation() -> dict[str, Any]:
    event, answer = {"$ref": "#/components/schemas/Event"}, {"$ref": "#/components/schemas/Answer"}
    result = {"anyOf": [answer, {"$ref": "#/components/schemas/Problem"}]}
    return {
        "operationId": "postEvents",
        "summary": "Store what happened: one event, a batch, or a stream of lines",
        "tags": ["events"],
        "security": [{"key": ["events:write"]}],
        "parameters": [
            _header("If-Match", "Version that the stream must be at, in quotes; else 412"),
            _header("If-None-Match", "`*`: the stream must not exist yet"),
            _header("Prefer", "`handling=strict`: refuse implied and anomalous steps with 409"),
            *(_header(f"ce-{name}", _BINARY) for name in ("specversion", "id", "source", "type", "subject", "time", "dataschema")),
            {
                "name": "atomic", "in": "query", "required": False, "description": "A batch is stored whole or not at all",
                "schema": {"type": "boolean", "default": False},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/cloudevents+json": {"schema": event},
                "application/json": {"schema": event},
                "application/cloudevents-batch+json": {
                    "schema": {"type": "array", "items": event, "minItems": 1, "maxItems": 1000}
                },
                "application/x-ndjson": {"schema": {"type": "string", "description": "One event a line; empty lines are skipped"}},
            },
        },
        "responses": {
            "200": {
                "description": "Stored before: the first answer again. For a batch or lines: one result an item, each with its status",
                "content": {
                    "application/json": {"schema": {"anyOf": [answer, {"type": "array", "items": result}]}},
                    "application/x-ndjson": {"schema": {"type": "string", "description": "One result a line"}},
                },
            },
            "201": {"description": "Stored, for ever", "content": {"application/json": {"schema": answer}}},
            **{
                status: {"description": text, **_PROBLEM}
                for status, text in {
                    "400": "Not I-JSON", "401": "No valid key", "403": "The key lacks events:write", "406": "Answers are JSON, or NDJSON for lines", "408": "The body came too slowly",
                    "409": "Not a normal step, and strict handling was asked for", "412": "The stream has moved on",
                    "413": "Too large", "415": "Another media type", "422": "Breaks the schema or a rule of meaning",
                    "503": "Too much at once, or the store is away: send it again",
                }.items()
            },
        },
    }  # fmt: skip


_BINARY = "Binary mode of `application/json`: this attribute, percent-encoded; the body is the data alone; extensions likewise"


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"}}


_MEANING: dict[str, dict[str, Any]] = {
    "id": {"description": "Unique within `source`, for ever: the same event may be sent again, and is stored once."},
    "source": {"description": "The system that says so, a URI reference."},
    "type": {"description": "What happened."},
    "subject": {"description": "The stream it belongs to, such as `lead/L-1`."},
    "time": {"description": "When it happened: RFC 3339 with offset."},
    "dataschema": {"description": "`…/schemas/<Type>/<version>`; absent: version 1."},
    "sequence": {"description": "Order among events of one instant."},
    "timeprecision": {"description": "`day`: only the day of `time` is known."},
    "expectedversion": {"description": "Version that the stream must be at, else 412."},
    "correlationid": {"description": "What belongs together, in the words of the sender."},
    "causationid": {"description": "The event that brought this one about."},
    "traceparent": {"description": "W3C trace context."},
}

_ANSWER = {
    "type": "object",
    "required": ["id", "source", "subject", "version", "partition", "position", "recorded_at"],
    "properties": {
        "id": {"type": "string"},
        "source": {"type": "string"},
        "subject": {"type": "string", "description": "The stream"},
        "version": {"type": "integer", "description": "Counts from 1 in the stream"},
        "partition": {"type": "integer"},
        "position": {"type": "integer", "description": "Counts from 1 in the partition"},
        "recorded_at": {"type": "string", "format": "date-time"},
        "implied": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Event types that must have happened unseen",
        },
        "anomaly": {"type": "string", "description": "Why the fact contradicts what was known"},
        "status": {"type": "integer", "description": "In a batch or line answer"},
    },
}
