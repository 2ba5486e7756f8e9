"""quality: what is doubtful in the history of a lead: contradictions, what must have happened unseen, corrections. Pure."""

from decimal import Decimal
from typing import Final

from schemas.events.corrections import EventCorrected, EventRetracted
from services.projections.lead_fold import Drawn, Moment, ending
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger

LEDGER: Final = Ledger(
    "quality",
    ("doubt", "type", *LABELS),
    (("account", "text"), ("version", "integer"), ("reason", "text")),
    indexes=("(business_from)",),
)
_NOTHING = Decimal(0)


class Quality:
    """One row per doubt, from its event on: `anomalous` and its reason, `corrected` and `retracted` for every event that says so,
    and `implied`, whose type is the one that must have happened unseen, until that is told after all.
    """

    tells_corrections: Final = True

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        before, after, fact = moment.before, moment.after, moment.fact
        if isinstance(fact.body, EventCorrected | EventRetracted):
            doubt = "corrected" if isinstance(fact.body, EventCorrected) else "retracted"
            return (self._row(moment, doubt, fact.type, None),), standing
        if before.anomaly_count == after.anomaly_count and before.implied == after.implied:
            return None
        new = after.anomaly_count - before.anomaly_count
        found = dict.fromkeys(after.anomalies[-new:] if new > 0 else ())
        final = tuple(self._row(moment, "anomalous", each.type, each.reason) for each in found)
        told = tuple(ending(row, moment.at) for row in standing if row.labels[1] not in after.implied)
        still = tuple(row for row in standing if row.labels[1] in after.implied)
        unseen = (name for name in dict.fromkeys(after.implied) if name not in before.implied)
        fresh = tuple(self._row(moment, "implied", name, None) for name in unseen)
        return final + tuple(row for row in told if row.starts < moment.at), still + fresh

    def _row(self, moment: Moment, doubt: str, type_name: str, reason: str | None) -> Row:
        labels = (doubt, type_name, *labels_of(moment.after, None))
        return Row(
            self._ledger, labels, _NOTHING, moment.at, None, (moment.after.account_id, moment.fact.version, reason)
        )
