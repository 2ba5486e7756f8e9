"""The ledgers of the read model `reference`; a row's subject is the stream's whole name."""

from typing import Final

from services.projections.quadrant import LedgerTables
from services.projections.tables import Ledger

NAME: Final = "reference"

OWNER_INTERVAL: Final = Ledger(
    "owner_interval", ("team", "manager", "region", "role"), (("left_at", "instant"),), indexes=("(subject)",)
)
ACCOUNT_INTERVAL: Final = Ledger("account_interval", ("industry", "customer_type", "size", "country", "name"))
PRODUCT_INTERVAL: Final = Ledger("product_interval", ("series", "currency", "name"))
"""`amount` is the list price in `currency`; 0 and no currency where there is none."""
RATE: Final = Ledger("rate", (), (("rate", "text"), ("event", "text")))
"""One row per FxRatePublished, from its `as_of` on; the rate as text, exactly as published. The subject is `fx/<base>-<quote>`."""
COST: Final = Ledger("cost", ("currency",), (("first_day", "day"), ("end_day", "day"), ("event", "text")))
"""One row per CampaignCostRecorded; `event` keeps two equal ones apart: `amount` spread evenly over the days from `first_day` to before `end_day`."""
CAMPAIGN_INTERVAL: Final = Ledger("campaign_interval", ("channel",))
TARGET: Final = Ledger(
    "target",
    ("scope", "scope_id", "metric", "currency", "stage", "activity_kind"),
    (("first_day", "day"), ("end_day", "day")),
)
"""One row per target as long as it stands; `amount` is what to reach."""

LEDGERS: Final = (OWNER_INTERVAL, ACCOUNT_INTERVAL, PRODUCT_INTERVAL, RATE, COST, CAMPAIGN_INTERVAL, TARGET)
OWNERS, ACCOUNTS, PRODUCTS, RATES, COSTS, CAMPAIGNS, TARGETS = (LedgerTables(ledger, NAME) for ledger in LEDGERS)
