"""FULL_TRANSITIVE: every committed schema against every shape that it ever had; and that the check fails when it should."""

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.publication.compatibility import (
    breaks,
    is_continued_by,
    read_published,
    refusals,
    shape_of,
    unpublished,
)
from tests.unit.publication.committed import ROOT, SCHEMAS, read

RECORD = "schemas/json/published.ndjson"
PUBLISHED = read_published((ROOT / RECORD).read_text(encoding="utf-8"))
COMMITTED = {key: read(path) for key, path in SCHEMAS.items()}

OLD: dict[str, Any] = {
    "$id": "/schemas/Sold/1",
    "title": "Sold",
    "description": "Something was sold.",
    "x-streams": ["lead", "person"],
    "type": "object",
    "properties": {
        "value": {"description": "For how much.", "$ref": "#/$defs/Money"},
        "reason": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[a-z]+$"},
        "kind": {"enum": ["new", "again"]},
        "score": {"type": "integer", "minimum": 0, "maximum": 100},
        "sold_on": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 10},
        "name": {"type": "string", "x-pii": True},
        "title": {"type": "string"},
        "utm": {
            "type": "object",
            "propertyNames": {"pattern": "^[a-z]+$"},
            "maxProperties": 8,
            "additionalProperties": {"type": "string", "pattern": "^[a-z]+$"},
        },
    },
    "required": ["value", "kind"],
    "additionalProperties": False,
    "$defs": {
        "Money": {
            "type": "object",
            "properties": {"amount": {"type": "string"}, "currency": {"type": "string"}},
            "required": ["amount"],
            "additionalProperties": False,
        }
    },
}

Change = Callable[[dict[str, Any]], Any]
_P = "properties"

BREAKING: dict[str, Change] = {
    "a field taken out": lambda new: new[_P].pop("reason"),
    "a field renamed": lambda new: new[_P].update(why=new[_P].pop("reason")),
    "a field of another type": lambda new: new[_P].update(score={"type": "string"}),
    "an integer that may be a number": lambda new: new[_P]["score"].update(type="number"),
    "a required field added": lambda new: (new[_P].update(by={"type": "string"}), new["required"].append("by")),
    "an optional field made required": lambda new: new["required"].append("reason"),
    "a required field made optional": lambda new: new["required"].remove("kind"),
    "a choice taken out": lambda new: new[_P]["kind"].update(enum=["new"]),
    "a choice added": lambda new: new[_P]["kind"].update(enum=["new", "again", "back"]),
    "a text made shorter": lambda new: new[_P]["reason"].update(maxLength=100),
    "a text made longer": lambda new: new[_P]["reason"].update(maxLength=400),
    "a text that may be empty": lambda new: new[_P]["reason"].pop("minLength"),
    "a pattern changed": lambda new: new[_P]["reason"].update(pattern="^[a-z0-9]+$"),
    "a pattern added": lambda new: new[_P]["title"].update(pattern="^[a-z]+$"),
    "a pattern taken out": lambda new: new[_P]["reason"].pop("pattern"),
    "a format taken out": lambda new: new[_P]["sold_on"].pop("format"),
    "a day made an instant": lambda new: new[_P]["sold_on"].update(format="date-time"),
    "a range made narrower": lambda new: new[_P]["score"].update(maximum=10),
    "a range made wider": lambda new: new[_P]["score"].update(maximum=1000),
    "a list that may not be empty": lambda new: new[_P]["tags"].update(minItems=1),
    "a map that may not be empty": lambda new: new[_P]["utm"].update(minProperties=1),
    "a list made shorter": lambda new: new[_P]["tags"].update(maxItems=5),
    "items of another type": lambda new: new[_P]["tags"].update(items={"type": "integer"}),
    "a field taken out of a part": lambda new: new["$defs"]["Money"][_P].pop("currency"),
    "a required field in a part": lambda new: new["$defs"]["Money"]["required"].append("currency"),
    "a map of other values": lambda new: new[_P]["utm"]["additionalProperties"].update(type="integer"),
    "a map with values of another pattern": lambda new: new[_P]["utm"]["additionalProperties"].update(pattern="."),
    "a map with names of another pattern": lambda new: new[_P]["utm"]["propertyNames"].update(pattern="."),
    "a smaller map": lambda new: new[_P]["utm"].update(maxProperties=4),
    "another pattern in a part": lambda new: new["$defs"]["Money"][_P]["amount"].update(pattern="^[0-9]+$"),
    "a stream less": lambda new: new.update({"x-streams": ["lead"]}),
    "person data no longer marked": lambda new: new[_P]["name"].pop("x-pii"),
    "a known field marked as person data": lambda new: new[_P]["reason"].update({"x-pii": True}),
}
HARMLESS: dict[str, Change] = {
    "nothing": lambda new: None,
    "an optional field added": lambda new: new[_P].update(by={"type": "string"}),
    "an optional part added": lambda new: new[_P].update(paid={"$ref": "#/$defs/Money"}),
    "an optional field in a part": lambda new: new["$defs"]["Money"][_P].update(tax={"type": "string"}),
    "an optional field of person data": lambda new: new[_P].update(email={"type": "string", "x-pii": True}),
    "a part under another name": lambda new: new.update(json.loads(json.dumps(new).replace("Money", "Sum"))),
    "another sentence": lambda new: new[_P]["value"].update(description="The price."),
    "a stream more": lambda new: new["x-streams"].append("account"),
    "fields in another order": lambda new: new.update({_P: dict(reversed(new[_P].items()))}),
}


def changed(change: Change) -> dict[str, Any]:
    new = copy.deepcopy(OLD)
    change(new)
    return new


