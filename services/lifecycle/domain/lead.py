"""How lifecycle judges a fact about a lead: the decider of the streams `lead/<id>`.

The fold itself is `schemas.lead`, the same for every reader. Here stands only what a writer needs besides: what is
refused, what a step implied, whether it was anomalous. Pure.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from schemas.codec import UnknownEvent, body_of
from schemas.corrections import is_correction, target
from schemas.envelope import Event, Recorded
from schemas.events.corrections import EventCorrected, EventRetracted
from schemas.events.opportunity import LeadAbsorbed, LeadCaptured, LeadMerged
from schemas.events.sales_process import PipelineMoved, StageEntered
from schemas.events.transaction import LeadSplit
from schemas.events.upgrade import UpgradeAccepted
from schemas.fact import PIPELINE, Fact, fact_of
from schemas.lead import UNKNOWN_LEAD, Lead, at_instant, evolve, fold, next_change, normal_events, state_of
from schemas.lead.opening import pipeline_for
from schemas.pipelines import Pipelines
from services.kernel.decider import Around, Verdict
from services.kernel.errors import Flaw, IllegalTransition, Invalid, Unavailable
from services.lifecycle.domain.corrections import refuse_misfit
from services.lifecycle.domain.derive import Derivation

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Lead).decode
_NORMAL = Verdict()
_NO_STAMP: dict[str, str] = {}

LABELS = ("account_id", "outcome", "owner", "person_id", "segment", "stage", "standing", "team")
"""Fields of a lead that lists are filtered by, besides its state, its phase and whether anything of it is anomalous."""


class LeadDecider:
    """The decider of leads under the pipelines of this deployment."""

    unknown = UNKNOWN_LEAD

    def __init__(self, pipelines: Pipelines) -> None:
        self._pipelines = pipelines
        self._derivation = Derivation(pipelines)

    def fact(self, event: Event | Recorded, version: int) -> Fact:
        return fact_of(event, version, event.body if isinstance(event, Event) else stored_body(event))

    def refuse(self, state: Lead, event: Event, fact: Fact) -> None:
        match fact.body:
            case LeadCaptured(pipeline=name) if name is not None and self._pipelines.get(name) is None:
                known = ", ".join(self._pipelines.names())
                raise invalid("/data/pipeline", f"there is no such pipeline; there are: {known}")
            case LeadCaptured(origin=origin, referrer_lead_id=referrer) if event.stream in (
                f"lead/{origin.lead_id if origin else ''}",
                f"lead/{referrer or ''}",
            ):
                raise invalid("/data", "a lead cannot come from itself")
            case (
                LeadMerged(absorbed_lead_id=other)
                | LeadAbsorbed(surviving_lead_id=other)
                | UpgradeAccepted(new_lead_id=other)
            ) if event.stream == f"lead/{other}":
                raise invalid("/data", "names the lead itself")
            case EventCorrected() | EventRetracted() if target(fact.body) == fact.ref:
                raise invalid("/data/corrects", "names the event itself")
            case LeadSplit(new_lead_ids=others) if len(set(others)) < len(others):
                raise invalid("/data/new_lead_ids", "names a lead twice")
            case LeadSplit(new_lead_ids=others) if event.stream.removeprefix("lead/") in others:
                raise invalid("/data/new_lead_ids", "names the lead itself")
            case StageEntered(stage=stage) if not self._may_have(state, stage):
                pipeline = self._pipelines.of(state.pipeline, state.pipeline_version)
                stages = ", ".join(each.name for each in pipeline.stages)
                raise invalid("/data/stage", f"the pipeline of the lead has no such stage; it has: {stages}")
            case PipelineMoved(pipeline=name, pipeline_version=number, stage=stage):
                self._refuse_move(name, number, stage)
            case _:
                pass
        self._refuse_by_pipeline(state, fact)

    def _refuse_move(self, name: str, number: int, stage: str) -> None:
        pipeline = self._pipelines.get(name, number)
        if pipeline is None:
            known = ", ".join(f"{each.name} {each.version}" for each in self._pipelines.all())
            raise invalid("/data/pipeline", f"there is no such pipeline and version; there are: {known}")
        if pipeline.stage(stage) is None:
            stages = ", ".join(each.name for each in pipeline.stages)
            raise invalid("/data/stage", f"that pipeline has no such stage; it has: {stages}")

    def _refuse_by_pipeline(self, state: Lead, fact: Fact) -> None:
        """What this company has tightened: `refuse` in the lead's pipeline."""
        pipeline = self._pipelines.of(state.pipeline, state.pipeline_version)
        if pipeline.refuse and pipeline.refuses(fact.type, where := state_of(state)):
            raise IllegalTransition(
                f"the pipeline {pipeline.name} refuses {fact.type} in the state {where}",
                state=self.summary(state), normal_next=self.normal_next(state),
            )  # fmt: skip

    def refolds(self, state: Lead, fact: Fact) -> bool:
        return state.unsettled or is_correction(fact.body)

    def check_history(self, event: Event, fact: Fact, facts: Sequence[Fact]) -> None:
        refuse_misfit(fact, facts)

    def fold(self, facts: Iterable[Fact]) -> Lead:
        return fold(facts, self._pipelines)

    def at(self, facts: Iterable[Fact], instant: datetime) -> Lead:
        """The lead at an instant, as these facts tell it: those of before, and what time alone has brought."""
        return at_instant(facts, instant, self._pipelines)

    def changes_by(self, state: Lead, instant: datetime) -> bool:
        """Whether time alone has changed the lead by then."""
        change = next_change(state, self._pipelines)
        return change is not None and change <= instant

    def evolve(self, state: Lead, fact: Fact) -> Lead:
        return evolve(state, fact, self._pipelines)

    def verdict(self, before: Lead, after: Lead, fact: Fact) -> Verdict:
        if after.implied is before.implied and after.anomalies is before.anomalies:
            return _NORMAL  # the usual case: nothing was added to either
        implied = tuple(name for name in after.implied if name not in before.implied)
        reason = next((each.reason for each in after.anomalies if each.version == fact.version), None)
        return Verdict(implied, reason)

    def searches(self, event: Event, fact: Fact, around: Around) -> None:
        return None

    def reads(self, event: Event, fact: Fact, before: Lead, around: Around) -> set[str]:
        return self._derivation.reads(event, fact, before, around.histories)

    def derive(self, event: Event, fact: Fact, before: Lead, after: Lead, around: Around) -> list[Event]:
        return self._derivation.derive(event, fact, before, after, around.histories)

    def stamp(self, before: Lead, after: Lead, fact: Fact) -> dict[str, str]:
        """The pipeline that a capture, said or implied, puts the lead on: its newest version now, whatever comes later."""
        if isinstance(fact.body, LeadCaptured):
            pipeline = self._pipelines.of(fact.body.pipeline)
        elif "LeadCaptured" in after.implied and after.captured_at != before.captured_at:
            pipeline = pipeline_for(fact.body, self._pipelines)
        else:
            return _NO_STAMP
        return {PIPELINE: f"{pipeline.name}@{pipeline.version}"}

    def normal_next(self, state: Lead) -> list[str]:
        return normal_events(state)

    def summary(self, state: Lead) -> dict[str, Any]:
        return {"phase": state.phase, "stage": state.stage, "outcome": state.outcome, "pipeline": state.pipeline}

    def labels(self, state: Lead) -> tuple[str, ...]:
        shown = {
            "phase": state.shown_phase,
            "pipeline": state.pipeline,
            **{name: getattr(state, name) for name in LABELS},
        }
        labels = [f"{name}={value}" for name, value in shown.items() if value is not None]
        if state.outcome == "open" and state.standing in ("running", "recycled"):
            labels.append("open=true")
        if state.anomaly_count:
            labels.append("anomalous=true")
        return tuple(sorted(labels))

    def encode(self, state: Lead) -> bytes:
        return _encode(state)

    def decode(self, state: bytes) -> Lead:
        return _decode(state)

    def _may_have(self, state: Lead, stage: str) -> bool:
        """Until a capture has said which pipeline the lead follows, any pipeline's stage may turn out to be its own."""
        if state.captured_at is None or "LeadCaptured" in state.implied:
            return self._pipelines.knows_stage(stage)
        followed = [self._pipelines.of(state.pipeline, state.pipeline_version)]
        followed += [self._pipelines.named(each) for each in state.followed]  # a late fact may be of an earlier one
        return any(pipeline.stage(stage) is not None for pipeline in followed)


def stored_body(event: Recorded) -> Any:
    """The typed body of a stored event. Raises Unavailable where a newer release wrote it."""
    try:
        return body_of(event)
    except UnknownEvent:
        raise Unavailable("another release wrote this stream; it is safe to send the event again") from None


def invalid(pointer: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[Flaw(pointer, detail)])
