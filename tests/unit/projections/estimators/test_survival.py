"""The survival curve is the one of lifelines, and that of counting where counting is enough."""

import math
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.projections.estimators.survival import Observation, Survival, kaplan_meier
from tests.unit.projections.estimators.oracles import lifelines_fit, lifelines_interval, lifelines_restricted_mean

AGES = st.integers(min_value=0, max_value=40)
FROM_THE_START = st.tuples(st.just(0), AGES, st.booleans(), st.integers(min_value=1, max_value=30))
LATE = st.tuples(AGES, AGES, st.booleans(), st.integers(min_value=1, max_value=30)).map(
    lambda o: (min(o[0], o[1]), max(o[0], o[1]) + (o[0] == o[1]), o[2], o[3])
)
AGAINST_AN_ORACLE = settings(max_examples=40, deadline=None)  # a fit of lifelines takes up to 0.1 s
OLDEST: Observation = (0, 50, False, 3)
"""Keeps somebody at risk to the end: lifelines refuses a curve that drops to 0 before all have entered."""


def agrees(curve: Survival, observations: list[Observation], level: float = 0.95) -> None:
    fit = lifelines_fit(observations, level)
    lower, upper = lifelines_interval(fit, curve.ages)
    assert list(curve.survival) == pytest.approx(fit.survival_function_at_times(curve.ages).tolist(), rel=0, abs=1e-12)
    assert list(curve.lower) == pytest.approx(lower, rel=0, abs=1e-9)
    assert list(curve.upper) == pytest.approx(upper, rel=0, abs=1e-9)
    assert curve.ended == tuple(fit.event_table["observed"].reindex(curve.ages))
    assert curve.censored == tuple(fit.event_table["censored"].reindex(curve.ages))


@AGAINST_AN_ORACLE
@given(st.lists(FROM_THE_START, min_size=1, max_size=40), st.sampled_from([0.8, 0.95, 0.99]))
@example([(0, 0, True, 1)], 0.95)
@example([(0, 0, True, 2), (0, 0, False, 3), (0, 1, True, 1)], 0.95)
@example([(0, 5, True, 4), (0, 5, False, 4), (0, 7, True, 4)], 0.95)
@example([(0, 3, False, 2), (0, 9, False, 1)], 0.95)
@example([(0, 9, True, 1)], 0.95)
def test_the_curve_is_that_of_lifelines(observations: list[Observation], level: float) -> None:
    curve = kaplan_meier(observations, level=level)
    agrees(curve, observations, level)
    assert curve.level == level


@AGAINST_AN_ORACLE
@given(st.lists(st.one_of(LATE, FROM_THE_START), min_size=1, max_size=40))
@example([(5, 9, True, 2), (0, 5, True, 1)])  # enters on the day on which another ends
@example([(5, 9, True, 2), (0, 0, True, 1)])
def test_late_entrants_count_from_the_day_after_as_in_lifelines(observations: list[Observation]) -> None:
    agrees(kaplan_meier([*observations, OLDEST]), [*observations, OLDEST])


def test_who_enters_on_the_day_of_an_end_is_not_at_risk_of_it() -> None:
    curve = kaplan_meier([(0, 5, True, 1), (0, 9, False, 3), (5, 9, False, 96)])
    assert curve.at_risk == (4, 99)
    assert curve.at(5) == 0.75


def test_who_leaves_on_the_day_of_a_late_entry_was_never_at_risk() -> None:
    curve = kaplan_meier([(5, 5, True, 2), (5, 5, False, 1), (0, 9, True, 4)])
    assert (curve.ages, curve.at_risk, curve.ended, curve.unseen) == ((9,), (4,), (4,), 3)


def test_an_end_on_the_day_of_the_start_is_one_at_age_0() -> None:
    curve = kaplan_meier([(0, 0, True, 1), (0, 4, True, 3)])
    assert curve.at_risk == (4, 3)
    assert curve.survival == (0.75, 0.0)


def test_ends_come_before_the_censorings_of_their_age() -> None:
    curve = kaplan_meier([(0, 7, True, 1), (0, 7, False, 1)])
    assert (curve.at_risk, curve.survival) == ((2,), (0.5,))


@given(st.lists(st.tuples(AGES, st.integers(min_value=1, max_value=50)), min_size=1, max_size=60))
def test_where_all_have_ended_the_curve_is_the_share_that_lasted_longer(ends: list[tuple[int, int]]) -> None:
    curve = kaplan_meier((0, age, True, n) for age, n in ends)
    everyone = sum(n for _, n in ends)
    longer = [sum(n for age, n in ends if age > at) for at in range(45)]
    assert [curve.at(at) for at in range(45)] == pytest.approx([n / everyone for n in longer], rel=0, abs=1e-12)
    assert curve.median == next(at for at in range(45) if 2 * longer[at] <= everyone)
    mean = sum(age * n for age, n in ends) / everyone
    assert curve.restricted_mean(1000) == pytest.approx(mean, rel=1e-12)


