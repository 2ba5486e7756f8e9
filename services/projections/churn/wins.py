"""What hangs on a win, and leaves with it. Pure.

A win may turn out not to hold: it is reopened, lost after all, voided or absorbed. What came with it then leaves the
figures altogether, also those of the time before, but only of a question whose as_of lies after it turned out: the state at an
instant is what has a business time before it. So such a row says in its first attribute up to which as_of it counts, `counts_until`.
"""

from collections.abc import Iterable
from typing import Final

from schemas.lead import Lead
from services.projections.lead_fold import ending
from services.projections.ledger import Row

COUNTS_UNTIL: Final = ("counts_until", "instant")
"""The first attribute of every row that hangs on a win: it counts where as_of is not later. None: wherever it stands."""
_AWAY: Final = frozenset({"void", "absorbed"})


def holds(lead: Lead) -> bool:
    """Whether the lead is won, and neither a mistake nor a part of another lead."""
    return lead.outcome == "won" and lead.standing not in _AWAY


def counting_until(row: Row, at: int | None) -> Row:
    """The same row with another `counts_until`."""
    return Row(row.ledger, row.labels, row.amount, row.starts, row.ends, (at, *row.attributes[1:]))


def until_of(row: Row) -> int | None:
    at = row.attributes[0]
    assert at is None or isinstance(at, int)
    return at


def withdrawn(rows: Iterable[Row], at: int) -> tuple[Row, ...]:
    """The rows of a win that does not hold from `at` (µs) on; those that had not begun are gone."""
    kept = []
    for row in rows:
        until = until_of(row)
        if until is not None and until <= at:
            kept.append(row)
        elif row.starts < at:
            ended = row if row.ends is not None and row.ends <= at else ending(row, at)
            kept.append(counting_until(ended, at))
    return tuple(kept)
