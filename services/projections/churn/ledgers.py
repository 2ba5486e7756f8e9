"""The ledgers of the read model `churn`, for SQL."""

from services.projections.churn.model import LEDGERS, NAME
from services.projections.quadrant import LedgerTables

CONTRACTS, CUSTOMERS, GONE, LINKS, REFERRALS, UPGRADES, SURVEYS, CASES, PAYMENTS = (
    LedgerTables(ledger, NAME) for ledger in LEDGERS
)
