"""Stalled deals, audits, reviews and goals: given a few leads, when they are listed, then these, for these reasons."""

from typing import Any

import pytest

from schemas.pipeline_files import read_pipelines
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import FAR, Projected
from tests.unit.projections.histories import Log

PIPELINES = read_pipelines(
    {
        "goals.yaml": """
name: goals
version: 1
default: true
stages:
  - {name: new, phase: opportunity, rot_days: 5, goals: {median_days: 3, conversion: 0.5}}
  - {name: offer, phase: sales_process, goals: {median_days: 10}, required_activities: [call, demo]}
"""
    }
)
MARCH = {"from_": "2025-03-01", "to": "2025-04-01"}
EUR = {"amount": "100", "currency": "EUR"}


def a_month() -> Log:
    """W: won on the 20th after a demo, an objection that was met and a case study; its close was put off once and it stepped back.

    X: lost for its price, with an objection that was not. Y: stays. Z: void in May; and in April somebody tells of a call with Y.
    """
    log = Log()

    def post(lead: str, type: str, day: str, recorded: str | None = None, /, **data: Any) -> None:
        at = f"2025-{day}T10:00Z"
        log.post(lead, type, at, at if recorded is None else f"2025-{recorded}T10:00Z", **data)

    for lead in "WXYZ":
        post(lead, "LeadCaptured", "03-01", source_channel="web", owner="ana", value=EUR)
    post("W", "StageEntered", "03-03", stage="offer")
    post("W", "ExpectedCloseChanged", "03-03", expected_close="2025-03-10")
    post("W", "ExpectedCloseChanged", "03-04", expected_close="2025-03-31", reason="The board meets later.")
    post("W", "StageEntered", "03-05", stage="new", reason="too early")
    post("W", "LeadAssigned", "03-06", owner="ben")
    post("W", "StageEntered", "03-09", stage="offer")
    post("W", "ActivityLogged", "03-10", kind="call", direction="out")
    post("W", "ActivityLogged", "03-11", kind="demo", direction="out")
    post("W", "ObjectionRaised", "03-12", objection_id="O", category="feature")
    post("W", "ContentShared", "03-13", content_id="case-study", channel="email")
    post("W", "ObjectionResolved", "03-15", objection_id="O", category="feature")
    post("W", "Won", "03-20", value={"amount": "90", "currency": "EUR"})
    post("X", "StageEntered", "03-02", stage="offer")
    post("X", "ObjectionRaised", "03-03", objection_id="O", category="price")
    post("X", "ActivityLogged", "03-04", kind="call", direction="out")
    post("X", "Lost", "03-08", reason="price", competitor="Globex")
    post("Y", "ExpectedCloseChanged", "03-02", expected_close="2025-03-20")
    post("Y", "ActivityLogged", "03-06", "04-06", kind="call", direction="in")
    post("Z", "StageEntered", "03-02", stage="offer")
    post("Z", "Lost", "03-09", reason="timing")
    post("Z", "Voided", "05-01", reason="test")
    return log


@pytest.fixture
async def figures(projected: NewProjected) -> Projected:
    found = await projected("pipeline", "reference", pipelines=PIPELINES)
    await found.deliver(a_month().events)
    return found


async def test_a_deal_stalls_for_reasons(figures: Projected) -> None:
    assert await figures.rows("stalled", as_of="2025-03-05", owner="ben") == []
    rows = await figures.rows("stalled", as_of="2025-03-20", idle_days="14", known_at="2025-04-30")
    assert [(row["lead"], row["reasons"], row["days_in_stage"], row["limit_days"]) for row in rows] == [
        ("Y", ["long_in_stage"], 19, 5.0),
    ]
    [y] = await figures.rows("stalled", as_of="2025-03-21", idle_days="15")
    assert (y["reasons"], y["idle_days"]) == (["long_in_stage", "close_overdue"], 15)
    [y] = await figures.rows("stalled", as_of="2025-03-21", idle_days="15", known_at="2025-04-01")
    assert (y["reasons"], y["idle_days"]) == (["long_in_stage", "idle", "close_overdue"], 20)


