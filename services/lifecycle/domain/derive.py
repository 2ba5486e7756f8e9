"""What else follows from an event: facts that belong to another stream are appended there in the same call. Pure.

Some facts belong to two streams. The caller posts one; the other is derived from it, with an id that follows from the cause
alone, so that one cause has one effect however often it is derived. So every stream tells its own story, and no reader needs a
second stream to fold the first. Retracting a cause retracts what followed from it. ADR-0015.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from schemas.codec import parse_event
from schemas.corrections import effective, is_correction, target
from schemas.envelope import Event, Recorded
from schemas.events import EVENTS
from schemas.events.corrections import EventCorrected, EventRetracted
from schemas.events.opportunity import LeadCaptured, LeadMerged
from schemas.events.parties import ConsentGranted, ConsentWithdrawn
from schemas.events.transaction import LeadSplit, Won
from schemas.events.upgrade import UpgradeAccepted
from schemas.fact import Fact
from schemas.lead import Lead, fold
from schemas.lead.closing import start_of
from schemas.lead.opening import FILLED_BY_A_FURTHER_TOUCH
from schemas.lead.state import ContractState
from schemas.pipelines import Pipelines
from services.kernel.decider import Histories

SOURCE = "/salescycle/derived"
"""The source of every derived event; nobody else may use it."""

_CARRIED = ("account_id", "person_id", "owner", "region", "segment", "product")
"""What a new cycle takes over from the one it grew out of."""
_SUPERSEDING = ("upgrade", "renewal")

_plain = msgspec.to_builtins

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
        """The streams whose events must be known before `derive` can tell what follows.

        `histories` holds the event's own stream where it is a correction.
        """
        if isinstance(fact.body, EventRetracted):
            facts = [each for _, each in histories.get(event.stream, ())]
            return set().union(*(_streams_of(cause, before) for cause in causes_in(fact, facts)))
        if isinstance(fact.body, LeadCaptured) and _fills(before, fact.body):
            origin = fact.body.origin
            return {event.stream, *({f"lead/{origin.lead_id}"} if origin is not None else ())}
        return _streams_of(fact, before)

    def derive(self, event: Event, fact: Fact, before: Lead, after: Lead, histories: Histories) -> list[Event]:
        """The events that follow, in the order in which they are to be appended.

        `histories` holds what `reads` named, and the event's own stream where the event is a correction.
        """
        own = histories.get(event.stream, ())
        if own and not is_correction(fact.body) and not _counts(fact, own):
            return []  # it was retracted before it came
        if before.standing == "absorbed" and before.absorbed_into is not None:
            copies = list(_copied(event, fact, f"lead/{before.absorbed_into}", own))
            if not isinstance(fact.body, ConsentGranted | ConsentWithdrawn | EventRetracted):
                return copies  # what follows from them follows on the survivor
        else:
            copies = []
        if isinstance(fact.body, EventRetracted):
            return [*copies, *self._taken_back(event, fact, before, histories)]
        if isinstance(fact.body, LeadCaptured) and _fills(before, fact.body):
            return [*copies, *self._made_up_for(before, after, own, histories)]
        return [*copies, *self._following(_Cause(event, fact, after), histories)]

    def _following(self, cause: _Cause, histories: Histories) -> Iterator[Event]:
        event, fact, lead = cause
        body = fact.body
        own = event.stream.removeprefix("lead/")
        match body:
            case LeadMerged(absorbed_lead_id=other) if other != own:
                yield made(event, "LeadAbsorbed", f"lead/{other}", {"surviving_lead_id": own})
                yield from self._inherited(event, histories.get(f"lead/{other}", ()))
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

    def _inherited(self, merge: Told, absorbed: Sequence[tuple[Told, Fact]]) -> Iterator[Event]:
        """What the survivor takes over: the capture, so that the earlier one stands, and the win with its contracts."""
        lead = fold([fact for _, fact in absorbed], self._pipelines)
        if lead.captured_at is not None and "LeadCaptured" not in lead.implied:
            blanks = {name: value for name in FILLED_BY_A_FURTHER_TOUCH if (value := getattr(lead, name)) is not None}
            data = {"source_channel": lead.source_channel or "other", **_plain(blanks)}
            yield made(merge, "LeadCaptured", merge.stream, data, at=lead.captured_at)
        if lead.outcome == "won" and lead.close_value is not None and lead.closed_at is not None:
            contracts = [_sold(contract) for contract in lead.running_contracts]
            data = {"value": _plain(lead.close_value), **({"contracts": contracts} if contracts else {})}
            yield made(merge, "Won", merge.stream, data, at=lead.closed_at)

    def _superseded(self, event: Told, body: Won, lead: Lead, own: str, histories: Histories) -> Event:
        """The old lead's contract ends where the new term starts: the one whose upgrade was accepted, or all that run."""
        assert lead.origin is not None
        stream = f"lead/{lead.origin.lead_id}"
        old = fold([fact for _, fact in histories.get(stream, ())], self._pipelines)
        contract = next((each.contract_id for each in old.upgrades if each.new_lead_id == own), None)
        starts = min((each.term_start for each in body.contracts if each.term_start), default=None)
        at = start_of(starts) if starts else event.occurred_at
        data: dict[str, Any] = {"effective_at": _text(at), "by_lead_id": own}
        if contract is not None:
            data["contract_id"] = contract
        return made(event, "ContractSuperseded", stream, data)

    def _made_up_for(
        self, before: Lead, after: Lead, own: Sequence[tuple[Told, Fact]], histories: Histories
    ) -> Iterator[Event]:
        """A capture came after the win or the consent whose effects hang on what it says: they follow now."""
        late = (Won,) if before.origin is None and after.origin is not None else ()
        late = (*late, ConsentGranted, ConsentWithdrawn) if before.person_id is None else late
        counting = {each.ref for each in effective(each for _, each in own).facts}
        for told, each in own:
            if each.ref in counting and isinstance(each.body, late):
                yield from self._following(_Cause(told, each, after), histories)

    def _taken_back(self, event: Event, fact: Fact, before: Lead, histories: Histories) -> Iterator[Event]:
        """Retract the effects of a retracted cause; retracting a retraction takes back what that one has retracted."""
        told = {each.ref: (told, each) for told, each in histories.get(event.stream, ())}
        about = told.get(target(fact.body))
        if about is not None:
            for effect in self._effects(*about, before, told, histories, 0):
                if _stands(effect, histories):
                    yield taken_back(event, effect)

    def _effects(
        self, cause: Told, fact: Fact, lead: Lead, told: dict[bytes, tuple[Told, Fact]], histories: Histories, depth: int
    ) -> Iterator[Event]:  # fmt: skip
        if isinstance(fact.body, EventRetracted):
            about = told.get(target(fact.body))
            if about is not None and depth < _LONGEST_CHAIN:
                for effect in self._effects(*about, lead, told, histories, depth + 1):
                    yield taken_back(cause, effect)
        elif not is_correction(fact.body):
            yield from self._following(_Cause(cause, fact, lead), histories)
            if isinstance(fact.body, LeadMerged):  # and what came to the absorbed lead meanwhile
                via = f"lead/{fact.body.absorbed_lead_id}"
                for copy, each in told.values():
                    if copy.source == SOURCE and copy.meta.get("copiedvia") == via and each.version > fact.version:
                        yield _as_event(copy, each)


