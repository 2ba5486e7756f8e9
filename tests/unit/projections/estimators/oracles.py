"""The estimators of lifelines and statsmodels, which ship no types, behind functions that have some."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from lifelines import AalenJohansenFitter, KaplanMeierFitter  # type: ignore[import-untyped]
from lifelines.utils import restricted_mean_survival_time  # type: ignore[import-untyped]
from statsmodels.duration.survfunc import CumIncidenceRight  # type: ignore[import-untyped]

from services.projections.estimators import incidence, survival

CAUSE: dict[incidence.Outcome, int] = {None: 0, "won": 1, "lost": 2}


def lifelines_fit(observations: Sequence[survival.Observation], level: float = 0.95) -> Any:
    """A fitted KaplanMeierFitter."""
    entry, leaving, ended, n = zip(*observations, strict=True)
    return KaplanMeierFitter(alpha=1 - level).fit(leaving, ended, entry=entry if any(entry) else None, weights=n)


def lifelines_interval(fit: Any, ages: Sequence[int]) -> tuple[list[float], list[float]]:
    """The lower and the upper bounds at the ages."""
    bounds = fit.confidence_interval_.reindex(ages, method="pad")
    return bounds.iloc[:, 0].tolist(), bounds.iloc[:, 1].tolist()


def lifelines_restricted_mean(fit: Any, horizon: int) -> float:
    return float(restricted_mean_survival_time(fit, t=horizon))


def lifelines_incidence(observations: Sequence[incidence.Observation], cause: int, ages: Sequence[int]) -> list[float]:
    """P(left for that cause by each age); for observations of which no two have the same age."""
    at, outcome, n = zip(*observations, strict=True)
    fit = AalenJohansenFitter(calculate_variance=False).fit(
        list(at), [CAUSE[o] for o in outcome], event_of_interest=cause, weights=list(n)
    )
    found: list[float] = fit.cumulative_density_.iloc[:, 0].reindex(ages, method="pad").tolist()
    return found


def statsmodels_incidence(observations: Sequence[incidence.Observation], cause: int) -> dict[int, float]:
    """P(left for that cause by each age), by age."""
    at, outcome, n = zip(*observations, strict=True)
    fit = CumIncidenceRight(
        np.array(at), np.array([CAUSE[o] for o in outcome]), freq_weights=np.array(n, dtype=np.float64)
    )
    return dict(zip(fit.times.tolist(), fit.cinc[cause - 1].tolist(), strict=True))
