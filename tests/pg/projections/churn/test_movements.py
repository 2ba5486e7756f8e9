"""Given contracts that change, when movements are asked for, then each is what it is for its account, and the bridge holds."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from tests.pg.projections.churn.companies import captured, changed, churned, company, eur, reactivated, usd, won
from tests.pg.projections.conftest import NewProjected
from tests.unit.projections.customer_histories import customer_log
from tests.unit.projections.histories import Log

YEAR = {"from_": "2025-01-01", "to": "2025-05-01", "interval": "month", "zone": "UTC"}
KINDS = ("new", "expansion", "contraction", "churn", "reactivation")
PARTS = (*KINDS, "fx", "correction")


def amounts(row: dict[str, Any], currency: str = "EUR") -> dict[str, str]:
    """The parts of a row that are not nothing."""
    return {
        name: money["amount"]
        for name in ("start", *PARTS, "end")
        for money in row[name]
        if money["currency"] == currency and Decimal(money["amount"])
    }


async def test_each_change_of_an_account_has_one_name(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(company().events)
    january, february, march, april = await figures.rows("mrr_movements", **YEAR)
    assert amounts(january) == {"new": "300.00", "end": "300.00"}
    assert amounts(february) == {"start": "300.00", "expansion": "100.00", "churn": "-200.00", "end": "200.00"}
    assert amounts(february, "USD") == {"new": "10.00", "end": "10.00"}
    assert amounts(march) == {"start": "200.00", "contraction": "-50.00", "end": "150.00"}
    assert amounts(april) == {"start": "150.00", "reactivation": "80.00", "end": "230.00"}
    assert [january["new_n"], february["expansion_n"], february["new_n"], february["churn_n"]] == [2, 2, 1, 1]


async def test_contracts_by_themselves(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(company().events)
    _, february, march, _ = await figures.rows("mrr_movements", **YEAR, unit="contract")
    assert amounts(february) == {"start": "300.00", "new": "50.00", "expansion": "50.00", "churn": "-200.00", "end": "200.00"}  # fmt: skip
    assert amounts(march) == {"start": "200.00", "churn": "-50.00", "end": "150.00"}


async def test_within_a_month_or_a_day_only_the_net_change_counts(projected: NewProjected) -> None:
    log = Log()
    captured(log, "L-1", "2025-01-01T10:00Z", account_id="acme")
    won(log, "L-1", "2025-01-02T10:00Z", ("C-1", eur("10")))
    changed(log, "L-1", "C-1", "2025-01-05T10:00Z", eur("30"))
    changed(log, "L-1", "C-1", "2025-01-05T12:00Z", eur("20"))
    churned(log, "L-1", "2025-02-03T10:00Z")
    reactivated(log, "L-1", "2025-02-09T10:00Z", eur("20"))
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)

    async def moved(grain: str) -> list[dict[str, str]]:
        rows = await figures.rows("mrr_movements", from_="2025-01-01", to="2025-03-01", interval="month", grain=grain)
        return [{name: amount for name, amount in amounts(row).items() if name in KINDS} for row in rows]

    assert await moved("event") == [
        {"new": "10.00", "expansion": "20.00", "contraction": "-10.00"},
        {"churn": "-20.00", "reactivation": "20.00"},
    ]
    assert await moved("day") == [{"new": "10.00", "expansion": "10.00"}, {"churn": "-20.00", "reactivation": "20.00"}]
    assert await moved("month") == [{"new": "20.00"}, {}]


async def test_losing_one_of_two_currencies_is_no_churn(projected: NewProjected) -> None:
    log = Log()
    captured(log, "L-1", "2025-01-01T10:00Z", account_id="acme")
    won(log, "L-1", "2025-01-02T10:00Z", ("C-1", eur("10")), ("C-2", usd("5")))
    churned(log, "L-1", "2025-02-03T10:00Z", contract_id="C-2")
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    january, february = await figures.rows("mrr_movements", **{**YEAR, "to": "2025-03-01"})
    assert january["new_n"] == 1
    assert amounts(february, "USD") == {"start": "5.00", "contraction": "-5.00"}


def rated(log: Log) -> Log:
    """With rates: 1 USD is 0.90 EUR from January on and 0.80 EUR from 15 February on; GBP has none."""
    for rate, at in (("0.9", "2025-01-01T00:00:00Z"), ("0.8", "2025-02-15T00:00:00Z")):
        log.post("fx/USD-EUR", "FxRatePublished", at, at, rate=rate, as_of=at)
    return log


async def test_in_one_currency_what_rates_changed_stands_apart(projected: NewProjected) -> None:
    log = Log()
    captured(log, "L-1", "2025-01-01T10:00Z", account_id="acme")
    won(log, "L-1", "2025-01-10T10:00Z", ("C-1", usd("100")))
    changed(log, "L-1", "C-1", "2025-02-20T10:00Z", usd("120"))
    captured(log, "L-2", "2025-01-01T10:00Z", account_id="globex")
    won(log, "L-2", "2025-01-10T10:00Z", ("C-2", {"amount": "7", "currency": "GBP"}))
    figures = await projected("churn", "reference")
    await figures.deliver(rated(log).events)
    january, february = await figures.rows("mrr_movements", **{**YEAR, "to": "2025-03-01"}, currency="EUR")
    assert amounts(january) == {"new": "90.00", "end": "90.00"}
    assert january["unpriced_n"] == 1
    assert amounts(february) == {"start": "90.00", "expansion": "16.00", "fx": "-10.00", "end": "96.00"}


async def test_a_start_as_it_was_booked_is_corrected(projected: NewProjected) -> None:
    log = company()
    captured(log, "L-7", "2025-01-02T10:00Z", account_id="hooli")
    won(log, "L-7", "2025-01-20T10:00Z", ("C-7", eur("5")), recorded="2025-02-20T10:00Z")
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    _, february, march, _ = await figures.rows("mrr_movements", **YEAR, start="booked")
    assert amounts(february)["start"] == "300.00"
    assert amounts(february)["correction"] == "5.00"
    assert (amounts(march)["start"], amounts(march)["correction"]) == ("2205.00", "-2000.00")
    [known] = await figures.rows("mrr_movements", from_="2025-01-01", to="2025-02-01", zone="UTC", known_at="2025-02-10T00:00:00Z")  # fmt: skip
    assert amounts(known) == {"new": "300.00", "end": "300.00"}


@pytest.mark.parametrize("seed", range(12))
async def test_start_and_movements_are_the_end_whatever_is_asked(projected: NewProjected, seed: int) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(customer_log(seed, leads=12))
    for more in (
        {}, {"grain": "day"}, {"grain": "month"}, {"unit": "contract"}, {"group_by": "owner"}, {"group_by": "account,owner"},
        {"recognise": "request"}, {"as_of": "2025-06-15"}, {"known_at": "2025-01-20T00:00:00Z"}, {"dims": "current", "group_by": "owner"},
        {"owner": "ana"}, {"start": "booked"},
    ):  # fmt: skip
        rows = await figures.rows(
            "mrr_movements",
            **{"from_": "2025-02-03", "to": "2025-11-01", "interval": "quarter", "zone": "Asia/Tokyo", **more},
        )
        ends: dict[Any, Any] = {}
        for row in rows:
            group = (row.get("owner"), row.get("account"))
            totals: defaultdict[str, Decimal] = defaultdict(Decimal)
            for name in ("start", *PARTS):
                for money in row[name]:
                    totals[money["currency"]] += Decimal(money["amount"])
            end = {money["currency"]: Decimal(money["amount"]) for money in row["end"]}
            assert {**dict.fromkeys(end, Decimal(0)), **totals} == {**dict.fromkeys(totals, Decimal(0)), **end}
            if "start" not in more and group in ends:
                start = {money["currency"]: Decimal(money["amount"]) for money in row["start"]}
                assert {name: amount for name, amount in start.items() if amount} == ends[group]
            ends[group] = {name: amount for name, amount in end.items() if amount}
        if "as_of" in more:
            found = await figures.rows("active_customers", as_of="2025-06-15", zone="Asia/Tokyo")
            active = {money["currency"]: Decimal(money["amount"]) for row in found for money in row["mrr"]}
            assert active == ends[None, None]
