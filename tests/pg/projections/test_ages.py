"""Whole days between two instants are the same in SQL and in Python, also where the first is known to the day only."""

import random
from datetime import UTC, datetime, timedelta, timezone

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.projections.days import micros
from services.projections.durations import duration_days
from services.projections.query.spread import age_days


async def test_ages_in_sql_are_those_of_durations(engine: AsyncEngine) -> None:
    chance = random.Random(1)
    pairs = []
    for _ in range(300):
        start = datetime(2025, 3, 28, tzinfo=UTC) + timedelta(microseconds=chance.randint(0, 4 * 86_400_000_000))
        if chance.random() < 0.5:
            own = start.astimezone(timezone(timedelta(minutes=15 * chance.randint(-48, 56))))
            start = own.replace(hour=23, minute=59, second=59, microsecond=999_999).astimezone(UTC)
        pairs.append((start, start + timedelta(microseconds=chance.randint(-2 * 86_400_000_000, 9 * 86_400_000_000))))
    instant = sa.TIMESTAMP(timezone=True)
    ages = [age_days(sa.literal(start, instant), sa.literal(end, instant)) for start, end in pairs]
    async with engine.connect() as connection:
        for first in range(0, len(ages), 50):
            found = (await connection.execute(sa.select(*ages[first : first + 50]))).one()
            expected = [duration_days(micros(start), micros(end)) for start, end in pairs[first : first + 50]]
            assert list(found) == expected
