"""The committed JSON Schemas: valid, complete in themselves, saying what they must."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from schemas.events import EVENTS, Body
from schemas.publication.json_schemas import hoisted
from schemas.upcast import versions
from tests.unit.publication.committed import SCHEMAS, read

NOT_SHARED_WITH_ASYNCAPI = {"prefixItems", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$dynamicAnchor"}


def parts_of(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for part in schema.values():
            yield from parts_of(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from parts_of(part)


def test_every_type_and_version_has_its_file() -> None:
    assert set(SCHEMAS) == {f"{name}.{version}" for name, version, _ in versions()}
    assert len(SCHEMAS) > len(EVENTS)


@pytest.mark.parametrize("key", SCHEMAS)
def test_a_schema_is_one_of_the_dialect_and_names_itself(key: str) -> None:
    schema = read(SCHEMAS[key])
    name, _, version = key.rpartition(".")
    jsonschema_rs.Draft202012Validator.check_schema(schema) if hasattr(
        jsonschema_rs.Draft202012Validator, "check_schema"
    ) else jsonschema_rs.meta.validate(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"/schemas/{name}/{version}"
    assert schema["title"] == name
    assert schema["x-streams"] == list(EVENTS[name].streams)
    assert schema.get("x-phase") == EVENTS[name].phase
    assert schema.get("deprecated", False) == (int(version) < EVENTS[name].version)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("key", SCHEMAS)
def test_no_reference_leaves_the_document_and_no_word_is_foreign_to_asyncapi(key: str) -> None:
    schema = read(SCHEMAS[key])
    defined = {f"#/$defs/{name}" for name in schema.get("$defs", {})}
    referred = {part["$ref"] for part in parts_of(schema) if "$ref" in part}
    assert referred == defined
    assert not NOT_SHARED_WITH_ASYNCAPI & {word for part in parts_of(schema) for word in part}


def _marked(kind: Any) -> bool:
    if isinstance(kind, msgspec.inspect.Metadata):
        return bool((kind.extra or {}).get("pii")) or _marked(kind.type)
    if isinstance(kind, msgspec.inspect.UnionType):
        return any(_marked(each) for each in kind.types)
    return False


@pytest.mark.parametrize(("name", "version", "body"), versions())
def test_what_is_marked_as_person_data_in_a_struct_is_marked_in_its_schema(
    name: str, version: int, body: type[Body]
) -> None:
    schema = read(SCHEMAS[f"{name}.{version}"])
    info = msgspec.inspect.type_info(body)
    assert isinstance(info, msgspec.inspect.StructType)
    told = {field.encode_name for field in info.fields if _marked(field.type)}
    assert {field for field, part in schema["properties"].items() if part.get("x-pii")} == told


def test_person_data_stands_where_a_person_is_described() -> None:
    assert {field for field, part in read(SCHEMAS["PersonUpdated.1"])["properties"].items() if part.get("x-pii")} == {
        "name", "email", "phone", "birthday",
    }  # fmt: skip
    assert read(SCHEMAS["LeadCaptured.1"])["properties"]["person"]["x-pii"] is True


def test_definitions_move_into_a_larger_document_with_what_refers_to_them() -> None:
    components: dict[str, Any] = {}
    moved = hoisted({"$id": "/x", "$defs": {"Sum": {"type": "string"}}, "items": {"$ref": "#/$defs/Sum"}}, components)
    assert moved == {"items": {"$ref": "#/components/schemas/Sum"}}
    assert components == {"Sum": {"type": "string"}}


def test_one_name_for_two_definitions_is_refused() -> None:
    components: dict[str, Any] = {"Sum": {"type": "string"}}
    with pytest.raises(ValueError, match="define Sum differently"):
        hoisted({"$defs": {"Sum": {"type": "integer"}}}, components)
