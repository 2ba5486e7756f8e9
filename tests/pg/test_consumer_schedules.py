"""A running consumer under schedules that a real broker does not show on demand: holes, repetitions, silence, hangs."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from services.kernel.checkpoint import Fenced
from tests.support.consuming import PARTITIONS, Rig, Tally, log_of, rig_on, until


@pytest.fixture
async def rig(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    async with rig_on(database, monkeypatch) as made:
        yield made


async def test_a_hole_in_the_topic_is_filled_from_the_feed_in_order(rig: Rig) -> None:
    events = log_of(*"ABCABCABC")
    async with rig.consuming(Tally(), check_s=60) as consumer:
        await until(lambda: consumer.ready)
        rig.feed.add(*events)
        rig.topic.put(events[0], events[1], events[7])  # 3 to 7 were lost on the way
        await until(lambda: _taken(rig, 9))
    assert await rig.taken() == [(0, n) for n in range(1, 10)]


async def test_what_comes_twice_or_late_takes_effect_once(rig: Rig) -> None:
    events = log_of(*"ABABAB")
    rig.feed.add(*events)
    async with rig.consuming(Tally(), check_s=60) as consumer:
        await until(lambda: consumer.ready)
        rig.topic.put(*events, *events[2:4], *events)
        more = log_of("A", first=7)
        rig.feed.add(*more)
        rig.topic.put(*more)
        await until(lambda: _taken(rig, 7))
    assert await rig.taken() == [(0, n) for n in range(1, 8)]


async def test_where_the_topic_keeps_silent_the_feed_is_read_on(rig: Rig) -> None:
    async with rig.consuming(Tally()) as consumer:
        await until(lambda: consumer.ready)
        rig.feed.add(*log_of(*"ABCAB"), *log_of(*"XYZ", partition=1, prefix="x"))
        await until(lambda: _taken(rig, 8), what="reading what Kafka does not give")


async def test_another_event_at_the_checkpoint_in_the_topic_stops_it(rig: Rig) -> None:
    events = log_of(*"ABC")
    rig.feed.add(*events)
    async with rig.consuming(Tally(), check_s=60) as consumer:
        await until(lambda: consumer.ready)
        rig.topic.put(*log_of("Z", first=3, prefix="other"))
        await until(lambda: consumer.diverged)
        assert consumer.diverged is not None
        assert "salescycle rebuild tally" in consumer.diverged
        assert not consumer.ready
    assert await rig.taken() == [(0, 1), (0, 2), (0, 3)]


async def test_a_diverged_consumer_goes_on_by_itself_once_a_rebuilt_generation_is_live(rig: Rig) -> None:
    rig.feed.add(*log_of(*"ABCDE"))
    model = Tally()
    async with rig.consuming(model) as consumer:
        await until(lambda: consumer.ready)
        rig.feed.log[0] = log_of(*"ABC", prefix="another")
        await until(lambda: consumer.diverged)
        generation = await rig.new_generation(model)
        await rig.pool.execute("UPDATE read_model SET live_generation = $1", generation)
        await until(lambda: consumer.ready and consumer.diverged is None)
        assert await rig.taken(generation) == [(0, 1), (0, 2), (0, 3)]


async def test_two_at_once_on_one_partition_write_each_event_once(rig: Rig) -> None:
    """Both believe that they own it: whoever commits first wins, the other lets go and begins again."""
    events = log_of(*"ABCDEFGH" * 5)

    async def follow(member: int) -> None:
        while True:
            part = await rig.partition(Tally())
            try:
                while part.known.position < len(events):
                    at = part.known.position
                    await part.apply(events[at : at + 1 + (at + member) % 5], "kafka")
                    await asyncio.sleep(0)
            except Fenced:
                continue
            return

    await rig.partition(Tally())
    await asyncio.gather(follow(1), follow(2), follow(3))
    assert await rig.taken() == [(0, n) for n in range(1, len(events) + 1)]


async def test_an_effect_that_takes_long_costs_no_partition(rig: Rig) -> None:
    """The beat waits for nothing else: looking for poison in a large batch takes longer than the lease."""
    model = Tally()
    async with rig.consuming(model, lease_s=2.0) as consumer:
        await until(lambda: consumer.ready)
        model.hanging.clear()
        rig.feed.add(*log_of(*"ABC"))
        for _ in range(40):
            await asyncio.sleep(0.1)
            held = "SELECT count(*) FROM ownership WHERE member = 'one' AND expires_at > clock_timestamp()"
            assert await rig.pool.fetchval(held) == PARTITIONS


async def test_a_partition_that_another_process_follows_has_no_figures_here(rig: Rig) -> None:
    def told() -> set[str]:
        return {
            sample.labels["partition"]
            for family in REGISTRY.collect()
            if family.name in {"salescycle_consumer_position_events", "salescycle_consumer_lag_events", "salescycle_consumer_lag_seconds"}
            for sample in family.samples
            if sample.labels["consumer"] == "tally"
        }  # fmt: skip

    model = Tally()
    rig.feed.add(*log_of(*"AB"), *log_of(*"XY", partition=1, prefix="x"))
    async with rig.consuming(model):
        await until(lambda: told() == {"0", "1"})
        await rig.pool.execute(
            "INSERT INTO member (consumer, member, expires_at) VALUES ('tally', 'two', now() + interval '1 hour')"
        )
        await until(lambda: len(told()) == 1, what="the other half going to the other process")
        await asyncio.sleep(0.5)
        assert len(told()) == 1
        await rig.pool.execute("UPDATE read_model SET live_generation = 7")  # and all of it is lost
        await until(lambda: told() == set(), what="the rest going")


async def test_the_watchdog_calls_when_an_effect_hangs(rig: Rig) -> None:
    model = Tally()
    async with rig.consuming(model, patience_s=0.5) as consumer:
        await until(lambda: consumer.ready)
        model.hanging.clear()
        rig.feed.add(*log_of(*"ABC"))
        await until(lambda: rig.stuck, what="the watchdog's call")
    assert "partition 0 of tally stands at 0 of 3" in rig.stuck[0]


async def test_the_watchdog_calls_when_every_attempt_fails(rig: Rig) -> None:
    class Torn(Tally):
        async def apply(self, *_: object) -> None:
            raise ConnectionResetError

    async with rig.consuming(Torn(), patience_s=0.5):
        rig.feed.add(*log_of(*"ABC"))
        await until(lambda: rig.stuck, what="the watchdog's call")


async def test_the_watchdog_is_silent_while_there_is_nothing_to_do(rig: Rig) -> None:
    rig.feed.add(*log_of(*"ABC"))
    async with rig.consuming(Tally(), patience_s=0.3) as consumer:
        await until(lambda: consumer.ready)
        await asyncio.sleep(1.0)
    assert rig.stuck == []


async def test_an_error_that_nobody_foresaw_interrupts_and_does_not_end_it(rig: Rig) -> None:
    async with rig.consuming(Tally(), check_s=60) as consumer:
        await until(lambda: consumer.ready)
        rig.topic.failure = ValueError("a client library's surprise")
        await asyncio.sleep(0.3)
        events = log_of(*"AB")
        rig.feed.add(*events)
        rig.topic.put(*events)
        await until(lambda: _taken(rig, 2), what="going on after the surprise")


async def _taken(rig: Rig, count: int) -> bool:
    return len(await rig.taken()) == count
