"""link: a lead that grew out of another one, or was named by one; referral: a customer named somebody. Pure."""

from decimal import Decimal
from typing import Final

from schemas.lead import Lead
from services.projections.churn.wins import holds
from services.projections.days import micros
from services.projections.lead_fold import Drawn, Moment, turned
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger

LEDGER: Final = Ledger(
    "link",
    ("kind", *LABELS),
    (("account", "text"), ("origin", "text"), ("referrer", "text"), ("captured_at", "instant"), ("won_at", "instant")),
    indexes=("(subject)",),
)
REFERRAL: Final = Ledger("referral", LABELS, (("account", "text"), ("referred", "text"), ("version", "integer")))
_NOTHING = Decimal(0)


class Links:
    """One row per stretch of a captured lead that names an earlier one: `origin` with its kind, or a `referrer`, or both.

    `won_at` is when it was won, while the win holds; the amount is what it closed at. A voided or absorbed lead has no row.
    """

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        lead = moment.after
        if lead.origin is None and lead.referrer_lead_id is None and not standing:
            return None
        return turned(standing, self._rows(lead, moment.at), moment.at)

    def _rows(self, lead: Lead, at: int) -> tuple[Row, ...]:
        if lead.captured_at is None or lead.standing in ("void", "absorbed"):
            return ()
        if lead.origin is None and lead.referrer_lead_id is None:
            return ()
        kind, origin = (None, None) if lead.origin is None else (lead.origin.kind, lead.origin.lead_id)
        won_at = micros(lead.closed_at) if holds(lead) and lead.closed_at is not None else None
        value = lead.close_value if won_at is not None else None
        labels = (kind, *labels_of(lead, None if value is None else value.currency))
        attributes = (lead.account_id, origin, lead.referrer_lead_id, micros(lead.captured_at), won_at)
        return (Row(self._ledger, labels, _NOTHING if value is None else Decimal(value.amount), at, None, attributes),)


class Referrals:
    """One row per ReferralMade, by what its lead was then; `referred` is the lead that it became, where that was told.

    `version` is the event's in its stream: it tells apart what is otherwise told twice in the same words.
    """

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        if moment.fact.type != "ReferralMade":
            return None
        lead = moment.after
        attributes = (lead.account_id, moment.fact.body.referred_lead_id, moment.fact.version)
        return (Row(self._ledger, labels_of(lead, None), _NOTHING, moment.at, None, attributes),), standing
