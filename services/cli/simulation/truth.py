"""The true figures of a simulated company, added up from what was planned; no event is read. Memory does not grow with it."""

from collections import Counter, defaultdict
from typing import Any, Final

from services.cli.simulation.company import LEAVER, REPORTING, SUCCESSOR
from services.cli.simulation.conventions import CONVENTIONS
from services.cli.simulation.days import Period
from services.cli.simulation.options import Options
from services.cli.simulation.plan import AccountPlan, Answer, LeadPlan, Place
from services.cli.simulation.revenue import Revenue
from services.cli.simulation.telling import Teller

_DIMENSIONS: Final = ("owner", "channel", "region", "product")
Cell = tuple[str, str, str]
"""Pipeline, stage, outcome."""


class Truth:
    """Counters. Give every lead and every account once, and the answers of a family together."""

    def __init__(self, options: Options, period: Period) -> None:
        self._options = options
        self._period = period
        self._revenue = Revenue(period)
        self._places: defaultdict[Cell, list[int]] = defaultdict(self._row)
        self._worth: defaultdict[tuple[Cell, str], list[int]] = defaultdict(self._row)
        self._closed: dict[str, defaultdict[str, Counter[str]]] = {
            name: defaultdict(Counter) for name in ("month", *_DIMENSIONS)
        }
        self._reasons: Counter[str] = Counter()
        self._cycle_days: dict[str, Counter[int]] = {"won": Counter(), "lost": Counter()}
        self._funnel: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._leads: Counter[str] = Counter()
        self._upgrades: Counter[str] = Counter()
        self._origins: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._referrals: Counter[str] = Counter()
        self._first: Counter[str] = Counter()
        self._last: Counter[str] = Counter()
        self._nps: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._nps_latest: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._csat: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._sent: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._collected: Counter[str] = Counter()

    def _row(self) -> list[int]:
        return [0] * len(self._period.months)

    def add_lead(self, plan: LeadPlan) -> None:
        self._stand(plan)
        self._count(plan)
        if not (plan.void or plan.absorbed):
            self._pass(plan)
            self._close(plan)
        for answer, n in plan.upgrades.items():
            self._upgrades[answer] += n
        self._sent.update(kind for _, kind in plan.surveys_sent)
        self._collected[plan.currency] += plan.collected

    def add_account(self, account: AccountPlan) -> None:
        self._revenue.add(account)

    def add_answers(self, answers: list[Answer]) -> None:
        """All answers of people who belong together: the latest of a person in a quarter is among them."""
        latest: dict[tuple[str, str], Answer] = {}
        for answer in answers:
            self._answered[answer.kind] += 1
            quarter = self._period.quarter_of(answer.at)
            if answer.kind == "csat":
                self._csat[quarter][answer.score] += 1
            elif answer.kind == "nps":
                self._nps[quarter][answer.score] += 1
                known = latest.get((quarter, answer.person))
                if known is None or known.at < answer.at:
                    latest[quarter, answer.person] = answer
        for (quarter, _), answer in latest.items():
            self._nps_latest[quarter][answer.score] += 1

    def _stand(self, plan: LeadPlan) -> None:
        """Signed changes at the month in which they happen: what stands at a month's end is their sum until then."""
        end, before = self._period.end, None
        for at, place in sorted(plan.places, key=lambda each: each[0]):
            if at >= end:
                break
            month = self._period.month_of(at)
            if before is not None:
                self._change(before, month, -1)
            if place is not None:
                self._change(place, month, 1)
            before = place

    def _change(self, place: Place, month: int, sign: int) -> None:
        cell = (place.pipeline, place.stage, place.outcome)
        self._places[cell][month] += sign
        if place.value is None:
            self._worth[cell, ""][month] += sign
        else:
            self._worth[cell, place.currency][month] += sign * place.value

    def _count(self, plan: LeadPlan) -> None:
        counts = self._leads
        counts["all"] += 1
        counts["listed_only"] += plan.captured_at is None and not plan.out
        counts["screened_out"] += plan.out
        counts["captured"] += plan.captured_at is not None
        counts["voided"] += plan.void
        counts["absorbed"] += plan.absorbed
        if plan.origin is not None:
            self._origins[plan.origin[1]]["leads"] += 1
            self._origins[plan.origin[1]]["won"] += plan.close is not None and plan.close.outcome == "won"
        self._referrals["made"] += plan.referrals
        if plan.referrer is not None:
            self._referrals["captured"] += 1
            self._referrals["won"] += plan.close is not None and plan.close.outcome == "won"

    def _pass(self, plan: LeadPlan) -> None:
        funnel = self._funnel[plan.channel]
        funnel["listed"] += plan.listed_at is not None
        funnel["captured"] += plan.captured_at is not None
        funnel["mql"] += plan.mql_at is not None
        funnel["sql"] += plan.sql_at is not None
        funnel["won"] += plan.close is not None and plan.close.outcome == "won"

    def _close(self, plan: LeadPlan) -> None:
        close = plan.close
        if close is None:
            return
        keys = {
            "month": self._period.months[self._period.month_of(close.at)], "owner": close.owner, "channel": plan.channel,
            "region": plan.region, "product": plan.product,
        }  # fmt: skip
        for name, key in keys.items():
            table = self._closed[name][key]
            table[close.outcome] += 1
            if close.value is None:
                table[f"{close.outcome} value unknown"] += 1
            else:
                table[f"{close.outcome} {plan.currency}"] += close.value
        self._cycle_days[close.outcome][close.days] += 1
        if close.reason is not None:
            self._reasons[close.reason] += 1
        if close.outcome == "won" and plan.touches:
            self._first[plan.touches[0]] += 1
            self._last[plan.touches[-1]] += 1

    def document(self, teller: Teller) -> dict[str, Any]:
        """What is written as truth.json; the first key says what each of the others means."""
        options, period, facts = self._options, self._period, teller.facts
        board = self._board()
        by_month = {name: _outcomes(self._closed["month"].get(name, Counter())) for name in period.months}
        return {
            "conventions": CONVENTIONS,
            "company": {
                "id": options.company, "seed": options.seed, "start": options.start.isoformat(), "months": options.months,
                "end": period.instant(period.end), "reporting_currency": REPORTING, "left": LEAVER, "successor": SUCCESSOR,
            },
            "leads": {name: self._leads[name] for name in ("all", "listed_only", "screened_out", "captured", "voided", "absorbed")},
            "events": {
                "events": sum(teller.types.values()), "lines": sum(teller.types.values()) + facts["duplicates"],
                "duplicates": facts["duplicates"], "late": facts["late"], "corrected": facts["corrected"],
                "retracted": facts["retracted"], "day_precision": facts["day_precision"],
                "by_type": dict(sorted(teller.types.items())),
            },
            "board_at_end": board[period.months[-1]],
            "board_at_month_end": board,
            "closed": _outcomes(sum(self._closed["month"].values(), Counter())),
            "closed_by": {"month": by_month} | {
                name: {key: _outcomes(table) for key, table in sorted(self._closed[name].items())} for name in _DIMENSIONS
            },
            "loss_reasons": dict(sorted(self._reasons.items())),
            "cycle_days": {outcome: _days(table) for outcome, table in self._cycle_days.items()},
            "funnel": {
                channel: {step: table[step] for step in ("listed", "captured", "mql", "sql", "won")}
                for channel, table in sorted(self._funnel.items())
            },
            **self._revenue.figures(),
            "upgrades": {answer: self._upgrades[answer] for answer in ("due", "accepted", "declined", "renewed", "won")},
            "origins": {kind: {"leads": n["leads"], "won": n["won"]} for kind, n in sorted(self._origins.items())},
            "referrals": {name: self._referrals[name] for name in ("made", "captured", "won")},
            "campaign_wins": {"first_touch": dict(sorted(self._first.items())), "last_touch": dict(sorted(self._last.items()))},
            "nps": {
                quarter: {"latest": _nps(self._nps_latest[quarter]), "all": _nps(table)} for quarter, table in sorted(self._nps.items())
            },
            "csat": {
                quarter: {"n": table.total(), "satisfied": table[4] + table[5], "distribution": [table[n] for n in range(1, 6)]}
                for quarter, table in sorted(self._csat.items())
            },
            "surveys": {kind: {"sent": n, "answered": self._answered[kind]} for kind, n in sorted(self._sent.items())},
            "collected": {currency: _amount(cents) for currency, cents in sorted(self._collected.items())},
        }  # fmt: skip

    def _board(self) -> dict[str, list[dict[str, Any]]]:
        """By month: the cells that hold leads at its end."""
        board: dict[str, list[dict[str, Any]]] = {}
        totals: Counter[Cell] = Counter()
        worth: Counter[tuple[Cell, str]] = Counter()
        for index, month in enumerate(self._period.months):
            for cell, changes in self._places.items():
                totals[cell] += changes[index]
            for key, changes in self._worth.items():
                worth[key] += changes[index]
            board[month] = [
                {
                    "pipeline": cell[0], "stage": cell[1], "outcome": cell[2], "n": totals[cell],
                    "value": {
                        currency: _amount(cents)
                        for (of, currency), cents in sorted(worth.items()) if of == cell and currency and cents
                    },
                    "value_unknown_n": worth[cell, ""],
                }
                for cell in sorted(totals) if totals[cell]
            ]  # fmt: skip
        return board


