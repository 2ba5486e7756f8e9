"""CloudEvents at the real door and on the real broker, spoken by the CloudEvents SDK: what it sends we take, what we publish it reads."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import http as sdk_http
from cloudevents.core.bindings import kafka as sdk_kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from services.cli import machine
from services.cli.embedded import EmbeddedPostgres
from services.cli.embedded_broker import EmbeddedBroker
from services.kernel import kafka
from tests.support import brokers
from tests.support import postgres as postgres_support
from tests.support.brokers import Broker, leads_topic_of
from tests.support.builders import document, eur
from tests.support.logs import broker_settings
from tests.support.processes import Processes

BATCH = "application/cloudevents-batch+json"


@pytest.fixture(scope="module")
def door(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One lifecycle for all requests of this file; each takes a lead of its own."""
    folder = tmp_path_factory.mktemp("cloudevents")
    database = postgres_support.new_name()
    broker = EmbeddedBroker(folder / "broker", machine.free_port())
    broker.start()
    settings = {"SALESCYCLE_POSTGRES__URL": postgres.create_database(database), **brokers.environment(broker)}
    processes = Processes(folder / "processes", settings)
    try:
        processes.salescycle("migrate")
        process = processes.lifecycle()
        with httpx.Client(base_url=process.url, headers=processes.headers, timeout=30) as http:
            yield http
    finally:
        processes.close()
        broker.stop()
        postgres.drop_database(database)


def sdk_event(lead: str, type_name: str = "Won", **attributes: Any) -> CloudEvent:
    """An event of ours in the hands of the SDK; the id, the note and the source need percent-encoding."""
    return CloudEvent(
        {
            "id": f'{lead} "50%" – 客戶', "source": "/sdk/caf%C3%A9", "type": type_name, "subject": f"lead/{lead}",
            "time": datetime(2026, 3, 1, 9, 30, tzinfo=UTC), "specversion": "1.0", "datacontenttype": "application/json",
            "note": "100% sure – 50%25", **attributes,
        },
        {"value": eur("250.00"), "competitor_beaten": "Globex"} if type_name == "Won" else {},
    )  # fmt: skip


def sent(http: httpx.Client, message: sdk_http.HTTPMessage, **headers: str) -> httpx.Response:
    return http.post("/v1/events", content=message.body, headers={**message.headers, **headers})


def history(http: httpx.Client, lead: str) -> list[BaseCloudEvent]:
    """The lead's events as the SDK reads them."""
    events = http.get(f"/v1/leads/{lead}/events").json()["events"]
    return [JSONFormat().read(None, json.dumps(event).encode()) for event in events]


def is_as_sent(read: BaseCloudEvent, given: CloudEvent) -> None:
    for name, value in given.get_attributes().items():
        assert read.get_attributes()[name] == value, name
    assert read.get_data() == given.get_data()


@pytest.mark.parametrize("to_message", [sdk_http.to_structured_event, sdk_http.to_binary_event])
def test_what_the_sdk_sends_is_stored_as_it_was_meant(door: httpx.Client, to_message: Any) -> None:
    event = sdk_event(f"SDK-{to_message.__name__}")
    answer = sent(door, to_message(event))
    assert answer.status_code == 201, answer.text
    assert answer.json()["id"] == event.get_id()
    (read,) = history(door, event.get_subject().removeprefix("lead/"))  # type: ignore[union-attr]
    is_as_sent(read, event)


def test_an_event_is_the_same_in_every_mode(door: httpx.Client) -> None:
    event = sdk_event("SDK-same")
    first = sent(door, sdk_http.to_binary_event(event))
    again = sent(door, sdk_http.to_structured_event(event))
    batch = b"[" + sdk_http.to_structured_event(event).body + b"]"
    in_batch = door.post("/v1/events", content=batch, headers={"content-type": BATCH})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert in_batch.json() == [{**first.json(), "status": 200}]


