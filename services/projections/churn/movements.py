"""Movements of recurring revenue: how it came from what it was to what it is."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.churn.amounts import Amounts, listed, priced, rounded
from services.projections.query.facts import of_period
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import choice, refused

KINDS: Final = ("new", "expansion", "contraction", "churn", "reactivation")
_MOST_BOOKED: Final = 36
"""Each period's start as it was booked is a query of its own."""
_Group = tuple[Any, ...]
_NOTHING: Final = Decimal(0)


async def _answer(asked: Asked, reading: Reading) -> Answer:
    changes = _changes(asked, accounts.pieces(asked, reading))
    sums = await reading.rows(_sums(asked, changes))
    moved = await reading.rows(_moved(asked, changes))
    booked = await _booked(asked, reading) if asked.options["start"] == "booked" else None
    return Answer(_rows(asked, sums, moved, booked))


def _changes(asked: Asked, of: sa.CTE) -> sa.CTE:
    """Rows (unit, at, change, currency, period, bucket, by_…): each beginning and end of a stretch that brings something.

    `period` is 0 before the first, then from 1 on. `bucket` is what is netted: the instant, or the day or month that it lies in.
    """
    c = of.c
    dimensions = [c[accounts.by(name)] for name in accounts.wanted(asked)]
    counts = [c.mrr != 0, c.begins < c.ends, *accounts.passing(asked, of)]
    begins = sa.select(c.unit, c.begins.label("at"), c.mrr.label("change"), c.currency, *dimensions).where(*counts)
    ends = sa.select(c.unit, c.ends, -c.mrr, c.currency, *dimensions).where(c.ends < accounts.FOREVER, *counts)
    both = begins.union_all(ends).subquery("both")
    grain = asked.options["grain"]
    bucket = both.c.at if grain == "event" else sa.func.date_trunc(grain, sa.func.timezone(asked.zone, both.c.at))
    instants = sa.literal(accounts.edges(asked), sa.ARRAY(sa.TIMESTAMP(timezone=True)))
    return sa.select(both, sa.func.width_bucket(both.c.at, instants).label("period"), bucket.label("bucket")).cte(
        "changes"
    )


def _sums(asked: Asked, changes: sa.CTE) -> sa.Select[Any]:
    """Rows (period, <group_by>, currency, change): what each period changed in all."""
    c = changes.c
    keys = [c.period, *accounts.keys(asked, changes), c.currency]
    return sa.select(*keys, sa.func.sum(c.change).label("change")).where(c.period <= len(asked.periods)).group_by(*keys)


def _moved(asked: Asked, changes: sa.CTE) -> sa.Select[Any]:
    """Rows (period, <group_by>, currency, kind, amount, n, unpriced_n), netted by unit and bucket."""
    c = changes.c
    names = [accounts.by(name) for name in asked.group_by]
    keys = [c[name] for name in names]
    netted = (
        sa.select(
            c.unit, *keys, c.currency, c.period, c.bucket, sa.func.sum(c.change).label("net"), sa.func.max(c.at).label("at")
        )
        .group_by(c.unit, *keys, c.currency, c.period, c.bucket)
        .cte("netted")
    )  # fmt: skip
    n = netted.c
    order = (n.period, n.bucket)
    after = sa.func.sum(n.net).over(partition_by=n.unit, order_by=order, range_=(None, 0))
    told = sa.select(
        *n,
        after.label("after"),
        (after - sa.func.sum(n.net).over(partition_by=(n.unit, *order))).label("before"),
        sa.func.dense_rank().over(partition_by=n.unit, order_by=order).label("place"),
    ).cte("told")
    first = sa.func.min(sa.case((told.c.after > 0, told.c.place))).over(partition_by=told.c.unit)
    kept = sa.select(*told.c, (first < told.c.place).label("ever")).cte("kept")
    by_unit = _priced(asked, kept, names)
    u = by_unit.c
    kind = sa.case(
        (sa.and_(u.before == 0, u.ever), "reactivation"),
        (u.before == 0, "new"),
        (u.after == 0, "churn"),
        (u.net > 0, "expansion"),
        else_="contraction",
    )
    of_kind = (
        sa.select(*u, kind.label("kind")).where(u.period.between(1, len(asked.periods)), u.net != 0).cte("of_kind")
    )
    k = of_kind.c
    # an account that moves in two currencies at once moves once
    place = sa.func.row_number().over(
        partition_by=(k.unit, k.period, k.bucket, k.kind, *(k[name] for name in names)), order_by=k.currency
    )
    numbered = sa.select(*k, place.label("place")).subquery("numbered").c
    grouped = [numbered.period, *(numbered[name] for name in names), numbered.currency, numbered.kind]
    return sa.select(
        *grouped,
        sa.func.sum(numbered.net).filter(sa.not_(numbered.unpriced)).label("amount"),
        sa.func.count().filter(sa.and_(numbered.place == 1, sa.not_(numbered.unpriced))).label("n"),
        sa.func.count().filter(numbered.unpriced).label("unpriced_n"),
    ).group_by(*grouped)


