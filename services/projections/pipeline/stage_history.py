"""What became of the deals that came to a stage: how likely a deal is won from there, by count, by configuration or by its owner.

A deal counts once for each stage of a pipeline that it stood in while open, from when it last came there. Stages are pooled over
versions of the pipeline, owners and all other dimensions. A deal that was recycled, voided or absorbed counts nowhere.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, OUTCOMES
from services.projections.pipeline.left_out import counts
from services.projections.query.facts import Facts
from services.projections.query.metric import Asked, Reading, Row
from services.projections.query.parameters import choice, whole

WINDOW: Final = whole(
    "window_days", "Days before as_of in which deals entered the stages, or closed, to learn from.", 365, 1, 3_650
)
LEAST: Final = whole("stage_n", "Closed deals that a stage needs, for its own history to count.", 30, 1, 100_000)
BY: Final = choice(
    "p", "Where the probability of a deal comes from: its own forecast, then its stage's history, then the pipeline's file; or only "
    "from the history on; or from all closed deals alike; or from the file alone.", "deal", "stage", "overall", "configured",
)  # fmt: skip
CHANCES: Final = (BY, WINDOW, LEAST)

Source = Literal["deal", "stage", "overall", "configured"]


class Chance(NamedTuple):
    """How likely a deal is won, and who says so; both None where nobody can say."""

    p: Decimal | None
    source: Source | None


class Chances:
    """The probabilities that hold at one as_of and known_at.

    `stages`: (pipeline, stage) -> (won, lost) among deals that entered it in the window and are closed; `overall`: (won, lost)
    among all deals closed in it.
    """

    def __init__(
        self,
        asked: Asked,
        pipelines: Any,
        stages: dict[tuple[str | None, str | None], tuple[int, int]],
        overall: tuple[int, int],
    ) -> None:
        self._by: Source = asked.options["p"]
        self._least: int = asked.options["stage_n"]
        self._pipelines = pipelines
        self.stages = stages
        self.overall = overall

    def of(self, deal: Any) -> Chance:
        """Of a row with pipeline, pipeline_version, stage and its own probability."""
        if self._by == "deal" and deal.probability is not None:
            return Chance(Decimal(deal.probability), "deal")
        if self._by == "overall":
            return Chance(share(*self.overall), "overall") if sum(self.overall) else Chance(None, None)
        if self._by != "configured":
            won, lost = self.stages.get((deal.pipeline, deal.stage), (0, 0))
            if won + lost >= self._least:
                return Chance(share(won, lost), "stage")
        version = None if deal.pipeline_version is None else int(deal.pipeline_version)
        pipeline = self._pipelines.get(deal.pipeline, version) if deal.pipeline is not None else None
        stage = None if pipeline is None else pipeline.stage(deal.stage)
        if stage is None or stage.probability is None:
            return Chance(None, None)
        return Chance(Decimal(str(stage.probability)), "configured")

    def shown(self) -> list[Row]:
        """The history by stage, as an answer shows it."""
        return [
            {"pipeline": pipeline, "stage": stage, "won": won, "closed": won + lost, "used": won + lost >= self._least}
            for (pipeline, stage), (won, lost) in sorted(self.stages.items(), key=lambda each: tuple(map(str, each[0])))
        ]  # fmt: skip


def share(won: int, lost: int) -> Decimal:
    """won / (won + lost), of which there is at least one."""
    return Decimal(won) / Decimal(won + lost)


async def chances(asked: Asked, reading: Reading) -> Chances:
    """The probabilities at as_of, as known at known_at; nothing narrows them."""
    stages: dict[tuple[str | None, str | None], tuple[int, int]] = {}
    overall = (0, 0)
    since = asked.as_of - timedelta(days=asked.options["window_days"])
    if asked.options["p"] in ("deal", "stage"):
        came = came_to(asked, reading, since)
        won, lost = (sa.func.count().filter(came.c.kind == kind) for kind in ("won", "lost"))
        query = (
            sa.select(came.c.pipeline, came.c.stage, won.label("won"), lost.label("lost"))
            .where(came.c.kind.is_not(None))
            .group_by(came.c.pipeline, came.c.stage)
        )
        stages = {(row.pipeline, row.stage): (row.won, row.lost) for row in await reading.rows(query)}
    elif asked.options["p"] == "overall":
        facts = Facts(OUTCOMES, asked, reading)
        kinds = (sa.func.count().filter(facts.label.kind == kind) for kind in ("won", "lost"))
        closed_at = facts.row.closed_at
        closed = facts.select(*kinds, unfiltered=True).where(
            facts.stands(), counts(facts), closed_at >= since, closed_at < asked.as_of
        )
        [(won_n, lost_n)] = await reading.rows(closed)
        overall = (won_n, lost_n)
    return Chances(asked, reading.settings.pipelines, stages, overall)


def came_to(asked: Asked, reading: Reading, since: datetime) -> sa.Subquery:
    """Rows (partition, subject, pipeline, stage, entered_at, kind, closed_at): the last time since an instant that a deal came to a
    stage, and its close after that; without one, `kind` and `closed_at` are NULL.

    A visit shorter than any instant leaves no stretch, and so is not seen.
    """
    facts = Facts(DEAL_INTERVALS, asked, reading)
    keys = (facts.row.partition, facts.row.subject, facts.label.pipeline, facts.label.stage)
    entered_at = facts.row.entered_at
    entered = (
        facts.select(*keys, sa.func.max(entered_at).label("entered_at"), unfiltered=True)
        .where(
            facts.label.outcome == "open",
            entered_at >= since,
            entered_at < asked.as_of,
            facts.row.business_from < asked.as_of,
            counts(facts),
        )
        .group_by(*keys)
        .subquery("entered")
    )
    closes = Facts(OUTCOMES, asked, reading)
    row = closes.row
    closed = (
        closes.select(row.partition, row.subject, closes.label.kind, row.closed_at, unfiltered=True)
        .where(closes.stands())
        .subquery("closed")
    )
    after = sa.and_(
        closed.c.partition == entered.c.partition,
        closed.c.subject == entered.c.subject,
        closed.c.closed_at >= entered.c.entered_at,
    )
    return (
        sa.select(*entered.c, closed.c.kind, closed.c.closed_at)
        .select_from(entered.outerjoin(closed, after))
        .subquery("came")
    )
