"""Age of the open pipeline: for how long open deals have been in their stage."""

import sqlalchemy as sa

from services.projections.days import MICROSECOND
from services.projections.pipeline.ledgers import DEAL_INTERVALS
from services.projections.query.facts import OF_LEADS, Facts, gathered
from services.projections.query.metric import Answer, Asked, Metric, Reading
from services.projections.query.parameters import PERCENTILE_METHOD, PERCENTILES, Parameter
from services.projections.query.spread import SPREAD, age_days, histogram_of, spread_of_days


def _days(text: str) -> tuple[int, ...]:
    found = text.split(",")
    if len(found) > 20 or not all(each.isdecimal() and len(each) <= 4 for each in found):
        raise ValueError("must be up to 20 whole numbers of days with commas, such as 30,60,90.")
    return tuple(map(int, found))


_OLDER_THAN = Parameter(
    "older_than", "Counts the deals that are more than so many days in their stage.", "30,60,90,180,365", _days
)


async def _answer(asked: Asked, reading: Reading) -> Answer:
    facts = Facts(DEAL_INTERVALS, asked, reading, at=sa.literal(asked.as_of), latest=DEAL_INTERVALS)
    seen_at = sa.literal(asked.as_of - MICROSECOND, sa.TIMESTAMP(timezone=True))
    age = age_days(facts.row.entered_at, seen_at)
    query = facts.grouped([*facts.keys(sa.literal(asked.as_of)), age.label("days")], n=sa.func.count()).where(
        facts.stands(), facts.label.outcome == "open", facts.row.entered_at.is_not(None)
    )
    rows = []
    for key, parts in gathered(asked, await reading.rows(query)):
        histogram = histogram_of((part.days, part.n) for part in parts)
        older = {
            str(days): sum(n for age, n in histogram.items() if age > days) for days in asked.options["older_than"]
        }
        rows.append({**key, **spread_of_days(asked, histogram), "older_than": older})
    return Answer(rows)


PIPELINE_AGE = Metric(
    id="pipeline_age",
    version=1,
    title="Age of the open pipeline",
    definition=(
        "Whole days that the deals that are open at as_of have been in the stage they are in, from the entry of the present visit "
        "to the last instant before as_of."
    ),
    formula="floor((as_of - entered_at) / 86,400 s); of an entry known to the day only, the calendar difference",
    columns={
        **SPREAD,
        "mean": "days",
        "older_than": "deals that are in their stage for more days than each of those asked for",
    },
    time="instant",
    dimensions=(*OF_LEADS, "stage", "phase"),
    answer=_answer,
    parameters=(_OLDER_THAN, PERCENTILES, PERCENTILE_METHOD),
)
