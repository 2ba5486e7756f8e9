"""What campaigns cost and brought: given touches, wins and costs, when a period is asked for, then each gets its share."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from schemas.envelope import Recorded
from schemas.events.opportunity import CampaignTouched
from schemas.lead import at_instant
from services.projections.lead_readings import LeadReader
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.test_forecast import eur
from tests.unit.projections.deals import random_deals
from tests.unit.projections.histories import PIPELINES, Log


def cost(
    log: Log,
    campaign: str,
    amount: str,
    begins: str,
    ends: str,
    recorded: str = "2025-01-01T00:00Z",
    currency: str = "EUR",
) -> Recorded:
    return log.post(
        f"campaign/{campaign}", "CampaignCostRecorded", recorded, recorded,
        cost={"amount": amount, "currency": currency}, period={"from": begins, "to": ends},
    )  # fmt: skip


def won(log: Log, lead: str, day: str, *touches: str, account: str | None = None, value: str = "100") -> None:
    captured = {"source_channel": "web", "owner": "ana", **({"account_id": account} if account else {})}
    log.post(lead, "LeadCaptured", "2025-01-02T10:00Z", "2025-01-02T10:00Z", **captured)
    for number, campaign in enumerate(touches):
        at = f"2025-01-{3 + number:02}T10:00Z"
        log.post(lead, "CampaignTouched", at, at, campaign_id=campaign, channel="phone")
    log.post(lead, "Won", f"{day}T10:00Z", f"{day}T10:01Z", value=eur(value))


def a_spring() -> Log:
    """March 2025 has three wins, one of them a repeat of acme; spring costs 310 in March, summer has no cost."""
    log = Log()
    log.post("campaign/spring", "CampaignOpened", "2025-01-01T00:00Z", "2025-01-01T00:00Z", channel="ads")
    cost(log, "spring", "310", "2025-03-01", "2025-04-01")
    won(log, "L-0", "2025-02-10", "summer", account="acme")
    won(log, "L-1", "2025-03-10", "spring", "summer", account="acme")
    won(log, "L-2", "2025-03-11", "spring", "summer", "summer", "spring")
    won(log, "L-3", "2025-03-12")
    return log


MARCH = {"from_": "2025-03-01", "to": "2025-04-01"}


async def brought(figures: Any, key: str = "campaign", **asked: str) -> dict[str | None, tuple[Any, ...]]:
    rows = await figures.rows("source_roi", **{**MARCH, **asked})
    return {
        row[key]: (
            row["won_n"],
            row["new_customers"],
            row["cost"] and row["cost"][0]["amount"],
            row["roi"] and row["roi"][0]["value"],
        )
        for row in rows
    }


async def test_a_deal_is_owed_to_its_first_its_last_or_all_of_its_touches(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(a_spring().events)
    assert await brought(figures) == {"spring": (2, 1, "310.00", (200 - 310) / 310), None: (1, 1, None, None)}
    assert await brought(figures, attribution="last") == {
        "spring": (1, 1, "310.00", (100 - 310) / 310), "summer": (1, 0, None, None), None: (1, 1, None, None),
    }  # fmt: skip
    assert await brought(figures, attribution="linear") == {
        "spring": (1, 0.5, "310.00", (100 - 310) / 310), "summer": (1, 0.5, None, None), None: (1, 1, None, None),
    }  # fmt: skip
    assert await brought(figures, attribution="capture") == {None: (3, 2, None, None), "spring": (0, 0, "310.00", -1.0)}
    # a channel is the campaign's own; of one that nobody opened that of the touch
    assert set(await brought(figures, "channel", by="channel", attribution="linear")) == {"ads", "phone", None}


async def test_without_a_cost_nothing_is_divided(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(a_spring().events)
    rows = {row["campaign"]: row for row in await figures.rows("source_roi", **MARCH, attribution="last")}
    assert rows["spring"]["cost_per_customer"] == [
        {"currency": "EUR", "numerator": "310.00", "denominator": 1, "value": 310.0}
    ]
    assert [rows["summer"][name] for name in ("cost", "no_cost", "roi", "cost_per_customer")] == [
        None,
        True,
        None,
        None,
    ]


async def test_costs_are_spread_over_their_days_and_may_come_before(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(a_spring().events)

    async def cac(**asked: str) -> Any:
        [row] = await figures.rows("cac", **{**MARCH, **asked})
        return row["new_customers"], row["cost"] and row["cost"][0]["amount"], row["no_cost"]

    assert await cac() == (2, "310.00", False)
    assert await cac(from_="2025-03-11", to="2025-03-13") == (2, "20.00", False)
    assert await cac(from_="2025-04-05", to="2025-04-10", lag_days="10") == (0, "50.00", False)
    assert await cac(lag_days="20") == (2, "110.00", False)
    assert await cac(lag_days="60") == (2, None, True)
    months = await figures.rows("cac", from_="2025-02-01", to="2025-04-01", interval="month")
    assert [(row["period"], row["new_customers"], row["no_cost"]) for row in months] == [
        ("2025-02", 1, True),
        ("2025-03", 2, False),
    ]


async def test_each_day_of_a_cost_has_its_own_rate(projected: NewProjected) -> None:
    log = a_spring()
    for day, rate in ((1, "2"), (11, "3")):
        log.post(
            "fx/EUR-USD",
            "FxRatePublished",
            "2025-03-01T00:00Z",
            "2025-03-01T00:00Z",
            rate=rate,
            as_of=f"2025-03-{day:02}T00:00:00+01:00",
        )
    cost(log, "winter", "5", "2025-03-01", "2025-03-02", currency="CHF")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    rows = {row["campaign"]: row for row in await figures.rows("source_roi", **MARCH, currency="USD")}
    assert rows["spring"]["cost"] == [{"amount": "830.00", "currency": "USD"}]
    assert rows["spring"]["won_value"] == [{"amount": "500.00", "currency": "USD"}]
    assert (rows["winter"]["cost"], rows["winter"]["no_cost"]) == (None, True)


async def test_a_late_touch_a_late_cost_and_a_reopening_restate(projected: NewProjected) -> None:
    log = a_spring()
    log.post("L-3", "CampaignTouched", "2025-02-01T10:00Z", "2025-05-01T10:00Z", campaign_id="autumn")
    log.post("L-1", "CampaignTouched", "2025-01-02T12:00Z", "2025-05-01T10:00Z", campaign_id="autumn")
    log.post("L-1", "CampaignTouched", "2025-03-10T10:00:00.000001Z", "2025-05-01T10:00Z", campaign_id="after")
    cost(log, "autumn", "50", "2025-03-01", "2025-04-01", "2025-05-01T10:00Z")
    log.post("L-2", "Reopened", "2025-06-01T10:00Z", "2025-06-01T10:00Z", reason="again")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    assert await brought(figures) == {"autumn": (2, 1, "50.00", 3.0), "spring": (0, 0, "310.00", -1.0)}
    assert (await brought(figures, attribution="last"))["summer"] == (1, 0, None, None)
    assert await brought(figures, known_at="2025-04-30") == {
        "spring": (2, 1, "310.00", (200 - 310) / 310),
        None: (1, 1, None, None),
    }


@pytest.mark.parametrize("seed", range(3))
async def test_it_is_what_plain_counting_gives(projected: NewProjected, seed: int) -> None:
    log = random_deals(seed)
    costs = Log()
    cost(costs, "spring", "900", "2025-01-15", "2025-04-15")
    cost(costs, "spring", "70", "2025-03-01", "2025-03-08")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log + costs.events, batch=7)
    begin, end = datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
    for known_at in (None, datetime(2025, 3, 15, tzinfo=UTC)):
        known = [event for event in log if known_at is None or event.recorded_at < known_at]
        for attribution in ("first", "last", "linear"):
            asked = {
                "from_": begin.isoformat(),
                "to": end.isoformat(),
                "zone": "UTC",
                "attribution": attribution,
                "lag_days": "14",
            }
            if known_at:
                asked["known_at"] = known_at.isoformat()
            rows = await figures.rows("source_roi", **asked)
            found = {row["campaign"]: (row["won_n"], row["new_customers"]) for row in rows}
            expected = naive(known, begin, end, attribution)
            expected.setdefault("spring", (0, 0))
            assert found == {name: (pytest.approx(n), pytest.approx(new)) for name, (n, new) in expected.items()}
            [spring] = [row["cost"][0]["amount"] for row in rows if row["campaign"] == "spring"]
            days = [date(2025, 1, 18) + timedelta(days=number) for number in range(59)]
            per_day = {
                day: Fraction(900, 90) + (10 if date(2025, 3, 1) <= day < date(2025, 3, 8) else 0) for day in days
            }
            assert spring == f"{float(sum(per_day.values())):.2f}"


def naive(
    log: Iterable[Recorded], begin: datetime, end: datetime, attribution: str
) -> dict[str | None, tuple[Any, Any]]:
    """campaign -> (deals won, new customers); no lead of this log has an account."""
    reader = LeadReader()
    streams: dict[str, list[Any]] = {}
    for event in log:
        streams.setdefault(event.stream, []).append(reader.read(event).item)
    found: defaultdict[str | None, Fraction] = defaultdict(Fraction)
    for facts in streams.values():
        lead = at_instant(facts, datetime(2199, 1, 1, tzinfo=UTC), PIPELINES)
        if (
            lead.outcome != "won"
            or lead.standing in ("void", "absorbed")
            or not lead.closed_at
            or not begin <= lead.closed_at < end
        ):
            continue
        touches = [
            fact.body.campaign_id
            for fact in sorted(facts, key=lambda fact: (fact.key, fact.version))
            if isinstance(fact.body, CampaignTouched) and fact.at <= lead.closed_at
        ]
        owed: Sequence[str | None] = {"first": touches[:1], "last": touches[-1:], "linear": touches}[attribution] or [
            None
        ]
        for campaign in owed:
            found[campaign] += Fraction(1, len(owed))
    return {name: (float(n), float(n)) for name, n in found.items()}
