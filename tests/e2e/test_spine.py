"""The spine, from outside: an event posted over HTTP is stored, read back, published in order, and seen on the feed."""

import asyncio

import httpx
import msgspec
import pytest

from schemas.wire import from_kafka
from services.kernel import auth, kafka
from services.kernel.settings import KafkaSettings
from tests.support.brokers import Broker
from tests.support.processes import Processes, ServiceProcess


def captured(lead: str, number: int = 1, **data: object) -> dict[str, object]:
    return {
        "specversion": "1.0", "id": f"{lead}-{number}", "source": "/web", "type": "LeadCaptured", "subject": f"lead/{lead}",
        "time": "2026-01-05T10:00:00+01:00", "data": {"source_channel": "web", **data},
    }  # fmt: skip


@pytest.fixture
def lifecycle(processes: Processes) -> ServiceProcess:
    processes.salescycle("migrate")
    return processes.lifecycle()


@pytest.fixture
def http(lifecycle: ServiceProcess, processes: Processes) -> httpx.Client:
    return httpx.Client(base_url=lifecycle.url, headers=processes.headers)


def test_an_event_is_stored_answered_and_read_back(http: httpx.Client) -> None:
    posted = http.post("/v1/events", json=captured("L-1", owner="ana"))
    assert posted.status_code == 201, posted.text
    answer = posted.json()
    assert (answer["version"], answer["position"], answer["partition"]) == (1, 1, 9)
    assert posted.headers["etag"] == '"1"'
    again = http.post("/v1/events", json=captured("L-1", owner="ana"))
    assert (again.status_code, again.json()) == (200, answer)
    lead = http.get("/v1/leads/L-1").json()
    assert (lead["phase"], lead["stage"], lead["owner"], lead["version"]) == ("opportunity", "opportunity", "ana", 1)
    event = http.get(posted.headers["location"]).json()
    assert (event["type"], event["time"], event["position"]) == ("LeadCaptured", "2026-01-05T10:00:00+01:00", 1)
    assert event["dataschema"].endswith("/schemas/LeadCaptured/1")


def test_a_batch_answers_each_item_and_one_bad_item_fails_alone(http: httpx.Client) -> None:
    batch = [captured("L-1"), {**captured("L-2"), "type": "Nonsense"}, captured("L-3")]
    headers = {"content-type": "application/cloudevents-batch+json"}
    answer = http.post("/v1/events", content=msgspec.json.encode(batch), headers=headers)
    assert answer.status_code == 200
    assert [item["status"] for item in answer.json()] == [201, 422, 201]
    atomic = http.post(
        "/v1/events?atomic=true",
        content=msgspec.json.encode([captured("L-9"), {**captured("L-8"), "type": "X"}]),
        headers=headers,
    )
    assert atomic.status_code == 422
    assert atomic.json()["errors"][0]["pointer"].startswith("/1/")
    assert http.get("/v1/leads/L-9").status_code == 404


def test_a_condition_on_a_batch_is_refused_rather_than_ignored(http: httpx.Client) -> None:
    for kind in ("application/cloudevents-batch+json", "application/x-ndjson"):
        answer = http.post(
            "/v1/events",
            content=msgspec.json.encode([captured("L-1")]),
            headers={"content-type": kind, "if-match": '"1"'},
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "validation")


@pytest.mark.parametrize(
    ("prefer", "status"),
    [
        ("handling=strict", 409), ("Handling=Strict; foo, wait=5", 409), ('respond-async, handling="strict"', 409),
        ("handling=strictly", 201), ("handling=lenient, handling=strict", 201), ("x-handling=strict", 201),
    ],
)  # fmt: skip
def test_strict_handling_is_asked_for_as_rfc_7240_writes_it(http: httpx.Client, prefer: str, status: int) -> None:
    won = {**captured("L-1"), "type": "Won", "data": {"value": {"amount": "1.00", "currency": "EUR"}}}
    assert http.post("/v1/events", json=won, headers={"prefer": prefer}).status_code == status


def test_a_stream_of_lines_is_answered_line_by_line(http: httpx.Client) -> None:
    lines = b"\n".join(msgspec.json.encode(captured(f"L-{n}")) for n in range(1200)) + b"\nnot json\n"
    answer = http.post("/v1/events", content=lines, headers={"content-type": "application/x-ndjson"})
    results = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    assert [result["status"] for result in results] == [201] * 1200 + [400]


