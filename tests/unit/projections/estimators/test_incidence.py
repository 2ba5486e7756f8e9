"""Cumulative incidences are those of lifelines without ties, and of statsmodels and of the definition with them."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.projections.estimators.incidence import Incidence, Observation, Outcome, aalen_johansen, conditional
from services.projections.estimators.survival import kaplan_meier
from tests.unit.projections.estimators.oracles import lifelines_incidence, statsmodels_incidence

AGES = st.integers(min_value=0, max_value=40)
OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(["won", "lost", None])
MANY = st.integers(min_value=1, max_value=30)
TIED = st.lists(st.tuples(AGES, OUTCOMES, MANY), min_size=1, max_size=40)
UNTIED = st.lists(st.tuples(AGES, OUTCOMES, MANY), min_size=1, max_size=30, unique_by=lambda o: o[0])
HORIZON = range(45)
AGAINST_AN_ORACLE = settings(max_examples=40, deadline=None)  # each takes up to 0.3 s for an example
CAUSES: tuple[Outcome, ...] = ("won", "lost")


def by_definition(observations: list[Observation], cause: Outcome, until: int) -> float:
    """Σ over u <= t of S(u-) d / n, with every n, d and S counted anew from the observations."""

    def at_risk(at: int) -> int:
        return sum(n for age, _, n in observations if age >= at)

    def left(at: int, *causes: Outcome) -> int:
        return sum(n for age, outcome, n in observations if age == at and outcome in causes)

    summed = 0.0
    for at in sorted({age for age, _, _ in observations if age <= until}):
        open_until = 1.0
        for before in sorted({age for age, _, _ in observations if age < at}):
            open_until *= 1 - left(before, "won", "lost") / at_risk(before)
        summed += open_until * left(at, cause) / at_risk(at)
    return summed


def curve_of(curve: Incidence, cause: Outcome) -> list[float]:
    return list(curve.won if cause == "won" else curve.lost)


@AGAINST_AN_ORACLE
@given(TIED)
@example([(0, "won", 2), (0, "lost", 1), (0, None, 1)])
@example([(3, "won", 1)])
def test_tied_outcomes_are_estimated_as_defined(observations: list[Observation]) -> None:
    curve = aalen_johansen(observations)
    for cause in CAUSES:
        expected = [by_definition(observations, cause, age) for age in curve.ages]
        assert curve_of(curve, cause) == pytest.approx(expected, rel=0, abs=1e-12)


@AGAINST_AN_ORACLE
@given(TIED)
def test_tied_outcomes_are_those_of_statsmodels(observations: list[Observation]) -> None:
    # statsmodels counts as many causes as the largest number that occurs
    seen: list[Observation] = [*observations, (41, "won", 1), (41, "lost", 1), (42, None, 1)]
    curve = aalen_johansen(seen)
    for number, cause in enumerate(CAUSES, start=1):
        expected = statsmodels_incidence(seen, number)
        assert tuple(expected) == curve.ages
        assert curve_of(curve, cause) == pytest.approx(list(expected.values()), rel=0, abs=1e-12)


@AGAINST_AN_ORACLE
@given(UNTIED)
def test_untied_outcomes_are_those_of_lifelines(observations: list[Observation]) -> None:
    # lifelines takes the incidence at its first row, age 0, for 0
    seen = [(age + 1, outcome, n) for age, outcome, n in observations]
    curve = aalen_johansen(seen)
    for number, cause in enumerate(CAUSES, start=1):
        expected = lifelines_incidence(seen, number, curve.ages)
        assert curve_of(curve, cause) == pytest.approx(expected, rel=0, abs=1e-12)


@given(TIED)
def test_the_states_add_up_to_1_and_open_is_kaplan_and_meiers(observations: list[Observation]) -> None:
    curve = aalen_johansen(observations)
    survival = kaplan_meier((0, age, outcome is not None, n) for age, outcome, n in observations)
    assert (curve.ages, curve.at_risk, curve.censored_n) == (survival.ages, survival.at_risk, survival.censored)
    assert list(curve.open) == pytest.approx(list(survival.survival), rel=0, abs=1e-12)
    for age in HORIZON:
        states = curve.at(age)
        assert (states is None) == (survival.at(age) is None)
        assert states is None or sum(states) == pytest.approx(1, rel=0, abs=1e-12)


@given(TIED)
def test_where_none_is_open_any_more_incidence_is_the_share_won(observations: list[Observation]) -> None:
    closed = [(age, outcome or "lost", n) for age, outcome, n in observations]
    curve = aalen_johansen(closed)
    everyone = sum(n for _, _, n in closed)
    won = [sum(n for age, outcome, n in closed if outcome == "won" and age <= at) for at in HORIZON]
    found = [curve.at(at) for at in HORIZON]
    assert [states.won for states in found if states] == pytest.approx([n / everyone for n in won], rel=0, abs=1e-12)
    assert curve.median == next((at for at in HORIZON if 2 * won[at] >= everyone), None)
    for percent in (1, 25, 50, 75, 100):
        expected = next((at for at in HORIZON if won[-1] and 100 * won[at] >= percent * won[-1]), None)
        assert curve.time_to_win(percent / 100) == expected


@given(TIED, st.integers(min_value=0, max_value=3))
def test_order_and_grouping_of_the_observations_do_not_matter(observations: list[Observation], part: int) -> None:
    split = [(age, outcome, n) for age, outcome, k in observations for n in (min(part, k), k - min(part, k))]
    assert aalen_johansen(reversed(split)) == aalen_johansen(observations)


@given(TIED, AGES)
def test_what_comes_at_an_age_is_the_curve_beyond_it_over_what_is_open(
    observations: list[Observation], age: int
) -> None:
    curve = aalen_johansen(observations)
    ahead = conditional(curve, age)
    now = curve.at(age)
    for h in range(50):
        then, later = ahead.at(h), curve.at(age + h)
        if now is None or now.open == 0 or not ahead.ages:
            assert then is None
            continue
        assert (then is None) == (later is None)
        if then is not None and later is not None:
            assert then.won == pytest.approx((later.won - now.won) / now.open, rel=0, abs=1e-9)
            assert then.lost == pytest.approx((later.lost - now.lost) / now.open, rel=0, abs=1e-9)


@given(TIED, AGES)
def test_what_comes_at_an_age_is_estimated_from_those_open_longer(observations: list[Observation], age: int) -> None:
    longer = [(at - age, outcome, n) for at, outcome, n in observations if at > age]
    assert conditional(aalen_johansen(observations), age) == aalen_johansen(longer)


def test_an_open_deal_is_expected_to_close_as_those_that_got_as_far() -> None:
    # ten are lost at once; of the ten that pass day 10, eight are won on days 20, 30, 40, 50
    curve = aalen_johansen([(5, "lost", 10), *((day, "won", 2) for day in (20, 30, 40, 50)), (60, "lost", 2)])
    assert curve.median is None
    ahead = conditional(curve, 10)
    assert ahead.at_risk[0] == 10
    assert [ahead.time_to_win(share) for share in (0.25, 0.5, 0.75, 1)] == [10, 20, 30, 40]
    within_25 = ahead.at(25)
    assert within_25 is not None
    assert within_25.won == pytest.approx(0.4)


def test_a_loss_is_no_censoring() -> None:
    observations: list[Observation] = [(1, "lost", 2), (2, "won", 2)]
    as_censored = kaplan_meier((0, age, outcome == "won", n) for age, outcome, n in observations)
    assert aalen_johansen(observations).won[-1] == 0.5
    assert 1 - as_censored.survival[-1] == 1.0


def test_past_the_oldest_seen_nothing_is_said() -> None:
    still_open = aalen_johansen([(10, "won", 1), (30, None, 1)])
    assert still_open.at(9) == (1.0, 0.0, 0.0)
    assert still_open.at(30) == (0.5, 0.5, 0.0)
    assert still_open.at(31) is None
    assert aalen_johansen([(10, "won", 1), (30, "lost", 1)]).at(10_000) == (0.0, 0.5, 0.5)


@pytest.mark.parametrize("observations", [[], [(5, "won", 0)]])
def test_nobody_has_an_empty_curve(observations: list[Observation]) -> None:
    curve = aalen_johansen(observations)
    assert (curve.ages, curve.open, curve.won, curve.lost) == ((),) * 4
    assert (curve.median, curve.at(0), curve.time_to_win(0.5)) == (None, None, None)
    assert conditional(curve, 3) == curve


def test_where_none_is_won_no_time_is_said() -> None:
    curve = aalen_johansen([(3, "lost", 2), (4, None, 1)])
    assert (curve.median, curve.time_to_win(0.5)) == (None, None)


@pytest.mark.parametrize("observation", [(-1, "won", 1), (3, None, -1)])
def test_what_cannot_be_observed_is_refused(observation: Observation) -> None:
    with pytest.raises(ValueError, match=r"before the start|negative"):
        aalen_johansen([observation])


def test_shares_and_ages_out_of_range_are_refused() -> None:
    curve = aalen_johansen([(3, "won", 2)])
    for share in (0, 1.5):
        with pytest.raises(ValueError, match="share"):
            curve.time_to_win(share)
    with pytest.raises(ValueError, match="before the start"):
        conditional(curve, -1)
