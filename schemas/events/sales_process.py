"""Events of the phase sales process: everything between being qualified and the decision."""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.events.fields import Body, Code, Day, Id, Instant, Money, Name, Probability, Prose, doc

ACTIVITIES = (
    "call, email, meeting, meeting_scheduled, demo, visit, web_visit, form, newsletter, chat, social, trial_started, "
    "email_opened, email_clicked, email_replied, email_auto_replied, email_bounced, proposal_viewed, other"
)


class StageEntered(Body, frozen=True, kw_only=True):
    """The lead entered a stage of its pipeline: forward, skipping or backward."""

    stage: Annotated[Id, doc("Stage, by its name in the lead's pipeline.", "sales-process")]
    reason: Annotated[Prose | None, doc("Why, in words.", "They asked for a price.")] = None


class ActivityLogged(Body, frozen=True, kw_only=True):
    """Something was done with, or by, the lead."""

    kind: Annotated[Code, doc(f"What was done. Open set; shipped: {ACTIVITIES}.", "call")]
    direction: Annotated[Literal["in", "out"], doc("`in`: the lead acted; `out`: we did.", "out")]
    outcome: Annotated[Name | None, doc("Result, by the company's own words.", "reached")] = None
    activity_id: Annotated[Id | None, doc("Identifier in the system that logged it.", "a-1")] = None
    person_id: Annotated[Id | None, doc("With whom (stream `person/<id>`).", "p-7")] = None
    touchpoint_id: Annotated[Id | None, doc("Touchpoint of a cadence that this fulfils.", "t-1")] = None
    campaign_id: Annotated[Id | None, doc("Campaign it belongs to (stream `campaign/<id>`).", "spring")] = None
    starts_at: Annotated[Instant | None, doc("Start of what was scheduled.", "2026-03-01T09:30:00+01:00")] = None
    place: Annotated[Prose | None, doc("Where, in words.", "their office")] = None
    return_on: Annotated[Day | None, doc("Day the person said to be back.", "2026-03-08")] = None


class ContentShared(Body, frozen=True, kw_only=True):
    """We gave the lead something to read or to watch."""

    content_id: Annotated[Id, doc("What was shared.", "case-study-2")]
    channel: Annotated[Code | None, doc("By which channel.", "email")] = None


class ProposalSent(Body, frozen=True, kw_only=True):
    """An offer went out; its value is what the deal is worth from now on."""

    proposal_id: Annotated[Id, doc("The offer.", "Q-17")]
    value: Annotated[Money, doc("Total of the offer, after discount, before tax.")]
    valid_until: Annotated[Day | None, doc("Last day on which it binds us.", "2026-04-30")] = None
    discount: Annotated[Money | None, doc("What was taken off the list price.")] = None


class ApprovalRequested(Body, frozen=True, kw_only=True):
    """The deal waits for somebody of ours to agree."""

    approval_id: Annotated[Id, doc("The request.", "A-5")]
    kind: Annotated[
        Code, doc("What is asked for. Open set; shipped: discount, terms, legal, credit, other.", "discount")
    ]


class ApprovalDecided(Body, frozen=True, kw_only=True):
    """The wait for an approval is over."""

    approval_id: Annotated[Id, doc("The request it answers.", "A-5")]
    kind: Annotated[Code, doc("What was asked for; as in the request.", "discount")]
    decision: Annotated[
        Literal["approved", "rejected"] | None, doc("Absent where only the end is known.", "approved")
    ] = None


ObjectionCategory = Literal["price", "feature", "implementation", "competitor", "timing", "other"]


class ObjectionRaised(Body, frozen=True, kw_only=True):
    """The lead has a reason not to buy."""

    objection_id: Annotated[Id, doc("The objection.", "O-3")]
    category: Annotated[ObjectionCategory, doc("What it is about.", "price")]


class ObjectionResolved(Body, frozen=True, kw_only=True):
    """That reason is gone."""

    objection_id: Annotated[Id, doc("The objection.", "O-3")]
    category: Annotated[ObjectionCategory, doc("What it was about.", "price")]


class ValueChanged(Body, frozen=True, kw_only=True):
    """The expected value of an open lead is another one from now on."""

    value: Annotated[Money, doc("New expected value, before tax.")]
    reason: Annotated[Prose | None, doc("Why, in words.", "two more seats")] = None


class ExpectedCloseChanged(Body, frozen=True, kw_only=True):
    """The day on which the deal should close is another one from now on."""

    expected_close: Annotated[Day, doc("The new day.", "2026-06-30")]
    reason: Annotated[Prose | None, doc("Why, in words.", "The board meets later.")] = None


class ForecastSet(Body, frozen=True, kw_only=True):
    """What the owner commits to; the last one counts."""

    category: Annotated[Literal["pipeline", "best_case", "commit", "omitted"], doc("How sure.", "commit")]
    probability: Annotated[Probability | None, doc("Of being won, 0 to 1; absent: that of the stage.", 0.8)] = None
    reason: Annotated[Prose | None, doc("Why, in words.", "Verbal yes.")] = None


class CompetitorIdentified(Body, frozen=True, kw_only=True):
    """Somebody else is in the race."""

    competitor: Annotated[Name, doc("Who is in the race.", "Globex")]
    reason: Annotated[Prose | None, doc("How we know, in words.", "Mentioned in the call.")] = None


class AccountChanged(Body, frozen=True, kw_only=True):
    """The lead belongs to another company than was thought, or to one at last."""

    account_id: Annotated[Id, doc("Company (stream `account/<id>`).", "acme")]
    reason: Annotated[Prose | None, doc("Why, in words.", "Subsidiary.")] = None


class PipelineMoved(Body, frozen=True, kw_only=True):
    """The lead follows another pipeline, or another version of its own, from now on."""

    pipeline: Annotated[Id, doc("Pipeline, by its name.", "compass")]
    pipeline_version: Annotated[int, Meta(ge=1, le=2**31 - 1), doc("Version of it.", 1)]
    stage: Annotated[Id, doc("Stage of it that the lead enters.", "demonstration")]
    reason: Annotated[Prose | None, doc("Why, in words.", "Sold directly now.")] = None
