"""The AsyncAPI document: valid by the official schema, complete, and true of what the relay writes."""

import copy
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import yaml

from schemas.codec import parse_event
from schemas.events import EVENTS
from schemas.examples import examples
from schemas.lead import INSIDE, UNKNOWN_LEAD
from schemas.publication.asyncapi import EVENTS_TOPIC, LEADS_TOPIC, TOPIC_CONFIGURATION, asyncapi
from schemas.wire import to_kafka
from services.kernel.settings import KafkaSettings
from services.lifecycle.views import lead_body
from tests.support.builders import NOW, eur, recorded
from tests.support.scenario import given, happened
from tests.unit.publication.committed import ROOT, SCHEMAS
from tests.unit.publication.official import official

DOCUMENT = asyncapi()
SCHEMA = jsonschema_rs.Draft7Validator(official("asyncapi-3.0.0.json"))
MESSAGES = DOCUMENT["components"]["messages"]


def flaws(document: Any) -> list[str]:
    return [f"{list(each.instance_path)}: {each.message[:200]}" for each in SCHEMA.iter_errors(document)]


def test_the_document_is_valid_by_the_official_schema() -> None:
    assert flaws(DOCUMENT) == []


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("no info", lambda document: document.pop("info")),
        (
            "an operation that does nothing",
            lambda document: document["operations"]["publishEvents"].update(action="throw"),
        ),
        ("a channel with a word of no meaning", lambda document: document["channels"]["leadStates"].update(topic="x")),
        ("a payload that is no schema", lambda document: document["components"]["messages"]["Won.1"].update(payload=7)),
        (
            "partitions in words",
            lambda document: document["channels"]["leadStates"]["bindings"]["kafka"].update(partitions="12"),
        ),
    ],
)
def test_the_official_schema_finds_a_spoilt_document(what: str, spoil: Any) -> None:
    document = copy.deepcopy(DOCUMENT)
    spoil(document)
    assert flaws(document), what


def test_every_reference_leads_somewhere() -> None:
    def look(part: Any) -> None:
        if isinstance(part, list):
            for each in part:
                look(each)
        elif isinstance(part, dict):
            if isinstance(reference := part.get("$ref"), str):
                assert set(part) == {"$ref"}, "what stands beside a reference is ignored by AsyncAPI"
                target: Any = DOCUMENT
                for name in reference.removeprefix("#/").split("/"):
                    target = target[name]
            for each in part.values():
                look(each)

    look(DOCUMENT)


def test_every_type_and_version_is_a_message_of_the_events_topic() -> None:
    assert DOCUMENT["channels"]["lifecycleEvents"]["messages"].keys() == SCHEMAS.keys()
    assert {message["name"] for message in MESSAGES.values()} == {*EVENTS, "LeadState"}


@pytest.mark.parametrize("key", SCHEMAS)
def test_a_message_describes_the_record_that_the_relay_writes(key: str) -> None:
    name, _, version = key.rpartition(".")
    event = parse_event({**examples()[name, int(version)], "sequence": "1", "traceparent": "00-1-2-01"}, NOW)
    topic_key, value, headers, _ = to_kafka(recorded(event), "https://sales.example")
    message = MESSAGES[key]
    texts = {header: text.decode() for header, text in headers}
    _validator(message["headers"]).validate(texts)
    _validator(message["payload"]).validate(yaml.safe_load(value))
    _validator(message["bindings"]["kafka"]["key"]).validate(topic_key.decode())
    other = {**texts, "ce_type": "Other"}
    assert not _validator(message["headers"]).is_valid(other)
    assert set(texts) <= set(DOCUMENT["components"]["schemas"]["EventHeaders"]["properties"])
    _validator(message["headers"]).validate(message["examples"][0]["headers"])


def _validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.Draft7Validator(
        {"allOf": [schema], "components": DOCUMENT["components"]}, validate_formats=True
    )


def test_the_state_topic_carries_what_the_door_answers_of_a_lead() -> None:
    validator = _validator({"$ref": "#/components/schemas/LeadState"})
    properties = DOCUMENT["components"]["schemas"]["LeadState"]["properties"]
    contract = {"contract_id": "C-1", "mrr": eur("10.00"), "term_start": "2026-01-01"}
    won = happened("Won", 5, data={"value": eur("100.00"), "contracts": [contract]})
    contradicted = given(happened("LeadCaptured", 1), won).when(happened("Lost", 6)).anomalously("won").lead
    for lead in (UNKNOWN_LEAD, contradicted):
        body = msgspec.json.decode(lead_body("lead/L-1", 9, 3, lead, NOW))
        validator.validate(body)
        assert body.keys() <= properties.keys()
        assert not validator.is_valid({**body, "outcome": "maybe"})
        assert not validator.is_valid({name: value for name, value in body.items() if name != "state"})
    shown = {"id", "version", "partition", "state", "underlying_phase", "last_fact_at"}
    assert properties.keys() == shown | {name for name in UNKNOWN_LEAD.__struct_fields__ if name not in INSIDE}


def test_the_topics_are_those_that_are_made() -> None:
    made = {topic["name"]: topic for topic in yaml.safe_load((ROOT / "deploy/topics.yaml").read_text())["topics"]}
    assert KafkaSettings().events_topic == EVENTS_TOPIC
    assert EVENTS_TOPIC in made
    for name in made.keys() & {EVENTS_TOPIC, LEADS_TOPIC}:
        configured = made[name]["configuration"]
        told = {
            key: ",".join(value) if isinstance(value, list) else str(value)
            for key, value in TOPIC_CONFIGURATION[name].items()
        }
        assert told == {key: configured[key] for key in told}, name


def test_the_document_of_an_installation_has_the_partitions_of_its_log() -> None:
    assert asyncapi(48)["channels"]["lifecycleEvents"]["bindings"]["kafka"]["partitions"] == 48
