"""What is published is what was recorded: both wire forms, there and back, and read by the CloudEvents SDK."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from cloudevents.core.bindings import kafka as sdk_kafka
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from schemas import wire
from schemas.codec import parse_event
from schemas.envelope import LOG_ATTRIBUTES, Recorded
from tests.support.builders import NOW, document, recorded

BASE = "https://sales.example/api"

_visible = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
_ids = st.text("abcXYZ019._:-", min_size=1, max_size=20)
_instants = st.datetimes(datetime(1990, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  hypothesis adds the zone
_extension_names = st.text("abcxyz019", min_size=1, max_size=20).filter(
    lambda name: name not in LOG_ATTRIBUTES | {"id", "data", "time", "type", "source", "subject"}
)


@st.composite
def _recorded(draw: st.DrawFn) -> Recorded:
    meta: dict[str, Any] = draw(
        st.dictionaries(_extension_names, _visible | st.booleans() | st.integers(-(2**31), 2**31 - 1), max_size=4)
    )
    for usual in ("sequence", "timeprecision", "correlationid", "causationid", "traceparent", "anomaly"):
        if draw(st.booleans()):
            meta[usual] = draw(_visible)
    if draw(st.booleans()):
        meta["dataschema"] = draw(st.integers(2, 99))
    occurred_at = draw(_instants)
    if draw(st.booleans()):
        zone = timezone(timedelta(minutes=draw(st.integers(-14 * 60, 14 * 60).filter(bool))))
        meta["time"] = occurred_at.astimezone(zone).isoformat()
    data = draw(
        st.dictionaries(_visible, st.none() | _visible | st.integers(-(2**53), 2**53) | st.lists(_visible, max_size=3))
    )
    return Recorded(
        partition=draw(st.integers(0, 2**31)),
        position=draw(st.integers(1, 2**62)),
        stream=f"lead/{draw(_ids)}",
        version=draw(st.integers(1, 2**31)),
        type=draw(st.sampled_from(["Won", "LeadCaptured", "SomethingLater"])),
        source=draw(_visible),
        id=draw(_visible),
        occurred_at=occurred_at,
        recorded_at=draw(_instants),
        data=msgspec.json.encode(data, order="deterministic"),
        meta=meta,
    )


@given(_recorded())
def test_a_line_reads_back_as_the_event_it_was_made_from(event: Recorded) -> None:
    line = wire.structured(event, BASE)
    assert b"\n" not in line
    assert wire.from_structured(line) == event


@given(_recorded())
def test_a_record_reads_back_as_the_event_it_was_made_from(event: Recorded) -> None:
    key, value, headers, timestamp_ms = wire.to_kafka(event, BASE)
    assert wire.from_kafka(event.partition, key, value, headers, timestamp_ms) == event


@given(_recorded())
def test_both_forms_carry_the_same_attributes(event: Recorded) -> None:
    line = json.loads(wire.structured(event, BASE))
    _, value, headers, _ = wire.to_kafka(event, BASE)
    binary = {name.removeprefix("ce_"): text.decode() for name, text in headers if name.startswith("ce_")}
    texts = {name: text if isinstance(text, str) else json.dumps(text) for name, text in line.items()}
    data = texts.pop("data")
    assert texts.pop("datacontenttype") == dict(headers)["content-type"].decode()
    assert binary == texts
    assert json.loads(data) == json.loads(value)


SENT = document(
    "Won", id='id "7" – 客戶', sequence="7", correlationid="c-1", retries=3, test=True, at="2026-01-01T01:30:00.5+02:00"
)
EVENT = recorded(parse_event(SENT, NOW), partition=9, position=12, version=3, anomaly="Won on a lost lead – again")


def test_the_line_has_the_shape_that_was_promised() -> None:
    line = json.loads(wire.structured(EVENT, BASE))
    assert line == {
        "specversion": "1.0",
        "id": SENT["id"],
        "source": "/tests",
        "type": "Won",
        "dataschema": f"{BASE}/schemas/Won/1",
        "datacontenttype": "application/json",
        "subject": "lead/L-1",
        "time": "2026-01-01T01:30:00.5+02:00",
        "sequence": "7",
        "correlationid": "c-1",
        "retries": 3,
        "test": True,
        "anomaly": "Won on a lost lead – again",
        "partition": 9,
        "position": 12,
        "version": 3,
        "recordedtime": "2026-06-01T12:00:00.000000Z",
        "data": SENT["data"],
    }


def test_the_record_has_the_shape_that_was_promised() -> None:
    key, value, headers, timestamp_ms = wire.to_kafka(EVENT, BASE)
    assert key == b"lead/L-1"
    assert json.loads(value) == SENT["data"]
    assert timestamp_ms == int(NOW.timestamp() * 1000)
    assert {
        "ce_specversion": b"1.0",
        "ce_type": b"Won",
        "ce_subject": b"lead/L-1",
        "ce_dataschema": f"{BASE}/schemas/Won/1".encode(),
        "content-type": b"application/json",
        "ce_partition": b"9",
        "ce_position": b"12",
        "ce_version": b"3",
        "ce_recordedtime": b"2026-06-01T12:00:00.000000Z",
        "ce_retries": b"3",
        "ce_test": b"true",
    }.items() <= dict(headers).items()


def test_the_sdk_reads_the_line() -> None:
    event = JSONFormat().read(None, wire.structured(EVENT, BASE))
    _is_the_event(event)
    assert event.get_extension("position") == 12


def test_the_sdk_reads_the_record() -> None:
    key, value, headers, _ = wire.to_kafka(EVENT, BASE)
    event = sdk_kafka.from_binary_event(sdk_kafka.KafkaMessage(headers=dict(headers), key=key, value=value))
    _is_the_event(event)
    assert event.get_extension("position") == "12"


def _is_the_event(event: Any) -> None:
    assert (event.get_id(), event.get_source(), event.get_type()) == (EVENT.id, EVENT.source, EVENT.type)
    assert (event.get_subject(), event.get_time()) == (EVENT.stream, EVENT.occurred_at)
    assert event.get_dataschema() == f"{BASE}/schemas/Won/1"
    assert event.get_extension("anomaly") == EVENT.meta["anomaly"]
    assert event.get_data() == SENT["data"]


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"x", wire.structured(EVENT, BASE)[:-1], b'{"id":1}', b"\xff"])
def test_a_line_that_is_no_event_is_said_to_be_none(line: bytes) -> None:
    with pytest.raises(wire.NotAnEvent):
        wire.from_structured(line)


def _altered(**changes: Any) -> tuple[Any, ...]:
    key, value, headers, timestamp_ms = wire.to_kafka(EVENT, BASE)
    given_headers = [
        (name, changes.get(name.removeprefix("ce_"), text))
        for name, text in headers
        if changes.get(name.removeprefix("ce_"), text) is not None
    ]
    return (
        changes.get("in_partition", 9),
        changes.get("key", key),
        changes.get("value", value),
        given_headers,
        changes.get("timestamp_ms", timestamp_ms),
    )


@pytest.mark.parametrize(
    "record",
    [
        _altered(in_partition=8),
        _altered(key=None),
        _altered(key=b"lead/L-2"),
        _altered(value=None),
        _altered(value=b""),
        _altered(timestamp_ms=1),
        _altered(position=b"x"),
        _altered(position=None),
        _altered(specversion=None),
        _altered(time=b"yesterday"),
        _altered(time=b"\xff"),
        _altered(recordedtime=b"2026-01-01T00:00:00"),
        _altered(dataschema=b"x"),
        (9, b"k", b"v", [], 0),
    ],
)
def test_a_record_that_is_no_event_of_the_log_is_said_to_be_none(record: tuple[Any, ...]) -> None:
    with pytest.raises(wire.NotAnEvent):
        wire.from_kafka(*record)
