"""The OpenAPI documents: valid by the official schema, whole, and as strict about events as the door is."""

import copy
from typing import Any

import jsonschema_rs
import pytest

from schemas.codec import Rejected, parse_event
from schemas.events import EVENTS
from schemas.examples import examples
from tests.support.builders import NOW
from tests.unit.publication.committed import read
from tests.unit.publication.official import official

DOCUMENTS = {name: read(f"schemas/openapi/{name}.json") for name in ("lifecycle", "projections")}
SCHEMA = jsonschema_rs.Draft202012Validator(official("openapi-3.1.json"))
DIALECT = jsonschema_rs.Draft202012Validator({"$ref": "https://json-schema.org/draft/2020-12/schema"})
LIFECYCLE = DOCUMENTS["lifecycle"]
EVENT = jsonschema_rs.Draft202012Validator(
    {"$ref": "#/components/schemas/Event", "components": LIFECYCLE["components"]}, validate_formats=True
)
GOLDEN = {f"{name}.{version}": document for (name, version), document in examples().items()}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_valid_by_the_official_schema(name: str) -> None:
    SCHEMA.validate(DOCUMENTS[name])
    for each, schema in DOCUMENTS[name]["components"]["schemas"].items():
        assert DIALECT.is_valid(schema), each


def test_the_official_schema_finds_a_spoilt_document() -> None:
    spoilt = copy.deepcopy(LIFECYCLE)
    del spoilt["paths"]["/v1/leads"]["get"]["responses"]["200"]["description"]
    assert not SCHEMA.is_valid(spoilt)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_reference_leads_somewhere(name: str) -> None:
    found = list(_references(DOCUMENTS[name]))
    assert found
    for reference in found:
        target: Any = DOCUMENTS[name]
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def _references(part: Any) -> Any:
    if isinstance(part, list):
        for each in part:
            yield from _references(each)
    elif isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from _references(each)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_names_no_installation(name: str) -> None:
    assert "://" not in str({key: part for key, part in DOCUMENTS[name].items() if key != "components"})
    assert "servers" not in DOCUMENTS[name]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_operations_have_stable_names_and_say_who_may(name: str) -> None:
    operations = [each for path in DOCUMENTS[name]["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    schemes = DOCUMENTS[name]["components"]["securitySchemes"]
    assert {scheme for each in operations for needed in each.get("security", []) for scheme in needed} == set(schemes)


@pytest.mark.parametrize("key", GOLDEN)
def test_every_golden_event_is_an_event_of_the_document(key: str) -> None:
    EVENT.validate(GOLDEN[key])


SPOILT = {
    "no time": lambda event: event.pop("time"),
    "a field of no meaning": lambda event: event["data"].update(margin="1"),
    "another type's data": lambda event: event.update(type="Lost"),
    "an unknown type": lambda event: event.update(type="Wonn"),
    "another kind of stream": lambda event: event.update(subject="person/p-1"),
    "a version that is not there": lambda event: event.update(dataschema="/schemas/Won/2"),
    "the schema of another type": lambda event: event.update(dataschema="/schemas/Lost/1"),
    "an attribute of the log": lambda event: event.update(position=1),
    "an extension with a capital": lambda event: event.update(Region="west"),
    "an extension that is an object": lambda event: event.update(region={"name": "west"}),
    "data in base64": lambda event: event.update(data_base64="e30="),
    "an amount as a number": lambda event: event["data"]["value"].update(amount=4500),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_what_the_door_refuses_for_its_schema_the_document_refuses(spoil: Any) -> None:
    event = copy.deepcopy(GOLDEN["Won.1"])
    spoil(event)
    with pytest.raises(Rejected):
        parse_event(event, NOW)
    assert not EVENT.is_valid(event)


@pytest.mark.parametrize(
    "more",
    [
        {"dataschema": "https://sales.example/schemas/Won/1"}, {"dataschema": None}, {"region": "west", "retried": True},
        {"sequence": "7", "timeprecision": "day", "expectedversion": 3}, {"datacontenttype": "application/json"},
    ],
)  # fmt: skip
def test_what_the_door_takes_the_document_takes(more: dict[str, Any]) -> None:
    event = GOLDEN["Won.1"] | more
    parse_event(event, NOW)
    EVENT.validate(event)


def test_a_newer_version_must_name_itself() -> None:
    new = dict(GOLDEN["CampaignCostRecorded.2"])
    del new["dataschema"]
    with pytest.raises(Rejected):
        parse_event(new, NOW)
    assert not EVENT.is_valid(new)


def test_every_type_is_named_in_the_document() -> None:
    assert [each["$ref"] for each in LIFECYCLE["components"]["schemas"]["Event"]["oneOf"]] == [
        f"#/components/schemas/{name}" for name in EVENTS
    ]
