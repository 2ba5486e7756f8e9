"""The weighted forecast: what the open deals that should close in a period are worth, each by how likely it is won."""

from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, OUTCOMES
from services.projections.pipeline.stage_history import CHANCES, Chance, Chances, chances
from services.projections.query.facts import OF_LEADS, Facts, of_period
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.periods import first_days
from services.projections.query.sums import Sums

CATEGORIES: Final = ("commit", "best_case", "pipeline", "omitted")
_OVERDUE, _UNDATED = -1, -2
_BUCKETS: Final = {_OVERDUE: "overdue", _UNDATED: "undated"}


class Part:
    """Deals added up: how many, their value, and what is expected of them."""

    def __init__(self, asked: Asked) -> None:
        self.n = 0
        self.value, self.weighted = Sums(asked), Sums(asked)
        self.expected_n = Decimal(0)
        self.chanceless_n = self.value_unknown_n = self.unpriced_n = 0

    def add(self, deals: Any, chance: Chance) -> None:
        """Takes in a row of deals alike: n, currency, amount."""
        self.n += deals.n
        if chance.p is None:
            self.chanceless_n += deals.n
        else:
            self.expected_n += deals.n * chance.p
        if deals.currency is None:
            self.value_unknown_n += deals.n
        elif deals.amount is None or not self.value.add(deals.amount, deals.currency):
            self.unpriced_n += deals.n
        elif chance.p is not None:
            self.weighted.add(deals.amount * chance.p, deals.currency)

    def shown(self) -> Row:
        """The columns that every category has."""
        return {
            "n": self.n, "value": self.value.shown(), "weighted": self.weighted.shown(),
            "expected_n": float(round(self.expected_n, 6)),
        }  # fmt: skip


class Forecast(NamedTuple):
    """Of one bucket and combination of dimensions: the open deals by category, and what is won already."""

    total: Part
    by_category: dict[str, Part]
    won: Part


async def forecast(asked: Asked, reading: Reading, known: Chances) -> dict[tuple[Any, ...], Forecast]:
    """(bucket, <group_by>) -> its forecast. A bucket is the number of a period, or below 0."""
    found: dict[tuple[Any, ...], Forecast] = {}

    def of(row: Any) -> Forecast:
        key = tuple(row[: 1 + len(asked.group_by)])
        if key not in found:
            found[key] = Forecast(Part(asked), {name: Part(asked) for name in CATEGORIES}, Part(asked))
        return found[key]

    for row in await reading.rows(open_deals(asked, reading)):
        into, chance = of(row), known.of(row)
        category = row.category or "pipeline"
        if category != "omitted":
            into.total.add(row, chance)
        into.by_category[category].add(row, chance)
    for row in await reading.rows(won_deals(asked, reading)):
        of(row).won.add(row, Chance(Decimal(1), None))
    return found


