"""Events of the phase transaction: the decision, and what follows from it until the customer has what was bought."""

from typing import Annotated

from msgspec import Meta

from schemas.events.fields import Body, Code, Contract, ContractId, Day, Id, Money, Name, Prose, doc

LOSS_REASONS = "price, feature, competitor, no_budget, no_decision, timing, unfit, unreachable, unknown, other"


class Won(Body, frozen=True, kw_only=True):
    """The deal is closed; its contracts begin."""

    value: Annotated[Money, doc("Value of the deal as closed, before tax.")]
    account_id: Annotated[Id | None, doc("Company that bought (stream `account/<id>`).", "acme")] = None
    competitor_beaten: Annotated[Name | None, doc("Whose offer was declined.", "Globex")] = None
    contracts: Annotated[
        tuple[Contract, ...],
        Meta(max_length=100),
        doc("What was sold. Absent where nothing recurs and the value says it all."),
    ] = ()


class Lost(Body, frozen=True, kw_only=True):
    """The deal will not happen for now."""

    reason: Annotated[Code, doc(f"Why. Open set; shipped: {LOSS_REASONS}.", "price")]
    competitor: Annotated[Name | None, doc("Who won instead.", "Globex")] = None
    competitor_term_end: Annotated[Day | None, doc("Last day of the competitor's contract.", "2027-12-31")] = None
    revisit_on: Annotated[Day | None, doc("Day to ask again.", "2027-09-01")] = None


class Reopened(Body, frozen=True, kw_only=True):
    """The close did not hold: the lead goes back to where it left from."""

    reason: Annotated[Prose, doc("Why, in words.", "They came back with a budget.")]


class Voided(Body, frozen=True, kw_only=True):
    """The lead was a mistake or a duplicate. It is not lost: it never counted."""

    reason: Annotated[Prose, doc("Why, in words.", "A test entry.")]


class LeadSplit(Body, frozen=True, kw_only=True):
    """One deal became several; each new lead carries `origin` back (derived LeadCaptured)."""

    new_lead_ids: Annotated[
        tuple[Id, ...], Meta(min_length=1, max_length=50), doc("The new leads, without `lead/`.", ["L-8", "L-9"])
    ]


class ContractSigned(Body, frozen=True, kw_only=True):
    """Both sides have signed."""

    contract_id: Annotated[ContractId, doc("The contract.", "C-77")]


class OrderPlaced(Body, frozen=True, kw_only=True):
    """The customer ordered."""

    order_id: Annotated[Id, doc("The order.", "S-100")]
    value: Annotated[Money | None, doc("Total, before tax.")] = None


class OrderCancelled(Body, frozen=True, kw_only=True):
    """The order will not be delivered."""

    order_id: Annotated[Id, doc("The order.", "S-100")]
    value: Annotated[Money | None, doc("Total, before tax.")] = None


class Delivered(Body, frozen=True, kw_only=True):
    """The customer has what was bought: the phase management begins."""

    order_id: Annotated[Id | None, doc("The order; absent: all that was sold.", "S-100")] = None


class InvoiceIssued(Body, frozen=True, kw_only=True):
    """The customer owes us money."""

    invoice_id: Annotated[Id, doc("The invoice.", "I-2026-88")]
    due_on: Annotated[Day, doc("Last day on which it is paid in time.", "2026-05-31")]
    amount: Annotated[Money | None, doc("Total, with tax.")] = None


class PaymentReceived(Body, frozen=True, kw_only=True):
    """Money came in."""

    payment_id: Annotated[Id, doc("The payment.", "P-1")]
    amount: Annotated[Money, doc("What came in.")]
    invoice_id: Annotated[Id | None, doc("Invoice it pays.", "I-2026-88")] = None


class PaymentFailed(Body, frozen=True, kw_only=True):
    """A payment was tried and did not come in."""

    payment_id: Annotated[Id, doc("The attempt.", "P-2")]
    amount: Annotated[Money, doc("What should have come in.")]
    invoice_id: Annotated[Id | None, doc("Invoice it should have paid.", "I-2026-88")] = None


class PaymentRefunded(Body, frozen=True, kw_only=True):
    """We gave money back."""

    payment_id: Annotated[Id, doc("The payment that is given back.", "P-1")]
    amount: Annotated[Money, doc("What we gave back.")]
    invoice_id: Annotated[Id | None, doc("Invoice it had paid.", "I-2026-88")] = None
