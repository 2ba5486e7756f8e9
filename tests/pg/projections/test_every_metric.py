"""Every metric answers by every dimension, filtered by it, as it was and as it is now, in a currency, cut into months."""

from typing import Any

import pytest

from services.projections.pipeline.metrics import METRICS
from services.projections.query.metric import Metric
from tests.pg.projections.conftest import NewProjected
from tests.unit.projections.histories import random_log


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.id)
async def test_it_answers_by_every_dimension(projected: NewProjected, metric: Metric) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(random_log(3, leads=30))
    period: dict[str, Any] = (
        {"from_": "2025-03-20", "to": "2025-04-10", "interval": "week"} if metric.time == "period" else {}
    )
    money: dict[str, Any] = {"currency": "EUR"} if metric.money else {}
    for dims in ("event", "current"):
        grouped: dict[str, Any] = {} if metric.listed else {"group_by": ",".join(metric.dimensions)}
        await figures.answer(metric.id, dims=dims, **period, **money, **grouped)
        filters: dict[str, Any] = {name: "open" if name == "outcome" else "1" for name in metric.dimensions}
        assert _counted(await figures.answer(metric.id, dims=dims, **period, **filters)) == []
    assert _counted(await figures.answer(metric.id, known_at="2020-01-01", **period)) == []


def _counted(answer: dict[str, Any]) -> list[Any]:
    """The rows that are of any lead: a bridge shows its parts also where nothing happened."""
    return [row for row in answer["rows"] if row.get("leads") != 0]