async def test_the_usual_dwell_of_won_deals_is_a_measure_too(figures: Projected) -> None:
    # new: W stayed 2 and 4 days, of which p90 is 3.8; offer: 2 and 11, 10.1; the larger of that and rot_days counts
    rows = await figures.rows("stalled", as_of="2025-03-21", min_n="2", idle_days="3650")
    assert [(row["lead"], row["limit_days"]) for row in rows] == [("Y", 5.0)]
    rows = await figures.rows("stalled", as_of="2025-03-13T10:00:00Z", min_n="1", idle_days="1", owner="ben")
    assert [(row["lead"], row["limit_days"], row["reasons"]) for row in rows] == [("W", None, ["idle"])]


@pytest.mark.parametrize(("metric", "asked"), [("stalled", {"as_of": "2025-03-07", "idle_days": "1"}), ("win_loss_review", {"known_at": "2025-04-30"}), ("slip_audit", {})])  # fmt: skip
async def test_a_list_goes_on_where_the_page_ended(figures: Projected, metric: str, asked: dict[str, Any]) -> None:
    whole = await figures.rows(metric, **asked)
    assert len(whole) > 1
    seen: list[Any] = []
    after = None
    for _ in whole:
        answer = await figures.page(metric, after, FAR, **asked, limit="1")
        seen += answer["rows"]
        after = answer["next_after"]
    assert seen == whole
    assert after is None


async def test_every_step_back_and_every_delay_is_listed(figures: Projected) -> None:
    rows = await figures.rows("slip_audit", **MARCH)
    assert [(row["lead"], row["kind"], row["owner"], row["days"], row["reason_given"]) for row in rows] == [
        ("W", "stage", "ana", None, True),
        ("W", "close", "ana", 21, True),
    ]
    assert [row["to_stage"] for row in await figures.rows("slip_audit", kind="stage", **MARCH)] == ["new"]
    assert await figures.rows("slip_audit", owner="ben", **MARCH) == []
    assert await figures.rows("slip_audit", known_at="2025-03-03", **MARCH) == []


async def test_a_review_tells_what_happened_on_the_way(figures: Projected) -> None:
    won, lost = await figures.rows("win_loss_review", **MARCH)
    assert (won["lead"], won["owner"], won["cycle_days"], won["activities"]) == ("W", "ben", 19, 2)
    assert [(part["stage"], part["days"], part["left_to"]) for part in won["stages"]] == [
        ("new", 2, "offer"),
        ("offer", 2, "new"),
        ("new", 4, "offer"),
        ("offer", 11, "won"),
    ]
    assert [(part["category"], part["stage"], part["resolved"]) for part in won["objections"]] == [
        ("feature", "offer", True)
    ]
    assert [part["content_id"] for part in won["content"]] == ["case-study"]
    assert (lost["lead"], lost["reason"], lost["competitor"], lost["objections"][0]["resolved"]) == (
        "X", "price", "Globex", False,
    )  # fmt: skip


async def test_losses_by_reason_and_stage(figures: Projected) -> None:
    [price] = await figures.rows("loss_reasons", **MARCH)
    assert (price["reason"], price["from_stage"], price["numerator"], price["value"]) == ("price", "offer", 1, 1.0)
    assert price["lost_value"] == [{"amount": "100.00", "currency": "EUR"}]
    rows = await figures.rows("loss_reasons", known_at="2025-04-30", **MARCH)
    assert [(row["reason"], row["value"]) for row in rows] == [("price", 0.5), ("timing", 0.5)]


async def test_goals_are_held_against_what_was_attained(figures: Projected) -> None:
    new, offer = await figures.rows("stage_goals", **MARCH)
    # new: W 2 + 4 days, X 1; W and X went on, Y did not
    assert new["median_days"] == {"goal": 3, "attained": 3.5, "n": 2, "met": False}
    assert new["conversion"] == {"goal": 0.5, "attained": 2 / 3, "n": 3, "met": True}
    assert new["required_activities"] is None
    # offer: W 2 + 11 days, X 6; of its three visits, one of W held both activities, and that of X a call
    assert (offer["median_days"]["attained"], offer["median_days"]["met"]) == (9.5, True)
    assert offer["conversion"]["goal"] is None
    held = offer["required_activities"]
    assert [(held[kind]["numerator"], held[kind]["denominator"]) for kind in ("all", "call", "demo")] == [
        (1, 3), (2, 3), (1, 3),
    ]  # fmt: skip
