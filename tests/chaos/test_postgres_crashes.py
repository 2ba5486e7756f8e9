"""PostgreSQL crashes under load: nothing acknowledged is lost, and nobody has to restart the services."""

import asyncio
import time

import pytest

from services.cli.embedded import EmbeddedPostgres
from tests.support.brokers import Broker
from tests.support.compared import check_figures, check_store, check_topic
from tests.support.posted_leads import Traffic, expected
from tests.support.processes import Processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LEADS = 1_500


def crash(server: EmbeddedPostgres, seconds: float) -> int:
    """Again and again the server is gone: all its processes killed, or stopped without a checkpoint; returns how often."""
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        time.sleep(2)
        if count % 2:
            server.stop("immediate")
        else:
            server.kill9()
        time.sleep(0.3 * count)
        server.start()
        count += 1
    return count


async def test_a_store_that_crashes_again_and_again_loses_nothing_that_was_acknowledged(
    processes: Processes, own_postgres: EmbeddedPostgres, broker: Broker, topic: str
) -> None:
    url = own_postgres.create_database("crashing")
    processes.environment["SALESCYCLE_POSTGRES__URL"] = url
    processes.salescycle("migrate")
    doors = [processes.lifecycle(), processes.lifecycle()]
    projections = processes.projections()
    running = {each.name: each.pid for each in (*doors, projections)}
    traffic = Traffic(doors, processes.headers, LEADS, seconds=12)
    crashing = asyncio.create_task(asyncio.to_thread(crash, own_postgres, 12))
    loading = asyncio.create_task(asyncio.to_thread(traffic.run, 90))
    assert await crashing >= 3
    await loading

    events = await check_store(url, traffic.acknowledged)
    check_figures(projections, processes, expected(LEADS))
    await check_topic(broker.bootstrap, topic, events)
    for each in (*doors, projections):
        each.wait_ready()
    assert {each.name: each.pid for each in (*doors, projections) if each.running()} == running, (
        "someone had to start again"
    )
    assert "No difference" in processes.salescycle("verify").stdout
