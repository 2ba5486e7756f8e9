"""The true figures of accounts: recurring revenue and its movements, who stays, for how long. Added up from contract plans."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from services.cli.simulation.days import DAY, Period
from services.cli.simulation.plan import AccountPlan

KINDS = ("new", "expansion", "contraction", "churn", "reactivation")
_SHOWN_AGES = (30, 60, 90, 180, 365, 540, 730)


class Revenue:
    """Signed sums by month; memory grows with the months of the period, not with its accounts."""

    def __init__(self, period: Period) -> None:
        self._period = period
        self._bounds = period.bounds()
        months = range(len(period.months))
        self._movements: dict[str, dict[tuple[str, str], list[int]]] = {"instant": {}, "month": {}}
        self._mrr: dict[str, list[int]] = {}
        self._won: list[int] = [0 for _ in months]
        self._logo = [Counter[str]() for _ in months]
        self._cohorts = {unit: [[0] * len(self._bounds) for _ in months] for unit in ("contract", "mrr")}
        self._survival = {unit: Counter[tuple[int, bool]]() for unit in ("contract", "mrr")}
        self._active_at_end = Counter[str]()

    def add(self, account: AccountPlan) -> None:
        """One account whose contracts are all planned."""
        if account.won_at is None:
            return
        end = self._period.end
        cohort = self._period.month_of(account.won_at)
        self._won[cohort] += 1
        any_spells = _joined(contract.ends for contract in account.contracts)
        mrr_spells = _joined(contract.ends for contract in account.contracts if contract.recurring)
        for unit, spells in (("contract", any_spells), ("mrr", mrr_spells)):
            active = [_runs(spells, at) for at in self._bounds]
            for index in range(cohort + 1, len(self._bounds)):
                self._cohorts[unit][cohort][index] += active[index]
            self._survive(unit, spells, end)
            self._active_at_end[unit] += active[-1]
        self._churn(any_spells)
        self._move(account)

    def _survive(self, unit: str, spells: list[tuple[int, int | None]], end: int) -> None:
        if not spells or spells[0][0] >= end:
            return
        begins, ends = spells[0]
        died = ends is not None and ends < end
        day = (ends if died and ends is not None else end - 1) // DAY
        self._survival[unit][day - begins // DAY, died] += 1

    def _churn(self, spells: list[tuple[int, int | None]]) -> None:
        for month, (begins, ends) in enumerate(pairwise(self._bounds)):
            before, after = _runs(spells, begins), _runs(spells, ends)
            counts = self._logo[month]
            counts["active_at_start"] += before
            counts["churned"] += before and not after
            inside = any(begins <= start < ends for start, _ in spells)
            counts["new_and_gone"] += inside and not before and not after
            counts["won_or_back"] += after and not before

    def _move(self, account: AccountPlan) -> None:
        changes: Counter[int] = Counter()
        for contract in account.contracts:
            before = 0
            for at, mrr in sorted(contract.steps):
                changes[at] += mrr - before
                before = mrr
        total, ever = 0, False
        by_month = [0] * len(self._bounds)
        for at in sorted(changes):
            if at >= self._period.end:
                break
            month = self._period.month_of(at)
            self._moved("instant", account.currency, month, total, changes[at], ever)
            ever = ever or total + changes[at] > 0
            total += changes[at]
            by_month[month] += changes[at]
        total, ever = 0, False
        totals = self._mrr.setdefault(account.currency, [0] * len(self._bounds))
        for month, change in enumerate(by_month[:-1]):
            self._moved("month", account.currency, month, total, change, ever)
            total += change
            ever = ever or total > 0
            totals[month + 1] += total

    def _moved(self, grain: str, currency: str, month: int, before: int, change: int, ever: bool) -> None:
        if change == 0:
            return
        if before == 0:
            kind = "reactivation" if ever else "new"
        elif before + change == 0:
            kind = "churn"
        else:
            kind = "expansion" if change > 0 else "contraction"
        table = self._movements[grain].setdefault((currency, kind), [0] * len(self._period.months))
        table[month] += change

    def figures(self) -> dict[str, Any]:
        months = self._period.months
        return {
            "accounts_won": {month: n for month, n in zip(months, self._won, strict=True) if n},
            "accounts_active_at_end": {unit: self._active_at_end[unit] for unit in ("contract", "mrr")},
            "mrr_movements": {
                grain: {
                    month: {
                        currency: {
                            kind: _amount(table[index]) for kind in KINDS if (table := tables.get((currency, kind)))
                        }
                        for currency in sorted({currency for currency, _ in tables})
                    }
                    for index, month in enumerate(months)
                }
                for grain, tables in self._movements.items()
            },
            "mrr_at_month_end": {
                month: {currency: _amount(self._mrr[currency][index + 1]) for currency in sorted(self._mrr)}
                for index, month in enumerate(months)
            },
            "logo_churn": {
                month: {
                    name: self._logo[index][name]
                    for name in ("active_at_start", "churned", "new_and_gone", "won_or_back")
                }
                for index, month in enumerate(months)
            },
            "cohorts": {
                unit: {
                    month: {"accounts": self._won[index], "active": table[index][index + 1 :]}
                    for index, month in enumerate(months)
                    if self._won[index]
                }
                for unit, table in self._cohorts.items()
            },
            "survival": {unit: _kaplan_meier(pairs) for unit, pairs in self._survival.items()},
        }


def _amount(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02}"


def _runs(spells: list[tuple[int, int | None]], at: int) -> bool:
    """Whether something runs at an instant: it began before, and has not ended before."""
    return any(begins < at and (ends is None or ends >= at) for begins, ends in spells)


def _joined(contracts: Iterable[list[tuple[int, int | None]]]) -> list[tuple[int, int | None]]:
    """The spells of an account: those of its contracts, joined where one begins by the time another ends."""
    spells: list[tuple[int, int | None]] = []
    for begins, ends in sorted((spell for each in contracts for spell in each), key=lambda spell: spell[0]):
        if spells:
            last = spells[-1][1]
            if last is None:
                continue
            if begins <= last:
                spells[-1] = (spells[-1][0], None if ends is None else max(last, ends))
                continue
        spells.append((begins, ends))
    return spells


def _kaplan_meier(pairs: Counter[tuple[int, bool]]) -> dict[str, Any]:
    """Deaths before censorings on a day. `curve`: (age in days, at risk, deaths, S after it), at every age of a death."""
    at_risk, share, median = sum(pairs.values()), 1.0, None
    curve: list[tuple[int, int, int, float]] = []
    for age in sorted({age for age, _ in pairs}):
        deaths = pairs[age, True]
        if deaths:
            share = share * (at_risk - deaths) / at_risk
            curve.append((age, at_risk, deaths, round(share, 9)))
            if median is None and share <= 0.5:
                median = age
        at_risk -= deaths + pairs[age, False]
    shown = {str(age): next((point[3] for point in reversed(curve) if point[0] <= age), 1.0) for age in _SHOWN_AGES}
    summary = [[age, pairs[age, True], pairs[age, False]] for age in sorted({age for age, _ in pairs})]
    return {
        "accounts": sum(pairs.values()), "ended": sum(n for (_, died), n in pairs.items() if died), "median_days": median,
        "survival_at_days": shown, "ended_and_censored_by_days": summary,
    }  # fmt: skip
