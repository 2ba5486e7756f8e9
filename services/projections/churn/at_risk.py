"""Customers at risk: who may leave, and what speaks for it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.projections.churn import accounts
from services.projections.churn.amounts import added, listed, priced
from services.projections.churn.risk import ABOUT_REASONS, REASONS, risk
from services.projections.query.metric import Answer, Asked, Metric, Reading
from services.projections.query.parameters import choice


async def _answer(asked: Asked, reading: Reading) -> Answer:
    found = await risk(asked, reading)
    active, reason = found.active.c, found.reasons.c
    n = sa.func.count()
    reasons = sa.func.array_agg(reason.reason, type_=ARRAY(sa.Text))
    query = sa.select(active.unit, active.owner, active.segment, n.label("n"), reasons.label("reasons")).join_from(
        found.active, found.reasons, active.unit == reason.unit
    )
    query = query.group_by(active.unit, active.owner, active.segment)
    if asked.options["reason"] != "any":
        query = query.having(sa.func.bool_or(reason.reason == asked.options["reason"]))
    if asked.after is not None:
        count, unit = asked.after
        query = query.having(
            sa.or_(n < sa.literal(count), sa.and_(n == sa.literal(count), active.unit > sa.literal(unit)))
        )
    rows = await reading.rows(query.order_by(n.desc(), active.unit).limit(asked.limit + 1))
    shown = rows[: asked.limit]
    money = await _money(reading, found.pieces, [row.unit for row in shown])
    return Answer(
        [
            {
                "account": row.unit, "owner": row.owner, "segment": row.segment,
                "reasons": [each for each in REASONS if each in row.reasons],
                "mrr": listed(priced(asked, money.get(row.unit, {}), asked.as_of)),
            }
            for row in shown
        ],
        next_after=[shown[-1].n, shown[-1].unit] if len(rows) > asked.limit else None,
    )  # fmt: skip


async def _money(reading: Reading, of: sa.CTE, units: list[str]) -> dict[str, dict[str, Any]]:
    c = of.c
    rows = await reading.rows(
        sa.select(c.unit, c.currency, sa.func.sum(c.mrr).label("mrr"))
        .where(c.ends == accounts.FOREVER, c.mrr != 0, c.unit == sa.any_(sa.literal(units, ARRAY(sa.Text))))
        .group_by(c.unit, c.currency)
    )
    return {unit: added((row.currency, row.mrr) for row in rows if row.unit == unit) for unit in units}


AT_RISK = Metric(
    id="at_risk",
    version=1,
    title="Customers at risk",
    definition=(
        "Accounts active at as_of for which something speaks that they may leave, those with the most reasons first. " + ABOUT_REASONS
        + " " + accounts.ABOUT_ACCOUNTS
    ),
    formula="active at as_of and at least one reason",
    columns={
        "account": "account/<id>, or lead/<id> where the lead has no account",
        "owner": "owner of the contract that began first in the current spell",
        "segment": "its segment",
        "reasons": f"of: {', '.join(REASONS)}",
        "mrr": "what it brings by the month, for each currency",
    },
    time="instant",
    dimensions=accounts.OF_ACCOUNTS,
    answer=_answer,
    parameters=(choice("reason", "Only those with this reason.", "any", *REASONS), accounts.ACTIVE_BY),
    models=("churn",),
    money=True,
    listed=True,
)  # fmt: skip
