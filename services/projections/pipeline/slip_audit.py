"""Slip and regress audit: every backward move and every expected close that was put off, and by whom."""

from typing import Final

from services.projections.pipeline.deal_list import page, turned_over
from services.projections.pipeline.ledgers import DEAL_INTERVALS, SLIPS
from services.projections.query.facts import OF_LEADS, Facts
from services.projections.query.metric import Answer, Asked, Metric, Reading
from services.projections.query.parameters import choice

_KIND: Final = choice("kind", "Of which slips.", "all", "stage", "close")


async def _answer(asked: Asked, reading: Reading) -> Answer:
    facts = Facts(SLIPS, asked, reading, latest=DEAL_INTERVALS)
    row, label = facts.row, facts.label
    wanted = [] if asked.options["kind"] == "all" else [label.kind == asked.options["kind"]]
    query = facts.select(
        row.subject, row.business_from, label.kind, label.from_stage, label.to_stage, label.owner, row.account,
        row.from_day, row.to_day, row.days, row.reason_given, row.recorded_from,
    ).where(facts.within(), row.business_from < asked.as_of, *wanted)  # fmt: skip
    rows, next_after = turned_over(asked, await reading.rows(page(asked, facts, query, at=row.business_from)))
    return Answer(
        [
            {
                "lead": each.subject,
                "at": each.business_from,
                "kind": each.kind,
                "from_stage": each.from_stage,
                "to_stage": each.to_stage,
                "owner": each.owner,
                "account": each.account,
                "from_day": None if each.from_day is None else each.from_day.isoformat(),
                "to_day": None if each.to_day is None else each.to_day.isoformat(),
                "days": each.days,
                "reason_given": bool(each.reason_given),
                "recorded_at": each.recorded_from,
            }
            for each in rows
        ],
        next_after=next_after,
    )


SLIP_AUDIT = Metric(
    id="slip_audit",
    version=1,
    title="Slip and regress audit",
    definition=(
        "Every step of an open lead to an earlier stage of its pipeline, and every expected close that was put off to a later day, in "
        "the period, the latest first; owner and other dimensions as they were then. Why is free text about people: it stays in the "
        "log, where it can be erased, and reason_given says whether there is any: it stands in the lead's own timeline."
    ),
    formula="list",
    columns={
        "lead": "identifier of the lead",
        "at": "when it happened",
        "kind": "stage (a step back) or close (put off)",
        "from_stage": "stage before; of a close, where the lead stood",
        "to_stage": "stage after; of a close, where the lead stood",
        "owner": "who was responsible then",
        "account": "company",
        "from_day": "expected close before",
        "to_day": "expected close after",
        "days": "by how many days it was put off",
        "reason_given": "whether a reason was written down",
        "recorded_at": "when this was known",
    },
    time="period",
    dimensions=(*OF_LEADS, "from_stage", "to_stage"),
    answer=_answer,
    parameters=(_KIND,),
    listed=True,
)
