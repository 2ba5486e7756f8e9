"""Given wins, signatures, invoices and payments, when cash is asked for, then what came in stands against what was won."""

from tests.pg.projections.churn.companies import captured, eur
from tests.pg.projections.conftest import NewProjected
from tests.unit.projections.histories import Log

YEAR = {"from_": "2025-01-01", "to": "2026-01-01", "zone": "UTC", "percentiles": "50"}


def paying() -> Log:
    """L-1 pays 70 of 100, of which 20 go back; L-2 has an invoice over 50 that is due on 31 March, and a payment that failed."""
    log = Log()
    for lead in ("L-1", "L-2"):
        captured(log, lead, "2025-01-01T09:00Z", owner="ana" if lead == "L-1" else "ben")
        log.post(lead, "Won", "2025-01-10T10:00Z", "2025-01-10T10:00Z", value=eur("100"), contracts=[{"contract_id": "C", "mrr": eur("5")}])  # fmt: skip
        log.post(lead, "ContractSigned", "2025-01-14T11:00Z", "2025-01-14T11:00Z", contract_id="C")
    log.post(
        "L-1",
        "InvoiceIssued",
        "2025-01-20T10:00Z",
        "2025-01-20T10:00Z",
        invoice_id="I-1",
        due_on="2025-02-28",
        amount=eur("100"),
    )
    log.post(
        "L-1",
        "PaymentReceived",
        "2025-02-20T10:00Z",
        "2025-02-20T10:00Z",
        payment_id="P-1",
        amount=eur("70"),
        invoice_id="I-1",
    )
    log.post(
        "L-1",
        "PaymentRefunded",
        "2025-03-20T10:00Z",
        "2025-03-20T10:00Z",
        payment_id="P-1",
        amount=eur("20"),
        invoice_id="I-1",
    )
    log.post(
        "L-2",
        "InvoiceIssued",
        "2025-01-24T12:00Z",
        "2025-01-24T12:00Z",
        invoice_id="I-2",
        due_on="2025-03-31",
        amount=eur("50"),
    )
    log.post(
        "L-2",
        "PaymentFailed",
        "2025-03-02T10:00Z",
        "2025-03-02T10:00Z",
        payment_id="P-2",
        amount=eur("50"),
        invoice_id="I-2",
    )
    return log


async def test_what_came_in_of_what_was_won(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(paying().events)
    [row] = await figures.rows("cash", **YEAR, as_of="2025-04-30")
    assert row["collected"] == [{"currency": "EUR", "numerator": "50.00", "denominator": "200.00", "value": 0.25}]
    assert (row["won_n"], row["overdue_n"], row["overdue"], row["failed_n"]) == (2, 1, [eur("50.00")], 1)
    assert [row[f"{step}_days"]["p50"] for step in ("won_to_signed", "signed_to_invoiced", "invoiced_to_paid")] == [
        4,
        7.5,
        31,
    ]
    [row] = await figures.rows("cash", **YEAR, as_of="2025-02-28")
    assert (row["collected"][0]["numerator"], row["overdue_n"]) == ("70.00", 0)
    ana, ben = await figures.rows("cash", **YEAR, as_of="2025-04-30", group_by="owner")
    assert (ana["collected"][0]["value"], ben["collected"][0]["value"], ben["overdue_n"]) == (0.5, 0.0, 1)