def test_a_batch_of_the_sdk_is_stored_in_order(door: httpx.Client) -> None:
    events = [sdk_event("SDK-batch", "Qualified"), sdk_event("SDK-batch", id="SDK-batch-2")]
    batch = b"[" + b",".join(sdk_http.to_structured_event(event).body for event in events) + b"]"
    answer = door.post("/v1/events", content=batch, headers={"content-type": BATCH})
    assert [item["status"] for item in answer.json()] == [201, 201]
    for read, event in zip(history(door, "SDK-batch"), events, strict=True):
        is_as_sent(read, event)


GREETING = {"specversion": "1.0", "source": "/conformance", "type": "Won", "time": "2018-04-05T03:56:24Z"}
VALUE = {"value": {"amount": "12.00", "currency": "EUR"}}


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize("shout", [False, True])
def test_binary_mode_as_the_conformance_suite_writes_it(door: httpx.Client, content_type: str, shout: bool) -> None:
    lead = f"B-{len(content_type)}-{shout}"
    attributes = {**GREETING, "id": lead, "subject": f"lead/{lead}"}
    headers = {f"CE-{name.upper()}" if shout else f"ce-{name}": value for name, value in attributes.items()}
    answer = door.post("/v1/events", content=json.dumps(VALUE), headers={**headers, "content-type": content_type})
    assert answer.status_code == 201, answer.text
    stored = door.get(answer.headers["location"]).json()
    assert {name: stored[name] for name in attributes} == {**attributes, "time": "2018-04-05T03:56:24.000000Z"}
    assert stored["data"] == VALUE


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents+json", "application/cloudevents+json; charset=utf-8", "application/json"],
)
def test_structured_mode_as_the_conformance_suite_writes_it(door: httpx.Client, content_type: str) -> None:
    lead = f"S-{len(content_type)}"
    event = {**GREETING, "id": lead, "subject": f"lead/{lead}", "datacontenttype": "application/json", "data": VALUE}
    answer = door.post("/v1/events", content=json.dumps(event), headers={"content-type": content_type})
    assert answer.status_code == 201, answer.text


def binary(lead: str, **changed: str) -> dict[str, str]:
    """The headers of a binary request; `_` in a name stands for `-`, an empty text takes one away."""
    headers = {f"ce-{name}": value for name, value in {**GREETING, "id": lead, "subject": f"lead/{lead}"}.items()}
    headers |= {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in changed.items()}}
    return {name: value for name, value in headers.items() if value}


@pytest.mark.parametrize(
    ("changed", "status", "pointer"),
    [
        ({"ce_datacontenttype": "application/json"}, 422, "/header/ce-datacontenttype"),
        ({"ce_note": "50%"}, 422, "/header/ce-note"),
        ({"ce_note": "%ff"}, 422, "/header/ce-note"),
        ({"ce_id": "a%0Ab"}, 422, "/id"),
        ({"ce_specversion": ""}, 422, "/specversion"),
        ({"ce_specversion": "0.3"}, 422, "/specversion"),
        ({"ce_type": ""}, 422, "/type"),
        ({"ce_time": ""}, 422, "/time"),
        ({"ce_position": "1"}, 422, "/position"),
        ({"ce_expectedversion": "one"}, 422, "/expectedversion"),
        ({"ce_some_thing": "x"}, 422, "/some-thing"),
        ({"ce_dataschema": "/schemas/Won/99"}, 422, "/dataschema"),
        ({"content_type": "text/plain"}, 415, None),
        ({"content_type": "application/json; charset=latin-1"}, 415, None),
    ],
)
def test_a_binary_request_that_cannot_be_taken_says_where(
    door: httpx.Client, changed: dict[str, str], status: int, pointer: str | None
) -> None:
    answer = door.post("/v1/events", content=json.dumps(VALUE), headers=binary("bad", **changed))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    if pointer:
        assert pointer in [flaw["pointer"] for flaw in answer.json()["errors"]]
    assert door.get("/v1/leads/bad").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b'{"a":1,"a":2}', 400, None),
        (b"[1]", 422, "/data"),
        (b'{"value":{"amount":"-1","currency":"EUR"}}', 422, "/data/value/amount"),
    ],
)
def test_data_that_cannot_be_taken_says_where(
    door: httpx.Client, body: bytes, status: int, pointer: str | None
) -> None:
    answer = door.post("/v1/events", content=body, headers=binary("bad"))
    assert answer.status_code == status
    assert pointer is None or pointer in [flaw["pointer"] for flaw in answer.json()["errors"]]


