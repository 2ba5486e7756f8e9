"""Replicated three times, two of them in step: a broker may die while its partitions are being written."""

import asyncio

import pytest

from services.cli.apache_kafka import ApacheKafka
from services.kernel.settings import KafkaSettings
from tests.support.logs import event, opened, prepare, published, publishing

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


async def test_a_broker_killed_while_the_relay_writes_costs_no_event_and_no_order(
    apache_kafka_of_three: ApacheKafka, database: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = apache_kafka_of_three
    monkeypatch.setenv("SALESCYCLE_TEST_KAFKA", cluster.bootstrap)
    settings = KafkaSettings(bootstrap=cluster.bootstrap, idempotence=True, replication_factor=3, min_insync_replicas=2)
    await prepare(database)
    async with opened(database) as log, publishing(log, cluster.bootstrap, topic, settings=settings):
        for round_ in range(10):
            await log.post(*(event("ActivityLogged", f"L-{n % 60}", id=f"r{round_}-{n}") for n in range(200)))
            if round_ == 4:
                await asyncio.to_thread(cluster.kill9, 1)
        try:
            assert await published(cluster.bootstrap, topic, 2_000, within_s=90) == await log.everything()
        finally:
            await asyncio.to_thread(cluster.restart, 1)
