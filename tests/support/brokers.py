"""The brokers that tests run against: the embedded one, or the one named by SALESCYCLE_TEST_KAFKA."""

from typing import Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.cli.apache_kafka import ApacheKafka
from services.cli.embedded_broker import EmbeddedBroker


class Broker(Protocol):
    """A broker under test: `kill9` loses what the broker would lose, `start` brings it back on the same port."""

    @property
    def bootstrap(self) -> str: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill9(self) -> None: ...


class GivenBroker:
    """A broker that somebody else runs: it cannot be stopped from here."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def start(self) -> None:
        """It runs already."""

    def stop(self) -> None:
        raise RuntimeError("this broker is not ours to stop")

    def kill9(self) -> None:
        raise RuntimeError("this broker is not ours to kill")


def environment(broker: Broker) -> dict[str, str]:
    """The settings by which a service uses this broker."""
    embedded = isinstance(broker, EmbeddedBroker)
    replicated = broker if isinstance(broker, ApacheKafka) else None
    return {
        "SALESCYCLE_KAFKA__REPLICATION_FACTOR": str(replicated.replication_factor if replicated else 1),
        "SALESCYCLE_KAFKA__MIN_INSYNC_REPLICAS": str(replicated.min_insync_replicas if replicated else 1),
        "SALESCYCLE_KAFKA__BOOTSTRAP": broker.bootstrap,
        "SALESCYCLE_KAFKA__IDEMPOTENCE": "false" if embedded else "true",
        "SALESCYCLE_KAFKA__RECREATE_TOPICS": "true" if embedded else "false",
    }


def leads_topic_of(topic: str) -> str:
    """The name of the state topic that goes with a test's topic of events."""
    return topic.replace(".events.", ".leads.")


async def create_topic(
    broker: Broker, topic: str, *, partitions: int = 12, replicas: int = 1, min_insync: int = 1
) -> None:
    """Make a topic, as an operator would before the services start."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        configuration = {"min.insync.replicas": str(min_insync)}
        await admin.create_topics([NewTopic(topic, partitions, replicas, topic_configs=configuration)])
    finally:
        await admin.close()
