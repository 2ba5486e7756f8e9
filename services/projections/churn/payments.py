"""payment: what was signed, invoiced, received, refused and given back. Pure."""

from decimal import Decimal
from typing import Final

from schemas.events.transaction import (
    ContractSigned,
    InvoiceIssued,
    PaymentFailed,
    PaymentReceived,
    PaymentRefunded,
)
from services.projections.days import EPOCH
from services.projections.lead_fold import Drawn, Moment
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger

LEDGER: Final = Ledger(
    "payment",
    ("what", *LABELS),
    (("account", "text"), ("invoice_id", "text"), ("reference", "text"), ("due_on", "day"), ("version", "integer")),
    indexes=("(subject)",),
)
_WHAT: Final[dict[type, str]] = {
    ContractSigned: "signed", InvoiceIssued: "invoiced", PaymentReceived: "received", PaymentFailed: "failed",
    PaymentRefunded: "refunded",
}  # fmt: skip
_NOTHING = Decimal(0)
_EPOCH_DATE = EPOCH.date()


class Payments:
    """One row per event; the amount is its own, 0 where it has none. `reference` is the payment, or the contract that was signed."""

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        body, lead = moment.fact.body, moment.after
        what = _WHAT.get(type(body))
        if what is None:
            return None
        money = getattr(body, "amount", None)
        due_on = getattr(body, "due_on", None)
        attributes = (
            lead.account_id, getattr(body, "invoice_id", None), getattr(body, "payment_id", None) or getattr(body, "contract_id", None),
            None if due_on is None else (due_on - _EPOCH_DATE).days, moment.fact.version,
        )  # fmt: skip
        labels = (what, *labels_of(lead, None if money is None else money.currency))
        amount = _NOTHING if money is None else Decimal(money.amount)
        return (Row(self._ledger, labels, amount, moment.at, None, attributes),), standing
