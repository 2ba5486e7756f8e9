"""How long until it is won, when it may be lost instead and some are still open.

The estimator of Aalen and Johansen, "An empirical transition matrix for non-homogeneous Markov chains based on censored
observations" (Scandinavian Journal of Statistics 5, 1978) for one state that is left in two ways, in whole days. To
treat a loss as a censoring and take Kaplan and Meier's instead answers what would be won if nothing could be lost, which
is more (Putter, Fiocco and Geskus, "Tutorial in biostatistics: competing risks", Statistics in Medicine 26, 2007).
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from services.projections.estimators.steps import first_at_least, value_at

Outcome: TypeAlias = Literal["won", "lost"] | None
"""None: still open when last seen."""

Observation: TypeAlias = tuple[int, Outcome, int]
"""(age in whole days, outcome, n): n subjects that were won or lost at that age, or last seen open."""


class States(NamedTuple):
    """Probabilities of being open, won and lost; they add up to 1."""

    open: float
    won: float
    lost: float


class Incidence(Struct, frozen=True):
    """P(won by t) and P(lost by t): one row per age at which somebody left. All tuples have one item per row."""

    ages: tuple[int, ...]
    """Days, ascending."""
    at_risk: tuple[int, ...]
    """Subjects open until that age."""
    won_n: tuple[int, ...]
    lost_n: tuple[int, ...]
    censored_n: tuple[int, ...]
    """Subjects last seen open at that age; they were at risk at it."""
    open: tuple[float, ...]
    won: tuple[float, ...]
    lost: tuple[float, ...]
    """Probabilities at that age, what happens at it included."""

    @property
    def median(self) -> int | None:
        """The smallest age by which half of **all** are won, in days; None where fewer ever are."""
        return first_at_least(self.ages, self.won, 0.5)

    def at(self, age: int) -> States | None:
        """The state probabilities at an age, in days. None past the last row, unless none is open there: nobody that
        old has been seen.
        """
        if not self.ages or (age > self.ages[-1] and self.at_risk[-1] > self.won_n[-1] + self.lost_n[-1]):
            return None
        return States(
            open=value_at(self.ages, self.open, age, start=1.0),
            won=value_at(self.ages, self.won, age, start=0.0),
            lost=value_at(self.ages, self.lost, age, start=0.0),
        )

    def time_to_win(self, share: float) -> int | None:
        """The smallest age by which `share` of those that will be won are won, in days; None where none ever is.

        Those that will be won are those won by the last row. What is still open there may be won later, so this is too
        early a time where `open[-1]` is large. Raises ValueError for a share that is not in (0, 1].
        """
        if not 0 < share <= 1:
            raise ValueError(f"A share lies above 0 and at most at 1, not at {share}.")
        if not any(self.won_n):
            return None
        return first_at_least(self.ages, self.won, share * self.won[-1])


def aalen_johansen(observations: Iterable[Observation]) -> Incidence:
    """The cumulative incidences: P(won by t) = Σ S(u-) w_u / n_u over ages u <= t, w of the n open having been won at
    that age, and the same for lost; S(u-) is the probability of being open until u.

    Wins and losses of one age share its n, with no order between them, and come before its censorings. Observations
    may come in any order and any grouping; without a subject the curve is empty. Raises ValueError for a negative age or
    count.
    """
    by_outcome: dict[Outcome, Counter[int]] = {"won": Counter(), "lost": Counter(), None: Counter()}
    for age, outcome, n in observations:
        if age < 0:
            raise ValueError(f"An age of {age} days lies before the start.")
        if n < 0:
            raise ValueError(f"{n} subjects leave at age {age}; a count is never negative.")
        if n:
            by_outcome[outcome][age] += n
    won, lost, censored = by_outcome["won"], by_outcome["lost"], by_outcome[None]
    ages = sorted(won.keys() | lost.keys() | censored.keys())
    return _estimated((age, won[age], lost[age], censored[age]) for age in ages)


def conditional(curve: Incidence, age: int) -> Incidence:
    """What comes for one that is still open at `age`, in days: a curve whose ages count from there.

    P(won by age + h | open at age) = (F(age + h) - F(age)) / S(age), and its row at h is `.at(h).won`; F is the
    incidence of a win, S the probability of being open, both as of the end of the day. S(age) cancels, so that the curve
    is the estimate from those that were open longer than `age` alone: there are `at_risk[0]` of them, and where there is
    none it is empty. (Van Houwelingen and Putter, "Dynamic Prediction in Clinical Survival Analysis", 2012.)

    The median time to a win among those that will be won is `.time_to_win(0.5)`, its quartiles with 0.25 and 0.75.
    Raises ValueError for a negative age.
    """
    if age < 0:
        raise ValueError(f"An age of {age} days lies before the start.")
    later = slice(bisect_right(curve.ages, age), None)
    rows = zip(curve.ages[later], curve.won_n[later], curve.lost_n[later], curve.censored_n[later], strict=True)
    return _estimated((at - age, won, lost, censored) for at, won, lost, censored in rows)


def _estimated(rows: Iterable[tuple[int, int, int, int]]) -> Incidence:
    """The curve of (age, won, lost, censored) by ascending age."""
    counted = list(rows)
    present = sum(sum(leaving) for _, *leaving in counted)
    at_risk, states = [], [States(1.0, 0.0, 0.0)]
    for _, won_n, lost_n, censored_n in counted:
        was = states[-1]
        at_risk.append(present)
        states.append(
            States(
                open=was.open * ((present - won_n - lost_n) / present),
                won=was.won + was.open * (won_n / present),
                lost=was.lost + was.open * (lost_n / present),
            )
        )
        present -= won_n + lost_n + censored_n
    return Incidence(
        ages=tuple(age for age, *_ in counted),
        at_risk=tuple(at_risk),
        won_n=tuple(won for _, won, _, _ in counted),
        lost_n=tuple(lost for _, _, lost, _ in counted),
        censored_n=tuple(censored for *_, censored in counted),
        open=tuple(state.open for state in states[1:]),
        won=tuple(state.won for state in states[1:]),
        lost=tuple(state.lost for state in states[1:]),
    )
