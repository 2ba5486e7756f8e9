"""Whose leads are whose once a sales person has left: the open ones go to the successor, as derived LeadAssigned. Pure."""

from schemas.corrections import target
from schemas.envelope import Event
from schemas.events.corrections import EventRetracted
from schemas.events.parties import OwnerLeft
from schemas.fact import Fact
from services.kernel.decider import Around
from services.lifecycle.domain.derive import SOURCE, Told, made, taken_back

RULE = "owner-left"


def leads_of(event: Event, fact: Fact, around: Around) -> tuple[str, ...] | None:
    """The labels of the leads that change hands: the open ones of who left, or, where that is taken back, of the successor."""
    if isinstance(fact.body, OwnerLeft):
        return ("open=true", f"owner={event.stream.removeprefix('owner/')}")
    cause = _cause(event, fact, around)
    return None if cause is None else ("open=true", f"owner={cause[1].body.successor}")


def handed_over(event: Event, fact: Fact, around: Around) -> list[Event]:
    """LeadAssigned on each lead that was found; where the cause is taken back, its retraction on each that had got one."""
    if isinstance(fact.body, OwnerLeft):
        return [_assigned(event, stream, fact.body.successor) for stream in around.found]
    cause = _cause(event, fact, around)
    if cause is None:
        return []
    told, about = cause
    effects = [_assigned(told, stream, about.body.successor) for stream in around.found]
    return [
        taken_back(event, effect)
        for effect in effects
        if any((each.source, each.id) == (SOURCE, effect.id) for each, _ in around.histories.get(effect.stream, ()))
    ]


def _assigned(cause: Told, stream: str, successor: str) -> Event:
    return made(cause, "LeadAssigned", stream, {"owner": successor, "rule": RULE})


def _cause(event: Event, fact: Fact, around: Around) -> tuple[Told, Fact] | None:
    """The OwnerLeft that is taken back."""
    if not isinstance(fact.body, EventRetracted):
        return None
    for told, each in around.histories.get(event.stream, ()):
        if each.ref == target(fact.body) and isinstance(each.body, OwnerLeft):
            return told, each
    return None
