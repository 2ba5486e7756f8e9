"""The closed deals of a period: the rows of `outcome` that a ratio counts, dated by their close or by their capture."""

from typing import Any, Final

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, OUTCOMES
from services.projections.pipeline.left_out import counts
from services.projections.query.facts import OF_LEADS, Facts
from services.projections.query.metric import Asked, Reading
from services.projections.query.parameters import choice

OF_CLOSED: Final = (*OF_LEADS, "reason", "from_stage", "competitor")
"""The dimensions of closed deals."""
ATTRIBUTE_BY: Final = choice(
    "attribute_by", "Which date puts a deal into a period: that of its close, or of its capture.", "closed", "opened"
)  # fmt: skip


class ClosedDeals:
    """`facts` of OUTCOMES, the instant that dates each (`at`), and which of them count (`conditions`)."""

    def __init__(self, asked: Asked, reading: Reading) -> None:
        self.facts = Facts(OUTCOMES, asked, reading, at=OUTCOMES.rows.c.closed_at, latest=DEAL_INTERVALS)
        row = self.facts.row
        self.at: Any = row.captured_at if asked.options.get("attribute_by") == "opened" else row.closed_at
        self.conditions = [self.facts.stands(), self.facts.within(self.at), counts(self.facts)]

    def of_outcome(self, outcome: str) -> list[sa.ColumnElement[bool]]:
        """Which of them count, of the deals that closed so: won, lost or all."""
        return self.conditions if outcome == "all" else [*self.conditions, self.facts.label.kind == outcome]
