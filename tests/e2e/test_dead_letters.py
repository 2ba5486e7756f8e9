"""Records that are no events of the log: kept with their origin, at little cost to those who read events."""

from typing import Any, NamedTuple

import pytest

from schemas.wire import NotAnEvent
from services.kernel import kafka
from services.kernel.dead_letters import DeadLetters
from tests.support.brokers import Broker, create_topic
from tests.support.logs import broker_settings

pytestmark = pytest.mark.broker


class Foreign(NamedTuple):
    """A record as a reader gives it."""

    offset: int
    key: bytes = b"lead/L-1"
    value: bytes = b"no event at all" * 100
    headers: tuple[tuple[str, bytes], ...] = (("trace", b"1"),)
    timestamp: int = 1_700_000_000_000


async def read(bootstrap: str, topic: str) -> list[Any]:
    reader = kafka.Reader(broker_settings(bootstrap), topic)
    await reader.start()
    try:
        marks = await reader.watermarks([0])
        ends = {0: marks[0].end}
        return [record async for _, record in reader.read_to_end({0: marks[0].first}, ends)]
    finally:
        await reader.stop()


async def test_thousands_of_foreign_records_are_kept_with_their_origin_over_one_connection(
    broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    require_topic = kafka.require_topic

    async def require(settings: Any, name: str, partitions: int) -> None:
        looked.append(name)
        await require_topic(settings, name, partitions)

    monkeypatch.setattr(kafka, "require_topic", require)
    letters = DeadLetters(broker_settings(broker.bootstrap), topic, "tally")
    await create_topic(broker, letters.topic, partitions=1)
    for first in range(0, 3_000, 1_500):
        await letters.put(4, [(Foreign(first + n), NotAnEvent("it is no JSON")) for n in range(1_500)])
    await letters.stop()
    kept = await read(broker.bootstrap, letters.topic)
    headers = [dict(record.headers) for record in kept]
    assert [int(each["dlq-original-offset"]) for each in headers] == list(range(3_000))
    assert headers[0] | {"dlq-original-offset": b""} == {
        "trace": b"1",
        "dlq-original-topic": topic.encode(),
        "dlq-original-partition": b"4",
        "dlq-original-offset": b"",
        "dlq-original-timestamp": b"1700000000000",
        "dlq-group": b"tally",
        "dlq-attempts": b"1",
        "dlq-error-class": b"NotAnEvent",
        "dlq-error-message": b"it is no JSON",
    }
    assert {(record.key, record.value) for record in kept} == {(Foreign(0).key, Foreign(0).value)}
    assert looked == [letters.topic], "the topic is looked for once, not for each record"


async def test_a_broker_that_is_away_costs_the_letters_and_no_more(broker: Broker, topic: str) -> None:
    if not hasattr(broker, "log"):
        pytest.skip("a broker of somebody else is not ours to stop")
    letters = DeadLetters(broker_settings(broker.bootstrap), topic, "tally")
    await create_topic(broker, letters.topic, partitions=1)
    await letters.put(0, [(Foreign(1), NotAnEvent("no"))])
    broker.kill9()
    await letters.put(0, [(Foreign(2), NotAnEvent("no"))])
    broker.start()
    await create_topic(broker, letters.topic, partitions=1)
    await letters.put(0, [(Foreign(3), NotAnEvent("no"))])
    await letters.stop()
    kept = await read(broker.bootstrap, letters.topic)
    assert [dict(record.headers)["dlq-original-offset"] for record in kept] == [b"3"]
