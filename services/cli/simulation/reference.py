"""What the company says of itself: its people, products, campaigns with their costs, targets, and the rates it converts by."""

from itertools import pairwise
from typing import Final

from services.cli.simulation.chance import Chance
from services.cli.simulation.company import CAMPAIGNS, LEAVER, OWNERS, PRODUCTS, REGIONS, SUCCESSOR
from services.cli.simulation.cycle import Data, money
from services.cli.simulation.days import DAY, HOUR, Period
from services.cli.simulation.telling import Teller

_WORKDAYS: Final = ["mon", "tue", "wed", "thu", "fri"]
_RATES: Final = {"USD": (9_200, 1), "GBP": (11_600, 7)}
"""Euro per unit in ten-thousandths at the start, and every how many days it is published."""


def reference_events(period: Period, teller: Teller, chance: Chance, leaves_at: int) -> None:
    """Tell all of it."""
    _people(period, teller, leaves_at)
    for id, product in PRODUCTS.items():
        data: Data = {"name": product.name, "series": product.series}
        data["list_price"] = money((product.mrr or product.price) * 100, "EUR")
        teller.tell("erp", "ProductUpdated", f"product/{id}", period.start + HOUR, data)
    _campaigns(period, teller, chance)
    _targets(period, teller)
    for currency, (rate, every) in _RATES.items():
        _published(period, teller, chance, currency, rate, every)


def _people(period: Period, teller: Teller, leaves_at: int) -> None:
    for id, owner in OWNERS.items():
        zone = REGIONS[owner.region].zone
        data: Data = {
            "name": owner.name,
            "team": f"{owner.region} {owner.role}",
            "role": owner.role,
            "region": owner.region,
        }
        data |= {"time_zone": zone, "hours": [{"days": _WORKDAYS, "from": "09:00", "to": "17:30"}]}
        data["capacity_per_day"] = owner.capacity
        if owner.manager is not None:
            data["manager"] = owner.manager
        teller.tell("hr", "OwnerUpdated", f"owner/{id}", period.start + HOUR, data, late=False)
    for number, id in enumerate(OWNERS):
        away = period.workday(period.first_day + 40 + 9 * number)
        if (away - 10) * DAY < period.end:
            absence = {"first_day": period.day(away), "last_day": period.day(away + 11)}
            teller.tell("hr", "OwnerUpdated", f"owner/{id}", (away - 10) * DAY + 8 * HOUR, {"absences": [absence]})
    teller.tell("hr", "OwnerLeft", f"owner/{LEAVER}", leaves_at, {"successor": SUCCESSOR}, late=False)


def _campaigns(period: Period, teller: Teller, chance: Chance) -> None:
    for id, (channel, monthly) in CAMPAIGNS.items():
        subject = f"campaign/{id}"
        teller.tell("marketing", "CampaignOpened", subject, period.start + 2 * HOUR, {"channel": channel}, late=False)
        bounds = period.bounds()
        for begins, ends in pairwise(bounds):
            cost = money(monthly * chance.number(80, 120), "EUR")
            days = {"from": period.day(begins // DAY), "to": period.day(ends // DAY)}
            wrong = {"cost": money(monthly * 1_000, "EUR"), "period": days}
            said = {"cost": cost, "period": days}
            teller.tell("marketing", "CampaignCostRecorded", subject, ends - 7 * HOUR, said, wrong=wrong)


def _targets(period: Period, teller: Teller) -> None:
    bounds = period.bounds()
    for index in range(0, len(bounds) - 1, 3):
        begins, ends = bounds[index], bounds[min(index + 3, len(bounds) - 1)]
        days = {"from": period.day(begins // DAY), "to": period.day(ends // DAY)}
        for id, owner in OWNERS.items():
            if owner.role == "sales":
                scope = {"kind": "owner", "id": id}
                data = {"scope": scope, "metric": "won_value", "period": days, "amount": "60000.00", "currency": "EUR"}
                teller.tell("hr", "TargetSet", f"target/{id}-{period.months[index]}", begins + 3 * HOUR, data)
        calls = {
            "scope": {"kind": "all"},
            "metric": "activities",
            "activity_kind": "call",
            "period": days,
            "amount": "900",
        }
        teller.tell("hr", "TargetSet", f"target/calls-{period.months[index]}", begins + 3 * HOUR, calls)


def _published(period: Period, teller: Teller, chance: Chance, currency: str, rate: int, every: int) -> None:
    for day in range(period.first_day, period.last_day, every):
        rate = max(rate // 2, rate + chance.number(-45, 45))
        at = day * DAY + 15 * HOUR
        data = {"rate": f"{rate // 10_000}.{rate % 10_000:04}", "as_of": period.instant(at)}
        teller.tell("bank", "FxRatePublished", f"fx/{currency}-EUR", at, data)
