"""Queries of customers: how fast they are answered, and which still wait."""

from collections import Counter
from typing import Any

import sqlalchemy as sa

from services.projections.churn.ledgers import CASES
from services.projections.churn.told import every_period, facts_of, happened
from services.projections.estimators.histogram import mean, percentiles
from services.projections.query.facts import OF_LEADS
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import PERCENTILE_METHOD, PERCENTILES


async def _answer(asked: Asked, reading: Reading) -> Answer:
    facts = facts_of(CASES, asked, reading)
    row = facts.row
    resolved = row.business_to < asked.as_of
    minutes = sa.func.floor(sa.extract("epoch", row.business_to - row.business_from) / 60)
    took = sa.cast(sa.case((resolved, minutes)), sa.Integer)
    keys = facts.keys()
    query = facts.select(*keys, took.label("minutes"), sa.func.count().label("n")).where(
        facts.within(), *happened(facts)
    )
    places: list[Any] = [sa.literal_column(str(number)) for number in range(1, len(keys) + 2)]
    rows = await reading.rows(query.group_by(*places))
    return Answer([{**key, **_row(asked, parts)} for key, parts in every_period(asked, rows)])


def _row(asked: Asked, parts: list[Any]) -> Row:
    minutes = Counter({part.minutes: part.n for part in parts if part.minutes is not None})
    shares = asked.options["percentiles"]
    method = asked.options["percentile_method"]
    found = percentiles(minutes, [float(share) for share in shares], method)
    average = mean(minutes)
    return {
        "raised": sum(part.n for part in parts),
        "resolved": minutes.total(),
        "open": sum(part.n for part in parts if part.minutes is None),
        **{f"p{float(share):g}_hours": _hours(value) for share, value in zip(shares, found, strict=True)},
        "mean_hours": _hours(average),
    }


def _hours(minutes: float | None) -> float | None:
    return None if minutes is None else minutes / 60


QUERY_RESPONSE = Metric(
    id="query_response",
    version=1,
    title="Response to queries",
    definition=(
        "Queries that customers raised in the period: how many are resolved by as_of and how many are open, and how long it took "
        "from QueryRaised to QueryResolved, in whole minutes told as hours. A query without a priority is normal. One that is raised again "
        "after it was resolved counts again. Those on voided and absorbed leads do not count. Dimensions are those of the "
        "lead when it was raised."
    ),
    formula="percentiles of resolved_at - raised_at",
    columns={
        "raised": "queries raised in the period",
        "resolved": "of those, resolved by as_of",
        "open": "of those, open at as_of",
        "p<n>_hours": "hours until resolved, of the resolved ones; null where there are none",
        "mean_hours": "their mean",
    },
    time="period",
    dimensions=(*OF_LEADS, "priority", "category"),
    answer=_answer,
    parameters=(PERCENTILES, PERCENTILE_METHOD),
    models=("churn",),
)
