"""survey: what customers were asked and answered; query_case: what they asked us, until it was answered. Pure."""

from decimal import Decimal
from typing import Final

from schemas.events.management import QueryRaised, QueryResolved, SurveyAnswered, SurveySent
from services.projections.lead_fold import Drawn, Moment, ending
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger

SURVEY: Final = Ledger(
    "survey",
    ("what", "kind", *LABELS),
    (("account", "text"), ("survey_id", "text"), ("person", "text"), ("score", "integer"), ("version", "integer")),
)
CASE: Final = Ledger(
    "query_case", ("category", "priority", *LABELS), (("account", "text"), ("case_id", "text"))
)  # fmt: skip
_NOTHING = Decimal(0)
_CASE_ID = 1


class Surveys:
    """One row per SurveySent (`sent`) and SurveyAnswered (`answered`, with its score), by what the lead was then."""

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        body = moment.fact.body
        if not isinstance(body, SurveySent | SurveyAnswered):
            return None
        what, score = ("answered", body.score) if isinstance(body, SurveyAnswered) else ("sent", None)
        lead = moment.after
        labels = (what, body.kind, *labels_of(lead, None))
        attributes = (lead.account_id, body.survey_id, body.person_id, score, moment.fact.version)
        return (Row(self._ledger, labels, _NOTHING, moment.at, None, attributes),), standing


class Cases:
    """One row per query, from when it was raised until it was resolved, by what the lead was then. Without a priority: normal.

    A case that is raised again while it is open stays as it is; one that nobody raised is never resolved.
    """

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        body, lead, at = moment.fact.body, moment.after, moment.at
        if not isinstance(body, QueryRaised | QueryResolved):
            return None
        known = next((row for row in standing if row.attributes[_CASE_ID] == body.case_id), None)
        if isinstance(body, QueryResolved):
            if known is None:
                return None
            others = tuple(row for row in standing if row is not known)
            return ((ending(known, at),) if known.starts < at else ()), others
        if known is not None:
            return None
        labels = (body.category, body.priority or "normal", *labels_of(lead, None))
        return (), (*standing, Row(self._ledger, labels, _NOTHING, at, None, (lead.account_id, body.case_id)))
