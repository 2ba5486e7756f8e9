"""What campaigns cost, and what they brought: customers, won value, return; and what a new customer costs over all."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import sqlalchemy as sa

from services.projections.pipeline.attribution import ATTRIBUTION, attributed, wins
from services.projections.pipeline.ledgers import OUTCOMES
from services.projections.query.facts import Facts, of_period
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import choice, whole
from services.projections.query.periods import first_days
from services.projections.query.rates import money_text
from services.projections.reference.costs import Cost, costs

_LAG: Final = whole("lag_days", "Days by which the costs come before what they bring.", 0, 0, 3_650)
_BY: Final = choice("by", "What the rows are: campaigns, or their channels.", "campaign", "channel")
_NONE: Final = Cost({}, False)


class _Brought:
    """What one campaign or channel brought in one period."""

    def __init__(self) -> None:
        self.deals, self.customers = Fraction(0), Fraction(0)
        self.value: defaultdict[str, Fraction] = defaultdict(Fraction)
        self.unpriced = Fraction(0)

    def add(self, row: Any) -> None:
        self.deals += Fraction(row.n, row.parts)
        self.customers += Fraction(row.new, row.parts)
        self.unpriced += Fraction(row.unpriced, row.parts)
        if row.currency is not None and row.value is not None:
            self.value[row.currency] += Fraction(row.value) / row.parts


async def _roi(asked: Asked, reading: Reading) -> Answer:
    by = asked.options["by"]
    brought: dict[tuple[int, str | None], _Brought] = {}
    for row in await reading.rows(attributed(asked, reading)):
        key = (row.period, row.campaign if by == "campaign" else row.channel)
        brought.setdefault(key, _Brought()).add(row)
    spent = await costs(asked, reading, _stretches(asked), by)
    keys = sorted({*brought, *spent}, key=lambda key: (key[0], key[1] is None, key[1] or ""))
    return Answer([_roi_row(asked, key, brought.get(key, _Brought()), spent.get(key, _NONE)) for key in keys])


def _roi_row(asked: Asked, key: tuple[int, str | None], got: _Brought, cost: Cost) -> Row:
    index, name = key
    known = _known(cost)
    return {
        **of_period(asked, index),
        asked.options["by"]: name,
        "cost": [_money(amount, currency) for currency, amount in sorted(known.items())] or None,
        "no_cost": not known,
        "won_n": _number(got.deals),
        "won_value": [_money(amount, currency) for currency, amount in sorted(got.value.items())],
        "new_customers": _number(got.customers),
        "cost_per_customer": _per_customer(known, got.customers),
        "roi": [
            {
                "currency": currency,
                "numerator": money_text(_decimal(got.value.get(currency, Fraction(0)) - amount), currency),
                "denominator": money_text(_decimal(amount), currency),
                "value": float((got.value.get(currency, Fraction(0)) - amount) / amount) if amount else None,
            }
            for currency, amount in sorted(known.items())
        ] or None,
        "unpriced_n": _number(got.unpriced),
    }  # fmt: skip


async def _cac(asked: Asked, reading: Reading) -> Answer:
    won = wins(asked, reading)
    facts = Facts(OUTCOMES, asked, reading)
    period = facts.period(won.c.closed_at).label("period")
    columns: list[Any] = [period, sa.func.count()]
    query = sa.select(*columns).where(won.c.is_new, facts.within(won.c.closed_at)).group_by(sa.literal_column("1"))
    customers = {index: Fraction(n) for index, n in await reading.rows(query)}
    total: defaultdict[int, list[Cost]] = defaultdict(list)
    for (index, _), cost in (await costs(asked, reading, _stretches(asked), "campaign")).items():
        total[index].append(cost)
    rows: list[Row] = []
    for index in sorted({*customers, *total}):
        sums: defaultdict[str, Fraction] = defaultdict(Fraction)
        for cost in total[index]:
            for currency, amount in cost.by_currency.items():
                sums[currency] += amount
        known = {} if any(cost.unpriced for cost in total[index]) else dict(sums)
        n = customers.get(index, Fraction(0))
        rows.append({
            **of_period(asked, index),
            "cost": [_money(amount, currency) for currency, amount in sorted(known.items())] or None,
            "no_cost": not known,
            "new_customers": int(n),
            "cost_per_customer": _per_customer(known, n),
        })  # fmt: skip
    return Answer(rows)


def _known(cost: Cost) -> dict[str, Fraction]:
    """A cost of which a part has no price is not known."""
    return {} if cost.unpriced else cost.by_currency


def _per_customer(known: dict[str, Fraction], customers: Fraction) -> list[Row] | None:
    """Cost / new customers, for each currency; None without a cost."""
    return [
        {
            "currency": currency, "numerator": money_text(_decimal(amount), currency), "denominator": _number(customers),
            "value": float(amount / customers) if customers else None,
        }
        for currency, amount in sorted(known.items())
    ] or None  # fmt: skip


def _stretches(asked: Asked) -> list[tuple[date, date]]:
    """The calendar days whose costs belong to each period: those of the period, `lag_days` earlier."""
    lag = timedelta(days=asked.options["lag_days"])
    days = [max(day, date.min + lag) - lag for day in first_days(asked.periods.edges, asked.zone)]
    return list(pairwise(days))


def _money(amount: Fraction, currency: str) -> Row:
    return {"amount": money_text(_decimal(amount), currency), "currency": currency}


def _decimal(amount: Fraction) -> Decimal:
    return Decimal(amount.numerator) / Decimal(amount.denominator)


def _number(count: Fraction) -> int | float:
    return int(count) if count.denominator == 1 else float(count)


_COST_WORDS = (
    "A cost is spread evenly over the days of its own period, and those days count that lie in the period asked for, lag_days "
    "earlier; in another currency each day at its own rate. A new customer is an account whose first standing win lies in the "
    "period; a lead without an account counts as one of its own. Without a cost nothing is divided: null, and no_cost says so."
)
_COST_COLUMNS = {
    "cost": "cost for each currency; null where none is known",
    "no_cost": "whether no cost is known, or a part of it has no rate to the currency asked for",
}

SOURCE_ROI = Metric(
    id="source_roi",
    version=1,
    title="Return on campaigns",
    definition=(
        "What each campaign, or channel of campaigns, cost and brought in the period. Each deal won in it is owed to its first touch "
        "by a campaign until the close, to its last, or to all of them in equal parts; what no campaign touched stands in the row "
        "null. The channel is that of the campaign, of one that was not opened that of the touch. " + _COST_WORDS
    ),
    formula="cost / new customers; roi = (attributed won value - cost) / cost",
    columns={
        "campaign": "the campaign, by=campaign",
        "channel": "the channel, by=channel",
        **_COST_COLUMNS,
        "won_n": "deals won; parts of deals where attribution=linear",
        "won_value": "their close value for each currency",
        "new_customers": "accounts that became customers, or parts of them",
        "cost_per_customer": "for each currency: cost, new customers, and their ratio; null without a cost",
        "roi": "for each currency of the cost: won value less cost, cost, and their ratio; null without a cost",
        "unpriced_n": "won deals whose close value has no rate to the currency asked for",
    },
    time="period",
    dimensions=(),
    answer=_roi,
    parameters=(ATTRIBUTION, _LAG, _BY),
    money=True,
)

CAC = Metric(
    id="cac",
    version=1,
    title="Cost of a new customer",
    definition="The cost of all campaigns over the new customers of the period. " + _COST_WORDS,
    formula="cost / new customers",
    columns={
        **_COST_COLUMNS,
        "new_customers": "accounts whose first standing win lies in the period",
        "cost_per_customer": "for each currency: cost, new customers, and their ratio; null without a cost",
    },
    time="period",
    dimensions=(),
    answer=_cac,
    parameters=(_LAG,),
    money=True,
)
