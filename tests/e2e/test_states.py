"""The state topic: every lead's newest state with its version, whatever happens to relay and broker."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncpg
import msgspec
import pytest

from services.kernel import kafka
from services.kernel import states as states_module
from services.kernel.errors import Unavailable
from services.kernel.partition import partition_of
from services.kernel.states import StateTopic
from services.lifecycle.views import body_of_lead
from tests.support.brokers import Broker, leads_topic_of
from tests.support.builders import event as any_event
from tests.support.logs import LeadLog, broker_settings, event, opened, prepare, published, publishing

pytestmark = pytest.mark.broker


class Told(NamedTuple):
    """A record of the state topic."""

    partition: int
    offset: int
    key: str
    version: int
    position: int
    body: bytes
    at_ms: int


@pytest.fixture
async def log(database: str) -> AsyncIterator[LeadLog]:
    await prepare(database)
    async with opened(database) as lead_log:
        yield lead_log


@pytest.fixture
def states(topic: str) -> StateTopic:
    return StateTopic(leads_topic_of(topic), body_of_lead)


async def post(log: LeadLog, count: int, prefix: str, leads: int = 50) -> None:
    await log.post(*(event("ActivityLogged", f"L-{n % leads}", id=f"{prefix}-{n}") for n in range(count)))


async def told(broker: Broker, states: StateTopic) -> list[Told]:
    """All records of the topic now, by partition and offset."""
    reader = kafka.Reader(broker_settings(broker.bootstrap), states.name, wait_ms=50)
    found: list[Told] = []
    try:
        await reader.start()
        reader.assign(dict.fromkeys(range(12), 0))
        idle = 0
        while idle < 4:
            fetched = await reader.fetch(5_000, 100)
            idle = 0 if fetched else idle + 1
            for partition, records in fetched.items():
                for each in records:
                    named = dict(each.headers)
                    assert named["content-type"] == b"application/json"
                    found.append(
                        Told(
                            partition, each.offset, each.key.decode(), int(named["version"]), int(named["position"]),
                            each.value, each.timestamp,
                        )
                    )  # fmt: skip
    finally:
        await reader.stop()
    return sorted(found)


async def stored(log: LeadLog) -> dict[str, tuple[int, bytes]]:
    """Every lead's version and body, as `GET /v1/leads/{id}` gives it."""
    rows = await log.log.pool.fetch("SELECT stream, partition, version, state FROM stream WHERE stream LIKE 'lead/%'")
    return {row["stream"]: (row["version"], body_of_lead(*row) or b"") for row in rows}


def newest(records: list[Told]) -> dict[str, tuple[int, bytes]]:
    """What a reader has who keeps the highest version of each lead."""
    kept: dict[str, tuple[int, bytes]] = {}
    for each in records:
        if each.version >= kept.get(each.key, (0, b""))[0]:
            kept[each.key] = (each.version, each.body)
    return kept


def last(records: list[Told]) -> dict[str, tuple[int, bytes]]:
    """What compaction leaves of each lead."""
    return {each.key: (each.version, each.body) for each in records}


async def complete(log: LeadLog, broker: Broker, states: StateTopic, *, within_s: float = 30) -> list[Told]:
    """All records, once the last one of every lead holds what the store holds; fails where that never comes."""
    expected = await stored(log)
    records: list[Told] = []
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    records = await told(broker, states)
                except Unavailable:  # the broker is being started again
                    await asyncio.sleep(0.2)
                    continue
                if last(records) == expected:
                    return records
    except TimeoutError:
        assert last(records) == expected
        raise


async def test_every_lead_is_there_at_its_version_where_its_events_are(
    log: LeadLog, broker: Broker, topic: str, states: StateTopic
) -> None:
    async with publishing(log, broker.bootstrap, topic, states=states):
        await post(log, 500, "a")
        await post(log, 300, "b")
        records = await complete(log, broker, states)
    assert len(newest(records)) == 50
    events = await log.everything()
    for each in records:
        assert each.partition == partition_of(each.key, 12)
        made_by = events[each.partition][each.position - 1]
        assert (made_by.stream, made_by.version) == (each.key, each.version)
        assert each.at_ms == int(made_by.recorded_at.timestamp() * 1_000_000) // 1_000
        body: dict[str, Any] = msgspec.json.decode(each.body)
        assert (body["id"], body["version"], body["partition"]) == (each.key[5:], each.version, each.partition)


async def test_what_happened_before_the_relay_came_is_published_once_a_lead(
    log: LeadLog, broker: Broker, topic: str, states: StateTopic
) -> None:
    await post(log, 1_000, "a", leads=20)
    async with publishing(log, broker.bootstrap, topic, states=states):
        records = await complete(log, broker, states)
    assert sorted(each.key for each in records) == sorted(f"lead/L-{n}" for n in range(20))


async def test_other_streams_than_leads_are_not_in_it(
    log: LeadLog, broker: Broker, topic: str, states: StateTopic
) -> None:
    await log.post(any_event("AccountUpdated", "acme"), event("LeadCaptured", "L-1"))
    async with publishing(log, broker.bootstrap, topic, states=states):
        records = await complete(log, broker, states)
        assert len(await log.history("account/acme")) == 1
    assert {each.key for each in records} == {"lead/L-1"}


async def test_the_next_relay_publishes_what_the_last_one_left_undone(
    log: LeadLog, broker: Broker, topic: str, states: StateTopic
) -> None:
    for round_ in range(4):
        relay = publishing(log, broker.bootstrap, topic, owner=f"relay {round_}", lease_s=0.3, states=states)
        running = await relay.__aenter__()
        await post(log, 300, f"r{round_}")
        await asyncio.sleep(0.15 * round_)
        assert running._task is not None
        running._task.cancel()  # as by kill -9: nothing is written down, no lease is given back
        running._task = None
        await relay.__aexit__(None, None, None)
    async with publishing(log, broker.bootstrap, topic, owner="last", lease_s=0.3, states=states):
        await complete(log, broker, states)


