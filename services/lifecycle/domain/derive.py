"""What else follows from an event: facts that belong to another stream are appended there in the same call. Pure.

Some facts belong to two streams. The caller posts one; the other is derived from it, with an id that follows from the cause
alone, so that it is stored once however often it is derived. So every stream tells its own story, and no reader needs a second
stream to fold the first. Retracting a cause retracts what followed from it. ADR-0015.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from schemas.codec import parse_event
from schemas.corrections import effective, is_correction, target
from schemas.envelope import Event, Recorded
from schemas.events import EVENTS
from schemas.events.corrections import EventCorrected, EventRetracted
from schemas.events.opportunity import LeadMerged
from schemas.events.parties import ConsentGranted, ConsentWithdrawn
from schemas.events.transaction import LeadSplit, Won
from schemas.events.upgrade import UpgradeAccepted
from schemas.fact import Fact
from schemas.lead import Lead, fold
from schemas.lead.closing import start_of
from schemas.pipelines import Pipelines
from services.kernel.decider import Histories

SOURCE = "/salescycle/derived"
"""The source of every derived event; nobody else may use it."""

_CARRIED = ("account_id", "person_id", "owner", "region", "segment", "product")
"""What a new cycle takes over from the one it grew out of."""
_SUPERSEDING = ("upgrade", "renewal")

Told = Event | Recorded
"""An event of a history: stored, or earlier in the batch that is being decided."""


class _Cause(NamedTuple):
    """The event that something follows from, and the lead as it stands with it."""

    event: Told
    fact: Fact
    lead: Lead


class Derivation:
    """The derivations of leads under the pipelines of this deployment."""

    def __init__(self, pipelines: Pipelines) -> None:
        self._pipelines = pipelines

    def reads(self, event: Event, fact: Fact, before: Lead, histories: Histories) -> set[str]:
        """The other streams whose events must be known before `derive` can tell what follows.

        `histories` holds the event's own stream where it is a correction.
        """
        if isinstance(fact.body, EventRetracted):
            facts = [each for _, each in histories.get(event.stream, ())]
            return set().union(*(_streams_of(cause, before) for cause in causes_in(fact, facts)))
        return _streams_of(fact, before)

    def derive(self, event: Event, fact: Fact, before: Lead, after: Lead, histories: Histories) -> list[Event]:
        """The events that follow, in the order in which they are to be appended.

        `histories` holds what `reads` named, and the event's own stream where the event is a correction.
        """
        found: list[Event] = []
        if before.absorbed_into is not None and before.standing == "absorbed" and not _frees(event, fact, histories):
            found += _copied(event, f"lead/{before.absorbed_into}", fact)
        if isinstance(fact.body, EventRetracted):
            found += self._taken_back(event, fact, before, histories)
        else:
            found += self._following(_Cause(event, fact, after), histories)
        return found

    def _following(self, cause: _Cause, histories: Histories) -> Iterator[Event]:
        event, fact, lead = cause
        body = fact.body
        own = event.stream.removeprefix("lead/")
        match body:
            case LeadMerged(absorbed_lead_id=other):
                yield made(event, "LeadAbsorbed", f"lead/{other}", {"surviving_lead_id": own})
                for told, counted in _counting(histories.get(f"lead/{other}", ())):
                    yield from _copied(told, event.stream, counted)
            case UpgradeAccepted(new_lead_id=new):
                kind = "displacement" if lead.outcome == "lost" else "upgrade"
                yield made(event, "LeadCaptured", f"lead/{new}", _cycle(lead, own, kind, "upgrade"))
            case LeadSplit(new_lead_ids=new_ids):
                for new in new_ids:
                    channel = lead.source_channel or "other"
                    yield made(event, "LeadCaptured", f"lead/{new}", _cycle(lead, own, "split", channel))
            case Won() if lead.origin is not None and lead.origin.kind in _SUPERSEDING:
                yield self._superseded(event, body, lead, own, histories)
            case ConsentGranted() | ConsentWithdrawn() if lead.person_id is not None:
                data = {"purpose": body.purpose, "channel": body.channel}
                yield made(event, fact.type, f"person/{lead.person_id}", data)

    def _superseded(self, event: Told, body: Won, lead: Lead, own: str, histories: Histories) -> Event:
        """The old lead's contract ends where the new term starts: the one whose upgrade was accepted, or all that run."""
        assert lead.origin is not None
        stream = f"lead/{lead.origin.lead_id}"
        old = fold([fact for _, fact in histories.get(stream, ())], self._pipelines)
        contract = next((each.contract_id for each in old.upgrades if each.new_lead_id == own), None)
        starts = min((each.term_start for each in body.contracts if each.term_start), default=None)
        at = start_of(starts) if starts else event.occurred_at
        data: dict[str, Any] = {"effective_at": at.isoformat().replace("+00:00", "Z"), "by_lead_id": own}
        if contract is not None:
            data["contract_id"] = contract
        return made(event, "ContractSuperseded", stream, data)

    def _taken_back(self, event: Event, fact: Fact, before: Lead, histories: Histories) -> Iterator[Event]:
        """Retract the effects of a retracted cause; retracting a retraction takes back what that one has retracted."""
        told = {each.ref: (told, each) for told, each in histories.get(event.stream, ())}
        about = told.get(target(fact.body))
        if about is None:
            return
        for effect in self._effects(*about, before, told, histories):
            yield made(
                event, "EventRetracted", effect.stream, {"corrects": {"source": SOURCE, "id": effect.id}}, effect.id
            )

    def _effects(
        self, cause: Told, fact: Fact, lead: Lead, told: dict[bytes, tuple[Told, Fact]], histories: Histories
    ) -> Iterator[Event]:
        if isinstance(fact.body, EventRetracted):
            about = told.get(target(fact.body))
            if about is not None:
                for effect in self._effects(*about, lead, told, histories):
                    yield made(
                        cause,
                        "EventRetracted",
                        effect.stream,
                        {"corrects": {"source": SOURCE, "id": effect.id}},
                        effect.id,
                    )
        elif not is_correction(fact.body):
            yield from self._following(_Cause(cause, fact, lead), histories)


