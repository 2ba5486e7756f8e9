"""What the list of customers at risk was worth: held against who left afterwards."""

from datetime import timedelta

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.churn.risk import ABOUT_REASONS, REASONS, risk
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import whole


async def _answer(asked: Asked, reading: Reading) -> Answer:
    at, days = asked.as_of, asked.options["days"]
    known_then = at if asked.known_at is None else min(at, asked.known_at)
    found = await risk(asked._replace(known_at=known_then), reading)
    keys = accounts.keys(asked, found.active)
    rows = await reading.rows(
        sa.select(*keys, found.active.c.unit, found.reasons.c.reason).select_from(
            found.active.outerjoin(found.reasons, found.active.c.unit == found.reasons.c.unit)
        )
    )
    groups: dict[tuple[str | None, ...], list[tuple[str, str | None]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[:-2]), []).append((row.unit, row.reason))
    until = at + timedelta(days=days)
    later = asked._replace(as_of=until, group_by=(), filters={})
    spells = accounts.spells(later, accounts.pieces(later, reading)).c
    ended = await reading.rows(sa.select(spells.unit).distinct().where(spells.ends >= at, spells.ends < until))
    left = {row.unit for row in ended}
    notes = () if until <= asked.now else (f"The {days} days are not over: who leaves later is not counted yet.",)
    shown = [
        {**dict(zip(asked.group_by, group, strict=True)), **row}
        for group in accounts.in_order(list(groups))
        for row in _rows(groups[group], left)
    ]
    return Answer(shown, notes=notes)


def _rows(found: list[tuple[str, str | None]], left: set[str]) -> list[Row]:
    active = {unit for unit, _ in found}
    flagged = {"any": {unit for unit, reason in found if reason is not None}}
    for each in REASONS:
        flagged[each] = {unit for unit, reason in found if reason == each}
    return [_row(reason, units, active, left & active) for reason, units in flagged.items()]


def _row(reason: str, flagged: set[str], active: set[str], left: set[str]) -> Row:
    right = len(flagged & left)
    precision, base = ratio(right, len(flagged)), ratio(len(left), len(active))
    lift = precision["value"] / base["value"] if precision["value"] is not None and base["value"] else None
    return {
        "reason": reason,
        "precision": precision,
        "recall": ratio(right, len(left)),
        "base_rate": base,
        "lift": lift,
    }


AT_RISK_BACKTEST = Metric(
    id="at_risk_backtest",
    version=1,
    title="Back-test of the customers at risk",
    definition=(
        "The list at_risk as it was known at as_of, held against the accounts of those active then whose spell ended within the days "
        "after it, as known at known_at: precision is the share of the list that left, recall the share of the leavers that were on it, "
        "lift the precision over the share of all active accounts that left. For the list as a whole (any) and for each reason. "
        + ABOUT_REASONS + " " + accounts.ABOUT_ACCOUNTS
    ),
    formula="precision = flagged and left / flagged; recall = flagged and left / left; lift = precision / (left / active)",
    columns={
        "reason": "any, or one of the reasons",
        "precision": "flagged accounts that left / flagged accounts",
        "recall": "flagged accounts that left / accounts that left",
        "base_rate": "accounts that left / active accounts",
        "lift": "precision / base rate; null where either is",
    },
    time="instant",
    dimensions=accounts.OF_ACCOUNTS,
    answer=_answer,
    parameters=(whole("days", "How long after as_of a leaver counts.", 90, 1, 730), accounts.ACTIVE_BY),
    models=("churn",),
)  # fmt: skip
