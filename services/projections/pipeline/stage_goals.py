"""Stage goals: what each stage of a pipeline should reach, and what it did."""

from fractions import Fraction
from typing import Any, Final

import sqlalchemy as sa

from schemas.pipelines import Stage
from services.projections.pipeline.dwell import dwells
from services.projections.pipeline.ledgers import ACTIVITIES, DEAL_INTERVALS, VISITS
from services.projections.pipeline.left_out import counts
from services.projections.pipeline.stage_conversion import HORIZON, SKIPS, conversions
from services.projections.pipeline.visits import SKIPPED
from services.projections.query.beside import of_same_lead
from services.projections.query.facts import OF_LEADS, Facts, counted
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.periods import Periods

_BY: Final = ("pipeline", "pipeline_version")
_MEDIAN: Final = {
    "visit": "cumulative",
    "outcome": "all",
    "percentiles": (Fraction(50),),
    "percentile_method": "linear",
}


async def _answer(asked: Asked, reading: Reading) -> Answer:
    whole = asked._replace(group_by=_BY, periods=Periods((asked.periods.start, asked.periods.end), ("",)))
    dwelt = {_place(row): row for row in await dwells(whole._replace(options=_MEDIAN), reading)}
    converted = {
        _place(row): row
        for row in await conversions(whole._replace(options={**asked.options, "mode": "cohort"}), reading)
    }
    rows: list[Row] = []
    for pipeline in reading.settings.pipelines.all():
        for stage in pipeline.stages:
            place = (pipeline.name, str(pipeline.version), stage.name)
            if place not in dwelt and place not in converted:
                continue
            held = await _held(whole, reading, place, stage) if stage.required_activities else None
            about = dict(zip((*_BY, "stage"), place, strict=True))
            rows.append(
                {**about, **_against(stage, dwelt.get(place), converted.get(place)), "required_activities": held}
            )
    return Answer(rows)


def _place(row: Row) -> tuple[Any, ...]:
    return (row["pipeline"], row["pipeline_version"], row["stage"])


def _against(stage: Stage, dwelt: Row | None, converted: Row | None) -> Row:
    median = None if dwelt is None else dwelt["percentiles"]["p50"]
    share = None if converted is None else converted["value"]
    days, conversion = stage.goals.median_days, stage.goals.conversion
    return {
        "median_days": {
            "goal": days,
            "attained": median,
            "n": 0 if dwelt is None else dwelt["n"],
            "met": None if days is None or median is None else median <= days,
        },
        "conversion": {
            "goal": conversion,
            "attained": share,
            "n": 0 if converted is None else converted["denominator"],
            "met": None if conversion is None or share is None else share >= conversion,
        },
    }


async def _held(asked: Asked, reading: Reading, place: tuple[str, str, str], stage: Stage) -> Row:
    """Of the visits to the stage that ended in the period, how many held each required activity, and all of them."""
    facts = Facts(VISITS, asked, reading, latest=DEAL_INTERVALS)
    row, label = facts.row, facts.label
    activity = of_same_lead(facts, ACTIVITIES, "activity")
    held = [
        activity.exists(
            activity.label.kind == kind,
            activity.row.business_from >= row.business_from,
            activity.row.business_from < row.business_to,
        )
        for kind in stage.required_activities
    ]
    columns = [counted(each).label(f"held_{number}") for number, each in enumerate(held)]
    query = facts.select(sa.func.count().label("n"), counted(sa.and_(*held)).label("all_of_them"), *columns).where(
        facts.within(row.business_to),
        row.business_to < asked.as_of,
        sa.tuple_(label.pipeline, label.pipeline_version, label.stage) == sa.tuple_(*map(sa.literal, place)),
        sa.func.coalesce(label.direction, "") != SKIPPED,
        counts(facts),
    )
    [found] = await reading.rows(query)
    return {
        "all": ratio(found.all_of_them, found.n),
        **{kind: ratio(found[2 + number], found.n) for number, kind in enumerate(stage.required_activities)},
    }


STAGE_GOALS = Metric(
    id="stage_goals",
    version=1,
    title="Stage goals",
    definition=(
        "For each stage of each version of a pipeline, the goals that the pipeline sets and what was attained in the period: the "
        "median dwell (as `dwell` has it, all visits of a lead together), the conversion (as `stage_conversion` has it, "
        "mode=cohort), and of the visits that ended in the period the share that held each required activity. Stages that no lead came to or left are not listed. "
        "Voided and absorbed leads do not count."
    ),
    formula="attained against goal; met: median <= goal, conversion >= goal",
    columns={
        "pipeline": "pipeline",
        "pipeline_version": "version of it",
        "stage": "stage, in the order of the pipeline",
        "median_days": "goal and attained in days, n leads, met; null where there is no goal, or nothing attained",
        "conversion": "goal and attained as shares, n leads, met",
        "required_activities": "for each kind, and `all` of them: numerator and denominator in visits, value; null where none is required",
    },
    time="period",
    dimensions=tuple(name for name in OF_LEADS if name not in _BY),
    answer=_answer,
    parameters=(HORIZON, SKIPS),
)
