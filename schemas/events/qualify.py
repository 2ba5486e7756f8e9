"""Events of the phase qualify: is it worth the time of sales?"""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.events.fields import Body, Code, Day, Id, Money, Name, Prose, doc
from schemas.events.opportunity import Score

YesNo = Literal["yes", "no", "unknown"]


class MarketingQualified(Body, frozen=True, kw_only=True):
    """Marketing holds the lead for ripe and hands it over (MQL)."""

    criteria_version: Annotated[Code, doc("Version of the criteria applied.", "3")]
    score: Annotated[Score | None, doc("Score that decided, 0 to 100.", 82)] = None


class ContactRoleSet(Body, frozen=True, kw_only=True):
    """A human being plays a part in the buyer's decision; a later event for the same person replaces it."""

    person_id: Annotated[Id, doc("Human being (stream `person/<id>`).", "p-7")]
    role: Annotated[
        Literal["decision_maker", "champion", "finance", "technical", "user"], doc("Their part.", "decision_maker")
    ]
    job_title: Annotated[Name | None, doc("Their position.", "Head of Operations")] = None
    pains: Annotated[tuple[Prose, ...], Meta(max_length=20), doc("What troubles them, in words.", ["slow quotes"])] = ()
    preferred_channel: Annotated[Code | None, doc("How they like to be addressed.", "phone")] = None


class BantAssessed(Body, frozen=True, kw_only=True):
    """The four questions of BANT as answered now; a later assessment replaces all four."""

    budget: Annotated[YesNo, doc("Is there money for it?", "yes")]
    authority: Annotated[YesNo, doc("Do we speak with who decides?", "yes")]
    need: Annotated[YesNo, doc("Do they need it?", "yes")]
    timeline: Annotated[YesNo, doc("Is there a time by when?", "unknown")]
    note: Annotated[Prose | None, doc("In words.", "Budget round in March.")] = None


class Qualified(Body, frozen=True, kw_only=True):
    """Sales accepts that this is worth its time (sales-qualified, SQL)."""

    value: Annotated[Money | None, doc("Expected one-off or first-year value, before tax.")] = None
    mrr: Annotated[Money | None, doc("Expected recurring revenue per month, before tax.")] = None
    expected_close: Annotated[Day | None, doc("Day the deal should close.", "2026-06-30")] = None
    criteria_version: Annotated[Code | None, doc("Version of the criteria applied.", "3")] = None


class Recycled(Body, frozen=True, kw_only=True):
    """Not now: the lead leaves the pipeline and is nurtured until it is qualified again."""

    return_on: Annotated[Day, doc("Day to take it up again.", "2026-09-01")]
    reason: Annotated[Prose | None, doc("Why, in words.", "Budget only after the summer.")] = None
