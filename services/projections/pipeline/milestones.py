"""milestone: when a lead first was what a company counts: listed, lead, mql, sql, opportunity, customer, and the like. Pure."""

from collections.abc import Container, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Final

from schemas.events.opportunity import HandoverAccepted, HandoverRejected
from schemas.events.sales_process import ActivityLogged
from schemas.events.transaction import Delivered
from schemas.lead import Lead
from schemas.pipelines import Moment as Definition
from schemas.pipelines import Pipeline, Pipelines
from services.projections.days import micros
from services.projections.lead_fold import Drawn, Moment, ending
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger

LEDGER: Final = Ledger(
    "milestone",
    ("name", *LABELS),
    (("account", "text"), ("reached_at", "instant"), ("since", "instant")),
    indexes=("(reached_at)",),
)
STEPS: Final = ("listed", "lead", "mql", "sql", "opportunity", "customer")
"""The steps of the funnel, in their order."""
_NOTHING = Decimal(0)


class Milestones:
    """One row per lead and milestone from where it is reached on, at `reached_at`; the labels are those there.

    `mql`, `sql`, `opportunity` and `customer` are what the lead's pipeline means by them when it happens. Also `outbound`, the
    first activity of ours; `accepted` or `rejected`, the last answer to a hand-over, as long as it is the last; and `delivered`, once somebody says so.
    `customer` and `delivered` hold until the lead is no longer won. `since` is the capture; where a real capture
    replaces an implied one, the rows go on as others with the new `since`.
    """

    def __init__(self, ledger: int, pipelines: Pipelines) -> None:
        self._ledger = ledger
        self._defined = {(each.name, each.version): _definitions(each) for each in pipelines.all()}

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        before, after, at = moment.before, moment.after, moment.at
        if before.standing == "absorbed":
            return None
        reached = {row.labels[0]: row for row in standing}
        gone = self._gone(moment, reached)
        new = [
            self._row(after, name, when, at)
            for name, when in self._reached(moment, reached)
            if name not in reached or name in gone
        ]
        final = [ending(reached[name], at) for name in gone if reached[name].starts < at]
        kept = [row for row in standing if row.labels[0] not in gone]
        if before.captured_at != after.captured_at and kept:
            since = None if after.captured_at is None else micros(after.captured_at)
            final += [ending(row, at) for row in kept if row.starts < at]
            kept = [Row(row.ledger, row.labels, row.amount, at, None, (*row.attributes[:-1], since)) for row in kept]
        elif not new and not gone:
            return None
        return tuple(final), (*kept, *new)

    @staticmethod
    def _gone(moment: Moment, reached: dict[str | None, Row]) -> list[str]:
        """Those that no longer hold, or hold from another instant on."""
        before, after, body = moment.before, moment.after, moment.fact.body
        gone = []
        if before.captured_at != after.captured_at and "lead" in reached:
            gone.append("lead")
        if before.outcome == "won" and after.outcome != "won" and "customer" in reached:
            gone.append("customer")
        if after.delivered_at is None and "delivered" in reached:
            gone.append("delivered")
        if isinstance(body, HandoverAccepted) and "rejected" in reached:
            gone.append("rejected")
        if isinstance(body, HandoverRejected) and "accepted" in reached:
            gone.append("accepted")
        return gone

    def _reached(self, moment: Moment, reached: Container[str | None]) -> Iterator[tuple[str, datetime]]:
        """What this event brings about, or has brought about already: (name, when)."""
        before, after, fact = moment.before, moment.after, moment.fact
        if after.listed_at is not None and before.listed_at is None:
            yield "listed", after.listed_at
        if after.captured_at is not None:
            yield "lead", after.captured_at
            if after.standing not in ("void", "absorbed"):
                for name, definition in self._defined.get((after.pipeline or "", after.pipeline_version or 0), ()):
                    # a customer may be one again by the event that ends the first time
                    if (name not in reached or name == "customer") and _happens(definition, moment):
                        yield name, fact.at
        body = fact.body
        if isinstance(body, ActivityLogged):
            if body.direction == "out":
                yield "outbound", fact.at
        elif isinstance(body, Delivered):
            if after.delivered_at is not None:
                yield "delivered", fact.at
        elif isinstance(body, HandoverAccepted):
            yield "accepted", fact.at
        elif isinstance(body, HandoverRejected):
            yield "rejected", fact.at

    def _row(self, lead: Lead, name: str, when: datetime, at: int) -> Row:
        since = None if lead.captured_at is None else micros(lead.captured_at)
        labels = (name, *labels_of(lead, lead.value.currency if lead.value else None))
        return Row(self._ledger, labels, _NOTHING, at, None, (lead.account_id, micros(when), since))


def _definitions(pipeline: Pipeline) -> tuple[tuple[str, Definition], ...]:
    """What a pipeline means by the company's words."""
    return (
        ("mql", pipeline.mql),
        ("sql", pipeline.sql),
        ("opportunity", pipeline.opportunity or pipeline.sql),
        ("customer", pipeline.customer),
    )


def _happens(definition: Definition, moment: Moment) -> bool:
    """Whether the lead counts so by this event: a Won that took effect, an event of the type, or a stage entered."""
    before, after, fact = moment.before, moment.after, moment.fact
    if definition.event == "Won":
        return after.outcome == "won" and before.outcome != "won"
    if definition.event is not None:
        return fact.type == definition.event
    return after.stage == definition.stage and after.outcome != "lost"
