"""What a target can be set for: the figures that are one number for a period and a scope, and how each is counted."""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, OUTCOMES
from services.projections.pipeline.left_out import counts
from services.projections.query.facts import Facts, counted
from services.projections.query.metric import Asked, Reading


class Attained(NamedTuple):
    """`amount` in the unit of the figure; None where it is a share of nothing. `unpriced_n`: deals left out for want of a rate."""

    amount: Decimal | None
    unpriced_n: int = 0


class Counts(NamedTuple):
    """What is counted of one scope in a period: deals closed, and leads that came into a pipeline."""

    won: int = 0
    lost: int = 0
    value: Decimal = Decimal(0)
    unpriced: int = 0
    captured: int = 0


class Figure(NamedTuple):
    """`money`: its unit is the target's currency. `of_wins`: what is forecast adds to it. `by_stage`: it may be of one stage."""

    of: Callable[[Counts], Attained]
    by_scope: Callable[[Asked, Reading], Awaitable[dict[str | None, Counts]]]
    money: bool = False
    of_wins: bool = False
    by_stage: bool = True


async def closes(asked: Asked, reading: Reading) -> dict[str | None, Counts]:
    """The deals closed in the period, by the dimension that is grouped by; all under None where there is none."""
    facts = Facts(OUTCOMES, asked, reading, at=OUTCOMES.rows.c.closed_at, latest=DEAL_INTERVALS)
    closed_at, won = facts.row.closed_at, facts.label.kind == "won"
    value = facts.priced(facts.row.close_value, closed_at, facts.label.close_currency)
    query = facts.grouped(
        _scope(asked, facts),
        won=counted(won),
        lost=counted(facts.label.kind == "lost"),
        value=sa.func.coalesce(sa.func.sum(value).filter(won), 0),
        unpriced=counted(sa.and_(won, value.is_(None))),
    ).where(facts.stands(), counts(facts), facts.within(closed_at))
    return {row[0]: Counts(row.won, row.lost, Decimal(row.value), row.unpriced) for row in await reading.rows(query)}


async def captures(asked: Asked, reading: Reading) -> dict[str | None, Counts]:
    """Leads that came into a pipeline in the period; one that was voided later was captured all the same."""
    facts = Facts(DEAL_INTERVALS, asked, reading, latest=DEAL_INTERVALS)
    row = facts.row
    place = sa.func.row_number().over(
        partition_by=(row.partition, row.subject), order_by=(row.business_from, row.number)
    )
    first = (
        facts.select(*_scope(asked, facts), row.business_from, place.label("place"))
        .where(row.business_from < asked.as_of)
        .subquery("first")
    )
    columns: list[Any] = [first.c.scope, sa.func.count()]
    query = sa.select(*columns).where(first.c.place == 1, facts.within(first.c.business_from)).group_by(first.c.scope)
    return {scope: Counts(captured=n) for scope, n in await reading.rows(query)}


def _scope(asked: Asked, facts: Facts) -> list[Any]:
    found = facts.dimension(asked.group_by[0]) if asked.group_by else sa.cast(sa.null(), sa.Text)
    return [found.label("scope")]


def _share_won(counts: Counts) -> Attained:
    closed = counts.won + counts.lost
    return Attained(Decimal(counts.won) / closed if closed else None)


def _mean(counts: Counts) -> Attained:
    priced = counts.won - counts.unpriced
    return Attained(counts.value / priced if priced else None, counts.unpriced)


FIGURES: Final[Mapping[str, Figure]] = MappingProxyType({
    "won_value": Figure(lambda counts: Attained(counts.value, counts.unpriced), closes, money=True, of_wins=True),
    "won_n": Figure(lambda counts: Attained(Decimal(counts.won)), closes, of_wins=True),
    "win_rate": Figure(_share_won, closes),
    "deal_size": Figure(_mean, closes, money=True),
    "leads_captured": Figure(lambda counts: Attained(Decimal(counts.captured)), captures, by_stage=False),
})  # fmt: skip
"""By the metric that a TargetSet names. Activities have no ledger here yet."""
