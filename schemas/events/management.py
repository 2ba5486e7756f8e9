"""Events of the phase management: keeping the customer."""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.events.fields import Body, Code, ContractId, Count, Day, Id, Instant, Money, Prose, doc

SurveyKind = Literal["nps", "csat", "implementation"]
_KINDS = "`nps`: 0 to 10; `csat`: 1 to 5; `implementation`: 1 to 5."


class SurveySent(Body, frozen=True, kw_only=True):
    """We asked how satisfied they are."""

    survey_id: Annotated[Id, doc("The survey.", "N-2026-1")]
    kind: Annotated[SurveyKind, doc(_KINDS, "nps")]
    person_id: Annotated[Id, doc("Who was asked (stream `person/<id>`).", "p-7")]


class SurveyAnswered(Body, frozen=True, kw_only=True):
    """They answered."""

    survey_id: Annotated[Id, doc("The survey.", "N-2026-1")]
    kind: Annotated[SurveyKind, doc(_KINDS, "nps")]
    person_id: Annotated[Id, doc("Who answered (stream `person/<id>`).", "p-7")]
    score: Annotated[int, Meta(ge=0, le=10), doc("On the scale of the kind; other scales are refused.", 9)]


class QueryRaised(Body, frozen=True, kw_only=True):
    """The customer has a question or a complaint."""

    case_id: Annotated[Id, doc("The case.", "T-4711")]
    category: Annotated[Code | None, doc("What it is about, by the company's own words.", "billing")] = None
    priority: Annotated[
        Literal["low", "normal", "high", "urgent"] | None, doc("How urgent; absent: normal.", "high")
    ] = None


class QueryResolved(Body, frozen=True, kw_only=True):
    """It is answered."""

    case_id: Annotated[Id, doc("The case.", "T-4711")]
    category: Annotated[Code | None, doc("What it was about.", "billing")] = None
    priority: Annotated[Literal["low", "normal", "high", "urgent"] | None, doc("How urgent it was.", "high")] = None


class AdvocateIdentified(Body, frozen=True, kw_only=True):
    """Somebody at the customer speaks well of us."""

    person_id: Annotated[Id | None, doc("Who (stream `person/<id>`).", "p-7")] = None


class TestimonialGiven(Body, frozen=True, kw_only=True):
    """The customer lets us quote them."""

    content_id: Annotated[Id | None, doc("Where it stands.", "case-study-2")] = None


class ReferralMade(Body, frozen=True, kw_only=True):
    """The customer named somebody who may need us."""

    referred_lead_id: Annotated[Id | None, doc("The lead it became, without `lead/`.", "L-77")] = None


class ContractChanged(Body, frozen=True, kw_only=True):
    """A contract brings another amount from an instant on: expansion or contraction, by the difference."""

    contract_id: Annotated[ContractId, doc("The contract.", "C-77")]
    mrr: Annotated[Money, doc("New recurring revenue per month, before tax.")]
    effective_at: Annotated[Instant, doc("From when on.", "2026-07-01T00:00:00Z")]
    seats: Annotated[Count | None, doc("Number of seats from then on.", 25)] = None
    product: Annotated[Id | None, doc("Product from then on (stream `product/<id>`).", "gtx-pro")] = None
    reason: Annotated[Prose | None, doc("Why, in words.", "Five more seats.")] = None


class ContractRenewed(Body, frozen=True, kw_only=True):
    """The contract goes on beyond its term."""

    contract_id: Annotated[ContractId, doc("The contract.", "C-77")]
    term_end: Annotated[Day, doc("Last day of the new term.", "2027-12-31")]
    mrr: Annotated[Money, doc("Recurring revenue per month in it, before tax.")]
    effective_at: Annotated[
        Instant | None, doc("Start of the new term; absent: when it was agreed.", "2027-01-01T00:00:00Z")
    ] = None


class ContractSuperseded(Body, frozen=True, kw_only=True):
    """Another lead's contract takes this one's place; derived from its Won."""

    effective_at: Annotated[Instant, doc("From when on.", "2027-01-01T00:00:00Z")]
    by_lead_id: Annotated[Id, doc("The lead that carries on, without `lead/`.", "L-9")]
    contract_id: Annotated[ContractId | None, doc("Which contract; absent: all that run.", "C-77")] = None


class CancellationRequested(Body, frozen=True, kw_only=True):
    """The customer gave notice: the contract ends at an instant, unless the notice is withdrawn."""

    contract_id: Annotated[ContractId, doc("The contract.", "C-77")]
    effective_at: Annotated[Instant, doc("When service ends.", "2026-12-31T23:00:00Z")]
    reason: Annotated[Prose | None, doc("Why, in words.", "They close the office.")] = None


class CancellationWithdrawn(Body, frozen=True, kw_only=True):
    """The notice is taken back."""

    contract_id: Annotated[ContractId, doc("The contract.", "C-77")]
    reason: Annotated[Prose | None, doc("Why, in words.", "A better price.")] = None


class Churned(Body, frozen=True, kw_only=True):
    """Service has ended, or ends."""

    effective_at: Annotated[Instant, doc("When service ends.", "2026-12-31T23:00:00Z")]
    reason: Annotated[
        Code, doc("Why. Open set; shipped: price, feature, competitor, support, closed, unknown, other.", "price")
    ]
    voluntary: Annotated[bool, doc("False: we ended it, for instance for a failed payment.", True)]
    contract_id: Annotated[ContractId | None, doc("Which contract; absent: all that run.", "C-77")] = None


class Reactivated(Body, frozen=True, kw_only=True):
    """A customer who had left is back: a new spell of the original cohort."""

    mrr: Annotated[Money, doc("Recurring revenue per month, before tax.")]
    effective_at: Annotated[Instant, doc("From when on.", "2027-03-01T00:00:00Z")]
    contract_id: Annotated[
        ContractId | None, doc("Which contract runs again; absent: the last one that ended.", "C-77")
    ] = None
