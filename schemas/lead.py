"""The state of a lead: a pure, total fold of its events in the order of (business_at, sequence, rank, version).

The one fold of the system: lifecycle decides by it, read models derive their facts from it, and a subscriber may run it
too. Other systems post facts late and out of order, so a step is never refused here; it is normal, implied (it skips
something that must have happened) or anomalous (it contradicts what is known), and the fold says which. Because classes
are recomputed by every fold, a later, earlier-dated event may heal an anomaly.
"""

from datetime import date, datetime
from typing import Any, Literal, assert_never

import msgspec
from msgspec.structs import replace

from schemas.events import (
    ActivityLogged,
    Contract,
    LeadBody,
    LeadCaptured,
    Lost,
    Money,
    Origin,
    Qualified,
    StageEntered,
    UpgradeDue,
    ValueChanged,
    Won,
)
from schemas.pipelines import PHASE_RANK, Pipelines

OrderKey = tuple[int, int, str, int]
"""(business_at in µs since 1970, 0 or 1 = no sequence, sequence, rank of the type); the version breaks ties."""

ANOMALIES_KEPT = 50


class Fact(msgspec.Struct, frozen=True, gc=False):
    """One event as the fold reads it: `at` is its business_at."""

    key: OrderKey
    version: int
    type: str
    at: datetime
    body: LeadBody


class Anomaly(msgspec.Struct, frozen=True):
    """The event of that version contradicts what was known; `reason` is a sentence."""

    version: int
    type: str
    reason: str


