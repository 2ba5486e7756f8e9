"""What else is known of the leads of some facts: rows of other ledgers, of other streams, and stretches of time.

visits = Facts(VISITS, asked, reading)
close = joined(visits, OUTCOMES, "close", outer=True)     # its columns: close.row, close.label
later = of_same_lead(visits, VISITS, "later")             # for EXISTS and scalar subqueries: later.select(...)
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import sqlalchemy as sa

from services.projections.quadrant import LedgerTables, with_labels
from services.projections.query.facts import Facts
from services.projections.query.metric import Asked


class Beside(NamedTuple):
    """Rows of a ledger beside those of the facts. `on`: of the same lead, and known."""

    source: sa.Join
    row: Any
    label: Any
    on: sa.ColumnElement[bool]

    def select(self, *columns: Any) -> sa.Select[Any]:
        """The columns of the rows of the same lead: for a scalar subquery, or an EXISTS."""
        own = (self.source.left, self.source.right)
        return sa.select(*columns).select_from(self.source).where(self.on).correlate_except(*own)

    def stands(self, at: Any) -> sa.ColumnElement[bool]:
        """Whether the row holds at an instant."""
        return _stands(self.row, at)

    def exists(self, *conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
        """Whether the same lead has such a row."""
        return self.select(sa.literal_column("1")).where(*conditions).exists()


def of_same_lead(facts: Facts, tables: LedgerTables, name: str) -> Beside:
    """The known rows of a ledger that are of the lead of each row of the facts. `name` tells them from others."""
    return of_lead(facts.asked, tables, name, facts.row.partition, facts.row.subject)


def of_lead(asked: Asked, tables: LedgerTables, name: str, partition: Any, subject: Any) -> Beside:
    """The same of the lead that two columns name."""
    rows, profiles = tables.rows.alias(name), tables.profiles.alias(f"{name}_profile")
    row, label = rows.c, profiles.c
    source = with_labels(rows, profiles)
    on = sa.and_(row.partition == partition, row.subject == subject, known_rows(asked, row))
    return Beside(source, row, label, on)


def joined(
    facts: Facts,
    tables: LedgerTables,
    name: str,
    *,
    outer: bool = False,
    where: Callable[[Beside], sa.ColumnElement[bool]] | None = None,
) -> Beside:
    """The same in the facts' own statements. `where`: which of the lead's rows, at most one of each."""
    found = of_same_lead(facts, tables, name)
    facts.join(found.source, found.on if where is None else sa.and_(found.on, where(found)), outer=outer)
    return found


def of_stream(facts: Facts, tables: LedgerTables, stream: str, id: Any, at: Any) -> Beside:
    """The row of another stream (`product` and its id) as it stood at an instant, where there is one."""
    name = f"{stream}_then"
    rows, profiles = tables.rows.alias(name), tables.profiles.alias(f"{name}_profile")
    row, label = rows.c, profiles.c
    source = with_labels(rows, profiles)
    on = sa.and_(row.subject == sa.literal(f"{stream}/") + id, known_rows(facts.asked, row), _stands(row, at))
    facts.join(source, on, outer=True)
    return Beside(source, row, label, on)


class Spans(NamedTuple):
    """Stretches of time in the statements of some facts: their number from 0, begin and end."""

    number: Any
    begins: Any
    ends: Any


def against(
    facts: Facts, spans: Sequence[tuple[datetime, datetime]], on: Callable[[Spans], sa.ColumnElement[bool]]
) -> Spans:
    """Each row of the facts once for every one of the spans for which the condition holds."""
    instants = sa.ARRAY(sa.TIMESTAMP(timezone=True))
    unnested = (
        sa.func.unnest(
            sa.literal(list(range(len(spans))), sa.ARRAY(sa.Integer)),
            sa.literal([begin for begin, _ in spans], instants),
            sa.literal([end for _, end in spans], instants),
        )
        .table_valued("number", "begins", "ends", name="span")
        .render_derived()
    )
    found = Spans(unnested.c.number, unnested.c.begins, unnested.c.ends)
    facts.join(unnested, on(found))
    return found


def at_ends(facts: Facts) -> Spans:
    """Each row of the facts once for every period asked for at whose end it holds; which these are is reckoned, not tried."""
    row, ends = facts.row, [end for _, end in periods_of(facts)]
    edges = sa.literal(ends, sa.ARRAY(sa.TIMESTAMP(timezone=True)))
    first = sa.func.width_bucket(row.business_from, edges)
    after_last = sa.func.coalesce(sa.func.width_bucket(row.business_to, edges), len(ends))
    counting = sa.func.generate_series(first, after_last - 1)
    series = counting.table_valued(sa.column("number", sa.Integer), name="held").render_derived()
    number = series.c.number
    facts.join(series, sa.true())
    return Spans(number, None, sa.sql.elements.Grouping(edges)[number + 1])


def periods_of(facts: Facts) -> list[tuple[datetime, datetime]]:
    """Begin and end of each period asked for, none of them beyond as_of."""
    asked = facts.asked
    edges = [min(edge, asked.as_of) for edge in asked.periods.edges]
    return list(pairwise(edges))


def known_rows(asked: Asked, row: Any) -> sa.ColumnElement[bool]:
    """Whether a row, under any name of its table, is known."""
    at = asked.known_at
    if at is None:
        known: sa.ColumnElement[bool] = row.recorded_to.is_(None)
        return known
    return sa.and_(row.recorded_from < at, sa.or_(row.recorded_to.is_(None), row.recorded_to >= at))


def _stands(row: Any, at: Any) -> sa.ColumnElement[bool]:
    return sa.and_(row.business_from < at, sa.or_(row.business_to.is_(None), row.business_to >= at))
