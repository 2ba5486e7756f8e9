"""What was corrected or retracted: the facts of a stream as if the errors had never been. Pure.

A correction is about what was said, not about what happened: it counts whatever its own time. Of several about one event
the last in the order of the stream counts, however they arrived; a correction may itself be retracted, which brings back
what it was about. A correction whose event has not arrived waits for it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import jsonschema_rs
import msgspec
from msgspec.structs import replace

from schemas.events.corrections import EventCorrected, EventRetracted
from schemas.events.registry import EVENTS, data_schema
from schemas.fact import EPOCH, Fact, reference
from schemas.meaning import is_sound

_MICROSECOND = timedelta(microseconds=1)


class Waiting(NamedTuple):
    """A correction without effect: of that version and type, and why."""

    version: int
    type: str
    reason: str
    at: datetime


class Effective(NamedTuple):
    """The facts that count, in the order in which they fold, the corrections that are about nothing, the number of all."""

    facts: list[Fact]
    waiting: list[Waiting]
    corrections: int = 0
    settled: bool = True
    """No correction waits for its event, and none has moved its event in the order: what comes last may simply be added."""


def is_correction(body: Any) -> bool:
    return isinstance(body, EventCorrected | EventRetracted)


def target(body: EventCorrected | EventRetracted) -> bytes:
    return reference(body.corrects.source, body.corrects.id)


def effective(facts: Iterable[Fact]) -> Effective:
    """The facts of one stream, in any order, as they count; `EventCorrected` and `EventRetracted` are resolved away."""
    said = list(facts)
    corrections = sorted((fact for fact in said if is_correction(fact.body)), key=_order)
    if not corrections:
        return Effective(sorted(said, key=_order), [])
    standing = _standing(corrections)
    gone = {target(fact.body) for fact in standing if isinstance(fact.body, EventRetracted)}
    changed = {target(fact.body): fact.body for fact in standing if isinstance(fact.body, EventCorrected)}
    known = {fact.ref: fact for fact in said}
    counting = []
    unfit: set[bytes] = set()
    for fact in said:
        if is_correction(fact.body) or fact.ref in gone:
            continue
        correction = changed.get(fact.ref)
        if correction is not None:
            corrected = _corrected(fact, correction)
            if corrected is None:
                unfit.add(fact.ref)
            fact = corrected or fact  # noqa: PLW2901
        counting.append(fact)
    waiting = [
        Waiting(fact.version, fact.type, reason, fact.at)
        for fact in standing
        if (reason := _useless(target(fact.body), fact, known, unfit)) is not None
    ]
    moved = any(fact.key != known[fact.ref].key for fact in counting if fact.ref in changed)
    return Effective(sorted(counting, key=_order), waiting, len(corrections), not waiting and not moved)


def _standing(corrections: list[Fact]) -> list[Fact]:
    """The corrections that no other one takes back, in their order; of retractions that go round in a ring, none stands.

    Each is decided once all that are about it are.
    """
    undecided = {fact.ref: 0 for fact in corrections}
    for fact in corrections:
        if isinstance(fact.body, EventRetracted) and target(fact.body) in undecided:
            undecided[target(fact.body)] += 1
    stands = {fact.ref: undecided[fact.ref] == 0 for fact in corrections}
    taken_back: set[bytes] = set()
    ready = [fact for fact in corrections if stands[fact.ref]]
    by_ref = {fact.ref: fact for fact in corrections}
    while ready:
        fact = ready.pop()
        about = target(fact.body)
        if not isinstance(fact.body, EventRetracted) or about not in undecided:
            continue
        if stands[fact.ref]:
            taken_back.add(about)
        undecided[about] -= 1
        if undecided[about] == 0:
            stands[about] = about not in taken_back
            ready.append(by_ref[about])
    return [fact for fact in corrections if stands[fact.ref]]


def _useless(about: bytes, correction: Fact, known: dict[bytes, Fact], unfit: set[bytes]) -> str | None:
    if about not in known:
        return "it is about an event that has not arrived"
    if about in unfit and isinstance(correction.body, EventCorrected):
        return "its data do not fit the type of the event"
    return None


def _corrected(fact: Fact, correction: EventCorrected) -> Fact | None:
    """The fact with the other data, where it sorts then; None where the data do not fit its type."""
    try:
        if not _fits(fact.type, correction.data):
            return None
        body = msgspec.convert(correction.data, EVENTS[fact.type].body)
        return replace(fact, body=body, **rekeyed(fact, body)) if is_sound(body) else None
    except (KeyError, ValueError, OverflowError):  # msgspec.ValidationError is a ValueError
        return None


def _fits(type_name: str, data: Any) -> bool:
    return bool(_validator(type_name).is_valid(data))


@cache
def _validator(type_name: str) -> Any:
    return jsonschema_rs.Draft202012Validator(data_schema(EVENTS[type_name].body), validate_formats=True)


def rekeyed(fact: Fact, body: Any) -> dict[str, Any]:
    """`at` and `key` of the fact with that body: an `effective_at` moves it."""
    at = getattr(body, "effective_at", None)
    if at is None:
        at = fact.said_at or fact.at
    elif fact.of_day:
        at = at.replace(hour=23, minute=59, second=59, microsecond=999_999)
    at = at.astimezone(UTC)
    return {"at": at, "key": ((at - EPOCH) // _MICROSECOND, *fact.key[1:])}


def _order(fact: Fact) -> tuple[Any, int]:
    return fact.key, fact.version
