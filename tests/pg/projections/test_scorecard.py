"""How owners do: given closed and open deals, when a scorecard is asked for, then by who they belonged to when it came about."""

from typing import Any

import pytest

from services.kernel.errors import Invalid
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.pg.projections.test_forecast import eur
from tests.pg.projections.test_target import won
from tests.unit.projections.histories import Log


def a_month() -> Log:
    """Ana won 100 and 50 and lost one, ben won 300; of two open deals one went from ana to ben."""
    log = Log()
    log.post("owner/ana", "OwnerUpdated", "2025-03-01T00:00Z", "2025-03-01T00:00Z", team="West")
    log.post("owner/ben", "OwnerUpdated", "2025-03-01T00:00Z", "2025-03-01T00:00Z", team="West")
    won(log, "L-1", "2025-04-02", "ana", eur("100"))
    won(log, "L-2", "2025-04-10", "ana", eur("50"))
    won(log, "L-3", "2025-04-11", "ben", eur("300"))
    for lead, value in (("L-4", "7"), ("L-5", "9"), ("L-6", "20")):
        log.post(
            lead,
            "LeadCaptured",
            "2025-04-01T10:00Z",
            "2025-04-01T10:00Z",
            source_channel="web",
            owner="ana",
            value=eur(value),
        )
    log.post("L-4", "Lost", "2025-04-05T10:00Z", "2025-04-05T10:00Z", reason="price")
    log.post("L-5", "LeadAssigned", "2025-04-20T10:00Z", "2025-04-20T10:00Z", owner="ben")
    log.post("L-1", "LeadAssigned", "2025-04-20T10:00Z", "2025-04-20T10:00Z", owner="cem")
    return log


APRIL = {"from_": "2025-04-01", "to": "2025-05-01"}


async def card(figures: Projected, **asked: str) -> list[Any]:
    rows = await figures.rows("owner_scorecard", **{**APRIL, **asked})
    by = asked.get("by", "owner")
    return [
        (row["rank"], row[by], row["won_n"], row["won_value"], row["win_rate"]["value"], row["open_n"]) for row in rows
    ]


async def test_each_deal_counts_for_who_had_it_when_it_came_about(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(a_month().events)
    assert await card(figures) == [
        (1, "ben", 1, [eur("300.00")], 1.0, 1),
        (2, "ana", 2, [eur("150.00")], 2 / 3, 1),
    ]
    [_, ana] = await figures.rows("owner_scorecard", **APRIL)
    assert (ana["mean_deal_size"], ana["median_cycle_days"], ana["open_value"]) == ([eur("75.00")], 0.0, [eur("20.00")])
    assert [row[:3] for row in await card(figures, sort="won_n", dims="current")] == [
        (1, "ana", 1), (1, "ben", 1), (1, "cem", 1),
    ]  # fmt: skip
    assert await card(figures, by="team") == [(1, "West", 3, [eur("450.00")], 0.75, 2)]
    assert [row[1] for row in await card(figures, sort="win_rate", owner="ana")] == ["ana"]


async def test_a_late_win_and_a_reopening_restate_and_what_was_known_stays(projected: NewProjected) -> None:
    log = a_month()
    log.post("L-6", "Won", "2025-04-25T10:00Z", "2025-06-01T10:00Z", value=eur("1000"))
    log.post("L-3", "Reopened", "2025-06-02T10:00Z", "2025-06-02T10:00Z", reason="again")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    assert [row[:3] for row in await card(figures)] == [(1, "ana", 3), (None, "ben", 0)]
    assert [row[:3] for row in await card(figures, known_at="2025-05-31")] == [(1, "ben", 1), (2, "ana", 2)]
    assert [row[:3] for row in await card(figures, as_of="2025-05-31")] == [(1, "ana", 3), (2, "ben", 1)]


async def test_who_leads(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(a_month().events)
    assert await figures.rows("leaderboard", sort="win_rate", **APRIL) == [
        {"rank": 1, "owner": "ben", "win_rate": {"numerator": 1, "denominator": 1, "value": 1.0}},
        {"rank": 2, "owner": "ana", "win_rate": {"numerator": 2, "denominator": 3, "value": 2 / 3}},
    ]


async def test_amounts_of_several_currencies_have_no_order(projected: NewProjected) -> None:
    log = a_month()
    won(log, "L-9", "2025-04-02", "cem", {"amount": "5", "currency": "USD"})
    log.post(
        "fx/USD-EUR",
        "FxRatePublished",
        "2025-03-01T00:00Z",
        "2025-03-01T00:00Z",
        rate="50",
        as_of="2025-03-01T00:00:00Z",
    )
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    with pytest.raises(Invalid):
        await card(figures)
    assert [row[1] for row in await card(figures, sort="won_n")] == ["ana", "ben", "cem"]
    assert [(row[1], row[3]) for row in await card(figures, currency="EUR")] == [
        ("ben", [eur("300.00")]), ("cem", [eur("250.00")]), ("ana", [eur("150.00")]),
    ]  # fmt: skip
    for bad in ({"interval": "day"}, {"group_by": "owner"}):
        with pytest.raises(Invalid):
            await figures.rows("owner_scorecard", **APRIL, **bad)
