"""One log in two databases: each holds half of the partitions, and nothing above the kernel knows."""

import json
from collections.abc import Iterator

import asyncpg
import httpx
import msgspec
import pytest

from services.cli.embedded import EmbeddedPostgres
from services.kernel.partition import partition_of
from tests.e2e.test_projections import EXPECTED, counts, history, post
from tests.support.postgres import new_name
from tests.support.processes import Processes, wait_until


@pytest.fixture
def second_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    name = new_name()
    yield postgres.create_database(name)
    postgres.drop_database(name)


async def test_two_placements_are_one_log(processes: Processes, database: str, second_database: str) -> None:
    places = [
        {"name": "one", "url": database, "first": 0, "last": 5},
        {"name": "two", "url": second_database, "first": 6, "last": 11},
    ]
    processes.environment["SALESCYCLE_LOG__PLACEMENTS"] = json.dumps(places)
    processes.salescycle("migrate")
    lifecycle = processes.lifecycle()
    projections = processes.projections()
    post(lifecycle.url, processes.headers, [each for n in range(60) for each in history(f"L-{n}")])
    wait_until(lambda: counts(projections, processes.headers) == EXPECTED, 20)

    for url, owned in ((database, range(6)), (second_database, range(6, 12))):
        connection = await asyncpg.connect(url)
        streams = [row[0] for row in await connection.fetch("SELECT stream FROM lifecycle.stream")]
        await connection.close()
        assert streams
        assert {partition_of(stream, 12) for stream in streams} <= set(owned)

    headers = {**processes.headers, "content-type": "application/cloudevents-batch+json"}
    across = [history(lead)[0] for lead in ("L-1001", "L-1002", "L-1003", "L-1004", "L-1005")]
    answer = httpx.post(f"{lifecycle.url}/v1/events?atomic=true", content=msgspec.json.encode(across), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation")
    assert "placement" in answer.json()["detail"]
    leads = httpx.get(f"{lifecycle.url}/v1/leads", params={"limit": "500"}, headers=processes.headers).json()["leads"]
    assert [lead["id"] for lead in leads] == sorted(f"L-{n}" for n in range(60))
    said = processes.salescycle("verify", check=False)
    assert "No difference" in said.stdout, said.stdout + said.stderr


async def test_what_follows_on_a_stream_of_another_placement_is_derived_there(
    processes: Processes, database: str, second_database: str
) -> None:
    places = [
        {"name": "one", "url": database, "first": 0, "last": 5},
        {"name": "two", "url": second_database, "first": 6, "last": 11},
    ]
    processes.environment["SALESCYCLE_LOG__PLACEMENTS"] = json.dumps(places)
    processes.salescycle("migrate")
    lifecycle = processes.lifecycle()
    near, far = (
        next(f"X-{n}" for n in range(99) if (partition_of(f"lead/X-{n}", 12) < 6) is here) for here in (True, False)
    )
    owner = next(f"o-{n}" for n in range(99) if partition_of(f"owner/o-{n}", 12) < 6)
    client = httpx.Client(base_url=lifecycle.url, headers=processes.headers)

    def post_one(number: int, subject: str, type_name: str, **data: object) -> None:
        event = {
            "specversion": "1.0", "id": f"x-{number}", "source": "/across", "type": type_name, "subject": subject,
            "time": f"2026-01-{number:02}T10:00:00Z", "data": data,
        }  # fmt: skip
        assert client.post("/v1/events", json=event).status_code == 201

    def lead(name: str) -> dict[str, object]:
        found: dict[str, object] = client.get(f"/v1/leads/{name}").json()
        return found

    post_one(1, f"lead/{far}", "LeadCaptured", source_channel="web", owner=owner)
    post_one(2, f"lead/{near}", "LeadCaptured", source_channel="phone")
    post_one(3, f"owner/{owner}", "OwnerLeft", successor="heir")
    wait_until(lambda: lead(far)["owner"] == "heir", 15, what="the successor's lead")
    post_one(4, f"lead/{near}", "LeadMerged", absorbed_lead_id=far)
    wait_until(lambda: lead(far)["standing"] == "absorbed", 15, what="the absorbed lead")
    wait_until(lambda: lead(near)["source_channel"] == "web", 15, what="what the survivor takes over")
    versions = lead(far)["version"], lead(near)["version"]
    lifecycle.kill9()
    lifecycle.start()
    post_one(5, f"lead/{far}", "ValueChanged", value={"amount": "5.00", "currency": "EUR"})
    wait_until(lambda: "value" in lead(near), 15, what="what came to the absorbed lead")
    assert (lead(far)["version"], lead(near)["version"]) == tuple(int(str(each)) + 1 for each in versions)