def _priced(asked: Asked, kept: sa.CTE, names: Sequence[str]) -> sa.CTE:
    """The same, in the currency asked for where one is: at the rate of the last change in the bucket, currencies added up."""
    k = kept.c
    rates = asked.rates
    flags = [k.unit, *(k[name] for name in names), k.period, k.bucket, k.before, k.after, k.ever]
    if rates is None:
        return sa.select(*flags, k.currency, k.net, sa.false().label("unpriced")).cte("by_unit")
    fx = rates.table()
    currency = sa.literal(rates.currency).label("currency")
    joined = kept.outerjoin(fx, sa.and_(fx.c.currency == k.currency, fx.c.bucket == rates.bucket(k.at)))
    without = fx.c.factor.is_(None)
    amount = sa.func.round(k.net * fx.c.factor, 4)
    with_rate = (
        sa.select(*flags, currency, sa.func.sum(amount).label("net"), sa.false().label("unpriced"))
        .select_from(joined)
        .where(sa.not_(without))
        .group_by(*flags)
    )
    unpriced = sa.select(*flags, k.currency, k.net, sa.true()).select_from(joined).where(without)
    return with_rate.union_all(unpriced).cte("by_unit")


async def _booked(asked: Asked, reading: Reading) -> dict[tuple[int, _Group], dict[str, Decimal]]:
    """What each period began with as it was known at its start: (period from 0, group) -> amounts."""
    if len(asked.periods) > _MOST_BOOKED:
        raise refused("start", f"booked takes at most {_MOST_BOOKED} periods at once.")
    found: dict[tuple[int, _Group], dict[str, Decimal]] = {}
    for period, edge in enumerate(accounts.edges(asked)[:-1]):
        known_at = edge if asked.known_at is None else min(edge, asked.known_at)
        then = asked._replace(as_of=edge, known_at=known_at)
        of = accounts.pieces(then, reading)
        keys = [*accounts.keys(then, of), of.c.currency]
        query = sa.select(*keys, sa.func.sum(of.c.mrr)).where(
            of.c.ends == accounts.FOREVER, of.c.mrr != 0, *accounts.passing(then, of)
        )
        for row in await reading.rows(query.group_by(*keys)):
            found.setdefault((period, tuple(row[:-2])), {})[row[-2]] = row[-1]
    return found


def _rows(
    asked: Asked, sums: Sequence[Any], moved: Sequence[Any], booked: dict[tuple[int, _Group], dict[str, Decimal]] | None
) -> list[Row]:
    changes: defaultdict[_Group, defaultdict[int, dict[str, Decimal]]] = defaultdict(lambda: defaultdict(dict))
    for row in sums:
        period, *group, currency, change = row
        changes[tuple(group)][period][currency] = change
    for _, group_of_booked in booked or {}:
        changes[group_of_booked][0].setdefault("", _NOTHING)
    kinds: defaultdict[tuple[int, _Group], list[Any]] = defaultdict(list)
    for row in moved:
        kinds[row[0], tuple(row[1:-5])].append(row)
    found: list[list[Row]] = [[] for _ in range(len(asked.periods))]
    edges = accounts.edges(asked)
    for each in sorted(changes, key=lambda group: [(part is None, part or "") for part in group]):
        totals = _added({}, changes[each][0])
        for period in range(len(asked.periods)):
            before, totals = totals, _added(totals, changes[each][period + 1])
            told = None if booked is None else booked.get((period, each), {})
            bridge = _bridge(asked, edges[period], edges[period + 1], before, totals, kinds[period + 1, each], told)
            found[period].append({**of_period(asked, period), **dict(zip(asked.group_by, each, strict=True)), **bridge})
    return [row for rows in found for row in rows]


