"""Percentiles and means of values that are kept as counts: exact, and in the time of the distinct values.

A histogram adds up: that of a union is the sum of the parts, and what was withdrawn is a count below zero. Percentiles
do not, so they are taken last. The arithmetic is rational throughout and rounded once, in the figure returned.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import accumulate
from math import ceil, floor
from operator import itemgetter
from typing import Literal, TypeAlias, TypeVar, overload

Value = TypeVar("Value", int, Decimal)
Histogram: TypeAlias = Mapping[Value, int]
"""How often each value occurs. The values are all ints (whole days) or all finite Decimals (money)."""

Method = Literal["linear", "nearest_rank"]
Percent: TypeAlias = int | float | Decimal


def merged(parts: Iterable[Histogram[Value]]) -> dict[Value, int]:
    """The histogram of all parts together, without the values that occur 0 times.

    Counts of a part may be negative (something withdrawn); those of the sum may not. Raises ValueError.
    """
    counts: Counter[Value] = Counter()
    for part in parts:
        counts.update(part)
    return dict(_occurring(counts))


def total(histogram: Histogram[Value]) -> int:
    """How many values there are. Raises ValueError for a negative count."""
    return sum(n for _, n in _occurring(histogram))


def mean(histogram: Histogram[Value]) -> float | None:
    """The arithmetic mean, in the unit of the values: exact, then rounded once. None where there is no value.

    Raises ValueError for a negative count.
    """
    n = 0
    numerators: Counter[int] = Counter()  # by denominator, of which there are few: a Fraction for each value is slow
    for value, count in _occurring(histogram):
        numerator, denominator = value.as_integer_ratio()
        n += count
        numerators[denominator] += numerator * count
    summed = sum((Fraction(numerator, denominator) for denominator, numerator in numerators.items()), Fraction())
    return float(summed / n) if n else None


@overload
def percentiles(
    histogram: Histogram[int], percents: Sequence[Percent], method: Method = ...
) -> tuple[float | None, ...]: ...
@overload
def percentiles(
    histogram: Histogram[Decimal], percents: Sequence[Percent], method: Method = ...
) -> tuple[Decimal | None, ...]: ...
def percentiles(
    histogram: Histogram[Value], percents: Sequence[Percent], method: Method = "linear"
) -> tuple[float | Decimal | None, ...]:
    """The percentiles of n values x[1] <= … <= x[n], one per percent p and in that order, in the unit of the values.

    `linear` is type 7 of Hyndman and Fan, "Sample quantiles in statistical packages" (The American Statistician 50, 1996):
    with h = (n - 1) p / 100 + 1, x[⌊h⌋] + (h - ⌊h⌋) (x[⌊h⌋ + 1] - x[⌊h⌋]). `nearest_rank` is x[⌈n p / 100⌉], always a value
    that occurs (their type 1).

    A percent lies in (0, 100]; a float is read as it is written, so that 99.9 is 999/1000. Figures are floats for ints,
    and for Decimals exact Decimals. None for each percent where there is no value. The time is that of sorting the
    distinct values, however many there are of each.

    Raises ValueError for a percent out of range and for a negative count.
    """
    shares = [_share(percent) for percent in percents]
    occurring = sorted(_occurring(histogram), key=itemgetter(0))
    if not occurring:
        return (None,) * len(shares)
    values = [value for value, _ in occurring]
    ranks = list(accumulate(n for _, n in occurring))

    def ranked(rank: int) -> Value:
        return values[bisect_left(ranks, rank)]

    n = ranks[-1]
    figures: list[float | Decimal] = []
    for share in shares:
        rank = (n - 1) * share + 1 if method == "linear" else Fraction(ceil(n * share))
        # where the rank is whole, the value after it has no weight, and at n there is none
        figures.append(_between(ranked(floor(rank)), ranked(ceil(rank)), rank - floor(rank)))
    return tuple(figures)


def _occurring(histogram: Histogram[Value]) -> Iterable[tuple[Value, int]]:
    for value, n in histogram.items():
        if n < 0:
            raise ValueError(f"{value} is counted {n} times; a count is never negative.")
        if n:
            yield value, n


def _share(percent: Percent) -> Fraction:
    # by its text: the double that is written 99.9 is a little larger, and would move a nearest rank on to the next value
    share = Fraction(str(percent)) / 100
    if not 0 < share <= 1:
        raise ValueError(f"A percentile lies above 0 and at most at 100, not at {percent}.")
    return share


def _between(low: Value, high: Value, share: Fraction) -> float | Decimal:
    exact = Fraction(low) + share * (Fraction(high) - Fraction(low))
    if not isinstance(low, Decimal):
        return float(exact)
    if share == 0 or low == high:
        return low  # as it was written, 12.50 and not 12.5
    with localcontext() as context:
        # values and percents being decimals, the denominator is made of twos and fives and the quotient ends: within 3.4
        # places per digit of it, as a power of two does
        context.prec = len(str(exact.numerator)) + 4 * len(str(exact.denominator))
        return Decimal(exact.numerator) / Decimal(exact.denominator)
