"""Given terms that end and customers who buy again, when that is asked about, then each offer and each win counts once."""

from typing import Any

from tests.pg.projections.churn.companies import captured, changed, churned, eur, usd, won
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import FAR
from tests.unit.projections.histories import Log

YEAR = {"from_": "2025-01-01", "to": "2026-01-01", "zone": "UTC"}


def terms() -> Log:
    """Of five contracts with terms until 30 June 2025: L-1 upgrades in time, L-2 after the term, L-3 renews, L-4 declines, L-5 is due late."""
    log = Log()
    for number in range(1, 6):
        lead = f"L-{number}"
        captured(log, lead, "2024-07-01T09:00Z", account_id=f"a-{number}", owner="ana")
        contract = {
            "contract_id": f"C-{number}",
            "mrr": eur("10"),
            "term_start": "2024-07-01",
            "term_end": "2025-06-30",
        }
        log.post(lead, "Won", "2024-07-01T10:00Z", "2024-07-01T10:00Z", value=eur("120"), contracts=[contract])
        due = "2025-04-01T00:00:00Z" if number < 5 else "2025-12-20T00:00:00Z"
        term = {"term_end": "2025-06-30"} if number < 5 else {}
        log.post(lead, "UpgradeDue", due, due, due_at=due, basis="own_term", contract_id=f"C-{number}", **term)
    for old, new, at, closed in (
        ("L-1", "N-1", "2025-05-01T10:00Z", "2025-06-01T10:00Z"),
        ("L-2", "N-2", "2025-07-10T10:00Z", "2025-08-01T10:00Z"),
    ):
        if old == "L-1":
            log.post(old, "UpgradeAccepted", at, at, new_lead_id=new, contract_id="C-1")
        captured(log, new, at, account_id=f"a-{old[2:]}", origin={"lead_id": old, "kind": "upgrade"})
        won(log, new, closed, (f"C-{new}", eur("15")))
    log.post(
        "L-3",
        "ContractRenewed",
        "2025-06-01T10:00Z",
        "2025-06-01T10:00Z",
        contract_id="C-3",
        term_end="2026-06-30",
        mrr=eur("11"),
    )
    log.post("L-4", "UpgradeDeclined", "2025-06-01T10:00Z", "2025-06-01T10:00Z", contract_id="C-4", reason="no")
    return log


