"""The golden events: one of every type and version, taken by the door and by its own schema; old ones read as new ones."""

from datetime import UTC, date, datetime

import jsonschema_rs
import msgspec
import pytest

from schemas import codec
from schemas.envelope import Recorded
from schemas.events import EVENTS
from schemas.events.fields import Money, Period
from schemas.events.plans import CampaignCostRecorded
from schemas.upcast import OLDER
from tests.unit.publication.committed import ROOT, SCHEMAS, read

NOW = datetime(2026, 6, 1, tzinfo=UTC)
GOLDEN = {path.stem: path for path in sorted((ROOT / "schemas/golden").glob("*.json"))}


def test_every_schema_has_a_golden_event() -> None:
    assert GOLDEN.keys() == SCHEMAS.keys()


@pytest.mark.parametrize("key", GOLDEN)
def test_a_golden_event_is_taken_and_fits_its_schema_with_every_field(key: str) -> None:
    document, schema = read(GOLDEN[key]), read(SCHEMAS[key])
    name, _, version = key.rpartition(".")
    event = codec.parse_event(document, NOW)
    assert event.type == name
    assert event.meta.get("dataschema", 1) == int(version)
    assert type(event.body) is EVENTS[name].body
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(document["data"])
    assert document["data"].keys() == schema["properties"].keys()


@pytest.mark.parametrize("key", [f"{name}.{version}" for name, version in OLDER])
def test_a_golden_event_of_an_old_version_is_read_as_the_newest(key: str) -> None:
    document = read(GOLDEN[key])
    event = codec.parse_event(document, NOW)
    assert msgspec.json.decode(event.data) == document["data"], "what is stored is what was sent"
    stored = Recorded(
        partition=0, position=1, stream=event.stream, version=1, type=event.type, source=event.source, id=event.id,
        occurred_at=event.occurred_at, recorded_at=NOW, data=event.data, meta=event.meta,
    )  # fmt: skip
    assert codec.body_of(stored) == event.body
    assert type(event.body) is EVENTS[event.type].body


def test_the_costs_of_a_month_are_read_as_those_of_its_days() -> None:
    body = codec.parse_event(read(GOLDEN["CampaignCostRecorded.1"]), NOW).body
    assert body == CampaignCostRecorded(
        cost=Money(amount="1234.50", currency="EUR"), period=Period(start=date(2026, 1, 1), end=date(2026, 2, 1))
    )


def test_no_version_but_the_newest_lacks_an_upcaster() -> None:
    assert {(name, version) for name, kind in EVENTS.items() for version in range(1, kind.version)} == set(OLDER)
