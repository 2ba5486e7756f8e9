"""What is known of people, accounts, owners, products, campaigns, targets and currencies: one state and one fold each.

These streams hold attributes that figures are grouped by and facts that they are set against. An update says what changed and
leaves the rest; in the order of (business_at, sequence, rank, version) the last word on each field counts. Pure and total.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from schemas.corrections import effective
from schemas.events.fields import Body, Money, Period
from schemas.events.parties import (
    Absence,
    AccountUpdated,
    ConsentGranted,
    ConsentWithdrawn,
    OwnerLeft,
    OwnerUpdated,
    PersonUpdated,
    ProductUpdated,
    WorkingHours,
)
from schemas.events.plans import CampaignCostRecorded, CampaignOpened, FxRatePublished, TargetScope, TargetSet
from schemas.fact import Fact
from schemas.lead.changes import put
from schemas.lead.state import Consent


class Attributes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Root of the states. `known_since` is the first business_at, `corrections` counts events about other events."""

    known_since: datetime | None = None
    changed_at: datetime | None = None
    corrections: int = 0
    unsettled: bool = False
    uncertain: tuple[str, ...] = ()
    """Why a correction has no effect: at most ten sentences."""


class PersonState(Attributes, frozen=True, kw_only=True):
    """A human being. name, email, phone, birthday are person data. `consents`: the last word on each purpose and channel."""

    time_zone: str | None = None
    country: str | None = None
    locale: str | None = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    birthday: date | None = None
    consents: tuple[Consent, ...] = ()


class AccountState(Attributes, frozen=True, kw_only=True):
    """A customer or prospect company."""

    name: str | None = None
    industry: str | None = None
    size: str | None = None
    country: str | None = None
    time_zone: str | None = None
    customer_type: str | None = None


class OwnerState(Attributes, frozen=True, kw_only=True):
    """A sales person. `left_at` and `successor` once they are gone."""

    name: str | None = None
    team: str | None = None
    manager: str | None = None
    role: str | None = None
    region: str | None = None
    time_zone: str | None = None
    hours: tuple[WorkingHours, ...] | None = None
    capacity_per_day: int | None = None
    absences: tuple[Absence, ...] | None = None
    left_at: datetime | None = None
    successor: str | None = None


class ProductState(Attributes, frozen=True, kw_only=True):
    """What we sell."""

    name: str | None = None
    series: str | None = None
    list_price: Money | None = None
    end_of_life: date | None = None


class Cost(msgspec.Struct, frozen=True):
    """What a campaign cost in a period."""

    cost: Money
    period: Period


class CampaignState(Attributes, frozen=True, kw_only=True):
    """A campaign; the last hundred costs, which add up."""

    channel: str | None = None
    opened_at: datetime | None = None
    costs: tuple[Cost, ...] = ()


class TargetState(Attributes, frozen=True, kw_only=True):
    """What somebody should reach."""

    scope: TargetScope | None = None
    metric: str | None = None
    period: Period | None = None
    amount: str | None = None
    currency: str | None = None
    stage: str | None = None
    activity_kind: str | None = None


class FxState(Attributes, frozen=True, kw_only=True):
    """The last rate of a pair of currencies."""

    rate: str | None = None
    as_of: datetime | None = None


STATES: Final[dict[str, type[Attributes]]] = {
    "person": PersonState, "account": AccountState, "owner": OwnerState, "product": ProductState,
    "campaign": CampaignState, "target": TargetState, "fx": FxState,
}  # fmt: skip
"""The state of each kind of stream that is not a lead."""

PERSON_DATA: Final = frozenset({"name", "email", "phone", "birthday"})
"""Fields of a person's state that are shown only to who may see person data."""

_COSTS_KEPT = 100


def fold_attributes(kind: str, facts: Iterable[Fact]) -> Attributes:
    """The state of a stream of that kind after all facts, in any order."""
    found = effective(facts)
    state = STATES[kind]()
    for fact in found.facts:
        state = evolve_attributes(state, fact)
    if found.corrections:
        uncertain = tuple(each.reason for each in found.waiting[-10:])
        state = replace(state, corrections=found.corrections, unsettled=not found.settled, uncertain=uncertain)
    return state


def evolve_attributes(state: Any, fact: Fact) -> Any:
    """The state after one more fact, which sorts after all before it."""
    state = replace(state, known_since=state.known_since or fact.at, changed_at=fact.at)
    match fact.body:
        case PersonUpdated() | AccountUpdated() | OwnerUpdated() | ProductUpdated() as body:
            return replace(state, **_said(body))
        case ConsentGranted() | ConsentWithdrawn() as body:
            said = Consent(body.purpose, body.channel, isinstance(body, ConsentGranted), fact.at)
            same = (said.purpose, said.channel)
            return replace(state, consents=put(state.consents, said, lambda each: (each.purpose, each.channel) == same))
        case OwnerLeft() as body:
            return replace(state, left_at=fact.at, successor=body.successor)
        case CampaignOpened() as body:
            return replace(state, channel=body.channel, opened_at=fact.at)
        case CampaignCostRecorded() as body:
            return replace(state, costs=(*state.costs, Cost(body.cost, body.period))[-_COSTS_KEPT:])
        case TargetSet() as body:
            return replace(state, **{name: getattr(body, name) for name in body.__struct_fields__})
        case FxRatePublished() as body:
            return replace(state, rate=body.rate, as_of=body.as_of)
        case _:
            return state


def _said(body: Body) -> dict[str, Any]:
    """The fields that an update names; those that it leaves out stay as they were."""
    return {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not None}
