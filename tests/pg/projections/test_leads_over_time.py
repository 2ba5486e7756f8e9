"""Funnel, hand-over, speed, velocity, time to win: given leads, when these are asked for, then exact figures."""

from typing import Any

import pytest

from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.unit.projections.histories import Log

MARCH = {"from_": "2025-03-01", "to": "2025-04-01"}


def leads() -> Log:
    """A: listed in February, captured, mql, sql, won on the 11th, called after 7 minutes, accepted; reopened in May, won in June.

    B: captured, sql, lost on the 20th, handed over and rejected; the call of its capture day is recorded in May. C: captured, and
    nothing else. V: captured, won, void in June.
    """
    log = Log()

    def post(lead: str, type: str, at: str, recorded: str | None = None, /, **data: Any) -> None:
        instant = f"2025-{at}Z"
        log.post(lead, type, instant, instant if recorded is None else f"2025-{recorded}Z", **data)

    value = {"amount": "100", "currency": "EUR"}
    post("A", "ContactListed", "02-01T10:00", source_channel="event")
    for lead in "ABCV":
        post(lead, "LeadCaptured", "03-01T10:00", source_channel="web", owner="ana", value=value)
    post("A", "ActivityLogged", "03-01T10:05:00", kind="call", direction="in")
    post("A", "ActivityLogged", "03-01T10:07:59", kind="call", direction="out")
    post("A", "MarketingQualified", "03-02T10:00", criteria_version="1")
    post("A", "HandoverRejected", "03-03T10:00", role="sales")
    post("A", "HandoverAccepted", "03-03T11:00", role="sales")
    post("A", "Qualified", "03-04T10:00")
    post("A", "Won", "03-11T10:00", value={"amount": "120", "currency": "EUR"})
    post("B", "Qualified", "03-04T10:00")
    post("B", "HandoverRejected", "03-05T10:00", role="sales")
    post("B", "Lost", "03-20T10:00", reason="price")
    post("V", "Won", "03-02T10:00", value=value)
    post("A", "Reopened", "05-02T10:00", reason="again")
    post("B", "ActivityLogged", "03-01T12:00", "05-10T10:00", kind="call", direction="out")
    post("A", "Won", "06-09T10:00", value={"amount": "130", "currency": "EUR"})
    post("V", "Voided", "06-10T10:00", reason="test")
    return log


@pytest.fixture
async def figures(projected: NewProjected) -> Projected:
    found = await projected("pipeline", "reference")
    await found.deliver(leads().events)
    return found


