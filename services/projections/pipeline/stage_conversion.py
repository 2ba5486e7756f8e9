"""Stage conversion: of the leads that came to a stage, how many went on from there."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, OUTCOMES, VISITS
from services.projections.pipeline.left_out import counts
from services.projections.pipeline.visits import SKIPPED
from services.projections.query.beside import joined, of_same_lead
from services.projections.query.facts import OF_LEADS, Facts, counted, gathered
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import Parameter, choice, whole

MODE: Final = choice(
    "mode",
    "cohort: first entrants of the period that went on within the horizon; flow: forward exits over entries.",
    "cohort",
    "flow",
)
HORIZON: Final = whole("horizon_days", "Within how many days of the entry, for mode=cohort.", 90, 1, 3_650)
SKIPS: Final = choice(
    "skips", "Whether a stage that was skipped counts as entered and passed (implied), or not (direct).", "implied", "direct"
)  # fmt: skip
PARAMETERS: Final[tuple[Parameter, ...]] = (MODE, HORIZON, SKIPS)


async def _answer(asked: Asked, reading: Reading) -> Answer:
    return Answer(await conversions(asked, reading))


async def conversions(asked: Asked, reading: Reading) -> list[Row]:
    """One row per period, dimensions and stage, stages in the order of their pipeline. Takes the options of `PARAMETERS`."""
    if asked.options["mode"] == "flow":
        return await _flow(asked, reading)
    rows = await reading.rows(_cohort(asked, reading))
    return [{**key, **_converted(part)} for key, parts in gathered(asked, rows) for part in in_order(parts)]


def in_order(parts: Sequence[Any]) -> list[Any]:
    """Rows with `stage` and `place` in the order of the pipeline."""
    return sorted(parts, key=lambda part: (part.place, part.stage or ""))


def _cohort(asked: Asked, reading: Reading) -> sa.Select[Any]:
    facts = _visits(asked, reading)
    row, label = facts.row, facts.label
    earlier = of_same_lead(facts, VISITS, "earlier")
    close = joined(facts, OUTCOMES, "close", outer=True, where=lambda each: each.stands(asked.as_of))
    first = sa.not_(
        earlier.exists(
            earlier.label.stage == label.stage,
            earlier.label.pipeline.is_not_distinct_from(label.pipeline),
            earlier.row.visit < row.visit,
            _entered(asked, earlier.label),
        )
    )
    won_at = sa.case(
        (sa.and_(close.label.kind == "won", close.row.closed_at >= row.business_from), close.row.closed_at)
    )
    # hours, because a day of an interval is not always 24 of them
    until = row.business_from + sa.func.make_interval(0, 0, 0, 0, 24 * asked.options["horizon_days"])
    keys = [*facts.keys(), label.stage.label("stage")]
    entries = (
        facts.select(
            *keys,
            *(row[name] for name in ("partition", "subject", "number", "place", "visit")),
            label.pipeline.label("in_pipeline"),
            until.label("until"),
            sa.func.coalesce(won_at <= until, sa.false()).label("won"),
            sa.func.coalesce(close.label.kind == "lost", sa.false()).label("lost"),
        )
        .where(facts.within(), row.business_from < asked.as_of, counts(facts), first, _entered(asked, label))
        .subquery("entries")
    )
    entry = _judged(asked, reading, entries)
    pending = sa.not_(sa.or_(entry.went_on, entry.until < asked.as_of, entry.lost))
    names = [key.name for key in keys]
    return sa.select(
        *(entry[name] for name in names),
        sa.func.min(entry.place).label("place"),
        sa.func.count().label("n"),
        counted(entry.went_on).label("converted"),
        counted(pending).label("pending"),
        counted(entry.until < asked.as_of).label("matured"),
    ).group_by(*(entry[name] for name in names))


def _judged(asked: Asked, reading: Reading, entries: sa.Subquery) -> Any:
    """The entries, each once, and whether it went on in time.

    Each is joined to what came later, in one pass for all: as a subquery of its row that would be looked up row by row.
    """
    later = _visits(asked, reading)
    of = (
        later.select(
            *(later.row[name] for name in ("partition", "subject", "place", "visit", "business_from")),
            later.label.pipeline,
            unfiltered=True,
        )
        .where(later.row.business_from < asked.as_of, _entered(asked, later.label))
        .subquery("later")
    )
    entry, next_one = entries.c, of.c
    in_time = sa.and_(
        next_one.partition == entry.partition,
        next_one.subject == entry.subject,
        next_one.pipeline.is_not_distinct_from(entry.in_pipeline),
        next_one.place > entry.place,
        next_one.visit >= entry.visit,
        next_one.business_from <= entry.until,
    )
    went_on = sa.or_(entry.won, sa.func.count(next_one.subject) > 0)
    return (
        sa.select(*entry, went_on.label("went_on"))
        .select_from(entries.outerjoin(of, in_time))
        .group_by(*entry)
        .subquery("judged")
        .c
    )


def _converted(part: Any) -> Row:
    return {
        "stage": part.stage,
        "entered": part.n,
        **ratio(part.converted, part.n - part.pending),
        "pending_n": part.pending,
        "matured_share": part.matured / part.n,
    }


async def _flow(asked: Asked, reading: Reading) -> list[Row]:
    facts = _visits(asked, reading)
    row, label = facts.row, facts.label
    entries = facts.grouped(
        [*facts.keys(), label.stage.label("stage")], place=sa.func.min(row.place), entries=sa.func.count(), exits=sa.literal_column("0")
    ).where(facts.within(), row.business_from < asked.as_of, counts(facts), _entered(asked, label))  # fmt: skip
    onward = sa.or_(
        label.direction.in_(("forward", "skip", SKIPPED)),
        sa.and_(label.direction == "closed", label.left_to == "won"),
    )
    exits = facts.grouped(
        [*facts.keys(row.business_to), label.stage.label("stage")], place=sa.func.min(row.place), entries=sa.literal_column("0"), exits=sa.func.count()
    ).where(
        facts.within(row.business_to), row.business_to < asked.as_of, counts(facts), onward, _entered(asked, label)
    )  # fmt: skip
    found = [*await reading.rows(entries), *await reading.rows(exits)]
    rows = []
    for key, parts in gathered(asked, found):
        stages = {part.stage: part for part in reversed(in_order(parts))}
        for stage in sorted(stages, key=lambda name: (stages[name].place, name or "")):
            of_stage = [part for part in parts if part.stage == stage]
            entered = sum(part.entries for part in of_stage)
            rows.append({
                **key, "stage": stage, "entered": entered, **ratio(sum(part.exits for part in of_stage), entered),
                "pending_n": 0, "matured_share": None,
            })  # fmt: skip
    return rows


def _visits(asked: Asked, reading: Reading) -> Facts:
    return Facts(VISITS, asked, reading, latest=DEAL_INTERVALS)


def _entered(asked: Asked, label: Any) -> sa.ColumnElement[bool]:
    """Whether a visit counts as an entry."""
    implied = asked.options["skips"] == "implied"
    return sa.true() if implied else sa.func.coalesce(label.direction, "") != SKIPPED


STAGE_CONVERSION = Metric(
    id="stage_conversion",
    version=1,
    title="Stage conversion",
    definition=(
        "mode=cohort: of the leads that first entered the stage in the period, the share that entered a later stage of the same "
        "pipeline, or was won for good, within horizon_days of that entry. Those that did not, whose horizon is not over at as_of and "
        "which are not lost, are pending: left out of the denominator, and counted. mode=flow: visits of the stage that ended "
        "forward, or with a win, in the period, over visits that began in it; the two are not of the same leads. A stage that was "
        "skipped counts as entered and passed, unless skips=direct. Dimensions are those at the entry. Voided and absorbed leads "
        "do not count."
    ),
    formula="cohort: converted / (entered - pending); flow: forward exits / entries",
    columns={
        "stage": "stage of the pipeline, in its order",
        "entered": "leads that first entered in the period; of a flow: entries",
        "numerator": "leads that went on; of a flow: forward exits",
        "denominator": "leads entered and not pending; of a flow: entries",
        "value": "share; of a flow it may pass 1",
        "pending_n": "leads that may still go on in time",
        "matured_share": "share of the leads entered whose horizon is over; null for a flow",
    },
    time="period",
    dimensions=(*OF_LEADS, "stage", "phase"),
    answer=_answer,
    parameters=PARAMETERS,
)
