"""The ledgers of the read model `pipeline`, for SQL."""

from services.projections.pipeline.model import LEDGERS, NAME
from services.projections.quadrant import LedgerTables

_OF = {ledger.name: LedgerTables(ledger, NAME) for ledger in LEDGERS}
DEAL_INTERVALS = _OF["deal_interval"]
OUTCOMES = _OF["outcome"]
EXCLUSIONS = _OF["exclusion"]
VISITS = _OF["visit"]
MILESTONES = _OF["milestone"]
ACTIVITIES = _OF["activity"]
CONTENTS = _OF["content"]
SLIPS = _OF["slip"]
APPROVALS = _OF["approval"]
OBJECTIONS = _OF["objection"]
TOUCHES = _OF["touch"]
QUALITY = _OF["quality"]
