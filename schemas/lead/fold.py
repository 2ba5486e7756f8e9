"""The state of a lead: a pure, total fold of its events in the order of (business_at, sequence, rank, version).

The one fold of the system: lifecycle decides by it, read models derive their facts from it, and a subscriber may run it
too. Other systems post facts late and out of order, so a step is never refused here; it is normal, implied (it skips
something that must have happened) or anomalous (it contradicts what is known), and the fold says which. Because classes
are recomputed by every fold, a later, earlier-dated event may heal an anomaly.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never, cast

from msgspec.structs import replace

from schemas.corrections import effective
from schemas.events.corrections import EventCorrected, EventRetracted
from schemas.events.management import (
    AdvocateIdentified,
    CancellationRequested,
    CancellationWithdrawn,
    Churned,
    ContractChanged,
    ContractRenewed,
    ContractSuperseded,
    QueryRaised,
    QueryResolved,
    Reactivated,
    ReferralMade,
    SurveyAnswered,
    SurveySent,
    TestimonialGiven,
)
from schemas.events.opportunity import (
    CampaignTouched,
    ContactListed,
    ContactScreened,
    HandoverAccepted,
    HandoverRejected,
    LeadAbsorbed,
    LeadAssigned,
    LeadCaptured,
    LeadEnriched,
    LeadMerged,
    LeadScored,
    SegmentAssigned,
)
from schemas.events.parties import ConsentGranted, ConsentWithdrawn
from schemas.events.qualify import BantAssessed, ContactRoleSet, MarketingQualified, Qualified, Recycled
from schemas.events.sales_process import (
    AccountChanged,
    ActivityLogged,
    ApprovalDecided,
    ApprovalRequested,
    CompetitorIdentified,
    ContentShared,
    ExpectedCloseChanged,
    ForecastSet,
    ObjectionRaised,
    ObjectionResolved,
    PipelineMoved,
    ProposalSent,
    StageEntered,
    ValueChanged,
)
from schemas.events.transaction import (
    ContractSigned,
    Delivered,
    InvoiceIssued,
    LeadSplit,
    Lost,
    OrderCancelled,
    OrderPlaced,
    PaymentFailed,
    PaymentReceived,
    PaymentRefunded,
    Reopened,
    Voided,
    Won,
)
from schemas.events.upgrade import CompetitorTermRecorded, UpgradeAccepted, UpgradeDeclined, UpgradeDue
from schemas.fact import Fact
from schemas.lead import closing, keeping, opening, selling
from schemas.lead.changes import adding, anomalous, noted
from schemas.lead.keeping import time_passed
from schemas.lead.state import UNKNOWN_LEAD, Anomaly, Forecast, Lead
from schemas.lead.transitions import class_of, row_of, state_of, why_anomalous
from schemas.pipelines import Pipelines

LeadBody = (
    ContactListed | ContactScreened | LeadCaptured | LeadEnriched | LeadScored | SegmentAssigned | CampaignTouched
    | LeadAssigned | HandoverAccepted | HandoverRejected | LeadMerged | LeadAbsorbed | MarketingQualified | ContactRoleSet
    | BantAssessed | Qualified | Recycled | StageEntered | ActivityLogged | ContentShared | ProposalSent | ApprovalRequested
    | ApprovalDecided | ObjectionRaised | ObjectionResolved | ValueChanged | ExpectedCloseChanged | ForecastSet
    | CompetitorIdentified | AccountChanged | PipelineMoved | Won | Lost | Reopened | Voided | LeadSplit | ContractSigned
    | OrderPlaced | OrderCancelled | Delivered | InvoiceIssued | PaymentReceived | PaymentFailed | PaymentRefunded
    | SurveySent | SurveyAnswered | QueryRaised | QueryResolved | AdvocateIdentified | TestimonialGiven | ReferralMade
    | ContractChanged | ContractRenewed | ContractSuperseded | CancellationRequested | CancellationWithdrawn | Churned
    | Reactivated | UpgradeDue | UpgradeAccepted | UpgradeDeclined | CompetitorTermRecorded | ConsentGranted
    | ConsentWithdrawn | EventCorrected | EventRetracted
)  # fmt: skip
"""Every body that may stand on a lead: a type that is missing below fails the type check."""


def fold(facts: Iterable[Fact], pipelines: Pipelines, lead: Lead = UNKNOWN_LEAD) -> Lead:
    """The state after all `facts`, in any order; corrections among them count as `schemas.corrections` says."""
    found = effective(facts)
    for fact in found.facts:
        lead = evolve(lead, fact, pipelines)
    for each in found.waiting:
        lead = noted(lead, Anomaly(each.version, each.type, each.reason))
    return replace(lead, corrections=found.corrections, unsettled=not found.settled) if found.corrections else lead


def at_instant(facts: Iterable[Fact], at: datetime, pipelines: Pipelines) -> Lead:
    """The state at an instant: all facts with a business_at before it, and what time alone has brought until then."""
    found = effective(facts)
    lead = UNKNOWN_LEAD
    for fact in found.facts:
        if fact.at < at:
            lead = evolve(lead, fact, pipelines)
    for each in found.waiting:
        if each.at < at:
            lead = noted(lead, Anomaly(each.version, each.type, each.reason))
    return time_passed(lead, at, pipelines)


def evolve(lead: Lead, fact: Fact, pipelines: Pipelines) -> Lead:
    """The state after one more event, which sorts after all before it. Total: never raises, never loses a fact."""
    if lead.outcome == "won":
        lead = time_passed(lead, fact.at, pipelines)
    if (
        type(fact.body) is ActivityLogged and lead.phase is not None and lead.standing != "absorbed"
    ):  # most events of all
        return replace(lead, activities=lead.activities + 1, last_activity_at=fact.at)
    state = state_of(lead)
    if state == "absorbed":
        return lead
    kind = class_of(fact.type, state)
    if kind == "implied":
        if state == "unknown":
            lead = opening.capture_implied(lead, fact, pipelines)
            state = state_of(lead)
            kind = class_of(fact.type, state)
        row = row_of(fact.type, state)
        if row is not None and "LeadCaptured" in row.implies:
            lead = opening.capture_implied(lead, fact, pipelines)
    if kind == "anomalous":
        return _step(anomalous(lead, fact, why_anomalous(fact.type, state)), fact, pipelines)
    return _step(lead, fact, pipelines)


def _step(lead: Lead, fact: Fact, pipelines: Pipelines) -> Lead:  # noqa: C901, PLR0912  one arm a type: the compiler counts them
    body = cast(LeadBody, fact.body)
    match body:
        case ActivityLogged():
            return replace(lead, activities=lead.activities + 1, last_activity_at=fact.at)
        case ContactListed():
            return opening.listed(lead, fact, body)
        case ContactScreened():
            return opening.screened(lead, body)
        case LeadCaptured():
            return opening.captured(lead, fact, body, pipelines)
        case LeadScored():
            return opening.scored(lead, body)
        case SegmentAssigned():
            return replace(lead, segment=body.segment)
        case CampaignTouched():
            return opening.touched(lead, fact, body)
        case LeadAssigned():
            return opening.assigned(lead, body)
        case HandoverAccepted() | HandoverRejected():
            return opening.handed_over(lead, fact, body)
        case LeadMerged():
            return replace(lead, absorbed_leads=adding(lead.absorbed_leads, body.absorbed_lead_id))
        case LeadAbsorbed():
            return replace(lead, standing="absorbed", absorbed_into=body.surviving_lead_id, ended_at=fact.at)
        case ConsentGranted() | ConsentWithdrawn():
            return opening.consented(lead, fact, body)
        case MarketingQualified():
            return selling.marketing_qualified(lead, fact, body, pipelines)
        case ContactRoleSet():
            return selling.contact_role_set(lead, body)
        case BantAssessed():
            return selling.bant_assessed(lead, fact, body, pipelines)
        case Qualified():
            return selling.qualified(lead, fact, body, pipelines)
        case Recycled():
            return selling.recycled(lead, body)
        case StageEntered():
            return selling.stage_entered(lead, fact, body, pipelines)
        case PipelineMoved():
            return selling.pipeline_moved(lead, fact, body, pipelines)
        case ProposalSent():
            return selling.proposed(lead, body)
        case ApprovalRequested() | ApprovalDecided():
            return selling.approval(lead, fact, body)
        case ObjectionRaised() | ObjectionResolved():
            return selling.objection(lead, fact, body)
        case ValueChanged():
            return replace(lead, value=body.value)
        case ExpectedCloseChanged():
            return replace(lead, expected_close=body.expected_close)
        case ForecastSet():
            return replace(lead, forecast=Forecast(body.category, body.probability))
        case CompetitorIdentified():
            return replace(lead, competitor=body.competitor)
        case AccountChanged():
            return replace(lead, account_id=body.account_id)
        case Won():
            return closing.won(lead, fact, body, pipelines)
        case Lost():
            return closing.lost(lead, fact, body)
        case Reopened():
            return closing.reopened(lead, fact)
        case Voided():
            return closing.voided(lead, fact)
        case LeadSplit():
            return replace(lead, split_into=adding(lead.split_into, *body.new_lead_ids))
        case OrderPlaced():
            return closing.order_placed(lead, body)
        case OrderCancelled():
            return closing.order_cancelled(lead, fact, body)
        case Delivered():
            return closing.delivered(lead, fact, body, pipelines)
        case ContractSigned():
            return keeping.signed(lead, fact, body)
        case ContractChanged():
            return keeping.changed(lead, fact, body)
        case ContractRenewed():
            return keeping.renewed(lead, fact, body)
        case ContractSuperseded():
            return keeping.superseded(lead, fact, body)
        case CancellationRequested():
            return keeping.cancellation_requested(lead, fact, body)
        case CancellationWithdrawn():
            return keeping.cancellation_withdrawn(lead, fact, body)
        case Churned():
            return keeping.churned(lead, fact, body)
        case Reactivated():
            return keeping.reactivated(lead, fact, body, pipelines)
        case UpgradeDue():
            return keeping.upgrade_due(lead, fact, body)
        case UpgradeAccepted() | UpgradeDeclined():
            return keeping.upgrade_answered(lead, fact, body)
        case CompetitorTermRecorded():
            return keeping.competitor_term(lead, body)
        case QueryRaised() | QueryResolved():
            return keeping.query(lead, fact, body)
        case AdvocateIdentified():
            return replace(lead, advocate=True)
        case (
            LeadEnriched() | ContentShared() | InvoiceIssued() | PaymentReceived() | PaymentFailed() | PaymentRefunded()
            | SurveySent() | SurveyAnswered() | TestimonialGiven() | ReferralMade() | EventCorrected() | EventRetracted()
        ):  # fmt: skip
            return lead  # history, and no state: whoever counts them reads them where they stand
        case _:
            assert_never(body)
