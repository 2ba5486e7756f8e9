"""Deal size: what won deals were worth at their close."""

from typing import Any

import sqlalchemy as sa

from services.projections.pipeline.closed_deals import ATTRIBUTE_BY, OF_CLOSED, ClosedDeals
from services.projections.query.facts import gathered
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import PERCENTILE_METHOD, PERCENTILES
from services.projections.query.spread import histogram_of, spread_of_money


async def _answer(asked: Asked, reading: Reading) -> Answer:
    deals = ClosedDeals(asked, reading)
    facts = deals.facts
    currency = facts.label.close_currency
    value = facts.priced(facts.row.close_value, facts.row.closed_at, currency)
    keys = [*facts.keys(deals.at), facts.currency(currency).label("currency"), value.label("worth")]
    query = facts.grouped(keys, n=sa.func.count()).where(*deals.of_outcome("won"))
    return Answer([_row(asked, key, parts) for key, parts in gathered(asked, await reading.rows(query))])


def _row(asked: Asked, key: Row, parts: list[Any]) -> Row:
    priced = [part for part in parts if part.worth is not None]
    currencies = sorted({part.currency for part in priced})
    return {
        **key,
        "won": sum(part.n for part in parts),
        "size": [
            spread_of_money(
                asked, histogram_of((part.worth, part.n) for part in priced if part.currency == currency), currency
            )
            for currency in currencies
        ],
        "unpriced_n": sum(part.n for part in parts if part.worth is None),
    }


DEAL_SIZE = Metric(
    id="deal_size",
    version=1,
    title="Deal size",
    definition=(
        "The close value of the leads won in the period, by their standing close; in its own currency, or in the one asked for at "
        "the rate of the close. Voided and absorbed leads do not count."
    ),
    formula="sum, mean and percentiles of close values",
    columns={
        "won": "leads won",
        "size": "for each currency: n, sum, mean and percentiles, amounts in that currency",
        "unpriced_n": "won leads whose value has no rate to the currency asked for",
    },
    time="period",
    dimensions=OF_CLOSED,
    answer=_answer,
    parameters=(ATTRIBUTE_BY, PERCENTILES, PERCENTILE_METHOD),
    money=True,
)
