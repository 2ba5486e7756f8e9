"""What a target can be set for: the figures that are one number for a period and a scope, and how each is counted."""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, OUTCOMES
from services.projections.query.facts import Facts, counted
from services.projections.query.metric import Asked, Reading


class Attained(NamedTuple):
    """`amount` in the unit of the figure; None where it is a share of nothing. `unpriced_n`: deals left out for want of a rate."""

    amount: Decimal | None
    unpriced_n: int = 0


class Figure(NamedTuple):
    """`money`: its unit is the target's currency. `of_wins`: what is forecast adds to it. `by_stage`: it may be of one stage."""

    of: Callable[[Asked, Reading], Awaitable[Attained]]
    money: bool = False
    of_wins: bool = False
    by_stage: bool = True


async def _won_n(asked: Asked, reading: Reading) -> Attained:
    return Attained((await _closes(asked, reading)).won)


async def _won_value(asked: Asked, reading: Reading) -> Attained:
    closes = await _closes(asked, reading)
    return Attained(closes.value, closes.unpriced)


async def _win_rate(asked: Asked, reading: Reading) -> Attained:
    closes = await _closes(asked, reading)
    return Attained(closes.won / (closes.won + closes.lost) if closes.won + closes.lost else None)


async def _deal_size(asked: Asked, reading: Reading) -> Attained:
    closes = await _closes(asked, reading)
    priced = closes.won - closes.unpriced
    return Attained(closes.value / priced if priced else None, closes.unpriced)


class _Closes(NamedTuple):
    won: Decimal
    lost: Decimal
    value: Decimal
    unpriced: int


async def _closes(asked: Asked, reading: Reading) -> _Closes:
    """The deals closed in the period; in a won one's own currency there must be a rate, or none be asked for."""
    facts = Facts(OUTCOMES, asked, reading, at=OUTCOMES.rows.c.closed_at, latest=DEAL_INTERVALS)
    closed_at, won = facts.row.closed_at, facts.label.kind == "won"
    value = facts.priced(facts.row.close_value, closed_at, facts.label.close_currency)
    query = facts.select(
        counted(won), counted(facts.label.kind == "lost"), sa.func.coalesce(sa.func.sum(value).filter(won), 0),
        counted(sa.and_(won, value.is_(None))),
    ).where(facts.stands(), facts.within(closed_at))  # fmt: skip
    [(won_n, lost_n, worth, unpriced)] = await reading.rows(query)
    return _Closes(Decimal(won_n), Decimal(lost_n), Decimal(worth), int(unpriced))


async def _leads_captured(asked: Asked, reading: Reading) -> Attained:
    """Leads that came into a pipeline in the period; one that was voided later was captured all the same."""
    facts = Facts(DEAL_INTERVALS, asked, reading, latest=DEAL_INTERVALS)
    row = facts.row
    place = sa.func.row_number().over(
        partition_by=(row.partition, row.subject), order_by=(row.business_from, row.number)
    )
    wanted = [(facts.dimension(name).label(f"by_{name}"), value) for name, value in asked.filters.items()]
    first = (
        facts.select(row.business_from, place.label("place"), *(column for column, _ in wanted), unfiltered=True)
        .where(row.business_from < asked.as_of)
        .subquery("first")
    )
    query = sa.select(sa.func.count()).where(
        first.c.place == 1, facts.within(first.c.business_from), *(first.c[column.name] == value for column, value in wanted)
    )  # fmt: skip
    return Attained(Decimal(int((await reading.connection.execute(query)).scalar_one())))


FIGURES: Final[Mapping[str, Figure]] = MappingProxyType({
    "won_value": Figure(_won_value, money=True, of_wins=True),
    "won_n": Figure(_won_n, of_wins=True),
    "win_rate": Figure(_win_rate),
    "deal_size": Figure(_deal_size, money=True),
    "leads_captured": Figure(_leads_captured, by_stage=False),
})  # fmt: skip
"""By the metric that a TargetSet names. Activities have no ledger here yet."""
