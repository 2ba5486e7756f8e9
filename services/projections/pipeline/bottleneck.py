"""Bottleneck: the stage in which leads stay longest, and the stage from which fewest go on. Two answers, never one score."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from services.projections.pipeline.dwell import dwells
from services.projections.pipeline.stage_conversion import HORIZON, SKIPS, conversions
from services.projections.query.facts import OF_LEADS
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import whole

_MIN_N = whole("min_n", "How many leads a stage must have to be judged.", 20, 1, 1_000_000)
_MEDIAN = {"visit": "cumulative", "outcome": "all", "percentiles": (Fraction(50),), "percentile_method": "linear"}


async def _answer(asked: Asked, reading: Reading) -> Answer:
    longest = await dwells(asked._replace(options=_MEDIAN), reading)
    lowest = await conversions(asked._replace(options={**asked.options, "mode": "cohort"}), reading)
    least = asked.options["min_n"]
    groups: dict[tuple[Any, ...], Row] = {}
    for rows, name, n, figure in (
        (longest, "longest_dwell", "n", lambda row: -row["percentiles"]["p50"]),
        (lowest, "lowest_conversion", "denominator", lambda row: row["value"]),
    ):
        for row in rows:
            key = {part: row[part] for part in ("period", "from", "to", "complete", *asked.group_by) if part in row}
            group = groups.setdefault(
                tuple(map(str, key.values())), {**key, "longest_dwell": None, "lowest_conversion": None}
            )
            if row[n] >= least:
                group[name] = _worse(group[name], _shown(row), figure)
    return Answer(list(groups.values()))


def _shown(row: Row) -> Row:
    kept = ("stage", "n", "percentiles", "median_with_open", "numerator", "denominator", "value", "pending_n")
    return {name: row[name] for name in kept if name in row}


def _worse(one: Row | None, other: Row, figure: Callable[[Row], float]) -> Row:
    return other if one is None or figure(other) < figure(one) else one


BOTTLENECK = Metric(
    id="bottleneck",
    version=1,
    title="Bottleneck",
    definition=(
        "Two answers that are never blended into one score: the open stage with the longest median dwell of the period (as `dwell` "
        "has it, all visits of a lead together), and the open stage with the lowest conversion (as `stage_conversion` has it, "
        "mode=cohort). A stage with fewer than min_n leads is not judged; of equal ones the earlier is named. Null where no stage can be."
    ),
    formula="max over stages of median dwell; min over stages of conversion",
    columns={
        "longest_dwell": "stage, n, percentiles (p50 in days), median_with_open (days)",
        "lowest_conversion": "stage, numerator, denominator, value (share), pending_n",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
    parameters=(_MIN_N, HORIZON, SKIPS),
)
