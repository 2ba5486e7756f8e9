"""The fold of a read model of leads: the one fold of the lead, and views that make ledger rows of what it does. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from schemas.corrections import is_correction
from schemas.lead import UNKNOWN_LEAD, Fact, Lead, evolve
from schemas.pipelines import Pipelines
from services.projections.lead_readings import LeadReader
from services.projections.ledger import Order, Reading, Row, Rows


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

    What it must remember from event to event it reads off the lead, or off the rows that it left standing. One with
    `tells_corrections` is also given each EventCorrected and EventRetracted, with the lead as it stands: to all others it is as if
    the error had never been.
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
        self._of_facts = tuple(enumerate(self._views))
        self._of_corrections = tuple(each for each in self._of_facts if getattr(each[1], "tells_corrections", False))
        self.ignores = ignores
        self._reader = LeadReader()
        self.read = self._reader.read
        self.recall = self._reader.recall

    def counting(self, readings: Sequence[Reading]) -> list[Reading]:
        """The readings as they count, sorted; the corrections stay where they stand, for the views that tell of them."""
        told = [reading for reading in readings if reading.corrects]
        return sorted([*self._reader.counting(readings), *told], key=_order)

    def start(self) -> LeadState:
        return LeadState(UNKNOWN_LEAD, ((),) * len(self._views))

    def step(self, state: LeadState, item: Any) -> tuple[LeadState, Rows | None]:
        fact: Fact = item
        if is_correction(fact.body):  # what it changes is changed already, and it says nothing of the lead itself
            return self._drawn(state, Moment(state.lead, state.lead, fact, fact.key[0]), self._of_corrections)
        lead = evolve(state.lead, fact, self._pipelines)
        return self._drawn(state, Moment(state.lead, lead, fact, fact.key[0]), self._of_facts)

    @staticmethod
    def _drawn(state: LeadState, moment: Moment, views: Sequence[tuple[int, View]]) -> tuple[LeadState, Rows | None]:
        final: tuple[Row, ...] = ()
        standing = list(state.standing)
        changed = False
        for index, view in views:
            drawn = view.draw(moment, standing[index])
            if drawn is not None:
                changed = True
                final += drawn[0]
                standing[index] = drawn[1]
        if not changed:
            return LeadState(moment.after, state.standing), None
        return LeadState(moment.after, tuple(standing)), Rows(final, tuple(row for rows in standing for row in rows))


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


def _order(reading: Reading) -> Order:
    return reading.order
