"""Pipeline velocity: what the pipeline brings in a day, and the four figures that it is made of."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, OUTCOMES
from services.projections.pipeline.left_out import counts
from services.projections.query.beside import against, of_same_lead, periods_of
from services.projections.query.facts import OF_LEADS, Facts, counted, gathered, money, of_period
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import choice

_N: Final = choice(
    "n",
    "Which deals are counted: open when the period begins, open at any time in it, or closed in it.",
    "open_at_start",
    "worked",
    "closed",
)
_WINDOW: Final = choice(
    "window", "Of which closes the other three are: those of the 90 days before the period, or those of the period.", "trailing", "period"
)  # fmt: skip
_TRAILING: Final = timedelta(days=90)


async def _answer(asked: Asked, reading: Reading) -> Answer:
    found = [*await reading.rows(_closes(asked, reading)), *await reading.rows(_deals(asked, reading))]
    groups = gathered(asked, found)
    if (
        found and not asked.group_by
    ):  # among others, a period in which nothing was open or closed has a row too: of nulls
        told = {row.period for row in found}
        groups += [(of_period(asked, index), []) for index in range(len(asked.periods)) if index not in told]
        groups.sort(key=lambda group: str(group[0].get("from")))
    return Answer([row for key, parts in groups for row in _by_currency(asked, key, parts)])


def _by_currency(asked: Asked, key: Row, parts: list[Any]) -> list[Row]:
    if asked.rates is not None:
        return [{**key, **_velocity(parts, asked.rates.currency)}]
    currencies = sorted({part.currency for part in parts if part.currency is not None})
    return [
        {**key, **_velocity([part for part in parts if part.currency == currency], currency)}
        for currency in currencies or [None]
    ]


def _closes(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """(period, <group_by>, currency, n, won, lost, value, priced, days, lasted) of the closes of each window."""
    facts = Facts(OUTCOMES, asked, reading, at=OUTCOMES.rows.c.closed_at, latest=DEAL_INTERVALS)
    row, label = facts.row, facts.label
    spans = periods_of(facts)
    if asked.options["window"] == "trailing":
        spans = [(begins - _TRAILING, begins) for begins, _ in spans]
    span = against(facts, spans, lambda each: sa.and_(row.closed_at >= each.begins, row.closed_at < each.ends))
    won = label.kind == "won"
    own = sa.func.coalesce(label.close_currency, label.currency)
    value = facts.priced(row.close_value, row.closed_at, label.close_currency)
    lasted = sa.and_(won, row.cycle_days >= 0)
    return facts.grouped(
        [span.number.label("period"), *facts.keys()[1:]],
        currency=own,
        n=sa.literal_column("0"),
        won=counted(won),
        lost=counted(label.kind == "lost"),
        value=sa.func.sum(value).filter(won),
        priced=counted(sa.and_(won, value.is_not(None))),
        days=sa.func.sum(row.cycle_days).filter(lasted),
        lasted=counted(lasted),
    ).where(facts.stands(), counts(facts))


def _deals(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """The same columns of the deals that are counted: `n` alone, the others 0."""
    if asked.options["n"] == "closed":
        facts = Facts(OUTCOMES, asked, reading, at=OUTCOMES.rows.c.closed_at, latest=DEAL_INTERVALS)
        row = facts.row
        span = against(
            facts, periods_of(facts), lambda each: sa.and_(row.closed_at >= each.begins, row.closed_at < each.ends)
        )
        conditions = [facts.stands()]
        own: Any = sa.func.coalesce(facts.label.close_currency, facts.label.currency)
    else:
        facts = Facts(DEAL_INTERVALS, asked, reading, at=None, latest=DEAL_INTERVALS)
        row = facts.row
        conditions = [facts.label.outcome == "open"]
        own = facts.label.currency
        if asked.options["n"] == "open_at_start":
            span = against(facts, periods_of(facts), lambda each: facts.stands(each.begins))
            facts.attributed_at(span.begins)
        else:
            # counted once, by the last of its stretches that touch the period
            span = against(
                facts,
                periods_of(facts),
                lambda each: sa.and_(
                    row.business_from < each.ends, sa.or_(row.business_to.is_(None), row.business_to >= each.begins)
                ),
            )
            later = of_same_lead(facts, DEAL_INTERVALS, "later")
            conditions.append(
                sa.not_(
                    later.select(sa.literal_column("1"))
                    .where(
                        later.label.outcome == "open",
                        later.row.business_from > row.business_from,
                        later.row.business_from < span.ends,
                    )
                    .exists()
                )
            )
    nothing: dict[str, Any] = {
        name: sa.literal_column("0") for name in ("won", "lost", "value", "priced", "days", "lasted")
    }
    return facts.grouped(
        [span.number.label("period"), *facts.keys()[1:]], currency=own, n=sa.func.count(), **nothing
    ).where(*conditions, counts(facts))


def _velocity(parts: list[Any], currency: str | None) -> Row:
    def total(name: str) -> Any:
        return sum((getattr(part, name) or 0 for part in parts), 0)

    n, won, closed, lasted, priced = (
        total("n"),
        total("won"),
        total("won") + total("lost"),
        total("lasted"),
        total("priced"),
    )
    days = Decimal(total("days"))
    rate = ratio(won, closed)
    mean_value = Decimal(total("value")) / priced if priced else None
    mean_days = float(days / lasted) if lasted else None
    velocity = n * won * mean_value * lasted / (closed * days) if mean_value is not None and days else None
    return {
        "currency": currency,
        "n": n,
        "win_rate": rate,
        "mean_value": money(mean_value, currency),
        "mean_days": mean_days,
        "velocity": money(velocity, currency),
        "unpriced_n": won - priced,
    }


VELOCITY = Metric(
    id="velocity",
    version=1,
    title="Pipeline velocity",
    definition=(
        "Deals x win rate x mean value of a won deal / mean days of a won deal's cycle. Deals are those open when the period begins "
        "(as `n` asks); the other three are of the standing closes of the 90 days before the period, or of the period itself "
        "(window). Where one of them has no value, or the cycle takes no whole day on average, so has the velocity. Without a "
        "currency asked for, each currency is a row of its own, made of the deals in that currency alone, and deals whose value is "
        "unknown are in none; with one, all deals count. Voided and absorbed leads do not count."
    ),
    formula="n x won / (won + lost) x mean close value / mean cycle days",
    columns={
        "currency": "currency of the amounts; null where no deal has a value",
        "n": "deals",
        "win_rate": "numerator, denominator and value",
        "mean_value": "mean close value of won deals; null without any",
        "mean_days": "mean days from capture to close of won deals; null without any",
        "velocity": "amount a day; null where one of the four has no value",
        "unpriced_n": "won deals whose value has no rate to the currency asked for: not in mean_value",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
    parameters=(_N, _WINDOW),
    money=True,
)