_LONGEST_CHAIN = 100
"""Retractions of retractions beyond which nothing more is taken back elsewhere."""


def _as_event(told: Told, fact: Fact) -> Event:
    if isinstance(told, Event):
        return told
    return Event(
        source=told.source, id=told.id, type=told.type, stream=told.stream, occurred_at=told.occurred_at, data=told.data,
        body=fact.body, digest=b"", meta=told.meta,
    )  # fmt: skip


def _stands(effect: Event, histories: Histories) -> bool:
    """Whether the effect is there, as far as its stream was read."""
    history = histories.get(effect.stream)
    return history is None or any((told.source, told.id) == (SOURCE, effect.id) for told, _ in history)


def _counts(fact: Fact, own: Sequence[tuple[Told, Fact]]) -> bool:
    return any(each.ref == fact.ref for each in effective([*(each for _, each in own), fact]).facts)


def _fills(before: Lead, body: LeadCaptured) -> bool:
    """Whether the capture tells what an earlier arrival was waiting for: whose person, or which cycle it renews."""
    renews = body.origin is not None and body.origin.kind in _SUPERSEDING
    return (before.outcome == "won" and before.origin is None and renews) or (
        before.person_id is None and body.person_id is not None and bool(before.consents)
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


def _copied(event: Event, fact: Fact, stream: str, own: Sequence[tuple[Told, Fact]]) -> Iterator[Event]:
    """The same fact on the surviving lead, named by what it was at first, so that leads merged in a ring copy it once.

    A correction is copied where what it is about was.
    """
    meta = event.meta
    root = meta.get("copiedsource", event.source), meta.get("copiedid", event.id), meta.get("copiedfrom", event.stream)
    if fact.type == "LeadAbsorbed" or stream == root[2]:
        return
    data = _plain(fact.body)
    if isinstance(fact.body, EventCorrected | EventRetracted):
        absorbed = max(
            (told.version for told, _ in own if isinstance(told, Recorded) and told.type == "LeadAbsorbed"), default=0
        )
        about = next((told for told, each in own if each.ref == target(fact.body)), None)
        if about is None or (isinstance(about, Recorded) and about.version <= absorbed):
            return
        first = about.meta.get("copiedsource", about.source), about.meta.get("copiedid", about.id)
        data = {**data, "corrects": {"source": SOURCE, "id": _id(*first, "copy", stream)}}
    marks = {"copiedsource": root[0], "copiedid": root[1], "copiedfrom": root[2], "copiedvia": event.stream}
    yield _document(event, event.type, stream, data, _id(root[0], root[1], "copy", stream), marks=marks)


def taken_back(event: Told, effect: Event) -> Event:
    """What takes back an effect of a cause that `event` retracts."""
    return made(event, "EventRetracted", effect.stream, {"corrects": {"source": SOURCE, "id": effect.id}}, effect.id)


def _cycle(lead: Lead, own: str, kind: str, channel: str) -> dict[str, Any]:
    carried = {name: value for name in _CARRIED if (value := getattr(lead, name)) is not None}
    return {"source_channel": channel, "origin": {"lead_id": own, "kind": kind}, **carried}


def _sold(contract: ContractState) -> dict[str, Any]:
    """A running contract as a win names it; what it brings is what it brings now."""
    price = {"mrr": contract.mrr} if contract.mrr is not None else {"amount": contract.amount}
    known = {"product": contract.product, "term_start": contract.term_start, "term_end": contract.term_end}
    found = _plain({**price, **{name: value for name, value in known.items() if value is not None}})
    return {"contract_id": contract.contract_id, **found}


def made(
    cause: Told, type_name: str, stream: str, data: dict[str, Any], extra: str = "", at: datetime | None = None
) -> Event:
    """The event of that type that follows from a cause on a stream; `extra` tells several of one type apart.

    `at`: when it happened, where that is not when its cause did.
    """
    return _document(cause, type_name, stream, data, _id(cause.source, cause.id, type_name + extra, stream), at=at)


def _document(
    cause: Told, type_name: str, stream: str, data: dict[str, Any], id: str, *,
    at: datetime | None = None, marks: Mapping[str, str] | None = None,
) -> Event:  # fmt: skip
    """An event as the door would take it, at the time of its cause or `at`."""
    meta = cause.meta
    time = _text(at) if at is not None else meta.get("time") or _text(cause.occurred_at)
    document: dict[str, Any] = {
        "specversion": "1.0", "id": id, "source": SOURCE, "type": type_name, "subject": stream, "data": data, "time": time,
        "causationid": cause.id, **(marks or {}),
    }  # fmt: skip
    for name in ("correlationid", "traceparent", *(("timeprecision", "sequence") if at is None else ())):
        if name in meta:
            document[name] = meta[name]
    if EVENTS[type_name].version > 1:
        document["dataschema"] = f"/schemas/{type_name}/{EVENTS[type_name].version}"
    return parse_event(document, at or cause.occurred_at)


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _id(source: str, id: str, what: str, stream: str) -> str:
    return blake2b(f"{source}\n{id}\n{what}\n{stream}".encode(), digest_size=16).hexdigest()
