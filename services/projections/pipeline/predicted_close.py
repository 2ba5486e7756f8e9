"""Predicted close: when each open deal will be won, if it is, from how long the deals of its stage took."""

from collections import defaultdict
from datetime import date, timedelta
from typing import Any, Final

import sqlalchemy as sa

from services.projections.days import micros
from services.projections.durations import duration_days
from services.projections.estimators.incidence import Incidence, Observation, aalen_johansen, conditional
from services.projections.pipeline.forecast import today_of
from services.projections.pipeline.ledgers import DEAL_INTERVALS
from services.projections.pipeline.stage_history import came_to
from services.projections.query.facts import OF_LEADS, Facts, money
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import whole

_WINDOW: Final = whole(
    "window_days", "Days before as_of in which deals entered the stages, to learn from.", 730, 1, 3_650
)
_LEAST: Final = whole(
    "at_risk_n", "Deals of the stage that were open longer than this one, needed to predict.", 10, 1, 100_000
)
_SHARE: Final = whole("share", "Percent of the wins that lie in the interval.", 80, 1, 99)
_LAST_DAY: Final = date(2199, 12, 31)

_Stage = tuple[str | None, str | None]


async def _answer(asked: Asked, reading: Reading) -> Answer:
    facts = Facts(DEAL_INTERVALS, asked, reading, at=sa.literal(asked.as_of), latest=DEAL_INTERVALS)
    row, label = facts.row, facts.label
    columns = (
        row.subject, row.account, label.owner, label.pipeline, label.stage, row.entered_at, row.expected_close, label.currency, row.amount,
    )  # fmt: skip
    query = facts.select(*columns).where(facts.stands(), label.outcome == "open", row.entered_at < asked.as_of)
    if asked.after is not None:
        query = query.where(row.subject > asked.after)
    deals = await reading.rows(query.order_by(row.subject).limit(asked.limit + 1))
    page = deals[: asked.limit]
    curves = await _curves(asked, reading, {(deal.pipeline, deal.stage) for deal in page})
    rows = [_row(asked, deal, curves.get((deal.pipeline, deal.stage))) for deal in page]
    return Answer(rows, next_after=page[-1].subject if len(deals) > asked.limit else None)


async def _curves(asked: Asked, reading: Reading, stages: set[_Stage]) -> dict[_Stage, Incidence]:
    """The time from entering each stage to a win or a loss, deals that are still open being censored at as_of."""
    came = came_to(asked, reading, asked.as_of - timedelta(days=asked.options["window_days"]))
    still = Facts(DEAL_INTERVALS, asked, reading)
    standing = (
        still.select(still.row.partition, still.row.subject, unfiltered=True)
        .where(still.stands(), still.label.outcome == "open")
        .subquery("still_open")
    )
    on = sa.and_(standing.c.partition == came.c.partition, standing.c.subject == came.c.subject)
    query = (
        sa.select(came.c.pipeline, came.c.stage, came.c.entered_at, came.c.kind, came.c.closed_at)
        .select_from(came.outerjoin(standing, on))
        .where(
            came.c.stage.in_(sorted({stage for _, stage in stages if stage is not None})),
            sa.or_(came.c.kind.is_not(None), standing.c.subject.is_not(None)),
        )
    )
    seen: defaultdict[_Stage, list[Observation]] = defaultdict(list)
    for row in await reading.rows(query):
        ended = row.closed_at if row.kind is not None else asked.as_of
        age = duration_days(micros(row.entered_at), micros(ended))
        seen[row.pipeline, row.stage].append((max(age, 0), row.kind, 1))
    return {stage: aalen_johansen(observations) for stage, observations in seen.items() if stage in stages}


def _row(asked: Asked, deal: Any, curve: Incidence | None) -> Row:
    age = max(duration_days(micros(deal.entered_at), micros(asked.as_of)), 0)
    ahead = conditional(curve, age) if curve is not None else None
    at_risk = ahead.at_risk[0] if ahead is not None and ahead.ages else 0
    told: Row = dict.fromkeys(("predicted_close", "earliest", "latest", "win_share", "open_share"))
    why = None
    if ahead is None or at_risk < asked.options["at_risk_n"]:
        why = "too few deals of the stage were open longer"
    else:
        told |= {"win_share": ahead.won[-1], "open_share": ahead.open[-1]}
        outside = (1 - asked.options["share"] / 100) / 2
        days = [ahead.time_to_win(share) for share in (0.5, outside, 1 - outside)]
        if days[0] is None:
            why = "no deal of the stage that was open longer has been won"
        else:
            told |= {
                name: _day(asked, each)
                for name, each in zip(("predicted_close", "earliest", "latest"), days, strict=True)
            }
    return {
        "lead": deal.subject,
        "account": deal.account,
        "owner": deal.owner,
        "pipeline": deal.pipeline,
        "stage": deal.stage,
        "value_of_deal": money(deal.amount, deal.currency),
        "expected_close": deal.expected_close,
        "entered_at": deal.entered_at,
        "age_days": age,
        **told,
        "at_risk_n": at_risk,
        "why_not": why,
    }


def _day(asked: Asked, days: int | None) -> date | None:
    if days is None:
        return None
    return min(today_of(asked) + timedelta(days=days), _LAST_DAY)


PREDICTED_CLOSE = Metric(
    id="predicted_close",
    version=1,
    title="Predicted close",
    definition=(
        "For each open deal at as_of, the day by which half of the wins come of those deals of its stage that were open longer than "
        "it has been there, and the days between which the asked share of the wins lies. Time counts in days from when a deal "
        "last entered the stage; a loss competes with the win, and a deal that is still open is censored at as_of (Aalen and "
        "Johansen). Stages are pooled over all dimensions of one pipeline; recycled, voided and absorbed deals are left out."
    ),
    formula="smallest h with F(age + h) - F(age) >= 1/2 * (F(last) - F(age)), F the cumulative incidence of a win",
    columns={
        "lead": "the deal",
        "account": "its account",
        "owner": "who it belongs to",
        "pipeline": "its pipeline",
        "stage": "its stage",
        "value_of_deal": "its value; null where unknown",
        "expected_close": "the day its owner expects",
        "entered_at": "when it entered the stage",
        "age_days": "whole days since then",
        "predicted_close": "the day by which half of the wins come; null where nothing can be said",
        "earliest": "begin of the interval",
        "latest": "end of the interval",
        "win_share": "share of such deals that are won in the end, 0 to 1",
        "open_share": "share of such deals whose end has not been seen, 0 to 1: where it is large, the days are too early",
        "at_risk_n": "deals of the stage that were open longer: what the prediction rests on",
        "why_not": "why there is no prediction",
    },
    time="instant",
    dimensions=(*OF_LEADS, "stage"),
    answer=_answer,
    parameters=(_WINDOW, _LEAST, _SHARE),
    listed=True,
)  # fmt: skip
