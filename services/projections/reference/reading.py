"""Reading the read model `reference`."""

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.projections.quadrant import known
from services.projections.query.rates import Rate, Rates
from services.projections.reference.ledgers import RATES


async def rates_to(connection: AsyncConnection, currency: str, known_at: datetime | None) -> Rates:
    """What every currency is worth in `currency`, as known at an instant."""
    row = RATES.rows.c
    query = sa.select(row.subject, row.business_from, row.rate).where(known(RATES, known_at))
    # of two rates from one instant on, the one that was published last counts
    found = await connection.execute(query.order_by(row.recorded_from, row.number))
    rates = []
    for subject, since, rate in found:
        base, _, quote = subject.removeprefix("fx/").partition("-")
        rates.append(Rate(base, quote, since, Decimal(rate)))
    return Rates(currency, rates)
