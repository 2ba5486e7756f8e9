"""Given customers with something that speaks against their staying, when the list is asked for, then each is on it with its reasons."""

from tests.pg.projections.churn.companies import captured, churned, eur
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import FAR
from tests.unit.projections.histories import Log


def worries() -> Log:
    """a-1: a term until 30 June; a-2: the same, with a renewal under way; a-3: NPS 5 and an open query; a-4: an overdue invoice;
    a-5: notice; a-6: nothing. a-3 and a-6 leave in July."""
    log = Log()
    for number in range(1, 7):
        lead = f"L-{number}"
        captured(log, lead, "2025-01-01T09:00Z", account_id=f"a-{number}", owner="ana")
        term = {"term_start": "2025-01-01", "term_end": "2025-06-30"} if number < 3 else {}
        log.post(lead, "Won", "2025-01-01T10:00Z", "2025-01-01T10:00Z", value=eur("100"), contracts=[{"contract_id": f"C-{number}", "mrr": eur("5"), **term}])  # fmt: skip
    captured(log, "N-2", "2025-04-01T09:00Z", account_id="a-2", origin={"lead_id": "L-2", "kind": "renewal"})
    log.post(
        "L-3",
        "SurveyAnswered",
        "2025-03-01T10:00Z",
        "2025-03-01T10:00Z",
        survey_id="S",
        kind="nps",
        person_id="p",
        score=5,
    )
    log.post("L-3", "QueryRaised", "2025-04-20T10:00Z", "2025-04-20T10:00Z", case_id="Q")
    log.post(
        "L-4",
        "InvoiceIssued",
        "2025-02-01T10:00Z",
        "2025-02-01T10:00Z",
        invoice_id="I",
        due_on="2025-03-31",
        amount=eur("9"),
    )
    log.post("L-5", "CancellationRequested", "2025-04-10T10:00Z", "2025-04-10T10:00Z", contract_id="C-5", effective_at="2025-12-31T00:00:00Z")  # fmt: skip
    churned(log, "L-3", "2025-07-05T10:00Z")
    churned(log, "L-6", "2025-07-06T10:00Z")
    return log


async def test_who_may_leave_and_why(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(worries().events)
    rows = await figures.rows("at_risk", as_of="2025-04-30", zone="UTC")
    assert [(row["account"], row["reasons"]) for row in rows] == [
        ("account/a-3", ["low_nps", "open_query"]),
        ("account/a-1", ["term_ends"]),
        ("account/a-4", ["payment"]),
        ("account/a-5", ["notice"]),
    ]
    assert rows[0]["mrr"] == [eur("5.00")]
    page = await figures.answer("at_risk", FAR, as_of="2025-04-30", zone="UTC", limit="2")
    assert page["next_after"] == [1, "account/a-1"]
    rows = await figures.rows("at_risk", as_of="2025-04-30", zone="UTC", reason="payment")
    assert [row["account"] for row in rows] == ["account/a-4"]
    assert await figures.rows("at_risk", as_of="2025-04-30", owner="ben") == []
    before = await figures.rows("at_risk", as_of="2025-04-30", zone="UTC", known_at="2025-04-15")
    assert ("account/a-3", ["low_nps"]) in [(row["account"], row["reasons"]) for row in before]


async def test_the_list_against_who_left(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(worries().events)
    rows = {row["reason"]: row for row in await figures.rows("at_risk_backtest", as_of="2025-04-30", zone="UTC")}
    assert rows["any"]["precision"] == {"numerator": 1, "denominator": 4, "value": 0.25}
    assert rows["any"]["recall"] == {"numerator": 1, "denominator": 2, "value": 0.5}
    assert (rows["any"]["base_rate"]["value"], rows["any"]["lift"]) == (2 / 6, 0.75)
    assert rows["low_nps"]["lift"] == 3.0
    assert rows["segment"]["precision"]["value"] is None
    grouped = await figures.rows("at_risk_backtest", as_of="2025-04-30", zone="UTC", group_by="account")
    assert [row["account"] for row in grouped if row["reason"] == "any" and row["recall"]["value"] == 1.0] == ["a-3"]
