"""Bad input at the real door: each is refused with its status and problem type, none is a 500, and nothing of it is stored.

The numbers are those of the list of promises. What the parser and the codec decide alone is tried in depth in tests/unit;
here every kind goes through the whole service once.
"""

import concurrent.futures
import gzip
import json
import re
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from services.cli import machine
from services.cli.embedded import EmbeddedPostgres
from services.cli.embedded_broker import EmbeddedBroker
from tests.support import brokers
from tests.support import postgres as postgres_support
from tests.support.builders import document, eur
from tests.support.processes import Processes, ServiceProcess, wait_until
from tests.support.raw_http import answers, exchange

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"


class Door(NamedTuple):
    http: httpx.Client
    process: ServiceProcess
    authorization: str

    def post(self, content: bytes, kind: str | None = SINGLE, **headers: str) -> httpx.Response:
        typed = {"content-type": kind} if kind else {}
        return self.http.post("/v1/events", content=content, headers={**typed, **headers})

    def post_event(self, event: Any, **headers: str) -> httpx.Response:
        return self.post(json.dumps(event).encode(), **headers)

    def raw_head(self, *lines: str, method: str = "POST") -> bytes:
        head = [
            f"{method} /v1/events HTTP/1.1",
            f"Authorization: {self.authorization}",
            f"Content-Type: {SINGLE}",
            *lines,
        ]
        return "\r\n".join([*head, "", ""]).encode()

    def stored(self, lead: str) -> bool:
        return self.http.get(f"/v1/leads/{lead}").status_code == 200


