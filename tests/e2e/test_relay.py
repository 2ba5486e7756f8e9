"""What a subscriber of the topic may rely on, whatever happens to relay and broker."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.cli.embedded import EmbeddedPostgres
from services.kernel import kafka
from services.kernel import relay as relay_module
from services.kernel.telemetry import RELAY_BACKLOG_EVENTS
from tests.support.brokers import Broker, create_topic
from tests.support.logs import LeadLog, broker_settings, event, opened, prepare, published, publishing
from tests.support.postgres import new_name

pytestmark = pytest.mark.broker


@pytest.fixture
async def log(database: str) -> AsyncIterator[LeadLog]:
    await prepare(database)
    async with opened(database) as lead_log:
        yield lead_log


async def post(log: LeadLog, count: int, prefix: str) -> None:
    await log.post(*(event("ActivityLogged", f"L-{n % 50}", id=f"{prefix}-{n}") for n in range(count)))


async def test_every_event_is_published_in_position_order(log: LeadLog, broker: Broker, topic: str) -> None:
    async with publishing(log, broker.bootstrap, topic):
        await post(log, 2_000, "a")
        seen = await published(broker.bootstrap, topic, 2_000)
    assert seen == await log.everything()


async def test_the_next_relay_goes_on_where_the_last_one_was_killed(log: LeadLog, broker: Broker, topic: str) -> None:
    for round_ in range(4):
        relay = publishing(log, broker.bootstrap, topic, owner=f"relay {round_}", lease_s=0.3)
        running = await relay.__aenter__()
        await post(log, 300, f"r{round_}")
        await asyncio.sleep(0.15 * round_)
        assert running._task is not None
        running._task.cancel()  # as by kill -9: nothing is written down, no lease is given back
        running._task = None
        await relay.__aexit__(None, None, None)
    async with publishing(log, broker.bootstrap, topic, owner="last", lease_s=0.3):
        assert await published(broker.bootstrap, topic, 1_200) == await log.everything()


async def test_two_relays_neither_lose_nor_disorder(log: LeadLog, broker: Broker, topic: str) -> None:
    async with (
        publishing(log, broker.bootstrap, topic, owner="one", lease_s=0.5) as one,
        publishing(log, broker.bootstrap, topic, owner="two", lease_s=0.5) as two,
    ):
        for round_ in range(5):
            await post(log, 200, f"r{round_}")
            if round_ == 2:  # the holder falls silent without giving its lease back, while it goes on sending
                holder = one if one.publishing else two
                holder._lease.seconds = 0.01
        assert await published(broker.bootstrap, topic, 1_000) == await log.everything()


async def test_a_broker_that_lost_everything_gets_it_again(log: LeadLog, broker: Broker, topic: str) -> None:
    if not hasattr(broker, "log"):
        pytest.skip("a real broker keeps what it acknowledged")
    async with publishing(log, broker.bootstrap, topic):
        await post(log, 500, "before")
        await published(broker.bootstrap, topic, 500)
        broker.kill9()
        await post(log, 100, "meanwhile")
        broker.start()
        assert await published(broker.bootstrap, topic, 600, within_s=60, lost=True) == await log.everything()


async def test_a_broker_that_lost_everything_gets_it_again_also_where_nothing_is_posted(
    log: LeadLog, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(broker, "log"):
        pytest.skip("a real broker keeps what it acknowledged")
    monkeypatch.setattr(relay_module, "LOOK_EVERY_S", 1.0)
    async with publishing(log, broker.bootstrap, topic) as relay:
        await post(log, 500, "before")
        await published(broker.bootstrap, topic, 500)
        await asyncio.sleep(2)
        assert relay.publishing, "what is as expected interrupts nothing"
        broker.kill9()
        broker.start()
        assert await published(broker.bootstrap, topic, 500, within_s=40, lost=True) == await log.everything()


async def test_a_topic_with_other_partitions_is_refused(log: LeadLog, broker: Broker, topic: str) -> None:
    await create_topic(broker, topic, partitions=5)
    settings = broker_settings(broker.bootstrap).model_copy(update={"recreate_topics": False})
    with pytest.raises(kafka.WrongTopic, match="has 5 partitions, the log has 12"):
        await kafka.ensure_topic(settings, topic, 12)


async def test_an_empty_store_on_an_old_topic_publishes_nothing(
    log: LeadLog, postgres: EmbeddedPostgres, broker: Broker, topic: str
) -> None:
    async with publishing(log, broker.bootstrap, topic):
        await post(log, 100, "old")
        before = await published(broker.bootstrap, topic, 100)
    other = new_name()
    url = postgres.create_database(other)
    await prepare(url)
    async with opened(url) as empty, publishing(empty, broker.bootstrap, topic) as relay:
        await post(empty, 3, "new")
        await asyncio.wait_for(_until(lambda: relay.diverged is not None), 20)
        assert relay.diverged is not None
        assert "salescycle verify" in relay.diverged
        assert await published(broker.bootstrap, topic, 100) == before
    postgres.drop_database(other)


async def test_a_store_restored_to_an_older_state_publishes_nothing(
    postgres: EmbeddedPostgres, broker: Broker, topic: str
) -> None:
    name, backup = new_name(), new_name()
    url = postgres.create_database(name)
    await prepare(url)
    async with opened(url) as log, publishing(log, broker.bootstrap, topic):
        await post(log, 100, "kept")
        await published(broker.bootstrap, topic, 100)
    postgres.create_database(backup, template=name)
    async with opened(url) as log, publishing(log, broker.bootstrap, topic):
        await post(log, 100, "lost")
        before = await published(broker.bootstrap, topic, 200)
    postgres.drop_database(name)
    restored = postgres.create_database(name, template=backup)
    async with opened(restored) as log, publishing(log, broker.bootstrap, topic) as relay:
        await post(log, 300, "another history")
        await asyncio.wait_for(_until(lambda: relay.diverged is not None), 20)
        assert await published(broker.bootstrap, topic, 200) == before
    for each in (name, backup):
        postgres.drop_database(each)


async def test_a_store_that_goes_back_under_a_running_relay_is_noticed(
    log: LeadLog, broker: Broker, topic: str, database: str
) -> None:
    """As on a failover to a standby that was behind: the connections of the pool are made anew, nobody is told."""
    async with publishing(log, broker.bootstrap, topic) as relay:
        await post(log, 100, "old")
        before = await published(broker.bootstrap, topic, 100)
        connection = await asyncpg.connect(database)
        await connection.execute(
            "SET search_path = lifecycle; TRUNCATE event, stream, receipt; UPDATE log_partition SET head = 0"
        )
        await connection.close()
        await asyncio.wait_for(_until(lambda: relay.diverged is not None), 5)
        await relay.stop()
        assert await published(broker.bootstrap, topic, 100) == before


async def test_the_backlog_is_told_while_the_broker_is_away_and_forgotten_with_the_lease(
    log: LeadLog, broker: Broker, topic: str
) -> None:
    if not hasattr(broker, "log"):
        pytest.skip("a broker of somebody else is not ours to stop")
    async with publishing(log, broker.bootstrap, topic):
        await post(log, 200, "before")
        await published(broker.bootstrap, topic, 200)
        await asyncio.wait_for(_until(lambda: backlog() == 0), 5)
        broker.kill9()
        await post(log, 300, "meanwhile")
        await asyncio.wait_for(_until(lambda: backlog() == 300), 20)
        await post(log, 50, "later")
        await asyncio.wait_for(_until(lambda: backlog() == 350), 20)
    assert backlog() is None


def backlog() -> float | None:
    """The sum over all partitions; None where no partition is told."""
    told = [sample.value for metric in RELAY_BACKLOG_EVENTS.collect() for sample in metric.samples]
    return sum(told) if told else None


async def _until(condition) -> None:  # type: ignore[no-untyped-def]
    while not condition():
        await asyncio.sleep(0.05)


async def test_the_relay_writes_down_what_was_acknowledged_under_its_epoch(
    log: LeadLog, broker: Broker, topic: str, database: str
) -> None:
    async with publishing(log, broker.bootstrap, topic):
        await post(log, 50, "a")
        await published(broker.bootstrap, topic, 50)
    connection = await asyncpg.connect(database)
    rows = await connection.fetch("SELECT partition, position, epoch FROM lifecycle.relay_confirmed")
    await connection.close()
    heads = await log.log.heads()
    assert {row["partition"]: row["position"] for row in rows} == {
        p: head.position for p, head in heads.items() if head.position
    }
    assert {row["epoch"] for row in rows} == {1}
