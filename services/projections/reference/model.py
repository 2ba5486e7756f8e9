"""The read model `reference` as the kernel's consumer takes it."""

from schemas.pipelines import Pipelines
from services.projections.reference.facts import LEDGERS, NAME, STREAMS, ReferenceFold
from services.projections.store import LedgerReadModel

FOLD = 1
"""Raised by every change that makes other rows or records of the same events, wherever in the code it is."""


def reference_model(pipelines: Pipelines, reporting_zone: str, leads_kept: int = 50_000) -> LedgerReadModel:
    """One instance per generation; no pipeline matters to it. Raises `zoneinfo.ZoneInfoNotFoundError` for an impossible zone."""
    del pipelines
    return LedgerReadModel(
        NAME, ReferenceFold(), LEDGERS, zone=reporting_zone, depends_on={"fold": str(FOLD)}, stream_types=STREAMS,
        leads_kept=leads_kept,
    )  # fmt: skip
