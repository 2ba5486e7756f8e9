"""How each owner, team or region does: what was won and lost in a period, what is open, and who leads in one of these."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, OUTCOMES
from services.projections.query.facts import OF_LEADS, Facts, counted
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import choice, refused
from services.projections.query.rates import money_text
from services.projections.query.sums import Sums

_BY: Final = choice("by", "Whose figures.", "owner", "team", "manager", "region")
_COLUMNS: Final = (
    "won_value",
    "won_n",
    "lost_n",
    "win_rate",
    "mean_deal_size",
    "open_n",
    "open_value",
    "median_cycle_days",
)
_MONEY: Final = frozenset({"won_value", "mean_deal_size", "open_value"})
_SORT: Final = choice("sort", "By which column, the highest first; median_cycle_days the lowest first.", *_COLUMNS)


async def _scorecard(asked: Asked, reading: Reading) -> Answer:
    if len(asked.periods) > 1:
        raise refused("interval", "must be all: a scorecard is of one period.")
    by = asked.options["by"]
    asked = asked._replace(group_by=(by,))
    rows: dict[str | None, Row] = {}

    def of(name: str | None) -> Row:
        return rows.setdefault(
            name, {by: name, "_won": [], "_open": Sums(asked), **dict.fromkeys(_COUNTS, 0), "_median": None}
        )

    for part in await reading.rows(_closes(asked, reading)):
        row = of(part.name)
        row["won_n"] += part.won
        row["lost_n"] += part.lost
        row["unpriced_n"] += part.unpriced
        if part.value is not None:
            row["_won"].append((part.currency, part.value, part.won - part.unpriced))
    for name, median in await reading.rows(_medians(asked, reading)):
        of(name)["_median"] = median
    for part in await reading.rows(_open(asked, reading)):
        row = of(part.name)
        row["open_n"] += part.n
        if part.currency is None:
            row["value_unknown_n"] += part.n
        elif not row["_open"].add(part.amount, part.currency):
            row["unpriced_n"] += part.n
    shown = [_shown(by, row) for row in rows.values()]
    return Answer(_sorted(asked, by, shown))


_COUNTS: Final = ("won_n", "lost_n", "open_n", "value_unknown_n", "unpriced_n")


def _closes(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """Rows (name, currency, won, lost, value, unpriced) of the deals closed in the period."""
    facts = Facts(OUTCOMES, asked, reading, at=OUTCOMES.rows.c.closed_at, latest=DEAL_INTERVALS)
    closed_at, won = facts.row.closed_at, facts.label.kind == "won"
    value = facts.priced(facts.row.close_value, closed_at, facts.label.close_currency)
    currency: Any = facts.label.close_currency
    if asked.rates is not None:
        currency = sa.case((value.is_not(None), asked.rates.currency), else_=None)
    keys = [facts.dimension(asked.group_by[0]).label("name"), currency.label("currency")]
    return facts.grouped(
        keys,
        won=counted(won),
        lost=counted(facts.label.kind == "lost"),
        value=sa.func.sum(value).filter(won),
        unpriced=counted(sa.and_(won, value.is_(None))),
    ).where(facts.stands(), facts.within(closed_at))


def _medians(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """Rows (name, median cycle in days) of the deals won in the period; a cycle that ends before it begins is left out."""
    facts = Facts(OUTCOMES, asked, reading, at=OUTCOMES.rows.c.closed_at, latest=DEAL_INTERVALS)
    median = sa.func.percentile_cont(0.5).within_group(facts.row.cycle_days)
    return facts.grouped([facts.dimension(asked.group_by[0]).label("name")], median=median).where(
        facts.stands(), facts.within(facts.row.closed_at), facts.label.kind == "won", facts.row.cycle_days >= 0
    )


def _open(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """Rows (name, currency, n, amount) of the deals open at as_of."""
    facts = Facts(DEAL_INTERVALS, asked, reading, at=sa.literal(asked.as_of), latest=DEAL_INTERVALS)
    keys = [facts.dimension(asked.group_by[0]).label("name"), facts.label.currency]
    return facts.grouped(keys, n=sa.func.count(), amount=sa.func.sum(facts.row.amount)).where(
        facts.stands(), facts.label.outcome == "open"
    )


def _shown(by: str, row: Row) -> Row:
    won: dict[str, tuple[Any, int]] = {
        currency: (value, n) for currency, value, n in row["_won"] if currency is not None
    }
    return {
        by: row[by],
        "won_n": row["won_n"],
        "won_value": [
            {"amount": money_text(value, name), "currency": name} for name, (value, _) in sorted(won.items())
        ],
        "lost_n": row["lost_n"],
        "win_rate": ratio(row["won_n"], row["won_n"] + row["lost_n"]),
        "mean_deal_size": [
            {"amount": money_text(value / n, name), "currency": name} for name, (value, n) in sorted(won.items()) if n
        ],
        "median_cycle_days": row["_median"],
        "open_n": row["open_n"],
        "open_value": row["_open"].shown(),
        "value_unknown_n": row["value_unknown_n"],
        "unpriced_n": row["unpriced_n"],
    }


def _sorted(asked: Asked, by: str, rows: list[Row]) -> list[Row]:
    """The best first, those without the figure last, equals by name. Raises Invalid for amounts of several currencies."""
    sort = asked.options["sort"]
    measure = _measure(sort, rows)
    sign = 1 if sort == "median_cycle_days" else -1

    def place(row: Row) -> tuple[Any, ...]:
        value = measure(row)
        return (value is None, 0 if value is None else sign * value, row[by] is None, row[by] or "")

    ordered = sorted(rows, key=place)
    values = [measure(row) for row in ordered]
    ranks: list[int | None] = []
    for number, value in enumerate(values):
        if value is None:
            ranks.append(None)
        else:
            ranks.append(ranks[-1] if number and values[number - 1] == value else number + 1)
    return [{"rank": rank, **row} for rank, row in zip(ranks, ordered, strict=True)]


def _measure(sort: str, rows: list[Row]) -> Callable[[Row], Any]:
    if sort == "win_rate":
        return lambda row: row["win_rate"]["value"]
    if sort not in _MONEY:
        return lambda row: row[sort]
    if len({part["currency"] for row in rows for part in row[sort]}) > 1:
        raise refused("sort", "is by money of several currencies: ask for one with currency.")
    return lambda row: Decimal(row[sort][0]["amount"]) if row[sort] else None


_SCORE: Final = {
    "won_n": "deals won in the period",
    "won_value": "their close value for each currency",
    "lost_n": "deals lost in the period",
    "win_rate": "won, closed, and their ratio",
    "mean_deal_size": "mean close value of the deals won, for each currency",
    "median_cycle_days": "median days from capture to close of the deals won; null without any",
    "open_n": "deals open at as_of",
    "open_value": "their value for each currency",
    "value_unknown_n": "open deals without a value",
    "unpriced_n": "deals whose value has no rate to the currency asked for",
}

OWNER_SCORECARD = Metric(
    id="owner_scorecard",
    version=1,
    title="Scorecard of owners",
    definition=(
        "For each owner, team, manager or region: the deals that closed in the period, by who they belonged to at the close, "
        "and those open at as_of, by who they belong to then. Won deals count at their close value by the rate of the close, open "
        "ones at the latest rate before as_of. The median is by linear interpolation; a cycle of less than no time is left out."
    ),
    formula="win_rate = won / (won + lost); mean_deal_size = won value / deals won",
    columns={"rank": "place by the column sorted by; equals share one; null without the figure", **_SCORE},
    time="period",
    dimensions=OF_LEADS,
    grouped=False,
    answer=_scorecard,
    parameters=(_BY, _SORT),
    money=True,
)


async def _leaders(asked: Asked, reading: Reading) -> Answer:
    by, sort = asked.options["by"], asked.options["sort"]
    rows = (await _scorecard(asked, reading)).rows
    return Answer([{"rank": row["rank"], by: row[by], sort: row[sort]} for row in rows if row["rank"] is not None])


LEADERBOARD = Metric(
    id="leaderboard",
    version=1,
    title="Leaderboard",
    definition="Who leads in one column of the scorecard of owners. " + OWNER_SCORECARD.definition,
    formula="rank by one column",
    columns={"rank": "place; equals share one", **_SCORE},
    time="period",
    dimensions=OF_LEADS,
    grouped=False,
    answer=_leaders,
    parameters=(_BY, _SORT),
    money=True,
)
