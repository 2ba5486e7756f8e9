"""What campaigns cost in a stretch of days: each cost is spread evenly over the days of its own period."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

import sqlalchemy as sa

from services.projections.days import start_of_date
from services.projections.query.facts import Facts
from services.projections.query.metric import Asked, Reading
from services.projections.reference.ledgers import CAMPAIGNS, COSTS


class Cost(NamedTuple):
    """`by_currency`: what it came to, in the currency asked for where there is one; `unpriced`: some of it has no rate."""

    by_currency: dict[str, Fraction]
    unpriced: bool


async def costs(
    asked: Asked, reading: Reading, stretches: Sequence[tuple[date, date]], by: str
) -> dict[tuple[int, str | None], Cost]:
    """(number of the stretch, campaign or channel) -> its cost; stretches are half-open and do not overlap.

    Counted is what was recorded by known_at and dated before as_of. `by` is campaign or channel; the channel is the campaign's own.
    """
    found: dict[tuple[int, str | None], tuple[defaultdict[str, Fraction], list[bool]]] = {}
    factors: dict[tuple[str, date], Any] = {}
    for campaign, channel, currency, amount, first, end in await reading.rows(_costs(asked, reading)):
        whole = (end - first).days
        for index, (begins, ends) in enumerate(stretches):
            overlap = range((min(end, ends) - max(first, begins)).days)
            if not overlap:
                continue
            key = (index, campaign.removeprefix("campaign/") if by == "campaign" else channel)
            sums, unpriced = found.setdefault(key, (defaultdict(Fraction), []))
            a_day = Fraction(amount) / whole
            if asked.rates is None:
                sums[currency] += a_day * len(overlap)
                continue
            for number in overlap:
                day = max(first, begins) + timedelta(days=number)
                if (currency, day) not in factors:
                    factors[currency, day] = asked.rates.at(currency, start_of_date(day, asked.zone))
                factor = factors[currency, day]
                if factor is None:
                    unpriced.append(True)
                else:
                    sums[asked.rates.currency] += a_day * Fraction(factor)
    return {key: Cost(dict(sums), bool(unpriced)) for key, (sums, unpriced) in found.items()}


def _costs(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """Rows (subject, channel, currency, amount, first_day, end_day)."""
    facts, opened = Facts(COSTS, asked, reading), Facts(CAMPAIGNS, asked, reading)
    channel = (
        opened.select(opened.row.subject, opened.label.channel, unfiltered=True)
        .where(opened.stands())
        .subquery("opened")
    )
    row = facts.row
    cost = (
        facts.select(row.subject, facts.label.currency, row.amount, row.first_day, row.end_day, unfiltered=True)
        .where(facts.stands())
        .subquery("cost")
    )
    return sa.select(
        cost.c.subject, channel.c.channel, cost.c.currency, cost.c.amount, cost.c.first_day, cost.c.end_day
    ).select_from(cost.outerjoin(channel, channel.c.subject == cost.c.subject))
