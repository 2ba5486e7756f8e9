"""Facts that happened once, as queries of this read model take them: told before as_of, and not of a lead that never counted."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from services.projections.churn.ledgers import CUSTOMERS, GONE
from services.projections.quadrant import LedgerTables, known, standing
from services.projections.query.facts import Facts, of_period
from services.projections.query.metric import Asked, Reading, Row


def facts_of(tables: LedgerTables, asked: Asked, reading: Reading) -> Facts:
    """The rows of a ledger; with dims=current, dimensions as the won lead has them now."""
    return Facts(tables, asked, reading, latest=CUSTOMERS)


def happened(facts: Facts) -> list[sa.ColumnElement[bool]]:
    """The row began before as_of, and its lead had not turned out to be void or a part of another one by then."""
    gone = GONE.rows
    away = sa.exists().where(
        gone.c.partition == facts.row.partition,
        gone.c.subject == facts.row.subject,
        known(GONE, facts.asked.known_at),
        standing(GONE, facts.asked.as_of),
    )
    return [facts.row.business_from < facts.asked.as_of, sa.not_(away)]


def every_period(asked: Asked, rows: Sequence[Any]) -> list[tuple[Row, list[Any]]]:
    """Rows of a statement by the period and the dimensions: what the answer says of each, and its rows; every group
    stands in every period, where there is anything at all."""
    width = 1 + len(asked.group_by)
    parts: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        parts.setdefault(tuple(row[:width]), []).append(row)
    groups: list[tuple[Any, ...]] = list({key[1:] for key in parts}) if asked.group_by else [()] if parts else []
    groups.sort(key=lambda group: [(each is None, each or "") for each in group])
    return [
        (
            {**of_period(asked, period), **dict(zip(asked.group_by, group, strict=True))},
            parts.get((period, *group), []),
        )
        for period in range(len(asked.periods))
        for group in groups
    ]
