"""One JSON Schema (2020-12) for each type and version of event: what is committed, served, and followed by `dataschema`.

It holds the subset that JSON Schema shares with AsyncAPI (no `prefixItems`, `unevaluated…`, `$dynamicRef`), so that one
shape serves every document.
"""

import json
from typing import Any, Final

from schemas.events import EVENTS, Body, data_schema
from schemas.upcast import versions

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def key_of(name: str, version: int) -> str:
    """The name of a schema in file names and component maps: `Won.1`."""
    return f"{name}.{version}"


def schema_document(name: str, version: int, body: type[Body]) -> dict[str, Any]:
    """The published schema of the `data` of one type and version.

    `$id` is relative, because the same schema is served by every installation. `x-streams` lists the kinds of stream it
    may stand on, its own first; `x-phase` the phase of the lifecycle, on leads; `x-pii` marks person data; `deprecated`
    stands on a version that a newer one has replaced.
    """
    kind = EVENTS[name]
    generated = json.loads(json.dumps(data_schema(body)))  # its examples and defaults hold tuples, which JSON does not
    marks: dict[str, Any] = {"x-streams": list(kind.streams)}
    if kind.phase is not None:
        marks["x-phase"] = kind.phase
    if version < kind.version:
        marks["deprecated"] = True
    head = {"$schema": DIALECT, "$id": f"/schemas/{name}/{version}", "title": name}
    return {**head, "description": generated.pop("description", ""), **marks, **generated, "title": name}


def schema_documents() -> dict[str, dict[str, Any]]:
    """Every published schema by its key, in the order of the catalogue, oldest version first."""
    return {key_of(name, version): schema_document(name, version, body) for name, version, body in versions()}


def hoisted(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema as a member of a larger document, its definitions moved into `components` (`#/components/schemas`).

    A `$ref` to `#/$defs/X` would be looked for at the root of that document. Raises ValueError where two schemas mean
    different things by one name.
    """
    for name, definition in schema.get("$defs", {}).items():
        moved = _pointing_to_components(definition)
        if components.setdefault(name, moved) != moved:
            raise ValueError(f"two schemas define {name} differently: give the struct of one of them another name")
    own = {key: value for key, value in schema.items() if key not in ("$schema", "$id", "$defs")}
    result: dict[str, Any] = _pointing_to_components(own)
    return result


def _pointing_to_components(part: Any) -> Any:
    if isinstance(part, list):
        return [_pointing_to_components(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _pointing_to_components(value)
        for key, value in part.items()
    }
