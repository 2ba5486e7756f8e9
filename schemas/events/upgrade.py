"""Events of the phase upgrade: the offer before the term ends, also to those who bought elsewhere."""

from typing import Annotated, Literal

from schemas.events.fields import Body, ContractId, Day, Id, Instant, Name, Prose, doc


class UpgradeDue(Body, frozen=True, kw_only=True):
    """A term nears its end, or a product its age: time to offer the next one."""

    due_at: Annotated[Instant, doc("When the offer is due.", "2026-10-01T00:00:00Z")]
    basis: Annotated[Literal["own_term", "competitor_term", "product_age"], doc("What makes it due.", "own_term")]
    contract_id: Annotated[
        ContractId | None, doc("The contract in question; a competitor's is `competitor:<lead>`.", "C-77")
    ] = None
    term_end: Annotated[Day | None, doc("Last day of the term in question.", "2026-12-31")] = None


class UpgradeAccepted(Body, frozen=True, kw_only=True):
    """They want the next one: a new cycle begins, its LeadCaptured carries `origin` back (derived)."""

    new_lead_id: Annotated[Id, doc("The new lead, without `lead/`.", "L-9")]
    contract_id: Annotated[ContractId | None, doc("The contract whose upgrade was due.", "C-77")] = None


class UpgradeDeclined(Body, frozen=True, kw_only=True):
    """They do not want the next one now."""

    reason: Annotated[Prose, doc("Why, in words.", "Happy with what they have.")]
    contract_id: Annotated[ContractId | None, doc("The contract whose upgrade was due.", "C-77")] = None


class CompetitorTermRecorded(Body, frozen=True, kw_only=True):
    """We know until when they are bound to somebody else."""

    competitor: Annotated[Name, doc("To whom they are bound.", "Globex")]
    term_end: Annotated[Day, doc("Last day of that term.", "2027-12-31")]
    contract_id: Annotated[
        ContractId | None, doc("Its name with us; absent: `competitor:<lead>`.", "competitor:L-1")
    ] = None