@pytest.mark.parametrize("key", SCHEMAS)
def test_a_committed_schema_is_compatible_with_every_shape_it_had(key: str) -> None:
    assert PUBLISHED[key], "salescycle schemas write records the first shape"
    assert refusals({key: COMMITTED[key]}, {key: PUBLISHED[key]}) == []


def test_nothing_that_was_published_is_gone() -> None:
    assert set(PUBLISHED) <= set(COMMITTED)


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING)
def test_a_change_that_somebody_could_not_follow_is_refused(change: Change) -> None:
    assert refusals({"Sold.1": changed(change)}, {"Sold.1": [shape_of(OLD)]})


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_a_change_that_everybody_can_follow_is_let_through(change: Change) -> None:
    assert breaks(shape_of(OLD), shape_of(changed(change))) == []


def test_a_refusal_says_which_way_it_breaks() -> None:
    gone, added = (shape_of(changed(BREAKING[which])) for which in ("a field taken out", "a choice added"))
    assert [why for why in breaks(shape_of(OLD), gone) if "BACKWARD" in why]
    assert [why for why in breaks(shape_of(OLD), added) if "FORWARD" in why]


@pytest.mark.parametrize(
    "key", ["Won.1", "LeadCaptured.1", "CampaignCostRecorded.1", "EventCorrected.1", "TargetSet.1"]
)
def test_a_field_of_a_committed_schema_cannot_go_and_an_optional_one_can_come(key: str) -> None:
    without, more, demanding = (copy.deepcopy(COMMITTED[key]) for _ in range(3))
    without[_P].pop(next(iter(without[_P])))
    more[_P]["added"] = {"type": "string"}
    demanding[_P]["added"] = {"type": "string"}
    demanding["required"] = [*demanding.get("required", []), "added"]
    assert refusals({key: without}, {key: PUBLISHED[key]})
    assert refusals({key: demanding}, {key: PUBLISHED[key]})
    assert refusals({key: more}, {key: PUBLISHED[key]}) == []


def test_a_break_over_two_harmless_steps_is_found() -> None:
    """An optional field that comes, and later comes back in another form, is a break against the first shape with it."""
    first = shape_of(changed(lambda new: new[_P].update(by={"type": "string"})))
    then = shape_of(OLD)
    now = changed(lambda new: new[_P].update(by={"type": "integer"}))
    assert refusals({"Sold.1": now}, {"Sold.1": [then]}) == []
    assert [why for why in refusals({"Sold.1": now}, {"Sold.1": [then, first]}) if "shape 2" in why]


def test_a_type_that_was_published_cannot_be_taken_out() -> None:
    assert refusals({}, {"Sold.1": [shape_of(OLD)]}) == ["Sold.1 was published and is gone"]


def test_a_shape_is_recorded_once_and_words_make_no_new_shape() -> None:
    lines = unpublished({"Sold.1": OLD}, {})
    record = read_published(lines)
    assert record == {"Sold.1": [shape_of(OLD)]}
    assert unpublished({"Sold.1": changed(HARMLESS["another sentence"])}, record) == ""
    grown = changed(HARMLESS["an optional field added"])
    assert read_published(lines + unpublished({"Sold.1": grown}, record))["Sold.1"] == [shape_of(OLD), shape_of(grown)]


JUDGED = {
    "type", "properties", "required", "additionalProperties", "propertyNames", "minProperties", "maxProperties", "items",
    "minItems", "maxItems", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "format", "$ref", "$defs",
    "x-streams", "x-pii", "default",
}  # fmt: skip
"""Words with a case above, and `default`, which says nothing of what is valid."""


def test_no_schema_uses_a_word_that_nobody_has_seen_the_check_judge() -> None:
    def words(part: Any, named: bool = False) -> set[str]:
        if isinstance(part, list):
            return set().union(*map(words, part))
        if not isinstance(part, dict):
            return set()
        below = (words(value, not named and key in ("properties", "$defs")) for key, value in part.items())
        return set().union(set() if named else set(part), *below)

    assert words([shapes for every in PUBLISHED.values() for shapes in every]) <= JUDGED


def test_a_field_named_like_a_keyword_stays_in_the_shape() -> None:
    assert "title" in shape_of(OLD)[_P]
    assert "title" not in shape_of(OLD)


def test_a_record_that_lost_a_line_is_no_continuation() -> None:
    assert is_continued_by("a\nb\n", "a\nb\nc\n")
    assert not is_continued_by("a\nb\n", "a\nc\n")


def lost_since_a_release(checkout: Path) -> list[str]:
    """The release tags whose record of shapes the present one does not continue."""
    present = (checkout / RECORD).read_text(encoding="utf-8")
    tags = _git(checkout, "tag", "--list", "v[0-9]*").split()
    return [tag for tag in tags if not is_continued_by(_git(checkout, "show", f"{tag}:{RECORD}"), present)]


def test_the_record_holds_all_that_was_ever_released() -> None:
    assert lost_since_a_release(ROOT) == [], "lines are only ever appended; these releases hold others"


def test_a_record_that_a_release_knows_otherwise_is_found(tmp_path: Path) -> None:
    record = tmp_path / RECORD
    record.parent.mkdir(parents=True)
    record.write_text("a\nb\n")
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "add", RECORD)
    _git(tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", "x")
    _git(tmp_path, "tag", "v1.0.0")
    record.write_text("a\nb\nc\n")
    assert lost_since_a_release(tmp_path) == []
    record.write_text("a\nc\n")
    assert lost_since_a_release(tmp_path) == ["v1.0.0"]


def _git(checkout: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=checkout, capture_output=True, text=True, check=False).stdout
