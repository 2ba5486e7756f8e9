"""The events that other systems may send and read: one frozen struct per type, and the registry `EVENTS`.

The JSON Schema of a type is generated from its struct (`data_schema`) and is what the door enforces, so the published
schema and the check cannot differ. An optional field is left out where it is not known; `null` is refused, so that one
fact has one form. Sets that will grow (channels, kinds, reasons) are open strings whose shipped values the description
lists; closed sets are literals. Fields marked `x-pii` hold person data and nothing else does.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

ID_PATTERN = "^[A-Za-z0-9._:-]+$"
_VISIBLE = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+$"
_PROSE = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]+$"
_YEARS = "^(19|20|21)[0-9]{2}-"
_AMOUNT = r"^(0|[1-9][0-9]{0,15})(\.[0-9]{1,4})?$"
_PII = {"x-pii": True}


def _schema(**keywords: Any) -> Meta:
    """Keywords that are enforced through the JSON Schema alone: msgspec would pay 0.5 µs for each pattern."""
    return Meta(extra_json_schema=keywords)


Id = Annotated[str, Meta(min_length=1, max_length=128), _schema(pattern=ID_PATTERN)]
"""The caller's own identifier: letters, digits, `.`, `_`, `:`, `-`."""
Code = Annotated[str, Meta(min_length=1, max_length=128), _schema(pattern=ID_PATTERN)]
"""A word of an open set, written like an identifier."""
Name = Annotated[str, Meta(min_length=1, max_length=200), _schema(pattern=_VISIBLE)]
"""A name as people write it, on one line, with no invisible character."""
Prose = Annotated[str, Meta(min_length=1, max_length=2_000, extra={"pii": True}), _schema(pattern=_PROSE, **_PII)]
"""Free text. People write about people, so it is person data."""
Day = Annotated[date, _schema(pattern=_YEARS)]
"""A calendar day, RFC 3339 full-date, 1900 to 2199: a year outside is a slip of the keyboard."""
Instant = Annotated[datetime, Meta(tz=True), _schema(pattern=_YEARS)]
"""RFC 3339 date-time with its offset, 1900 to 2199."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Root of everything that stands in the `data` of an event."""


class Money(Body, frozen=True, kw_only=True):
    """An amount of one currency. At most 16 digits before the point, and no more decimals than the currency has."""

    amount: Annotated[
        str,
        Meta(description="Decimal number as text, never a float; zero or more.", examples=["1234.50"], max_length=21),
        _schema(pattern=_AMOUNT),
    ]
    currency: Annotated[
        str, Meta(description="ISO 4217 code.", examples=["EUR"], max_length=3), _schema(pattern="^[A-Z]{3}$")
    ]


class Person(Body, frozen=True, kw_only=True):
    """Who the lead is. Every field is person data and can be erased."""

    name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200, extra={"pii": True}), _schema(pattern=_PROSE, **_PII)] | None,
        Meta(description="Full name, as the person writes it.", examples=["Mina Okafor"]),
    ] = None
    email: Annotated[
        Annotated[
            str,
            Meta(max_length=254, extra={"pii": True}),
            _schema(pattern=r"^[^\s@\u0000-\u001f]+@[^\s@\u0000-\u001f]+$", **_PII),
        ]
        | None,
        Meta(description="Address of electronic mail, RFC 5321.", examples=["mina@example.com"]),
    ] = None
    phone: Annotated[
        Annotated[
            str, Meta(min_length=3, max_length=40, extra={"pii": True}), _schema(pattern="^[0-9+() ./x-]+$", **_PII)
        ]
        | None,
        Meta(description="Telephone number, best in E.164.", examples=["+49301234567"]),
    ] = None
    birthday: Annotated[
        Annotated[date, Meta(extra={"pii": True}), _schema(pattern=_YEARS, **_PII)] | None,
        Meta(description="Day of birth.", examples=["1984-02-29"]),
    ] = None


class Origin(Body, frozen=True, kw_only=True):
    """The earlier cycle that this one grew out of."""

    lead_id: Annotated[Id, Meta(description="Lead of the earlier cycle, without `lead/`.", examples=["L-1000"])]
    kind: Annotated[
        Literal["upgrade", "renewal", "cross_sell", "win_back", "displacement", "split"],
        Meta(description="How this cycle grew out of it.", examples=["upgrade"]),
    ]


class Contract(Body, frozen=True, kw_only=True):
    """What was sold: a recurring `mrr` or a one-off `amount`, exactly one of the two."""

    contract_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=160), _schema(pattern=ID_PATTERN)],
        Meta(description="Identifier of the contract, unique within its lead.", examples=["C-77"]),
    ]
    mrr: Annotated[Money | None, Meta(description="Recurring revenue per month, before tax.")] = None
    amount: Annotated[Money | None, Meta(description="One-off price, before tax.")] = None
    product: Annotated[Id | None, Meta(description="Product sold (stream `product/<id>`).", examples=["gtx-pro"])] = (
        None
    )
    term_start: Annotated[Day | None, Meta(description="First day of the term.", examples=["2026-01-01"])] = None
    term_end: Annotated[Day | None, Meta(description="Last day of the term; absent for no end.")] = None


