"""The read model `pipeline` as the kernel's consumer takes it."""

from schemas.pipelines import Pipelines
from services.kernel.sql_files import sql
from services.projections.pipeline.facts import PipelineFold
from services.projections.store import Ledger, LedgerReadModel, digest_of

NAME = "pipeline"
LABELS = ("stage", "phase", "outcome", "pipeline", "currency", "owner", "source_channel", "product", "region")
LEDGER = Ledger("deal_interval", LABELS)
FOLD = 2
"""Raised by every change that makes other rows or records of the same events, wherever in the code it is."""


def pipeline_model(pipelines: Pipelines, reporting_zone: str, leads_kept: int = 50_000) -> LedgerReadModel:
    """One instance per generation; raises `zoneinfo.ZoneInfoNotFoundError` for an impossible zone."""
    return LedgerReadModel(
        NAME,
        PipelineFold(pipelines),
        (LEDGER,),
        tables_sql=sql("services.projections.pipeline", "tables"),
        indexes_sql=sql("services.projections.pipeline", "indexes"),
        zone=reporting_zone,
        depends_on={"fold": str(FOLD), "pipelines": digest_of(pipelines.description())},
        leads_kept=leads_kept,
    )
