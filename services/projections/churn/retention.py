"""Gross and net revenue retention: what those who were there at the start bring at the end."""

from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.query.facts import money_ratio, of_period
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row

_NOTHING: Final = Decimal(0)


async def _answer(asked: Asked, reading: Reading) -> Answer:
    rows = await reading.rows(_summed(asked, accounts.pieces(asked, reading)))
    parts: dict[tuple[Any, ...], list[Any]] = {}
    width = 1 + len(asked.group_by)
    for row in rows:
        parts.setdefault(tuple(row[:width]), []).append(row)
    keyed = [(*key, None) for key in parts]
    return Answer([
        {
            **of_period(asked, period), **dict(zip(asked.group_by, group, strict=True)),
            **_row(parts.get((period, *group), [])),
        }
        for period, group, _ in accounts.every_period(asked, keyed)
    ])  # fmt: skip


def _summed(asked: Asked, of: sa.CTE) -> sa.Select[Any]:
    """Rows (k, <group_by>, currency, units, start, kept, end, unpriced_n): kept is the smaller of start and end, by unit."""
    c = of.c
    edges = accounts.edges(asked)
    window = accounts.windows(list(pairwise(edges)))
    at_start = sa.and_(c.begins < window.c.since, c.ends >= window.c.since)
    at_end = sa.and_(c.begins < window.c.until, c.ends >= window.c.until)
    keys = accounts.keys(asked, of)
    factor: Any = sa.literal(1)
    currency: Any = c.currency
    first: Any = of.join(window, at_start)
    last: Any = of.join(window, at_end)
    if asked.rates is not None:
        # both ends at the rate of the start: the latest before it
        fx = asked.rates.table()
        on = sa.and_(
            fx.c.currency == c.currency, fx.c.bucket == asked.rates.bucket(window.c.since - sa.literal_column("interval '1 microsecond'"))
        )  # fmt: skip
        first, last = first.outerjoin(fx, on), last.outerjoin(fx, on)
        factor, currency = fx.c.factor, sa.case((fx.c.factor.is_not(None), asked.rates.currency))
    priced = sa.func.sum(c.mrr * factor)
    started = (
        sa.select(window.c.k, *keys, c.unit, currency.label("currency"), priced.label("mrr"))
        .select_from(first)
        .where(c.mrr > 0, *accounts.passing(asked, of))
        .group_by(window.c.k, *keys, c.unit, currency)
        .cte("started")
    )
    ended = (
        sa.select(window.c.k, c.unit, currency.label("currency"), priced.label("mrr"))
        .select_from(last)
        .where(c.mrr > 0)
        .group_by(window.c.k, c.unit, currency)
        .cte("ended")
    )
    s, e = started.c, ended.c
    left = sa.func.coalesce(e.mrr, 0)
    groups = [s.k, *(s[accounts.by(name)] for name in asked.group_by), s.currency]
    return (
        sa.select(
            *groups, sa.func.count().label("units"), sa.func.sum(s.mrr).label("start"),
            sa.func.sum(sa.func.least(s.mrr, left)).label("kept"), sa.func.sum(left).label("end"),
        )
        .select_from(started.outerjoin(ended, sa.and_(s.k == e.k, s.unit == e.unit, s.currency == e.currency)))
        .group_by(*groups)
    )  # fmt: skip


def _row(parts: list[Any]) -> Row:
    priced = sorted((part for part in parts if part.currency is not None), key=lambda part: part.currency)
    return {
        "grr": [money_ratio(part.kept, part.start, part.currency) for part in priced],
        "nrr": [money_ratio(part.end, part.start, part.currency) for part in priced],
        "accounts": {part.currency: part.units for part in priced},
        "unpriced_n": sum(part.units for part in parts if part.currency is None),
    }


REVENUE_RETENTION = Metric(
    id="revenue_retention",
    version=1,
    title="Gross and net revenue retention",
    definition=(
        "Of the MRR of the accounts that brought some at the start of the period: what is still there at its end without counting "
        "growth (gross: each account with the smaller of both, at most its start), and with growth (net: each account with "
        "what it brings at the end). Accounts that came later do not count; one that left and came back counts with what it brings at the "
        "end. Both ends are at the rate of the start. Without a currency asked for, each currency of an account is compared by itself. "
        + accounts.ABOUT_ACCOUNTS
    ),
    formula="GRR = sum of min(start, end) / sum of start; NRR = sum of end / sum of start",
    columns={
        "grr": "gross retention for each currency: amounts and their share",
        "nrr": "net retention for each currency",
        "accounts": "currency -> accounts with MRR at the start",
        "unpriced_n": "accounts whose MRR has no rate to the currency asked for",
    },
    time="period",
    dimensions=accounts.OF_ACCOUNTS,
    answer=_answer,
    parameters=(accounts.UNIT, accounts.RECOGNISE),
    models=("churn",),
    money=True,
)
