"""Given surveys and queries, when they are asked about, then each counts once and where it belongs."""

from tests.pg.projections.churn.companies import captured
from tests.pg.projections.conftest import NewProjected
from tests.unit.projections.histories import Log

QUARTER = {"from_": "2025-01-01", "to": "2025-04-01", "zone": "UTC"}


def asked_and_answered() -> Log:
    """p-1 says 3 and then 10, p-2 says 8 on a lead of the south, p-3 says 0 on a lead that is voided in May; p-4 is asked only."""
    log = Log()
    for lead, region in (("L-1", "north"), ("L-2", "south"), ("L-3", "north")):
        captured(log, lead, "2025-01-01T10:00Z", region=region)
    for person in ("p-1", "p-2", "p-4"):
        log.post(
            "L-1", "SurveySent", "2025-01-05T10:00Z", "2025-01-05T10:00Z", survey_id="S", kind="nps", person_id=person
        )
    for lead, person, score, at in (
        ("L-1", "p-1", 3, "2025-01-10T10:00Z"),
        ("L-1", "p-1", 10, "2025-02-10T10:00Z"),
        ("L-2", "p-2", 8, "2025-02-11T10:00Z"),
        ("L-3", "p-3", 0, "2025-03-01T10:00Z"),
    ):
        log.post(lead, "SurveyAnswered", at, at, survey_id="S", kind="nps", person_id=person, score=score)
    log.post(
        "L-1",
        "SurveyAnswered",
        "2025-02-01T10:00Z",
        "2025-02-01T10:00Z",
        survey_id="Z",
        kind="csat",
        person_id="p-1",
        score=5,
    )
    log.post(
        "L-1",
        "SurveyAnswered",
        "2025-02-01T10:00Z",
        "2025-02-01T10:00Z",
        survey_id="Z",
        kind="csat",
        person_id="p-2",
        score=2,
    )
    log.post("L-3", "Voided", "2025-05-01T10:00Z", "2025-05-01T10:00Z", reason="a test")
    return log


async def test_the_latest_answer_of_each_person_counts(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(asked_and_answered().events)
    [row] = await figures.rows("nps", **QUARTER)
    assert (row["n"], row["promoters"], row["passives"], row["detractors"], row["value"]) == (2, 1, 1, 0, 50.0)
    [row] = await figures.rows("nps", **QUARTER, latest="false")
    assert (row["n"], row["numerator"], row["distribution"]["3"]) == (3, 0, 1)
    [row] = await figures.rows("nps", **QUARTER, as_of="2025-04-01")
    assert (row["n"], row["value"]) == (3, 0.0)  # the third lead is not yet void
    rows = await figures.rows("nps", **QUARTER, group_by="region")
    assert [(row["region"], row["value"]) for row in rows] == [("north", 100.0), ("south", 0.0)]
    assert await figures.rows("nps", **QUARTER, region="east") == []


async def test_satisfaction_and_who_answers_at_all(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(asked_and_answered().events)
    [row] = await figures.rows("csat", **QUARTER)
    assert (row["value"], row["mean"], row["distribution"]) == (0.5, 3.5, {"1": 0, "2": 1, "3": 0, "4": 0, "5": 1})
    [row] = await figures.rows("survey_response", **QUARTER, kind="nps")
    assert (row["numerator"], row["denominator"], row["answers"]) == (2, 3, 3)
    [row] = await figures.rows("survey_response", **QUARTER, kind="nps", as_of="2025-02-11T00:00:00Z")
    assert (row["numerator"], row["denominator"]) == (1, 3)


async def test_queries_by_how_long_they_waited(projected: NewProjected) -> None:
    log = Log()
    captured(log, "L-1", "2025-01-01T10:00Z")
    for case, raised, resolved, priority in (
        ("Q-1", "2025-01-05T10:00Z", "2025-01-05T12:00Z", "high"),
        ("Q-2", "2025-01-06T10:00Z", "2025-01-06T16:00Z", "high"),
        ("Q-3", "2025-01-07T10:00Z", None, None),
    ):
        log.post("L-1", "QueryRaised", raised, raised, case_id=case, **({"priority": priority} if priority else {}))
        if resolved is not None:
            log.post("L-1", "QueryResolved", resolved, resolved, case_id=case)
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    [row] = await figures.rows("query_response", **QUARTER, percentiles="50")
    assert (row["raised"], row["resolved"], row["open"], row["p50_hours"], row["mean_hours"]) == (3, 2, 1, 4.0, 4.0)
    high, normal = await figures.rows("query_response", **QUARTER, group_by="priority")
    assert (high["priority"], high["open"], normal["priority"], normal["open"]) == ("high", 0, "normal", 1)
    [row] = await figures.rows("query_response", **QUARTER, as_of="2025-01-06T12:00:00Z")
    assert (row["raised"], row["open"]) == (2, 1)
