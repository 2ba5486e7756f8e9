"""Stalled deals: which open leads do not move, and why we say so."""

from typing import Any, Final

import sqlalchemy as sa

from services.projections.estimators.histogram import percentiles, total
from services.projections.pipeline.deal_list import page, turned_over
from services.projections.pipeline.dwell import histograms
from services.projections.pipeline.ledgers import ACTIVITIES, DEAL_INTERVALS
from services.projections.query.beside import of_same_lead
from services.projections.query.facts import OF_LEADS, Facts, money
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import whole
from services.projections.query.periods import EVER, Periods
from services.projections.query.spread import age_days

_IDLE: Final = whole("idle_days", "Without activity for more days than this, a lead stalls.", 14, 1, 3_650)
_MIN_N: Final = whole(
    "min_n", "How many won leads a stage must have for their dwell to be a measure.", 20, 1, 1_000_000
)
REASONS: Final = ("long_in_stage", "idle", "close_overdue")


async def _answer(asked: Asked, reading: Reading) -> Answer:
    limits = await _limits(asked, reading)
    facts = Facts(DEAL_INTERVALS, asked, reading, at=_instant(asked), latest=DEAL_INTERVALS)
    row, label = facts.row, facts.label
    activities = of_same_lead(facts, ACTIVITIES, "activities")
    last = (
        activities.select(sa.func.max(activities.row.business_from))
        .where(activities.row.business_from < asked.as_of)
        .scalar_subquery()
    )
    in_stage = age_days(row.entered_at, _instant(asked))
    idle = age_days(sa.func.coalesce(last, row.entered_at), _instant(asked))
    limit = _limit(limits, label)
    today = sa.cast(sa.func.timezone(asked.zone, _instant(asked) - sa.text("interval '1 microsecond'")), sa.Date)
    reasons = {
        "long_in_stage": sa.func.coalesce(in_stage > limit, sa.false()),
        "idle": idle > asked.options["idle_days"],
        "close_overdue": sa.func.coalesce(row.expected_close < today, sa.false()),
    }
    query = facts.select(
        row.subject,
        label.stage,
        label.phase,
        label.owner,
        row.account,
        label.pipeline,
        label.currency,
        row.amount,
        row.entered_at,
        row.expected_close,
        in_stage.label("days_in_stage"),
        limit.label("limit_days"),
        last.label("last_activity_at"),
        idle.label("idle_days"),
        *(condition.label(name) for name, condition in reasons.items()),
    ).where(facts.stands(), label.outcome == "open", sa.or_(*reasons.values()))
    rows, next_after = turned_over(asked, await reading.rows(page(asked, facts, query)))
    return Answer([_row(each) for each in rows], next_after=next_after)


def _instant(asked: Asked) -> sa.ColumnElement[Any]:
    return sa.literal(asked.as_of, sa.TIMESTAMP(timezone=True))


async def _limits(asked: Asked, reading: Reading) -> dict[tuple[str, str, str], float]:
    """(pipeline, version, stage) -> days after which a visit is long: the larger of rot_days, and p90 of won leads."""
    of_won = asked._replace(
        periods=Periods((EVER, asked.as_of), ("",)),
        group_by=("pipeline",),
        filters={},
        dims="event",
        options={"visit": "each", "outcome": "won"},
    )
    usual: dict[tuple[str, str], float] = {}
    for key, stage, over, _ in await histograms(of_won, reading):
        if total(over) >= asked.options["min_n"]:
            [p90] = percentiles(over, [90])
            usual[key["pipeline"], stage or ""] = float(p90 or 0)
    limits: dict[tuple[str, str, str], float] = {}
    for pipeline in reading.settings.pipelines.all():
        for stage in pipeline.stages:
            known = [days for days in (stage.rot_days, usual.get((pipeline.name, stage.name))) if days is not None]
            if known:
                limits[pipeline.name, str(pipeline.version), stage.name] = max(known)
    return limits


def _limit(limits: dict[tuple[str, str, str], float], label: Any) -> sa.ColumnElement[Any]:
    cases = [
        (sa.and_(label.pipeline == pipeline, label.pipeline_version == version, label.stage == stage), sa.literal(days, sa.Numeric))
        for (pipeline, version, stage), days in sorted(limits.items())
    ]  # fmt: skip
    return sa.case(*cases, else_=None) if cases else sa.cast(sa.null(), sa.Numeric)


def _row(found: Any) -> Row:
    return {
        "lead": found.subject,
        "stage": found.stage,
        "phase": found.phase,
        "owner": found.owner,
        "account": found.account,
        "pipeline": found.pipeline,
        "value": money(found.amount, found.currency),
        "reasons": [name for name in REASONS if getattr(found, name)],
        "entered_at": found.entered_at,
        "days_in_stage": found.days_in_stage,
        "limit_days": None if found.limit_days is None else float(found.limit_days),
        "last_activity_at": found.last_activity_at,
        "idle_days": found.idle_days,
        "expected_close": None if found.expected_close is None else found.expected_close.isoformat(),
    }


STALLED = Metric(
    id="stalled",
    version=1,
    title="Stalled deals",
    definition=(
        "Leads open at as_of with at least one of these reasons. long_in_stage: the visit lasts for more days than the larger of the "
        "stage's rot_days and the p90 of the visits of won leads to that stage of that pipeline (of at least min_n visits, at the "
        "same two clocks); with neither there is no limit. idle: more than idle_days without an activity, counted from the last one, "
        "or from the entry of the stage where there is none. close_overdue: the expected close lies before the day of as_of in `zone`. Dimensions "
        "are those at as_of."
    ),
    formula="days in stage > max(rot_days, p90 of won), or idle days > idle_days, or expected close < as_of",
    columns={
        "lead": "identifier of the lead",
        "stage": "where it stands",
        "phase": "phase of the lifecycle",
        "owner": "who is responsible",
        "account": "company",
        "pipeline": "pipeline of the stage",
        "value": "open value; null where it is unknown",
        "reasons": "why it stalls",
        "entered_at": "when it entered the stage",
        "days_in_stage": "whole days since",
        "limit_days": "days after which a visit is long; null where there is no limit",
        "last_activity_at": "last activity before as_of",
        "idle_days": "whole days without one",
        "expected_close": "day",
    },
    time="instant",
    dimensions=(*OF_LEADS, "stage", "phase"),
    answer=_answer,
    parameters=(_IDLE, _MIN_N),
    listed=True,
)
