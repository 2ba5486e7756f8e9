"""Pipeline flow: how many leads stood in a stage, came, went, and stand there now."""

from typing import Any, Final

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, VISITS
from services.projections.pipeline.stage_conversion import in_order
from services.projections.pipeline.visits import SKIPPED
from services.projections.query.beside import against, periods_of
from services.projections.query.facts import OF_LEADS, Facts, counted, gathered
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row

_COUNTS: Final = (
    "start", "entered", "exited", "end", "forward", "backward", "moved", "won", "lost", "recycled", "void", "absorbed",
)  # fmt: skip


async def _answer(asked: Asked, reading: Reading) -> Answer:
    rows: list[Row] = []
    for key, parts in gathered(asked, await reading.rows(_query(asked, reading))):
        rows += ({**key, **_row(part)} for part in in_order(parts))
    return Answer(rows)


def _query(asked: Asked, reading: Reading) -> sa.Select[Any]:
    facts = Facts(VISITS, asked, reading, latest=DEAL_INTERVALS)
    row, label = facts.row, facts.label
    span = against(
        facts,
        periods_of(facts),
        lambda each: sa.and_(
            row.business_from < each.ends, sa.or_(row.business_to.is_(None), row.business_to >= each.begins)
        ),
    )
    left = sa.and_(row.business_to >= span.begins, row.business_to < span.ends)
    onward = sa.and_(left, label.direction.in_(("forward", "skip")))
    back = sa.and_(left, label.direction.in_(("backward", "again")))
    ways = {"forward": onward, "backward": back, "moved": sa.and_(left, label.direction == "moved")}
    for way in ("won", "lost"):
        ways[way] = sa.and_(left, label.direction == "closed", label.left_to == way)
    for way in ("recycled", "void", "absorbed"):
        ways[way] = sa.and_(left, label.direction == "away", label.left_to == way)
    return facts.grouped(
        [span.number.label("period"), *facts.keys()[1:], label.stage.label("stage")],
        place=sa.func.min(row.place),
        start=counted(facts.stands(span.begins)),
        entered=counted(row.business_from >= span.begins),
        exited=counted(left),
        end=counted(facts.stands(span.ends)),
        **{way: counted(condition) for way, condition in ways.items()},
    ).where(sa.func.coalesce(label.direction, "") != SKIPPED)


def _row(part: Any) -> Row:
    return {"stage": part.stage, **{name: getattr(part, name) for name in _COUNTS}}


PIPELINE_FLOW = Metric(
    id="pipeline_flow",
    version=1,
    title="Pipeline flow",
    definition=(
        "Open leads in each stage when the period begins, visits that began and ended in it, and open leads there when it ends, or "
        "at as_of. A lead may come and go more than once. Dimensions are those at the entry of the visit. Voided and absorbed leads "
        "stand there until that instant."
    ),
    formula="start + entered - exited = end",
    columns={
        "stage": "stage of the pipeline, in its order",
        "start": "leads there when the period begins",
        "entered": "visits that began in the period",
        "exited": "visits that ended in it; the columns after `end` say how",
        "end": "leads there when it ends",
        "forward": "to a later stage, skipping or not",
        "backward": "to an earlier stage, or the same anew",
        "moved": "to another pipeline",
        "won": "won",
        "lost": "lost",
        "recycled": "recycled",
        "void": "voided",
        "absorbed": "absorbed by another lead",
    },
    time="period",
    dimensions=(*OF_LEADS, "stage", "phase"),
    answer=_answer,
)
