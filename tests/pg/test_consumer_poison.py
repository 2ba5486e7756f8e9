"""An event that cannot take effect: its lead is parked with the cause, in order; everybody else goes on; a retry heals it."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest
from prometheus_client import REGISTRY

from schemas.envelope import Recorded
from services.kernel.apply import Partition
from services.kernel.errors import Poison, Unavailable
from services.kernel.postgres import Connection
from tests.support.consuming import Rig, Tally, log_of, rig_on, until


@pytest.fixture
async def rig(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    async with rig_on(database, monkeypatch) as made:
        yield made


def admits(event: Recorded) -> Exception | None:
    """The third event of the partition is poison, and the read model says so."""
    return Poison("no such stage", position=3, stream=event.stream) if event.id == "e3" else None


def bursts(event: Recorded) -> Exception | None:
    """The same, by an error that names no event."""
    return KeyError("stage") if event.id == "e3" else None


LATER = "an earlier event of this lead is parked"


@pytest.mark.parametrize("fault", [admits, bursts])
@pytest.mark.parametrize("live", [True, False], ids=["live", "rebuild"])
async def test_a_poison_event_parks_its_lead_and_nobody_else(rig: Rig, fault: type, live: bool) -> None:
    model = Tally(fault)
    part = await rig.partition(model)
    if not live:
        part = await rig.partition(model, generation=await rig.new_generation(model))
    events = log_of(*"ABCABCABC")  # e3, e6 and e9 are of the lead C
    await part.apply(events[:7], "kafka")
    await part.apply(events[7:], "kafka")
    assert await rig.taken(part.generation) == [(0, n) for n in (1, 2, 4, 5, 7, 8)]
    cause = "no such stage" if fault is admits else "KeyError"
    assert await rig.parked(part.generation) == [(3, "lead/C", cause), (6, "lead/C", LATER), (9, "lead/C", LATER)]
    assert model.tries["e3"] <= 5, "at most five tries"
    assert part.known.position == 9


async def test_several_leads_may_be_poison_in_one_batch(rig: Rig) -> None:
    poison = {"e2", "e3", "e7"}
    model = Tally(lambda e: Poison("bad", position=e.position, stream=e.stream) if e.id in poison else None)
    part = await rig.partition(model)
    await part.apply(log_of(*"ABCABCABC"), "kafka")
    assert await rig.taken() == [(0, 1), (0, 4)]
    assert [position for position, _, _ in await rig.parked()] == [2, 3, 5, 6, 7, 8, 9]
    assert Counter(cause for _, _, cause in await rig.parked()) == {"bad": 3, LATER: 4}


async def test_a_new_owner_knows_who_is_parked(rig: Rig) -> None:
    events = log_of(*"ABCABC")
    await (await rig.partition(Tally(admits))).apply(events[:4], "kafka")
    await (await rig.partition(Tally())).apply(events[4:], "kafka")
    assert [position for position, _, _ in await rig.parked()] == [3, 6]


async def test_a_retry_replays_in_order_and_the_lead_goes_on(rig: Rig) -> None:
    model = Tally(admits)
    events = log_of(*"ABCABCABC")
    rig.feed.add(*events[:7])
    async with rig.consuming(model) as consumer:
        await until(lambda: consumer.ready)
        await until(lambda: _parked(rig, 2))
        model.fault = lambda event: None  # the cause is mended
        await rig.ask_retry()
        await until(lambda: _parked(rig, 0))
        rig.feed.add(*events[7:])
        await until(lambda: _taken(rig, 9))
    taken = [position for _, position in await rig.taken()]
    assert [n for n in taken if n in (3, 6, 9)] == [3, 6, 9]
    assert sorted(taken) == list(range(1, 10))


@pytest.mark.parametrize("again", [admits, bursts])
async def test_a_retry_that_fails_again_keeps_the_lead_parked_and_everybody_else_going(rig: Rig, again: type) -> None:
    model = Tally(admits)
    events = log_of(*"ABCABCABC")
    rig.feed.add(*events[:6])
    async with rig.consuming(model) as consumer:
        await until(lambda: _parked(rig, 2))
        model.fault = again
        tried = model.tries["e3"]
        await rig.ask_retry()
        await until(lambda: model.tries["e3"] > tried)
        rig.feed.add(*events[6:])
        await until(lambda: _taken(rig, 6), what="the other leads going on")
        assert consumer.diverged is None
    assert [position for position, _, _ in await rig.parked()] == [3, 6, 9]
    asked = await rig.pool.fetchval("SELECT count(*) FROM parked WHERE retry_requested")
    assert asked == 0, "it is not tried again for ever"
    cause = {admits: "no such stage", bursts: "KeyError"}[again]
    assert cause in (await rig.parked())[0][2]


async def test_what_the_store_fails_at_is_nobodys_poison(rig: Rig) -> None:
    """A connection that breaks parks nothing: the same batch is written when the store is back."""
    broken = True
    model = Tally(lambda event: ConnectionResetError() if broken and event.id == "e2" else None)
    part: Partition = await rig.partition(model)
    with pytest.raises(Unavailable):
        await part.apply(log_of(*"ABC"), "kafka")
    assert (await rig.parked(), await rig.taken()) == ([], [])
    broken = False
    await part.apply(log_of(*"ABC"), "kafka")
    assert await rig.taken() == [(0, 1), (0, 2), (0, 3)]


@pytest.mark.parametrize(
    "passing", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError, Unavailable]
)
async def test_what_another_transaction_did_to_ours_is_nobodys_poison(rig: Rig, passing: type[Exception]) -> None:
    fails = 2
    model = Tally(lambda event: passing("busy") if event.id == "e2" and model.tries["e2"] <= fails else None)
    part = await rig.partition(model)
    await part.apply(log_of(*"ABC"), "kafka")
    assert (await rig.parked(), await rig.taken()) == ([], [(0, 1), (0, 2), (0, 3)])
    fails = 1_000
    more = log_of(*"DEF", first=4)
    model.fault = lambda event: passing("busy") if event.id == "e5" else None
    with pytest.raises(Unavailable):
        await part.apply(more, "kafka")
    assert model.tries["e5"] == 5, "it is not waited for without end"
    assert await rig.parked() == []
    model.fault = lambda event: None
    await part.apply(more, "kafka")
    assert await rig.taken() == [(0, n) for n in range(1, 7)]


async def test_a_retry_that_met_another_transaction_stays_asked_for(rig: Rig) -> None:
    model = Tally(admits)
    part = await rig.partition(model)
    await part.apply(log_of(*"ABC"), "kafka")
    await rig.ask_retry()
    model.fault = lambda event: asyncpg.DeadlockDetectedError("busy")
    await part.retry_parked()
    model.fault = lambda event: None
    await part.retry_parked()
    assert (await rig.parked(), len(await rig.taken())) == ([], 3)


async def test_poison_that_is_told_and_poison_that_is_not_in_one_batch(rig: Rig) -> None:
    model = Tally(lambda event: admits(event) or (KeyError("stage") if event.id in ("e5", "e7") else None))
    part = await rig.partition(model)
    await part.apply(log_of(*"ABCDEFGH"), "kafka")
    assert await rig.taken() == [(0, n) for n in (1, 2, 4, 6, 8)]
    assert await rig.parked() == [(3, "lead/C", "no such stage"), (5, "lead/E", "KeyError"), (7, "lead/G", "KeyError")]


async def test_the_event_at_fault_in_a_large_batch_is_found_in_few_transactions(rig: Rig) -> None:
    class Counting(Tally):
        transactions = 0

        async def apply(self, connection: Connection, partition: int, events: Sequence[Recorded]) -> None:
            self.transactions += 1
            await super().apply(connection, partition, events)

    model = Counting(lambda event: KeyError("stage") if event.id == "e990" else None)
    part = await rig.partition(model)
    await part.apply(log_of(*(f"L-{n}" for n in range(1_000))), "kafka")
    assert [position for position, _, _ in await rig.parked()] == [990]
    assert len(await rig.taken()) == 999
    assert model.tries["e990"] == 5
    assert model.transactions < 50


async def test_how_many_leads_are_parked_is_told_and_falls_again(rig: Rig) -> None:
    def told() -> float | None:
        return REGISTRY.get_sample_value("salescycle_parked_leads", {"consumer": "tally"})

    model = Tally(lambda event: Poison("bad", position=event.position, stream=event.stream))
    rig.feed.add(*log_of(*"AAB"), *log_of("C", partition=1, prefix="f"))
    async with rig.consuming(model):
        await until(lambda: told() == 3, what="the leads of both partitions")
        model.fault = lambda event: None
        await rig.ask_retry()
        await until(lambda: told() == 0, what="falling again")


async def _taken(rig: Rig, count: int) -> bool:
    return len(await rig.taken()) == count


async def _parked(rig: Rig, count: int) -> bool:
    return len(await rig.parked()) == count
