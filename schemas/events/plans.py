"""Events of campaigns, sales targets and currency pairs: what figures are set against."""

from typing import Annotated, Literal

from schemas.events.fields import Body, Code, Currency, Decimal, Id, Instant, Money, Period, Rate, doc
from schemas.events.opportunity import CHANNELS


class CampaignOpened(Body, frozen=True, kw_only=True):
    """A campaign begins."""

    channel: Annotated[Code, doc(f"Its channel. Open set; shipped: {CHANNELS}.", "ads")]


class CampaignCostRecorded(Body, frozen=True, kw_only=True):
    """What a campaign cost in a period; costs of one campaign add up."""

    cost: Annotated[Money, doc("Cost, before tax.")]
    period: Annotated[Period, doc("Days over which the cost is spread evenly.")]


class TargetScope(Body, frozen=True, kw_only=True):
    """Whose target it is."""

    kind: Annotated[
        Literal["owner", "team", "region", "all"], doc("What `id` names; `all`: the whole company.", "owner")
    ]
    id: Annotated[Id | None, doc("Which one; absent for `all`.", "ana.b")] = None


class TargetSet(Body, frozen=True, kw_only=True):
    """What somebody should reach in a period; a later one of the same stream replaces it."""

    scope: Annotated[TargetScope, doc("Whose target it is.", {"kind": "owner", "id": "ana.b"})]
    metric: Annotated[Code, doc("Figure to reach: any metric id.", "won_value")]
    period: Annotated[Period, doc("When it counts.")]
    amount: Annotated[Decimal, doc("What to reach, in the unit of the metric.", "250000.00")]
    currency: Annotated[Currency | None, doc("ISO 4217 code, where the metric is money.", "EUR")] = None
    stage: Annotated[Id | None, doc("Only of this stage.", "demonstration")] = None
    activity_kind: Annotated[Code | None, doc("Only of this kind of activity.", "call")] = None


class FxRatePublished(Body, frozen=True, kw_only=True):
    """One unit of the base currency is worth `rate` units of the quote currency (stream `fx/<base>-<quote>`)."""

    rate: Annotated[Rate, doc("Quote per base, decimal number as text, more than zero.", "1.0845")]
    as_of: Annotated[Instant, doc("From when on it holds.", "2026-03-02T15:00:00Z")]