@pytest.fixture(scope="module")
def door(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One lifecycle for all cases of this file: a refused request leaves nothing behind that the next could see."""
    folder = tmp_path_factory.mktemp("bad-inputs")
    database = postgres_support.new_name()
    broker = EmbeddedBroker(folder / "broker", machine.free_port())
    broker.start()
    processes = Processes(
        folder / "processes",
        {
            "SALESCYCLE_POSTGRES__URL": postgres.create_database(database),
            "SALESCYCLE_KAFKA__EVENTS_TOPIC": f"{database}.events.v1",
            **brokers.environment(broker),
        },
    )
    try:
        processes.salescycle("migrate")
        process = processes.lifecycle()
        with httpx.Client(base_url=process.url, headers=processes.headers, timeout=30) as http:
            yield Door(http, process, processes.headers["authorization"])
    finally:
        processes.close()
        broker.stop()
        postgres.drop_database(database)


def refused(answer: httpx.Response, status: int, code: str, *pointers: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"].endswith(f"/problems/{code}")
    assert problem["trace_id"]
    found = [flaw["pointer"] for flaw in problem.get("errors", [])]
    assert set(pointers) <= set(found), found


def changed(**attributes: Any) -> dict[str, Any]:
    """A valid event with some attributes replaced; `...` takes one away."""
    event = {**document("Won", "bad", id="bad"), **attributes}
    return {name: value for name, value in event.items() if value is not ...}


def with_data(**fields: Any) -> dict[str, Any]:
    return document("Won", "bad", id="bad", data={"value": eur("10.00"), **fields})


GOOD = json.dumps(changed()).encode()


def in_data(text: bytes) -> bytes:
    """A valid body with the JSON `text` as the value of a field of its data."""
    return json.dumps(with_data(competitor_beaten="@")).encode().replace(b'"@"', text)


BAD_JSON: dict[str, tuple[bytes, int, str]] = {
    "1 empty": (b"", 400, "malformed-json"),
    "2 truncated": (GOOD[:-2], 400, "malformed-json"),
    "3 trailing bytes": (GOOD + b"x", 400, "malformed-json"),
    "4 two documents": (GOOD + GOOD, 400, "malformed-json"),
    "5 NaN": (b"NaN", 400, "malformed-json"),
    "6 Infinity": (b"Infinity", 400, "malformed-json"),
    "7 1e999": (in_data(b"1e999"), 400, "malformed-json"),
    "8 NaN in data": (in_data(b"NaN"), 400, "malformed-json"),
    "9 duplicate keys": (GOOD[:-1] + b',"id":"other"}', 400, "malformed-json"),
    "10 depth 33": (b"[" * 33 + b"]" * 33, 400, "too-deep"),
    "11 depth 100,000": (b"[" * 100_000, 400, "too-deep"),
    "12 5,000 digits": (in_data(b"1" * 5_000), 400, "malformed-json"),
    "13 BOM": (b"\xef\xbb\xbf" + GOOD, 400, "malformed-json"),
    "14 UTF-16": (GOOD.decode().encode("utf-16"), 415, "unsupported-charset"),
    "15 invalid UTF-8": (in_data(b'"\xff"'), 400, "malformed-json"),
    "16 lone surrogate": (b'"\\ud800"', 400, "malformed-json"),
    "17 lone surrogate in data": (in_data(b'"\\ud800"'), 400, "malformed-json"),
    "18 U+0000": (b'"\\u0000"', 400, "malformed-json"),
    "19 U+0000 in data": (in_data(b'"a\\u0000"'), 400, "malformed-json"),
    "20 U+0000 as a key": (GOOD[:-1] + b',"\\u0000":1}', 400, "malformed-json"),
    "21 100,000 keys": (json.dumps({f"k{number}": 1 for number in range(100_000)}).encode(), 400, "too-complex"),
    "22 single quotes": (b"{'id':1}", 400, "malformed-json"),
    "22 comments": (GOOD[:-1] + b"/* */}", 400, "malformed-json"),
    "22 trailing comma": (GOOD[:-1] + b",}", 400, "malformed-json"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_json_that_is_none(door: Door, case: str) -> None:
    content, status, code = BAD_JSON[case]
    refused(door.post(content), status, code)


def test_14_utf_16_by_its_label(door: Door) -> None:
    refused(door.post(GOOD, "application/json; charset=utf-16"), 415, "unsupported-charset")


BAD_EVENTS: dict[str, tuple[Any, str]] = {
    "23 null": (None, ""),
    "24 array": ([changed()], ""),
    "25 string": ("Won", ""),
    "26 missing field": (changed(time=...), "/time"),
    "27 unknown field": (with_data(margin=1), "/data/margin"),
    "28 recorded_at": (changed(recorded_at="2026-01-01T00:00:00Z"), "/recorded_at"),
    "29 position": (changed(position=1), "/position"),
    "30 empty type": (changed(type=""), "/type"),
    "31 unknown type": (changed(type="Nonsense"), "/type"),
    "32 a 1 MB string": (with_data(competitor_beaten="x" * 1_000_000), "/data/competitor_beaten"),
    "33 bidi": (changed(id="a\u202eb"), "/id"),
    "33 zero width": (changed(subject="lead/a\u200bb"), "/subject"),
    "34 malformed subject": (changed(subject="L-1"), "/subject"),
    "35 an id of 129": (changed(id="x" * 129), "/id"),
    "36 empty source": (changed(source=""), "/source"),
    "37 text for an integer": (changed(expectedversion="1"), "/expectedversion"),
    "38 true for an integer": (changed(expectedversion=True), "/expectedversion"),
    "39 1.0 for an integer": (changed(expectedversion=1.0), "/expectedversion"),
    "40 negative version": (changed(expectedversion=-1), "/expectedversion"),
    "41 2^31": (changed(expectedversion=2**31), "/expectedversion"),
    "42 10^20": (changed(expectedversion=10**20), "/expectedversion"),
    "43 money as a float": (with_data(value={"amount": 1.5, "currency": "EUR"}), "/data/value/amount"),
    "44 more decimals": (with_data(value=eur("1.555")), "/data/value/amount"),
    "45 unknown currency": (with_data(value={"amount": "1", "currency": "EUX"}), "/data/value/currency"),
    "46 30 February": (changed(time="2026-02-30T00:00:00Z"), "/time"),
    "47 year 0": (changed(time="0000-01-01T00:00:00Z"), "/time"),
    "48 offset before the calendar": (changed(time="0001-01-01T00:00:00+14:00"), "/time"),
    "49 offset after the calendar": (changed(time="9999-12-31T23:59:59-14:00"), "/time"),
    "50 no time zone": (changed(time="2026-01-01T00:00:00"), "/time"),
    "51 epoch number": (changed(time=1_767_225_600), "/time"),
    "52 leap second": (changed(time="2016-12-31T23:59:60Z"), "/time"),
    "53 in the future": (changed(time="2100-01-01T00:00:00Z"), "/time"),
    "54 before 1990": (changed(time="1989-12-31T23:59:59Z"), "/time"),
    "58 unknown schema version": (changed(dataschema="/schemas/Won/9"), "/dataschema"),
    "59 __proto__": (json.loads('{"__proto__": {"a": 1}}') | changed(), "/__proto__"),
}


@pytest.mark.parametrize("case", BAD_EVENTS)
def test_an_event_that_breaks_the_schema(door: Door, case: str) -> None:
    event, pointer = BAD_EVENTS[case]
    refused(door.post_event(event), 422, "validation", pointer)
    assert not door.stored("bad")


@pytest.mark.parametrize("case", BAD_EVENTS)
def test_the_same_in_a_batch_and_in_a_line_fails_alone(door: Door, case: str) -> None:
    event, pointer = BAD_EVENTS[case]
    good = document("LeadCaptured", "alone", id="alone")
    in_batch = door.post(json.dumps([event, good]).encode(), BATCH)
    in_lines = door.post(json.dumps(event).encode() + b"\n" + json.dumps(good).encode() + b"\n", LINES)
    for results in (in_batch.json(), [json.loads(line) for line in in_lines.text.splitlines()]):
        assert results[0]["status"] == 422
        assert results[1]["status"] in (200, 201)
        assert pointer in [flaw["pointer"] for flaw in results[0]["errors"]]


def test_55_an_empty_batch(door: Door) -> None:
    refused(door.post(b"[]", BATCH), 422, "validation")


def test_56_a_batch_of_1001(door: Door) -> None:
    events = [document("StageEntered", "many", id=f"m-{number}") for number in range(1_001)]
    refused(door.post(json.dumps(events).encode(), BATCH), 422, "validation")
    assert not door.stored("many")


def test_57_the_same_event_twice_in_a_batch_is_stored_once(door: Door) -> None:
    event = document("LeadCaptured", "twice", id="twice")
    first, second = door.post(json.dumps([event, event]).encode(), BATCH).json()
    assert (first["status"], second["status"]) == (201, 200)
    assert (first["position"], first["version"]) == (second["position"], second["version"])


def test_60_61_62_an_event_sent_again(door: Door) -> None:
    event = document("LeadCaptured", "again", id="again")
    with concurrent.futures.ThreadPoolExecutor(50) as threads:
        posted = list(threads.map(lambda _: door.post_event(event), range(50)))
    assert sorted(answer.status_code for answer in posted) == [200] * 49 + [201]
    assert len({(answer.json()["position"], answer.json()["recorded_at"]) for answer in posted}) == 1
    refused(door.post_event(event | {"data": {"source_channel": "phone"}}), 422, "idempotency-mismatch")


def test_63_a_stale_version(door: Door) -> None:
    assert door.post_event(document("LeadCaptured", "stale", id="stale-1")).status_code == 201
    later = document("StageEntered", "stale", id="stale-2", data={"stage": "proposal"})
    stale = door.post_event(later, **{"if-match": '"7"'})
    refused(stale, 412, "version-conflict")
    assert stale.json()["current_version"] == 1
    refused(door.post_event(later | {"expectedversion": 0}), 412, "version-conflict")
    refused(door.post_event(later, **{"if-none-match": "*"}), 412, "version-conflict")


def test_64_an_implied_step_under_the_strict_rule(door: Door) -> None:
    event = document("Won", "strict", id="strict", data={"value": eur("1")})
    strict = door.post_event(event, prefer="handling=strict")
    refused(strict, 409, "illegal-transition")
    assert any(isinstance(value, list) and "LeadCaptured" in value for value in strict.json().values())
    assert not door.stored("strict")
    kept = door.post_event(event)
    assert (kept.status_code, "LeadCaptured" in kept.json()["implied"]) == (201, True)


BAD_QUERIES: dict[str, tuple[str, int, str]] = {
    "67 limit -1": ("limit=-1", 422, "validation"),
    "68 limit 10^9": ("limit=1000000000", 422, "validation"),
    "69 limit 2^63": ("limit=9223372036854775808", 422, "validation"),
    "70 unknown sort": ("sort=colour", 422, "validation"),
    "71 limit=x": ("limit=x", 422, "validation"),
    "72 repeated": ("limit=1&limit=1", 422, "validation"),
    "73 unknown": ("colour=red", 422, "validation"),
    "74 %00": ("owner=%00", 422, "validation"),
    "75 %ff": ("owner=%ff", 422, "validation"),
    "78 forged cursor": ("cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 400, "bad-cursor"),
}


@pytest.mark.parametrize("case", BAD_QUERIES)
def test_a_query_that_breaks_a_rule(door: Door, case: str) -> None:
    query, status, code = BAD_QUERIES[case]
    refused(door.http.get(f"/v1/leads?{query}"), status, code)


@pytest.mark.parametrize("owner", ["' or 1=1--", "%", "_", "an_"])
def test_76_77_text_in_a_query_is_only_text(door: Door, owner: str) -> None:
    assert door.post_event(document("LeadCaptured", "literal", id="literal")).status_code in (200, 201)
    answer = door.http.get("/v1/leads", params={"owner": owner})
    assert (answer.status_code, answer.json()["leads"]) == (200, [])


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_81_82_83_a_body_of_another_type(door: Door, kind: str | None) -> None:
    refused(door.post(GOOD, kind), 415, "unsupported-media-type")


@pytest.mark.parametrize("kind", [SINGLE, BATCH, LINES])
def test_84_85_a_compressed_body_and_one_that_only_says_so(door: Door, kind: str) -> None:
    event = json.dumps(document("LeadCaptured", "zipped", id="zipped")).encode()
    bomb = gzip.compress(b" " * 10_000_000)
    for content in (event, bomb):
        refused(door.post(content, kind, **{"content-encoding": "gzip"}), 415, "unsupported-media-type")


@pytest.mark.parametrize(("kind", "limit"), [(SINGLE, 2 * 1024 * 1024), (BATCH, 16 * 1024 * 1024)])
def test_86_87_a_body_over_the_limit_with_a_length_and_in_chunks(door: Door, kind: str, limit: int) -> None:
    refused(door.post(b" " * (limit + 1), kind), 413, "body-too-large")
    pieces = (b" " * 65_536 for _ in range(limit // 65_536 + 1))
    chunked = door.http.post("/v1/events", content=pieces, headers={"content-type": kind})
    refused(chunked, 413, "body-too-large")


def test_88_a_format_that_is_not_offered(door: Door) -> None:
    refused(door.post(GOOD, accept="text/xml"), 406, "not-acceptable")
    assert not door.stored("bad")


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE", "PATCH", "TRACE"])
def test_89_90_a_method_that_the_address_has_not(door: Door, method: str) -> None:
    answer = door.http.request(method, "/v1/events")
    refused(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


def test_108_a_slash_more_is_another_address(door: Door) -> None:
    for path in ("//v1/events", "/v1//events", "/v1/events/"):
        refused(door.http.post(path, content=GOOD, headers={"content-type": SINGLE}), 404, "not-found")


LENGTH = f"Content-Length: {len(GOOD)}"
RAW: dict[str, tuple[list[str], bytes, int]] = {
    "92 a 70 kB header": (["Host: a", LENGTH, "X: " + "a" * 70_000], GOOD, 431),
    "93 2,000 headers": (["Host: a", LENGTH, *["X: y"] * 2_000], GOOD, 431),
    "94 two lengths": (["Host: a", LENGTH, "Content-Length: 5"], GOOD, 400),
    "95 length and chunks": (["Host: a", LENGTH, "Transfer-Encoding: chunked"], b"0\r\n\r\n", 400),
    "96 bad chunk": (["Host: a", "Transfer-Encoding: chunked"], b"xyz\r\nab\r\n0\r\n\r\n", 400),
    "97 two Hosts": (["Host: a", "Host: b", LENGTH], GOOD, 400),
    "98 no Host": ([LENGTH], GOOD, 400),
}


@pytest.mark.parametrize("case", RAW)
def test_a_request_that_cannot_be_trusted(door: Door, case: str) -> None:
    headers, body, status = RAW[case]
    (answer,) = answers(exchange(door.process.port, door.raw_head(*headers) + body))
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert not door.stored("bad")


def test_91_99_an_address_too_long_and_http_0_9(door: Door) -> None:
    (answer,) = answers(exchange(door.process.port, b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert answer.status == 414
    (answer,) = answers(exchange(door.process.port, b"GET /v1/events\r\n\r\n"))
    assert answer.status == 400


@pytest.mark.slow
def test_101_102_a_head_and_a_body_that_stall(door: Door) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        head = threads.submit(exchange, door.process.port, b"POST /v1/events HTTP/1.1\r\nHo", within_s=13)
        stall = door.raw_head("Host: a", LENGTH) + GOOD[:50]
        body = threads.submit(exchange, door.process.port, stall, within_s=13)
    assert [answer.status for answer in answers(head.result())] == [408]
    assert [answer.status for answer in answers(body.result())] == [408]
    assert not door.stored("bad")


def test_105_a_client_that_leaves_after_sending_is_stored_once_or_not_at_all(door: Door) -> None:
    for number in range(20):
        content = json.dumps(document("LeadCaptured", f"left-{number}", id=f"left-{number}")).encode()
        with socket.create_connection(("127.0.0.1", door.process.port)) as connection:
            connection.sendall(door.raw_head("Host: a", f"Content-Length: {len(content)}") + content)
    for number in range(20):
        event = document("LeadCaptured", f"left-{number}", id=f"left-{number}")
        assert door.post_event(event).status_code in (200, 201)
        assert door.http.get(f"/v1/leads/left-{number}").json()["version"] == 1


def test_105_a_client_that_leaves_before_the_end_stores_nothing(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.process.port)) as connection:
        connection.sendall(door.raw_head("Host: a", f"Content-Length: {len(GOOD) + 1}") + GOOD)
    wait_until(lambda: door.http.get("/v1/leads").status_code == 200)
    assert not door.stored("bad")


def test_106_pipelined_requests_are_answered_in_order(door: Door) -> None:
    sent = b""
    for number in range(10):
        content = json.dumps(document("LeadCaptured", f"piped-{number}", id=f"piped-{number}")).encode()
        sent += door.raw_head("Host: a", f"Content-Length: {len(content)}") + content
    received = answers(exchange(door.process.port, sent, within_s=3))
    assert [answer.status for answer in received] == [201] * 10
    assert [json.loads(answer.body)["id"] for answer in received] == [f"piped-{number}" for number in range(10)]


def test_a_key_is_asked_for_before_anything_is_read(door: Door) -> None:
    for authorization in ("", "Bearer x", "Basic eDp5", "Bearer sc_aaaaaaaaaa_" + "A" * 43):
        answer = door.post(b"[" * 100_000, authorization=authorization)
        refused(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_zz_after_all_of_it_the_service_is_well_and_its_log_holds_no_error(door: Door) -> None:
    """Runs last in this file, hence its name."""
    assert door.http.get("/v1/leads").status_code == 200
    assert not re.search(r"Traceback|request failed|Exception in ASGI", door.process.log)
