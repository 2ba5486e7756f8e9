"""Dwell: how long leads stay in a stage, and how long approvals keep them waiting."""

from typing import Any, Final

import sqlalchemy as sa

from services.projections.estimators.survival import kaplan_meier
from services.projections.pipeline.ledgers import APPROVALS, DEAL_INTERVALS, OUTCOMES, VISITS
from services.projections.pipeline.left_out import counts
from services.projections.pipeline.stage_conversion import in_order
from services.projections.pipeline.visits import SKIPPED
from services.projections.quadrant import with_labels
from services.projections.query.beside import at_ends, joined, known_rows, of_lead, of_same_lead
from services.projections.query.facts import OF_LEADS, Facts, gathered
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import PERCENTILE_METHOD, PERCENTILES, Parameter, choice
from services.projections.query.spread import SPREAD, age_days, histogram_of, spread_of_days

VISIT: Final = choice(
    "visit",
    "cumulative: all visits of a lead to the stage together; latest: the last one alone; each: every visit by itself.",
    "cumulative",
    "latest",
    "each",
)
OUTCOME: Final = choice("outcome", "Only leads that stand so at as_of.", "all", "won", "lost")
PARAMETERS: Final[tuple[Parameter, ...]] = (VISIT, OUTCOME, PERCENTILES, PERCENTILE_METHOD)


async def _answer(asked: Asked, reading: Reading) -> Answer:
    return Answer(await dwells(asked, reading))


async def dwells(asked: Asked, reading: Reading) -> list[Row]:
    """One row per period, dimensions and stage, stages in the order of their pipeline. Takes the options of `PARAMETERS`."""
    found = await histograms(asked, reading)
    return [{**key, "stage": stage, **_spread(asked, over, still)} for key, stage, over, still in found]


Stay = tuple[Row, str | None, dict[int, int], dict[int, int]]
"""What an answer says of the period and dimensions, the stage, and days -> n of stays that ended, and of those that go on."""


async def histograms(asked: Asked, reading: Reading) -> list[Stay]:
    """The days of all stays, in the order of `dwells`. Takes the options `visit` and `outcome`."""
    found = [*await reading.rows(_over(asked, reading)), *await reading.rows(_still(asked, reading))]
    stays = []
    for key, parts in gathered(asked, found):
        stages: dict[str | None, list[Any]] = {}
        for part in in_order(parts):
            stages.setdefault(part.stage, []).append(part)
        stays += [(key, stage, *_by_end(of_stage)) for stage, of_stage in stages.items()]
    return stays


def _by_end(parts: list[Any]) -> tuple[dict[int, int], dict[int, int]]:
    over = histogram_of((int(part.days), part.n) for part in parts if part.is_over)
    return over, histogram_of((max(int(part.days), 0), part.n) for part in parts if not part.is_over)


