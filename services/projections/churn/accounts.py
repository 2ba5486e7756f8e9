"""Accounts at query time: the contracts of all their leads, wherever these lie, laid side by side in time.

Nothing about an account is stored: leads of one account may lie in partitions that are read by different processes, hours
apart. Their contract rows are put together here by window functions, so every account figure is a function of these rows alone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.projections.churn.homes import homes
from services.projections.churn.ledgers import CONTRACTS, CUSTOMERS
from services.projections.query.facts import OF_LEADS, Facts
from services.projections.query.metric import Asked, Reading
from services.projections.query.parameters import choice, flag, whole

UNIT: Final = choice("unit", "What is counted: accounts, or each contract by itself.", "account", "contract")
PAID: Final = flag("paid", "Leave out what brings no MRR: trials, and one-off contracts.")
RECOGNISE: Final = choice(
    "recognise",
    "When an end counts: when service ends, or when it was asked for, where that was before (the committed view).",
    "service_end",
    "request",
)
ACTIVE_BY: Final = choice(
    "active_by",
    "What makes a customer active: what its pipeline says, any contract, or a recurring one.",
    "pipeline",
    "contract",
    "mrr",
)
MERGE_GAP: Final = whole("merge_gap_days", "A pause of so many days does not end a spell.", 0, 0, 3_650)
OF_ACCOUNTS: Final = OF_LEADS
ABOUT_ACCOUNTS: Final = (
    "A lead without an account is an account of its own, to which the cycles that grew out of it belong. Contracts of voided, "
    "absorbed, reopened and finally lost leads do not count. The dimensions of an account are those of the contract that began "
    "first in the spell in question, as they stood when it began, so that no filter cuts a spell in two."
)
FOREVER: Final[sa.ColumnElement[Any]] = sa.literal_column("'infinity'::timestamptz")


def wanted(asked: Asked) -> tuple[str, ...]:
    """The dimensions that are grouped or filtered by."""
    return tuple(dict.fromkeys((*asked.group_by, *asked.filters)))


def by(name: str) -> str:
    """The name of the column that holds a dimension."""
    return f"by_{name}"


def pieces(asked: Asked, reading: Reading) -> sa.CTE:
    """Rows (unit, subject, contract_id, number, begins, ends, mrr, currency, active, spell_from, term_end, requested_at, product, end_reason,
    reason, voluntary, island, by_<dimension> …).

    One per stretch of a contract that counts at as_of, also one of no length (begins = ends), which is there at no instant;
    `ends` is FOREVER where that is not over by as_of. `island` numbers the spells of the unit: stretches without a gap between them, of whatever kind, so that the dimensions are one for each.
    Reads the options unit, recognise, active_by and paid, where the metric has them.
    """
    facts = Facts(CONTRACTS, asked, reading, latest=CUSTOMERS)
    row, label = facts.row, facts.label
    home = homes(asked)
    facts.join(
        home,
        sa.and_(home.c.partition == row.partition, home.c.subject == row.subject),
        told={"account": home.c.account},
    )
    by_contract = asked.options.get("unit") == "contract"
    unit = row.subject + sa.literal("/") + row.contract_id if by_contract else home.c.home
    ends: sa.ColumnElement[Any] = row.business_to
    counts = [row.business_from < asked.as_of, sa.or_(row.counts_until.is_(None), row.counts_until >= asked.as_of)]
    if asked.options.get("recognise") == "request":
        ends = sa.func.least(ends, row.requested_at)
        asked_before = sa.and_(row.requested_at < asked.as_of, row.requested_at <= row.business_from)
        counts.append(sa.func.coalesce(sa.not_(asked_before), sa.true()))
    if by_contract:
        counts.append(label.kind != "purchase")
    dimensions = [facts.dimension(name).label(by(name)) for name in wanted(asked)]
    found = facts.select(
        unit.label("unit"), row.subject, row.contract_id, row.number, row.business_from.label("begins"),
        sa.case((ends < asked.as_of, ends), else_=FOREVER).label("ends"),
        row.amount.label("mrr"), label.currency, _active(asked, facts).label("active"), row.spell_from,
        row.term_end, row.requested_at, label.product, label.end_reason, label.reason, label.voluntary, *dimensions,
        unfiltered=True,
    ).where(*counts).cte("stretches")  # fmt: skip
    return _of_first(_islands(found, 0, "joined"), wanted(asked), "pieces")


def _active(asked: Asked, facts: Facts) -> sa.ColumnElement[bool]:
    kind = facts.label.kind
    any_contract, recurring, bought = kind != "purchase", kind == "recurring", kind == "purchase"
    word = asked.options.get("active_by", "pipeline")
    if word == "contract":
        active = any_contract
    elif word == "mrr":
        active = recurring
    else:
        active = sa.case(
            (facts.label.active_by == "mrr", recurring), (facts.label.active_by == "purchase", bought), else_=any_contract
        )  # fmt: skip
    return sa.and_(active, sa.or_(bought, facts.row.amount > 0)) if asked.options.get("paid") else active


def spells(asked: Asked, of: sa.CTE) -> sa.CTE:
    """Rows (unit, number, begins, ends, spell_from, by_<dimension> …): the spells in which a unit was active, numbered from 1.

    `spell_from` is when the contract that began it is said to have begun: earlier than `begins` for one that was taken over.
    """
    names = wanted(asked)
    active = sa.select(of).where(of.c.active).cte("active_pieces")
    joined = _of_first(
        _islands(active, asked.options.get("merge_gap_days", 0), "active_joined"),
        (*names, "spell_from"),
        "active_spells",
    )
    c = joined.c
    dimensions = [c[by(name)] for name in names]
    return (
        sa.select(
            c.unit, sa.cast(c.island, sa.Integer).label("number"), sa.func.min(c.begins).label("begins"),
            sa.func.max(c.ends).label("ends"), sa.func.min(c.spell_from).label("spell_from"), *dimensions,
        )
        .group_by(c.unit, c.island, *dimensions)
        .cte("spells")
    )  # fmt: skip


def _islands(source: sa.CTE, gap_days: int, name: str) -> sa.CTE:
    """The same rows, `island` counting from 1 where a gap of more than so many days lies before a row of its unit."""
    c = source.c
    order = _order(c)
    before = sa.func.max(c.ends).over(partition_by=c.unit, order_by=order, rows=(None, -1))
    gap = sa.func.make_interval(0, 0, 0, gap_days)
    kept = [each for each in c if each.name != "island"]
    fresh = sa.case((sa.or_(before.is_(None), c.begins > before + gap), 1), else_=0)
    marked = sa.select(*kept, fresh.label("fresh")).cte(f"{name}_marked")
    m = marked.c
    island = sa.func.sum(m.fresh).over(partition_by=m.unit, order_by=_order(m), rows=(None, 0))
    return sa.select(*(m[each.name] for each in kept), island.label("island")).cte(name)


def _of_first(source: sa.CTE, names: Sequence[str], name: str) -> sa.CTE:
    """The same rows with some columns as the first of their island has them."""
    c = source.c
    columns = {by(each) if by(each) in c else each for each in names}
    return sa.select(*(
        sa.func.first_value(each)
        .over(partition_by=(c.unit, c.island), order_by=_order(c))
        .label(each.name)
        if each.name in columns
        else each
        for each in c
    )).cte(name)  # fmt: skip


def _order(c: Any) -> tuple[sa.ColumnElement[Any], ...]:
    """The order within a unit. Of those that begin together one of no length comes last: it gives the spell no dimension."""
    return c.begins, c.ends == c.begins, c.subject, c.number


def passing(asked: Asked, of: sa.CTE) -> list[sa.ColumnElement[bool]]:
    """The filters, on the dimensions of a spell."""
    return [of.c[by(name)] == value for name, value in asked.filters.items()]


def keys(asked: Asked, of: sa.CTE) -> list[sa.ColumnElement[Any]]:
    """The columns that are grouped by."""
    return [of.c[by(name)] for name in asked.group_by]


def edges(asked: Asked) -> list[datetime]:
    """The edges of the periods, none later than as_of: what comes after it is not known."""
    return [min(edge, asked.as_of) for edge in asked.periods.edges]


def windows(pairs: Sequence[tuple[datetime, datetime]]) -> Any:
    """Rows (k, since, until) of numbered stretches of time."""
    instants = ARRAY(sa.TIMESTAMP(timezone=True))
    return sa.func.unnest(
        sa.literal(list(range(len(pairs))), ARRAY(sa.Integer)),
        sa.literal([since for since, _ in pairs], instants),
        sa.literal([until for _, until in pairs], instants),
    ).table_valued("k", "since", "until", name="windows").render_derived()  # fmt: skip


def in_order(groups: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Groups by their values, those without a value last."""
    return sorted(groups, key=lambda group: [(each is None, each or "") for each in group])


def every_period(asked: Asked, rows: Sequence[Any]) -> list[tuple[int, tuple[Any, ...], Any]]:
    """(period, group, row or None): each row by its first column, the period, and the group that follows it; every group has a
    row in every period, where there is any."""
    found = {(row[0], tuple(row[1 : 1 + len(asked.group_by)])): row for row in rows}
    groups = in_order(list({group for _, group in found})) if asked.group_by else [()] if found else []
    return [(period, group, found.get((period, group))) for period in range(len(asked.periods)) for group in groups]
