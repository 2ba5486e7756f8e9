"""What counts at an instant, as it was known at another: the SQL that every count and sum of a ledger is made of.

A row counts at (as_of, known_at) iff business_from < as_of <= business_to and recorded_from < known_at <= recorded_to,
an end that is not there being later than everything. `from_rows` says just that, and reads the whole ledger. `from_cells`
gives the same by adding up the cells of all whole days before the two instants, and, for the two days that the instants
cut, the ledger rows that begin, end, appear or go within them.
"""

from typing import Any

import sqlalchemy as sa

from services.projections.days import Days, instant_of, micros
from services.projections.tables import Ledger

_COLUMNS: dict[str, Any] = {
    "text": sa.Text,
    "instant": sa.TIMESTAMP(timezone=True),
    "day": sa.Date,
    "integer": sa.Integer,
    "number": sa.Numeric,
}


class LedgerTables:
    """The tables of one ledger, for SQLAlchemy; the name of its read model stands for the schema of the generation."""

    def __init__(self, ledger: Ledger, model: str) -> None:
        metadata = sa.MetaData()
        both: tuple[tuple[str, Any], ...] = (("partition", sa.Integer), ("profile", sa.BigInteger))
        instants = ("business_from", "business_to", "recorded_from", "recorded_to")

        def table(name: str, *more: tuple[str, Any]) -> sa.Table:
            return sa.Table(name, metadata, *(sa.Column(n, kind) for n, kind in (*both, *more)), schema=model)

        sums = (("n", sa.BigInteger), ("amount", sa.Numeric))
        self.ledger = ledger
        self.rows = table(
            ledger.name,
            ("subject", sa.Text),
            ("number", sa.Integer),
            ("amount", sa.Numeric),
            *((name, sa.TIMESTAMP(timezone=True)) for name in instants),
            *((name, _COLUMNS[kind]) for name, kind in ledger.attributes),
        )
        self.profiles = table(f"{ledger.name}_profile", *((label, sa.Text) for label in ledger.labels))
        self.cells = table(f"{ledger.name}_cell", ("business_day", sa.Integer), ("recorded_day", sa.Integer), *sums)


def from_rows(tables: LedgerTables, as_of: Any, known_at: Any | None) -> sa.Subquery:
    """(partition, profile, n, amount) by the definition, straight from the ledger."""
    counted = _signed(tables, 1, standing(tables, as_of), known(tables, known_at))
    return _summed(counted.subquery())


def from_cells(tables: LedgerTables, days: Days, as_of: Any, known_at: Any | None) -> sa.Subquery:
    """The same from cells, for instants given as aware datetimes; `days` are those of the reporting zone.

    Without `known_at`, everything that was applied is known.
    """
    day = days.of(micros(as_of))
    begins = instant_of(days.start(day))
    row = tables.rows.c
    is_known = known(tables, known_at)
    parts = [
        _signed(tables, 1, row.business_from >= begins, row.business_from < as_of, is_known),
        _signed(tables, -1, row.business_to >= begins, row.business_to < as_of, is_known),
    ]
    cell = tables.cells.c
    whole = sa.select(cell.partition, cell.profile, cell.n, cell.amount).where(cell.business_day < day)
    if known_at is not None:
        known_day = days.of(micros(known_at))
        since = instant_of(days.start(known_day))
        whole = whole.where(cell.recorded_day < known_day)
        appears = sa.and_(row.recorded_from >= since, row.recorded_from < known_at)
        goes = sa.and_(row.recorded_to >= since, row.recorded_to < known_at)
        parts += [
            _signed(tables, 1, appears, row.business_from < begins),
            _signed(tables, -1, appears, row.business_to < begins),
            _signed(tables, -1, goes, row.business_from < begins),
            _signed(tables, 1, goes, row.business_to < begins),
        ]
    return _summed(sa.union_all(whole, *parts).subquery())


def standing(tables: LedgerTables, at: Any) -> sa.ColumnElement[bool]:
    """Whether a row holds at the instant."""
    row = tables.rows.c
    return sa.and_(row.business_from < at, sa.or_(row.business_to.is_(None), row.business_to >= at))


def known(tables: LedgerTables, known_at: Any | None) -> sa.ColumnElement[bool]:
    """Whether a row was known at the instant; None: after everything applied."""
    row = tables.rows.c
    if known_at is None:
        return row.recorded_to.is_(None)
    return sa.and_(row.recorded_from < known_at, sa.or_(row.recorded_to.is_(None), row.recorded_to >= known_at))


def with_labels(rows: sa.FromClause, profiles: sa.FromClause) -> sa.Join:
    """Rows with their labels. Every row has a profile, and only one: so an outer join gives the same, but the planner leaves out
    the labels that nobody asks for, and takes no row for lost because two columns must agree."""
    on = sa.and_(rows.c.partition == profiles.c.partition, rows.c.profile == profiles.c.profile)
    return rows.join(profiles, on, isouter=True)


def _signed(tables: LedgerTables, sign: int, *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    row = tables.rows.c
    amount = row.amount if sign > 0 else -row.amount
    return sa.select(row.partition, row.profile, sa.literal_column(str(sign)).label("n"), amount.label("amount")).where(
        *conditions
    )


def _summed(parts: sa.Subquery) -> sa.Subquery:
    part = parts.c
    return (
        sa.select(
            part.partition, part.profile, sa.func.sum(part.n).label("n"), sa.func.sum(part.amount).label("amount")
        )
        .group_by(part.partition, part.profile)
        .subquery()
    )
