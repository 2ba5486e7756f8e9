"""Forecast accuracy: what was forecast before a period, as it was known then, against what came of it."""

from collections.abc import Iterable
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from services.projections.pipeline.forecast import Part, bucket_of, won_deals
from services.projections.pipeline.ledgers import DEAL_INTERVALS, OUTCOMES
from services.projections.pipeline.left_out import counts as counted_in
from services.projections.pipeline.stage_history import CHANCES, Chance, chances
from services.projections.query.facts import OF_LEADS, Facts, money, money_ratio, of_period
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import whole
from services.projections.query.periods import EVER, Periods

MOST_FORECASTS = 60
_BEFORE = whole("lead_days", "How many days before a period begins its forecast was made.", 0, 0, 3_650)
_RESULTS = ("won_in_period", "won_otherwise", "lost", "not_closed")


class _Tried:
    """A forecast of one period and combination of dimensions, and what came of its deals."""

    def __init__(self, made: Asked, asked: Asked) -> None:
        self.forecast, self.commit = Part(made), Part(made)
        self.won = Part(asked)
        self.results = dict.fromkeys(_RESULTS, 0)
        self.squares = Decimal(0)
        self.judged = 0

    def add(self, deals: Any, chance: Chance) -> None:
        if deals.category == "omitted":
            return
        self.forecast.add(deals, chance)
        if deals.category == "commit":
            self.commit.add(deals, chance)
        self.results[deals.result] += deals.n
        if chance.p is not None:
            self.judged += deals.n
            self.squares += deals.n * (chance.p - (deals.result == "won_in_period")) ** 2


async def _answer(asked: Asked, reading: Reading) -> Answer:
    if asked.periods.start == EVER:
        return Answer([], notes=("A forecast is made for a period: give from.",))
    if len(asked.periods) > MOST_FORECASTS:
        return Answer([], notes=(f"Each period needs a forecast of its own: ask for at most {MOST_FORECASTS}.",))
    rows: list[Row] = []
    for index in range(len(asked.periods)):
        rows += await _period(asked, reading, index)
    return Answer(rows)


async def _period(asked: Asked, reading: Reading, index: int) -> list[Row]:
    start, end = asked.periods.edges[index : index + 2]
    made = _when_made(asked, start, end)
    if made.as_of > asked.as_of:
        return []
    only = asked._replace(periods=made.periods)
    known = await chances(made, reading)
    found: dict[tuple[Any, ...], _Tried] = {}
    width = len(asked.group_by)
    for row in await reading.rows(_forecast_deals(made, only, reading)):
        found.setdefault(tuple(row[:width]), _Tried(made, only)).add(row, known.of(row))
    for row in await reading.rows(won_deals(only, reading)):
        found.setdefault(tuple(row[1 : 1 + width]), _Tried(made, only)).won.add(row, Chance(Decimal(1), None))
    ordered = sorted(found, key=lambda key: [(part is None, part or "") for part in key])
    return [_row(asked, index, made, key, found[key]) for key in ordered]


def _when_made(asked: Asked, start: Any, end: Any) -> Asked:
    """The forecast of one period as a question of its own: at the instant it was made, as known then."""
    local = start.astimezone(ZoneInfo(asked.zone)) - timedelta(days=asked.options["lead_days"])
    at = max(local.astimezone(UTC), EVER)
    known_at = at if asked.known_at is None else min(at, asked.known_at)
    return asked._replace(as_of=at, known_at=known_at, periods=Periods((start, end), ("",)))


