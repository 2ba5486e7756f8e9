"""The figures of the pipeline against the naive fold and pandas, numpy, lifelines and statsmodels, at two clocks.

Every log is delivered twice, the second time shuffled across leads and in batches of its own: both give the same answers.
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import lifelines  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pandas as pd
import pytest
from statsmodels.duration.survfunc import CumIncidenceRight  # type: ignore[import-untyped]  # it has no types

from schemas.envelope import Recorded
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.naive import PLACES, Stay, Story, asked_at, at_close, busy_log, stays, stories
from tests.pg.projections.projected import Projected
from tests.unit.projections.histories import shuffled_across_leads

FROM, TO = datetime(2025, 1, 10, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
HORIZON = timedelta(days=30)
pytestmark = pytest.mark.parametrize("seed", range(2))


class Asked:
    """One log, two deliveries of it, and questions to both."""

    def __init__(self, log: list[Recorded], figures: list[Projected], seed: int) -> None:
        self.log = log
        self.figures = figures
        self.clocks = asked_at(seed, log)

    async def rows(self, metric: str, as_of: datetime, known_at: datetime | None, **more: str) -> list[dict[str, Any]]:
        """The answer for the period FROM to TO; the two deliveries give the same."""
        told: dict[str, Any] = {"from_": FROM.isoformat(), "to": TO.isoformat(), "as_of": as_of.isoformat(), **more}
        if known_at is not None:
            told["known_at"] = known_at.isoformat()
        one, other = [await figures.rows(metric, **told) for figures in self.figures]
        assert one == other
        return one

    def counting(self, as_of: datetime, known_at: datetime | None) -> list[Story]:
        return [story for story in stories(self.log, as_of, known_at) if not story.excluded]


@pytest.fixture
async def asked(projected: NewProjected, seed: int) -> Asked:
    log = busy_log(seed)
    figures = [await projected("pipeline", "reference") for _ in range(2)]
    await figures[0].deliver(log)
    await figures[1].deliver(shuffled_across_leads(log, random.Random(seed)), batch=17, forgetting=random.Random(seed))
    assert await figures[0].checksum() == await figures[1].checksum()
    return Asked(log, figures, seed)


def within(at: datetime | None) -> bool:
    return at is not None and FROM <= at < TO


def approx(value: float) -> Any:
    return pytest.approx(value, rel=1e-9)


def closes(told: list[Story]) -> pd.DataFrame:
    """The standing closes of leads that count."""
    return pd.DataFrame(
        [
            {
                "kind": story.lead.outcome,
                "owner": at_close(story).owner or "",
                "stage": at_close(story).left_stage,
                "reason": story.lead.loss_reason,
                "closed": story.lead.closed_at,
                "days": (story.lead.closed_at - story.lead.captured_at).days,
                "value": float(story.lead.close_value.amount) if story.lead.close_value else None,
            }
            for story in told
            if story.lead.outcome != "open"
            and story.lead.standing not in ("void", "absorbed")
            and story.lead.closed_at is not None
            and story.lead.captured_at is not None
        ],
        columns=["kind", "owner", "stage", "reason", "closed", "days", "value"],
    )


async def test_closed_deals(asked: Asked) -> None:
    for clocks in asked.clocks:
        found = closes(asked.counting(*clocks))
        found = found[[within(at) for at in found.closed]]
        rate = await asked.rows("win_rate", *clocks, group_by="owner")
        expected = found.groupby("owner").kind.value_counts().unstack(fill_value=0)
        assert {row["owner"] or "": (row["won"], row["lost"]) for row in rate} == {
            owner: (int(row.get("won", 0)), int(row.get("lost", 0))) for owner, row in expected.iterrows()
        }
        won = found[found.kind == "won"]
        cycle = await asked.rows("cycle_length", *clocks)
        sizes = await asked.rows("deal_size", *clocks)
        if len(won):
            assert cycle[0]["n"] == len(won)
            assert cycle[0]["mean"] == approx(won.days.mean())
            assert list(cycle[0]["percentiles"].values()) == approx(np.percentile(won.days, [10, 50, 90]).tolist())
            [size] = sizes[0]["size"]
            assert float(size["mean"]) == pytest.approx(won.value.mean(), abs=0.01)
            assert float(size["percentiles"]["p50"]) == pytest.approx(won.value.median(), abs=0.01)
        reasons = await asked.rows("loss_reasons", *clocks)
        lost = found[found.kind == "lost"].groupby(["reason", "stage"]).size()
        assert {(row["reason"], row["from_stage"]): row["numerator"] for row in reasons} == lost.to_dict()


async def test_conversion(asked: Asked) -> None:
    for clocks in asked.clocks:
        for skips in ("implied", "direct"):
            rows = await asked.rows("stage_conversion", *clocks, skips=skips, horizon_days="30")
            expected = _converted(asked.counting(*clocks), clocks[0], implied=skips == "implied")
            assert {
                row["stage"]: (row["entered"], row["numerator"], row["denominator"], row["pending_n"]) for row in rows
            } == expected


def _converted(told: list[Story], as_of: datetime, *, implied: bool) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for story in told:
        counted = [stay for stay in stays(story) if implied or not stay.skipped]
        for stage, place in PLACES.items():
            entries = [number for number, stay in enumerate(counted) if stay.stage == stage]
            if not entries or not within(counted[entries[0]].since):
                continue
            entry = counted[entries[0]]
            onward = [stay.since for stay in counted[entries[0] + 1 :] if PLACES[stay.stage] > place]
            closed_at = story.lead.closed_at if story.lead.standing not in ("void", "absorbed") else None
            if story.lead.outcome == "won" and closed_at is not None and closed_at >= entry.since:
                onward.append(closed_at)
            went_on = any(at <= entry.since + HORIZON for at in onward)
            over = entry.since + HORIZON < as_of or story.lead.outcome == "lost"
            sums = found.setdefault(stage, [0, 0, 0, 0])
            sums[0] += 1
            sums[1] += went_on
            sums[2] += went_on or over
            sums[3] += not went_on and not over
    return {stage: tuple(sums) for stage, sums in found.items()}


async def test_dwell(asked: Asked) -> None:
    for clocks in asked.clocks:
        as_of = clocks[0]
        over: dict[str, list[int]] = {}
        still: dict[str, list[int]] = {}
        end = min(TO, as_of)
        for story in asked.counting(*clocks):
            for stage in PLACES:
                here = [stay for stay in stays(story) if stay.stage == stage and not stay.skipped]
                _dwelt(here, end, over.setdefault(stage, []), still.setdefault(stage, []))
        rows = {row["stage"]: row for row in await asked.rows("dwell", *clocks)}
        assert set(rows) == {stage for stage in PLACES if over[stage] or still[stage]}
        for stage, row in rows.items():
            assert (row["n"], row["open_n"]) == (len(over[stage]), len(still[stage]))
            if over[stage]:
                expected = np.percentile(over[stage], [10, 50, 90]).tolist()
                assert list(row["percentiles"].values()) == approx(expected)
            curve = lifelines.KaplanMeierFitter().fit(
                over[stage] + still[stage], [1] * len(over[stage]) + [0] * len(still[stage])
            )
            half = curve.survival_function_.KM_estimate
            reached = half.index[half <= 0.5 + 1e-9]  # lifelines' own median misses a half that is rounded up
            assert row["median_with_open"] == (int(reached[0]) if len(reached) else None)


def _dwelt(here: list[Stay], end: datetime, over: list[int], still: list[int]) -> None:
    """Days of one lead in one stage: ended in the period, or going on at its end."""
    days = 0
    for number, stay in enumerate(here):
        goes_on = stay.since < end and (stay.until is None or stay.until >= end)
        if goes_on:
            still.append(days + (end - stay.since).days)
        if stay.until is not None:
            days += (stay.until - stay.since).days
            if number == len(here) - 1 and within(stay.until):
                over.append(days)


async def test_time_to_win(asked: Asked) -> None:
    for clocks in asked.clocks:
        told = [story for story in asked.counting(*clocks) if within(story.lead.captured_at)]
        ages, kinds = [], []
        for story in told:
            lead = story.lead
            closed = lead.outcome != "open"
            assert lead.captured_at is not None
            ages.append(((lead.closed_at if closed and lead.closed_at else clocks[0]) - lead.captured_at).days)
            kinds.append({"open": 0, "won": 1, "lost": 2}[lead.outcome])
        [row] = await asked.rows("time_to_win", *clocks)
        assert row["n"] == len(told)
        expected = CumIncidenceRight(np.array(ages), np.array(kinds))
        won = {float(step["day"]): step["won"] for step in row["curve"]}
        for day, share in zip(expected.times, expected.cinc[0], strict=True):
            assert won[float(day)] == pytest.approx(share, abs=1e-9)


async def test_funnel_and_speed(asked: Asked) -> None:
    for clocks in asked.clocks:
        n = dict.fromkeys(("listed", "lead", "mql", "sql", "opportunity", "customer"), 0)
        minutes: list[int] = []
        leads = 0
        for story in asked.counting(*clocks):
            reached = _reached(story)
            entry = story.lead.listed_at or story.lead.captured_at
            if within(entry):
                for step in n:
                    n[step] += step in reached
            if within(story.lead.captured_at):
                leads += 1
                first = next(
                    (s.fact.at for s in story.steps if s.fact.type == "ActivityLogged" and s.fact.body.direction == "out" and s.before.standing != "absorbed"),
                    None,
                )  # fmt: skip
                if first is not None and story.lead.captured_at is not None:
                    minutes.append(int((first - story.lead.captured_at).total_seconds() // 60))
        rows = await asked.rows("lead_funnel", *clocks, skips="direct")
        assert {row["step"]: row["n"] for row in rows} == n
        [speed] = await asked.rows("speed_to_contact", *clocks)
        assert (speed["leads"], speed["n"] + speed["negative_n"]) == (leads, len(minutes))
        later = [each for each in minutes if each >= 0]
        if later:
            assert list(speed["percentiles"].values()) == approx(np.percentile(later, [50, 90]).tolist())


def _reached(story: Story) -> set[str]:
    reached = {"listed"} if story.lead.listed_at else set()
    if story.lead.captured_at:
        reached.add("lead")
    for _, after, fact in story.steps:
        if after.standing in ("void", "absorbed"):
            continue
        if fact.type == "MarketingQualified":
            reached.add("mql")
        if fact.type == "Qualified":
            reached |= {"sql", "opportunity"}
    if story.lead.outcome == "won":
        reached.add("customer")
    return reached


async def test_velocity(asked: Asked) -> None:
    for clocks in asked.clocks:
        told = asked.counting(*clocks)
        found = closes(told)
        trailing = found[[FROM <= at < TO for at in found.closed]]
        won = trailing[trailing.kind == "won"]
        [row] = await asked.rows("velocity", *clocks, window="period", n="closed", currency="EUR")
        assert (row["n"], row["win_rate"]["numerator"]) == (len(trailing), len(won))
        if len(won) and won.days.sum():
            expected = len(trailing) * len(won) / len(trailing) * won.value.mean() / won.days.mean()
            assert float(row["velocity"]["amount"]) == pytest.approx(expected, abs=0.01)
        if clocks[0] > TO:
            [start] = await asked.rows("velocity", *clocks, window="period", currency="EUR")
            known = {story.stream for story in told}
            then = [s for s in stories(asked.log, FROM, clocks[1]) if s.stream in known and _open(s)]
            assert start["n"] == len(then)


def _open(story: Story) -> bool:
    lead = story.lead
    return lead.outcome == "open" and lead.standing == "running" and lead.phase not in (None, "listed")