def steps(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    return {
        row["step"]: (row["n"], None if row["of_previous"] is None else row["of_previous"]["denominator"])
        for row in rows
    }


async def test_the_funnel_of_a_cohort(figures: Projected) -> None:
    assert steps(await figures.rows("lead_funnel", **MARCH)) == {
        "listed": (0, None),
        "lead": (2, 0),
        "mql": (1, 2),
        "sql": (1, 1),
        "opportunity": (1, 1),
        "customer": (0, 1),
    }
    rows = await figures.rows("lead_funnel", from_="2025-02-01", to="2025-04-01")
    assert [row["n"] for row in rows] == [1, 3, 2, 2, 2, 1]  # B skipped mql, which its sql implies
    assert rows[1]["of_previous"] == {"numerator": 1, "denominator": 1, "value": 1.0}
    direct = await figures.rows("lead_funnel", from_="2025-02-01", to="2025-04-01", skips="direct")
    assert [row["n"] for row in direct] == [1, 3, 1, 2, 2, 1]
    assert direct[3]["of_previous"] == {"numerator": 1, "denominator": 1, "value": 1.0}


async def test_a_customer_is_one_as_long_as_the_win_stands(figures: Projected) -> None:
    wide = {"from_": "2025-02-01", "to": "2025-04-01"}
    rows = await figures.rows("lead_funnel", as_of="2025-05-15", **wide)
    assert [row["n"] for row in rows] == [1, 3, 2, 2, 2, 0]
    rows = await figures.rows("lead_funnel", known_at="2025-04-15", **wide)
    assert [row["n"] for row in rows] == [1, 4, 3, 3, 3, 2]


async def test_the_funnel_of_a_flow(figures: Projected) -> None:
    rows = await figures.rows("lead_funnel", mode="flow", from_="2025-02-01", to="2025-07-01", interval="month")
    assert [(row["period"], row["step"], row["n"]) for row in rows if row["n"]] == [
        ("2025-02", "listed", 1),
        ("2025-03", "lead", 3),
        ("2025-03", "mql", 1),
        ("2025-03", "sql", 2),
        ("2025-03", "opportunity", 2),
        ("2025-06", "customer", 1),
    ]


async def test_speed_counts_our_own_first_step(figures: Projected) -> None:
    [march] = await figures.rows("speed_to_contact", percentiles="50", within_minutes="7", **MARCH)
    assert (march["leads"], march["n"], march["percentiles"]) == (3, 2, {"p50": 63.5})
    assert march["contacted"]["value"] == 2 / 3
    assert march["in_time"] == {"numerator": 1, "denominator": 3, "value": 1 / 3}
    [before] = await figures.rows("speed_to_contact", known_at="2025-05-01", **MARCH)
    assert (before["leads"], before["n"], before["mean"]) == (4, 1, 7.0)


async def test_the_last_answer_to_a_hand_over_counts(figures: Projected) -> None:
    [march] = await figures.rows("handover", **MARCH)
    assert (march["numerator"], march["denominator"], march["n"], march["mean"]) == (1, 2, 1, 25 * 60.0)
    [early] = await figures.rows("handover", as_of="2025-03-03T10:30:00Z", **MARCH)
    assert (early["numerator"], early["denominator"]) == (0, 1)
    [since_capture] = await figures.rows("handover", since="lead", **MARCH)
    assert since_capture["mean"] == 49 * 60.0


async def test_time_to_win_lets_losses_compete(figures: Projected) -> None:
    [curve] = await figures.rows("time_to_win", as_of="2025-07-01T10:00:00Z", **MARCH)
    assert (curve["n"], curve["won"], curve["lost"], curve["open"]) == (3, 1, 1, 1)
    assert [(row["day"], row["at_risk"]) for row in curve["curve"]] == [(19, 3), (100, 2), (122, 1)]
    assert [round(row["won"], 6) for row in curve["curve"]] == [0.0, 0.333333, 0.333333]
    assert (curve["median_days"], curve["median_days_of_won"]) == (None, 100)
    [first] = await figures.rows("time_to_win", as_of="2025-04-01T10:00:00Z", known_at="2025-04-15", **MARCH)
    assert (first["n"], first["won"], first["open"], first["median_days"]) == (4, 2, 1, 10)


async def test_velocity_shows_what_it_is_made_of(figures: Projected) -> None:
    april = {"from_": "2025-04-01", "to": "2025-05-01"}
    [row] = await figures.rows("velocity", known_at="2025-04-30", **april)
    # trailing: A and V won (120 + 100), B lost; cycles of 10 and 1 days; C is open
    assert (row["n"], row["win_rate"]["value"], row["mean_days"]) == (1, 2 / 3, 5.5)
    assert row["mean_value"] == {"amount": "110.00", "currency": "EUR"}
    assert row["velocity"] == {"amount": "13.33", "currency": "EUR"}
    rows = await figures.rows("velocity", **april)
    assert (rows[0]["win_rate"]["value"], rows[0]["mean_value"], rows[0]["velocity"]) == (0.0, None, None)
    [june] = await figures.rows("velocity", n="closed", window="period", from_="2025-06-01", to="2025-07-01")
    assert (june["n"], june["win_rate"]["value"], june["mean_days"]) == (1, 1.0, 100.0)
    assert june["velocity"] == {"amount": "1.30", "currency": "EUR"}
    [worked] = await figures.rows("velocity", n="worked", currency="EUR", **MARCH)
    assert worked["n"] == 3


async def test_velocity_of_a_period_of_nothing_among_others_is_null(figures: Projected) -> None:
    months = {"from_": "2025-02-01", "to": "2025-04-01", "interval": "month", "window": "period"}
    before, march = await figures.rows("velocity", **months)
    assert (before["period"], before["n"], before["win_rate"]["value"], before["velocity"]) == (
        "2025-02",
        0,
        None,
        None,
    )
    assert (march["period"], march["n"], march["velocity"]) == ("2025-03", 0, None)  # lost alone: no value of a win