def _forecast_deals(made: Asked, asked: Asked, reading: Reading) -> sa.Select[Any]:
    """Rows (<group_by>, category, pipeline, pipeline_version, stage, probability, currency, result, n, amount)."""
    facts = Facts(DEAL_INTERVALS, made, reading, at=sa.literal(made.as_of), latest=DEAL_INTERVALS)
    bucket, counts = bucket_of(facts.row.expected_close, made)
    dimensions = [facts.dimension(name).label(f"by_{name}") for name in made.group_by]
    own = [
        sa.func.coalesce(facts.row.category, "pipeline").label("category"),
        *(facts.label[name] for name in ("pipeline", "pipeline_version", "stage")),
        facts.row.probability,
        facts.label.currency,
    ]
    deals = (
        facts.select(facts.row.partition, facts.row.subject, facts.row.amount, *dimensions, *own)
        .where(facts.stands(), facts.label.outcome == "open", counts, bucket == 0)
        .subquery("deals")
    )
    closes = Facts(OUTCOMES, asked, reading)
    closed = (
        closes.select(
            closes.row.partition, closes.row.subject, closes.label.kind, closes.row.closed_at, unfiltered=True
        )
        .where(closes.stands(), counted_in(closes))
        .subquery("closed")
    )
    within = sa.and_(closed.c.closed_at >= asked.periods.start, closed.c.closed_at < asked.periods.end)
    result = sa.case(
        (closed.c.kind.is_(None), "not_closed"),
        (closed.c.kind == "lost", "lost"),
        (within, "won_in_period"),
        else_="won_otherwise",
    )
    names = [*(each.name for each in dimensions), *(each.name for each in own)]
    keys = [*(deals.c[name] for name in names), result.label("result")]
    on = sa.and_(deals.c.partition == closed.c.partition, deals.c.subject == closed.c.subject)
    return (
        sa.select(*keys, sa.func.count().label("n"), sa.func.sum(deals.c.amount).label("amount"))
        .select_from(deals.outerjoin(closed, on))
        .group_by(*(sa.literal_column(str(place)) for place in range(1, len(keys) + 1)))
    )


def _row(asked: Asked, index: int, made: Asked, key: tuple[Any, ...], tried: _Tried) -> Row:
    forecast, won = tried.forecast, tried.won
    expected = float(round(forecast.expected_n, 6))
    return {
        **of_period(asked, index),
        **dict(zip(asked.group_by, key, strict=True)),
        "forecast_at": made.as_of,
        **{f"forecast_{name}": value for name, value in forecast.shown().items()},
        "commit": tried.commit.shown(),
        "won_n": won.n,
        "won_value": won.value.shown(),
        **{f"{name}_n": n for name, n in tried.results.items()},
        "not_forecast_n": won.n - tried.results["won_in_period"],
        **ratio(won.n, expected),
        "by_value": [
            money_ratio(won.value.of(name), forecast.weighted.of(name), name) for name in _currencies(forecast, won)
        ],
        "error": [money(forecast.weighted.of(name) - won.value.of(name), name) for name in _currencies(forecast, won)],
        "brier": float(tried.squares / tried.judged) if tried.judged else None,
        "without_probability_n": forecast.chanceless_n,
        "value_unknown_n": forecast.value_unknown_n,
        "unpriced_n": forecast.unpriced_n + won.unpriced_n,
    }


def _currencies(forecast: Part, won: Part) -> Iterable[str]:
    return sorted({*forecast.weighted.currencies(), *won.value.currencies()})


FORECAST_ACCURACY = Metric(
    id="forecast_accuracy",
    version=1,
    title="Forecast accuracy",
    definition=(
        "The weighted forecast of a period, made lead_days before it begins from what was recorded by then, against what was won "
        "in it as it is known now. The forecast deals are those then open whose expected close lay in the period; their results "
        "are told apart: won in the period, won before or after it, lost, and not closed. Wins that no forecast of the period "
        "held are not_forecast_n. Dimensions of the forecast are those at its instant, of a win those at its close."
    ),
    formula="won in the period / forecast of the period; brier = mean of (p - won in the period)^2 over forecast deals",
    columns={
        "forecast_at": "instant at which the forecast was made",
        "forecast_n": "deals forecast to close in the period",
        "forecast_value": "their value for each currency",
        "forecast_weighted": "their value times their probability",
        "forecast_expected_n": "sum of their probabilities",
        "commit": "the same four of those forecast as commit",
        "won_n": "deals won in the period",
        "won_value": "their close value for each currency",
        "won_in_period_n": "forecast deals won in the period",
        "won_otherwise_n": "forecast deals won outside it",
        "lost_n": "forecast deals lost",
        "not_closed_n": "forecast deals that are not closed: open, recycled or voided",
        "not_forecast_n": "deals won in the period that the forecast did not hold",
        "numerator": "deals won in the period",
        "denominator": "wins expected",
        "value": "wins per win expected; null where none was",
        "by_value": "the same by value, for each currency: won over weighted forecast",
        "error": "weighted forecast less what was won, for each currency",
        "brier": "mean squared error of the probabilities, 0 is best; null without any",
        "without_probability_n": "forecast deals for which no probability was known",
        "value_unknown_n": "forecast deals without a value",
        "unpriced_n": "deals whose value has no rate to the currency asked for",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
    parameters=(_BEFORE, *CHANCES),
    money=True,
)