def _over(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """(period, <group_by>, stage, days, is_over, place, n) of stays that ended in the period."""
    facts, conditions = _visits(asked, reading)
    row = facts.row
    if asked.options["visit"] != "each":
        later = of_same_lead(facts, VISITS, "later")
        conditions.append(
            sa.not_(
                later.exists(
                    *_alike(facts.label, later), later.row.visit > row.visit, later.row.business_from < asked.as_of
                )
            )
        )
    days = row.days + _before(asked, facts)
    return _by_days(facts, facts.keys(row.business_to), days, over=True).where(
        facts.within(row.business_to), row.business_to < asked.as_of, *conditions
    )


def _still(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """The same of stays that go on at the end of a period, with the days until there."""
    facts, conditions = _visits(asked, reading)
    before = _before(asked, facts)
    span = at_ends(facts)
    days = age_days(facts.row.business_from, span.ends) + before
    keys = [span.number.label("period"), *facts.keys()[1:]]
    return _by_days(facts, keys, days, over=False).where(*conditions)


def _by_days(facts: Facts, keys: list[Any], days: Any, *, over: bool) -> sa.Select[Any]:
    is_over = sa.true() if over else sa.false()
    all_keys = [*keys, facts.label.stage.label("stage"), days.label("days")]
    return facts.grouped(all_keys, place=sa.func.min(facts.row.place), n=sa.func.count()).add_columns(
        is_over.label("is_over")
    )


def _visits(asked: Asked, reading: Reading) -> tuple[Facts, list[sa.ColumnElement[bool]]]:
    facts = Facts(VISITS, asked, reading, latest=DEAL_INTERVALS)
    conditions = [counts(facts), sa.func.coalesce(facts.label.direction, "") != SKIPPED]
    if asked.options["outcome"] != "all":
        close = joined(facts, OUTCOMES, "close", where=lambda each: each.stands(asked.as_of))
        conditions.append(close.label.kind == asked.options["outcome"])
    return facts, conditions


def _alike(label: Any, other: Any) -> list[sa.ColumnElement[bool]]:
    """Visits of the same lead to the same stage."""
    return [
        other.label.stage == label.stage,
        other.label.pipeline.is_not_distinct_from(label.pipeline),
        sa.func.coalesce(other.label.direction, "") != SKIPPED,
    ]


def _before(asked: Asked, facts: Facts) -> Any:
    """Days of the earlier visits of the lead to the stage, where they count together."""
    if asked.options["visit"] != "cumulative":
        return sa.literal_column("0")
    # summed for all leads in one pass: few came back to a stage, and to look it up row by row costs more than all the rest
    of, label = VISITS.rows.alias("of"), VISITS.profiles.alias("of_profile")
    earlier = of_lead(asked, VISITS, "earlier", of.c.partition, of.c.subject)
    key = (of.c.partition, of.c.subject, of.c.number)
    known = known_rows(asked, of.c)
    before = (
        sa.select(*key, sa.func.sum(earlier.row.days).label("days"))
        .select_from(with_labels(of, label).join(earlier.source, earlier.on))
        .where(known, *_alike(label.c, earlier), earlier.row.visit < of.c.visit)
        .group_by(*key)
        .subquery("before")
    )
    same = sa.and_(*(before.c[each.name] == facts.row[each.name] for each in key))
    facts.join(before, same, outer=True)
    return sa.func.coalesce(before.c.days, 0)


def _spread(asked: Asked, over: dict[int, int], still: dict[int, int]) -> Row:
    curve = kaplan_meier([
        *((0, days, True, n) for days, n in over.items()), *((0, days, False, n) for days, n in still.items())
    ])  # fmt: skip
    return {
        **spread_of_days(asked, over),
        "open_n": sum(still.values()),
        "median_with_open": curve.median,
    }


async def _approvals(asked: Asked, reading: Reading) -> Answer:
    def facts() -> Facts:
        return Facts(APPROVALS, asked, reading, latest=DEAL_INTERVALS)

    over, still = facts(), facts()
    span = at_ends(still)
    done = _waits(over, over.keys(over.row.business_to), over.row.days, over=True).where(
        over.within(over.row.business_to), over.row.business_to < asked.as_of, counts(over)
    )
    waiting = _waits(
        still,
        [span.number.label("period"), *still.keys()[1:]],
        age_days(still.row.business_from, span.ends),
        over=False,
    ).where(counts(still))
    found = [*await reading.rows(done), *await reading.rows(waiting)]
    return Answer([{**key, **_spread(asked, *_by_end(parts))} for key, parts in gathered(asked, found)])


def _waits(facts: Facts, keys: list[Any], days: Any, *, over: bool) -> sa.Select[Any]:
    is_over = sa.true() if over else sa.false()
    return facts.grouped([*keys, days.label("days")], n=sa.func.count()).add_columns(is_over.label("is_over"))


_COLUMNS: Final = {
    **SPREAD,
    "mean": "days",
    "open_n": "stays that go on at the end of the period",
    "median_with_open": "Kaplan-Meier median in days, which counts those that go on as lasting at least so long; null where the curve does not come down to a half",
}

DWELL = Metric(
    id="dwell",
    version=1,
    title="Dwell",
    definition=(
        "Whole days that leads stayed in a stage while open, of the stays that ended in the period. By default all visits of a lead "
        "to the stage count together, dated at the end of the last one; each visit counts with its whole days. Closed time is no "
        "stay. A stage that was skipped has none. Dimensions are those at the entry of the last visit. Voided and absorbed leads do "
        "not count."
    ),
    formula="sum of floor((left - entered) / 86,400 s); between days known to the day only, the calendar difference",
    columns={"stage": "stage of the pipeline, in its order", **_COLUMNS},
    time="period",
    dimensions=(*OF_LEADS, "stage", "phase"),
    answer=_answer,
    parameters=PARAMETERS,
)
APPROVAL_WAITING = Metric(
    id="approval_waiting",
    version=1,
    title="Waiting for approvals",
    definition=(
        "Whole days from the request of an approval to its decision, of the decisions of the period. One that was asked for again "
        "before it was decided counts from the first request. Dimensions are those at the request. Voided and absorbed leads do "
        "not count."
    ),
    formula="floor((decided - requested) / 86,400 s)",
    columns=_COLUMNS,
    time="period",
    dimensions=(*OF_LEADS, "stage", "kind", "answer"),
    answer=_approvals,
    parameters=(PERCENTILES, PERCENTILE_METHOD),
)
