"""Leads, accounts and people as readers see them: now, at any instant, as known at any other, at any version; and lists."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.cli import machine
from services.cli.embedded import EmbeddedPostgres
from services.cli.embedded_broker import EmbeddedBroker
from services.kernel import auth
from tests.support import brokers
from tests.support import postgres as postgres_support
from tests.support.builders import eur
from tests.support.processes import Processes, wait_until


@pytest.fixture(scope="module")
def processes(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """One system for all tests of this file: each has leads of its own."""
    folder = tmp_path_factory.mktemp("reads")
    database = postgres_support.new_name()
    broker = EmbeddedBroker(folder / "broker", machine.free_port())
    broker.start()
    started = Processes(
        folder / "processes",
        {
            "SALESCYCLE_POSTGRES__URL": postgres.create_database(database),
            "SALESCYCLE_KAFKA__EVENTS_TOPIC": f"{database}.events.v1",
            **brokers.environment(broker),
        },
    )
    try:
        started.salescycle("migrate")
        started.lifecycle()
        yield started
    finally:
        started.close()
        broker.stop()
        postgres.drop_database(database)


@pytest.fixture(scope="module")
def http(processes: Processes) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=processes.started[0].url, headers=processes.headers, timeout=30) as client:
        yield client


_numbers = iter(range(1, 10_000))


def post(http: httpx.Client, subject: str, type_name: str, day: int | str, **data: Any) -> dict[str, Any]:
    event = {
        "specversion": "1.0", "id": f"r-{next(_numbers)}", "source": "/reads", "type": type_name, "subject": subject,
        "time": day if isinstance(day, str) else f"2026-01-{day:02}T10:00:00Z", "data": data,
    }  # fmt: skip
    answer = http.post("/v1/events", json=event)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def get(http: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = http.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_lead_is_read_now_at_an_instant_as_known_then_and_at_a_version(http: httpx.Client) -> None:
    post(http, "lead/R-1", "LeadCaptured", 1, source_channel="web", owner="ana")
    won = post(http, "lead/R-1", "Won", 20, value=eur("5.00"))
    late = post(http, "lead/R-1", "Qualified", 10, value=eur("3.00"))
    now = get(http, "/v1/leads/R-1")
    assert (now["state"], now["outcome"], now["version"]) == ("transaction", "won", 3)
    then = get(http, "/v1/leads/R-1", as_of="2026-01-15T00:00:00Z")
    assert (then["state"], then["outcome"], then["value"]) == ("sales_process", "open", eur("3.00"))
    known = get(http, "/v1/leads/R-1", as_of="2026-01-15T00:00:00Z", known_at=late["recorded_at"])
    assert (known["state"], known["version"]) == ("opportunity", 2)
    assert get(http, "/v1/leads/R-1", version=1)["state"] == "opportunity"
    assert get(http, "/v1/leads/R-1", version=2)["implied"] == ["Qualified"]
    assert http.get("/v1/leads/R-1", params={"known_at": "2020-01-01T00:00:00Z"}).status_code == 404
    assert won["implied"] == ["Qualified"]


def test_what_lies_ahead_is_not_told_as_if_it_had_happened(http: httpx.Client) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=40)).strftime("%Y-%m-%dT00:00:00Z")
    post(http, "lead/R-2", "LeadCaptured", 1, source_channel="web")
    post(http, "lead/R-2", "Won", 5, value=eur("5.00"), contracts=[{"contract_id": "C-1", "mrr": eur("1.00")}])
    post(http, "lead/R-2", "CancellationRequested", 6, contract_id="C-1", effective_at=ahead)
    assert get(http, "/v1/leads/R-2")["standing"] == "running"
    later = (datetime.now(UTC) + timedelta(days=41)).strftime("%Y-%m-%dT00:00:00Z")
    assert get(http, "/v1/leads/R-2", as_of=later)["standing"] == "churned"


def test_leads_are_listed_by_everything_that_people_ask_for(http: httpx.Client) -> None:
    post(http, "lead/R-3", "LeadCaptured", 1, source_channel="web", owner="list-owner", account_id="list-acc", segment="SMB", person_id="list-p")  # fmt: skip
    post(http, "lead/R-3", "LeadAssigned", 2, owner="list-owner", team="West 2")
    post(http, "lead/R-4", "LeadCaptured", 1, source_channel="web", owner="list-owner")
    post(http, "lead/R-4", "Lost", 5, reason="price")
    post(http, "lead/R-4", "Won", 6, value=eur("1.00"))

    def listed(**parameters: Any) -> list[str]:
        return [lead["id"] for lead in get(http, "/v1/leads", **parameters)["leads"]]

    assert listed(owner="list-owner") == ["R-3", "R-4"]
    assert listed(owner="list-owner", anomalous="true") == ["R-4"]
    assert listed(owner="list-owner", outcome="won", phase="transaction", stage="transaction") == ["R-4"]
    assert listed(team="West 2") == listed(account="list-acc") == listed(person="list-p") == ["R-3"]
    assert listed(segment="SMB", owner="list-owner", standing="running", pipeline="six-phase") == ["R-3"]
    assert listed(owner="nobody") == []
    assert http.get("/v1/leads", params={"phase": "nowhere"}).status_code == 422


def test_an_account_and_a_person_have_a_state_and_a_history(http: httpx.Client, processes: Processes) -> None:
    post(http, "account/A-1", "AccountUpdated", 1, name="Acme", industry="Retail")
    post(http, "account/A-1", "AccountUpdated", 9, industry="Wholesale")
    assert get(http, "/v1/accounts/A-1")["industry"] == "Wholesale"
    assert get(http, "/v1/accounts/A-1", as_of="2026-01-05T00:00:00Z")["industry"] == "Retail"
    events = get(http, "/v1/accounts/A-1/events")["events"]
    assert [event["type"] for event in events] == ["AccountUpdated"] * 2
    assert "A-1" in [account["id"] for account in get(http, "/v1/accounts")["accounts"]]
    posted = post(http, "person/P-1", "PersonUpdated", 1, email="mina@example.com", country="DE", name="Mina")
    post(http, "person/P-1", "ConsentGranted", 2, purpose="newsletter", channel="email")
    assert posted["subject"] == "person/P-1"
    person = get(http, "/v1/people/P-1")
    assert (person["email"], person["consents"][0]["granted"]) == ("mina@example.com", True)
    token = auth.create_key(processes.folder / "keys.json", ["events:read"], "no person data")
    reader = {"authorization": f"Bearer {token}"}
    wait_until(lambda: http.get("/v1/people/P-1", headers=reader).status_code == 200, 5, what="the new key")
    seen = http.get("/v1/people/P-1", headers=reader)
    assert (seen.status_code, seen.json()["country"]) == (200, "DE")
    assert "mina" not in seen.text.lower()
    assert http.get("/v1/people/P-1/events", headers=reader).status_code == 403


def test_a_stream_that_is_not_there_is_404(http: httpx.Client) -> None:
    for path in (
        "/v1/leads/none",
        "/v1/accounts/none",
        "/v1/people/none",
        "/v1/fx/EUR-USD",
        "/v1/accounts/none/events",
    ):
        assert http.get(path).status_code == 404, path


def test_the_open_leads_of_who_leaves_go_to_the_successor_and_back(http: httpx.Client) -> None:
    for lead in ("S-1", "S-2", "S-3"):
        post(http, f"lead/{lead}", "LeadCaptured", 1, source_channel="web", owner="leaver")
    post(http, "lead/S-3", "Won", 5, value=eur("1.00"))
    left = post(http, "owner/leaver", "OwnerLeft", 10, successor="heir")
    assert [lead["id"] for lead in get(http, "/v1/leads", owner="heir")["leads"]] == ["S-1", "S-2"]
    assert [lead["id"] for lead in get(http, "/v1/leads", owner="leaver")["leads"]] == ["S-3"]
    about = {"source": "/reads", "id": left["id"]}
    post(http, "owner/leaver", "EventRetracted", 11, corrects=about)
    assert [lead["id"] for lead in get(http, "/v1/leads", owner="leaver")["leads"]] == ["S-1", "S-2", "S-3"]
    assert "left_at" not in get(http, "/v1/owners/leaver")


def test_the_source_of_derived_events_is_ours_alone(http: httpx.Client) -> None:
    event = {
        "specversion": "1.0", "id": "x", "source": "/salescycle/derived", "type": "LeadCaptured", "subject": "lead/R-9",
        "time": "2026-01-01T00:00:00Z", "data": {"source_channel": "web"},
    }  # fmt: skip
    answer = http.post("/v1/events", json=event)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/source")


def test_leads_are_moved_to_another_pipeline_with_a_preview(http: httpx.Client, processes: Processes) -> None:
    for number in range(3):
        post(http, f"lead/M-{number}", "LeadCaptured", 1, source_channel="web", pipeline="customer-lifecycle")
    post(http, "lead/M-2", "StageEntered", 2, stage="meeting")
    preview = processes.salescycle("pipelines", "move", "--from", "customer-lifecycle", "--to", "compass")
    assert "Nothing was changed" in preview.stdout
    assert get(http, "/v1/leads/M-0")["pipeline"] == "customer-lifecycle"
    done = processes.salescycle(
        "pipelines",
        "move",
        "--from",
        "customer-lifecycle",
        "--to",
        "compass@1",
        "--stage",
        "meeting=objections",
        "--apply",
    )
    assert "3 leads moved to compass 1; 0 left behind" in done.stdout
    stages = {lead: get(http, f"/v1/leads/{lead}")["stage"] for lead in ("M-0", "M-2")}
    assert stages == {"M-0": "prospecting", "M-2": "objections"}
    again = processes.salescycle("pipelines", "move", "--from", "customer-lifecycle", "--to", "compass", "--apply")
    assert "No lead would change" in again.stdout
    unknown = processes.salescycle("pipelines", "move", "--lead", "M-0", "--to", "none", check=False)
    assert (unknown.returncode, "There is no pipeline none" in unknown.stderr) == (1, True)


def test_pipelines_are_checked_with_file_line_and_column(processes: Processes, tmp_path: Any) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\nversion: 1\ndefault: true\nstages:\n  - {name: a, phase: nowhere}\n")
    answer = processes.salescycle("pipelines", "check", str(tmp_path), check=False)
    assert answer.returncode == 1
    assert "bad.yaml:5:22:" in answer.stderr
    assert "all well" in processes.salescycle("pipelines", "check").stdout
