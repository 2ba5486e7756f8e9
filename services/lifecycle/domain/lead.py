"""How lifecycle judges a fact about a lead: the decider of the streams `lead/<id>`.

The fold itself is `schemas.lead.evolve`, the same for every reader. Here stands only what a writer needs besides: what is
refused, what a step implied, whether it was anomalous. Pure.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from schemas.codec import UnknownEvent, body_of, order_key
from schemas.envelope import Event, Recorded
from schemas.events import LeadBody, LeadCaptured, StageEntered
from schemas.lead import UNKNOWN_LEAD, Fact, Lead, evolve, normal_next
from schemas.pipelines import Pipelines
from services.kernel.decider import Verdict
from services.kernel.errors import Flaw, Invalid, Unavailable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Lead).decode
_NORMAL = Verdict()

LABELS = ("owner", "stage")
"""What lists of leads are filtered by."""


class LeadDecider:
    """The decider of leads under the pipelines of this deployment."""

    unknown = UNKNOWN_LEAD

    def __init__(self, pipelines: Pipelines) -> None:
        self._pipelines = pipelines

    def fact(self, event: Event | Recorded, version: int) -> Fact:
        body = event.body if isinstance(event, Event) else _stored(event)
        key = order_key(event.occurred_at, event.meta, event.type, body)
        return Fact(key, version, event.type, instant(key[0]), cast("LeadBody", body))

    def refuse(self, state: Lead, event: Event, fact: Fact) -> None:
        match fact.body:
            case LeadCaptured(pipeline=name) if name is not None and self._pipelines.get(name) is None:
                known = ", ".join(self._pipelines.names())
                raise _invalid("/data/pipeline", f"there is no such pipeline; there are: {known}")
            case LeadCaptured(origin=origin, referrer_lead_id=referrer) if event.stream in (
                f"lead/{origin.lead_id if origin else ''}",
                f"lead/{referrer or ''}",
            ):
                raise _invalid("/data", "a lead cannot come from itself")
            case StageEntered(stage=stage) if not self._may_have(state, stage):
                stages = ", ".join(each.name for each in self._pipelines.of(state.pipeline).stages)
                raise _invalid("/data/stage", f"the pipeline of the lead has no such stage; it has: {stages}")

    def evolve(self, state: Lead, fact: Fact) -> Lead:
        return evolve(state, fact, self._pipelines)

    def verdict(self, before: Lead, after: Lead, fact: Fact) -> Verdict:
        if after.implied is before.implied and after.anomalies is before.anomalies:
            return _NORMAL  # the usual case: nothing was added to either
        implied = tuple(name for name in after.implied if name not in before.implied)
        reason = next((each.reason for each in after.anomalies if each.version == fact.version), None)
        return Verdict(implied, reason)

    def normal_next(self, state: Lead) -> list[str]:
        return normal_next(state)

    def summary(self, state: Lead) -> dict[str, Any]:
        return {"phase": state.phase, "stage": state.stage, "outcome": state.outcome, "pipeline": state.pipeline}

    def labels(self, state: Lead) -> tuple[str, ...]:
        return tuple(f"{name}={value}" for name in LABELS if (value := getattr(state, name)) is not None)

    def encode(self, state: Lead) -> bytes:
        return _encode(state)

    def decode(self, state: bytes) -> Lead:
        return _decode(state)

    def _may_have(self, state: Lead, stage: str) -> bool:
        """Until a capture has said which pipeline the lead follows, any pipeline's stage may turn out to be its own."""
        if state.phase is None or "LeadCaptured" in state.implied:
            return self._pipelines.knows_stage(stage)
        return self._pipelines.of(state.pipeline).stage(stage) is not None


def _stored(event: Recorded) -> Any:
    try:
        return body_of(event)
    except UnknownEvent:
        raise Unavailable("another release wrote this lead; it is safe to send the event again") from None


def instant(business_at_us: int) -> datetime:
    """The UTC instant of µs since 1970."""
    return _EPOCH + timedelta(microseconds=business_at_us)


def _invalid(pointer: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[Flaw(pointer, detail)])
