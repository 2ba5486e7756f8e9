"""The cohort matrix: of the customers of one month, who is still there, month after month."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from services.projections.churn import accounts
from services.projections.churn.amounts import added, listed, priced
from services.projections.churn.homes import homes
from services.projections.churn.ledgers import CUSTOMERS
from services.projections.query.facts import Facts
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import choice, whole
from services.projections.query.periods import Periods, periods

_MOMENT: Final = timedelta(microseconds=1)
_Group = tuple[Any, ...]


async def _answer(asked: Asked, reading: Reading) -> Answer:
    months = _months(asked)
    of = accounts.pieces(asked, reading)
    spells = accounts.spells(asked, of)
    members = _members_by_contract(asked, spells) if asked.options["unit"] == "contract" else _members(asked, reading)
    ends = [end for end in months.edges[1:] if end <= asked.as_of]
    sizes = await reading.rows(_sizes(asked, members, months))
    active = await reading.rows(_active(asked, members, spells, months, ends)) if ends else []
    money = await reading.rows(_money(asked, members, of, months, ends)) if ends else []
    return Answer(_rows(asked, months, ends, sizes, active, money))


def _months(asked: Asked) -> Periods:
    """The last `months` months of the zone before as_of, the one that as_of lies in among them; none of them is cut."""
    last = asked.as_of - _MOMENT
    back = last - timedelta(days=31 * (asked.options["months"] + 1))
    found = periods(back, last + timedelta(days=40), "month", asked.zone)
    names = [index for index, end in enumerate(found.edges[1:]) if found.edges[index] <= last]
    until = names[-1] + 1
    since = until - asked.options["months"]
    return Periods(found.edges[since : until + 1], found.names[since:until])


def _members(asked: Asked, reading: Reading) -> sa.CTE:
    """Rows (unit, since, by_…): accounts by their first standing win, with the dimensions that it had."""
    facts = Facts(CUSTOMERS, asked, reading, at=CUSTOMERS.rows.c.customer_at, latest=CUSTOMERS)
    row, home = facts.row, homes(asked, "homes_of_members")
    facts.join(
        home,
        sa.and_(home.c.partition == row.partition, home.c.subject == row.subject),
        told={"account": home.c.account},
    )
    dimensions = [facts.dimension(name).label(accounts.by(name)) for name in accounts.wanted(asked)]
    first = (
        facts.select(home.c.home.label("unit"), row.customer_at.label("since"), *dimensions, unfiltered=True)
        .ext(distinct_on(home.c.home))
        .where(
            row.business_from < asked.as_of,
            row.customer_at < asked.as_of,
            sa.or_(row.counts_until.is_(None), row.counts_until >= asked.as_of),
        )
        .order_by(home.c.home, row.customer_at, row.subject, row.business_from)
        .cte("first_wins")
    )
    return sa.select(first).where(*accounts.passing(asked, first)).cte("members")


def _members_by_contract(asked: Asked, spells: sa.CTE) -> sa.CTE:
    c = spells.c
    dimensions = [c[accounts.by(name)] for name in accounts.wanted(asked)]
    return (
        sa.select(c.unit, c.begins.label("since"), *dimensions)
        .where(c.number == 1, *accounts.passing(asked, spells))
        .cte("members")
    )


def _cohort(members: sa.CTE, months: Periods) -> tuple[sa.ColumnElement[int], sa.ColumnElement[bool]]:
    """The number of the month, from 1, and whether it is one of those asked for."""
    edges = sa.literal(list(months.edges), ARRAY(sa.TIMESTAMP(timezone=True)))
    number = sa.func.width_bucket(members.c.since, edges)
    return number, sa.and_(members.c.since >= months.start, members.c.since < months.end)


def _sizes(asked: Asked, members: sa.CTE, months: Periods) -> sa.Select[Any]:
    cohort, asked_for = _cohort(members, months)
    keys = [cohort.label("cohort"), *accounts.keys(asked, members)]
    return sa.select(*keys, sa.func.count().label("n")).where(asked_for).group_by(*_places(keys))


def _active(asked: Asked, members: sa.CTE, spells: sa.CTE, months: Periods, ends: Sequence[datetime]) -> sa.Select[Any]:
    """Rows (cohort, <group_by>, k, n): how many of the cohort are active at the end of month k, from 0."""
    cohort, asked_for = _cohort(members, months)
    window = accounts.windows([(end, end) for end in ends])
    keys = [cohort.label("cohort"), *accounts.keys(asked, members), window.c.k]
    spell = spells.c
    still = [spell.number == 1] if asked.options["mode"] == "survival" else []
    return (
        sa.select(*keys, sa.func.count(sa.distinct(spell.unit)).label("n"))
        .select_from(
            members.join(spells, spell.unit == members.c.unit).join(
                window, sa.and_(spell.begins < window.c.since, spell.ends >= window.c.since)
            )
        )
        .where(asked_for, *still)
        .group_by(*_places(keys))
    )


def _money(asked: Asked, members: sa.CTE, of: sa.CTE, months: Periods, ends: Sequence[datetime]) -> sa.Select[Any]:
    """Rows (cohort, <group_by>, k, currency, mrr): what the cohort brings then."""
    cohort, asked_for = _cohort(members, months)
    window = accounts.windows([(end, end) for end in ends])
    c = of.c
    keys = [cohort.label("cohort"), *accounts.keys(asked, members), window.c.k, c.currency]
    return (
        sa.select(*keys, sa.func.sum(c.mrr).label("mrr"))
        .select_from(
            members.join(of, c.unit == members.c.unit).join(
                window, sa.and_(c.begins < window.c.since, c.ends >= window.c.since)
            )
        )
        .where(asked_for, c.mrr != 0)
        .group_by(*_places(keys))
    )


def _places(keys: Sequence[Any]) -> list[Any]:
    return [sa.literal_column(str(number)) for number in range(1, len(keys) + 1)]


def _rows(
    asked: Asked,
    months: Periods,
    ends: Sequence[datetime],
    sizes: Sequence[Any],
    active: Sequence[Any],
    money: Sequence[Any],
) -> list[Row]:
    width = 1 + len(asked.group_by)
    counts = {(tuple(row[:width]), row[width]): row.n for row in active}
    amounts: defaultdict[tuple[_Group, int], list[Any]] = defaultdict(list)
    for row in money:
        amounts[tuple(row[:width]), row[width]].append(row)
    found = []
    for row in sorted(sizes, key=lambda row: [row[0], *((each is None, each or "") for each in row[1:width])]):
        key, first = tuple(row[:width]), row[0] - 1
        cells: list[Row | None] = []
        for k in range(len(months.names) - first):
            at = first + k
            if at >= len(ends):
                cells.append(None)
                continue
            parts = amounts[key, at]
            mrr = priced(asked, added((part.currency, part.mrr) for part in parts), ends[at])
            cells.append(
                {
                    "month": k,
                    "n": counts.get((key, at), 0),
                    **ratio(counts.get((key, at), 0), row.n),
                    "mrr": listed(mrr),
                }
            )
        found.append(
            {
                "cohort": months.names[first],
                **dict(zip(asked.group_by, key[1:], strict=True)),
                "n": row.n,
                "cells": cells,
            }
        )
    return found


COHORTS = Metric(
    id="cohorts",
    version=1,
    title="Cohorts of customers",
    definition=(
        "Accounts by the month of their earliest win that stands (as their pipeline says what makes a customer), and how many of them "
        "are active at the end of that month (month 0) and of each later one. mode=returning counts who is active then, "
        "mode=survival who never stopped being active since the first spell. A month that is not over at as_of is null. "
        "unit=contract takes each contract by the month in which it began. Months are those of the zone. MRR is at the rates of "
        "the end of each month. Dimensions are those of the first win. "
        + accounts.ABOUT_ACCOUNTS
    ),
    formula="cell(c, k) = active at the end of month c + k / accounts of cohort c",
    columns={
        "cohort": "month of the first win, as YYYY-MM",
        "n": "accounts of the cohort",
        "cells": "by months since, from 0: n active, their share of the cohort (numerator, denominator, value) and their MRR",
    },
    time="instant",
    dimensions=accounts.OF_ACCOUNTS,
    answer=_answer,
    parameters=(
        choice("mode", "Who counts as still there.", "returning", "survival"),
        whole("months", "How many months back, that of as_of included.", 12, 1, 240),
        accounts.UNIT,
        accounts.PAID,
        accounts.ACTIVE_BY,
        accounts.RECOGNISE,
        accounts.MERGE_GAP,
    ),
    models=("churn",),
    money=True,
)  # fmt: skip
