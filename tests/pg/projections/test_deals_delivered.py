"""Touches, doubts and forecasts are the same bytes however their events are delivered, and what was known never changes."""

import random
from typing import Any

import pytest

from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.unit.projections.deals import random_deals
from tests.unit.projections.histories import shuffled_across_leads

pytestmark = pytest.mark.parametrize("seed", range(2))
QUESTIONS: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "weighted_forecast",
        {"as_of": "2025-04-01", "stage_n": "3", "interval": "month", "to": "2025-08-01", "group_by": "owner"},
    ),
    ("forecast_accuracy", {"from_": "2025-02-01", "to": "2025-05-01", "interval": "month", "stage_n": "3"}),
    ("predicted_close", {"as_of": "2025-04-01", "at_risk_n": "2", "limit": "500"}),
    ("source_roi", {"attribution": "linear"}),
    ("owner_scorecard", {"sort": "won_n"}),
    ("data_quality", {"limit": "500"}),
)


async def answers(figures: Projected, **asked: str) -> list[Any]:
    return [await figures.rows(metric, **{**texts, **asked}) for metric, texts in QUESTIONS]


async def test_the_same_bytes_however_it_is_delivered(projected: NewProjected, seed: int) -> None:
    log = random_deals(seed, leads=40)
    chance = random.Random(seed)
    at_once, one_by_one, shuffled = [await projected() for _ in range(3)]
    await at_once.deliver(log)
    await one_by_one.deliver(log, batch=1)
    await shuffled.deliver(shuffled_across_leads(log, chance), batch=5, forgetting=chance)
    expected = await at_once.checksum()
    assert await one_by_one.checksum() == expected
    assert await shuffled.checksum() == expected


async def test_what_was_known_at_an_instant_never_changes(projected: NewProjected, seed: int) -> None:
    log = random_deals(seed)
    known_at = log[len(log) * 2 // 3].recorded_at
    figures = await projected("pipeline", "reference")
    await figures.deliver([event for event in log if event.recorded_at < known_at])
    now = await answers(figures)
    then = await answers(figures, known_at=known_at.isoformat())
    assert then == now
    await figures.deliver(log)
    assert await answers(figures, known_at=known_at.isoformat()) == then
    assert await answers(figures) != then