class LeadCaptured(Body, frozen=True, kw_only=True):
    """A person or company showed interest: the sales cycle begins, or an earlier capture is filled up."""

    source_channel: Annotated[
        Code,
        Meta(
            description="How they came to us. Open set; shipped: web, phone, referral, cold_call, in_field, telemarketing, "
            "event, partner, upgrade, organic, ads, other.",
            examples=["web"],
        ),
    ]
    account_id: Annotated[Id | None, Meta(description="Company (stream `account/<id>`).", examples=["acme"])] = None
    person_id: Annotated[Id | None, Meta(description="Human being (stream `person/<id>`).", examples=["p-7"])] = None
    person: Annotated[Person | None, Meta(description="Particulars of that human being.", extra={"pii": True})] = None
    owner: Annotated[Id | None, Meta(description="Sales person (stream `owner/<id>`).", examples=["ana.b"])] = None
    region: Annotated[Name | None, Meta(description="Sales region, by the company's own map.", examples=["West"])] = (
        None
    )
    segment: Annotated[Name | None, Meta(description="Customer segment, by the company's own cut.")] = None
    product: Annotated[Id | None, Meta(description="Product asked for (stream `product/<id>`).")] = None
    campaign_id: Annotated[Id | None, Meta(description="Campaign that brought them (stream `campaign/<id>`).")] = None
    referrer_lead_id: Annotated[Id | None, Meta(description="Lead who referred them, without `lead/`.")] = None
    utm: Annotated[
        Annotated[
            dict[str, Annotated[str, Meta(min_length=1, max_length=500), _schema(pattern=_VISIBLE)]],
            Meta(max_length=20),
            _schema(propertyNames={"pattern": "^[a-z0-9_]{1,40}$"}),
        ]
        | None,
        Meta(
            description="Campaign parameters of the link they followed, without `utm_`.", examples=[{"source": "news"}]
        ),
    ] = None
    value: Annotated[Money | None, Meta(description="Expected one-off or first-year value, before tax.")] = None
    origin: Annotated[Origin | None, Meta(description="The earlier cycle this one grew out of.")] = None
    pipeline: Annotated[Id | None, Meta(description="Pipeline to follow; absent: the default one.")] = None


class Qualified(Body, frozen=True, kw_only=True):
    """Sales accepts that this is worth its time (sales-qualified)."""

    value: Annotated[Money | None, Meta(description="Expected one-off or first-year value, before tax.")] = None
    mrr: Annotated[Money | None, Meta(description="Expected recurring revenue per month, before tax.")] = None
    expected_close: Annotated[Day | None, Meta(description="Day the deal should close.", examples=["2026-06-30"])] = (
        None
    )
    criteria_version: Annotated[Code | None, Meta(description="Version of the criteria applied.", examples=["3"])] = (
        None
    )


class StageEntered(Body, frozen=True, kw_only=True):
    """The lead entered a stage of its pipeline: forward, skipping or backward."""

    stage: Annotated[Id, Meta(description="Stage, by its name in the lead's pipeline.", examples=["proposal"])]
    reason: Annotated[Prose | None, Meta(description="Why, in words.")] = None


class ActivityLogged(Body, frozen=True, kw_only=True):
    """Something was done with, or by, the lead."""

    kind: Annotated[
        Code,
        Meta(
            description="What was done. Open set; shipped: call, email, meeting, meeting_scheduled, demo, visit, web_visit, "
            "form, newsletter, chat, social, trial_started, email_opened, email_clicked, email_replied, "
            "email_auto_replied, email_bounced, proposal_viewed, other.",
            examples=["call"],
        ),
    ]
    direction: Annotated[
        Literal["in", "out"], Meta(description="`in`: the lead acted; `out`: we did.", examples=["out"])
    ]
    outcome: Annotated[Name | None, Meta(description="Result, by the company's own words.", examples=["reached"])] = (
        None
    )
    activity_id: Annotated[Id | None, Meta(description="Identifier in the system that logged it.")] = None
    person_id: Annotated[Id | None, Meta(description="With whom (stream `person/<id>`).")] = None
    touchpoint_id: Annotated[Id | None, Meta(description="Touchpoint of a cadence that this fulfils.")] = None
    campaign_id: Annotated[Id | None, Meta(description="Campaign it belongs to (stream `campaign/<id>`).")] = None
    starts_at: Annotated[Instant | None, Meta(description="Start of what was scheduled.")] = None
    place: Annotated[Prose | None, Meta(description="Where, in words.")] = None
    return_on: Annotated[Day | None, Meta(description="Day the person said to be back.")] = None


