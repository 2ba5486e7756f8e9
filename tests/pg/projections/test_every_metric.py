"""Every metric answers by every dimension, filtered by it, as it was and as it is now, in a currency, cut into months."""

from typing import Any

import pytest

from services.projections.pipeline.metrics import METRICS
from services.projections.query.metric import Metric
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.naive import busy_log
from tests.pg.projections.projected import Projected
from tests.unit.projections.histories import random_log

OF_ONE_PERIOD = ("owner_scorecard", "leaderboard")
"""Metrics that refuse an interval."""


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.id)
async def test_it_answers_by_every_dimension(projected: NewProjected, metric: Metric) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(random_log(3, leads=30))
    period: dict[str, Any] = (
        {"from_": "2025-03-20", "to": "2025-04-10", "interval": "week"} if metric.time == "period" else {}
    )
    if metric.id in OF_ONE_PERIOD:
        del period["interval"]
    money: dict[str, Any] = {"currency": "EUR"} if metric.money else {}
    for dims in ("event", "current"):
        grouped: dict[str, Any] = (
            {}
            if metric.listed or not metric.grouped or not metric.dimensions
            else {"group_by": ",".join(metric.dimensions)}
        )
        await figures.answer(metric.id, dims=dims, **period, **money, **grouped)
        filters: dict[str, Any] = {name: "open" if name == "outcome" else "1" for name in metric.dimensions}
        if filters:
            assert await figures.rows(metric.id, dims=dims, **period, **filters) == []
    assert await figures.rows(metric.id, known_at="2020-01-01", **period) == []


async def test_what_was_known_at_an_instant_never_changes(projected: NewProjected) -> None:
    log = busy_log(5, leads=40)
    instant = log[len(log) // 2].recorded_at
    figures = await projected("pipeline", "reference")
    await figures.deliver([event for event in log if event.recorded_at < instant])
    before = {metric.id: await _asked(figures, metric, instant.isoformat()) for metric in METRICS}
    await figures.deliver(log, batch=13)
    for metric in METRICS:
        assert await _asked(figures, metric, instant.isoformat()) == before[metric.id], metric.id
    assert await figures.rows("win_rate") != before["win_rate"][0]


async def _asked(figures: Projected, metric: Metric, known_at: str) -> list[Any]:
    period: dict[str, Any] = {"from_": "2025-01-01", "to": "2025-03-01"} if metric.time == "period" else {}
    return [
        await figures.rows(metric.id, as_of=as_of, known_at=known_at, **period)
        for as_of in ("2025-12-31", "2025-02-10")
    ]
