"""Win/loss review: each closed deal with what happened on its way."""

from collections import defaultdict
from typing import Any, Final

import sqlalchemy as sa

from services.projections.pipeline.closed_deals import OF_CLOSED, ClosedDeals
from services.projections.pipeline.deal_list import page, turned_over
from services.projections.pipeline.ledgers import ACTIVITIES, CONTENTS, OBJECTIONS, VISITS
from services.projections.pipeline.visits import SKIPPED
from services.projections.quadrant import LedgerTables, known
from services.projections.query.facts import money
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import choice

_OUTCOME: Final = choice("outcome", "Of which closed deals.", "all", "won", "lost")
_Deal = tuple[int, str]
"""(partition, subject)"""


async def _answer(asked: Asked, reading: Reading) -> Answer:
    deals = ClosedDeals(asked, reading)
    facts = deals.facts
    row, label = facts.row, facts.label
    query = facts.select(
        row.partition, row.subject, label.kind, label.reason, label.from_stage, label.competitor, label.owner, row.account,
        label.pipeline, label.pipeline_version, label.product, label.currency, row.amount, label.close_currency, row.close_value,
        row.captured_at, row.closed_at, row.cycle_days,
    ).where(*deals.of_outcome(asked.options["outcome"]))  # fmt: skip
    found, next_after = turned_over(asked, await reading.rows(page(asked, facts, query, at=row.closed_at)))
    of_page = [(each.partition, each.subject) for each in found]
    told = {
        tables: await _of_deals(asked, reading, tables, of_page)
        for tables in (VISITS, OBJECTIONS, CONTENTS, ACTIVITIES)
    }
    rows = []
    for each in found:
        deal = (each.partition, each.subject)
        until = each.closed_at
        visits, objections, contents, activities = (
            [part for part in of_ledger[deal] if part.business_from <= until] for of_ledger in told.values()
        )
        rows.append({
            **_deal(each),
            "stages": [
                {
                    "stage": part.stage, "entered_at": part.business_from, "days": part.days, "left_to": part.left_to,
                    "direction": part.direction,
                }
                for part in visits
                if part.direction != SKIPPED
            ],
            "objections": [
                {
                    "category": part.kind, "stage": part.stage, "raised_at": part.business_from,
                    "resolved": part.answer is not None and part.business_to < asked.as_of, "days": part.days,
                }
                for part in objections
            ],
            "content": [
                {"content_id": part.content_id, "channel": part.channel, "stage": part.stage, "at": part.business_from}
                for part in contents
            ],
            "activities": len(activities),
        })  # fmt: skip
    return Answer(rows, next_after=next_after)


def _deal(each: Any) -> Row:
    return {
        "lead": each.subject,
        "outcome": each.kind,
        "closed_at": each.closed_at,
        "captured_at": each.captured_at,
        "cycle_days": each.cycle_days,
        "reason": each.reason,
        "from_stage": each.from_stage,
        "competitor": each.competitor,
        "owner": each.owner,
        "account": each.account,
        "pipeline": each.pipeline,
        "pipeline_version": each.pipeline_version,
        "product": each.product,
        "last_open_value": money(each.amount, each.currency),
        "close_value": money(each.close_value, each.close_currency),
    }


async def _of_deals(
    asked: Asked, reading: Reading, tables: LedgerTables, deals: list[_Deal]
) -> defaultdict[_Deal, list[Any]]:
    """The rows of a ledger of these deals, in the order of time."""
    told: defaultdict[_Deal, list[Any]] = defaultdict(list)
    if not deals:
        return told
    row, label = tables.rows.c, tables.profiles.c
    extra = [row[name] for name, _ in tables.ledger.attributes if name in ("days", "content_id", "visit")]
    own = [label[name] for name in tables.ledger.labels if name in _LABELS]
    query = (
        sa.select(row.partition, row.subject, row.business_from, row.business_to, *own, *extra)
        .join_from(
            tables.rows, tables.profiles, sa.and_(row.partition == label.partition, row.profile == label.profile)
        )
        .where(
            sa.tuple_(row.partition, row.subject).in_(deals),
            known(tables, asked.known_at),
            row.business_from < asked.as_of,
        )
        .order_by(row.business_from, row.number)
    )
    for each in await reading.rows(query):
        told[each.partition, each.subject].append(each)
    return told


_LABELS: Final = frozenset({"stage", "left_to", "direction", "kind", "answer", "channel"})

WIN_LOSS_REVIEW = Metric(
    id="win_loss_review",
    version=1,
    title="Win/loss review",
    definition=(
        "Each lead closed in the period, by its standing close, the latest first, with what happened until then: the stages and how long it "
        "stayed in each, objections by stage and category and whether they were resolved, content that was shared, how many "
        "activities there were, and the competitor and reason. Voided and absorbed leads are left out. "
        "The table of loss reasons by stage is `loss_reasons`."
    ),
    formula="list",
    columns={
        "lead": "identifier of the lead",
        "outcome": "won or lost",
        "closed_at": "when it closed",
        "captured_at": "when it was captured",
        "cycle_days": "whole days between; negative where the close came first",
        "reason": "why it was lost",
        "from_stage": "stage that it left",
        "competitor": "who else was in the race",
        "owner": "who was responsible at the close",
        "account": "company",
        "pipeline": "pipeline at the close",
        "pipeline_version": "version of it",
        "product": "product",
        "last_open_value": "last open value; null where it is unknown",
        "close_value": "value of the win",
        "stages": "visits in order: stage, entered_at, days, left_to, direction",
        "objections": "category, stage, raised_at, resolved, days until it was",
        "content": "content_id, channel, stage, at",
        "activities": "activities logged until the close",
    },
    time="period",
    dimensions=OF_CLOSED,
    answer=_answer,
    parameters=(_OUTCOME,),
    listed=True,
)
