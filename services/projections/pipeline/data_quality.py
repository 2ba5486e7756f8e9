"""Data quality: what came late, was corrected or retracted, contradicts itself, is implied, has no price, or waits."""

from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from services.projections.days import instant_of, micros
from services.projections.pipeline.ledgers import DEAL_INTERVALS, QUALITY
from services.projections.query.facts import OF_LEADS, Facts
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import choice, whole
from services.projections.query.sums import factor_of

KINDS: Final = ("late", "corrected", "retracted", "anomalous", "implied")
_KIND: Final = choice("kind", "Which rows are listed.", "all", *KINDS)
_LATE: Final = whole("late_days", "From how many days on a fact counts as late.", 1, 1, 36_500)


async def _answer(asked: Asked, reading: Reading) -> Answer:
    doubts = sa.union_all(_late(asked, reading), _doubts(asked, reading)).subquery("doubts")
    query = sa.select(*doubts.c)
    if asked.options["kind"] != "all":
        query = query.where(doubts.c.kind == asked.options["kind"])
    place = (doubts.c.at, doubts.c.lead, doubts.c.kind, doubts.c.number)
    if asked.after is not None:
        at, *rest = asked.after
        query = query.where(sa.tuple_(*place) > sa.tuple_(sa.literal(instant_of(at)), *map(sa.literal, rest)))
    found = await reading.rows(query.order_by(*place).limit(asked.limit + 1))
    page = found[: asked.limit]
    last = page[-1] if len(found) > asked.limit else None
    by_kind = [doubts.c.kind, sa.func.count()]
    counts = dict.fromkeys(KINDS, 0)
    for kind, n in await reading.rows(sa.select(*by_kind).group_by(doubts.c.kind)):
        counts[kind] = n
    return Answer(
        [_row(row) for row in page],
        {"summary": counts | await _money(asked, reading) | _waiting(reading), "parked": _parked(reading)},
        next_after=None if last is None else [micros(last.at), last.lead, last.kind, last.number],
    )


def _late(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """The facts that count and whose instant was first told of `late_days` or more after it.

    A fact that is told again, otherwise, is as old as when the first was told of its instant: it was restated, it did not come late.
    """
    row = DEAL_INTERVALS.rows.c
    told = sa.select(*[row.partition, row.subject, row.business_from, sa.func.min(row.recorded_from).label("told_at")])
    told = told.where(row.business_from >= asked.periods.start, row.business_from < asked.periods.end)
    if asked.known_at is not None:
        told = told.where(row.recorded_from < asked.known_at)
    first = told.group_by(row.partition, row.subject, row.business_from).subquery("first_told")
    facts = Facts(DEAL_INTERVALS, asked, reading, latest=DEAL_INTERVALS)
    standing = facts.select(*_common(facts), facts.label.stage, facts.row.partition).where(
        facts.within(), facts.row.business_from < asked.as_of
    ).subquery("standing")  # fmt: skip
    on = sa.and_(
        first.c.partition == standing.c.partition,
        first.c.subject == standing.c.lead,
        first.c.business_from == standing.c.at,
    )
    late = first.c.told_at - standing.c.at >= timedelta(days=asked.options["late_days"])
    columns: list[Any] = [
        standing.c.at, first.c.told_at.label("recorded_at"), standing.c.lead, sa.literal("late").label("kind"),
        standing.c.number, sa.null().label("type"), standing.c.owner,
        sa.cast(sa.func.floor(sa.extract("epoch", first.c.told_at - standing.c.at) / 86_400), sa.Integer).label("days"),
        (sa.literal("the lead stands in ") + sa.func.coalesce(standing.c.stage, "no stage")).label("reason"),
    ]  # fmt: skip
    return sa.select(*columns).select_from(standing.join(first, on)).where(late)


def _doubts(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """The rows of the ledger, in the same columns."""
    facts = Facts(QUALITY, asked, reading, latest=DEAL_INTERVALS)
    at, lead, number, owner = _common(facts)
    columns: list[Any] = [
        at, facts.row.recorded_from.label("recorded_at"), lead, facts.label.doubt.label("kind"), number,
        facts.label.type.label("type"), owner, sa.cast(sa.null(), sa.Integer).label("days"), facts.row.reason.label("reason"),
    ]  # fmt: skip
    return facts.select(*columns).where(facts.within(), facts.stands())


def _common(facts: Facts) -> tuple[Any, Any, Any, Any]:
    row = facts.row
    return (
        row.business_from.label("at"),
        row.subject.label("lead"),
        row.number.label("number"),
        facts.label.owner.label("owner"),
    )


async def _money(asked: Asked, reading: Reading) -> Row:
    """Of the deals that stand at as_of: how many have no value, and no rate to the currency asked for."""
    facts = Facts(DEAL_INTERVALS, asked, reading, at=sa.literal(asked.as_of), latest=DEAL_INTERVALS)
    query = facts.grouped([facts.label.currency.label("currency")], n=sa.func.count()).where(facts.stands())
    rows = await reading.rows(query)
    return {
        "value_unknown": sum(row.n for row in rows if row.currency is None),
        "unpriced": sum(row.n for row in rows if row.currency is not None and factor_of(asked, row.currency) is None),
    }


def _waiting(reading: Reading) -> Row:
    return {"parked": len(reading.parked), "lag_ms": reading.fresh.lag_ms}


def _parked(reading: Reading) -> list[Row]:
    return [each._asdict() for each in reading.parked]


def _row(row: Any) -> Row:
    return {
        name: getattr(row, name) for name in ("kind", "lead", "type", "at", "recorded_at", "days", "owner", "reason")
    }


DATA_QUALITY = Metric(
    id="data_quality",
    version=1,
    title="Quality of the data",
    definition=(
        "What is doubtful in what was told of the leads, for facts of the period. late: the stage, outcome, value or another label of "
        "a lead changed at an instant of which nothing was recorded until late_days after it. corrected, retracted: an event that "
        "says so of another. anomalous: an event that contradicts what was known, as the lead stands now. implied: a type of event "
        "that must have happened and was not told of by as_of. The summary also counts the deals at as_of without a value, those "
        "without a rate to the currency asked for, the streams parked for an operator (100 of which are named), and the lag."
    ),
    formula="count of rows by kind",
    columns={
        "kind": "late, corrected, retracted, anomalous or implied",
        "lead": "the lead",
        "type": "type of the event; of implied the one that is missing; null for late",
        "at": "business time",
        "recorded_at": "when it was recorded; of a doubt that was restated, when it was last",
        "days": "of late: whole days from the business time to the recording",
        "owner": "who the lead belonged to",
        "reason": "why it is doubtful, or where the lead stands from then on",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
    parameters=(_KIND, _LATE),
    money=True,
    listed=True,
)
