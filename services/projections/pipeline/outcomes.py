"""outcome: the close of a lead, won or lost, as long as it stands. Pure."""

from decimal import Decimal
from typing import Final

from schemas.lead import Lead
from services.projections.days import micros
from services.projections.durations import duration_days
from services.projections.lead_fold import Drawn, Moment, turned
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger, number_text

LEDGER: Final = Ledger(
    "outcome",
    ("kind", "reason", "from_stage", "competitor", "close_currency", *LABELS),
    (
        ("account", "text"),
        ("closed_at", "instant"),
        ("captured_at", "instant"),
        ("cycle_days", "integer"),
        ("close_value", "number"),
    ),
    indexes=("(closed_at)",),
)
_NOTHING = Decimal(0)
_AWAY = frozenset({"void", "absorbed"})


class Outcomes:
    """One row per close, from the close until the lead is reopened, closed otherwise, voided or absorbed; another one from
    where the same close is told again with other words, or a real capture replaces an implied one. All keep `closed_at`.

    `amount` in `currency` is the last open value; of a won lead without one, its close value; else 0 and no currency.
    `close_value` in `close_currency` is what a Won said. `cycle_days` is from the capture to the close, negative where the
    close came first. The labels are those at the close: an owner who takes over later has not won it.
    """

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        lead, before, at = moment.after, moment.before, moment.at
        if lead.outcome == "open" or lead.standing in _AWAY:
            return turned(standing, (), at) if standing else None
        if lead.outcome != before.outcome or lead.closed_at != before.closed_at or not standing:
            return turned(standing, (self._row(lead, at),), at)
        told = (lead.close_value, lead.loss_reason, lead.competitor, lead.captured_at)
        if told == (before.close_value, before.loss_reason, before.competitor, before.captured_at):
            return None
        return turned(standing, (self._told_again(self._row(lead, at), standing[-1]),), at)

    @staticmethod
    def _told_again(row: Row, known: Row) -> Row:
        """The new words, with what the lead was grouped by at the close."""
        own = len(LEDGER.labels) - len(LABELS) + LABELS.index("owner")
        labels = (*row.labels[:own], *known.labels[own:])
        attributes = (known.attributes[0], *row.attributes[1:])
        return Row(row.ledger, labels, row.amount, row.starts, None, attributes)

    def _row(self, lead: Lead, at: int) -> Row:
        open_value, close = lead.value, lead.close_value if lead.outcome == "won" else None
        value = open_value or close
        closed_at = micros(lead.closed_at) if lead.closed_at else at
        captured_at = None if lead.captured_at is None else micros(lead.captured_at)
        labels = (
            lead.outcome, lead.loss_reason, lead.left_stage, lead.competitor, close.currency if close else None,
            *labels_of(lead, value.currency if value else None),
        )  # fmt: skip
        attributes = (
            lead.account_id,
            closed_at,
            captured_at,
            None if captured_at is None else duration_days(captured_at, closed_at),
            None if close is None else number_text(close.amount),
        )
        return Row(self._ledger, labels, _NOTHING if value is None else Decimal(value.amount), at, None, attributes)
