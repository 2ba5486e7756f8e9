"""CloudEvents in HTTP and Kafka messages, of any type and sender: what a message says is what is read, in every mode.

The cases are those of the conformance suite of CloudEvents for the two bindings, and the edges of the specification.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import bindings, wire
from schemas.codec import parse_event
from tests.support.builders import NOW, document, recorded

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "type": "org.example.greeted",
    "time": "2024-02-29T23:59:59Z",
    "id": "7-7-7",
    "source": "/greeter/door",
    "datacontenttype": "application/json",
    "data": {"text": "Good morning"},
}
"""Of a type that nobody here knows: reading judges nothing."""
DATA = json.dumps(EVENT["data"]).encode()
ATTRIBUTES = {name: value for name, value in EVENT.items() if name not in ("data", "datacontenttype")}

STRUCTURED_TYPES = ["application/cloudevents+json", "application/cloudevents+json; charset=utf-8"]


def http_headers(content_type: str, **attributes: str) -> list[tuple[bytes, bytes]]:
    named = [(f"ce-{name}".encode(), value.encode()) for name, value in attributes.items()]
    return [(b"host", b"example.com"), *named, (b"Content-Type", content_type.encode())]


def kafka_headers(content_type: str, **attributes: str) -> list[tuple[str, bytes]]:
    named = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    return [*named, ("content-type", content_type.encode())]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_a_binary_request_is_read(content_type: str) -> None:
    read = bindings.from_http(http_headers(content_type, **ATTRIBUTES), DATA)
    assert read == {**EVENT, "datacontenttype": content_type}


@pytest.mark.parametrize("content_type", STRUCTURED_TYPES)
def test_a_structured_request_is_read(content_type: str) -> None:
    assert bindings.from_http(http_headers(content_type), json.dumps(EVENT).encode()) == EVENT


def test_headers_beside_a_structured_event_say_nothing() -> None:
    headers = http_headers(STRUCTURED_TYPES[0], id="another", datacontenttype="text/plain")
    assert bindings.from_http(headers, json.dumps(EVENT).encode()) == EVENT


@pytest.mark.parametrize("events", [[], [EVENT], [EVENT, {**EVENT, "id": "8"}]])
def test_a_batch_is_read(events: list[dict[str, Any]]) -> None:
    assert bindings.from_http(http_headers(bindings.BATCH), json.dumps(events).encode()) == events


def test_a_binary_record_is_read() -> None:
    assert bindings.from_kafka(kafka_headers("application/json", **ATTRIBUTES), DATA) == EVENT


@pytest.mark.parametrize("content_type", STRUCTURED_TYPES)
def test_a_structured_record_is_read(content_type: str) -> None:
    assert bindings.from_kafka(kafka_headers(content_type), json.dumps(EVENT).encode()) == EVENT


def test_names_of_headers_have_no_case() -> None:
    shouting = [(name.upper(), value) for name, value in http_headers("application/json", **ATTRIBUTES)]
    assert bindings.from_http(shouting, DATA) == EVENT
    loud = [(name.upper(), value) for name, value in kafka_headers("application/json", **ATTRIBUTES)]
    assert bindings.from_kafka(loud, DATA) == EVENT


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%2541", "%41"),
        ("100%25", "100%"),
        ("a+b", "a+b"),
        ("%e5%ae%a2", "客"),
        ('"in old quotes"', "in old quotes"),
        (r'"he said \"no\" \\ left"', r'he said "no" \ left'),
        ('"%22"', '"'),
        ('"', '"'),
        ("客戶", "客戶"),
    ],
)
def test_a_header_is_unquoted_and_percent_decoded_once(written: str, meant: str) -> None:
    read = bindings.from_http(http_headers("application/json", note=written), DATA)
    assert isinstance(read, dict)
    assert read["note"] == meant


def test_a_record_is_not_percent_decoded() -> None:
    assert bindings.from_kafka(kafka_headers("application/json", note="100%25"), DATA)["note"] == "100%25"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_whatever_the_sdk_writes_into_a_header_is_read_back(text: str) -> None:
    from cloudevents.core.bindings.http import _encode_header_value

    read = bindings.from_http(http_headers("application/json", note=_encode_header_value(text)), DATA)
    assert isinstance(read, dict)
    assert read["note"] == text


@pytest.mark.parametrize(
    ("headers", "blamed"),
    [
        ([(b"ce-note", b"50%")], "ce-note"),
        ([(b"ce-note", b"%zz")], "ce-note"),
        ([(b"ce-note", b"%4")], "ce-note"),
        ([(b"ce-note", b"%ff")], "ce-note"),
        ([(b"ce-note", b"%c3%28")], "ce-note"),
        ([(b"ce-note", b"\xe9")], "ce-note"),
        ([(b"ce-id", b"1"), (b"ce-id", b"2")], "ce-id"),
        ([(b"ce-datacontenttype", b"application/json")], "ce-datacontenttype"),
        ([(b"ce-data", b"{}")], "ce-data"),
        ([(b"ce-data_base64", b"e30=")], "ce-data_base64"),
    ],
)
def test_a_header_that_cannot_be_read_is_blamed(headers: list[tuple[bytes, bytes]], blamed: str) -> None:
    with pytest.raises(bindings.NotACloudEvent) as caught:
        bindings.from_http([*headers, (b"content-type", b"application/json")], DATA)
    assert caught.value.header == blamed


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"{}"),
        ("", b"{}"),
        ("application/xml", b"{}"),
        ("application/json", b""),
        ("application/json", b"{"),
        ("application/cloudevents+json", b"[]"),
        ("application/cloudevents-batch+json", b"{}"),
    ],
)
def test_what_holds_no_event_that_is_read_here_is_said_to_be_none(content_type: str, body: bytes) -> None:
    with pytest.raises(bindings.NotACloudEvent):
        bindings.from_http(http_headers(content_type), body)


def test_a_tombstone_holds_no_event() -> None:
    with pytest.raises(bindings.NotACloudEvent):
        bindings.from_kafka(kafka_headers("application/json", **ATTRIBUTES), None)


@pytest.mark.parametrize(
    ("written", "read"),
    [("3", 3), ("0", 0), ("-1", -1), ("03", "03"), ("+3", "+3"), ("3.0", "3.0"), ("", ""), ("three", "three")],
)
def test_an_attribute_declared_an_integer_is_read_as_one_where_it_is_written_like_one(written: str, read: Any) -> None:
    document = bindings.from_http(http_headers("application/json", expectedversion=written, sequence=written), DATA)
    assert isinstance(document, dict)
    assert (document["expectedversion"], document["sequence"]) == (read, written)


def test_what_the_log_publishes_reads_alike_from_a_record_and_from_a_line() -> None:
    sent = document("Won", id='id "7" 100%25 – 客戶', sequence="7", at="2026-01-01T01:30:00.5+02:00")
    event = recorded(parse_event(sent, NOW), partition=9, position=12, version=3, anomaly="again")
    _, value, headers, _ = wire.to_kafka(event, "https://sales.example")
    assert bindings.from_kafka(headers, value) == json.loads(wire.structured(event, "https://sales.example"))
