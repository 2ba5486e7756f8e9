"""The AsyncAPI 3.0 document: what lies in Kafka, for whoever subscribes. One message for each type and version of event.

Binary CloudEvents: the attributes are `ce_…` headers, the value is the `data` alone. AsyncAPI's own schema dialect is
draft-07 with additions, in which whatever stands beside a `$ref` is ignored; so a field that refers and has a meaning
of its own is written `allOf`.
"""

from typing import Any, Final

from schemas.events import EVENTS, EventType, data_schema
from schemas.examples import examples
from schemas.lead import INSIDE, Lead
from schemas.lead.transitions import STATES
from schemas.publication.json_schemas import hoisted, schema_documents

EVENTS_TOPIC: Final = "sales.lifecycle.events.v1"
LEADS_TOPIC: Final = "sales.lifecycle.leads.v1"
TOPIC_CONFIGURATION: Final[dict[str, dict[str, Any]]] = {
    EVENTS_TOPIC: {"cleanup.policy": ["delete"], "retention.ms": 2_592_000_000, "max.message.bytes": 1_048_588},
    LEADS_TOPIC: {"cleanup.policy": ["compact"], "max.message.bytes": 1_048_588},
}
"""As `deploy/topics.yaml` makes them; a test holds the two together."""
_BINDING: Final = "0.5.0"
_PARTITIONS: Final = 12

_ID = "[A-Za-z0-9._:-]{1,128}"
_NUMBER = {"type": "string", "pattern": "^[0-9]+$"}
_INSTANT = {"type": "string", "format": "date-time"}


def asyncapi(partitions: int = _PARTITIONS) -> dict[str, Any]:
    """The document of an installation whose log has that many partitions."""
    schemas: dict[str, Any] = {"EventHeaders": _EVENT_HEADERS}
    messages: dict[str, Any] = {}
    shown = examples()
    for key, schema in schema_documents().items():
        name, _, version = key.rpartition(".")
        schemas[key] = hoisted(schema, schemas)
        messages[key] = _message(EVENTS[name], int(version), key, shown[name, int(version)])
    schemas["LeadState"] = hoisted(_lead_state(), schemas)
    messages["LeadState"] = _STATE_MESSAGE
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "salescycle lifecycle",
            "version": "1",
            "description": "Everything that happened in the sales lifecycle, in order, and the current state of every lead.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "lifecycleEvents": {
                "address": EVENTS_TOPIC,
                "title": "Events of the lifecycle",
                "description": "Every event, in the order of its partition: record n of the log's partition p, here and in PostgreSQL. "
                "`ce_position` is dense: a reader that finds `position != last + 1` reads what is missing from "
                "`GET /v1/log/{partition}`, and drops what it has seen.",
                "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in messages if key != "LeadState"},
                "bindings": _topic(EVENTS_TOPIC, partitions),
            },
            "leadStates": {
                "address": LEADS_TOPIC,
                "title": "Current state of leads",
                "description": "Compacted: the newest state of each lead, as `GET /v1/leads/{id}` answers it. A reader keeps the "
                "highest `version`. An empty value (tombstone): the lead is erased.",
                "messages": {"LeadState": {"$ref": "#/components/messages/LeadState"}},
                "bindings": _topic(LEADS_TOPIC, partitions),
            },
        },
        "operations": {
            "publishEvents": _sends("lifecycleEvents", "Publishes every event that was stored, in order"),
            "publishLeadStates": _sends("leadStates", "Publishes the state of every lead that events have changed"),
        },
        "components": {"messages": messages, "schemas": _in_draft_7(schemas)},
    }


def _topic(name: str, partitions: int) -> dict[str, Any]:
    return {
        "kafka": {
            "topic": name, "partitions": partitions, "topicConfiguration": TOPIC_CONFIGURATION[name], "bindingVersion": _BINDING,
        }
    }  # fmt: skip


def _sends(channel: str, summary: str) -> dict[str, Any]:
    return {"action": "send", "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _message(kind: EventType, version: int, key: str, example: dict[str, Any]) -> dict[str, Any]:
    schema_path = f"/schemas/{kind.name}/{version}"
    return {
        "name": kind.name,
        "title": kind.name if version == kind.version else f"{kind.name}, version {version}",
        "summary": kind.meaning,
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "allOf": [{"$ref": "#/components/schemas/EventHeaders"}],
            "properties": {
                "ce_type": {"const": kind.name},
                "ce_dataschema": {"type": "string", "pattern": f"^https?://.+{schema_path}$"},
            },
        },
        "payload": {"$ref": f"#/components/schemas/{key}"},
        "tags": [{"name": tag} for tag in (*kind.streams, *([kind.phase] if kind.phase else []))],
        "bindings": _keyed(f"^({'|'.join(kind.streams)})/{_ID}$"),
        "examples": [{"name": kind.name, "headers": _headers(example, schema_path), "payload": example["data"]}],
    }