def _bridge(
    asked: Asked, start: Any, end: Any, before: Amounts, after: Amounts, kinds: list[Any], told: Amounts | None
) -> Row:
    """start + correction + movements + fx = end, in each currency."""
    first = {name: rounded(amount) for name, amount in priced(asked, before, start).items()}
    last = {name: rounded(amount) for name, amount in priced(asked, after, end).items()}
    shown = first
    if told is not None:
        shown = {name: rounded(amount) for name, amount in priced(asked, told, start).items()}
    moved: dict[str, dict[str, Decimal]] = {kind: {} for kind in KINDS}
    n = dict.fromkeys(KINDS, 0)
    for row in kinds:
        n[row.kind] += row.n
        if row.amount is not None:
            moved[row.kind][row.currency] = rounded(row.amount)
    correction = _less(first, shown)
    fx = dict(last)
    for part in (first, *moved.values()):
        fx = _less(fx, part)
    currencies = [
        name for name in {**shown, **first, **last, **{name: 0 for part in moved.values() for name in part}} if name
    ]
    return {
        "start": _shown(shown, currencies),
        **{kind: _shown(moved[kind], currencies) for kind in KINDS},
        "fx": _shown(fx, currencies),
        "correction": _shown(correction, currencies),
        "end": _shown(last, currencies),
        **{f"{kind}_n": n[kind] for kind in KINDS},
        "unpriced_n": sum(row.unpriced_n for row in kinds),
    }


def _shown(amounts: Amounts, currencies: Sequence[str]) -> list[Row]:
    return listed({currency: amounts.get(currency, _NOTHING) for currency in currencies})


def _added(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    return {name: one.get(name, _NOTHING) + other.get(name, _NOTHING) for name in {**one, **other}}


def _less(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    return {name: one.get(name, _NOTHING) - other.get(name, _NOTHING) for name in {**one, **other}}


MRR_MOVEMENTS = Metric(
    id="mrr_movements",
    version=1,
    title="Movements of recurring revenue",
    definition=(
        "What changed monthly recurring revenue in the period, by the net change of each account within an instant, a day or a "
        "month (grain): new from nothing for the first time, reactivation from nothing again, churn to nothing, expansion and "
        "contraction between. Losing one of several contracts is contraction, losing the last one is churn. In the currency asked "
        "for, start and end are at the rates of their instants, each movement is at the rate of its last change, and fx is what "
        "the rates changed; start + correction + movements + fx = end exactly. With start=booked the start is as it was known "
        "then, and correction is what was learnt of it since. Without tax, one-off amounts and usage. "
        + accounts.ABOUT_ACCOUNTS
    ),
    formula="start + correction + new + expansion + contraction + churn + reactivation + fx = end",
    columns={
        "start": "MRR at the begin of the period, for each currency",
        "new": "of accounts that never had any",
        "expansion": "more from accounts that had some",
        "contraction": "less from accounts that keep some; negative",
        "churn": "lost with accounts that keep none; negative",
        "reactivation": "of accounts that once had some, and had none",
        "fx": "what rates changed; 0 where no currency is asked for",
        "correction": "what was learnt of the start after it was booked; 0 with start=restated",
        "end": "MRR at the end of the period, or at as_of where that is earlier",
        **{f"{kind}_n": f"changes of accounts that are {kind}" for kind in KINDS},
        "unpriced_n": "changes that have no rate to the currency asked for, and are in none of the amounts",
    },
    time="period",
    dimensions=accounts.OF_ACCOUNTS,
    answer=_answer,
    parameters=(
        choice("grain", "Within what the changes of an account are netted.", "event", "day", "month"),
        accounts.UNIT,
        accounts.RECOGNISE,
        choice(
            "start",
            "What a period begins with: as it is known at known_at, or as it was known then.",
            "restated",
            "booked",
        ),
    ),
    models=("churn",),
    money=True,
)
