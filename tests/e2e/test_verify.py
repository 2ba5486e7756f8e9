"""`salescycle verify` finds nothing where all is well, and names what someone has tampered with."""

import asyncpg
import pytest

from tests.e2e.test_projections import counts, history, post
from tests.support.processes import Processes, ServiceProcess, wait_until


@pytest.fixture
def running(processes: Processes) -> ServiceProcess:
    processes.salescycle("migrate")
    lifecycle = processes.lifecycle()
    projections = processes.projections()
    post(lifecycle.url, processes.headers, [each for n in range(60) for each in history(f"L-{n}")])
    wait_until(lambda: sum(counts(projections, processes.headers).values()) == 60, 20)
    return projections


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def test_verify_names_every_kind_of_difference(
    processes: Processes, running: ServiceProcess, database: str
) -> None:
    clean = processes.salescycle("verify", check=False)
    assert (clean.returncode, "No difference" in clean.stdout) == (0, True), clean.stdout + clean.stderr

    await execute(database, "UPDATE pipeline_g1.deal_interval SET amount = amount + 1 WHERE lead = 'L-7'")
    await execute(
        database,
        'UPDATE lifecycle.stream SET state = \'{"key":[0,0,"",0],"fold":{"phase":"qualify"}}\' WHERE stream = \'lead/L-3\'',
    )
    await execute(
        database,
        "UPDATE lifecycle.event SET data = '{\"source_channel\":\"ads\"}' WHERE stream = 'lead/L-5' AND version = 1",
    )
    await execute(database, "DELETE FROM lifecycle.receipt WHERE id = 'L-9-1'")
    found = processes.salescycle("verify", "--wait", "2", check=False)
    assert found.returncode == 1
    for named in (
        "L-7: has other rows in deal_interval",
        "lead/L-3: folds to another state",
        "holds another event in the topic",
        "receipts: are missing for 1 events",
    ):
        assert named in found.stdout, f"{named!r} is not named in:\n{found.stdout}\n{found.stderr}"


def test_a_rebuild_serves_the_same_and_can_be_rolled_back(processes: Processes, running: ServiceProcess) -> None:
    before = counts(running, processes.headers)
    said = processes.salescycle("rebuild", "pipeline").stdout
    assert "Generation 2 of pipeline is live" in said
    assert "swapped" not in said, "a log line of the machinery is no answer"
    assert counts(running, processes.headers) == before
    assert "Generation 1 of pipeline is live" in processes.salescycle("rebuild", "pipeline", "--roll-back").stdout
    assert counts(running, processes.headers) == before
    assert "Dropped: 1" in processes.salescycle("rebuild", "pipeline", "--drop-old").stdout


def test_tail_reads_the_log_to_people(processes: Processes, running: ServiceProcess) -> None:
    said = processes.salescycle("tail", "--from-beginning", "--lead", "L-3", "-n", "3").stdout
    assert "lead/L-3@1  LeadCaptured  owner=ana source_channel=web value=300.00 EUR" in said
    assert "Won" in said


def test_parked_says_that_nothing_is_parked(processes: Processes, running: ServiceProcess) -> None:
    assert "Nothing is parked" in processes.salescycle("parked", "list").stdout
    assert "Nothing is parked" in processes.salescycle("parked", "retry").stdout
    done = processes.salescycle("parked", "retry", "L-3", check=False)
    assert (done.returncode, "No lead L-3 is parked: `salescycle parked list`" in done.stdout) == (1, True)
