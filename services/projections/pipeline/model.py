"""The read model `pipeline` as the kernel's consumer takes it."""

from typing import Final

from schemas.pipelines import Pipelines
from services.projections.lead_fold import LeadFold
from services.projections.pipeline import intervals, outcomes, quality, touches
from services.projections.pipeline.intervals import DealIntervals
from services.projections.pipeline.outcomes import Outcomes
from services.projections.pipeline.quality import Quality
from services.projections.pipeline.touches import Touches
from services.projections.store import LedgerReadModel, digest_of
from services.projections.tables import Ledger

NAME = "pipeline"
LEDGERS: Final[tuple[Ledger, ...]] = (intervals.LEDGER, outcomes.LEDGER, touches.LEDGER, quality.LEDGER)
FOLD = 5
"""Raised by every change that makes other rows or records of the same events, wherever in the code it is."""


def pipeline_fold(pipelines: Pipelines) -> LeadFold:
    """Each view makes the rows of its ledger; the numbers are those of `LEDGERS`."""
    return LeadFold(pipelines, (DealIntervals(0, pipelines), Outcomes(1), Touches(2), Quality(3)))


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
