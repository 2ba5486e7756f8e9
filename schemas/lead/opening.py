"""The fold before anything is sold: lists, captures, who is responsible, merges."""

from typing import Any

from msgspec.structs import replace

from schemas.events.opportunity import (
    CampaignTouched,
    ContactListed,
    ContactScreened,
    HandoverAccepted,
    HandoverRejected,
    LeadAssigned,
    LeadCaptured,
    LeadScored,
)
from schemas.events.parties import ConsentGranted, ConsentWithdrawn
from schemas.events.sales_process import StageEntered
from schemas.fact import Fact
from schemas.lead.changes import put, without
from schemas.lead.state import Consent, Handover, Lead, Score, Touch
from schemas.pipelines import Pipeline, Pipelines

FILLED_BY_A_FURTHER_TOUCH = (
    "owner", "region", "segment", "product", "account_id", "person_id", "campaign_id", "referrer_lead_id", "value", "origin",
)  # fmt: skip
_LISTED = ("source_channel", "campaign_id", "person_id", "account_id", "owner", "region", "segment")


def listed(lead: Lead, fact: Fact, body: ContactListed) -> Lead:
    if lead.phase is not None:
        return lead
    return replace(lead, phase="listed", listed_at=fact.at, **{name: getattr(body, name) for name in _LISTED})


def screened(lead: Lead, body: ContactScreened) -> Lead:
    if lead.phase != "listed":
        return lead
    return replace(lead, standing="out" if body.result == "unfit" else "running")


def capture_implied(lead: Lead, fact: Fact, pipelines: Pipelines) -> Lead:
    """Something is known of a lead that nobody captured: it came to us then, by a channel that we do not know."""
    pipeline = pipelines.named(fact.pipeline) if fact.pipeline else pipeline_for(fact.body, pipelines)
    return replace(
        lead,
        phase=pipeline.first.phase,
        stage=pipeline.first.name,
        stage_entered_at=fact.at,
        visit=lead.visit + 1,
        standing="running",
        pipeline=pipeline.name,
        pipeline_version=pipeline.version,
        captured_at=fact.at,
        source_channel=lead.source_channel or "unknown",
        implied=(*lead.implied, "LeadCaptured"),
    )


def pipeline_for(body: Any, pipelines: Pipelines) -> Pipeline:
    """The pipeline of a lead whose capture is only implied: one that has the stage which is spoken of, else the default."""
    return pipelines.with_stage(body.stage) if isinstance(body, StageEntered) else pipelines.default


def captured(lead: Lead, fact: Fact, body: LeadCaptured, pipelines: Pipelines) -> Lead:
    if lead.captured_at is not None and "LeadCaptured" not in lead.implied:
        blanks = {name: getattr(body, name) for name in FILLED_BY_A_FURTHER_TOUCH if getattr(lead, name) is None}
        return replace(lead, touches=lead.touches + 1, **blanks)
    pipeline = pipelines.named(fact.pipeline) if fact.pipeline else pipelines.of(body.pipeline)
    known: dict[str, Any] = {
        name: getattr(body, name) if getattr(body, name) is not None else getattr(lead, name)
        for name in FILLED_BY_A_FURTHER_TOUCH
    }
    known.update(
        pipeline=pipeline.name,
        pipeline_version=pipeline.version,
        captured_at=fact.at,
        source_channel=body.source_channel,
        touches=lead.touches + 1,
    )
    if lead.captured_at is None:
        first = pipeline.first
        known.update(
            phase=first.phase, stage=first.name, stage_entered_at=fact.at, visit=lead.visit + 1, standing="running"
        )
        return replace(lead, **known)
    # a real capture replaces the implied one and moves nothing but the board that the stage lies on
    known["implied"] = without(lead.implied, "LeadCaptured")
    if pipeline.name != lead.pipeline and lead.phase is not None and pipeline.stage(lead.stage or "") is None:
        known.update(stage=pipeline.entrance(lead.phase), stage_entered_at=fact.at)
    return replace(lead, **known)


def scored(lead: Lead, body: LeadScored) -> Lead:
    return replace(lead, score=Score(body.score, body.model, body.model_version))


def touched(lead: Lead, fact: Fact, body: CampaignTouched) -> Lead:
    touch = Touch(body.campaign_id, fact.at, body.channel)
    return replace(lead, first_touch=lead.first_touch or touch, last_touch=touch)


def assigned(lead: Lead, body: LeadAssigned) -> Lead:
    return replace(
        lead, owner=body.owner, owner_role=body.role or lead.owner_role or "sales", team=body.team or lead.team
    )


def handed_over(lead: Lead, fact: Fact, body: HandoverAccepted | HandoverRejected) -> Lead:
    return replace(lead, handover=Handover(body.role, isinstance(body, HandoverAccepted), fact.at))


def consented(lead: Lead, fact: Fact, body: ConsentGranted | ConsentWithdrawn) -> Lead:
    said = Consent(body.purpose, body.channel, isinstance(body, ConsentGranted), fact.at)
    return replace(
        lead,
        consents=put(lead.consents, said, lambda known: (known.purpose, known.channel) == (said.purpose, said.channel)),
    )
