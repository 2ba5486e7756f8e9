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
