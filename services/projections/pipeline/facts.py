"""The facts of the pipeline: stretches in which stage, outcome, value and dimensions of a lead stay the same. Pure."""

from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from schemas.events import ActivityLogged
from schemas.lead import UNKNOWN_LEAD, Fact, Lead, evolve
from schemas.pipelines import Pipelines
from services.projections.lead_readings import LeadReader
from services.projections.ledger import Row, Rows

DEAL_INTERVAL = 0
"""Index of the ledger `deal_interval`."""
_NOTHING = Decimal(0)
_decimal = lru_cache(maxsize=65_536)(Decimal)
_ACTIVITY = ActivityLogged(kind="other", direction="in")
"""Any activity: it says that the lead exists, and nothing else that counts here."""


class PipelineState(msgspec.Struct, frozen=True, array_like=True):
    """Where one lead stands, and the row that says so."""

    lead: Lead = UNKNOWN_LEAD
    standing: Row | None = None


class PipelineFold:
    """deal_interval: one row per lead and stretch of constant labels and amount.

    The amount is the close value of a won lead and the open value of any other; an unknown value is amount 0 and
    currency None. A stretch of no length (two events at one instant) gives no row: no instant sees it.
    """

    state_type = PipelineState

    def __init__(self, pipelines: Pipelines) -> None:
        self._pipelines = pipelines
        reader = LeadReader({"ActivityLogged": _ACTIVITY})
        self.read = reader.read
        self.recall = reader.recall

    def start(self) -> PipelineState:
        return PipelineState()

    def step(self, state: PipelineState, item: Any) -> tuple[PipelineState, Rows | None]:
        fact: Fact = item
        if fact.body is _ACTIVITY and state.standing is not None:
            return state, None
        lead = evolve(state.lead, fact, self._pipelines)
        value = lead.close_value if lead.outcome == "won" else lead.value
        currency, amount = (None, _NOTHING) if value is None else (value.currency, _decimal(value.amount))
        labels = (
            lead.stage, lead.phase, lead.outcome, lead.pipeline, currency,
            lead.owner, lead.source_channel, lead.product, lead.region,
        )  # fmt: skip
        before = state.standing
        if before is not None and before.labels == labels and before.amount == amount:
            return PipelineState(lead, before), None
        at = fact.key[0]
        row = Row(DEAL_INTERVAL, labels, amount, at, None)
        if before is None or before.starts == at:
            return PipelineState(lead, row), Rows((), (row,))
        ended = Row(DEAL_INTERVAL, before.labels, before.amount, before.starts, at)
        return PipelineState(lead, row), Rows((ended,), (row,))
