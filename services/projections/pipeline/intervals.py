"""deal_interval: stretches in which stage, outcome, value and everything a deal is grouped by stay the same. Pure."""

from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

from schemas.lead import Lead, next_change, time_passed
from schemas.pipelines import Pipelines
from services.projections.days import EPOCH, micros
from services.projections.lead_fold import Drawn, Moment, ending, turned
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger, number_text

LEDGER = Ledger(
    "deal_interval",
    ("stage", "phase", "outcome", *LABELS),
    (
        ("account", "text"),
        ("entered_at", "instant"),
        ("expected_close", "day"),
        ("category", "text"),
        ("probability", "number"),
    ),
    cells=True,
)
NOWHERE = frozenset({"out", "recycled", "void", "absorbed"})
_NOTHING = Decimal(0)
_decimal = lru_cache(maxsize=65_536)(Decimal)


class DealIntervals:
    """One row per lead and stretch of constant labels, attributes and amount.

    The amount is the close value of a won lead and the open value of any other; an unknown value is amount 0 and
    currency None. A stretch of no length (two events at one instant) gives no row: no instant sees it. A lead that is only
    listed, was screened out, recycled, voided or absorbed stands in no pipeline and has no row meanwhile. `entered_at` is
    when the lead came to its stage: it tells one visit from another; `category` and `probability` are the owner's own forecast.
    """

    def __init__(self, ledger: int, pipelines: Pipelines) -> None:
        self._ledger = ledger
        self._pipelines = pipelines

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        return turned(standing, self._rows(moment.after, moment.at), moment.at)

    def _rows(self, lead: Lead, at: int) -> tuple[Row, ...]:
        """The rows from `at` (µs) on, if nothing else happens: several where time alone changes the lead."""
        row = self._row(lead, at)
        change = next_change(lead, self._pipelines)
        if change is None:
            return (row,) if row is not None else ()
        rows: list[Row] = []
        while True:
            ends = None if change is None else max(micros(change), at)
            if row is not None and row.starts != ends:
                if rows and rows[-1].ends == row.starts and _alike(rows[-1], row):
                    row = Row(row.ledger, row.labels, row.amount, rows.pop().starts, None, row.attributes)
                rows.append(ending(row, ends))
            if change is None or ends is None:
                return tuple(rows)
            lead = time_passed(lead, change, self._pipelines)
            row = self._row(lead, ends)
            change = next_change(lead, self._pipelines)

    def _row(self, lead: Lead, at: int) -> Row | None:
        """What the lead counts as from `at` (µs) on; None while it stands in no pipeline."""
        if lead.phase is None or lead.phase == "listed" or lead.standing in NOWHERE:
            return None
        value = lead.close_value if lead.outcome == "won" else lead.value
        currency, amount = (None, _NOTHING) if value is None else (value.currency, _decimal(value.amount))
        forecast = lead.forecast
        attributes = (
            lead.account_id,
            _instant(lead.stage_entered_at),
            day_number(lead.expected_close),
            forecast.category if forecast else None,
            None if forecast is None or forecast.probability is None else number_text(forecast.probability),
        )
        labels = (lead.stage, lead.shown_phase, lead.outcome, *labels_of(lead, currency))
        return Row(self._ledger, labels, amount, at, None, attributes)


def day_number(day: date | None) -> int | None:
    """Days since 1970-01-01, the form in which a row has a day."""
    return None if day is None else (day - _EPOCH_DATE).days


_EPOCH_DATE = EPOCH.date()


def _instant(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def _alike(one: Row, other: Row) -> bool:
    return one.labels == other.labels and one.amount == other.amount and one.attributes == other.attributes
