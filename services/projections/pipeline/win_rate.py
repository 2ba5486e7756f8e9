"""Win rate: of the deals that were closed, how many were won, by count and by value."""

from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, OUTCOMES
from services.projections.query.facts import OF_LEADS, Facts, counted, gathered, money_ratio
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import ATTRIBUTE_BY


async def _answer(asked: Asked, reading: Reading) -> Answer:
    facts = Facts(OUTCOMES, asked, reading, at=OUTCOMES.rows.c.closed_at, latest=DEAL_INTERVALS)
    won, lost = facts.label.kind == "won", facts.label.kind == "lost"
    at = facts.row.closed_at if asked.options["attribute_by"] == "closed" else facts.row.captured_at
    value = facts.priced(facts.row.amount, facts.row.closed_at)
    has_value = facts.label.currency.is_not(None)
    query = facts.grouped(
        facts.keys(at),
        currency=facts.currency(),
        won=counted(won),
        lost=counted(lost),
        won_value=sa.func.sum(value).filter(won),
        lost_value=sa.func.sum(value).filter(lost),
        value_unknown_n=counted(sa.not_(has_value)),
        unpriced_n=counted(sa.and_(has_value, value.is_(None))),
    ).where(facts.stands(), facts.within(at))
    return Answer([_row(key, parts) for key, parts in gathered(asked, await reading.rows(query))])


def _row(key: Row, parts: list[Any]) -> Row:
    won, lost = sum(part.won for part in parts), sum(part.lost for part in parts)
    return {
        **key,
        "won": won,
        "lost": lost,
        **ratio(won, won + lost),
        "by_value": [
            money_ratio(
                part.won_value or _NOTHING, (part.won_value or _NOTHING) + (part.lost_value or _NOTHING), part.currency
            )
            for part in parts
            if part.currency is not None and (part.won_value is not None or part.lost_value is not None)
        ],
        "value_unknown_n": sum(part.value_unknown_n for part in parts),
        "unpriced_n": sum(part.unpriced_n for part in parts),
    }


_NOTHING = Decimal(0)

WIN_RATE = Metric(
    id="win_rate",
    version=1,
    title="Win rate",
    definition=(
        "Of the leads whose standing close (attribute_by=opened: whose capture) lies in the period, the share of closed ones that "
        "was won. A lead that was reopened counts by its "
        "last close; voided and absorbed leads do not count. By value each lead counts with its last open value, a won one "
        "without any with its close value; a lead without a value is left out there and counted in value_unknown_n."
    ),
    formula="won / (won + lost)",
    columns={
        "won": "leads won",
        "lost": "leads lost",
        "numerator": "leads won",
        "denominator": "leads closed",
        "value": "share from 0 to 1; null where nothing was closed",
        "by_value": "the same by value, for each currency: numerator and denominator are amounts",
        "value_unknown_n": "closed leads without a value",
        "unpriced_n": "closed leads whose value has no rate to the currency asked for",
    },
    time="period",
    dimensions=(*OF_LEADS, "reason", "from_stage", "competitor"),
    answer=_answer,
    parameters=(ATTRIBUTE_BY,),
    money=True,
)
