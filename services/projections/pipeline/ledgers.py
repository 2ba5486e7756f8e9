"""The ledgers of the read model `pipeline`, for SQL."""

from services.projections.pipeline.model import LEDGERS, NAME
from services.projections.quadrant import LedgerTables

(
    DEAL_INTERVALS, OUTCOMES, EXCLUSIONS, VISITS, MILESTONES, ACTIVITIES, CONTENTS, SLIPS, APPROVALS, OBJECTIONS,
    TOUCHES,
) = (LedgerTables(ledger, NAME) for ledger in LEDGERS)  # fmt: skip