def _frees(event: Event, fact: Fact, histories: Histories) -> bool:
    """Whether it takes back the absorption itself, which is no fact of the survivor."""
    if not isinstance(fact.body, EventRetracted):
        return False
    return any(
        each.ref == target(fact.body) and told.type == "LeadAbsorbed" for told, each in histories.get(event.stream, ())
    )


def _streams_of(fact: Fact, lead: Lead) -> set[str]:
    match fact.body:
        case LeadMerged(absorbed_lead_id=other):
            return {f"lead/{other}"}
        case Won() if lead.origin is not None and lead.origin.kind in _SUPERSEDING:
            return {f"lead/{lead.origin.lead_id}"}
    return set()


def causes_in(fact: Fact, facts: Sequence[Fact]) -> Iterator[Fact]:
    """The ordinary event at the end of a chain of retractions."""
    by_ref = {each.ref: each for each in facts}
    seen: set[bytes] = set()
    about = by_ref.get(target(fact.body))
    while about is not None and about.ref not in seen:
        seen.add(about.ref)
        if not isinstance(about.body, EventRetracted):
            yield about
            return
        about = by_ref.get(target(about.body))


def _counting(history: Sequence[tuple[Told, Fact]]) -> Iterator[tuple[Told, Fact]]:
    """The events of a lead that count, as they count, without those that only say that it was merged."""
    counted = {fact.ref: fact for fact in effective(fact for _, fact in history).facts}
    for told, fact in history:
        if fact.ref in counted and told.type != "LeadAbsorbed":
            yield told, counted[fact.ref]


def _copied(told: Told, stream: str, fact: Fact) -> Iterator[Event]:
    """The same fact on the surviving lead; a correction there is about the copy of what it is about here."""
    if told.type == "LeadAbsorbed":
        return
    data = msgspec.to_builtins(fact.body)
    if isinstance(fact.body, EventCorrected | EventRetracted):
        about = fact.body.corrects
        data = {**data, "corrects": {"source": SOURCE, "id": _id(about.source, about.id, "copy", stream)}}
    yield _document(told, told.type, stream, data, _id(told.source, told.id, "copy", stream))


def taken_back(event: Told, effect: Event) -> Event:
    """What takes back an effect of a cause that `event` retracts."""
    return made(event, "EventRetracted", effect.stream, {"corrects": {"source": SOURCE, "id": effect.id}}, effect.id)


def _cycle(lead: Lead, own: str, kind: str, channel: str) -> dict[str, Any]:
    carried = {name: value for name in _CARRIED if (value := getattr(lead, name)) is not None}
    return {"source_channel": channel, "origin": {"lead_id": own, "kind": kind}, **carried}


def made(cause: Told, type_name: str, stream: str, data: dict[str, Any], extra: str = "") -> Event:
    """The event of that type that follows from a cause on a stream; `extra` tells several of one type apart."""
    return _document(cause, type_name, stream, data, _id(cause.source, cause.id, type_name + extra, stream))


def _document(cause: Told, type_name: str, stream: str, data: dict[str, Any], id: str) -> Event:
    """An event as the door would take it, at the time of its cause."""
    meta = cause.meta
    document: dict[str, Any] = {
        "specversion": "1.0", "id": id, "source": SOURCE, "type": type_name, "subject": stream, "data": data,
        "time": meta.get("time") or cause.occurred_at.isoformat().replace("+00:00", "Z"), "causationid": cause.id,
    }  # fmt: skip
    for name in ("timeprecision", "sequence", "correlationid", "traceparent"):
        if name in meta:
            document[name] = meta[name]
    if EVENTS[type_name].version > 1:
        document["dataschema"] = f"/schemas/{type_name}/{EVENTS[type_name].version}"
    return parse_event(document, cause.occurred_at)


def _id(source: str, id: str, what: str, stream: str) -> str:
    return blake2b(f"{source}\n{id}\n{what}\n{stream}".encode(), digest_size=16).hexdigest()
