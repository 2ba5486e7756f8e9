"""What happened once, one row each: activity, content and slip. Pure."""

from datetime import date
from decimal import Decimal
from typing import Final

from schemas.events.sales_process import ActivityLogged, ContentShared
from schemas.lead import Lead
from schemas.pipelines import Pipelines
from services.projections.lead_fold import Drawn, Moment
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.pipeline.intervals import day_number
from services.projections.pipeline.visits import place_of, visiting
from services.projections.tables import Ledger

ACTIVITY: Final = Ledger(
    "activity",
    ("kind", "direction", "stage", *LABELS),
    (("account", "text"), ("event", "text")),
    indexes=("(business_from)",),
)
CONTENT: Final = Ledger(
    "content",
    ("channel", "stage", *LABELS),
    (("account", "text"), ("event", "text"), ("content_id", "text")),
    indexes=("(business_from)",),
)
SLIP: Final = Ledger(
    "slip",
    ("kind", "from_stage", "to_stage", *LABELS),
    (
        ("account", "text"),
        ("event", "text"),
        ("from_day", "day"),
        ("to_day", "day"),
        ("days", "integer"),
        ("reason_given", "integer"),
    ),
    indexes=("(business_from)",),
)
_NOTHING = Decimal(0)


class Activities:
    """One row per ActivityLogged, and the stage in which it was; `event` tells two alike from each other."""

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        body = moment.fact.body
        if type(body) is not ActivityLogged or moment.before.standing == "absorbed":
            return None
        lead = moment.after
        labels = (body.kind, body.direction, lead.stage, *_labels(lead))
        return (Row(self._ledger, labels, _NOTHING, moment.at, None, _said(moment)),), ()


class Contents:
    """One row per ContentShared, and the stage in which it was."""

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        body = moment.fact.body
        if type(body) is not ContentShared or moment.before.standing == "absorbed":
            return None
        lead = moment.after
        labels = (body.channel, lead.stage, *_labels(lead))
        return (Row(self._ledger, labels, _NOTHING, moment.at, None, (*_said(moment), body.content_id)),), ()


class Slips:
    """One row per backward move of an open lead (`stage`), and per expected close that is put off (`close`), by the owner there.

    `days` is by how many it is put off. Why is free text about people, which stays in the log, where it can be erased;
    `reason_given` says whether there is any (1), or none (0).
    """

    def __init__(self, ledger: int, pipelines: Pipelines) -> None:
        self._ledger = ledger
        self._pipelines = pipelines

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        before, after = moment.before, moment.after
        if before is after or not (visiting(before) and visiting(after)):
            return None
        rows: list[Row] = []
        if before.visit != after.visit and before.pipeline == after.pipeline:
            pipeline = self._pipelines.of(after.pipeline, after.pipeline_version)
            if place_of(pipeline, after.stage, after.phase) < place_of(pipeline, before.stage, before.phase):
                rows.append(self._row(moment, "stage", before.stage, after.stage, None, None))
        was, now = before.expected_close, after.expected_close
        if was is not None and now is not None and was < now:
            rows.append(self._row(moment, "close", after.stage, after.stage, was, now))
        return (tuple(rows), ()) if rows else None

    def _row(
        self,
        moment: Moment,
        kind: str,
        from_stage: str | None,
        to_stage: str | None,
        was: date | None,
        now: date | None,
    ) -> Row:
        days = (now - was).days if was is not None and now is not None else None
        reasoned = int(getattr(moment.fact.body, "reason", None) is not None)
        attributes = (*_said(moment), day_number(was), day_number(now), days, reasoned)
        labels = (kind, from_stage, to_stage, *_labels(moment.after))
        return Row(self._ledger, labels, _NOTHING, moment.at, None, attributes)


def _labels(lead: Lead) -> tuple[str | None, ...]:
    return labels_of(lead, lead.value.currency if lead.value else None)


def _said(moment: Moment) -> tuple[str | None, str]:
    return moment.after.account_id, moment.fact.ref.hex()