def test_the_median_does_not_depend_on_rounding() -> None:
    for n in range(1, 400):
        assert kaplan_meier((0, age, True, 1) for age in range(1, n + 1)).median == math.ceil(n / 2)


@given(
    st.lists(st.one_of(LATE, FROM_THE_START), min_size=1, max_size=30),
    st.lists(st.one_of(LATE, FROM_THE_START), max_size=30),
)
def test_order_and_grouping_of_the_observations_do_not_matter(
    some: list[Observation], others: list[Observation]
) -> None:
    halves = [(entry, leaving, ended, n) for entry, leaving, ended, k in some for n in (1, k - 1)]
    assert kaplan_meier([*others, *halves]) == kaplan_meier([*reversed(some), *others])


@given(st.lists(st.one_of(LATE, FROM_THE_START), min_size=1, max_size=30), st.integers(min_value=0, max_value=50))
def test_the_curve_falls_within_its_interval(observations: list[Observation], horizon: int) -> None:
    curve = kaplan_meier(observations)
    assert all(earlier >= later for earlier, later in pairwise((1.0, *curve.survival)))
    for low, s, high in zip(curve.lower, curve.survival, curve.upper, strict=True):
        assert 0 <= low <= s <= high <= 1
    mean = curve.restricted_mean(horizon)
    assert mean is None or 0 <= mean <= horizon


@AGAINST_AN_ORACLE
@given(st.lists(FROM_THE_START, min_size=1, max_size=20), st.integers(min_value=1, max_value=50))
def test_the_restricted_mean_is_that_of_lifelines(observations: list[Observation], horizon: int) -> None:
    seen = [*observations, OLDEST]
    expected = lifelines_restricted_mean(lifelines_fit(seen), horizon)
    assert kaplan_meier(seen).restricted_mean(horizon) == pytest.approx(expected, rel=1e-9)


def test_past_the_oldest_seen_nothing_is_said() -> None:
    curve = kaplan_meier([(0, 10, True, 1), (0, 30, False, 1)])
    assert [curve.at(age) for age in (0, 9, 10, 30, 31)] == [1.0, 1.0, 0.5, 0.5, None]
    assert [curve.restricted_mean(days) for days in (0, 10, 30, 31)] == [0.0, 10.0, 20.0, None]
    assert curve.median == 10


def test_once_all_have_ended_the_curve_stays_at_0() -> None:
    curve = kaplan_meier([(0, 10, True, 2)])
    assert curve.at(10_000) == 0.0
    assert curve.restricted_mean(10_000) == 10.0


def test_where_the_few_early_ones_end_late_entrants_do_not_raise_the_curve() -> None:
    curve = kaplan_meier([(0, 1, True, 1), (5, 9, True, 3), (5, 12, False, 3)])
    assert curve.at_risk == (1, 6, 3)
    assert (curve.survival, curve.lower, curve.upper) == ((0.0,) * 3,) * 3


def test_where_none_has_ended_there_is_no_median() -> None:
    curve = kaplan_meier([(0, 10, False, 5), (2, 20, False, 5)])
    assert (curve.survival, curve.lower, curve.upper, curve.median) == ((1.0, 1.0), (1.0, 1.0), (1.0, 1.0), None)


@pytest.mark.parametrize("observations", [[], [(0, 5, True, 0)], [(4, 4, True, 1)]])
def test_nobody_has_an_empty_curve(observations: list[Observation]) -> None:
    curve = kaplan_meier(observations)
    assert (curve.ages, curve.at_risk, curve.survival, curve.lower, curve.upper) == ((),) * 5
    assert (curve.median, curve.at(0), curve.restricted_mean(0)) == (None, None, None)


@pytest.mark.parametrize("observation", [(-1, 3, True, 1), (5, 4, True, 1), (0, 4, True, -1)])
def test_what_cannot_be_observed_is_refused(observation: Observation) -> None:
    with pytest.raises(ValueError, match=r"observed|negative"):
        kaplan_meier([observation])


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        kaplan_meier([], level=level)


def test_a_horizon_is_not_negative() -> None:
    with pytest.raises(ValueError, match="before the start"):
        kaplan_meier([]).restricted_mean(-1)


def test_ten_years_of_days_and_millions_of_subjects_are_still_those_of_lifelines() -> None:
    observations: list[Observation] = [
        (entry, entry + age, age % 3 == 0, 1 + (entry * age) % 97)
        for entry in range(0, 2000, 40)
        for age in range(1, 1700, 7)
    ]
    observations.append((0, 4000, False, 100_000))
    agrees(kaplan_meier(observations), observations)