async def test_offers_that_became_a_won_cycle(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(terms().events)
    [row] = await figures.rows("upgrade_capture", **YEAR, as_of="2025-12-31")
    assert (row["due"], row["pending"], row["numerator"], row["denominator"], row["value"]) == (5, 1, 2, 4, 0.5)
    assert (row["accepted"], row["declined"], row["renewed"]) == (1, 1, 1)
    assert row["opened_before_term_end"] == {"numerator": 1, "denominator": 2, "value": 0.5}
    [row] = await figures.rows("upgrade_capture", **YEAR, as_of="2025-07-31")
    assert (row["due"], row["pending"], row["captured_early"], row["denominator"]) == (4, 4, 1, 0)
    assert row["value"] is None


async def test_the_calendar_of_terms(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(terms().events)
    june = {"from_": "2025-06-01", "to": "2025-07-01", "zone": "UTC", "as_of": "2025-05-15"}
    rows = await figures.rows("renewal_calendar", **june)
    assert [(row["lead_id"], row["upgrade"], row["term_end"], row["mrr"]) for row in rows] == [
        ("L-1", "accepted", "2025-06-30", eur("10.00")),
        ("L-2", "due", "2025-06-30", eur("10.00")),
        ("L-3", "due", "2025-06-30", eur("10.00")),
        ("L-4", "due", "2025-06-30", eur("10.00")),
        ("L-5", None, "2025-06-30", eur("10.00")),
    ]
    page = await figures.answer("renewal_calendar", FAR, **june, limit="2")
    assert [row["lead_id"] for row in page["rows"]] == ["L-1", "L-2"]
    assert page["next_after"] == ["2025-06-30", "L-2", "C-2"]
    rows = await figures.rows("renewal_calendar", **{**june, "as_of": "2025-07-15"})
    assert [(row["lead_id"], row["overdue"]) for row in rows] == [
        ("L-1", True),
        ("L-2", True),
        ("L-4", True),
        ("L-5", True),
    ]


async def test_who_buys_again_and_after_how_long(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(terms().events)
    [row] = await figures.rows("repurchase", from_="2024-01-01", to="2026-01-01", percentiles="50", zone="UTC")
    assert (row["numerator"], row["denominator"], row["p50_days"]) == (2, 7, (335 + 396) / 2)


async def test_who_brings_more(projected: NewProjected) -> None:
    log = Log()
    for lead, account, contracts in (
        ("L-1", "acme", (("C-1", eur("10")),)),
        ("L-2", "globex", (("C-2", eur("10")), ("C-3", usd("10")))),
        ("L-3", "initech", (("C-4", eur("10")),)),
        ("L-4", "hooli", (("C-5", eur("10")),)),
    ):
        captured(log, lead, "2025-01-01T09:00Z", account_id=account)
        won(log, lead, "2025-01-05T10:00Z", *contracts)
    changed(log, "L-1", "C-1", "2025-02-05T10:00Z", eur("11"))
    changed(log, "L-2", "C-2", "2025-02-05T10:00Z", eur("11"))
    changed(log, "L-2", "C-3", "2025-02-05T10:00Z", usd("9"))
    churned(log, "L-3", "2025-02-05T10:00Z")
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    [row] = await figures.rows("expansion_rate", from_="2025-02-01", to="2025-03-01", zone="UTC")
    assert (row["numerator"], row["denominator"], row["contracted"]["numerator"]) == (1, 4, 1)


async def test_recommendations_and_what_becomes_of_them(projected: NewProjected) -> None:
    log = Log()
    captured(log, "L-1", "2025-01-01T09:00Z")
    for referred in ("L-2", "L-3", None):
        log.post(
            "L-1",
            "ReferralMade",
            "2025-02-01T10:00Z",
            "2025-02-01T10:00Z",
            **({"referred_lead_id": referred} if referred else {}),
        )
    for lead in ("L-2", "L-3"):
        captured(log, lead, "2025-02-03T10:00Z", channel="referral", referrer_lead_id="L-1")
    won(log, "L-2", "2025-03-01T10:00Z", ("C-2", eur("1")))
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    [row] = await figures.rows("referral_yield", **YEAR)
    assert (row["made"], row["captured"], row["won"], row["value"], row["per_referral"]["value"]) == (
        3,
        2,
        1,
        0.5,
        2 / 3,
    )
    [row] = await figures.rows("referral_yield", **YEAR, as_of="2025-02-20")
    assert (row["captured"], row["won"]) == (2, 0)


async def test_why_contracts_ended(projected: NewProjected) -> None:
    log = Log()
    ends: list[dict[str, Any]] = [{"reason": "price"}, {"reason": "price", "voluntary": False}, {"reason": "support"}]
    for number, data in enumerate(ends, 1):
        captured(log, f"L-{number}", "2025-01-01T09:00Z")
        won(log, f"L-{number}", "2025-01-05T10:00Z", (f"C-{number}", eur("10")))
        changed(log, f"L-{number}", f"C-{number}", "2025-02-01T10:00Z", eur("20"))
        churned(log, f"L-{number}", "2025-03-05T10:00Z", **data)
    captured(log, "L-4", "2025-01-01T09:00Z", pipeline="plan")
    log.post("L-4", "Won", "2025-01-05T10:00Z", "2025-01-05T10:00Z", value=eur("1"), contracts=[{"contract_id": "C-4", "mrr": eur("5"), "term_end": "2025-03-20"}])  # fmt: skip
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    rows = await figures.rows("churn_reasons", **YEAR, as_of="2025-12-31", group_by="end_reason,reason,voluntary")
    assert [
        (row["end_reason"], row["reason"], row["voluntary"], row["n"], row["mrr_lost"][0]["amount"]) for row in rows
    ] == [
        ("churned", "price", "no", 1, "20.00"),
        ("churned", "price", "yes", 1, "20.00"),
        ("churned", "support", "yes", 1, "20.00"),
        ("lapsed", None, None, 1, "5.00"),
    ]
    [row] = await figures.rows("churn_reasons", **YEAR, as_of="2025-04-01", reason="price")
    assert row["n"] == 2
    [row] = await figures.rows("churn_reasons", **YEAR, as_of="2025-04-01")
    assert row["n"] == 3  # whether the term lapses is not decided yet
