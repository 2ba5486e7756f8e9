"""The read model `pipeline` as the kernel's consumer takes it."""

from typing import Final

from schemas.pipelines import Pipelines
from services.projections.lead_fold import LeadFold
from services.projections.pipeline import (
    exclusion,
    intervals,
    milestones,
    occurrences,
    outcomes,
    quality,
    touches,
    visits,
    waits,
)
from services.projections.pipeline.exclusion import Exclusions
from services.projections.pipeline.intervals import DealIntervals
from services.projections.pipeline.milestones import Milestones
from services.projections.pipeline.occurrences import Activities, Contents, Slips
from services.projections.pipeline.outcomes import Outcomes
from services.projections.pipeline.quality import Quality
from services.projections.pipeline.touches import Touches
from services.projections.pipeline.visits import Visits
from services.projections.pipeline.waits import APPROVALS, OBJECTIONS, Waits
from services.projections.store import LedgerReadModel, digest_of
from services.projections.tables import Ledger

NAME = "pipeline"
LEDGERS: Final[tuple[Ledger, ...]] = (
    intervals.LEDGER,
    outcomes.LEDGER,
    exclusion.LEDGER,
    visits.LEDGER,
    milestones.LEDGER,
    occurrences.ACTIVITY,
    occurrences.CONTENT,
    occurrences.SLIP,
    waits.APPROVAL,
    waits.OBJECTION,
    touches.LEDGER,
    quality.LEDGER,
)
FOLD = 6
"""Raised by every change that makes other rows or records of the same events, wherever in the code it is."""


def pipeline_fold(pipelines: Pipelines) -> LeadFold:
    """Each view makes the rows of its ledger; the numbers are those of `LEDGERS`."""
    number = LEDGERS.index
    views = (
        DealIntervals(number(intervals.LEDGER), pipelines),
        Outcomes(number(outcomes.LEDGER)),
        Exclusions(number(exclusion.LEDGER)),
        Visits(number(visits.LEDGER), pipelines),
        Milestones(number(milestones.LEDGER), pipelines),
        Activities(number(occurrences.ACTIVITY)),
        Contents(number(occurrences.CONTENT)),
        Slips(number(occurrences.SLIP), pipelines),
        Waits(number(waits.APPROVAL), APPROVALS),
        Waits(number(waits.OBJECTION), OBJECTIONS),
        Touches(number(touches.LEDGER)),
        Quality(number(quality.LEDGER)),
    )
    return LeadFold(pipelines, views)


def pipeline_model(pipelines: Pipelines, reporting_zone: str, leads_kept: int = 50_000) -> LedgerReadModel:
    """One instance per generation; raises `zoneinfo.ZoneInfoNotFoundError` for an impossible zone."""
    return LedgerReadModel(
        NAME,
        pipeline_fold(pipelines),
        LEDGERS,
        zone=reporting_zone,
        depends_on={"fold": str(FOLD), "pipelines": digest_of(pipelines.description())},
        leads_kept=leads_kept,
    )