def test_conditions_are_those_of_any_event(door: httpx.Client) -> None:
    def post(number: int, **changed: str) -> int:
        headers = binary("C-1", ce_id=f"C-1-{number}", **changed)
        return door.post("/v1/events", content=json.dumps(VALUE), headers=headers).status_code

    assert post(1, ce_expectedversion="0") == 201
    assert post(2, ce_expectedversion="0") == 412
    assert post(2, ce_expectedversion="1") == 201
    assert post(3, if_match='"1"') == 412
    assert post(3, ce_expectedversion="2", if_match='"1"') == 422
    assert post(3, if_match='"2"', ce_type="LeadCaptured", prefer="handling=strict") in (409, 422)


def test_a_number_in_a_header_stays_the_text_it_was(door: httpx.Client) -> None:
    answer = door.post("/v1/events", content=json.dumps(VALUE), headers=binary("N-1", ce_retries="3", ce_sequence="7"))
    stored = door.get(answer.headers["location"]).json()
    assert (stored["retries"], stored["sequence"]) == ("3", "7")


@pytest.mark.broker
def test_the_sdk_reads_what_is_published(processes: Processes, broker: Broker, topic: str) -> None:
    processes.salescycle("migrate")
    if not isinstance(broker, EmbeddedBroker):
        processes.salescycle("topics", "apply")
    lifecycle = processes.lifecycle()
    events = [sdk_event("L-1", "Qualified"), sdk_event("L-1", id="L-1-2")]
    with httpx.Client(base_url=lifecycle.url, headers=processes.headers) as http:
        for event in events:
            assert sent(http, sdk_http.to_binary_event(event)).status_code == 201
        http.post("/v1/events", json=document("AccountUpdated", "acme"))
        lines = http.get("/v1/log/9", params={"after": 0}).content.splitlines()
        records = asyncio.run(_records(broker, topic, 9, 2))
        states = asyncio.run(_records(broker, leads_topic_of(topic), 9, 1))
        lead = http.get("/v1/leads/L-1")
    for line, record, event in zip(lines, records, events, strict=True):
        from_line = JSONFormat().read(None, line)
        is_as_sent(from_line, event)
        message = sdk_kafka.KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)
        from_record = sdk_kafka.from_kafka_event(message)
        is_as_sent(from_record, event)
        assert str(from_line.get_extension("position")) == from_record.get_extension("position")
    newest = max(states, key=lambda record: int(dict(record.headers)["version"]))
    assert (newest.key, newest.value) == (b"lead/L-1", lead.content)
    assert dict(newest.headers)["version"] == lead.headers["etag"].strip('"').encode()


async def _records(broker: Broker, topic: str, partition: int, count: int) -> list[Any]:
    """The records of a partition, once there are `count`."""
    reader = kafka.Reader(broker_settings(broker.bootstrap), topic)
    await reader.start()
    try:
        reader.assign({partition: 0})
        found: list[Any] = []
        async with asyncio.timeout(30):
            while len(found) < count:
                found += (await reader.fetch(100, 200)).get(partition, [])
        await asyncio.sleep(0.3)  # a newer state may follow the first
        return found + (await reader.fetch(100, 200)).get(partition, [])
    finally:
        await reader.stop()
