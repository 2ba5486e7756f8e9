"""The fold of a lead that is worked on: qualified, moved along its board, valued, forecast, recycled."""

from msgspec.structs import replace

from schemas.events.qualify import BantAssessed, ContactRoleSet, MarketingQualified, Qualified, Recycled
from schemas.events.sales_process import (
    ApprovalDecided,
    ApprovalRequested,
    ObjectionRaised,
    ObjectionResolved,
    PipelineMoved,
    ProposalSent,
    StageEntered,
)
from schemas.fact import Fact
from schemas.lead.changes import adding, anomalous, entering, pipeline_of, put, without
from schemas.lead.state import Bant, ContactRole, Lead, Waiting
from schemas.pipelines import PHASE_RANK, Pipelines, Stage

_BANT = ("budget", "authority", "need", "timeline")


def marketing_qualified(lead: Lead, fact: Fact, body: MarketingQualified, pipelines: Pipelines) -> Lead:
    known = replace(lead, mql_at=lead.mql_at or fact.at, implied=without(lead.implied, "MarketingQualified"))
    return _brought_to_qualify(known, fact, pipelines, back=True)


def bant_assessed(lead: Lead, fact: Fact, body: BantAssessed, pipelines: Pipelines) -> Lead:
    known = replace(lead, bant=Bant(body.budget, body.authority, body.need, body.timeline))
    return _brought_to_qualify(known, fact, pipelines, back=False)


def _brought_to_qualify(lead: Lead, fact: Fact, pipelines: Pipelines, *, back: bool) -> Lead:
    comes_back = back and lead.standing == "recycled"
    moves_on = lead.outcome == "open" and lead.standing == "running" and lead.phase in ("listed", "opportunity")
    return replace(lead, **entering(lead, "qualify", fact.at, pipelines)) if comes_back or moves_on else lead


def contact_role_set(lead: Lead, body: ContactRoleSet) -> Lead:
    contact = ContactRole(body.person_id, body.role)
    return replace(lead, contacts=put(lead.contacts, contact, lambda known: known.person_id == body.person_id))


def qualified(lead: Lead, fact: Fact, body: Qualified, pipelines: Pipelines) -> Lead:
    in_time = lead.outcome == "open" and (
        lead.standing == "recycled"
        or (lead.standing == "running" and lead.phase in ("listed", "opportunity", "qualify"))
    )
    return replace(
        lead,
        qualified_at=lead.qualified_at or fact.at,
        value=body.value or lead.value,
        mrr=body.mrr or lead.mrr,
        expected_close=body.expected_close or lead.expected_close,
        implied=without(lead.implied, "Qualified"),
        **(entering(lead, "sales_process", fact.at, pipelines) if in_time else {}),
    )


def recycled(lead: Lead, body: Recycled) -> Lead:
    if lead.outcome != "open" or lead.standing not in ("running", "recycled"):
        return lead
    return replace(lead, standing="recycled", return_on=body.return_on)


def stage_entered(lead: Lead, fact: Fact, body: StageEntered, pipelines: Pipelines) -> Lead:
    stage = pipeline_of(lead, pipelines).stage(body.stage)
    if stage is None:
        return anomalous(lead, fact, "the pipeline of the lead has no such stage")
    if lead.outcome == "lost" or lead.standing not in ("running", "recycled"):
        return lead
    if lead.outcome == "won" and PHASE_RANK[stage.phase] < PHASE_RANK[lead.phase or "listed"]:
        return anomalous(lead, fact, "a stage of an earlier phase was entered after the lead was won")
    moved = replace(
        lead, phase=stage.phase, stage=stage.name, stage_entered_at=fact.at, visit=lead.visit + 1, standing="running"
    )
    missing = _unknown_facts(lead, stage)
    if missing:
        return anomalous(moved, fact, f"the stage asks for what is not known: {', '.join(missing)}")
    return moved


def _unknown_facts(lead: Lead, stage: Stage) -> list[str]:
    return [
        name
        for name in stage.entry
        if (
            (lead.bant is None or getattr(lead.bant, name) == "unknown")
            if name in _BANT
            else getattr(lead, name) is None
        )
    ]


def pipeline_moved(lead: Lead, fact: Fact, body: PipelineMoved, pipelines: Pipelines) -> Lead:
    pipeline = pipelines.get(body.pipeline, body.pipeline_version)
    stage = pipeline.stage(body.stage) if pipeline is not None else None
    if pipeline is None or stage is None:
        return anomalous(lead, fact, "there is no such pipeline, or no such stage in it")
    before = f"{lead.pipeline}@{lead.pipeline_version}"
    left = pipeline.entrance(lead.left_phase) if lead.left_phase is not None else None
    return replace(
        lead, pipeline=pipeline.name, pipeline_version=pipeline.version, stage=stage.name, phase=stage.phase,
        stage_entered_at=fact.at, visit=lead.visit + 1, left_stage=left, followed=adding(lead.followed, before),
    )  # fmt: skip


def proposed(lead: Lead, body: ProposalSent) -> Lead:
    value = body.value if lead.outcome == "open" else lead.value
    return replace(lead, proposal_id=body.proposal_id, value=value)


def approval(lead: Lead, fact: Fact, body: ApprovalRequested | ApprovalDecided) -> Lead:
    if isinstance(body, ApprovalRequested):
        return replace(lead, approvals=waits(lead.approvals, Waiting(body.approval_id, body.kind, fact.at)))
    return replace(lead, approvals=answered(lead.approvals, body.approval_id))


def objection(lead: Lead, fact: Fact, body: ObjectionRaised | ObjectionResolved) -> Lead:
    if isinstance(body, ObjectionRaised):
        return replace(lead, objections=waits(lead.objections, Waiting(body.objection_id, body.category, fact.at)))
    return replace(lead, objections=answered(lead.objections, body.objection_id))


def waits(waiting: tuple[Waiting, ...], new: Waiting) -> tuple[Waiting, ...]:
    return put(waiting, new, lambda known: known.id == new.id)


def answered(waiting: tuple[Waiting, ...], id: str) -> tuple[Waiting, ...]:
    return tuple(each for each in waiting if each.id != id)
