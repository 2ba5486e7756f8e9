"""Active customers: how many, and what they bring, at an instant."""

from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.churn.amounts import added, listed, priced
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row


async def _answer(asked: Asked, reading: Reading) -> Answer:
    of = accounts.pieces(asked, reading)
    c = of.c
    keys = accounts.keys(asked, of)
    now = [c.ends == accounts.FOREVER, *accounts.passing(asked, of)]
    n = sa.func.count(sa.distinct(c.unit)).filter(c.active)
    counted = await reading.rows(sa.select(*keys, n.label("n")).where(*now).group_by(*keys))
    bring = sa.and_(*now, c.mrr != 0)
    money = await reading.rows(
        sa.select(*keys, c.currency, sa.func.sum(c.mrr).label("mrr"), sa.func.count(sa.distinct(c.unit)).label("units"))
        .where(bring)
        .group_by(*keys, c.currency)
    )
    width = len(asked.group_by)
    parts: dict[tuple[Any, ...], list[Any]] = {}
    for row in money:
        parts.setdefault(tuple(row[:width]), []).append(row)
    rows = sorted(counted, key=lambda row: [(each is None, each or "") for each in row[:width]])
    return Answer([
        _row(asked, dict(zip(asked.group_by, row[:width], strict=True)), row.n, parts.get(tuple(row[:width]), []))
        for row in rows
        if row.n or parts.get(tuple(row[:width]))
    ])  # fmt: skip


def _row(asked: Asked, key: Row, n: int, parts: list[Any]) -> Row:
    mrr: dict[str, Decimal] = priced(asked, added((part.currency, part.mrr) for part in parts), asked.as_of)
    return {
        **key,
        "n": n,
        "mrr": listed(mrr),
        "unpriced_n": sum(
            part.units
            for part in parts
            if asked.rates is not None and asked.rates.before(part.currency or "", asked.as_of) is None
        ),
    }


ACTIVE_CUSTOMERS = Metric(
    id="active_customers",
    version=1,
    title="Active customers",
    definition=(
        "Accounts that are active at as_of, as their pipeline says (active_by): by a contract that runs, by a recurring one, or "
        "by a purchase within so many days. MRR is the sum of what recurs by the month of all their running contracts, at the "
        "latest rates before as_of. " + accounts.ABOUT_ACCOUNTS
    ),
    formula="count and sum over what is active at as_of",
    columns={
        "n": "active accounts, or contracts",
        "mrr": "monthly recurring revenue for each currency",
        "unpriced_n": "accounts with MRR that has no rate to the currency asked for",
    },
    time="instant",
    dimensions=accounts.OF_ACCOUNTS,
    answer=_answer,
    parameters=(accounts.UNIT, accounts.PAID, accounts.ACTIVE_BY, accounts.RECOGNISE),
    models=("churn",),
    money=True,
)
