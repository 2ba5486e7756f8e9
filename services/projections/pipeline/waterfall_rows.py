"""What the pipeline held at two instants, and what was closed between them: the groups of leads that a waterfall is made of."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, EXCLUSIONS, OUTCOMES
from services.projections.query.beside import joined, of_lead
from services.projections.query.facts import Facts
from services.projections.query.metric import Asked, Reading

Window = tuple[date | None, date | None]
"""First day of an expected close, and the day after the last; None: no bound."""


def groups_of_leads(asked: Asked, reading: Reading, begins: datetime, ends: datetime, window: Window) -> sa.Select[Any]:
    """Rows of leads that are alike, of those open at one of the instants or closed between them.

    Of both ends (`_0`, `_1`): `outcome` (None: in no pipeline), `passes` (the filters), `place` in the window (-1 before, 0 in
    it, 1 after it or undated), `currency` (None: no value), the dimensions `by_…`; and `n`, the sums `value_0`, `value_1` and
    `close_value`. At the end, a closed lead has its last open value, and the dimensions of its close. `grows`: the sign of the change.
    `gone`: void or absorbed at the end; `was_before`: it stood in a pipeline before the beginning; `closed_at`: of one of them, all
    being closed under the same rates.
    """
    start = _open_at(asked, reading, begins, window, closed_too=True).subquery("start_0")
    end = sa.union_all(
        _open_at(asked, reading, ends, window, closed_too=False),
        _closed_between(asked, reading, begins, ends, window),
    ).subquery("end_1")
    zero, one = start.c, end.c
    partition = sa.func.coalesce(zero.partition, one.partition)
    subject = sa.func.coalesce(zero.subject, one.subject)
    excluded = of_lead(asked, EXCLUSIONS, "excluded", partition, subject)
    gone = excluded.select(sa.func.min(excluded.label.kind)).where(excluded.stands(ends)).scalar_subquery()
    before = of_lead(asked, DEAL_INTERVALS, "before", partition, subject)
    was_before = sa.and_(zero.outcome.is_(None), before.exists(before.row.business_from < begins))
    bucket = sa.literal_column("0") if asked.rates is None else asked.rates.bucket(one.closed_at)
    same = zero.currency == one.currency
    keys = [
        *(zero[f"by_{name}"].label(f"by_{name}_0") for name in asked.group_by),
        *(one[f"by_{name}"].label(f"by_{name}_1") for name in asked.group_by),
        *(zero[name].label(f"{name}_0") for name in ("outcome", "passes", "place", "currency")),
        *(one[name].label(f"{name}_1") for name in ("outcome", "passes", "place", "currency", "close_currency")),
        sa.case((same, sa.func.sign(one.amount - zero.amount)), else_=None).label("grows"),
        sa.case((one.outcome.is_(None), gone), else_=None).label("gone"),
        was_before.label("was_before"),
        bucket.label("bucket"),
    ]
    sums = [
        sa.func.count().label("n"),
        sa.func.sum(zero.amount).label("value_0"),
        sa.func.sum(one.amount).label("value_1"),
        sa.func.sum(one.close_value).label("close_value"),
        sa.func.min(one.closed_at).label("closed_at"),
    ]
    both = start.join(end, sa.and_(zero.partition == one.partition, zero.subject == one.subject), full=True)
    return (
        sa.select(*keys, *sums)
        .select_from(both)
        .where(sa.or_(zero.outcome == "open", one.outcome.is_not(None)))
        .group_by(*(sa.literal_column(str(number)) for number in range(1, len(keys) + 1)))
    )


def _open_at(asked: Asked, reading: Reading, at: datetime, window: Window, *, closed_too: bool) -> sa.Select[Any]:
    """The leads in the pipeline at an instant; with the closed ones where a reopening has to be told from an addition."""
    facts = Facts(DEAL_INTERVALS, asked, reading, at=_instant(at), latest=DEAL_INTERVALS)
    row, label = facts.row, facts.label
    columns = _columns(facts, row.amount, row.expected_close, window, label.outcome, None, None, None)
    open_only = [] if closed_too else [label.outcome == "open"]
    return facts.select(*columns, unfiltered=True).where(facts.stands(at), *open_only)


def _closed_between(asked: Asked, reading: Reading, begins: datetime, ends: datetime, window: Window) -> sa.Select[Any]:
    facts = Facts(OUTCOMES, asked, reading, at=OUTCOMES.rows.c.closed_at, latest=DEAL_INTERVALS)
    row, label = facts.row, facts.label
    then = joined(facts, DEAL_INTERVALS, "then", outer=True, where=lambda each: each.stands(ends))
    columns = _columns(
        facts,
        row.amount,
        then.row.expected_close,
        window,
        label.kind,
        row.closed_at,
        row.close_value,
        label.close_currency,
    )
    return facts.select(*columns, unfiltered=True).where(
        facts.stands(ends), row.closed_at >= begins, row.closed_at < ends
    )


def _columns(
    facts: Facts,
    amount: Any,
    expected: Any,
    window: Window,
    outcome: Any,
    closed_at: Any,
    close_value: Any,
    close_in: Any,
) -> list[Any]:
    asked = facts.asked
    passes = [facts.dimension(name) == value for name, value in asked.filters.items()]
    return [
        facts.row.partition.label("partition"),
        facts.row.subject.label("subject"),
        outcome.label("outcome"),
        facts.label.currency.label("currency"),
        amount.label("amount"),
        sa.func.coalesce(sa.and_(sa.true(), *passes), sa.false()).label("passes"),
        _place(expected, window).label("place"),
        _or_null(closed_at, sa.TIMESTAMP(timezone=True)).label("closed_at"),
        _or_null(close_value, sa.Numeric()).label("close_value"),
        _or_null(close_in, sa.Text()).label("close_currency"),
        *(facts.dimension(name).label(f"by_{name}") for name in asked.group_by),
    ]


def _place(expected: Any, window: Window) -> sa.ColumnElement[int]:
    first, end = window
    if first is None and end is None:
        return sa.literal_column("0")
    cases: list[Any] = [(expected.is_(None), 1)]
    if first is not None:
        cases.append((expected < first, -1))
    if end is not None:
        cases.append((expected >= end, 1))
    return sa.case(*cases, else_=0)


def _or_null(column: Any, kind: Any) -> sa.ColumnElement[Any]:
    return sa.cast(sa.null(), kind) if column is None else column


def _instant(at: datetime) -> sa.ColumnElement[Any]:
    return sa.literal(at, sa.TIMESTAMP(timezone=True))
