"""The fold of a read model of leads: the one fold of the lead, and views that make ledger rows of what it does. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from schemas.lead import UNKNOWN_LEAD, Fact, Lead, evolve
from schemas.pipelines import Pipelines
from services.projections.lead_readings import LeadReader
from services.projections.ledger import Row, Rows


class Moment(NamedTuple):
    """One event that counts: the lead before and after it, and `at`, its business time in µs."""

    before: Lead
    after: Lead
    fact: Fact
    at: int


Drawn = tuple[tuple[Row, ...], tuple[Row, ...]]
"""(final, standing): rows that only a late event can touch again, and all rows of the view that the next event may end."""


class View(Protocol):
    """One kind of facts of a lead, as rows of one or more ledgers. Pure and total.

    What it must remember from event to event it reads off the lead, or off the rows that it left standing.
    """

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        """What the event makes of the view's rows; None where it changes none of them."""
        ...


class LeadState(msgspec.Struct, frozen=True, array_like=True):
    """One lead as it stands, and the standing rows of each view."""

    lead: Lead = UNKNOWN_LEAD
    standing: tuple[tuple[Row, ...], ...] = ()


class LeadFold:
    """Implements `ledger.Fold`. Views are independent of each other; `ignores` are types of which no view takes notice."""

    state_type = LeadState

    def __init__(self, pipelines: Pipelines, views: Sequence[View], ignores: frozenset[str] = frozenset()) -> None:
        self._pipelines = pipelines
        self._views = tuple(views)
        self.ignores = ignores
        reader = LeadReader()
        self.read = reader.read
        self.recall = reader.recall
        self.counting = reader.counting

    def start(self) -> LeadState:
        return LeadState(UNKNOWN_LEAD, ((),) * len(self._views))

    def step(self, state: LeadState, item: Any) -> tuple[LeadState, Rows | None]:
        fact: Fact = item
        lead = evolve(state.lead, fact, self._pipelines)
        moment = Moment(state.lead, lead, fact, fact.key[0])
        final: tuple[Row, ...] = ()
        standing = list(state.standing)
        changed = False
        for index, view in enumerate(self._views):
            drawn = view.draw(moment, standing[index])
            if drawn is not None:
                changed = True
                final += drawn[0]
                standing[index] = drawn[1]
        if not changed:
            return LeadState(lead, state.standing), None
        return LeadState(lead, tuple(standing)), Rows(final, tuple(row for rows in standing for row in rows))


def turned(before: Sequence[Row], after: Sequence[Row], at: int) -> Drawn | None:
    """Stretches that stood are ended at `at`, and others begin there; those that stay as they are go on.

    `before` are the standing rows, `after` those that hold from `at` on if nothing else happens (starts = at). A stretch of no
    length gives no row: no instant sees it. Rows are of one matter each, told apart by ledger, labels, amount and attributes.
    """
    final: list[Row] = []
    going_on: dict[Any, Row] = {}
    for row in before:
        if row.ends is not None and row.ends <= at:
            final.append(row)
        else:
            going_on[row.ledger, row.labels, row.amount, row.attributes] = row
    standing: list[Row] = []
    for row in after:
        known = going_on.pop((row.ledger, row.labels, row.amount, row.attributes), None) if row.starts == at else None
        if known is not None and (known.starts < at or known.starts == row.starts):
            standing.append(known if known.ends == row.ends else ending(known, row.ends))
        else:
            standing.append(row)
    final += (ending(row, at) for row in going_on.values() if row.starts < at)
    if not final and tuple(standing) == tuple(before):
        return None
    return tuple(final), tuple(standing)


def ending(row: Row, at: int | None) -> Row:
    """The same row with another end."""
    return Row(row.ledger, row.labels, row.amount, row.starts, at, row.attributes)
