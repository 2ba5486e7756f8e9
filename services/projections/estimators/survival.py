"""How long it lasts, when some have not ended yet and some were not seen from their beginning.

The product-limit estimator of Kaplan and Meier, "Nonparametric estimation from incomplete observations" (JASA 53, 1958),
in whole days, for subjects that may enter late: Tsai, Jewell and Wang, "A note on the product-limit estimator under right
censoring and left truncation" (Biometrika 74, 1987).
"""

from collections import Counter
from collections.abc import Iterable
from math import exp, log1p, sqrt
from statistics import NormalDist
from typing import TypeAlias

from msgspec import Struct

from services.projections.estimators.steps import area, first_at_most, value_at

Observation: TypeAlias = tuple[int, int, bool, int]
"""(entry age, exit age, ended, n): n subjects seen from the one age to the other, in whole days since their start.
`ended` says that the exit was the end, not merely the last that was seen of them."""


class Survival(Struct, frozen=True):
    """S(t), the share that lasts longer than t days: one row per age at which somebody left."""

    ages: tuple[int, ...]
    """Days, ascending."""
    at_risk: tuple[int, ...]
    """Subjects that could have been seen to end at that age."""
    ended: tuple[int, ...]
    censored: tuple[int, ...]
    """Subjects last seen at that age, not ended; they were at risk of ending at it."""
    survival: tuple[float, ...]
    """S at that age, the ends of that age included."""
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    """The pointwise interval of S. Of no width as long as none has ended, and once S is 0: it knows nothing there."""
    median: int | None
    """The smallest age with S <= 1/2, in days; None where the curve does not come down to it."""
    level: float
    """Confidence of the interval, as a share."""
    unseen: int
    """Subjects that were never at risk (they entered at the age at which they left), and count nowhere else."""

    def at(self, age: int) -> float | None:
        """S at an age, in days. None past the last row, unless S is 0 there: nobody that old has been seen."""
        return value_at(self.ages, self.survival, age, start=1.0) if self._reaches(age) else None

    def restricted_mean(self, horizon: int) -> float | None:
        """Mean days lasted within the first `horizon` days, the area under S from 0 to there. None where `at` is.

        Irwin, "The standard error of an estimate of expectation of life" (Journal of Hygiene 47, 1949).
        Raises ValueError for a negative horizon.
        """
        if horizon < 0:
            raise ValueError(f"A horizon of {horizon} days lies before the start.")
        return area(self.ages, self.survival, horizon, start=1.0) if self._reaches(horizon) else None

    def _reaches(self, age: int) -> bool:
        return bool(self.ages) and (age <= self.ages[-1] or self.survival[-1] == 0)


def kaplan_meier(observations: Iterable[Observation], *, level: float = 0.95) -> Survival:
    """The survival curve: S(t) = ∏ (1 - d_u / n_u) over ages u <= t, d of the n at risk having ended at that age.

    Conventions. At risk at age t are those with entry < t <= exit; at age 0 also those that entered at 0. So an end
    comes before a censoring of the same age, and whoever enters late is at risk from the next day on: being there to be
    found on the day of entry is what let them be observed. R's survival and, but for its first row, lifelines
    do the same. A subject that leaves at the age at which it entered (other than 0) is never at risk and is counted in
    `unseen` alone. Where some enter late, S is that of subjects that reached the smallest entry age; and an age at which
    all the few at risk end brings S to 0 for good, whoever enters later.

    The interval is S ^ exp(± z √V / -ln S), V = Σ d / (n (n - d)): Greenwood's variance (Reports on Public Health and
    Medical Subjects 33, 1926) on the log-log scale, which keeps it within 0 and 1 (Kalbfleisch and Prentice, "The
    Statistical Analysis of Failure Time Data", 1980, section 1.3). `level` is its confidence.

    Observations may come in any order and any grouping; without a subject the curve is empty. Raises ValueError for a
    negative age or count, an exit before its entry, and a level that is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"A level of confidence lies between 0 and 1, not at {level}.")
    entered, ended, censored, unseen = _counted(observations)
    z = NormalDist().inv_cdf((1 + level) / 2)
    ages = sorted(ended.keys() | censored.keys())
    arrivals = sorted(entered.items(), reverse=True)
    at_risk, survival, lower, upper = [], [], [], []
    present, s, log_s, variance = 0, 1.0, 0.0, 0.0
    for age in ages:
        while arrivals and (arrivals[-1][0] < age or arrivals[-1][0] == 0):
            present += arrivals.pop()[1]
        d = ended[age]
        if d == present:
            s = 0.0
        else:
            s *= (present - d) / present
            log_s += log1p(-d / present)
            variance += d / (present * (present - d))
        at_risk.append(present)
        survival.append(s)
        # where S is 0 or 1 its logarithms are not finite, and the interval is S itself
        width = z * sqrt(variance) / -log_s if log_s < 0 and s > 0 else 0.0
        lower.append(s ** exp(width))
        upper.append(s ** exp(-width))
        present -= d + censored[age]
    return Survival(
        ages=tuple(ages),
        at_risk=tuple(at_risk),
        ended=tuple(ended[age] for age in ages),
        censored=tuple(censored[age] for age in ages),
        survival=tuple(survival),
        lower=tuple(lower),
        upper=tuple(upper),
        median=first_at_most(ages, survival, 0.5),
        level=level,
        unseen=unseen,
    )


def _counted(observations: Iterable[Observation]) -> tuple[Counter[int], Counter[int], Counter[int], int]:
    """Subjects by age of entry, of end and of censoring, and how many were never at risk."""
    entered, ended, censored = Counter[int](), Counter[int](), Counter[int]()
    unseen = 0
    for entry, leaving, has_ended, n in observations:
        if not 0 <= entry <= leaving:
            raise ValueError(f"Nobody can be observed from age {entry} to age {leaving}.")
        if n < 0:
            raise ValueError(f"{n} subjects leave at age {leaving}; a count is never negative.")
        if 0 < entry == leaving:
            unseen += n
        elif n:
            entered[entry] += n
            (ended if has_ended else censored)[leaving] += n
    return entered, ended, censored, unseen
