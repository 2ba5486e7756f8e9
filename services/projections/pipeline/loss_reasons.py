"""Loss reasons: why deals were lost, by the stage that they left."""

from typing import Any

import sqlalchemy as sa

from services.projections.pipeline.closed_deals import ATTRIBUTE_BY, OF_CLOSED, ClosedDeals
from services.projections.query.facts import gathered, money
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio


async def _answer(asked: Asked, reading: Reading) -> Answer:
    deals = ClosedDeals(asked, reading)
    facts = deals.facts
    value = facts.priced(facts.row.amount, facts.row.closed_at)
    query = facts.grouped(
        [*facts.keys(deals.at), facts.label.reason.label("reason"), facts.label.from_stage.label("from_stage")],
        currency=facts.currency(),
        n=sa.func.count(),
        amount=sa.func.sum(value),
        priced=sa.func.count(value),
    ).where(*deals.of_outcome("lost"))
    rows: list[Row] = []
    for key, parts in gathered(asked, await reading.rows(query)):
        lost = sum(part.n for part in parts)
        cells: dict[tuple[str | None, str | None], list[Any]] = {}
        for part in parts:
            cells.setdefault((part.reason, part.from_stage), []).append(part)
        ordered = sorted(cells, key=lambda cell: (-sum(part.n for part in cells[cell]), str(cell)))
        rows += ({**key, **_cell(*cell, cells[cell], lost)} for cell in ordered)
    return Answer(rows)


def _cell(reason: str | None, from_stage: str | None, parts: list[Any], lost: int) -> Row:
    known = sorted((part for part in parts if part.currency is not None), key=lambda part: part.currency)
    return {
        "reason": reason,
        "from_stage": from_stage,
        **ratio(sum(part.n for part in parts), lost),
        "lost_value": [money(part.amount, part.currency) for part in known if part.amount is not None],
        "value_unknown_n": sum(part.n for part in parts if part.currency is None),
        "unpriced_n": sum(part.n - part.priced for part in known),
    }


LOSS_REASONS = Metric(
    id="loss_reasons",
    version=1,
    title="Loss reasons",
    definition=(
        "The leads lost in the period, by their standing close, by the reason that was given and the stage that they left; the most "
        "frequent first. Value is the last open value. Voided and absorbed leads do not count."
    ),
    formula="lost for the reason from the stage / lost",
    columns={
        "reason": "why, as the loss says",
        "from_stage": "stage that the lead left",
        "numerator": "leads lost so",
        "denominator": "leads lost",
        "value": "share from 0 to 1",
        "lost_value": "amount for each currency",
        "value_unknown_n": "leads lost so without a value",
        "unpriced_n": "leads lost so whose value has no rate to the currency asked for",
    },
    time="period",
    dimensions=OF_CLOSED,
    answer=_answer,
    parameters=(ATTRIBUTE_BY,),
    money=True,
)
