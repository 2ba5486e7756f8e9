"""Cycle length: whole days from the capture of a lead to its close."""

from typing import Any

import sqlalchemy as sa

from services.projections.pipeline.closed_deals import ATTRIBUTE_BY, OF_CLOSED, ClosedDeals
from services.projections.query.facts import gathered
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import OUTCOME, PERCENTILE_METHOD, PERCENTILES
from services.projections.query.spread import SPREAD, histogram_of, spread_of_days


async def _answer(asked: Asked, reading: Reading) -> Answer:
    deals = ClosedDeals(asked, reading)
    facts = deals.facts
    keys = [*facts.keys(deals.at), facts.row.cycle_days.label("days")]
    query = facts.grouped(keys, n=sa.func.count()).where(
        *deals.of_outcome(asked.options["outcome"]), facts.row.cycle_days.is_not(None)
    )
    return Answer([_row(asked, key, parts) for key, parts in gathered(asked, await reading.rows(query))])


def _row(asked: Asked, key: Row, parts: list[Any]) -> Row:
    counted = histogram_of((part.days, part.n) for part in parts if part.days >= 0)
    return {**key, **spread_of_days(asked, counted), "negative_n": sum(part.n for part in parts if part.days < 0)}


CYCLE_LENGTH = Metric(
    id="cycle_length",
    version=1,
    title="Cycle length",
    definition=(
        "Whole days from the capture of a lead to its standing close, of the leads that closed in the period. A close before the "
        "capture is an anomaly: left out, and counted in negative_n. Voided and absorbed leads do not count."
    ),
    formula="floor((closed_at - captured_at) / 86,400 s); between days known to the day only, the calendar difference",
    columns={**SPREAD, "mean": "days", "negative_n": "leads that closed before they were captured"},
    time="period",
    dimensions=OF_CLOSED,
    answer=_answer,
    parameters=(OUTCOME, ATTRIBUTE_BY, PERCENTILES, PERCENTILE_METHOD),
)
