"""From the door to the query: what was posted is counted, whichever process counts it, and whatever happens meanwhile."""

from typing import Any

import httpx
import msgspec
import pytest

from tests.support.brokers import Broker
from tests.support.processes import Processes, ServiceProcess, wait_until


def event(
    type_name: str, lead: str, number: int, data: dict[str, Any], time: str = "2026-01-05T10:00:00Z"
) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": f"{lead}-{number}", "source": "/tests", "type": type_name, "subject": f"lead/{lead}",
        "time": time, "data": data,
    }  # fmt: skip


def history(lead: str, owner: str = "ana") -> list[dict[str, Any]]:
    """Captured, qualified, and for every third lead won: 300 EUR open, 250 EUR won."""
    value = {"amount": "300.00", "currency": "EUR"}
    events = [
        event("LeadCaptured", lead, 1, {"source_channel": "web", "owner": owner, "value": value}),
        event("Qualified", lead, 2, {}, "2026-01-06T10:00:00Z"),
    ]
    if int(lead.partition("-")[2]) % 3 == 0:
        events.append(event("Won", lead, 3, {"value": {"amount": "250.00", "currency": "EUR"}}, "2026-01-07T10:00:00Z"))
    return events


def post(url: str, headers: dict[str, str], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answer = httpx.post(
        f"{url}/v1/events", content=msgspec.json.encode(events), timeout=30,
        headers={**headers, "content-type": "application/cloudevents-batch+json"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert {item["status"] for item in answer.json()} <= {200, 201}
    return list(answer.json())


def counts(projections: ServiceProcess, headers: dict[str, str], **parameters: str) -> dict[tuple[str, str], int]:
    answer = httpx.get(f"{projections.url}/v1/pipeline", params=parameters, headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    return {(row["outcome"], row["stage"]): row["n"] for row in answer.json()["rows"]}


@pytest.fixture
def lifecycle(processes: Processes) -> ServiceProcess:
    processes.salescycle("migrate")
    return processes.lifecycle()


EXPECTED = {("open", "sales-process"): 40, ("won", "transaction"): 20}


def test_what_was_posted_is_counted_at_once(processes: Processes, lifecycle: ServiceProcess) -> None:
    projections = processes.projections()
    answers = post(lifecycle.url, processes.headers, [each for n in range(60) for each in history(f"L-{n}")])
    last = answers[-1]
    found = httpx.get(
        f"{projections.url}/v1/pipeline", headers=processes.headers, timeout=10,
        params={"min_position": f"{last['partition']}:{last['position']}", "group_by": "owner", "timeout": "5"},
    ).json()  # fmt: skip
    assert found["stale"] is False
    wait_until(lambda: counts(projections, processes.headers) == EXPECTED, 10)
    rows = httpx.get(f"{projections.url}/v1/pipeline", headers=processes.headers, params={"group_by": "owner"}).json()[
        "rows"
    ]
    assert {(row["outcome"], row["owner"], row["n"], row["value"][0]["amount"]) for row in rows} == {
        ("open", "ana", 40, "12000.00"), ("won", "ana", 20, "5000.00"),
    }  # fmt: skip
    assert counts(projections, processes.headers, as_of="2026-01-05") == {("open", "opportunity"): 60}


def test_a_broker_that_loses_everything_changes_no_figure(
    processes: Processes, lifecycle: ServiceProcess, broker: Broker
) -> None:
    projections = processes.projections()
    post(lifecycle.url, processes.headers, [each for n in range(30) for each in history(f"L-{n}")])
    broker.kill9()
    post(lifecycle.url, processes.headers, [each for n in range(30, 45) for each in history(f"L-{n}")])
    wait_until(
        lambda: sum(counts(projections, processes.headers).values()) == 45,
        30,
        what="the feed to stand in for the broker",
    )
    broker.start()
    post(lifecycle.url, processes.headers, [each for n in range(45, 60) for each in history(f"L-{n}")])
    wait_until(lambda: counts(projections, processes.headers) == EXPECTED, 60)


def test_processes_share_the_partitions_and_take_over_from_each_other(
    processes: Processes, lifecycle: ServiceProcess
) -> None:
    first, second = processes.projections(), processes.projections()
    post(lifecycle.url, processes.headers, [each for n in range(30) for each in history(f"L-{n}")])
    wait_until(lambda: sum(counts(second, processes.headers).values()) == 30, 20)
    first.kill9()
    post(lifecycle.url, processes.headers, [each for n in range(30, 60) for each in history(f"L-{n}")])
    wait_until(lambda: counts(second, processes.headers) == EXPECTED, 30)
    first.start()
    assert counts(first, processes.headers) == EXPECTED


def test_a_late_event_restates_the_past_and_leaves_what_was_known_then(
    processes: Processes, lifecycle: ServiceProcess
) -> None:
    projections = processes.projections()
    post(
        lifecycle.url,
        processes.headers,
        [event("LeadCaptured", "L-1", 1, {"source_channel": "web"}, "2026-01-10T00:00:00Z")],
    )
    wait_until(lambda: bool(counts(projections, processes.headers)), 10)
    before = httpx.get(f"{projections.url}/v1/pipeline", headers=processes.headers).json()["known_through"]
    assert counts(projections, processes.headers, as_of="2026-01-08") == {}
    late = post(
        lifecycle.url,
        processes.headers,
        [event("LeadCaptured", "L-1", 2, {"source_channel": "phone"}, "2026-01-05T00:00:00Z")],
    )
    wait_until(lambda: counts(projections, processes.headers, as_of="2026-01-08") == {("open", "opportunity"): 1}, 10)
    assert counts(projections, processes.headers, as_of="2026-01-08", known_at=late[0]["recorded_at"]) == {}
    assert before is not None
