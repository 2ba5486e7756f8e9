"""Expansion rate: which share of the accounts brings more at the end than at the start."""

from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.query.facts import of_period
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio


async def _answer(asked: Asked, reading: Reading) -> Answer:
    rows = await reading.rows(_counted(asked, accounts.pieces(asked, reading)))
    return Answer([
        {**of_period(asked, period), **dict(zip(asked.group_by, group, strict=True)), **_row(row)}
        for period, group, row in accounts.every_period(asked, rows)
    ])  # fmt: skip


def _counted(asked: Asked, of: sa.CTE) -> sa.Select[Any]:
    """Rows (k, <group_by>, n, more, less): accounts with MRR at the start, by whether some currency brings more, and none less."""
    c = of.c
    window = accounts.windows(list(pairwise(accounts.edges(asked))))
    at_start = sa.and_(c.begins < window.c.since, c.ends >= window.c.since)
    at_end = sa.and_(c.begins < window.c.until, c.ends >= window.c.until)
    keys = accounts.keys(asked, of)
    start, end = sa.func.sum(sa.case((at_start, c.mrr), else_=0)), sa.func.sum(sa.case((at_end, c.mrr), else_=0))
    both = (
        sa.select(window.c.k, c.unit, c.currency, start.label("start"), end.label("end"))
        .join_from(of, window, sa.or_(at_start, at_end))
        .where(c.mrr > 0)
        .group_by(window.c.k, c.unit, c.currency)
        .cte("both")
    )
    b = both.c
    judged = (
        sa.select(
            b.k, b.unit, sa.func.bool_or(b.end > b.start).label("more"), sa.func.bool_or(b.end < b.start).label("less")
        )
        .group_by(b.k, b.unit)
        .having(sa.func.sum(b.start) > 0)
        .cte("judged")
    )  # fmt: skip
    there = (
        sa.select(window.c.k, c.unit, *keys)
        .distinct()
        .join_from(of, window, at_start)
        .where(c.mrr > 0, *accounts.passing(asked, of))
        .cte("there")
    )
    j, t = judged.c, there.c
    groups = [t.k, *(t[accounts.by(name)] for name in asked.group_by)]
    return (
        sa.select(
            *groups,
            sa.func.count().label("n"),
            sa.func.count().filter(j.more, sa.not_(j.less)).label("more"),
            sa.func.count().filter(j.less, sa.not_(j.more)).label("less"),
        )
        .join_from(there, judged, sa.and_(j.k == t.k, j.unit == t.unit))
        .group_by(*groups)
    )


def _row(row: Any) -> Row:
    n, more, less = (0, 0, 0) if row is None else (row.n, row.more, row.less)
    return {**ratio(more, n), "contracted": ratio(less, n)}


EXPANSION_RATE = Metric(
    id="expansion_rate",
    version=1,
    title="Expansion rate",
    definition=(
        "Of the accounts that bring MRR at the start of the period, the share that brings more at its end: more in one of its "
        "currencies and less in none, so that rates of exchange play no part. contracted is the share that brings less, those that left "
        "among them. " + accounts.ABOUT_ACCOUNTS
    ),
    formula="accounts with more MRR at the end / accounts with MRR at the start",
    columns={
        "numerator": "accounts that bring more at the end",
        "denominator": "accounts with MRR at the start",
        "value": "share; null where there are none",
        "contracted": "the same of those that bring less",
    },
    time="period",
    dimensions=accounts.OF_ACCOUNTS,
    answer=_answer,
    parameters=(accounts.UNIT, accounts.RECOGNISE),
    models=("churn",),
)
