"""Forecast accuracy and predicted close: given deals, when a forecast made earlier is set against what came, then these results."""

from datetime import datetime, timedelta
from typing import Any

from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.test_forecast import eur, open_deal
from tests.unit.projections.histories import Log


def a_quarter() -> Log:
    """Five deals forecast for April, as of the first of April; L-6 comes from nowhere and is won too."""
    log = Log()
    for lead, p in (("L-1", 0.8), ("L-2", 0.5), ("L-3", 0.5), ("L-4", 0.5), ("L-5", 0.2)):
        open_deal(log, lead, "100", "2025-04-20", category="commit" if p == 0.8 else "pipeline", probability=p)
    log.post("L-6", "LeadCaptured", "2025-04-02T10:00Z", "2025-04-02T10:01Z", source_channel="web", owner="ben")
    for lead, day in (("L-1", "04-10"), ("L-2", "05-02"), ("L-6", "04-30")):
        log.post(lead, "Won", f"2025-{day}T10:00Z", f"2025-{day}T10:01Z", value=eur("90"))
    log.post("L-3", "Lost", "2025-04-10T10:00Z", "2025-04-10T10:01Z", reason="price")
    return log


ASKED = {"from_": "2025-04-01", "to": "2025-05-01"}


async def test_what_was_forecast_and_what_came(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(a_quarter().events)
    [row] = await figures.rows("forecast_accuracy", **ASKED)
    assert row["forecast_at"] == datetime.fromisoformat("2025-03-31T22:00:00Z")
    assert (row["forecast_n"], row["forecast_expected_n"], row["forecast_weighted"]) == (5, 2.5, [eur("250.00")])
    assert row["commit"]["weighted"] == [eur("80.00")]
    assert (row["won_n"], row["won_value"]) == (2, [eur("180.00")])
    results = ("won_in_period_n", "won_otherwise_n", "lost_n", "not_closed_n", "not_forecast_n")
    assert [row[name] for name in results] == [1, 1, 1, 2, 1]
    assert (row["value"], row["error"]) == (2 / 2.5, [eur("70.00")])
    assert abs(row["brier"] - (0.04 + 3 * 0.25 + 0.04) / 5) < 1e-9


async def test_the_forecast_is_what_was_known_when_it_was_made(projected: NewProjected) -> None:
    log = a_quarter()
    # told a month late: it was no part of any forecast, though it was so
    log.post("L-5", "ForecastSet", "2025-03-03T12:00Z", "2025-04-15T12:01Z", category="commit", probability=1.0)
    log.post("L-1", "Reopened", "2025-06-01T12:00Z", "2025-06-01T12:01Z", reason="again")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    [row] = await figures.rows("forecast_accuracy", **ASKED)
    assert row["forecast_expected_n"] == 2.5
    assert (row["won_n"], row["not_closed_n"], row["won_in_period_n"]) == (1, 3, 0)
    [before] = await figures.rows("forecast_accuracy", known_at="2025-05-31", **ASKED)
    assert (before["won_n"], before["not_closed_n"], before["won_in_period_n"]) == (2, 2, 1)
    [earlier] = await figures.rows("forecast_accuracy", lead_days="30", **ASKED)
    assert (earlier["forecast_n"], earlier["not_forecast_n"]) == (0, 1)
    [by_ana] = await figures.rows("forecast_accuracy", owner="ana", known_at="2025-05-31", **ASKED)
    assert (by_ana["won_n"], by_ana["not_forecast_n"]) == (1, 0)


async def test_each_period_has_a_forecast_of_its_own(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(a_quarter().events)
    rows = await figures.rows(
        "forecast_accuracy", from_="2025-04-01", to="2025-06-01", interval="month", as_of="2025-06-10"
    )
    assert [(row["period"], row["forecast_n"], row["won_n"]) for row in rows] == [("2025-04", 5, 2), ("2025-05", 0, 1)]
    answer = await figures.answer("forecast_accuracy")
    assert answer["rows"] == []
    assert answer["notes"] == ("A forecast is made for a period: give from.",)


def at(days: int) -> str:
    return (datetime.fromisoformat("2025-03-02T10:00:00+00:00") + timedelta(days=days)).isoformat()


def deals_of_one_stage() -> Log:
    """Twelve deals entered qualify on the second of March; six were won after 10, 20, ... 60 days, four lost after 5, two are open."""
    log = Log()
    for number in range(12):
        open_deal(log, f"D-{number:02}", "5", None)
    for number in range(6):
        log.post(f"D-{number:02}", "Won", at(10 * number + 10), at(10 * number + 10), value=eur("6"))
    for number in range(6, 10):
        log.post(f"D-{number:02}", "Lost", at(5), at(5), reason="price")
    return log


async def predicted(figures: Any, **asked: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = await figures.rows("predicted_close", zone="UTC", **asked)
    return rows


async def test_an_open_deal_is_won_when_half_of_those_that_were_open_longer_were(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(deals_of_one_stage().events)
    asked = {"as_of": at(100).replace("+00:00", "Z"), "at_risk_n": "1"}
    new = Log()
    new.post("D-99", "LeadCaptured", at(79), at(79), source_channel="web", owner="ben")
    new.post("D-99", "StageEntered", at(80), at(80), stage="qualify")
    await figures.deliver(deals_of_one_stage().events + new.events)
    row = (await predicted(figures, **asked))[-1]
    # open for 20 days: of those open longer four were won, at 30, 40, 50 and 60; two are open since 100
    assert (row["lead"], row["age_days"], row["at_risk_n"]) == ("D-99", 20, 6)
    assert row["win_share"] == 4 / 6
    days = [
        (row[name] - datetime.fromisoformat(at(100)).date()).days for name in ("earliest", "predicted_close", "latest")
    ]
    assert days == [10, 20, 40]
    assert row["why_not"] is None


async def test_where_nothing_can_be_said_it_says_why(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(deals_of_one_stage().events)
    rows = await predicted(figures, as_of=at(100).replace("+00:00", "Z"))
    assert [(row["lead"], row["predicted_close"], row["why_not"]) for row in rows] == [
        ("D-10", None, "too few deals of the stage were open longer"),
        ("D-11", None, "too few deals of the stage were open longer"),
    ]
    # as it was known on the fourth day everything was open
    known = {"as_of": at(4).replace("+00:00", "Z"), "known_at": at(4).replace("+00:00", "Z"), "limit": "5"}
    answer = await figures.answer("predicted_close", **known)
    assert [row["lead"] for row in answer["rows"]] == ["D-00", "D-01", "D-02", "D-03", "D-04"]
    assert answer["next_after"] == "D-04"
