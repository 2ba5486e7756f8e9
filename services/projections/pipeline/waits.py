"""What is asked and then answered, one row each: approval and objection. Pure."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

from schemas.events.sales_process import ApprovalDecided, ApprovalRequested, ObjectionRaised, ObjectionResolved
from services.projections.durations import duration_days
from services.projections.lead_fold import Drawn, Moment
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger

_ATTRIBUTES: Final = (("account", "text"), ("id", "text"), ("event", "text"), ("days", "integer"))
APPROVAL: Final = Ledger(
    "approval", ("kind", "answer", "stage", *LABELS), _ATTRIBUTES, indexes=("(business_from)", "(business_to)")
)
OBJECTION: Final = Ledger(
    "objection", ("kind", "answer", "stage", *LABELS), _ATTRIBUTES, indexes=("(business_from)", "(business_to)")
)
"""`kind` is the category."""
_NOTHING = Decimal(0)


class _Words(NamedTuple):
    """The events of one sort of question: what asks, what answers, and the fields that tell id, kind and answer."""

    asks: type
    answers: type
    id: str
    kind: Callable[[Any], str]
    answer: Callable[[Any], str]


APPROVALS: Final = _Words(
    ApprovalRequested,
    ApprovalDecided,
    "approval_id",
    lambda body: str(body.kind),
    lambda body: body.decision or "decided",
)
OBJECTIONS: Final = _Words(
    ObjectionRaised, ObjectionResolved, "objection_id", lambda body: str(body.category), lambda body: "resolved"
)


class Waits:
    """One row per question, from where it is asked to where it is answered; it stands while it is not.

    `stage` and the other labels are those where it was asked. `answer` and `days` are None while it waits. Asked again before it
    was answered, it goes on; asked again after, it is another row. An answer to nothing that was asked makes none.
    """

    def __init__(self, ledger: int, words: _Words) -> None:
        self._ledger = ledger
        self._words = words

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        body, words = moment.fact.body, self._words
        kind = type(body)
        if kind not in (words.asks, words.answers) or moment.before.standing == "absorbed":
            return None
        id = getattr(body, words.id)
        waiting = next((row for row in standing if row.attributes[1] == id), None)
        if kind is words.asks:
            return None if waiting is not None else ((), (*standing, self._asked(moment, id, words.kind(body))))
        if waiting is None:
            return None
        left = tuple(row for row in standing if row is not waiting)
        labels = (waiting.labels[0], words.answer(body), *waiting.labels[2:])
        attributes = (*waiting.attributes[:-1], duration_days(waiting.starts, moment.at))
        return (Row(waiting.ledger, labels, _NOTHING, waiting.starts, moment.at, attributes),), left

    def _asked(self, moment: Moment, id: str, kind: str) -> Row:
        lead = moment.after
        labels = (kind, None, lead.stage, *labels_of(lead, lead.value.currency if lead.value else None))
        attributes = (lead.account_id, id, moment.fact.ref.hex(), None)
        return Row(self._ledger, labels, _NOTHING, moment.at, None, attributes)
