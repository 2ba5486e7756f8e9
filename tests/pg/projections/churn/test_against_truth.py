"""Given a simulated company, delivered in any way, then every figure of its customers is the one that was planned."""

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.pg.projections.churn.simulated import Company, simulated
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.unit.projections.histories import shuffled_across_leads

KINDS = ("new", "expansion", "contraction", "churn", "reactivation")


@pytest.fixture(scope="module")
def company() -> Company:
    return simulated(700, 5)


@pytest.fixture
async def figures(projected: NewProjected, company: Company) -> Projected:
    made = await projected("churn", "reference", pipelines=company.pipelines)
    await made.deliver(company.log)
    return made


def whole(company: Company) -> dict[str, str]:
    months = list(company.truth["board_at_month_end"])
    return {"from_": f"{months[0]}-01", "to": company.truth["company"]["end"], "interval": "month", "zone": "UTC"}


def in_cents(money: list[dict[str, str]]) -> dict[str, Decimal]:
    return {each["currency"]: Decimal(each["amount"]) for each in money if Decimal(each["amount"])}


@pytest.mark.parametrize(("grain", "planned"), [("event", "instant"), ("month", "month")])
async def test_movements_of_recurring_revenue(figures: Projected, company: Company, grain: str, planned: str) -> None:
    rows = await figures.rows("mrr_movements", **whole(company), grain=grain)
    assert [row["period"] for row in rows] == list(company.truth["mrr_movements"][planned])
    for row in rows:
        found: dict[str, dict[str, Decimal]] = {}
        for kind in KINDS:
            for currency, amount in in_cents(row[kind]).items():
                found.setdefault(currency, {})[kind] = amount
        truth = company.truth["mrr_movements"][planned][row["period"]]
        wanted = {
            currency: {kind: Decimal(amount) for kind, amount in kinds.items() if Decimal(amount)}
            for currency, kinds in truth.items()
        }
        assert found == {currency: kinds for currency, kinds in wanted.items() if kinds}, row["period"]
        ends = {name: Decimal(amount) for name, amount in company.truth["mrr_at_month_end"][row["period"]].items()}
        assert in_cents(row["end"]) == {name: amount for name, amount in ends.items() if amount}


async def test_logo_churn(figures: Projected, company: Company) -> None:
    rows = await figures.rows("logo_churn", **whole(company), active_by="contract")
    names = ("active_at_start", "churned", "new_and_gone", "won_or_back")
    assert {row["period"]: {name: row[name] for name in names} for row in rows} == company.truth["logo_churn"]


@pytest.mark.parametrize("unit", ["contract", "mrr"])
async def test_cohorts(figures: Projected, company: Company, unit: str) -> None:
    months = str(len(company.truth["board_at_month_end"]))
    end = company.truth["company"]["end"]
    rows = await figures.rows("cohorts", as_of=end, zone="UTC", months=months, active_by=unit)
    found = {row["cohort"]: {"accounts": row["n"], "active": [cell["n"] for cell in row["cells"]]} for row in rows}
    assert found == company.truth["cohorts"][unit]


@pytest.mark.parametrize("unit", ["contract", "mrr"])
async def test_survival(figures: Projected, company: Company, unit: str) -> None:
    planned = company.truth["survival"][unit]
    end = company.truth["company"]["end"]
    ages = ",".join(planned["survival_at_days"])
    [row] = await figures.rows("survival", as_of=end, zone="UTC", active_by=unit, curve="true", ages=ages)
    assert (row["n"], row["ended"], row["median_days"]) == (
        planned["accounts"],
        planned["ended"],
        planned["median_days"],
    )
    told = [[point["age_days"], point["ended"], point["censored"]] for point in row["curve"]]
    assert told == planned["ended_and_censored_by_days"]
    for each in row["at"]:
        if each["survival"] is not None:
            assert each["survival"] == pytest.approx(planned["survival_at_days"][str(each["age_days"])])


async def test_answers_of_customers(figures: Projected, company: Company) -> None:
    quarters = {**whole(company), "interval": "quarter"}
    for latest, name in (("true", "latest"), ("false", "all")):
        rows = await figures.rows("nps", **quarters, latest=latest)
        found = {
            row["period"]: {"n": row["n"], "promoters": row["promoters"], "detractors": row["detractors"], "nps": pytest.approx(row["value"])}
            for row in rows
            if row["n"]
        }  # fmt: skip
        assert found == {quarter: each[name] for quarter, each in company.truth["nps"].items()}
    rows = await figures.rows("csat", **quarters)
    assert {
        row["period"]: {
            "n": row["n"],
            "satisfied": row["numerator"],
            "distribution": list(row["distribution"].values()),
        }
        for row in rows
        if row["n"]
    } == company.truth["csat"]
    for kind, planned in company.truth["surveys"].items():
        [row] = await figures.rows("survey_response", kind=kind)
        assert (row["denominator"], row["answers"]) == (planned["sent"], planned["answered"])


async def test_however_it_is_delivered_the_answers_are_the_same(
    projected: NewProjected, figures: Projected, company: Company
) -> None:
    chance = random.Random(4)
    other = await projected("churn", "reference", pipelines=company.pipelines, leads_kept=5)
    shuffled = shuffled_across_leads(company.log, chance)
    behind: Callable[[Any], bool] = lambda event: event.partition == 1  # noqa: E731  one line says it
    await other.deliver([event for event in shuffled if not behind(event)], batch=97, forgetting=chance)
    await other.deliver(shuffled, batch=97, forgetting=chance)
    rebuilt = await projected("churn", "reference", pipelines=company.pipelines)
    await rebuilt.deliver(shuffled)
    assert await rebuilt.checksum() == await other.checksum()
    for metric, more in (
        ("mrr_movements", whole(company)), ("logo_churn", whole(company)), ("revenue_retention", whole(company)),
        ("survival", {"group_by": "region"}), ("cohorts", {"as_of": company.truth["company"]["end"]}),
        ("active_customers", {"group_by": "owner,industry"}),
    ):  # fmt: skip
        assert await other.rows(metric, **more) == await figures.rows(metric, **more), metric
