"""The decider of streams that hold attributes: people, accounts, owners, products, campaigns, targets, currencies. Pure.

Every fact is a normal step; what may be refused is only what no order of arrival could make right.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from schemas.attributes import STATES, Attributes, evolve_attributes, fold_attributes
from schemas.corrections import effective, is_correction
from schemas.currency import exponent
from schemas.envelope import Event, Recorded
from schemas.events.corrections import EventRetracted
from schemas.events.parties import OwnerLeft
from schemas.fact import Fact, fact_of
from services.kernel.decider import Around, Verdict
from services.lifecycle.domain import succession
from services.lifecycle.domain.corrections import refuse_misfit
from services.lifecycle.domain.lead import invalid, stored_body

_encode = msgspec.json.Encoder().encode
_NORMAL = Verdict()


class AttributesDecider:
    """The decider of one kind of stream, such as `account`."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.unknown = STATES[kind]()
        self._decode = msgspec.json.Decoder(STATES[kind]).decode

    def fact(self, event: Event | Recorded, version: int) -> Fact:
        return fact_of(event, version, event.body if isinstance(event, Event) else stored_body(event))

    def refuse(self, state: Attributes, event: Event, fact: Fact) -> None:
        name = event.stream.partition("/")[2]
        if isinstance(fact.body, OwnerLeft) and fact.body.successor == name:
            raise invalid("/data/successor", "names the owner who left")
        if self._kind == "fx":
            pair = name.split("-")
            if len(pair) != 2 or pair[0] == pair[1] or None in map(exponent, pair):
                raise invalid("/subject", "must be fx/<base>-<quote>, two codes of ISO 4217, such as fx/EUR-USD")

    def refolds(self, state: Attributes, fact: Fact) -> bool:
        return state.unsettled or is_correction(fact.body)

    def check_history(self, event: Event, fact: Fact, facts: Sequence[Fact]) -> None:
        refuse_misfit(fact, facts)

    def fold(self, facts: Iterable[Fact]) -> Attributes:
        return fold_attributes(self._kind, facts)

    def at(self, facts: Iterable[Fact], instant: datetime) -> Attributes:
        """The state at an instant, as these facts tell it."""
        counting = effective(facts).facts
        return fold_attributes(self._kind, [fact for fact in counting if fact.at < instant])

    def changes_by(self, state: Attributes, instant: datetime) -> bool:
        return False

    def evolve(self, state: Attributes, fact: Fact) -> Attributes:
        return state if is_correction(fact.body) else evolve_attributes(state, fact)

    def verdict(self, before: Attributes, after: Attributes, fact: Fact) -> Verdict:
        if is_correction(fact.body) and len(after.uncertain) > len(before.uncertain):
            return Verdict((), after.uncertain[-1])
        return _NORMAL

    def searches(self, event: Event, fact: Fact, around: Around) -> tuple[str, ...] | None:
        return succession.leads_of(event, fact, around)

    def reads(self, event: Event, fact: Fact, before: Attributes, around: Around) -> set[str]:
        return set(around.found) if isinstance(fact.body, EventRetracted) else set()

    def derive(self, event: Event, fact: Fact, before: Attributes, after: Attributes, around: Around) -> list[Event]:
        return succession.handed_over(event, fact, around)

    def stamp(self, before: Attributes, after: Attributes, fact: Fact) -> dict[str, str]:
        return {}

    def normal_next(self, state: Attributes) -> list[str]:
        return []

    def summary(self, state: Attributes) -> dict[str, Any]:
        return {}

    def labels(self, state: Attributes) -> tuple[str, ...]:
        return ("known=true",) if state.known_since is not None else ()

    def encode(self, state: Attributes) -> bytes:
        return _encode(state)

    def decode(self, state: bytes) -> Attributes:
        return self._decode(state)


def attribute_deciders() -> "dict[str, AttributesDecider]":
    """One decider for each kind of stream that is not a lead, by its kind."""
    return {kind: AttributesDecider(kind) for kind in STATES}
