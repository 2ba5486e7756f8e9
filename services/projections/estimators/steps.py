"""Step functions of age in whole days: constant from one age to the next, and right-continuous.

Given as `ages`, ascending, and as many `values`: values[i] holds from ages[i] until ages[i + 1]. `start` holds before
ages[0].
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import fsum

ROUNDING = 1e-12
"""By what share of a level a curve may miss it and still reach it. A product of a thousand factors is off by some 1e-15,
and without this the median of 1, 2, 3, 4 would depend on how 3/4 times 2/3 is rounded."""


def value_at(ages: Sequence[int], values: Sequence[float], age: int, *, start: float) -> float:
    """The value at an age; that of the last age holds for ever."""
    passed = bisect_right(ages, age)
    return values[passed - 1] if passed else start


def first_at_least(ages: Sequence[int], values: Sequence[float], level: float) -> int | None:
    """The smallest age at which the value is `level` or more, save rounding; None where it never is."""
    return next((age for age, value in zip(ages, values, strict=True) if value >= level * (1 - ROUNDING)), None)


def first_at_most(ages: Sequence[int], values: Sequence[float], level: float) -> int | None:
    """The smallest age at which the value is `level` or less, save rounding; None where it never is."""
    return next((age for age, value in zip(ages, values, strict=True) if value <= level * (1 + ROUNDING)), None)


def area(ages: Sequence[int], values: Sequence[float], until: int, *, start: float) -> float:
    """The area under the function from age 0 to `until`, in days times the unit of the values."""
    inside = [(age, value) for age, value in zip(ages, values, strict=True) if age < until]
    begins = [0, *(age for age, _ in inside)]
    heights = [start, *(value for _, value in inside)]
    return fsum(
        height * (end - begin) for begin, end, height in zip(begins, [*begins[1:], until], heights, strict=True)
    )
