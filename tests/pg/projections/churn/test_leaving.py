"""Given customers who leave and come back, when churn, retention, cohorts and survival are asked for, then these figures."""

from typing import Any

import msgspec

from tests.pg.projections.churn.companies import captured, changed, churned, company, eur, reactivated, usd, won
from tests.pg.projections.conftest import NewProjected
from tests.unit.projections.histories import Log

UTC = {"zone": "UTC"}
MONTHS = {"from_": "2025-01-01", "to": "2025-05-01", "interval": "month", **UTC}


async def test_who_left_of_those_who_were_there(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(company().events)
    rows = await figures.rows("logo_churn", **MONTHS)
    assert [(row["active_at_start"], row["churned"], row["won_or_back"], row["value"]) for row in rows] == [
        (0, 0, 2, None),
        (2, 1, 1, 0.5),
        (2, 0, 0, 0.0),
        (2, 0, 1, 0.0),
    ]
    _, _, march, _ = await figures.rows("logo_churn", **MONTHS, unit="contract")
    assert (march["active_at_start"], march["churned"]) == (3, 1)
    [ben] = await figures.rows("logo_churn", from_="2025-02-01", to="2025-03-01", **UTC, owner="ben")
    assert (ben["active_at_start"], ben["churned"], ben["value"]) == (1, 1, 1.0)


def restless() -> Log:
    """acme is there all of March 2025; globex leaves on the 5th, is back on the 10th and leaves on the 20th; initech comes on the 2nd
    and leaves on the 9th; hooli comes on the 3rd and stays."""
    log = Log()
    for lead, account, at in (
        ("L-1", "acme", "2025-01-01T10:00Z"),
        ("L-2", "globex", "2025-01-01T10:00Z"),
        ("L-3", "initech", "2025-03-02T10:00Z"),
        ("L-4", "hooli", "2025-03-03T10:00Z"),
    ):
        captured(log, lead, "2025-01-01T09:00Z", account_id=account)
        won(log, lead, at, (f"C{lead}", eur("10")))
    churned(log, "L-2", "2025-03-05T10:00Z")
    churned(log, "L-3", "2025-03-09T10:00Z")
    reactivated(log, "L-2", "2025-03-10T10:00Z", eur("10"))
    churned(log, "L-2", "2025-03-20T10:00Z")
    return log


async def test_each_house_counts_leavers_in_its_own_way(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(restless().events)

    async def share(**more: str) -> tuple[int, int]:
        [row] = await figures.rows("logo_churn", from_="2025-03-02", to="2025-04-01", **UTC, **more)
        return row["numerator"], row["denominator"]

    assert await share() == (1, 2)
    assert await share(method="flow") == (3, 2)
    assert await share(method="stripe") == (3, 4)
    assert await share(method="baremetrics") == (2, 2)
    assert await share(method="flow", merge_gap_days="7") == (2, 2)
    [row] = await figures.rows("logo_churn", from_="2025-03-02", to="2025-04-01", **UTC)
    assert (row["new_and_gone"], row["won_or_back"]) == (1, 1)


async def test_an_end_that_was_told_late_changes_what_is_known_and_not_what_was(projected: NewProjected) -> None:
    log = restless()
    churned(log, "L-1", "2025-03-15T10:00Z", recorded="2025-06-01T10:00Z")
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    march: dict[str, Any] = {"from_": "2025-03-01", "to": "2025-04-01", **UTC}
    [now] = await figures.rows("logo_churn", **march)
    [then] = await figures.rows("logo_churn", **march, known_at="2025-05-01")
    assert (now["churned"], then["churned"]) == (2, 1)


async def test_a_notice_counts_from_when_it_was_given_only_where_that_is_asked_for(projected: NewProjected) -> None:
    log = Log()
    for lead in ("L-1", "L-2"):
        captured(log, lead, "2025-01-01T09:00Z", account_id=f"of-{lead}")
        won(log, lead, "2025-01-01T10:00Z", (f"C{lead}", eur("10")))
        log.post(lead, "CancellationRequested", "2025-02-10T10:00Z", "2025-02-10T10:00Z", contract_id=f"C{lead}", effective_at="2025-04-10T00:00:00Z")  # fmt: skip
    log.post("L-2", "CancellationWithdrawn", "2025-03-10T10:00Z", "2025-03-10T10:00Z", contract_id="CL-2")
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    months = {"from_": "2025-02-01", "to": "2025-05-01", "interval": "month", **UTC}
    assert [row["churned"] for row in await figures.rows("logo_churn", **months)] == [0, 0, 1]
    assert [row["churned"] for row in await figures.rows("logo_churn", **months, recognise="request")] == [1, 0, 0]
    before = await figures.rows("logo_churn", **months, recognise="request", known_at="2025-03-01")
    assert [row["churned"] for row in before] == [2, 0, 0]


async def test_a_renewed_term_is_no_end_and_an_upgrade_takes_the_place_of_what_it_follows(
    projected: NewProjected,
) -> None:
    log = Log()
    captured(log, "L-1", "2025-01-01T09:00Z", account_id="acme")
    won(log, "L-1", "2025-01-01T10:00Z", ("C-1", eur("10")))
    captured(log, "L-2", "2025-03-01T09:00Z", account_id="acme", origin={"lead_id": "L-1", "kind": "upgrade"})
    log.post("L-2", "Won", "2025-03-10T10:00Z", "2025-03-10T10:00Z", value=eur("300"), contracts=[{"contract_id": "C-2", "mrr": eur("25"), "term_start": "2025-04-01"}])  # fmt: skip
    log.post("L-1", "ContractSuperseded", "2025-03-10T10:00Z", "2025-03-10T10:00Z", effective_at="2025-04-01T00:00:00Z", by_lead_id="L-2", contract_id="C-1")  # fmt: skip
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    [row] = await figures.rows("logo_churn", from_="2025-02-01", to="2025-06-01", **UTC)
    assert (row["churned"], row["ended"]) == (0, 0)
    [moved] = await figures.rows("mrr_movements", from_="2025-02-01", to="2025-06-01", **UTC)
    assert (moved["expansion"][0]["amount"], moved["churn"][0]["amount"]) == ("15.00", "0.00")


async def test_what_those_of_the_start_still_bring(projected: NewProjected) -> None:
    log = Log()
    for lead, account, mrr in (
        ("L-1", "acme", eur("100")),
        ("L-2", "globex", eur("50")),
        ("L-3", "initech", usd("40")),
    ):
        captured(log, lead, "2025-01-01T09:00Z", account_id=account, owner="ana" if lead == "L-1" else "ben")
        won(log, lead, "2025-01-05T10:00Z", (f"C{lead}", mrr))
    changed(log, "L-1", "CL-1", "2025-02-05T10:00Z", eur("130"))
    changed(log, "L-2", "CL-2", "2025-02-05T10:00Z", eur("20"))
    churned(log, "L-3", "2025-02-07T10:00Z")
    captured(log, "L-4", "2025-02-10T09:00Z", account_id="hooli")
    won(log, "L-4", "2025-02-10T10:00Z", ("C-4", eur("900")))
    log.post("fx/USD-EUR", "FxRatePublished", "2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z", rate="0.5", as_of="2025-01-01T00:00:00Z")  # fmt: skip
    log.post("fx/USD-EUR", "FxRatePublished", "2025-02-15T00:00:00Z", "2025-02-15T00:00:00Z", rate="0.9", as_of="2025-02-15T00:00:00Z")  # fmt: skip
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    february = {"from_": "2025-02-01", "to": "2025-03-01", **UTC}
    [row] = await figures.rows("revenue_retention", **february)
    assert row["grr"] == [
        {"currency": "EUR", "numerator": "120.00", "denominator": "150.00", "value": 0.8},
        {"currency": "USD", "numerator": "0.00", "denominator": "40.00", "value": 0.0},
    ]
    assert [each["value"] for each in row["nrr"]] == [1.0, 0.0]
    [row] = await figures.rows("revenue_retention", **february, currency="EUR")
    assert [(each["numerator"], each["denominator"]) for each in (*row["grr"], *row["nrr"])] == [
        ("120.00", "170.00"),
        ("150.00", "170.00"),
    ]
    [row] = await figures.rows("revenue_retention", **february, currency="GBP")
    assert (row["grr"], row["unpriced_n"]) == ([], 3)
    [row] = await figures.rows("revenue_retention", **february, owner="ana")
    assert row["nrr"][0]["value"] == 1.3


async def test_a_cohort_is_the_month_of_the_first_win_that_stands(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(company().events)
    rows = await figures.rows("cohorts", as_of="2025-04-20", months="4", **UTC)
    shown = {row["cohort"]: (row["n"], [cell and cell["n"] for cell in row["cells"]]) for row in rows}
    assert shown == {"2025-01": (2, [2, 1, 1, None]), "2025-02": (1, [1, 1, None])}
    rows = await figures.rows("cohorts", as_of="2025-05-20", months="5", mode="survival", **UTC)
    assert [cell and cell["n"] for cell in rows[0]["cells"]] == [2, 1, 1, 1, None]
    rows = await figures.rows("cohorts", as_of="2025-05-20", months="5", **UTC)
    assert [cell and cell["n"] for cell in rows[0]["cells"]] == [2, 1, 1, 2, None]
    assert rows[0]["cells"][3]["mrr"] == [{"amount": "230.00", "currency": "EUR"}]


async def test_ages_count_from_the_start_that_was_told_but_only_while_somebody_looked(projected: NewProjected) -> None:
    log = Log()
    for number, (at, term_start, ends) in enumerate(
        (
            ("2025-01-10T10:00Z", None, "2025-01-10T12:00Z"),
            ("2025-01-10T10:00Z", None, "2025-01-20T12:00Z"),
            ("2025-01-10T10:00Z", "2024-12-31", "2025-01-20T12:00Z"),
            ("2025-01-10T10:00Z", None, None),
        )
    ):
        lead = f"L-{number}"
        captured(log, lead, "2025-01-01T09:00Z", account_id=f"a-{number}")
        contract = {"contract_id": "C", "mrr": eur("1"), **({"term_start": term_start} if term_start else {})}
        log.post(lead, "Won", at, at, value=eur("1"), contracts=[contract])
        if ends is not None:
            churned(log, lead, ends)
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    [row] = await figures.rows("survival", as_of="2025-01-30", **UTC, curve="true", ages="0,10,20")
    assert [(each["age_days"], each["at_risk"], each["ended"], each["censored"]) for each in row["curve"]] == [
        (0, 3, 1, 0),
        (10, 2, 1, 0),
        (20, 2, 1, 1),
    ]
    assert [round(each["survival"], 6) for each in row["at"]] == [0.666667, 0.333333, 0.166667]


def hasty() -> Log:
    """Of March 2025, midnights UTC. acme is there from January on, and buys C-2 that ends where it begins, on the 5th. globex
    has C-3 alone, which ends where it begins on the 10th; initech the same with C-4, but is back on the 20th. hooli came on the 2nd
    with C-5, of Ben, together with C-0, of Ana, which ended then. umbrella's C-6 ended where it began, but the lead was a duplicate."""
    log = Log()
    for lead, account, owner, at, contract in (
        ("L-1", "acme", "ana", "2025-01-01T00:00Z", "C-1"), ("L-2", "acme", "ben", "2025-03-05T00:00Z", "C-2"),
        ("L-3", "globex", "ana", "2025-03-10T00:00Z", "C-3"), ("L-4", "initech", "ana", "2025-03-12T00:00Z", "C-4"),
        ("L-5", "hooli", "ben", "2025-03-02T00:00Z", "C-5"), ("L-0", "hooli", "ana", "2025-03-02T00:00Z", "C-0"),
        ("L-6", "umbrella", "ana", "2025-03-03T00:00Z", "C-6"),
    ):  # fmt: skip
        captured(log, lead, "2025-01-01T00:00Z", account_id=account, owner=owner)
        won(log, lead, at, (contract, eur("10")))
        if contract not in ("C-1", "C-5"):
            churned(log, lead, at)
    reactivated(log, "L-4", "2025-03-20T00:00Z", eur("10"))
    log.post("L-6", "Voided", "2025-03-04T00:00Z", "2025-03-04T00:00Z", reason="a duplicate")
    return log


MARCH = {"from_": "2025-03-01", "to": "2025-04-01", **UTC}


async def test_who_leaves_at_the_instant_of_coming_is_one_of_those_who_left(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(hasty().events)
    names = ("active_at_start", "churned", "new_and_gone", "won_or_back", "ended")
    [row] = await figures.rows("logo_churn", **MARCH, method="flow")
    assert {name: row[name] for name in names} == dict(zip(names, (1, 0, 1, 2, 2), strict=True))
    assert (row["numerator"], row["denominator"]) == (2, 1)
    [row] = await figures.rows("logo_churn", **MARCH, method="flow", unit="contract")
    assert {name: row[name] for name in names} == dict(zip(names, (1, 0, 3, 2, 4), strict=True))
    assert (row["numerator"], row["denominator"]) == (4, 1)
    [row] = await figures.rows("logo_churn", **MARCH, unit="contract")
    assert (row["numerator"], row["denominator"]) == (0, 1)
    on_the_edge = {"from_": "2025-03-10", "to": "2025-03-12", "interval": "day", **UTC}
    assert [row["new_and_gone"] for row in await figures.rows("logo_churn", **on_the_edge)] == [1, 0]
    assert [row["n"] for row in await figures.rows("churn_reasons", **MARCH)] == [4]


async def test_an_end_at_the_instant_of_the_start_is_an_end_at_age_0(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(hasty().events)

    async def at_0(**more: str) -> tuple[int, int, int, float]:
        [row] = await figures.rows("survival", as_of="2025-03-31", **UTC, curve="true", ages="0", **more)
        first = row["curve"][0] if row["curve"][0]["age_days"] == 0 else {"at_risk": row["n"], "ended": 0}
        return row["n"], first["at_risk"], first["ended"], round(row["at"][0]["survival"], 6)

    assert await at_0(spells="all", unit="contract") == (7, 7, 4, 0.428571)
    assert await at_0(spells="first", unit="contract") == (6, 6, 4, 0.333333)
    assert await at_0(spells="all") == (5, 5, 2, 0.6)
    assert await at_0(spells="first") == (4, 4, 2, 0.5)
    assert await at_0(spells="all", merge_gap_days="8") == (4, 4, 1, 0.75)


async def test_who_leaves_at_the_instant_of_coming_was_never_there(projected: NewProjected) -> None:
    """So what is active, what it brings and how that moved is as without the contracts that ended where they began."""
    log = hasty()
    without = Log()
    for event in log.events:
        lead = event.stream.removeprefix("lead/")
        if lead in ("L-1", "L-5") or (lead == "L-4" and event.type != "Churned"):
            data = msgspec.json.decode(event.data)
            if event.type == "Won" and lead == "L-4":
                data["contracts"] = []
            if event.type == "Reactivated":
                data["contract_id"] = "C-4"
            without.post(lead, event.type, event.occurred_at, event.recorded_at, **data)
    figures, others = await projected("churn", "reference"), await projected("churn", "reference")
    await figures.deliver(log.events)
    await others.deliver(without.events)
    for metric, more in (
        ("active_customers", {"as_of": "2025-03-05"}), ("active_customers", {"as_of": "2025-03-05T00:00:00.000001Z"}),
        ("active_customers", {"as_of": "2025-04-01"}), ("mrr_movements", MARCH), ("mrr_movements", {**MARCH, "interval": "week"}),
        ("mrr_movements", {**MARCH, "grain": "month"}), ("revenue_retention", MARCH), ("expansion_rate", MARCH),
    ):  # fmt: skip
        for group in ({}, {"group_by": "owner"}):
            for unit in ("account", "contract"):
                asked = {**more, **group, **UTC, "unit": unit}
                assert await figures.rows(metric, **asked) == await others.rows(metric, **asked), (metric, asked)


async def test_an_end_at_the_start_that_was_told_late_was_not_known_before(projected: NewProjected) -> None:
    log = Log()
    captured(log, "L-1", "2025-03-01T00:00Z", account_id="acme")
    won(log, "L-1", "2025-03-03T00:00Z", ("C-1", eur("10")))
    log.post("L-1", "LeadAssigned", "2025-03-10T00:00Z", "2025-03-10T00:00Z", owner="ben")
    churned(log, "L-1", "2025-03-03T00:00Z", recorded="2025-05-01T00:00Z")
    figures, rebuilt = await projected("churn", "reference"), await projected("churn", "reference")
    await figures.deliver(log.events, batch=1)
    await rebuilt.deliver(log.events)
    assert await figures.checksum() == await rebuilt.checksum()
    [row] = await figures.rows("logo_churn", **MARCH)
    assert (row["new_and_gone"], row["won_or_back"]) == (1, 0)
    [row] = await figures.rows("logo_churn", **MARCH, known_at="2025-04-15")
    assert (row["new_and_gone"], row["won_or_back"]) == (0, 1)
