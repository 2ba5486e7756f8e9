"""Money in another currency: by the rate of its day, as it was known.

A rate (base, quote, since, rate) says that from an instant on one unit of base is worth `rate` of quote, until the next rate
of the pair. Where a pair has no rates of its own the inverse is taken, else the way over one third currency. An amount
without a rate is counted and not priced.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from schemas.currency import exponent


class Rate(NamedTuple):
    base: str
    quote: str
    since: datetime
    rate: Decimal


_Steps = Sequence[Decimal | None]
"""What a currency is worth in each bucket: before the first edge, then from each edge to the next."""


class Rates:
    """What one unit of each currency was worth in `currency` at any instant."""

    def __init__(self, currency: str, rates: Iterable[Rate]) -> None:
        self.currency = currency
        known = sorted(rates, key=lambda each: each.since)
        self._edges = sorted({rate.since for rate in known})
        pairs: defaultdict[tuple[str, str], list[tuple[datetime, Decimal]]] = defaultdict(list)
        for rate in known:
            pairs[rate.base, rate.quote].append((rate.since, rate.rate))
        self._worth = _towards(currency, {pair: self._stepped(steps) for pair, steps in pairs.items()})

    def at(self, currency: str, at: datetime) -> Decimal | None:
        """The rate that holds at the instant: the latest that began at it or before."""
        return self._in(currency, bisect_right(self._edges, at))

    def before(self, currency: str, at: datetime) -> Decimal | None:
        """The latest rate that began before the instant: what an open deal is worth at `as_of`."""
        return self._in(currency, bisect_left(self._edges, at))

    def _in(self, currency: str, bucket: int) -> Decimal | None:
        if currency == self.currency:
            return Decimal(1)
        steps = self._worth.get(currency)
        return None if steps is None else steps[bucket]

    def bucket(self, at: Any) -> sa.ColumnElement[int]:
        """SQL: in which stretch of constant rates an instant lies."""
        return sa.func.width_bucket(at, sa.literal(self._edges, ARRAY(sa.TIMESTAMP(timezone=True))))

    def table(self, name: str = "fx") -> sa.Subquery:
        """SQL: rows (currency, bucket, factor), wherever there is a rate."""
        buckets = range(len(self._edges) + 1)
        rows = [(name, bucket, steps[bucket]) for name, steps in sorted(self._worth.items()) for bucket in buckets]
        rows += [(self.currency, bucket, Decimal(1)) for bucket in buckets]
        names, numbers, factors = zip(*(row for row in rows if row[2] is not None), strict=True)
        unnested = sa.func.unnest(
            sa.literal(names, ARRAY(sa.Text)), sa.literal(numbers, ARRAY(sa.Integer)), sa.literal(factors, ARRAY(sa.Numeric))
        ).table_valued("currency", "bucket", "factor", name="rates").render_derived()  # fmt: skip
        return sa.select(unnested.c.currency, unnested.c.bucket, unnested.c.factor).subquery(name)

    def _stepped(self, steps: list[tuple[datetime, Decimal]]) -> _Steps:
        by_edge = dict(steps)
        found: list[Decimal | None] = [None]
        for edge in self._edges:
            found.append(by_edge.get(edge, found[-1]))
        return found


def _towards(currency: str, pairs: dict[tuple[str, str], _Steps]) -> dict[str, _Steps]:
    direct: dict[str, _Steps] = {}
    for (base, quote), steps in sorted(pairs.items()):
        if base == currency:
            direct[quote] = _inverse(steps)
    for (base, quote), steps in sorted(pairs.items()):
        if quote == currency:
            direct[base] = steps
    found = dict(direct)
    for (base, quote), steps in sorted(pairs.items()):
        for name, via, factors in ((base, quote, steps), (quote, base, _inverse(steps))):
            if name not in found and name != currency and via in direct:
                found[name] = [
                    None if one is None or other is None else one * other
                    for one, other in zip(factors, direct[via], strict=True)
                ]
    return found


def _inverse(steps: _Steps) -> _Steps:
    return [None if rate is None else 1 / rate for rate in steps]


def money_text(amount: Decimal, currency: str) -> str:
    """A decimal string with the currency's own decimals; a currency that is not listed shows all four."""
    decimals = exponent(currency)
    return f"{amount:.{4 if decimals is None else decimals}f}"
