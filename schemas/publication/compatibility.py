"""Whether a schema may change as it did: FULL_TRANSITIVE, against every shape that its version has ever had.

An event store replays for ever, so what was once valid must stay readable (BACKWARD), and a subscriber that was written
against an older shape must be able to read what is sent today (FORWARD). The published schemas are closed: the door takes
no field it does not know, and BACKWARD is checked on them as they are. Readers must let unknown fields pass, so FORWARD is
checked on the open variants; on closed ones no field could ever be added.

The shapes lie in a file to which lines are only ever appended (`schemas/json/published.ndjson`). A shape is a schema
without what only people read. What is not compatible is a new version of the type, with an upcaster (ADR-0014).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from jsoncompat import check_compat

_FOR_PEOPLE: Final = frozenset({"$schema", "$id", "title", "description", "examples", "deprecated", "x-phase"})
_NAMED: Final = frozenset({"properties", "$defs"})
"""Keywords whose members are names of our own, not keywords."""
_UNJUDGED: Final = {
    "pattern": "whether one takes all that the other takes cannot be told, so it stays",
    "format": "what is a date to one side is none to the other",
    "x-pii": "what is stored would not follow",
}
"""Words that jsoncompat 0.3 does not look at, and that must not change at a place that was there before."""


def shape_of(schema: Any) -> Any:
    """The schema without what only people read. `x-streams` and `x-pii` stay: others act on them."""
    if isinstance(schema, list):
        return [shape_of(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: shape_of(part) for name, part in value.items()} if key in _NAMED else shape_of(value)
        for key, value in schema.items()
        if key not in _FOR_PEOPLE
    }


def breaks(earlier: dict[str, Any], later: dict[str, Any]) -> list[str]:
    """Why a schema may not go from one shape to the other, in sentences; empty where it may."""
    found = []
    if not _readable(earlier, later, "deserializer"):
        found.append("what was valid under the earlier shape is refused under the later one (BACKWARD)")
    if not _readable(_opened(earlier), _opened(later), "serializer"):
        found.append("what is valid under the later shape cannot be read under the earlier one (FORWARD)")
    if gone := set(earlier.get("x-streams", ())) - set(later.get("x-streams", ())):
        found.append(f"it may no longer stand on the streams {', '.join(sorted(gone))}")
    now = dict(_places(later, later))
    for word, why in _UNJUDGED.items():
        changed = sorted(
            path for path, part in _places(earlier, earlier) if path in now and part.get(word) != now[path].get(word)
        )
        if changed:
            found.append(f"`{word}` differs at {', '.join(changed)}: {why}")
    return found


def _readable(earlier: dict[str, Any], later: dict[str, Any], role: Literal["serializer", "deserializer"]) -> bool:
    try:
        return bool(check_compat(json.dumps(_plain(earlier)), json.dumps(_plain(later)), role))
    except ValueError:  # a schema that the judge cannot read is not shown to be compatible
        return False


def _plain(shape: dict[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in shape.items() if not key.startswith("x-")}


def _opened(shape: Any) -> Any:
    """The variant that a tolerant reader goes by: fields it does not know pass."""
    if isinstance(shape, list):
        return [_opened(part) for part in shape]
    if not isinstance(shape, dict):
        return shape
    return {key: _opened(part) for key, part in shape.items() if not (key == "additionalProperties" and part is False)}


def _places(part: dict[str, Any], shape: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, schema) of everything that a shape describes, references followed."""
    if "$ref" in part:
        referred = shape["$defs"][part["$ref"].rpartition("/")[2]]
        part = {**referred, **{key: value for key, value in part.items() if key != "$ref"}}
    yield path, part
    for name, field in part.get("properties", {}).items():
        yield from _places(field, shape, f"{path}/{name}")
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(each := part.get(keyword), dict):
            yield from _places(each, shape, f"{path}/({keyword})")
    for number, choice in enumerate(part.get("anyOf", ())):
        yield from _places(choice, shape, f"{path}/({number})")


def read_published(text: str) -> dict[str, list[dict[str, Any]]]:
    """Every shape of each schema (`Won.1`), oldest first, from the lines of the file."""
    shapes: dict[str, list[dict[str, Any]]] = {}
    for line in text.splitlines():
        entry = json.loads(line)
        shapes.setdefault(entry["schema"], []).append(entry["shape"])
    return shapes


def refusals(schemas: Mapping[str, dict[str, Any]], published: Mapping[str, Sequence[dict[str, Any]]]) -> list[str]:
    """What the schemas may not do after all that was published: one sentence each; empty where they may."""
    found = [f"{key} was published and is gone" for key in published if key not in schemas]
    for key, schema in schemas.items():
        shape = shape_of(schema)
        for number, earlier in enumerate(published.get(key, ()), 1):
            if earlier != shape:
                found += [f"{key} against its published shape {number}: {why}" for why in breaks(earlier, shape)]
    return found


def unpublished(schemas: Mapping[str, dict[str, Any]], published: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """The lines to append: every shape that is not the last one of its schema."""
    lines = []
    for key, schema in schemas.items():
        shape = shape_of(schema)
        if shape not in published.get(key, ())[-1:]:
            lines.append(json.dumps({"schema": key, "shape": shape}, ensure_ascii=False, separators=(",", ":")))
    return "".join(f"{line}\n" for line in lines)


def is_continued_by(released: str, present: str) -> bool:
    """Whether the file only grew since a release: nothing that others rely on was taken out of it."""
    return present.startswith(released)