def _keyed(pattern: str) -> dict[str, Any]:
    key = {"type": "string", "pattern": pattern, "description": "The whole name of the stream, in UTF-8"}
    return {"kafka": {"key": key, "bindingVersion": _BINDING}}


def _headers(example: dict[str, Any], schema_path: str) -> dict[str, str]:
    """The headers of the example, as the relay would write them."""
    return {
        "ce_specversion": "1.0", "ce_id": example["id"], "ce_source": example["source"], "ce_type": example["type"],
        "ce_subject": example["subject"], "ce_time": example["time"],
        "ce_dataschema": f"https://lifecycle.example{schema_path}", "content-type": "application/json",
        "ce_partition": "9", "ce_position": "1", "ce_version": "1", "ce_recordedtime": "2026-03-02T08:30:00.250000Z",
    }  # fmt: skip


def _lead_state() -> dict[str, Any]:
    """The body of `GET /v1/leads/{id}`: the fold, and where it stands. What is not known is absent."""
    fold = data_schema(Lead)
    shown = {
        "id": {"type": "string", "description": "The lead, without `lead/`."},
        "version": {"type": "integer", "minimum": 1, "description": "Events of the lead so far."},
        "partition": {"type": "integer", "minimum": 0, "description": "Partition of the log that it lives in."},
        "state": {
            "type": "string",
            "enum": list(STATES),
            "description": "Where it stands in the table of transitions.",
        },
        **{name: part for name, part in fold["properties"].items() if name not in INSIDE},
        "phase": {
            "type": ["string", "null"],
            "description": "The phase as people are shown it: upgrade while one is due.",
        },
        "underlying_phase": {"type": "string", "description": "The phase it is in otherwise, while an upgrade is due."},
        "last_fact_at": {
            "type": "string",
            "format": "date-time",
            "description": "Instant of the last fact in the order of the business: the state is told up to then. It may lie ahead, "
            "where a later end is known: `GET /v1/leads/{id}` tells the state of now.",
        },
    }
    return {
        **fold,
        "properties": shown,
        "required": ["id", "version", "partition", "state", "outcome", "standing", "phase", "last_fact_at"],
    }


def _in_draft_7(part: Any) -> Any:
    if isinstance(part, list):
        return [_in_draft_7(each) for each in part]
    if not isinstance(part, dict):
        return part
    moved = {key: _in_draft_7(value) for key, value in part.items()}
    if isinstance(moved.get("$ref"), str) and len(moved) > 1:
        return {"allOf": [{"$ref": moved.pop("$ref")}], **moved}
    return moved


_EVENT_HEADERS: Final[dict[str, Any]] = {
    "type": "object",
    "description": "CloudEvents 1.0 attributes in binary mode. Further `ce_…` headers are extensions of the sender, passed on; "
    "`salescycle-attribute-types` says which of them were integers or booleans.",
    "required": [
        "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_dataschema", "content-type",
        "ce_partition", "ce_position", "ce_version", "ce_recordedtime",
    ],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "minLength": 1, "maxLength": 128, "description": "Unique with ce_source, for ever."},
        "ce_source": {"type": "string", "minLength": 1, "maxLength": 256, "description": "The system that says so."},
        "ce_type": {"type": "string", "description": "The type of event."},
        "ce_subject": {"type": "string", "description": "The stream; also the key of the record."},
        "ce_time": {**_INSTANT, "description": "When it happened in the business."},
        "ce_dataschema": {"type": "string", "description": "Where the schema of the data is served; its path ends in the version."},
        "content-type": {"const": "application/json"},
        "ce_partition": {**_NUMBER, "description": "Partition of the log; the record lies in the same one."},
        "ce_position": {**_NUMBER, "description": "Counts from 1 in the partition, without holes."},
        "ce_version": {**_NUMBER, "description": "Counts from 1 in the stream."},
        "ce_recordedtime": {**_INSTANT, "description": "When it was stored; also the timestamp of the record."},
        "ce_anomaly": {"type": "string", "description": "Why it contradicts what was known when it was received."},
        "ce_sequence": {"type": "string", "description": "Order among events of one instant, compared byte by byte."},
        "ce_timeprecision": {"const": "day", "description": "ce_time is a day; the event sorts at its end."},
        "ce_correlationid": {"type": "string", "description": "What belongs together, in the words of the sender."},
        "ce_causationid": {"type": "string", "description": "The event that brought this one about."},
        "ce_traceparent": {"type": "string", "description": "W3C trace context of the request that brought it."},
        "salescycle-attribute-types": {"type": "string", "description": "JSON object: extension name to integer or boolean."},
    },
}  # fmt: skip

_STATE_MESSAGE: Final[dict[str, Any]] = {
    "name": "LeadState",
    "title": "State of a lead",
    "summary": "The fold of all events of one lead, published after each batch that changed it.",
    "contentType": "application/json",
    "payload": {"$ref": "#/components/schemas/LeadState"},
    "tags": [{"name": "lead"}],
    "bindings": _keyed(f"^lead/{_ID}$"),
}