async def test_states_of_events_that_were_published_without_them_are_made_up_for(
    log: LeadLog, broker: Broker, topic: str, states: StateTopic
) -> None:
    async with publishing(log, broker.bootstrap, topic):
        await post(log, 200, "a")
        await published(broker.bootstrap, topic, 200)
    async with publishing(log, broker.bootstrap, topic, states=states):
        await complete(log, broker, states)


async def test_a_state_that_cannot_be_published_stops_no_event_and_is_tried_again(
    log: LeadLog, broker: Broker, topic: str, states: StateTopic
) -> None:
    mended = asyncio.Event()

    def body(stream: str, partition: int, version: int, state: str) -> bytes | None:
        if not mended.is_set():
            raise RuntimeError("not today")
        return body_of_lead(stream, partition, version, state)

    async with publishing(log, broker.bootstrap, topic, states=states._replace(body=body)) as relay:
        await post(log, 200, "a")
        assert await published(broker.bootstrap, topic, 200) == await log.everything()
        assert relay.publishing
        assert await told(broker, states) == []
        mended.set()
        await complete(log, broker, states)


@pytest.mark.parametrize("posting", [True, False], ids=["while events are posted", "while nothing is posted"])
async def test_a_broker_that_lost_everything_gets_every_state_again(
    log: LeadLog, broker: Broker, topic: str, states: StateTopic, monkeypatch: pytest.MonkeyPatch, posting: bool
) -> None:
    if not hasattr(broker, "log"):
        pytest.skip("a real broker keeps what it acknowledged")
    monkeypatch.setattr(states_module, "LOOK_EVERY_S", 1.0)
    async with publishing(log, broker.bootstrap, topic, states=states):
        await post(log, 300, "before", leads=100)
        await complete(log, broker, states)
        broker.kill9()
        broker.start()
        if posting:
            await post(log, 30, "after", leads=10)
        assert len(newest(await complete(log, broker, states, within_s=50))) == 100


async def test_a_broker_that_lost_everything_between_two_relays_gets_every_state_again(
    log: LeadLog, broker: Broker, topic: str, states: StateTopic
) -> None:
    if not hasattr(broker, "log"):
        pytest.skip("a real broker keeps what it acknowledged")
    async with publishing(log, broker.bootstrap, topic, states=states):
        await post(log, 300, "before", leads=100)
        await complete(log, broker, states)
    broker.kill9()
    broker.start()
    async with publishing(log, broker.bootstrap, topic, states=states):
        assert len(newest(await complete(log, broker, states, within_s=50))) == 100


async def test_a_topic_made_anew_that_somebody_began_to_fill_is_not_taken_for_the_old_one(
    log: LeadLog, broker: Broker, topic: str, states: StateTopic
) -> None:
    if not hasattr(broker, "log"):
        pytest.skip("a real broker keeps what it acknowledged")
    async with publishing(log, broker.bootstrap, topic, states=states):
        await post(log, 300, "before", leads=100)
        ends = {each.partition: each for each in await complete(log, broker, states)}
    broker.kill9()
    broker.start()
    settings = broker_settings(broker.bootstrap)
    await kafka.ensure_topic(settings, states.name, 12)
    other = kafka.Producer(settings, states.name)
    await other.start()
    for end in ends.values():  # just so far that another record lies where the known one was
        headers = [("content-type", b"application/json"), ("version", b"1"), ("position", b"1")]
        await other.publish(end.partition, [(end.key.encode(), b"{}", headers, end.at_ms)] * (end.offset + 1))
    await other.stop()
    async with publishing(log, broker.bootstrap, topic, states=states):
        assert len(newest(await complete(log, broker, states, within_s=50))) == 100


async def test_an_old_state_of_a_relay_thought_dead_does_not_outlive_the_newest_one(
    log: LeadLog, broker: Broker, topic: str, states: StateTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states_module, "LOOK_EVERY_S", 1.0)
    async with publishing(log, broker.bootstrap, topic, states=states):
        await post(log, 100, "a", leads=5)
        records = await complete(log, broker, states)
        now = records[-1]
        headers = [("content-type", b"application/json"), ("version", b"1"), ("position", b"1")]
        late = kafka.Producer(broker_settings(broker.bootstrap), states.name)
        await late.start()
        await late.publish(now.partition, [(now.key.encode(), b"{}", headers, now.at_ms)])
        await late.stop()
        after = await complete(log, broker, states)
    assert len(after) > len(records) + 1, "what lay over the newest state must be overlaid in turn"


async def test_how_far_it_is_stands_in_the_store_under_the_epoch(
    log: LeadLog, broker: Broker, topic: str, states: StateTopic, database: str
) -> None:
    async with publishing(log, broker.bootstrap, topic, states=states):
        await post(log, 100, "a")
        records = await complete(log, broker, states)
        await asyncio.sleep(0.1)  # acknowledged to the relay as well
    connection = await asyncpg.connect(database)
    rows = await connection.fetch("SELECT partition, position, kafka_offset, epoch FROM lifecycle.state_confirmed")
    await connection.close()
    ends = {each.partition: (each.position, each.offset, 1) for each in records}
    assert {row[0]: tuple(row)[1:] for row in rows} == ends
    async with publishing(log, broker.bootstrap, topic, owner="two", states=states):
        await asyncio.sleep(1)
        assert await told(broker, states) == records, "the next one has nothing to do"
