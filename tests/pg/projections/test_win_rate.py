"""Win rate: given closed deals, when the period, the currency and the dimensions are asked for, then these shares."""

from tests.pg.projections.conftest import NewProjected
from tests.unit.projections.histories import Log

EUR = {"amount": "100", "currency": "EUR"}
USD = {"amount": "50", "currency": "USD"}


def closed_deals() -> Log:
    """Of March 2025: L-1 and L-2 won, L-3 lost, L-4 lost and won after all, L-5 void."""
    log = Log()
    for lead, value, kind in (
        ("L-1", EUR, "Won"),
        ("L-2", USD, "Won"),
        ("L-3", EUR, "Lost"),
        ("L-4", None, "Lost"),
        ("L-5", EUR, "Lost"),
    ):
        data = {"source_channel": "web", "owner": "ana", **({"value": value} if value else {})}
        log.post(lead, "LeadCaptured", "2025-03-01T10:00Z", "2025-03-01T10:01Z", **data)
        close = {"value": {"amount": "80", "currency": "EUR"}} if kind == "Won" else {"reason": "price"}
        log.post(lead, kind, "2025-03-10T10:00Z", "2025-03-10T10:01Z", **close)
    log.post("L-4", "Reopened", "2025-04-01T10:00Z", "2025-04-01T10:01Z", reason="again")
    log.post("L-4", "Won", "2025-04-10T10:00Z", "2025-04-10T10:01Z", value={"amount": "7", "currency": "EUR"})
    log.post("L-5", "Voided", "2025-04-02T10:00Z", "2025-04-02T10:01Z", reason="a test entry")
    return log


async def test_of_the_leads_closed_in_the_period_these_were_won(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(closed_deals().events)
    [march] = await figures.rows("win_rate", from_="2025-03-01", to="2025-04-01")
    assert (march["won"], march["lost"], march["value"]) == (2, 1, 2 / 3)
    assert march["by_value"] == [
        {"currency": "EUR", "numerator": "100.00", "denominator": "200.00", "value": 0.5},
        {"currency": "USD", "numerator": "50.00", "denominator": "50.00", "value": 1.0},
    ]


async def test_a_reopened_deal_belongs_to_its_last_close_and_before_to_the_first(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(closed_deals().events)
    rows = await figures.rows("win_rate", from_="2025-03-01", to="2025-05-01", interval="month")
    assert [(row["period"], row["won"], row["lost"]) for row in rows] == [("2025-03", 2, 1), ("2025-04", 1, 0)]
    [before] = await figures.rows("win_rate", from_="2025-03-01", to="2025-04-01", known_at="2025-03-20")
    assert (before["won"], before["lost"]) == (2, 3)
