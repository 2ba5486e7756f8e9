"""`salescycle verify` finds nothing where all is well, and names what someone has tampered with."""

import asyncpg
import pytest

from schemas.wire import to_kafka
from services.cli.verification.topic import check_topic
from services.kernel import kafka
from tests.e2e.test_projections import counts, history, post
from tests.support.brokers import Broker, create_topic
from tests.support.logs import broker_settings, opened, prepare
from tests.support.logs import event as logged
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

    await execute(database, "UPDATE pipeline_g1.deal_interval SET amount = amount + 1 WHERE subject = 'L-7'")
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


@pytest.mark.parametrize(("order", "reached"), [((1, 2, 4, 5, 3, 4, 5), 5), ((1, 2, 4, 5, 3), 3)])
async def test_what_follows_a_hole_in_the_topic_counts_when_it_comes_again(
    broker: Broker, database: str, topic: str, order: tuple[int, ...], reached: int
) -> None:
    """A broker lost 3, and the relay sends 3, 4 and 5 again: what a reader passes over need not be kept to prove it."""
    settings = broker_settings(broker.bootstrap)
    await prepare(database)
    async with opened(database) as log:
        await log.post(*(logged("ActivityLogged", "L-1", id=f"e-{n}") for n in range(1, 6)))
        events = await log.everything()
    await create_topic(broker, topic)
    (partition,) = (number for number, inside in events.items() if inside)
    producer = kafka.Producer(settings, topic)
    await producer.start()
    records = [to_kafka(events[partition][position - 1], "") for position in order]
    assert (await producer.publish(partition, records))[1] == len(order)
    await producer.stop()
    connection = await asyncpg.connect(database, server_settings={"search_path": "lifecycle"})
    heads = {number: len(inside) for number, inside in events.items()}
    found = [
        difference.what
        async for difference in check_topic(dict.fromkeys(heads, connection), settings, topic, heads, lambda *_: None)
    ]
    await connection.close()
    assert found == ([] if reached == 5 else [f"of the topic reaches position {reached} without a hole, the log 5"])


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
