"""An event on its way out: an id that can be made again, and a document that the door takes."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import parse_event
from schemas.events import EVENTS, Money
from schemas.events.opportunity import LeadCaptured
from schemas.events.plans import CampaignCostRecorded
from schemas.events.transaction import Won
from schemas.examples import examples
from services.client import Outgoing, event, id_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def parsed(sent: Outgoing) -> object:
    return parse_event(msgspec.json.decode(sent.line), NOW).body


@pytest.mark.parametrize("name", EVENTS)
def test_every_type_of_the_language_is_taken_by_the_door_as_its_struct_says(name: str) -> None:
    kind = EVENTS[name]
    body = msgspec.convert(examples()[name, kind.version]["data"], kind.body)
    sent = event(
        body, f"{kind.stream_type}/{'EUR-USD' if kind.stream_type == 'fx' else 'x-1'}", source="/t", id="1", time=NOW
    )
    assert (sent.type, parsed(sent)) == (name, body)


def test_plain_data_and_a_struct_make_the_same_event() -> None:
    struct = event(LeadCaptured(source_channel="web"), "lead/L-1", source="/t", id="1", time=NOW)
    plain = event({"source_channel": "web"}, "lead/L-1", type="LeadCaptured", source="/t", id="1", time=NOW)
    assert struct == plain


def test_attributes_and_the_expected_version_stand_in_the_document() -> None:
    at = datetime(2026, 3, 2, 9, 30, tzinfo=timezone(timedelta(hours=1)))
    sent = event(
        Won(value=Money(amount="1.00", currency="EUR")), "lead/L-1", source="/t", id="1", time=at, expected_version=0,
        timeprecision="day", correlationid="c-1",
    )  # fmt: skip
    document = msgspec.json.decode(sent.line)
    assert document["time"] == "2026-03-02T09:30:00+01:00"
    assert (document["expectedversion"], document["timeprecision"], document["correlationid"]) == (0, "day", "c-1")
    assert parse_event(document, NOW).expected_version == 0


def test_a_type_that_the_service_may_know_is_sent_though_this_release_does_not() -> None:
    sent = event({"a": 1}, "lead/L-1", type="NotYetInvented", source="/t", id="1", time=NOW)
    assert msgspec.json.decode(sent.line)["type"] == "NotYetInvented"


def test_what_could_not_be_an_event_is_said_before_anything_is_sent() -> None:
    body = LeadCaptured(source_channel="web")
    with pytest.raises(ValueError, match="offset"):
        event(body, "lead/L-1", source="/t", id="1", time=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="type="):
        event({"source_channel": "web"}, "lead/L-1", source="/t", id="1", time=NOW)
    with pytest.raises(ValueError, match="not the newest body"):
        event(Money(amount="1", currency="EUR"), "lead/L-1", source="/t", id="1", time=NOW)
    with pytest.raises(ValueError, match="not the newest body"):
        event(body, "lead/L-1", type="Won", source="/t", id="1", time=NOW)


def test_a_body_is_sent_under_the_schema_version_that_it_is_written_in() -> None:
    body = msgspec.convert(examples()["CampaignCostRecorded", 2]["data"], CampaignCostRecorded)
    sent = event(body, "campaign/spring", source="/t", id="1", time=NOW)
    assert msgspec.json.decode(sent.line)["dataschema"] == "/schemas/CampaignCostRecorded/2"


parts = st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=4)


@given(parts)
def test_an_id_can_be_made_again_and_is_one_that_the_door_takes(given_parts: list[str]) -> None:
    made = id_of(*given_parts)
    assert made == id_of(*given_parts)
    assert 0 < len(made) <= 128
    assert made.isascii()
    assert made.isprintable()


@given(parts, parts)
def test_ids_of_different_things_differ(one: list[str], other: list[str]) -> None:
    assert (id_of(*one) == id_of(*other)) == (one == other)


def test_ids_say_what_they_are_about_and_parts_do_not_run_together() -> None:
    assert id_of("invoice", 88, "paid") == "invoice:88:paid"
    assert all(a != b for a, b in combinations([id_of("a:b", "c"), id_of("a", "b:c"), id_of("a", "b", "c")], 2))
    with pytest.raises(ValueError, match="at least one part"):
        id_of("")