class Upgrade(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of the upgrade of a term: due, and later how it was answered."""

    status: Literal["due"]
    due_at: datetime
    basis: str
    contract_id: str | None = None
    term_end: date | None = None


class Lead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything known of one sales cycle. `value` is what the deal is worth while open, `close_value` what it closed at.

    `phase` is None for a lead nobody has heard of. `implied` names the event types that must have happened unseen;
    `anomalies` holds the last 50 contradictions, `anomaly_count` counts all.
    """

    phase: str | None = None
    stage: str | None = None
    stage_entered_at: datetime | None = None
    outcome: Literal["open", "won", "lost"] = "open"
    pipeline: str | None = None
    pipeline_version: int | None = None
    captured_at: datetime | None = None
    source_channel: str | None = None
    owner: str | None = None
    region: str | None = None
    segment: str | None = None
    product: str | None = None
    account_id: str | None = None
    person_id: str | None = None
    campaign_id: str | None = None
    referrer_lead_id: str | None = None
    origin: Origin | None = None
    touches: int = 0
    value: Money | None = None
    mrr: Money | None = None
    expected_close: date | None = None
    qualified_at: datetime | None = None
    closed_at: datetime | None = None
    close_value: Money | None = None
    loss_reason: str | None = None
    competitor: str | None = None
    competitor_term_end: date | None = None
    revisit_on: date | None = None
    contracts: tuple[Contract, ...] = ()
    upgrade: Upgrade | None = None
    activities: int = 0
    last_activity_at: datetime | None = None
    left_phase: str | None = None
    left_stage: str | None = None
    implied: tuple[str, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    anomaly_count: int = 0


UNKNOWN_LEAD = Lead()

_FILLED_BY_A_FURTHER_TOUCH = (
    "owner", "region", "segment", "product", "account_id", "person_id", "campaign_id", "referrer_lead_id", "value", "origin",
)  # fmt: skip


def evolve(lead: Lead, fact: Fact, pipelines: Pipelines) -> Lead:
    """The state after one more event, which sorts after all before it. Total: never raises, never loses a fact."""
    body = fact.body
    if lead.phase is None and not isinstance(body, LeadCaptured):
        lead = _capture_implied(lead, fact.at, pipelines)
    match body:
        case LeadCaptured():
            return _captured(lead, fact, body, pipelines)
        case Qualified():
            return _qualified(lead, fact, body, pipelines)
        case StageEntered():
            return _stage_entered(lead, fact, body, pipelines)
        case ActivityLogged():
            return replace(lead, activities=lead.activities + 1, last_activity_at=fact.at)
        case ValueChanged():
            return replace(lead, value=body.value)
        case Won():
            return _won(lead, fact, body, pipelines)
        case Lost():
            return _lost(lead, fact, body)
        case UpgradeDue():
            return _upgrade_due(lead, fact, body)
        case _:
            assert_never(body)


def fold(facts: "list[Fact]", pipelines: Pipelines, lead: Lead = UNKNOWN_LEAD) -> Lead:
    """The state after all `facts`, which must be sorted by (key, version)."""
    for fact in facts:
        lead = evolve(lead, fact, pipelines)
    return lead


def normal_next(lead: Lead) -> list[str]:
    """The event types of the transition table that are a normal step from this state, for a caller who was refused."""
    steps = ["ActivityLogged", "LeadCaptured", "ValueChanged"] if lead.phase else ["LeadCaptured"]
    if lead.phase and lead.outcome != "lost":
        steps.append("StageEntered")
    if lead.outcome == "open":
        if lead.phase in ("opportunity", "qualify"):
            steps.append("Qualified")
        if lead.phase and PHASE_RANK[lead.phase] >= PHASE_RANK["sales_process"]:
            steps.append("Won")
    if lead.phase and lead.outcome != "won":
        steps.append("Lost")
    if lead.outcome == "won":
        steps.append("Won")
    if _term_known(lead):
        steps.append("UpgradeDue")
    return sorted(steps)


def _capture_implied(lead: Lead, at: datetime, pipelines: Pipelines) -> Lead:
    pipeline = pipelines.default
    return replace(
        lead,
        phase=pipeline.first.phase,
        stage=pipeline.first.name,
        stage_entered_at=at,
        pipeline=pipeline.name,
        pipeline_version=pipeline.version,
        captured_at=at,
        source_channel="unknown",
        implied=(*lead.implied, "LeadCaptured"),
    )


def _captured(lead: Lead, fact: Fact, body: LeadCaptured, pipelines: Pipelines) -> Lead:
    if lead.phase is not None and "LeadCaptured" not in lead.implied:
        blanks = {name: getattr(body, name) for name in _FILLED_BY_A_FURTHER_TOUCH if getattr(lead, name) is None}
        return replace(lead, touches=lead.touches + 1, **blanks)
    pipeline = pipelines.of(body.pipeline)
    if lead.phase is None:  # nothing is known of it yet
        return Lead(
            phase=pipeline.first.phase,
            stage=pipeline.first.name,
            stage_entered_at=fact.at,
            pipeline=pipeline.name,
            pipeline_version=pipeline.version,
            captured_at=fact.at,
            source_channel=body.source_channel,
            touches=1,
            owner=body.owner,
            region=body.region,
            segment=body.segment,
            product=body.product,
            account_id=body.account_id,
            person_id=body.person_id,
            campaign_id=body.campaign_id,
            referrer_lead_id=body.referrer_lead_id,
            value=body.value,
            origin=body.origin,
        )
    known: dict[str, Any] = {
        name: getattr(body, name) if getattr(body, name) is not None else getattr(lead, name)
        for name in _FILLED_BY_A_FURTHER_TOUCH
    }
    known.update(
        pipeline=pipeline.name,
        pipeline_version=pipeline.version,
        captured_at=fact.at,
        source_channel=body.source_channel,
        touches=lead.touches + 1,
        implied=_without(lead.implied, "LeadCaptured"),
    )
    # a real capture replaces the implied one and moves nothing but the board that the stage lies on
    if pipeline.name != lead.pipeline and pipeline.stage(lead.stage or "") is None:
        known.update(stage=pipeline.entrance(lead.phase), stage_entered_at=fact.at)
    return replace(lead, **known)


def _qualified(lead: Lead, fact: Fact, body: Qualified, pipelines: Pipelines) -> Lead:
    in_time = lead.outcome == "open" and lead.phase in ("listed", "opportunity", "qualify")
    known = replace(
        lead,
        qualified_at=lead.qualified_at or fact.at,
        value=body.value or lead.value,
        mrr=body.mrr or lead.mrr,
        expected_close=body.expected_close or lead.expected_close,
        implied=_without(lead.implied, "Qualified"),
        **(_entering(lead, "sales_process", fact.at, pipelines) if in_time else {}),
    )
    if in_time:
        return known
    if lead.outcome != "open":
        return _anomalous(known, fact, f"qualified after it was {lead.outcome}")
    return _anomalous(known, fact, f"qualified in the phase {lead.phase}, which comes after it")


def _stage_entered(lead: Lead, fact: Fact, body: StageEntered, pipelines: Pipelines) -> Lead:
    stage = pipelines.of(lead.pipeline).stage(body.stage)
    if stage is None:
        return _anomalous(lead, fact, "the pipeline of the lead has no such stage")
    if lead.outcome == "lost":
        return _anomalous(lead, fact, "a stage was entered after the lead was lost")
    if lead.outcome == "won" and PHASE_RANK[stage.phase] < PHASE_RANK[lead.phase or "listed"]:
        return _anomalous(lead, fact, "a stage of an earlier phase was entered after the lead was won")
    moved = replace(lead, phase=stage.phase, stage=stage.name, stage_entered_at=fact.at)
    missing = [name for name in stage.entry if getattr(lead, name) is None]
    if missing:
        return _anomalous(moved, fact, f"the stage asks for what is not known: {', '.join(missing)}")
    return moved


def _won(lead: Lead, fact: Fact, body: Won, pipelines: Pipelines) -> Lead:
    if lead.outcome == "won":
        added = tuple(c for c in body.contracts if c.contract_id not in {known.contract_id for known in lead.contracts})
        won = replace(lead, close_value=body.value, contracts=lead.contracts + added)
        return _check_terms(won, fact, body)
    implied = lead.implied
    if lead.outcome == "open" and PHASE_RANK[lead.phase or "listed"] < PHASE_RANK["sales_process"]:
        implied = (*implied, "Qualified") if "Qualified" not in implied else implied
    won = replace(
        lead,
        outcome="won",
        closed_at=fact.at,
        close_value=body.value,
        account_id=lead.account_id or body.account_id,
        contracts=body.contracts,
        loss_reason=None,
        left_phase=lead.phase if lead.outcome == "open" else lead.left_phase,
        left_stage=lead.stage if lead.outcome == "open" else lead.left_stage,
        implied=implied,
        **_entering(lead, "transaction", fact.at, pipelines),
    )
    won = _check_terms(won, fact, body)
    if lead.outcome == "lost":
        return _anomalous(won, fact, "won after it was lost, and nobody reopened it")
    return won


def _lost(lead: Lead, fact: Fact, body: Lost) -> Lead:
    lost = replace(
        lead,
        outcome="lost",
        closed_at=lead.closed_at if lead.outcome == "lost" else fact.at,
        close_value=None,
        loss_reason=body.reason,
        competitor=body.competitor or lead.competitor,
        competitor_term_end=body.competitor_term_end or lead.competitor_term_end,
        revisit_on=body.revisit_on or lead.revisit_on,
        contracts=(),
        left_phase=lead.phase if lead.outcome == "open" else lead.left_phase,
        left_stage=lead.stage if lead.outcome == "open" else lead.left_stage,
    )
    if lead.outcome != "won":
        return lost
    back = replace(lost, phase=lead.left_phase or lead.phase, stage=lead.left_stage or lead.stage)
    return _anomalous(back, fact, "lost after it was won, and nobody reopened it")


def _upgrade_due(lead: Lead, fact: Fact, body: UpgradeDue) -> Lead:
    due = Upgrade("due", body.due_at, body.basis, body.contract_id, body.term_end)
    flagged = replace(lead, upgrade=due, phase="upgrade")
    if not _term_known(lead):
        return _anomalous(flagged, fact, "no contract is running and no competitor's term is known")
    return flagged


def _term_known(lead: Lead) -> bool:
    return bool(lead.outcome == "won" and lead.contracts) or lead.competitor_term_end is not None


def _entering(lead: Lead, phase: str, at: datetime, pipelines: Pipelines) -> dict[str, Any]:
    """What changes where the lead enters a phase: nothing where it is there already."""
    if lead.phase == phase:
        return {}
    return {"phase": phase, "stage": pipelines.of(lead.pipeline).entrance(phase), "stage_entered_at": at}


def _without(names: tuple[str, ...], gone: str) -> tuple[str, ...]:
    return tuple(name for name in names if name != gone) if gone in names else names


def _check_terms(lead: Lead, fact: Fact, body: Won) -> Lead:
    for contract in body.contracts:
        if contract.term_start and contract.term_end and contract.term_end < contract.term_start:
            return _anomalous(lead, fact, "a contract ends before it starts")
    return lead


def _newest(anomalies: tuple[Anomaly, ...]) -> tuple[Anomaly, ...]:
    """The last to arrive, in the order of the fold: what an arriving event is judged must be among them."""
    if len(anomalies) <= ANOMALIES_KEPT:
        return anomalies
    oldest = min(anomalies, key=lambda anomaly: anomaly.version)
    return tuple(anomaly for anomaly in anomalies if anomaly is not oldest)


def _anomalous(lead: Lead, fact: Fact, reason: str) -> Lead:
    anomaly = Anomaly(fact.version, fact.type, reason)
    return replace(lead, anomalies=_newest((*lead.anomalies, anomaly)), anomaly_count=lead.anomaly_count + 1)