def open_deals(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """Rows (bucket, <group_by>, category, pipeline, pipeline_version, stage, probability, currency, n, amount)."""
    facts = Facts(DEAL_INTERVALS, asked, reading, at=sa.literal(asked.as_of), latest=DEAL_INTERVALS)
    bucket, counts = bucket_of(facts.row.expected_close, asked)
    dimensions = [facts.dimension(name).label(f"by_{name}") for name in asked.group_by]
    own = [
        facts.row.category,
        *(facts.label[name] for name in ("pipeline", "pipeline_version", "stage")),
        facts.row.probability,
    ]
    keys = [bucket.label("bucket"), *dimensions, *own, facts.label.currency]
    return (
        facts.select(*keys, sa.func.count().label("n"), sa.func.sum(facts.row.amount).label("amount"))
        .where(facts.stands(), facts.label.outcome == "open", counts)
        .group_by(*(sa.literal_column(str(place)) for place in range(1, len(keys) + 1)))
    )


def won_deals(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """Rows (bucket, <group_by>, currency, n, amount) of the deals won in each period, at what they closed at."""
    facts = Facts(OUTCOMES, asked, reading, at=OUTCOMES.rows.c.closed_at, latest=DEAL_INTERVALS)
    closed_at = facts.row.closed_at
    value = facts.priced(facts.row.close_value, closed_at, facts.label.close_currency)
    priced_in: Any = facts.label.close_currency
    if asked.rates is not None:
        priced_in = sa.case((value.is_not(None), asked.rates.currency), else_=facts.label.close_currency)
    keys = [*facts.keys(closed_at), priced_in.label("currency")]
    return (
        facts.select(*keys, sa.func.count().label("n"), sa.func.sum(value).label("amount"))
        .where(facts.stands(), facts.within(closed_at), facts.label.kind == "won")
        .group_by(*(sa.literal_column(str(place)) for place in range(1, len(keys) + 1)))
    )


def bucket_of(expected_close: Any, asked: Asked) -> tuple[sa.ColumnElement[int], sa.ColumnElement[bool]]:
    """In which bucket an expected close lies, and whether it lies in any. A day that is over at as_of is overdue."""
    today = today_of(asked)
    first, *inner, end = first_days(asked.periods.edges, asked.zone)
    within: Any = sa.literal_column("0")
    if inner:
        within = sa.func.width_bucket(expected_close, sa.literal(inner, sa.ARRAY(sa.Date)))
    undated, overdue = expected_close.is_(None), expected_close < today
    bucket = sa.case((undated, _literal(_UNDATED)), (overdue, _literal(_OVERDUE)), else_=within)
    return bucket, sa.or_(undated, overdue, sa.and_(expected_close >= first, expected_close < end))


def today_of(asked: Asked) -> date:
    """The calendar day on which as_of lies, in the zone asked for: the first that is not over."""
    return asked.as_of.astimezone(ZoneInfo(asked.zone)).date()


def _literal(number: int) -> sa.ColumnElement[int]:
    return sa.literal_column(str(number))


async def _answer(asked: Asked, reading: Reading) -> Answer:
    known = await chances(asked, reading)
    found = await forecast(asked, reading, known)
    rows = [_row(asked, key, found[key]) for key in sorted(found, key=_place)]
    more: Row = {"stage_history": known.shown()}
    if asked.options["p"] == "overall":
        won, lost = known.overall
        more = {"overall": {"won": won, "closed": won + lost}}
    return Answer(rows, more)


def _place(key: tuple[Any, ...]) -> tuple[Any, ...]:
    bucket, *dimensions = key
    return (bucket < 0, -bucket if bucket < 0 else bucket, *((part is None, part or "") for part in dimensions))


def _row(asked: Asked, key: tuple[Any, ...], found: Forecast) -> Row:
    bucket, *dimensions = key
    total = found.total
    return {
        "bucket": _BUCKETS.get(bucket, "in_period"),
        **(of_period(asked, bucket) if bucket >= 0 else {}),
        **dict(zip(asked.group_by, dimensions, strict=True)),
        **total.shown(),
        **{name: part.shown() for name, part in found.by_category.items()},
        "won_n": found.won.n,
        "won_value": found.won.value.shown(),
        "won_unpriced_n": found.won.unpriced_n,
        "without_probability_n": total.chanceless_n,
        "value_unknown_n": total.value_unknown_n,
        "unpriced_n": total.unpriced_n,
    }


WEIGHTED_FORECAST = Metric(
    id="weighted_forecast",
    version=1,
    title="Weighted forecast",
    definition=(
        "Open deals at as_of whose expected close lies in the period, each with its value times how likely it is won. That is the "
        "probability its owner set last; without one, won / (won + lost) among the deals that entered its stage in the 365 days "
        "before as_of and were closed by then, pooled by stage of its pipeline, if at least 30 were; else the probability that the "
        "pipeline gives the stage; a deal for which none of them speaks is counted and not weighted. A deal whose expected day is "
        "over at as_of stands in the bucket overdue, one without such a day in undated, whatever the period. Deals that their "
        "owner forecasts as omitted stand in their category alone. What is won in the period stands apart, at its close value."
    ),
    formula="sum of value * p over open deals",
    columns={
        "bucket": "in_period, overdue or undated",
        "n": "open deals, without omitted ones",
        "value": "their value for each currency",
        "weighted": "their value times their probability, for each currency",
        "expected_n": "sum of their probabilities: how many wins to expect",
        **{
            name: f"the same four of the deals forecast as {name}" + (", and of those without a forecast" if name == "pipeline" else "")
            for name in CATEGORIES
        },
        "won_n": "deals won in the period by as_of",
        "won_value": "their close value for each currency",
        "won_unpriced_n": "won deals whose close value has no rate to the currency asked for",
        "without_probability_n": "open deals for which no probability is known: weighted and expected_n leave them out",
        "value_unknown_n": "open deals without a value",
        "unpriced_n": "open deals whose value has no rate to the currency asked for",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
    parameters=CHANCES,
    money=True,
    ahead=True,
)  # fmt: skip
