"""The ledgers of the read model `pipeline`, for SQL."""

from services.projections.pipeline.model import LEDGERS, NAME
from services.projections.quadrant import LedgerTables

DEAL_INTERVALS, OUTCOMES, TOUCHES, QUALITY = (LedgerTables(ledger, NAME) for ledger in LEDGERS)
