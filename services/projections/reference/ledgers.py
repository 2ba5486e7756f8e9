"""The ledgers of the read model `reference`, for SQL; a row's subject is the stream's whole name."""

from services.projections.quadrant import LedgerTables
from services.projections.reference.facts import LEDGERS, NAME

OWNERS, ACCOUNTS, PRODUCTS, RATES, COSTS, CAMPAIGNS, TARGETS = (LedgerTables(ledger, NAME) for ledger in LEDGERS)
