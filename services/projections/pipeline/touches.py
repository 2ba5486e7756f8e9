"""touch: every time that a campaign reached a lead. Pure."""

from decimal import Decimal
from typing import Final

from schemas.events.opportunity import CampaignTouched
from services.projections.lead_fold import Drawn, Moment
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger

LEDGER: Final = Ledger(
    "touch", ("touched_by", "touched_through", *LABELS), (("account", "text"), ("touch", "integer"))
)  # fmt: skip
"""`touched_by` is the campaign, `touched_through` the channel that the touch named; the labels are those of the lead after it."""
_NOTHING = Decimal(0)


class Touches:
    """One row per CampaignTouched, from its instant on, for ever; `touch` counts them from 1 in the order of the lead's events.

    The campaign that a capture names is no touch: it is what the lead is grouped by.
    """

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        body, lead = moment.fact.body, moment.after
        if not isinstance(body, CampaignTouched) or lead.standing == "absorbed":
            return None
        # the last one is left standing so that the next can count on from it
        number = int(standing[-1].attributes[1] or 0) + 1 if standing else 1
        currency = None if lead.value is None else lead.value.currency
        labels = (body.campaign_id, body.channel, *labels_of(lead, currency))
        row = Row(self._ledger, labels, _NOTHING, moment.at, None, (lead.account_id, number))
        return standing, (row,)
