"""The door's place in the OpenAPI document: FastAPI does not see a plain ASGI endpoint, so its path is written here."""

from typing import Any

from schemas.codec import document_schema
from schemas.events import EVENTS

_PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def describe_door(document: dict[str, Any]) -> dict[str, Any]:
    """Add `POST /v1/events` and its schemas to an OpenAPI 3.1 document; harmless when done twice."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Answer"] = _ANSWER
    event = {"oneOf": [_inline(document_schema(event_type)) for event_type in EVENTS.values()]}
    schemas["Event"] = event
    reference = {"$ref": "#/components/schemas/Event"}
    document.setdefault("paths", {})["/v1/events"] = {"post": _operation(reference)}
    return document


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("$schema", "$id")}


def _operation(event: dict[str, Any]) -> dict[str, Any]:
    answer = {"$ref": "#/components/schemas/Answer"}
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
                "content": {"application/json": {"schema": {"anyOf": [answer, {"type": "array", "items": {}}]}}},
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