def test_a_line_beyond_the_limit_is_refused_and_those_after_it_are_read(http: httpx.Client) -> None:
    long = msgspec.json.encode({**captured("L-2"), "x": "y" * 3 * 2**20})
    lines = [msgspec.json.encode(captured("L-1")), long, b"", msgspec.json.encode(captured("L-3"))]
    answer = http.post("/v1/events", content=b"\n".join(lines), headers={"content-type": "application/x-ndjson"})
    assert [msgspec.json.decode(line)["status"] for line in answer.content.splitlines()] == [201, 413, 201]


def test_a_refused_atomic_batch_names_the_item_and_counts_nothing_that_was_not_stored(http: httpx.Client) -> None:
    batch = [captured("L-1"), {**captured("L-1", 2), "expectedversion": 99}]
    kind = {"content-type": "application/cloudevents-batch+json"}
    refused = http.post("/v1/events?atomic=true", content=msgspec.json.encode(batch), headers=kind)
    assert (refused.status_code, refused.json()["current_version"]) == (412, 0)
    assert refused.json()["errors"][0]["pointer"] == "/1/expectedversion"
    won = {**captured("L-1", 2), "type": "Won", "data": {"value": {"amount": "1.00", "currency": "EUR"}}}
    strict = http.post(
        "/v1/events?atomic=true",
        content=msgspec.json.encode([captured("L-1"), won]),
        headers={**kind, "prefer": "handling=strict"},
    )
    assert (strict.status_code, strict.json()["errors"][0]["pointer"]) == (409, "/1")
    assert http.get("/v1/leads/L-1").status_code == 404


