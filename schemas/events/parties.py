"""Events of people, companies, sales people and products: the attributes that figures are grouped by, dated."""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.events.fields import (
    Birthday,
    Body,
    Code,
    Count,
    Country,
    Day,
    Email,
    Id,
    Locale,
    Money,
    Name,
    PersonName,
    Phone,
    TimeZone,
    doc,
    only_schema,
)

PURPOSES = "marketing, newsletter, product_news, surveys, sales, any"
CONSENT_CHANNELS = "email, phone, sms, post, chat, social, any"
Clock = Annotated[str, Meta(max_length=5), only_schema(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class PersonUpdated(Body, frozen=True, kw_only=True):
    """What is known of a human being; a field that is absent stays as it was."""

    time_zone: Annotated[TimeZone | None, doc("Where they are: IANA time zone.", "Europe/Berlin")] = None
    country: Annotated[Country | None, doc("ISO 3166-1 alpha-2 code.", "DE")] = None
    locale: Annotated[Locale | None, doc("Language they like to read: BCP 47.", "de-DE")] = None
    name: Annotated[PersonName | None, doc("Full name, as the person writes it.", "Mina Okafor")] = None
    email: Annotated[Email | None, doc("Address of electronic mail, RFC 5321.", "mina@example.com")] = None
    phone: Annotated[Phone | None, doc("Telephone number, best in E.164.", "+49301234567")] = None
    birthday: Annotated[Birthday | None, doc("Day of birth.", "1984-02-29")] = None


class ConsentGranted(Body, frozen=True, kw_only=True):
    """The person agrees to be addressed. Posted on a lead it counts for the lead's person."""

    purpose: Annotated[Code, doc(f"For what. Open set; shipped: {PURPOSES}.", "newsletter")]
    channel: Annotated[Code, doc(f"By which channel. Open set; shipped: {CONSENT_CHANNELS}.", "email")]


class ConsentWithdrawn(Body, frozen=True, kw_only=True):
    """The person no longer agrees. It wins over every grant of the same instant."""

    purpose: Annotated[Code, doc(f"For what; `any` for everything. Open set; shipped: {PURPOSES}.", "newsletter")]
    channel: Annotated[Code, doc(f"By which channel; `any` for all. Open set; shipped: {CONSENT_CHANNELS}.", "email")]


class PersonErased(Body, frozen=True, kw_only=True):
    """The particulars of the person are gone for good; facts and counts stay."""


class AccountUpdated(Body, frozen=True, kw_only=True):
    """What is known of a company; a field that is absent stays as it was."""

    name: Annotated[Name | None, doc("Its name.", "Acme Ltd")] = None
    industry: Annotated[Name | None, doc("Line of business, by the company's own cut.", "Retail")] = None
    size: Annotated[Name | None, doc("Class of size, by the company's own cut.", "51-200")] = None
    country: Annotated[Country | None, doc("ISO 3166-1 alpha-2 code.", "DE")] = None
    time_zone: Annotated[TimeZone | None, doc("IANA time zone.", "Europe/Berlin")] = None
    customer_type: Annotated[Literal["b2b", "b2c"] | None, doc("Kind of customer.", "b2b")] = None


class WorkingHours(Body, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """A stretch of working time on some days of the week, local time, half-open."""

    days: Annotated[tuple[Weekday, ...], Meta(min_length=1, max_length=7), doc("Days of the week.", ["mon", "tue"])]
    start: Annotated[Clock, doc("Begin, HH:MM.", "09:00")]
    end: Annotated[Clock, doc("End, HH:MM; `24:00` for midnight.", "17:30")]


class Absence(Body, frozen=True, kw_only=True):
    """Days on which somebody does not work."""

    first_day: Annotated[Day, doc("First day away.", "2026-08-03")]
    last_day: Annotated[Day, doc("Last day away.", "2026-08-21")]


class OwnerUpdated(Body, frozen=True, kw_only=True):
    """What is known of a sales person; a field that is absent stays as it was, a list replaces the one before."""

    name: Annotated[PersonName | None, doc("Full name.", "Ana Becker")] = None
    team: Annotated[Name | None, doc("The team they work in.", "West 2")] = None
    manager: Annotated[Id | None, doc("Who leads them (stream `owner/<id>`).", "boss.c")] = None
    role: Annotated[Code | None, doc("Role. Open set; shipped: marketing, sdr, sales, success, support.", "sales")] = (
        None
    )
    region: Annotated[Name | None, doc("Sales region, by the company's own map.", "West")] = None
    time_zone: Annotated[TimeZone | None, doc("Where they work: IANA time zone.", "Europe/Berlin")] = None
    hours: Annotated[Annotated[tuple[WorkingHours, ...], Meta(max_length=21)] | None, doc("When they work.")] = None
    capacity_per_day: Annotated[Count | None, doc("Touchpoints they can do on a day.", 40)] = None
    absences: Annotated[Annotated[tuple[Absence, ...], Meta(max_length=100)] | None, doc("When they are away.")] = None


class OwnerLeft(Body, frozen=True, kw_only=True):
    """The sales person is gone; their open leads go to the successor (derived LeadAssigned)."""

    successor: Annotated[Id, doc("Who takes over (stream `owner/<id>`).", "bo.k")]


class ProductUpdated(Body, frozen=True, kw_only=True):
    """What is known of a product; a field that is absent stays as it was."""

    name: Annotated[Name | None, doc("Its name.", "GTX Pro")] = None
    series: Annotated[Name | None, doc("Series or family.", "GTX")] = None
    list_price: Annotated[Money | None, doc("Price before discount and tax.")] = None
    end_of_life: Annotated[Day | None, doc("Last day on which it is sold.", "2028-12-31")] = None