def _outcomes(table: Counter[str]) -> dict[str, Any]:
    won, lost = table["won"], table["lost"]
    return {
        "won": won,
        "lost": lost,
        "win_rate": round(won / (won + lost), 9) if won + lost else None,
        **{
            f"{outcome}_value": {
                name.split()[1]: _amount(cents)
                for name, cents in sorted(table.items())
                if name.startswith(f"{outcome} ") and len(name) == len(outcome) + 4
            }
            for outcome in ("won", "lost")
        },
        "lost_value_unknown_n": table["lost value unknown"],
    }


def _days(table: Counter[int]) -> dict[str, Any]:
    """Percentiles by linear interpolation (type 7)."""
    count = table.total()
    if not count:
        return {"n": 0}
    return {
        "n": count,
        "mean": round(sum(days * n for days, n in table.items()) / count, 9),
        **{f"p{share}": _percentile(table, count, share) for share in (10, 25, 50, 75, 90)},
    }


def _percentile(table: Counter[int], count: int, share: int) -> float:
    whole, part = divmod((count - 1) * share, 100)
    return round(_nth(table, whole) + (_nth(table, min(whole + 1, count - 1)) - _nth(table, whole)) * part / 100, 9)


def _nth(table: Counter[int], rank: int) -> int:
    """The value at that rank, from 0 on, of all values in order."""
    seen = 0
    for value in sorted(table):
        seen += table[value]
        if seen > rank:
            return value
    raise AssertionError("a rank lies below the count")


def _nps(table: Counter[int]) -> dict[str, Any]:
    n = table.total()
    promoters, detractors = table[9] + table[10], sum(table[score] for score in range(7))
    score = round(100 * (promoters - detractors) / n, 9) if n else None
    return {"n": n, "promoters": promoters, "detractors": detractors, "nps": score}


def _amount(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"
