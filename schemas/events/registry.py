"""The registry: every type of the language with its version, its streams and its rank among equal instants."""

import re
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from schemas.events import (
    corrections,
    management,
    opportunity,
    parties,
    plans,
    qualify,
    sales_process,
    transaction,
    upgrade,
)
from schemas.events.fields import Body


class EventType(msgspec.Struct, frozen=True):
    """One type of the language: its current schema version, where it belongs, its struct.

    `streams` are the kinds of stream whose event it may be, its own first; `rank` is its place among events of one
    instant (the row order of the catalogue); `phase` the phase of the lifecycle it is listed under, None on other streams.
    """

    name: str
    version: int
    streams: tuple[str, ...]
    rank: int
    body: type[Body]
    phase: str | None = None

    @property
    def stream_type(self) -> str:
        """The kind of stream that is named after the type's own subject."""
        return self.streams[0]

    @property
    def meaning(self) -> str:
        """The first sentence about it, for people."""
        return (self.body.__doc__ or "").strip().partition("\n")[0]


class _Row(NamedTuple):
    streams: tuple[str, ...]
    phase: str | None
    bodies: tuple[type[Body], ...]


_o, _q, _s, _t, _m, _u = opportunity, qualify, sales_process, transaction, management, upgrade
_LEAD: Final = ("lead",)
_CATALOGUE: Final = (
    _Row(_LEAD, "opportunity", (
        _o.ContactListed, _o.ContactScreened, _o.LeadCaptured, _o.LeadEnriched, _o.LeadScored, _o.SegmentAssigned,
        _o.CampaignTouched, _o.LeadAssigned, _o.HandoverAccepted, _o.HandoverRejected, _o.LeadMerged, _o.LeadAbsorbed,
    )),
    _Row(_LEAD, "qualify", (_q.MarketingQualified, _q.ContactRoleSet, _q.BantAssessed, _q.Qualified, _q.Recycled)),
    _Row(_LEAD, "sales_process", (
        _s.StageEntered, _s.ActivityLogged, _s.ContentShared, _s.ProposalSent, _s.ApprovalRequested, _s.ApprovalDecided,
        _s.ObjectionRaised, _s.ObjectionResolved, _s.ValueChanged, _s.ExpectedCloseChanged, _s.ForecastSet,
        _s.CompetitorIdentified, _s.AccountChanged, _s.PipelineMoved,
    )),
    _Row(_LEAD, "transaction", (
        _t.Won, _t.Lost, _t.Reopened, _t.Voided, _t.LeadSplit, _t.ContractSigned, _t.OrderPlaced, _t.OrderCancelled,
        _t.Delivered, _t.InvoiceIssued, _t.PaymentReceived, _t.PaymentFailed, _t.PaymentRefunded,
    )),
    _Row(_LEAD, "management", (
        _m.SurveySent, _m.SurveyAnswered, _m.QueryRaised, _m.QueryResolved, _m.AdvocateIdentified, _m.TestimonialGiven,
        _m.ReferralMade, _m.ContractChanged, _m.ContractRenewed, _m.ContractSuperseded, _m.CancellationRequested,
        _m.CancellationWithdrawn, _m.Churned, _m.Reactivated,
    )),
    _Row(_LEAD, "upgrade", (_u.UpgradeDue, _u.UpgradeAccepted, _u.UpgradeDeclined, _u.CompetitorTermRecorded)),
    _Row(("person",), None, (parties.PersonUpdated,)),
    _Row(("person", "lead"), None, (parties.ConsentGranted, parties.ConsentWithdrawn)),
    _Row(("account",), None, (parties.AccountUpdated,)),
    _Row(("owner",), None, (parties.OwnerUpdated, parties.OwnerLeft)),
    _Row(("product",), None, (parties.ProductUpdated,)),
    _Row(("campaign",), None, (plans.CampaignOpened, plans.CampaignCostRecorded)),
    _Row(("target",), None, (plans.TargetSet,)),
    _Row(("fx",), None, (plans.FxRatePublished,)),
    _Row(
        ("lead", "person", "account", "owner", "product", "campaign", "target", "fx"), None,
        (corrections.EventCorrected, corrections.EventRetracted),
    ),
)  # fmt: skip
"""The catalogue in the order of its rows, left to right: the order in which events of one instant fold."""

_VERSIONS: Final = {"CampaignCostRecorded": 2}
"""Types whose schema is no longer the first one; `schemas.upcast` reads what was sent under the older ones."""


def _types() -> dict[str, EventType]:
    bodies = [(row, body) for row in _CATALOGUE for body in row.bodies]
    return {
        body.__name__: EventType(body.__name__, _VERSIONS.get(body.__name__, 1), row.streams, rank, body, row.phase)
        for rank, (row, body) in enumerate(bodies, 1)
    }


EVENTS: Final = MappingProxyType(_types())
"""Every type by its name, in the order of the catalogue."""

STREAM_TYPES: Final = tuple(dict.fromkeys(stream for kind in EVENTS.values() for stream in kind.streams))
"""Every kind of stream."""

FX_STREAM = re.compile(r"fx/[A-Z]{3}-[A-Z]{3}")


def data_schema(body: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the `data` of one type, complete in itself: no reference leaves the document."""
    generated = msgspec.json.schema(body)
    definitions = {name: _without_null(part) for name, part in generated["$defs"].items()}
    return {**definitions.pop(body.__name__), **({"$defs": definitions} if definitions else {})}


def _without_null(schema: Any) -> Any:
    """msgspec says "or null, by default null" of an optional field; in this language it is absent or has a value."""
    if isinstance(schema, list):
        return [_without_null(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: _without_null(part) for key, part in schema.items() if not (key == "default" and part is None)}
    choices = parts.get("anyOf")
    if choices and {"type": "null"} in choices:
        del parts["anyOf"]
        rest = [choice for choice in choices if choice != {"type": "null"}]
        parts = {**(rest[0] if len(rest) == 1 else {"anyOf": rest}), **parts}
    return parts