@pytest.mark.parametrize(
    ("headers", "attributes"),
    [
        ({"if-none-match": '"1"'}, {}),
        ({"if-none-match": "*", "if-match": '"1"'}, {}),
        ({"if-match": "*"}, {}),
        ({"if-match": '"4"'}, {"expectedversion": 77}),
    ],
)
def test_a_condition_that_cannot_be_held_is_refused(
    http: httpx.Client, headers: dict[str, str], attributes: dict[str, int]
) -> None:
    assert http.post("/v1/events", json={**captured("L-1"), **attributes}, headers=headers).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("PUT", "/v1/leads", "GET"), ("DELETE", "/v1/leads/L-1", "GET"), ("PUT", "/v1/log/3", "GET"), ("GET", "/v1/events", "POST")],
)  # fmt: skip
def test_another_method_is_told_which_there_are(http: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_a_form_that_reads_do_not_have_is_refused(http: httpx.Client) -> None:
    for path in ("/v1/leads", "/v1/leads/L-1", "/v1/leads/L-1/events"):
        assert http.get(path, headers={"accept": "text/xml"}).status_code == 406


def test_leads_are_listed_with_filters_and_cursors(http: httpx.Client) -> None:
    batch = [captured(f"L-{n:02}", owner="ana" if n % 2 else "bo") for n in range(30)]
    http.post(
        "/v1/events", content=msgspec.json.encode(batch), headers={"content-type": "application/cloudevents-batch+json"}
    )
    seen, parameters = [], {"limit": "7", "owner": "ana"}
    while True:
        page = http.get("/v1/leads", params=parameters).json()
        seen += [lead["id"] for lead in page["leads"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    assert seen == [f"L-{n:02}" for n in range(1, 30, 2)]
    assert len(http.get("/v1/leads", params={"stage": "opportunity", "limit": "500"}).json()["leads"]) == 30


def test_a_cursor_belongs_to_its_list_and_its_filters(http: httpx.Client) -> None:
    for lead in ("L-1", "L-2"):
        http.post("/v1/events", json=captured(lead, owner="ana"))
        http.post("/v1/events", json=captured(lead, 2))
    cursor = http.get("/v1/leads", params={"owner": "ana", "limit": 1}).json()["next_cursor"]
    assert http.get("/v1/leads", params={"owner": "ana", "cursor": cursor}).json()["leads"][0]["id"] == "L-2"
    for path, asked in (
        ("/v1/leads", {}),
        ("/v1/leads", {"owner": "bo"}),
        ("/v1/leads", {"owner": "ana", "stage": "x"}),
    ):
        refused = http.get(path, params={**asked, "cursor": cursor})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad-cursor")
    history = http.get("/v1/leads/L-1/events", params={"limit": 1}).json()["next_cursor"]
    assert http.get("/v1/leads/L-2/events", params={"cursor": history}).json()["code"] == "bad-cursor"
    assert http.get("/v1/leads/L-1/events", params={"cursor": cursor}).json()["code"] == "bad-cursor"


def test_a_revoked_key_ends_the_stream_that_it_opened(http: httpx.Client, processes: Processes) -> None:
    path = processes.folder / "keys.json"
    token = auth.create_key(path, ["events:read"], "a reader")
    with http.stream("GET", "/v1/log", headers={"authorization": f"Bearer {token}"}, timeout=20) as events:
        assert events.status_code == 200
        auth.revoke_key(path, token.split("_")[1])
        assert [line for line in events.iter_lines() if line.startswith("data:")] == []
    assert http.get("/v1/log/0", headers={"authorization": f"Bearer {token}"}).status_code == 401


def test_large_events_are_read_and_published_in_pages_of_bounded_size(http: httpx.Client) -> None:
    prose = "x" * 2_000
    big = {**captured("L-1"), "data": {"source_channel": "web", "utm": {f"k{n}": prose[:500] for n in range(20)}}}
    events = [{**big, "id": f"big-{n}"} for n in range(1_000)]
    kind = {"content-type": "application/cloudevents-batch+json"}
    answer = http.post("/v1/events", content=msgspec.json.encode(events), headers=kind, timeout=30)
    assert {item["status"] for item in answer.json()} == {201}
    first = http.get("/v1/log/9", params={"limit": 5_000})
    positions = [msgspec.json.decode(line)["position"] for line in first.content.splitlines()]
    assert positions == list(range(1, len(positions) + 1))
    assert len(positions) < 1_000
    assert len(first.content) < 9 * 2**20
    rest = http.get("/v1/log/9", params={"limit": 5_000, "after": positions[-1]})
    assert [msgspec.json.decode(line)["position"] for line in rest.content.splitlines()] == list(
        range(len(positions) + 1, 1_001)
    )


def test_the_feed_gives_the_log_and_knows_its_readers(http: httpx.Client) -> None:
    for number in range(1, 4):
        http.post("/v1/events", json=captured("L-1", number))
    feed = http.get("/v1/log/9", params={"after": 1, "id": "L-1-1"})
    assert [msgspec.json.decode(line)["position"] for line in feed.content.splitlines()] == [2, 3]
    assert feed.headers["log-head"] == "3"
    assert http.get("/v1/log/9", params={"after": 1, "id": "another"}).json()["code"] == "log-diverged"
    assert http.get("/v1/log/9", params={"after": 4}).status_code == 409
    with http.stream("GET", "/v1/log") as events:
        lines = []
        for line in events.iter_lines():
            lines.append(line)
            if len([each for each in lines if each.startswith("data:")]) == 3:
                break
    last = [line for line in lines if line.startswith("id: ")][1].removeprefix("id: ")
    with http.stream("GET", "/v1/log", headers={"last-event-id": last}) as events:
        data = next(line for line in events.iter_lines() if line.startswith("data:"))
    assert msgspec.json.decode(data.removeprefix("data:"))["position"] == 3


@pytest.mark.parametrize("asked", ["0?after=1_0", "0?limit=1_0", "0?after=%205", "1_0"])
def test_a_number_in_the_address_of_a_feed_is_digits(http: httpx.Client, asked: str) -> None:
    assert http.get(f"/v1/log/{asked}").status_code == 422


async def test_who_waits_for_events_holds_no_service_that_stops(
    lifecycle: ServiceProcess, processes: Processes
) -> None:
    async with httpx.AsyncClient(base_url=lifecycle.url, headers=processes.headers, timeout=30) as http:
        waiting = asyncio.create_task(http.get("/v1/log/0", params={"wait": 25}))
        await asyncio.sleep(1)
        assert await asyncio.to_thread(lifecycle.terminate, 10) == 0
        answer = await waiting
    assert (answer.status_code, answer.content) == (200, b"")


async def test_the_topic_holds_what_the_log_holds(
    http: httpx.Client, processes: Processes, broker: Broker, topic: str
) -> None:
    batch = [captured(f"L-{n}") for n in range(200)]
    http.post(
        "/v1/events", content=msgspec.json.encode(batch), headers={"content-type": "application/cloudevents-batch+json"}
    )
    settings = KafkaSettings(bootstrap=broker.bootstrap, idempotence=False)
    reader = kafka.Reader(settings, topic)
    await reader.start()
    events: dict[int, list[str]] = {partition: [] for partition in range(12)}
    try:
        reader.assign(dict.fromkeys(range(12), 0))
        while sum(map(len, events.values())) < 200:
            for partition, records in (await asyncio.wait_for(reader.fetch(500, 1_000), 10)).items():
                for record in records:
                    event = from_kafka(partition, record.key, record.value, record.headers, record.timestamp)
                    assert event.position == len(events[partition]) + 1
                    events[partition].append(event.id)
    finally:
        await reader.stop()
    for partition, ids in events.items():
        feed = http.get(f"/v1/log/{partition}").content.splitlines()
        assert [msgspec.json.decode(line)["id"] for line in feed] == ids
