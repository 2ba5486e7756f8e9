"""How values are spread, as an answer shows it: how many, their mean and percentiles; and whole days, in SQL."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from services.projections.estimators.histogram import mean, percentiles, total
from services.projections.query.metric import Asked, Row
from services.projections.query.rates import money_text

SPREAD = {
    "n": "values counted",
    "mean": "arithmetic mean",
    "percentiles": "by name, p50 being the median; null where there is no value",
    "percentile_method": "linear (type 7) or nearest_rank",
}
"""What `spread_of_days` adds to a row."""


def spread_of_days(asked: Asked, histogram: dict[int, int]) -> Row:
    """`n`, `mean`, `percentiles` and their method of whole numbers."""
    shares, method = asked.options["percentiles"], asked.options["percentile_method"]
    return {
        "n": total(histogram),
        "mean": mean(histogram),
        "percentiles": dict(zip(names(asked), percentiles(histogram, shares, method), strict=True)),
        "percentile_method": method,
    }


def spread_of_money(asked: Asked, histogram: dict[Decimal, int], currency: str) -> Row:
    """The same of amounts of one currency, and their sum; amounts as texts with the currency's decimals."""
    shares, method = asked.options["percentiles"], asked.options["percentile_method"]
    n = total(histogram)
    summed = sum((value * count for value, count in histogram.items()), Decimal(0))
    found = percentiles(histogram, shares, method)
    return {
        "currency": currency,
        "n": n,
        "sum": money_text(summed, currency),
        "mean": money_text(summed / n, currency) if n else None,
        "percentiles": {
            name: None if value is None else money_text(Decimal(value), currency)
            for name, value in zip(names(asked), found, strict=True)
        },
        "percentile_method": method,
    }


def names(asked: Asked) -> list[str]:
    """p10, p50, p99.9: what the percentiles asked for are called."""
    return [f"p{float(share):g}" for share in asked.options["percentiles"]]


def histogram_of(parts: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    """The sum of (value, count)."""
    counts: Counter[Any] = Counter()
    for value, n in parts:
        counts[value] += n
    return dict(counts)


_DAY = 86_400_000_000
_MINUTE = 60_000_000


def age_days(start: Any, at: Any) -> sa.ColumnElement[int]:
    """SQL: `durations.duration_days` of two instants, of which the first may be known to the day only."""
    began, seen = micros_of(start), micros_of(at)
    offset = _DAY - 1 - began % _DAY
    offset = sa.case((offset > _DAY * 14 // 24, offset - _DAY), else_=offset)
    calendar = _floor(seen + offset) - _floor(began + offset)
    return sa.case((began % _MINUTE == _MINUTE - 1, calendar), else_=_floor(seen - began))


def micros_of(at: Any) -> sa.ColumnElement[int]:
    """SQL: microseconds since 1970, exact: EXTRACT gives a numeric."""
    return sa.cast(sa.extract("epoch", at) * 1_000_000, sa.BigInteger)


def _floor(micros: Any) -> sa.ColumnElement[int]:
    return sa.cast(sa.func.floor(sa.cast(micros, sa.Numeric) / _DAY), sa.BigInteger)
