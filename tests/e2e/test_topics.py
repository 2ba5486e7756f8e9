"""`salescycle topics apply`: makes what is missing, once, and never changes how many partitions a topic has."""

from pathlib import Path

import pytest

from services.cli import topics
from services.cli.machine import CannotStart
from services.cli.settings import ROOT
from services.kernel.kafka import WrongTopic, partition_count
from services.kernel.settings import KafkaSettings, KernelSettings, LogSettings
from tests.support.brokers import Broker, create_topic, leads_topic_of

FILE = ROOT / "deploy" / "topics.yaml"


@pytest.fixture
def given(broker: Broker, topic: str) -> KernelSettings:
    kafka = KafkaSettings(
        bootstrap=broker.bootstrap, events_topic=topic, leads_topic=leads_topic_of(topic), idempotence=False
    )
    return KernelSettings(kafka=kafka, log=LogSettings(partitions=7))


async def test_the_topics_of_the_log_have_as_many_partitions_as_the_log(given: KernelSettings) -> None:
    made = await topics.apply_topics(given, FILE)
    names = [given.kafka.events_topic, given.kafka.leads_topic]
    assert [(topic.name, topic.partitions_found) for topic in made] == [(name, None) for name in names]
    assert [await partition_count(given.kafka, name) for name in names] == [7, 7]


async def test_applied_again_nothing_changes(given: KernelSettings) -> None:
    await topics.apply_topics(given, FILE)
    for again in await topics.apply_topics(given, FILE):
        assert again.partitions_found == again.partitions == 7


async def test_a_topic_with_another_number_of_partitions_is_refused_and_left_as_it_is(
    given: KernelSettings, broker: Broker
) -> None:
    await create_topic(broker, given.kafka.events_topic, partitions=3)
    with pytest.raises(WrongTopic, match="has 3 partitions, the log has 7"):
        await topics.apply_topics(given, FILE)
    assert await partition_count(given.kafka, given.kafka.events_topic) == 3


async def test_a_plan_makes_nothing(given: KernelSettings) -> None:
    assert [planned.partitions_found for planned in await topics.plan(given, FILE)] == [None, None]
    assert await partition_count(given.kafka, given.kafka.events_topic) is None


def test_the_shipped_file_keeps_events_for_thirty_days_and_the_newest_state_for_ever() -> None:
    events, leads = topics.read_topics(FILE).topics
    assert int(events.configuration["retention.ms"]) == 30 * 24 * 3600 * 1000
    assert leads.configuration["cleanup.policy"] == "compact"
    assert "retention.ms" not in leads.configuration


def test_a_file_that_cannot_be_used_is_named_with_its_flaw(tmp_path: Path) -> None:
    file = tmp_path / "topics.yaml"
    file.write_text("topics: [{name: a, partition: 3}]")
    with pytest.raises(CannotStart, match=r"(?s)topics\.yaml cannot be used.*partition"):
        topics.read_topics(file)
