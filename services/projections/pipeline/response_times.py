"""How quickly somebody takes care of a lead: speed to the first contact, and the hand-over to sales."""

from typing import Any, Final

import sqlalchemy as sa

from services.projections.pipeline.lead_funnel import milestones
from services.projections.pipeline.ledgers import DEAL_INTERVALS, MILESTONES
from services.projections.pipeline.left_out import counts
from services.projections.query.beside import joined
from services.projections.query.facts import OF_LEADS, Facts, counted, gathered
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import PERCENTILE_METHOD, Parameter, choice, whole
from services.projections.query.parameters import PERCENTILES as _USUAL
from services.projections.query.spread import SPREAD, histogram_of, micros_of, spread_of_days

_PERCENTILES: Final = Parameter("percentiles", _USUAL.description, "50,90", _USUAL.read)
_WITHIN: Final = whole(
    "within_minutes", "Within how many minutes of the capture a lead should be contacted.", 5, 1, 525_600
)
_SINCE: Final = choice("since", "From when on the hand-over is waited for.", "mql", "sql", "lead")


def _minutes(begins: Any, ends: Any) -> sa.ColumnElement[int]:
    micros = sa.cast(micros_of(ends) - micros_of(begins), sa.Numeric)
    return sa.cast(sa.func.floor(micros / 60_000_000), sa.BigInteger)


async def _speed(asked: Asked, reading: Reading) -> Answer:
    facts, conditions = milestones(asked, reading, "lead")
    first = joined(
        facts,
        MILESTONES,
        "first",
        outer=True,
        where=lambda each: sa.and_(each.label.name == "outbound", each.stands(asked.as_of)),
    )
    captured_at = facts.row.reached_at
    keys = [*facts.keys(captured_at), _minutes(captured_at, first.row.reached_at).label("minutes")]
    query = facts.grouped(keys, n=sa.func.count()).where(*conditions)
    return Answer([_contacted(asked, key, parts) for key, parts in gathered(asked, await reading.rows(query))])


def _contacted(asked: Asked, key: Row, parts: list[Any]) -> Row:
    known = [part for part in parts if part.minutes is not None]
    counted_ones = histogram_of((part.minutes, part.n) for part in known if part.minutes >= 0)
    negative = sum(part.n for part in known if part.minutes < 0)
    leads = sum(part.n for part in parts)
    in_time = sum(n for minutes, n in counted_ones.items() if minutes <= asked.options["within_minutes"])
    return {
        **key,
        "leads": leads,
        **spread_of_days(asked, counted_ones),
        "contacted": ratio(leads - sum(part.n for part in parts if part.minutes is None), leads),
        "in_time": ratio(in_time, leads - negative),
        "negative_n": negative,
    }


async def _handover(asked: Asked, reading: Reading) -> Answer:
    facts = Facts(MILESTONES, asked, reading, at=MILESTONES.rows.c.reached_at, latest=DEAL_INTERVALS)
    answered_at, name = facts.row.reached_at, facts.label.name
    since = joined(
        facts,
        MILESTONES,
        "since",
        outer=True,
        where=lambda each: sa.and_(each.label.name == asked.options["since"], each.stands(asked.as_of)),
    )
    keys = [*facts.keys(answered_at), _minutes(since.row.reached_at, answered_at).label("minutes")]
    query = facts.grouped(keys, accepted=counted(name == "accepted"), n=sa.func.count()).where(
        name.in_(("accepted", "rejected")), facts.stands(), facts.within(answered_at), counts(facts)
    )
    return Answer([_accepted(asked, key, parts) for key, parts in gathered(asked, await reading.rows(query))])


def _accepted(asked: Asked, key: Row, parts: list[Any]) -> Row:
    known = [part for part in parts if part.minutes is not None and part.accepted]
    return {
        **key,
        **ratio(sum(part.accepted for part in parts), sum(part.n for part in parts)),
        **spread_of_days(asked, histogram_of((part.minutes, part.accepted) for part in known if part.minutes >= 0)),
        "negative_n": sum(part.accepted for part in known if part.minutes < 0),
        "undated_n": sum(part.accepted for part in parts if part.minutes is None),
    }


SPEED_TO_CONTACT = Metric(
    id="speed_to_contact",
    version=1,
    title="Speed to contact",
    definition=(
        "Minutes from the capture of a lead to the first activity of ours (direction out), of the leads captured in the period. One "
        "contacted before its capture is left out of them, and counted in negative_n; one that nobody has contacted by as_of counts "
        "as not contacted. Dimensions are those at the capture. Voided and absorbed leads do not count."
    ),
    formula="floor((first outbound activity - captured_at) / 60 s)",
    columns={
        "leads": "leads captured in the period",
        **SPREAD,
        "n": "leads contacted, not before their capture",
        "mean": "minutes",
        "contacted": "numerator, denominator and value: the share of leads contacted at all",
        "in_time": "the same, contacted within within_minutes, of leads not contacted before their capture",
        "negative_n": "leads contacted before their capture",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_speed,
    parameters=(_WITHIN, _PERCENTILES, PERCENTILE_METHOD),
)
HANDOVER = Metric(
    id="handover",
    version=1,
    title="Hand-over",
    definition=(
        "Of the leads whose hand-over was answered in the period, the share that was accepted; each counts once, by its last answer "
        "before as_of, dated at the first of the same answers in a row. With the minutes from the step named by `since` to the acceptance. Dimensions are "
        "those at the answer. Voided and absorbed leads do not count."
    ),
    formula="accepted / (accepted + rejected)",
    columns={
        "numerator": "leads accepted",
        "denominator": "leads accepted or rejected",
        "value": "share from 0 to 1; null where none was answered",
        **SPREAD,
        "n": "leads accepted whose waiting time is known",
        "mean": "minutes",
        "negative_n": "leads accepted before that step",
        "undated_n": "leads accepted that have not reached that step",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_handover,
    parameters=(_SINCE, _PERCENTILES, PERCENTILE_METHOD),
)
