"""Repurchase: which share of the wins comes from who had bought before, and after how long."""

from collections import Counter
from typing import Any

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.churn.homes import homes
from services.projections.churn.ledgers import CUSTOMERS
from services.projections.churn.told import every_period
from services.projections.days import micros
from services.projections.durations import duration_days
from services.projections.estimators.histogram import percentiles
from services.projections.query.facts import OF_LEADS, Facts
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import PERCENTILE_METHOD, PERCENTILES


async def _answer(asked: Asked, reading: Reading) -> Answer:
    facts = Facts(CUSTOMERS, asked, reading, at=CUSTOMERS.rows.c.won_at, latest=CUSTOMERS)
    row, home = facts.row, homes(asked)
    facts.join(
        home,
        sa.and_(home.c.partition == row.partition, home.c.subject == row.subject),
        told={"account": home.c.account},
    )
    names = accounts.wanted(asked)
    place = sa.func.row_number().over(
        partition_by=(row.partition, row.subject), order_by=(row.business_from, row.number)
    )
    rows = facts.select(
        home.c.home, row.subject, row.won_at, facts.period(row.won_at).label("period"), facts.within(row.won_at).label("asked_for"),
        *(facts.dimension(name).label(accounts.by(name)) for name in names), place.label("place"), unfiltered=True,
    ).where(
        row.business_from < asked.as_of, sa.or_(row.counts_until.is_(None), row.counts_until >= asked.as_of), row.won_at < asked.as_of
    ).cte("rows_of_wins")  # fmt: skip
    r = rows.c
    before = sa.func.lag(r.won_at).over(partition_by=r.home, order_by=(r.won_at, r.subject))
    wins = sa.select(*r, before.label("before")).where(r.place == 1).cte("wins")
    w = wins.c
    columns = [w.period, *(w[accounts.by(name)] for name in asked.group_by), w.before, w.won_at]
    found = await reading.rows(sa.select(*columns).where(w.asked_for, *accounts.passing(asked, wins)))
    return Answer([{**key, **_row(asked, parts)} for key, parts in every_period(asked, found)])


def _row(asked: Asked, parts: list[Any]) -> Row:
    gaps = Counter(duration_days(micros(part.before), micros(part.won_at)) for part in parts if part.before is not None)
    shares = asked.options["percentiles"]
    found = percentiles(gaps, [float(share) for share in shares], asked.options["percentile_method"])
    return {
        **ratio(gaps.total(), len(parts)),
        **{f"p{float(share):g}_days": value for share, value in zip(shares, found, strict=True)},
    }


REPURCHASE = Metric(
    id="repurchase",
    version=1,
    title="Repurchase",
    definition=(
        "Of the wins in the period that stand, the share whose account had won before, and the days since the win before it. "
        "A lead without an account is an account of its own, to which the cycles that grew out of it belong. "
        "Dimensions are those of the win."
    ),
    formula="wins of accounts that had won before / wins",
    columns={
        "numerator": "wins of accounts that had won before",
        "denominator": "wins in the period",
        "value": "share; null where nothing was won",
        "p<n>_days": "days since the win before; null where there is none",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
    parameters=(PERCENTILES, PERCENTILE_METHOD),
    models=("churn",),
)
