"""Events of the phase opportunity: from a name on a list to a lead that somebody works on."""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.events.fields import (
    VISIBLE,
    Body,
    Code,
    Id,
    Instant,
    Money,
    Name,
    Origin,
    Person,
    Prose,
    doc,
    only_schema,
)

CHANNELS = "web, phone, referral, cold_call, in_field, telemarketing, event, partner, upgrade, organic, ads, other"
Role = Literal["marketing", "sdr", "sales", "success", "support"]
Score = Annotated[int, Meta(ge=0, le=100)]


class ContactListed(Body, frozen=True, kw_only=True):
    """A person or company stands on a list: bought, collected or kept from before. It is no lead yet."""

    source_channel: Annotated[Code, doc(f"Where the list comes from. Open set; shipped: {CHANNELS}.", "event")]
    list_id: Annotated[Id | None, doc("The list.", "fair-2026")] = None
    campaign_id: Annotated[Id | None, doc("Campaign it was made for (stream `campaign/<id>`).", "spring")] = None
    person_id: Annotated[Id | None, doc("Human being (stream `person/<id>`).", "p-7")] = None
    account_id: Annotated[Id | None, doc("Company (stream `account/<id>`).", "acme")] = None
    owner: Annotated[Id | None, doc("Who works the list (stream `owner/<id>`).", "ana.b")] = None
    region: Annotated[Name | None, doc("Sales region, by the company's own map.", "West")] = None
    segment: Annotated[Name | None, doc("Customer segment, by the company's own cut.", "SMB")] = None


class ContactScreened(Body, frozen=True, kw_only=True):
    """Marketing looked at a contact and decided whether it is worth a call."""

    result: Annotated[Literal["fit", "unfit"], doc("`unfit` takes the contact out; it is kept in the database.", "fit")]
    reason: Annotated[Prose | None, doc("Why, in words.", "Too small for us.")] = None
    score: Annotated[Score | None, doc("How well it fits, 0 to 100.", 70)] = None


class LeadCaptured(Body, frozen=True, kw_only=True):
    """A person or company showed interest: the sales cycle begins, or an earlier capture is filled up."""

    source_channel: Annotated[Code, doc(f"How they came to us. Open set; shipped: {CHANNELS}.", "web")]
    account_id: Annotated[Id | None, doc("Company (stream `account/<id>`).", "acme")] = None
    person_id: Annotated[Id | None, doc("Human being (stream `person/<id>`).", "p-7")] = None
    person: Annotated[Person | None, doc("Particulars of that human being.", pii=True)] = None
    owner: Annotated[Id | None, doc("Sales person (stream `owner/<id>`).", "ana.b")] = None
    region: Annotated[Name | None, doc("Sales region, by the company's own map.", "West")] = None
    segment: Annotated[Name | None, doc("Customer segment, by the company's own cut.", "SMB")] = None
    product: Annotated[Id | None, doc("Product asked for (stream `product/<id>`).", "gtx-pro")] = None
    campaign_id: Annotated[Id | None, doc("Campaign that brought them (stream `campaign/<id>`).", "spring")] = None
    referrer_lead_id: Annotated[Id | None, doc("Lead who referred them, without `lead/`.", "L-1000")] = None
    utm: Annotated[
        Annotated[
            dict[str, Annotated[str, Meta(min_length=1, max_length=500), only_schema(pattern=VISIBLE)]],
            Meta(max_length=20),
            only_schema(propertyNames={"pattern": "^[a-z0-9_]{1,40}$"}),
        ]
        | None,
        doc("Campaign parameters of the link they followed, without `utm_`.", {"source": "news"}),
    ] = None
    value: Annotated[Money | None, doc("Expected one-off or first-year value, before tax.")] = None
    origin: Annotated[Origin | None, doc("The earlier cycle this one grew out of.")] = None
    pipeline: Annotated[Id | None, doc("Pipeline to follow; absent: the default one.", "six-phase")] = None


