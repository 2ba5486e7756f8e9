"""The time-to-win curve: which share of captured leads is won, lost and still open after so many days."""

from typing import Any

import sqlalchemy as sa

from services.projections.estimators.incidence import Incidence, Outcome, aalen_johansen
from services.projections.pipeline.lead_funnel import milestones
from services.projections.pipeline.ledgers import OUTCOMES
from services.projections.query.beside import joined
from services.projections.query.facts import OF_LEADS, gathered
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.spread import age_days


async def _answer(asked: Asked, reading: Reading) -> Answer:
    facts, conditions = milestones(asked, reading, "lead")
    close = joined(facts, OUTCOMES, "close", outer=True, where=lambda each: each.stands(asked.as_of))
    captured_at = facts.row.reached_at
    age = sa.case(
        (close.label.kind.is_(None), age_days(captured_at, sa.literal(asked.as_of, sa.TIMESTAMP(timezone=True)))),
        else_=close.row.cycle_days,
    )
    keys = [*facts.keys(captured_at), close.label.kind.label("outcome"), age.label("age")]
    query = facts.grouped(keys, n=sa.func.count()).where(*conditions)
    return Answer([_row(key, parts) for key, parts in gathered(asked, await reading.rows(query))])


def _row(key: Row, parts: list[Any]) -> Row:
    usable = [part for part in parts if part.age is not None and part.age >= 0]

    def of(outcome: Outcome) -> int:
        return sum(part.n for part in usable if part.outcome == outcome)

    curve = aalen_johansen((int(part.age), part.outcome, part.n) for part in usable)
    return {
        **key,
        "n": sum(part.n for part in usable),
        "won": of("won"),
        "lost": of("lost"),
        "open": of(None),
        "median_days": curve.median,
        "median_days_of_won": curve.time_to_win(0.5),
        "curve": _steps(curve),
        "negative_n": sum(part.n for part in parts) - sum(part.n for part in usable),
    }


def _steps(curve: Incidence) -> list[Row]:
    columns = (
        curve.ages, curve.at_risk, curve.won_n, curve.lost_n, curve.censored_n, curve.open, curve.won, curve.lost,
    )  # fmt: skip
    names = ("day", "at_risk", "won_n", "lost_n", "open_n", "open", "won", "lost")
    return [dict(zip(names, step, strict=True)) for step in zip(*columns, strict=True)]


TIME_TO_WIN = Metric(
    id="time_to_win",
    version=1,
    title="Time to win",
    definition=(
        "Of the leads captured in the period, the share won, lost and still open by each day of their age: the cumulative incidence "
        "of Aalen and Johansen, in which a loss competes with a win (Kaplan-Meier with losses as censored would say more than is "
        "won). Leads that are open at as_of are seen until then. A lead is won or lost by its standing close; one that closed before "
        "its capture is left out and counted. Dimensions are those at the capture. Voided and absorbed leads do not count."
    ),
    formula="won(t) = sum over u <= t of open(u-) x won at u / at risk at u",
    columns={
        "n": "leads captured",
        "won": "of which won",
        "lost": "of which lost",
        "open": "of which neither",
        "median_days": "days by which half of all are won; null where fewer ever are",
        "median_days_of_won": "days by which half of those are won that are won by the end of the curve",
        "curve": "a step for each day of age at which a lead left: at_risk, won_n, lost_n, open_n (last seen open), and the shares open, won and lost after it",
        "negative_n": "leads that closed before they were captured",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
)
