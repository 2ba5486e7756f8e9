"""customer: stretches in which a lead stands as won, from the win on; gone: leads that never counted. Pure."""

from decimal import Decimal
from typing import Final

from schemas.lead import Lead
from schemas.pipelines import Pipelines
from services.projections.churn.wins import COUNTS_UNTIL, holds, until_of, withdrawn
from services.projections.days import micros
from services.projections.lead_fold import Drawn, Moment, turned
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger

LEDGER: Final = Ledger(
    "customer",
    LABELS,
    (COUNTS_UNTIL, ("account", "text"), ("origin", "text"), ("won_at", "instant"), ("customer_at", "instant")),
)
GONE: Final = Ledger("gone", ("why",))
_CUSTOMER_AT: Final = 4
_NOTHING = Decimal(0)


class Customers:
    """One row per stretch of constant labels and account, from the win until it does not hold: then it counts no more.

    The amount is the close value. `customer_at` is when the lead made its account a customer, by the pipeline's own word:
    the win, or an event or a stage that comes with it or after it; None until then.
    """

    def __init__(self, ledger: int, pipelines: Pipelines) -> None:
        self._ledger = ledger
        self._pipelines = pipelines

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        lead, at = moment.after, moment.at
        if not holds(lead):
            rows = withdrawn(standing, at) if standing and holds(moment.before) else standing
        else:
            live = tuple(row for row in standing if row.ends is None and until_of(row) is None)
            drawn = turned(live, (self._row(moment, live),), at)
            if drawn is None:
                return None
            rows = (*(row for row in standing if row not in live), *drawn[0], *drawn[1])
        return None if rows == standing else ((), rows)

    def _row(self, moment: Moment, live: tuple[Row, ...]) -> Row:
        lead, at = moment.after, moment.at
        value = lead.close_value
        won_at = None if lead.closed_at is None else micros(lead.closed_at)
        known = live[0].attributes[_CUSTOMER_AT] if live else None
        origin = lead.origin.lead_id if lead.account_id is None and lead.origin is not None else None
        attributes = (
            None,
            lead.account_id,
            origin,
            won_at,
            known if known is not None else self._since(moment, won_at),
        )
        labels = labels_of(lead, None if value is None else value.currency)
        return Row(self._ledger, labels, _NOTHING if value is None else Decimal(value.amount), at, None, attributes)

    def _since(self, moment: Moment, won_at: int | None) -> int | None:
        lead = moment.after
        word = self._pipelines.of(lead.pipeline, lead.pipeline_version).customer
        if word.event == "Won":
            return won_at
        is_so = lead.stage == word.stage if word.event is None else moment.fact.type == word.event
        return moment.at if is_so else None


class Gone:
    """One row per lead that was voided or absorbed, from then on: what was told of it leaves the figures."""

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        why = _why(moment.after)
        if why == _why(moment.before):
            return None
        return turned(
            standing, () if why is None else (Row(self._ledger, (why,), _NOTHING, moment.at, None),), moment.at
        )


def _why(lead: Lead) -> str | None:
    return lead.standing if lead.standing in ("void", "absorbed") else None
