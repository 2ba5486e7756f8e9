"""How likely a deal is won: given a history of its stage and what the pipeline says, when it is asked for, then who speaks first."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import pytest

from schemas.pipeline_files import read_pipelines
from services.projections.pipeline.stage_history import Chance, Chances
from services.projections.query.metric import Asked
from services.projections.query.periods import EVER, Periods

NOW = datetime(2025, 6, 1, tzinfo=UTC)
PIPELINES = read_pipelines({
    "a.yaml": "name: a\nversion: 1\ndefault: true\nstages:\n  - {name: one, phase: opportunity, probability: 0.1}\n  - {name: two, phase: transaction}\n",
})  # fmt: skip


class Deal(NamedTuple):
    stage: str | None
    probability: Decimal | None = None
    pipeline: str | None = "a"
    pipeline_version: str | None = "1"


def chances(p: str, won: int = 0, lost: int = 0, overall: tuple[int, int] = (0, 0)) -> Chances:
    asked = Asked(NOW, None, NOW, "UTC", Periods((EVER, NOW), ("",)), options={"p": p, "stage_n": 30})
    return Chances(asked, PIPELINES, {("a", "one"): (won, lost)}, overall)


OWN = Decimal("0.8")


@pytest.mark.parametrize(
    ("known", "deal", "expected"),
    [
        (chances("deal", 15, 15), Deal("one", OWN), Chance(OWN, "deal")),
        (chances("stage", 15, 15), Deal("one", OWN), Chance(Decimal("0.5"), "stage")),
        (chances("deal", 15, 15), Deal("one"), Chance(Decimal("0.5"), "stage")),
        (chances("deal", 0, 30), Deal("one"), Chance(Decimal(0), "stage")),
        (chances("deal", 15, 14), Deal("one"), Chance(Decimal("0.1"), "configured")),
        (chances("deal", 15, 14), Deal("two"), Chance(None, None)),
        (chances("configured", 15, 15), Deal("one", OWN), Chance(Decimal("0.1"), "configured")),
        (chances("overall", 15, 15, (1, 3)), Deal("one", OWN), Chance(Decimal("0.25"), "overall")),
        (chances("overall"), Deal("one", OWN), Chance(None, None)),
        (chances("deal"), Deal("one", None, "gone", "1"), Chance(None, None)),
        (chances("deal"), Deal("one", None, "a", "9"), Chance(None, None)),
        (chances("deal"), Deal(None, None, None, None), Chance(None, None)),
    ],
)  # fmt: skip
def test_who_speaks_first(known: Chances, deal: Deal, expected: Chance) -> None:
    assert known.of(deal) == expected
