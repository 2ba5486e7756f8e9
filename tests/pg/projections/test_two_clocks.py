"""Cells = the plain ledger query = the oracle, at any two instants, however the log was delivered."""

import random

import pytest

from tests.pg.projections.conftest import NewProjected
from tests.unit.projections.histories import Log, instants, random_log, shuffled_across_leads, standing

pytestmark = pytest.mark.parametrize("seed", range(4))


async def test_cells_the_ledger_and_the_oracle_agree_at_any_two_instants(projected: NewProjected, seed: int) -> None:
    log = random_log(seed)
    pipeline = await projected()
    await pipeline.deliver(log, batch=7)
    for as_of, known_at in instants(seed, log):
        for group_by in ((), ("owner", "region"), ("source_channel", "product")):
            expected = standing(log, as_of, known_at, group_by)
            assert await pipeline.ask(as_of, known_at, group_by) == expected
            assert await pipeline.ask(as_of, known_at, group_by, cells=False) == expected


async def test_the_same_bytes_however_it_is_delivered(projected: NewProjected, seed: int) -> None:
    log = random_log(seed)
    chance = random.Random(seed)
    at_once, one_by_one, forgetful, shuffled = [await projected() for _ in range(4)]
    await at_once.deliver(log)
    await one_by_one.deliver(log, batch=1)
    await forgetful.deliver(log, batch=9, forgetting=chance)
    await shuffled.deliver(shuffled_across_leads(log, chance), batch=5)
    expected = await at_once.checksum()
    assert await one_by_one.checksum() == expected
    assert await forgetful.checksum() == expected
    assert await shuffled.checksum() == expected


async def test_what_was_known_at_an_instant_never_changes(projected: NewProjected, seed: int) -> None:
    log = random_log(seed)
    half = len(log) // 2
    instant = log[half].recorded_at
    early = [event for event in log if event.recorded_at < instant]
    pipeline = await projected()
    await pipeline.deliver(early, batch=4)
    asked = [as_of for as_of, _ in instants(seed, log)]
    before = [await pipeline.ask(as_of, instant) for as_of in asked]
    assert before == [standing(early, as_of, None) for as_of in asked]
    await pipeline.deliver(log, batch=4)
    assert [await pipeline.ask(as_of, instant) for as_of in asked] == before


async def test_a_small_memory_changes_nothing(projected: NewProjected, seed: int) -> None:
    log = random_log(seed, leads=20)
    small, large = await projected(leads_kept=2), await projected()
    await small.deliver(log, batch=3)
    await large.deliver(log)
    assert await small.checksum() == await large.checksum()
    assert len(small.model._records) <= 2


async def test_a_correction_is_as_if_it_had_never_been_otherwise(projected: NewProjected, seed: int) -> None:
    """A late event gives the figures that it would have given in time; only what was known before differs."""
    late, in_time = Log(), Log()
    chance = random.Random(seed)
    value = {"amount": str(chance.randint(1, 999)), "currency": "EUR"}
    captured = {"source_channel": "web", "owner": "ana", "value": value}
    in_time.post("L-1", "LeadCaptured", "2025-03-01T00:00Z", "2025-03-01T00:00Z", **captured)
    in_time.post("L-1", "Lost", "2025-03-05T12:00Z", "2025-03-05T12:00Z", reason="price")
    late.post("L-1", "Lost", "2025-03-05T12:00Z", "2025-03-05T12:00Z", reason="price")
    late.post("L-1", "LeadCaptured", "2025-03-01T00:00Z", "2025-03-06T00:00Z", **captured)
    healed, straight = await projected(), await projected()
    await healed.deliver(late.events)
    await straight.deliver(in_time.events)
    for as_of, _ in instants(seed, in_time.events + late.events):
        assert await healed.ask(as_of, None, ("owner",)) == await straight.ask(as_of, None, ("owner",))
