"""PostgreSQL is restored to an older state while topic and read model remember the newer one: nothing is skipped in silence."""

from collections.abc import Iterator

import asyncpg
import httpx
import pytest

from services.cli.embedded import EmbeddedPostgres
from services.projections.models import MODELS
from tests.e2e.test_projections import counts, history, post
from tests.support.brokers import Broker
from tests.support.postgres import new_name
from tests.support.processes import Processes, ServiceProcess, wait_until


@pytest.fixture
def other_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Where the read models lie, so that a restore of the log leaves them as they are."""
    name = new_name()
    yield postgres.create_database(name)
    postgres.drop_database(name)


def not_ready(process: ServiceProcess, *says: str) -> str:
    """Why a service says that it cannot serve, once it `says` all of that."""
    said = ""

    def refused() -> bool:
        nonlocal said
        try:
            answer = httpx.get(f"{process.management_url}/readyz", timeout=5)
        except httpx.HTTPError:
            return False
        said = answer.json().get("reason", "")
        return answer.status_code == 503 and "catching up" not in said and all(each in said for each in says)

    wait_until(refused, 40, what=f"{process.name} to say that it stopped, and {says}")
    return said


def test_a_restored_log_stops_relay_and_read_model_until_someone_decides(
    processes: Processes, postgres: EmbeddedPostgres, database: str, other_database: str, broker: Broker
) -> None:
    elsewhere = {"SALESCYCLE_POSTGRES__URL": other_database}
    processes.salescycle("migrate")
    here, processes.environment = processes.environment, {**processes.environment, **elsewhere}
    processes.salescycle("migrate")
    processes.environment = here
    name, backup = database.rpartition("/")[2], new_name()

    lifecycle = processes.lifecycle()
    projections = processes.projections(**elsewhere)
    post(lifecycle.url, processes.headers, [each for n in range(20) for each in history(f"L-{n}")])
    wait_until(lambda: sum(counts(projections, processes.headers).values()) == 20, 20)
    lifecycle.terminate()
    postgres.create_database(backup, template=name)
    lifecycle.start()
    post(lifecycle.url, processes.headers, [each for n in range(20, 60) for each in history(f"L-{n}")])
    wait_until(lambda: sum(counts(projections, processes.headers).values()) == 60, 20)
    lifecycle.terminate()

    postgres.drop_database(name)
    postgres.create_database(name, template=backup)
    postgres.drop_database(backup)
    lifecycle.launch()
    not_ready(lifecycle, "salescycle verify")
    not_ready(projections, *(f"salescycle rebuild {model}" for model in MODELS))
    assert sum(counts(projections, processes.headers).values()) == 60, "it goes on showing what it knew"
    post(lifecycle.url, processes.headers, history("L-999"))
    assert sum(counts(projections, processes.headers).values()) == 60, "and mixes in nothing of the other history"

    found = processes.salescycle("verify", "--no-rebuild", "--wait", "1", check=False)
    assert found.returncode == 1
    assert "the log went back in time" in found.stdout or "another event in the topic" in found.stdout

    # what both were told to do: the topic of the other history goes, lifecycle starts again, the read model is rebuilt
    projections.terminate()
    broker.kill9()
    broker.start()
    lifecycle.terminate()
    lifecycle.start()
    processes.environment = {**here, **elsewhere, "SALESCYCLE_LIFECYCLE_URL": lifecycle.url}
    for model in MODELS:
        processes.salescycle("rebuild", model)
    projections.start()
    assert sum(counts(projections, processes.headers).values()) == 21


async def test_an_empty_store_stops_what_remembers_an_older_one(
    processes: Processes, database: str, broker: Broker
) -> None:
    """The log's schema is lost and made anew, beside a read model and under a topic that remember what it held."""
    processes.salescycle("migrate")
    lifecycle = processes.lifecycle()
    projections = processes.projections()
    post(lifecycle.url, processes.headers, [each for n in range(20) for each in history(f"L-{n}")])
    wait_until(lambda: sum(counts(projections, processes.headers).values()) == 20, 20)
    lifecycle.terminate()
    connection = await asyncpg.connect(database)
    await connection.execute("DROP SCHEMA lifecycle CASCADE")
    await connection.close()
    processes.salescycle("migrate")

    lifecycle.launch()
    not_ready(lifecycle, "salescycle verify")
    not_ready(projections, *(f"salescycle rebuild {model}" for model in MODELS))
    post(lifecycle.url, processes.headers, history("L-999"))
    assert sum(counts(projections, processes.headers).values()) == 20, "it mixes in nothing of the other history"
    found = processes.salescycle("verify", "--no-rebuild", "--wait", "1", check=False)
    assert found.returncode == 1, found.stdout

    broker.kill9()
    broker.start()
    lifecycle.terminate()
    lifecycle.start()
    for model in MODELS:
        processes.salescycle("rebuild", model)
    projections.wait_ready()  # by itself: nobody restarts it
    assert sum(counts(projections, processes.headers).values()) == 1
