"""A figure from a histogram is the figure from its values, written out one by one."""

import time
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.projections.estimators.histogram import mean, merged, percentiles, total

DAYS = st.lists(st.integers(min_value=-50, max_value=4000), min_size=1, max_size=60)
MONEY = st.lists(st.decimals(min_value=-1000, max_value=10**9, places=2), min_size=1, max_size=60)
PERCENTS = st.lists(st.decimals(min_value="0.1", max_value=100, places=1), min_size=1, max_size=5)


def nearest_rank(values: list[int], percent: Decimal) -> int:
    return sorted(values)[ceil(Fraction(percent) * len(values) / 100) - 1]


@given(DAYS, PERCENTS)
def test_linear_percentiles_are_those_of_numpy(values: list[int], percents: list[Decimal]) -> None:
    expected = np.percentile(values, [float(p) for p in percents], method="linear")
    assert percentiles(Counter(values), percents) == pytest.approx(expected.tolist(), rel=1e-12, abs=1e-9)


@given(DAYS, PERCENTS)
def test_nearest_ranks_are_those_of_the_sorted_values(values: list[int], percents: list[Decimal]) -> None:
    expected = tuple(float(nearest_rank(values, p)) for p in percents)
    assert percentiles(Counter(values), percents, "nearest_rank") == expected


@given(MONEY, PERCENTS)
def test_percentiles_of_money_are_exact(values: list[Decimal], percents: list[Decimal]) -> None:
    ordered = [Fraction(value) for value in sorted(values)]
    for percent, found in zip(percents, percentiles(Counter(values), percents), strict=True):
        rank = (len(ordered) - 1) * Fraction(percent) / 100
        below = ordered[int(rank)]
        above = ordered[min(int(rank) + 1, len(ordered) - 1)]
        assert isinstance(found, Decimal)
        assert Fraction(found) == below + (rank - int(rank)) * (above - below)


@given(DAYS, DAYS, PERCENTS)
def test_the_histogram_of_a_union_is_the_sum_of_the_histograms(
    some: list[int], others: list[int], percents: list[Decimal]
) -> None:
    together, apart = Counter(some + others), merged([Counter(some), Counter(others)])
    assert apart == together
    assert total(apart) == len(some) + len(others)
    assert mean(apart) == mean(together) == pytest.approx(float(np.mean(some + others)), abs=1e-9)
    assert percentiles(apart, percents) == percentiles(together, percents)


@given(DAYS, DAYS)
def test_what_is_withdrawn_was_never_there(some: list[int], others: list[int]) -> None:
    withdrawn = {value: -n for value, n in Counter(others).items()}
    assert merged([Counter(some + others), withdrawn]) == Counter(some)


def test_nothing_has_no_figure() -> None:
    nothing: dict[int, int] = {}
    assert total(nothing) == 0
    assert mean({3: 0}) is None
    assert percentiles(nothing, [10, 50, 90]) == (None, None, None)
    assert percentiles({3: 0}, [50], "nearest_rank") == (None,)


def test_one_value_is_every_percentile() -> None:
    assert percentiles({7: 1}, [0.1, 50, 100]) == (7.0, 7.0, 7.0)
    assert percentiles({7: 1}, [0.1, 50, 100], "nearest_rank") == (7.0, 7.0, 7.0)


def test_a_percent_is_read_as_it_is_written() -> None:
    # the double nearest to 99.9 lies above it, and its rank would be 1000
    assert percentiles({1: 999, 2: 1}, [99.9], "nearest_rank") == (1.0,)


def test_money_keeps_its_scale_where_it_is_a_value() -> None:
    histogram = {Decimal("12.50"): 2, Decimal("20.00"): 1}
    assert [str(found) for found in percentiles(histogram, [50, 60, 100])] == ["12.50", "14", "20.00"]
    assert [str(found) for found in percentiles(histogram, [33], "nearest_rank")] == ["12.50"]


def test_the_mean_is_rounded_once() -> None:
    assert mean({Decimal("0.1"): 3, Decimal("0.15"): 2}) == 0.12
    assert mean({10**17: 1, 1: 1, -(10**17): 1}) == 1 / 3


@pytest.mark.parametrize("percent", [0, -1, 100.1, float("nan"), float("inf")])
def test_a_percent_lies_above_0_and_at_most_at_100(percent: float) -> None:
    with pytest.raises(ValueError, match=r"percentile|Invalid"):
        percentiles({1: 1}, [percent])


def test_a_count_is_never_negative() -> None:
    for figure in (total, mean):
        with pytest.raises(ValueError, match="never negative"):
            figure({3: -1, 4: 2})
    with pytest.raises(ValueError, match="never negative"):
        percentiles({3: -1, 4: 2}, [50])
    with pytest.raises(ValueError, match="never negative"):
        merged([{3: 1}, {3: -2}])


def test_hundreds_of_millions_of_values_take_the_time_of_the_distinct_ones() -> None:
    histogram = {days: 100_000 + days for days in range(4000)}
    begun = time.perf_counter()
    assert percentiles(histogram, [50], "nearest_rank") == (2019.0,)
    assert time.perf_counter() - begun < 1
