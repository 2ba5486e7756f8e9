"""What is known of one sales cycle: the state that the fold of a lead's events leaves. Frozen, JSON both ways."""

from datetime import date, datetime
from typing import Literal

import msgspec

from schemas.events.fields import Money, Origin

ANOMALIES_KEPT = 50
"""How many contradictions a state names; it counts all of them."""

Outcome = Literal["open", "won", "lost"]
Standing = Literal["running", "out", "recycled", "cancelled", "churned", "void", "absorbed"]
"""Whether the cycle still goes on, and if not, why. `out`: screened as unfit before it was a lead."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Root of the parts of a state."""


class Anomaly(Part, frozen=True):
    """The event of that version contradicts what was known; `reason` is a sentence."""

    version: int
    type: str
    reason: str


class Touch(Part, frozen=True):
    """A campaign reached the lead."""

    campaign_id: str
    at: datetime
    channel: str | None = None


class Handover(Part, frozen=True):
    """The last answer to a hand-over between roles."""

    role: str
    accepted: bool
    at: datetime


class Score(Part, frozen=True):
    """The last judgement of a model, 0 to 100."""

    score: int
    model: str
    model_version: str


class Bant(Part, frozen=True):
    """The last answers to the four questions: yes, no, unknown."""

    budget: str
    authority: str
    need: str
    timeline: str


class ContactRole(Part, frozen=True):
    person_id: str
    role: str


class Forecast(Part, frozen=True):
    """What the owner commits to; `probability` 0 to 1."""

    category: str
    probability: float | None = None


class Waiting(Part, frozen=True):
    """Something that was asked and is not answered: an approval, an objection, a query of the customer."""

    id: str
    kind: str
    since: datetime


class Order(Part, frozen=True):
    order_id: str
    status: Literal["placed", "cancelled", "delivered"]
    value: Money | None = None


UpgradeStatus = Literal["due", "accepted", "declined", "cleared"]


class Upgrade(Part, frozen=True):
    """The flag on one term: due, and how it was answered. `contract_id` None: of the lead as a whole."""

    status: UpgradeStatus
    due_at: datetime
    basis: str
    contract_id: str | None = None
    term_end: date | None = None
    new_lead_id: str | None = None


EndReason = Literal["churned", "cancelled", "superseded", "lapsed", "withdrawn"]


class ContractState(Part, frozen=True, kw_only=True):
    """One contract. It runs from `starts_at` until `ended_at`; `mrr` is what it brings now, or brought last.

    `withdrawn`: the win it came with did not hold. `notice_at` says when a pending cancellation takes effect.
    """

    contract_id: str
    starts_at: datetime
    mrr: Money | None = None
    amount: Money | None = None
    product: str | None = None
    seats: int | None = None
    term_start: date | None = None
    term_end: date | None = None
    signed_at: datetime | None = None
    notice_withdrawn_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    voluntary: bool | None = None
    superseded_by: str | None = None

    @property
    def running(self) -> bool:
        return self.ended_at is None


class EarlyEnd(Part, frozen=True):
    """A contract was said to end before anybody said that it had begun. `contract_id` None: all of them."""

    at: datetime
    reason: EndReason
    voluntary: bool
    contract_id: str | None = None


class Consent(Part, frozen=True):
    """The last word on one purpose and channel."""

    purpose: str
    channel: str
    granted: bool
    at: datetime


class Lead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything known of one sales cycle. `value` is what the deal is worth while open, `close_value` what it closed at.

    `phase` is None for a lead nobody has heard of. `visit` counts the stages entered. `implied` names the event types that
    must have happened unseen; `anomalies` holds the last 50 contradictions, `anomaly_count` counts all. `corrections`
    counts events of the stream that correct or retract others; while one of them is `unsettled`, every new fact folds all anew.
    `followed` names pipelines that the lead was moved away from (`name@version`).
    """

    phase: str | None = None
    stage: str | None = None
    stage_entered_at: datetime | None = None
    visit: int = 0
    outcome: Outcome = "open"
    standing: Standing = "running"
    pipeline: str | None = None
    pipeline_version: int | None = None
    listed_at: datetime | None = None
    captured_at: datetime | None = None
    source_channel: str | None = None
    owner: str | None = None
    owner_role: str | None = None
    team: str | None = None
    region: str | None = None
    segment: str | None = None
    product: str | None = None
    account_id: str | None = None
    person_id: str | None = None
    campaign_id: str | None = None
    first_touch: Touch | None = None
    last_touch: Touch | None = None
    referrer_lead_id: str | None = None
    origin: Origin | None = None
    touches: int = 0
    score: Score | None = None
    handover: Handover | None = None
    mql_at: datetime | None = None
    bant: Bant | None = None
    contacts: tuple[ContactRole, ...] = ()
    consents: tuple[Consent, ...] = ()
    value: Money | None = None
    mrr: Money | None = None
    expected_close: date | None = None
    forecast: Forecast | None = None
    qualified_at: datetime | None = None
    return_on: date | None = None
    proposal_id: str | None = None
    approvals: tuple[Waiting, ...] = ()
    objections: tuple[Waiting, ...] = ()
    closed_at: datetime | None = None
    close_value: Money | None = None
    loss_reason: str | None = None
    competitor: str | None = None
    competitor_contract_id: str | None = None
    competitor_term_end: date | None = None
    revisit_on: date | None = None
    contracts: tuple[ContractState, ...] = ()
    orders: tuple[Order, ...] = ()
    delivered_at: datetime | None = None
    ended_at: datetime | None = None
    upgrades: tuple[Upgrade, ...] = ()
    queries: tuple[Waiting, ...] = ()
    advocate: bool = False
    activities: int = 0
    last_activity_at: datetime | None = None
    left_phase: str | None = None
    left_stage: str | None = None
    absorbed_leads: tuple[str, ...] = ()
    absorbed_into: str | None = None
    split_into: tuple[str, ...] = ()
    implied: tuple[str, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    anomaly_count: int = 0
    corrections: int = 0
    unsettled: bool = False
    followed: tuple[str, ...] = ()
    early_ends: tuple[EarlyEnd, ...] = ()

    @property
    def running_contracts(self) -> tuple[ContractState, ...]:
        return tuple(contract for contract in self.contracts if contract.running)

    @property
    def shown_phase(self) -> str | None:
        """The phase as people are shown it: upgrade while one is due, wherever the lead stands otherwise."""
        return "upgrade" if self.upgrade_due else self.phase

    @property
    def upgrade_due(self) -> bool:
        return any(upgrade.status == "due" for upgrade in self.upgrades)


UNKNOWN_LEAD = Lead()

INSIDE = ("corrections", "unsettled", "followed", "early_ends")
"""Fields that the fold keeps for itself: they are not shown."""
