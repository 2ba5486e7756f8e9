"""Apache Kafka as the tests run it: what all in-sync replicas acknowledged survives a kill -9 of one broker."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.cli import topics
from services.cli.apache_kafka import ApacheKafka
from services.cli.settings import ROOT
from services.kernel.kafka import WrongTopic, partition_count
from services.kernel.settings import KafkaSettings, KernelSettings, LogSettings
from tests.support.brokers import create_topic, leads_topic_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


async def produce(kafka: ApacheKafka, topic: str, numbers: range) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, enable_idempotence=True, acks="all")
    await producer.start()
    try:
        for number in numbers:
            await producer.send_and_wait(topic, str(number).encode(), partition=0)
    finally:
        await producer.stop()


async def consume(kafka: ApacheKafka, topic: str, count: int) -> list[int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek(TopicPartition(topic, 0), 0)
        async with asyncio.timeout(60):
            return [int((await consumer.getone()).value) for _ in range(count)]
    finally:
        await consumer.stop()


async def test_the_only_broker_killed_and_started_again_has_lost_nothing(apache_kafka: ApacheKafka, topic: str) -> None:
    await create_topic(apache_kafka, topic, partitions=1)
    await produce(apache_kafka, topic, range(100))
    apache_kafka.kill9()
    apache_kafka.restart()
    await produce(apache_kafka, topic, range(100, 120))
    assert await consume(apache_kafka, topic, 120) == list(range(120))


async def test_with_one_broker_of_three_killed_the_others_go_on_without_loss(
    apache_kafka_of_three: ApacheKafka, topic: str
) -> None:
    kafka = apache_kafka_of_three
    await create_topic(kafka, topic, partitions=1, replicas=3, min_insync=2)
    await produce(kafka, topic, range(50))
    kafka.kill9(0)
    try:
        await produce(kafka, topic, range(50, 100))
        assert await consume(kafka, topic, 100) == list(range(100))
    finally:
        kafka.restart(0)


async def test_topics_are_applied_with_the_replication_that_the_settings_say(
    apache_kafka_of_three: ApacheKafka, topic: str
) -> None:
    kafka = KafkaSettings(
        bootstrap=apache_kafka_of_three.bootstrap, events_topic=topic, leads_topic=leads_topic_of(topic),
        replication_factor=3, min_insync_replicas=2,
    )  # fmt: skip
    given = KernelSettings(kafka=kafka, log=LogSettings(partitions=5))
    file = ROOT / "deploy" / "topics.yaml"
    await topics.apply_topics(given, file)
    assert [again.partitions_found for again in await topics.apply_topics(given, file)] == [5, 5]
    with pytest.raises(WrongTopic):
        await topics.apply_topics(given.model_copy(update={"log": LogSettings(partitions=6)}), file)
    assert await partition_count(kafka, topic) == 5
    assert (await configuration(kafka, topic))["cleanup.policy"] == "delete"
    assert (await configuration(kafka, kafka.leads_topic))["cleanup.policy"] == "compact"
    assert (await configuration(kafka, kafka.leads_topic))["min.insync.replicas"] == "2"


async def configuration(kafka: KafkaSettings, topic: str) -> dict[str, str]:
    """What the broker says of the topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        ((_, _, _, _, entries),) = answer.resources
        return {entry[0]: entry[1] for entry in entries}
    finally:
        await admin.close()