class ValueChanged(Body, frozen=True, kw_only=True):
    """The expected value of an open lead is another one from now on."""

    value: Annotated[Money, Meta(description="New expected value, before tax.")]
    reason: Annotated[Prose | None, Meta(description="Why, in words.")] = None


class Won(Body, frozen=True, kw_only=True):
    """The deal is closed; its contracts begin."""

    value: Annotated[Money, Meta(description="Value of the deal as closed, before tax.")]
    account_id: Annotated[Id | None, Meta(description="Company that bought (stream `account/<id>`).")] = None
    competitor_beaten: Annotated[Name | None, Meta(description="Whose offer was declined.", examples=["Globex"])] = None
    contracts: Annotated[
        tuple[Contract, ...],
        Meta(max_length=100, description="What was sold. Absent where nothing recurs and the value says it all."),
    ] = ()


class Lost(Body, frozen=True, kw_only=True):
    """The deal will not happen for now."""

    reason: Annotated[
        Code,
        Meta(
            description="Why. Open set; shipped: price, feature, competitor, no_budget, no_decision, timing, unfit, "
            "unreachable, unknown, other.",
            examples=["price"],
        ),
    ]
    competitor: Annotated[Name | None, Meta(description="Who won instead.", examples=["Globex"])] = None
    competitor_term_end: Annotated[Day | None, Meta(description="Last day of the competitor's contract.")] = None
    revisit_on: Annotated[Day | None, Meta(description="Day to ask again.")] = None


class UpgradeDue(Body, frozen=True, kw_only=True):
    """A term nears its end, or a product its age: time to offer the next one."""

    due_at: Annotated[Instant, Meta(description="When the offer is due.", examples=["2026-10-01T00:00:00Z"])]
    basis: Annotated[
        Literal["own_term", "competitor_term", "product_age"],
        Meta(description="What makes it due.", examples=["own_term"]),
    ]
    contract_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=160), _schema(pattern=ID_PATTERN)] | None,
        Meta(description="The contract in question; a competitor's is `competitor:<lead>`."),
    ] = None
    term_end: Annotated[Day | None, Meta(description="Last day of the term in question.")] = None


LeadBody = LeadCaptured | Qualified | StageEntered | ActivityLogged | ValueChanged | Won | Lost | UpgradeDue


class EventType(msgspec.Struct, frozen=True):
    """One type of the language: its current schema version, the stream it belongs to, its rank among equal instants."""

    name: str
    version: int
    stream_type: str
    rank: int
    body: type[Body]


LEAD_ORDER = (
    "ContactListed", "ContactScreened", "LeadCaptured", "LeadEnriched", "LeadScored", "SegmentAssigned",
    "CampaignTouched", "LeadAssigned", "HandoverAccepted", "HandoverRejected", "LeadMerged", "LeadAbsorbed",
    "MarketingQualified", "ContactRoleSet", "BantAssessed", "Qualified", "Recycled", "StageEntered", "ActivityLogged",
    "ContentShared", "ProposalSent", "ApprovalRequested", "ApprovalDecided", "ObjectionRaised", "ObjectionResolved",
    "ValueChanged", "ExpectedCloseChanged", "ForecastSet", "CompetitorIdentified", "AccountChanged", "PipelineMoved",
    "Won", "Lost", "Reopened", "Voided", "LeadSplit", "ContractSigned", "OrderPlaced", "OrderCancelled", "Delivered",
    "InvoiceIssued", "PaymentReceived", "PaymentFailed", "PaymentRefunded", "SurveySent", "SurveyAnswered",
    "QueryRaised", "QueryResolved", "AdvocateIdentified", "TestimonialGiven", "ReferralMade", "ContractChanged",
    "ContractRenewed", "ContractSuperseded", "CancellationRequested", "CancellationWithdrawn", "Churned",
    "Reactivated", "UpgradeDue", "UpgradeAccepted", "UpgradeDeclined", "CompetitorTermRecorded", "EventCorrected",
    "EventRetracted",
)  # fmt: skip
"""All event types of a lead in the order in which they fold at one instant; those not registered keep their place."""

_REGISTERED: tuple[type[Body], ...] = (
    LeadCaptured, Qualified, StageEntered, ActivityLogged, ValueChanged, Won, Lost, UpgradeDue,
)  # fmt: skip

EVENTS: dict[str, EventType] = {
    body.__name__: EventType(body.__name__, 1, "lead", LEAD_ORDER.index(body.__name__) + 1, body)
    for body in _REGISTERED
}
"""Every registered type by its name."""


def data_schema(event_type: EventType) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the `data` of one type, complete in itself: no reference leaves the document."""
    generated = msgspec.json.schema(event_type.body)
    definitions = {name: _without_null(part) for name, part in generated["$defs"].items()}
    return {**definitions.pop(event_type.name), **({"$defs": definitions} if definitions else {})}


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
        parts = {**next(choice for choice in choices if choice != {"type": "null"}), **parts}
    return parts