class LeadEnriched(Body, frozen=True, kw_only=True):
    """A provider of data added what it knows of a lead. Kept as history; it moves nothing."""

    fields: Annotated[
        Annotated[
            dict[str, Annotated[str, Meta(min_length=1, max_length=500), only_schema(pattern=VISIBLE)]],
            Meta(min_length=1, max_length=50),
            only_schema(propertyNames={"pattern": "^[a-z0-9_]{1,40}$"}),
        ],
        doc("What was found, by name. Nothing about a human being: that belongs into PersonUpdated.", {"staff": "250"}),
    ]
    provider: Annotated[Name | None, doc("Who provided it.", "Registry")] = None


class LeadScored(Body, frozen=True, kw_only=True):
    """A model judged how promising the lead is."""

    score: Annotated[Score, doc("0 to 100; higher is more promising.", 82)]
    model: Annotated[Code, doc("Model that judged.", "propensity")]
    model_version: Annotated[Code, doc("Its version.", "2026-01")]
    fit: Annotated[Score | None, doc("How well the company fits, 0 to 100.", 90)] = None
    engagement: Annotated[Score | None, doc("How much they engage, 0 to 100.", 74)] = None
    reasons: Annotated[
        tuple[Name, ...], Meta(max_length=20), doc("What counted most, strongest first.", ["visited pricing"])
    ] = ()


class SegmentAssigned(Body, frozen=True, kw_only=True):
    """A rule put the lead into a segment; the last one counts."""

    segment: Annotated[Name, doc("Customer segment, by the company's own cut.", "Enterprise")]
    rule: Annotated[Code, doc("Rule that decided.", "by-size")]
    rule_version: Annotated[Code, doc("Its version.", "4")]


class CampaignTouched(Body, frozen=True, kw_only=True):
    """A campaign reached the lead: every touch; which was the first and the last is derived."""

    campaign_id: Annotated[Id, doc("Campaign (stream `campaign/<id>`).", "spring")]
    channel: Annotated[Code | None, doc(f"By which channel. Open set; shipped: {CHANNELS}.", "ads")] = None
    content_id: Annotated[Id | None, doc("What they saw.", "whitepaper-3")] = None


class LeadAssigned(Body, frozen=True, kw_only=True):
    """Somebody is responsible for the lead from now on."""

    owner: Annotated[Id, doc("Who (stream `owner/<id>`).", "ana.b")]
    role: Annotated[Role | None, doc("In which role; absent: as before, at first sales.", "sales")] = None
    team: Annotated[Name | None, doc("Team the lead goes to.", "West 2")] = None
    rule: Annotated[Code | None, doc("Rule that decided; absent: a person did.", "round-robin")] = None


class HandoverAccepted(Body, frozen=True, kw_only=True):
    """The next role takes what the one before hands over: sales takes the lead from marketing."""

    role: Annotated[Role, doc("Who takes it.", "sales")]
    reason: Annotated[Prose | None, doc("Why, in words.", "Budget is there.")] = None


class HandoverRejected(Body, frozen=True, kw_only=True):
    """The next role does not take what was handed over."""

    role: Annotated[Role, doc("Who does not take it.", "sales")]
    reason: Annotated[Prose | None, doc("Why, in words.", "No project before next year.")] = None


class Inherited(Body, frozen=True, kw_only=True):
    """What the surviving lead takes over: outcome, contracts and the earliest touch follow by rule; this adds blanks."""

    captured_at: Annotated[Instant | None, doc("First capture of the absorbed lead.", "2026-01-02T10:00:00Z")] = None
    source_channel: Annotated[Code | None, doc("Its channel.", "web")] = None
    campaign_id: Annotated[Id | None, doc("Its campaign.", "spring")] = None


class LeadMerged(Body, frozen=True, kw_only=True):
    """Two leads were one: this one survives and goes on for both."""

    absorbed_lead_id: Annotated[Id, doc("The lead that ends here, without `lead/`.", "L-2")]
    inherited: Annotated[Inherited | None, doc("What the survivor takes over from it.")] = None


class LeadAbsorbed(Body, frozen=True, kw_only=True):
    """This lead was one with another and ends; derived from LeadMerged on the survivor."""

    surviving_lead_id: Annotated[Id, doc("The lead that goes on, without `lead/`.", "L-3")]
