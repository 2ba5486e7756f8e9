"""Price realisation: which share of the list price won deals brought."""

from typing import Any

import sqlalchemy as sa

from services.projections.pipeline.closed_deals import ATTRIBUTE_BY, OF_CLOSED, ClosedDeals
from services.projections.query.beside import of_stream
from services.projections.query.facts import counted, gathered, money_ratio
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.reference.ledgers import PRODUCTS


async def _answer(asked: Asked, reading: Reading) -> Answer:
    deals = ClosedDeals(asked, reading)
    facts = deals.facts
    closed_at, own = facts.row.closed_at, facts.label.close_currency
    product = of_stream(facts, PRODUCTS, "product", facts.label.product, closed_at)
    listed_in = product.label.currency
    close = facts.priced(facts.row.close_value, closed_at, own)
    listed = facts.priced(product.row.amount, closed_at, listed_in)
    has_list = sa.and_(listed_in.is_not(None), product.row.amount > 0)
    alike = sa.true() if asked.rates is not None else own == listed_in
    compared = sa.and_(has_list, alike, close.is_not(None), listed.is_not(None))
    query = facts.grouped(
        facts.keys(deals.at),
        currency=facts.currency(own),
        won=sa.func.count(),
        n=counted(compared),
        close=sa.func.sum(close).filter(compared),
        listed=sa.func.sum(listed).filter(compared),
        no_list_price_n=counted(sa.func.coalesce(sa.not_(has_list), sa.true())),
        other_currency_n=counted(sa.and_(has_list, sa.not_(alike))),
        unpriced_n=counted(sa.and_(has_list, alike, sa.or_(close.is_(None), listed.is_(None)))),
    ).where(*deals.of_outcome("won"))
    return Answer([_row(key, parts) for key, parts in gathered(asked, await reading.rows(query))])


def _row(key: Row, parts: list[Any]) -> Row:
    return {
        **key,
        "won": sum(part.won for part in parts),
        "n": sum(part.n for part in parts),
        "realised": [
            money_ratio(part.close, part.listed, part.currency)
            for part in sorted(parts, key=lambda part: part.currency or "")
            if part.n
        ],
        "no_list_price_n": sum(part.no_list_price_n for part in parts),
        "other_currency_n": sum(part.other_currency_n for part in parts),
        "unpriced_n": sum(part.unpriced_n for part in parts),
    }


PRICE_REALISATION = Metric(
    id="price_realisation",
    version=1,
    title="Price realisation",
    definition=(
        "Of the leads won in the period, by their standing close, the close values over the list prices that their products had "
        "at the close. A lead whose product has no list price, or one in another currency while none is asked for, is left out "
        "and counted. Voided and absorbed leads do not count."
    ),
    formula="sum of close values / sum of list prices",
    columns={
        "won": "leads won",
        "n": "of which compared",
        "realised": "for each currency: numerator and denominator are amounts, value their ratio",
        "no_list_price_n": "won leads without a product, or whose product has no list price",
        "other_currency_n": "won leads with a list price in another currency than their value",
        "unpriced_n": "won leads of which an amount has no rate to the currency asked for",
    },
    time="period",
    dimensions=OF_CLOSED,
    answer=_answer,
    parameters=(ATTRIBUTE_BY,),
    money=True,
)
