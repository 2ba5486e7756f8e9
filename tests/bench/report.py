"""Figures beside their limits: medians of interleaved runs, ratios, goals, and what bounded them."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

Measured = dict[str, Any]


class Variant(NamedTuple):
    """One thing to measure; `run` measures it once."""

    name: str
    run: Callable[[], Measured]


class Goal(NamedTuple):
    """`field` of `ours` is at least `factor` times that of `against`; without `against`, at least `factor` itself.

    `at_most` turns the comparison round. `shown_only` compares without asking for anything.
    """

    figure: str
    ours: str
    against: str | None
    factor: float
    field: str = "rate"
    at_most: bool = False
    shown_only: bool = False


class Row(NamedTuple):
    """One row of the table: what is measured in turns, and what is asked of it."""

    name: str
    variants: Sequence[Variant]
    goals: Sequence[Goal]


def summary(runs: Sequence[Measured]) -> Measured:
    """Medians of every number; `rate_low` and `rate_high` beside them; the peak of memory."""
    if not runs:
        return {}
    found: Measured = {
        name: median(run[name] for run in runs if name in run)
        for name in ("rate", "p50_ms", "p99_ms", "us", "load")
        if any(name in run for run in runs)
    }
    if "rate" in found:
        found.update(rate_low=min(run["rate"] for run in runs), rate_high=max(run["rate"] for run in runs))
    parties = {party for run in runs for party in run.get("cores", {})}
    found["cores"] = {
        party: round(median(run["cores"].get(party, 0.0) for run in runs if "cores" in run), 2)
        for party in sorted(parties)
    }
    memory: dict[str, float] = {}
    for run in runs:
        for party, held in run.get("peak_mb", {}).items():
            memory[party] = max(held, memory.get(party, 0.0))
    found["peak_mb"] = memory
    found["runs"] = len(runs)
    return found


class Judged(NamedTuple):
    figure: str
    ours: float
    against: str
    limit: float | None
    ratio: float | None
    goal: str
    reached: bool | None


def judge(goal: Goal, measured: Mapping[str, Measured]) -> Judged | None:
    """None where one side was not measured."""
    ours = measured.get(goal.ours, {}).get(goal.field)
    if ours is None:
        return None
    relation = "≤" if goal.at_most else "≥"
    if goal.against is None:
        reached = ours <= goal.factor if goal.at_most else ours >= goal.factor
        return Judged(
            goal.figure, ours, "", None, None, f"{relation} {goal.factor:,g}", None if goal.shown_only else reached
        )
    limit = measured.get(goal.against, {}).get(goal.field)
    if not limit:
        return None
    ratio = ours / limit
    reached = ratio <= goal.factor if goal.at_most else ratio >= goal.factor
    wanted = "shown" if goal.shown_only else f"{relation} {goal.factor:g} ×"
    return Judged(goal.figure, ours, goal.against, limit, ratio, wanted, None if goal.shown_only else reached)


MEMORY_MB = 250
OUR_SERVICES = ("lifecycle", "projections")


def across(rows: Mapping[str, Mapping[str, Measured]]) -> list[Judged]:
    """What only several rows together tell: the most memory of each service, and the relay beside the door."""
    found = []
    for party in OUR_SERVICES:
        peaks = [each["peak_mb"][party] for row in rows.values() for each in row.values() if party in each["peak_mb"]]
        if peaks:
            found.append(_memory(party, max(peaks)))
    rebuild = rows.get("follow", {}).get("read model, rebuild from the feed")
    if rebuild:
        found.append(_memory("a rebuild", rebuild["peak_mb"]["client"]))
    if "follow" in rows and "http" in rows:
        both = {"relay": rows["follow"].get("relay", {}), "door": rows["http"].get("our door", {})}
        beside = judge(Goal("relay beside the single-event door", "relay", "door", 1), both)
        found += [beside] if beside else []
    return found


def _memory(what: str, peak_mb: float) -> Judged:
    return Judged(f"peak memory of {what}, MiB", peak_mb, "", None, None, f"≤ {MEMORY_MB}", peak_mb <= MEMORY_MB)


def print_goals(console: Console, judged: Sequence[Judged]) -> None:
    table = Table(title="Figures beside their limits (medians)")
    for name in ("figure", "ours", "beside", "limit", "ratio", "goal", "reached"):
        table.add_column(name, justify="right" if name in ("ours", "limit", "ratio") else "left", overflow="fold")
    for each in judged:
        table.add_row(
            each.figure, number(each.ours), each.against, number(each.limit),
            "" if each.ratio is None else f"{each.ratio:.2f}", each.goal,
            {True: "yes", False: "NO", None: ""}[each.reached],
        )  # fmt: skip
    console.print(table)


def print_variants(console: Console, name: str, measured: Mapping[str, Measured]) -> None:
    table = Table(title=name)
    for column in ("variant", "rate/s (min–max)", "p50 ms", "p99 ms", "cores", "peak MiB"):
        table.add_column(
            column, justify="left" if column in ("variant", "cores", "peak MiB") else "right", overflow="fold"
        )
    for variant, found in measured.items():
        rate = (
            f"{number(found['rate'])} ({number(found['rate_low'])}–{number(found['rate_high'])})"
            if "rate" in found
            else ""
        )
        table.add_row(
            variant, rate, number(found.get("p50_ms")), number(found.get("p99_ms")),
            _parties(found["cores"], "{:.2f}", 0.015), _parties(found["peak_mb"], "{:.0f}", 0.5),
        )  # fmt: skip
    console.print(table)


def _parties(values: Mapping[str, float], form: str, least: float) -> str:
    return ", ".join(f"{party} {form.format(value)}" for party, value in values.items() if value >= least)


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")
