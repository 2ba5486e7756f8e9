"""The transition table as data: in which states of a lead an event is a normal step, implies another, or contradicts.

One row a rule. What a row does not name is anomalous for the events that stand in the table, and normal for all others.
The table is what the fold judges by, what the documented diagram is drawn from, and what a company tightens with `refuse`
in its pipeline: the class is data, the effect is code (the modules beside this one).
"""

from typing import Final, Literal, NamedTuple

from schemas.lead.state import Lead
from schemas.pipelines import PHASE_RANK

Class = Literal["normal", "implied", "anomalous"]

STATES: Final = (
    "unknown", "listed", "out", "opportunity", "qualify", "sales_process", "closing", "recycled", "lost", "transaction",
    "management", "cancelled", "churned", "void", "absorbed",
)  # fmt: skip
"""`closing`: in a stage of the phase transaction or later, and not yet won. `transaction`, `management`: won."""

OPEN: Final = ("opportunity", "qualify", "sales_process", "closing")
WON: Final = ("transaction", "management")
CAPTURED: Final = (*OPEN, "recycled", "lost", *WON, "cancelled", "churned", "void")


class Row(NamedTuple):
    """An event in some states. `to` None: it stays where it is. `implies`: types that must have happened unseen.

    `provided`: what else the fold looks at, in words; where it does not hold the step is anomalous.
    """

    event: str
    states: tuple[str, ...]
    to: str | None = None
    implies: tuple[str, ...] = ()
    provided: str = ""


_CAPTURE: Final = ("LeadCaptured",)
TABLE: Final = (
    Row("ContactListed", ("unknown",), "listed"),
    Row("ContactScreened", ("listed",), "out", provided="unfit; a fit contact stays listed"),
    Row("LeadCaptured", ("unknown", "listed"), "opportunity"),
    Row("LeadCaptured", CAPTURED),
    Row("MarketingQualified", ("opportunity", "qualify", "recycled"), "qualify"),
    Row("MarketingQualified", ("listed",), "qualify", _CAPTURE),
    Row("MarketingQualified", ("sales_process", "closing", "lost", *WON, "cancelled", "churned")),
    Row("BantAssessed", ("opportunity", "qualify"), "qualify"),
    Row("BantAssessed", ("listed",), "qualify", _CAPTURE),
    Row("BantAssessed", ("sales_process", "closing", "recycled", "lost", *WON, "cancelled", "churned")),
    Row("Qualified", ("opportunity", "qualify", "recycled"), "sales_process"),
    Row("Qualified", ("listed",), "sales_process", _CAPTURE),
    Row("StageEntered", (*OPEN, "recycled"), "the phase of the stage", provided="its entry criteria are met"),
    Row("StageEntered", ("listed",), "the phase of the stage", _CAPTURE, provided="its entry criteria are met"),
    Row("StageEntered", WON, "the phase of the stage", provided="a stage of no earlier phase"),
    Row("Recycled", OPEN, "recycled"),
    Row("Recycled", ("recycled",)),
    Row("Recycled", ("listed",), "recycled", _CAPTURE),
    Row("Won", ("sales_process", "closing"), "transaction"),
    Row("Won", ("opportunity", "qualify"), "transaction", ("Qualified",)),
    Row("Won", ("recycled",), "transaction", provided="implies Qualified where the lead never was"),
    Row("Won", ("listed",), "transaction", ("LeadCaptured", "Qualified")),
    Row("Won", WON, provided="a restatement, or further contracts"),
    Row("Lost", (*OPEN, "recycled"), "lost"),
    Row("Lost", ("lost",), provided="a restatement of the reason"),
    Row("Lost", ("listed",), "out"),
    Row("Reopened", ("lost", *WON), "the phase it left"),
    Row("Voided", tuple(state for state in STATES if state not in ("unknown", "absorbed")), "void"),
    Row("OrderCancelled", ("transaction",), "cancelled", provided="of all orders; while some stand the lead stays"),
    Row("Delivered", ("transaction",), "management"),
    Row("Delivered", ("management",)),
    Row("Churned", WON, "churned", provided="of the last contract, and not before its start"),
    Row("CancellationRequested", WON, "churned", provided="at effective_at, unless it is withdrawn; not before its start"),
    Row("Reactivated", ("churned",), "management"),
    Row("Reactivated", WON, provided="of a contract that has ended"),
    Row("UpgradeDue", WON, provided="a contract runs; the phase shown is upgrade"),
    Row("UpgradeDue", (*OPEN, "recycled", "lost", "churned"), provided="a competitor's term is known; the phase shown is upgrade"),
    Row("UpgradeAccepted", CAPTURED, provided="an upgrade is due"),
    Row("UpgradeDeclined", CAPTURED, provided="an upgrade is due"),
    Row("ContractRenewed", WON),
)  # fmt: skip

IN_TABLE: Final = frozenset(row.event for row in TABLE)
_ROWS: Final = {(row.event, state): row for row in TABLE for state in row.states}
_UNSAID: Final = {
    "listed": "the lead is only on a list",
    "out": "the contact was screened out",
    "recycled": "the lead was recycled",
    "lost": "the lead was lost, and nobody reopened it",
    "transaction": "the lead was won, and nobody reopened it",
    "management": "the lead was won, and nobody reopened it",
    "cancelled": "its orders were cancelled",
    "churned": "the customer has left",
    "void": "the lead was voided",
}


def state_of(lead: Lead) -> str:
    """The state of the table that a lead is in."""
    if lead.standing != "running":
        return lead.standing
    phase = lead.phase
    if phase is None:
        return "unknown"
    if phase == "listed":
        return "listed"
    if lead.outcome == "lost":
        return "lost"
    if lead.outcome == "won":
        return "transaction" if PHASE_RANK[phase] <= PHASE_RANK["transaction"] else "management"
    return phase if PHASE_RANK[phase] < PHASE_RANK["transaction"] else "closing"


def row_of(event: str, state: str) -> Row | None:
    return _ROWS.get((event, state))


def class_of(event: str, state: str) -> Class:
    """The class of an event in a state by the table alone, before the fold looks at what else must hold."""
    if state == "unknown":
        return "normal" if event in ("ContactListed", "LeadCaptured") else "implied"
    if event not in IN_TABLE or state == "absorbed":
        return "normal"
    row = _ROWS.get((event, state))
    if row is None:
        return "anomalous"
    return "implied" if row.implies else "normal"


def why_anomalous(event: str, state: str) -> str:
    """The sentence that says what contradicts what, where the table has no row."""
    if state in _UNSAID:
        return f"{event} came although {_UNSAID[state]}"
    return f"{event} came in the phase {state.replace('_', ' ')}, where it is no step"


def normal_events(lead: Lead) -> list[str]:
    """The events of the table that are normal steps for this lead as it stands."""
    state = state_of(lead)
    names = {row.event for row in TABLE if state in row.states and not row.implies}
    if state == "unknown":
        return sorted(names)
    if lead.competitor_term_end is None and not (lead.outcome == "won" and lead.running_contracts):
        names.discard("UpgradeDue")
    if not lead.upgrade_due:
        names -= {"UpgradeAccepted", "UpgradeDeclined"}
    if state in WON and all(contract.running for contract in lead.contracts):
        names.discard("Reactivated")
    if state in WON and not lead.running_contracts:
        names -= {"Churned", "CancellationRequested", "ContractRenewed"}
    if state == "recycled" and lead.qualified_at is None:
        names.discard("Won")
    return sorted(names)
