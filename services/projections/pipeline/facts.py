"""The facts of the pipeline: stretches in which stage, outcome, value and dimensions of a lead stay the same. Pure."""

from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from schemas.events.sales_process import ActivityLogged
from schemas.lead import UNKNOWN_LEAD, Fact, Lead, evolve, next_change, time_passed
from schemas.pipelines import Pipelines
from services.projections.days import micros
from services.projections.lead_readings import LeadReader
from services.projections.ledger import Row, Rows

DEAL_INTERVAL = 0
"""Index of the ledger `deal_interval`."""
_NOTHING = Decimal(0)
_decimal = lru_cache(maxsize=65_536)(Decimal)
_NOWHERE = frozenset({"out", "recycled", "void", "absorbed"})
_ACTIVITY = ActivityLogged(kind="other", direction="in")
"""Any activity: it says that the lead exists, and nothing else that counts here."""


class PipelineState(msgspec.Struct, frozen=True, array_like=True):
    """Where one lead stands, and the rows that say so: the last one is open, others end when time alone changes the lead."""

    lead: Lead = UNKNOWN_LEAD
    standing: tuple[Row, ...] = ()


class PipelineFold:
    """deal_interval: one row per lead and stretch of constant labels and amount.

    The amount is the close value of a won lead and the open value of any other; an unknown value is amount 0 and
    currency None. A stretch of no length (two events at one instant) gives no row: no instant sees it. A lead that is only
    listed, was screened out, recycled, voided or absorbed stands in no pipeline and has no row meanwhile.
    """

    state_type = PipelineState

    def __init__(self, pipelines: Pipelines) -> None:
        self._pipelines = pipelines
        reader = LeadReader({"ActivityLogged": _ACTIVITY})
        self.read = reader.read
        self.recall = reader.recall
        self.counting = reader.counting

    def start(self) -> PipelineState:
        return PipelineState()

    def step(self, state: PipelineState, item: Any) -> tuple[PipelineState, Rows | None]:
        fact: Fact = item
        if fact.body is _ACTIVITY and state.lead.phase is not None:
            return state, None
        lead = evolve(state.lead, fact, self._pipelines)
        at = fact.key[0]
        before = state.standing
        after = self._rows(lead, at)
        if len(before) == len(after) == 1 and _alike(before[0], after[0]):
            return PipelineState(lead, before), None
        final = [row for row in before if row.ends is not None and row.ends <= at]
        over = next((row for row in before if row.starts < at and (row.ends is None or row.ends > at)), None)
        if over is not None:
            if after and _alike(over, after[0]):
                after = (Row(over.ledger, over.labels, over.amount, over.starts, after[0].ends), *after[1:])
            else:
                final.append(Row(over.ledger, over.labels, over.amount, over.starts, at))
        if not final and after == before:
            return PipelineState(lead, before), None
        return PipelineState(lead, after), Rows(tuple(final), after)

    def _rows(self, lead: Lead, at: int) -> tuple[Row, ...]:
        """The rows from `at` (µs) on, if nothing else happens."""
        row = _row(lead, at)
        change = next_change(lead, self._pipelines)
        if change is None:
            return (row,) if row is not None else ()
        rows: list[Row] = []
        while True:
            ends = None if change is None else max(micros(change), at)
            if row is not None and row.starts != ends:
                if rows and rows[-1].ends == row.starts and _alike(rows[-1], row):
                    row = Row(row.ledger, row.labels, row.amount, rows.pop().starts, None)
                rows.append(Row(row.ledger, row.labels, row.amount, row.starts, ends))
            if change is None or ends is None:
                return tuple(rows)
            lead = time_passed(lead, change, self._pipelines)
            row = _row(lead, ends)
            change = next_change(lead, self._pipelines)


def _row(lead: Lead, at: int) -> Row | None:
    """What the lead counts as from `at` (µs) on; None while it stands in no pipeline."""
    if lead.phase is None or lead.phase == "listed" or lead.standing in _NOWHERE:
        return None
    value = lead.close_value if lead.outcome == "won" else lead.value
    currency, amount = (None, _NOTHING) if value is None else (value.currency, _decimal(value.amount))
    labels = (
        lead.stage, lead.shown_phase, lead.outcome, lead.pipeline, currency,
        lead.owner, lead.source_channel, lead.product, lead.region,
    )  # fmt: skip
    return Row(DEAL_INTERVAL, labels, amount, at, None)


def _alike(one: Row, other: Row) -> bool:
    return one.labels == other.labels and one.amount == other.amount
