"""visit: every stay of an open lead in a stage, from entering it to leaving it. Pure."""

from decimal import Decimal
from typing import Final

from schemas.lead import Lead
from schemas.pipelines import PHASE_RANK, Pipeline, Pipelines
from services.projections.days import micros
from services.projections.durations import duration_days
from services.projections.lead_fold import Drawn, Moment
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger

LEDGER: Final = Ledger(
    "visit",
    ("stage", "phase", "left_to", "direction", *LABELS),
    (
        ("account", "text"),
        ("captured_at", "instant"),
        ("visit", "integer"),
        ("place", "integer"),
        ("days", "integer"),
    ),
    indexes=("(business_from)", "(business_to)"),
)
SKIPPED: Final = "skipped"
_NOTHING = Decimal(0)


class Visits:
    """One row per visit [enter, exit): each return to a stage is a new one, and closed time is none.

    The labels are those at the entry. `left_to` is the stage that it was left for, or won, lost, recycled, void or absorbed, and
    `direction` forward, skip, backward, again (the same stage), moved (to another pipeline), closed (won, lost) or away
    (recycled, void, absorbed); both, and `days`, are None while the lead stays. A stage that was jumped over gets a visit of no
    length, of direction `skipped`: between the stages of one step, and before a win. `visit` rises along the lead; a skipped
    visit has the number of the visit that it was skipped for. `place` rises along the pipeline.
    """

    def __init__(self, ledger: int, pipelines: Pipelines) -> None:
        self._ledger = ledger
        self._pipelines = pipelines

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        before, after, at = moment.before, moment.after, moment.at
        is_open = visiting(after)
        if not standing and not is_open and not _won_at_once(before, after):
            return None
        if standing and is_open and _stay(before) == _stay(after):
            return None
        pipeline = self._pipelines.of(after.pipeline, after.pipeline_version)
        final: list[Row] = []
        for row in standing:  # one at most
            to, direction = _left(row, before, after, pipeline)
            final.append(self._ended(row, to, direction, at))
        began_at = micros(after.stage_entered_at) if is_open and after.stage_entered_at else at
        final += self._skipped(before, after, pipeline, at)
        if not is_open:
            return tuple(final), ()
        place = place_of(pipeline, after.stage, after.phase)
        labels = (
            after.stage,
            after.phase,
            None,
            None,
            *labels_of(after, after.value.currency if after.value else None),
        )
        return tuple(final), (
            Row(self._ledger, labels, _NOTHING, began_at, None, self._attributes(after, place, None)),
        )

    @staticmethod
    def _attributes(lead: Lead, place: int, days: int | None) -> tuple[str | int | None, ...]:
        captured_at = None if lead.captured_at is None else micros(lead.captured_at)
        return (lead.account_id, captured_at, lead.visit, place, days)

    @staticmethod
    def _ended(row: Row, to: str | None, direction: str, at: int) -> Row:
        labels = (*row.labels[:2], to, direction, *row.labels[4:])
        attributes = (*row.attributes[:-1], duration_days(row.starts, at))
        return Row(row.ledger, labels, row.amount, row.starts, at, attributes)

    def _skipped(self, before: Lead, after: Lead, pipeline: Pipeline, at: int) -> list[Row]:
        """Visits of no length to the stages between where the lead stood and where it stands, or before it is won."""
        if before.outcome != "open" or after.outcome == "lost" or not (visiting(after) or after.outcome == "won"):
            return []
        if before.pipeline is not None and before.pipeline != after.pipeline:
            return []
        came_from = -1 if before.captured_at is None else place_of(pipeline, before.stage, before.phase)
        until = place_of(pipeline, after.stage, after.phase) if visiting(after) else 2 * len(pipeline.stages)
        currency = after.value.currency if after.value else None
        shared = labels_of(after, currency)
        return [
            Row(
                self._ledger, (stage.name, stage.phase, after.stage, SKIPPED, *shared), _NOTHING, at, at,
                self._attributes(after, 2 * index, 0),
            )
            for index, stage in enumerate(pipeline.stages)
            if came_from < 2 * index < until
            and (visiting(after) or PHASE_RANK[stage.phase] < PHASE_RANK["transaction"])
        ]  # fmt: skip


def visiting(lead: Lead) -> bool:
    """Whether the lead is open and in the pipeline, so that it stays somewhere."""
    return lead.outcome == "open" and lead.standing == "running" and lead.captured_at is not None


def place_of(pipeline: Pipeline, stage: str | None, phase: str | None) -> int:
    """Where a stage lies in its pipeline: twice its number from 0; one that the pipeline lacks lies after those of its phase."""
    for index, each in enumerate(pipeline.stages):
        if each.name == stage:
            return 2 * index
    rank = PHASE_RANK[phase or "listed"]
    return 2 * sum(PHASE_RANK[each.phase] <= rank for each in pipeline.stages) - 1


def _stay(lead: Lead) -> tuple[int, str | None]:
    return lead.visit, lead.stage


def _won_at_once(before: Lead, after: Lead) -> bool:
    """It was won while it stayed nowhere: unknown, only listed, or recycled."""
    return after.outcome == "won" and before.outcome == "open"


def _left(row: Row, before: Lead, after: Lead, pipeline: Pipeline) -> tuple[str | None, str]:
    """Where to, and in which direction."""
    if after.standing in ("recycled", "void", "absorbed"):
        return after.standing, "away"
    if after.outcome != "open":
        return after.outcome, "closed"
    if before.pipeline != after.pipeline:
        return after.stage, "moved"
    was, now = place_of(pipeline, before.stage, before.phase), place_of(pipeline, after.stage, after.phase)
    if now == was:
        return after.stage, "again"
    if now < was:
        return after.stage, "backward"
    between = any(was < 2 * index < now for index in range(len(pipeline.stages)))
    return after.stage, "skip" if between else "forward"
