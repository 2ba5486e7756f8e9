"""Conversion, dwell, approvals, bottleneck: given leads that move from stage to stage, when asked, then these figures."""

from typing import Any

from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.unit.projections.histories import Log

MARCH = {"from_": "2025-03-01", "to": "2025-04-01"}
EUR = {"amount": "100", "currency": "EUR"}


def moves() -> Log:
    """All captured on 1 March.

    A: qualify on the 5th, back on the 7th, qualify again on the 8th, won on the 20th. B: straight to sales-process on the 3rd, lost
    on the 30th, reopened on 1 April. C: stays. V: qualify on the 2nd, void on 1 May. D: won on the 11th, which is recorded in June.
    """
    log = Log()

    def post(lead: str, type: str, day: str, recorded: str | None = None, /, **data: Any) -> None:
        at = f"2025-{day}T10:00Z"
        log.post(lead, type, at, at if recorded is None else f"2025-{recorded}T10:00Z", **data)

    for lead in "ABCVD":
        post(lead, "LeadCaptured", "03-01", source_channel="web", owner="ana")
    post("A", "StageEntered", "03-05", stage="qualify")
    post("A", "StageEntered", "03-07", stage="opportunity")
    post("A", "StageEntered", "03-08", stage="qualify")
    post("A", "Won", "03-20", value=EUR)
    post("B", "StageEntered", "03-03", stage="sales-process")
    post("B", "Lost", "03-30", reason="price")
    post("B", "Reopened", "04-01", reason="again")
    post("V", "StageEntered", "03-02", stage="qualify")
    post("V", "Voided", "05-01", reason="test")
    post("D", "Won", "03-11", "06-01", value=EUR)
    for lead, request, decision in (("A", "03-09", "03-12"), ("B", "03-10", None), ("V", "03-10", "03-11")):
        post(lead, "ApprovalRequested", request, approval_id="P", kind="discount")
        if decision:
            post(lead, "ApprovalDecided", decision, approval_id="P", kind="discount")
    return log


async def given(projected: NewProjected) -> Projected:
    figures = await projected("pipeline", "reference")
    await figures.deliver(moves().events)
    return figures


def shares(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["stage"], row["numerator"], row["denominator"], row["pending_n"]) for row in rows]


async def test_of_those_that_first_entered_so_many_went_on(projected: NewProjected) -> None:
    figures = await given(projected)
    rows = await figures.rows("stage_conversion", **MARCH)
    assert shares(rows) == [("opportunity", 3, 4, 0), ("qualify", 3, 3, 0), ("sales-process", 2, 3, 0)]
    assert [row["matured_share"] for row in rows] == [1.0, 1.0, 1.0]


async def test_skipped_stages_count_only_as_implied(projected: NewProjected) -> None:
    figures = await given(projected)
    rows = await figures.rows("stage_conversion", skips="direct", **MARCH)
    assert shares(rows) == [("opportunity", 3, 4, 0), ("qualify", 1, 1, 0), ("sales-process", 0, 1, 0)]


async def test_what_may_still_go_on_is_pending_and_a_loss_is_not(projected: NewProjected) -> None:
    figures = await given(projected)
    rows = await figures.rows("stage_conversion", as_of="2025-03-30", skips="direct", known_at="2025-05-31", **MARCH)
    assert shares(rows) == [("opportunity", 2, 2, 2), ("qualify", 1, 1, 0), ("sales-process", 0, 1, 0)]
    rows = await figures.rows("stage_conversion", as_of="2025-04-02", skips="direct", known_at="2025-04-15", **MARCH)
    assert shares(rows)[-1] == ("sales-process", 0, 0, 1)  # reopened: it may still be won
    assert shares(rows)[0] == ("opportunity", 3, 3, 2)  # V was not known to be void


async def test_the_horizon_cuts(projected: NewProjected) -> None:
    figures = await given(projected)
    rows = await figures.rows("stage_conversion", horizon_days="2", **MARCH)
    assert shares(rows)[0] == ("opportunity", 1, 4, 0)


async def test_flow_is_forward_exits_over_entries(projected: NewProjected) -> None:
    figures = await given(projected)
    rows = await figures.rows("stage_conversion", mode="flow", skips="direct", **MARCH)
    # opportunity: A twice, B, C, D entered; A twice, B, D left forward
    assert shares(rows) == [("opportunity", 4, 5, 0), ("qualify", 1, 2, 0), ("sales-process", 0, 1, 0)]


async def test_dwell_adds_up_the_visits_of_a_lead(projected: NewProjected) -> None:
    figures = await given(projected)
    rows = await figures.rows("dwell", percentiles="50", **MARCH)
    found = {row["stage"]: (row["n"], row["percentiles"]["p50"], row["open_n"]) for row in rows}
    # opportunity: A 4 + 1, B 2, D 10 days, C goes on; qualify: A 2 + 12; sales-process: B 27, again open from April on
    assert found == {"opportunity": (3, 5.0, 1), "qualify": (1, 14.0, 0)}
    latest = await figures.rows("dwell", percentiles="50", visit="latest", **MARCH)
    assert [(row["stage"], row["percentiles"]["p50"]) for row in latest] == [("opportunity", 2.0), ("qualify", 12.0)]
    each = await figures.rows("dwell", percentiles="50", visit="each", stage="qualify", **MARCH)
    assert [(row["stage"], row["n"], row["mean"]) for row in each] == [("qualify", 2, 7.0)]


async def test_dwell_of_won_leads_and_before_it_was_known(projected: NewProjected) -> None:
    figures = await given(projected)
    [opportunity, _] = await figures.rows("dwell", outcome="won", **MARCH)
    assert (opportunity["n"], opportunity["open_n"]) == (2, 0)
    rows = await figures.rows("dwell", known_at="2025-04-15", **MARCH)
    # D goes on, V is in; the median of 1 (V), 2, 5 and two that go on at 30 days is what half of five outlive
    assert [(row["stage"], row["n"], row["open_n"], row["median_with_open"]) for row in rows] == [
        ("opportunity", 3, 2, 5),
        ("qualify", 1, 1, 14),
    ]


async def test_periods_have_each_their_own_that_go_on(projected: NewProjected) -> None:
    figures = await given(projected)
    rows = await figures.rows("dwell", from_="2025-03-01", to="2025-05-01", interval="month", stage="sales-process")
    assert [(row["period"], row["n"], row["open_n"]) for row in rows] == [("2025-04", 0, 1)]
    early = await figures.rows(
        "dwell", from_="2025-03-01", to="2025-05-01", interval="month", stage="sales-process", as_of="2025-03-31"
    )
    assert [(row["period"], row["n"], row["mean"]) for row in early] == [("2025-03", 1, 27.0)]


async def test_approvals_wait(projected: NewProjected) -> None:
    figures = await given(projected)
    [march] = await figures.rows("approval_waiting", group_by="kind", **MARCH)
    assert (march["kind"], march["n"], march["mean"], march["open_n"]) == ("discount", 1, 3.0, 1)


async def test_two_bottlenecks(projected: NewProjected) -> None:
    figures = await given(projected)
    [march] = await figures.rows("bottleneck", min_n="1", **MARCH)
    assert march["longest_dwell"]["stage"] == "qualify"
    assert march["lowest_conversion"]["stage"] == "sales-process"
    [march] = await figures.rows("bottleneck", min_n="4", **MARCH)
    assert march["longest_dwell"] is None
    assert march["lowest_conversion"]["stage"] == "opportunity"
