"""Logo churn: which share of the customers that were active left, by the definition of several houses."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.query.facts import of_period
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import choice

_TRAILING: Final = timedelta(days=30)
_COUNTS: Final = ("active_at_start", "churned", "new_and_gone", "won_or_back", "ended", "came_within", "left_within")


async def _answer(asked: Asked, reading: Reading) -> Answer:
    edges = accounts.edges(asked)
    pairs = list(pairwise(edges))
    if asked.options["method"] in ("stripe", "baremetrics"):
        pairs = [(until - _TRAILING, until) for _, until in pairs]
    rows = await reading.rows(_counted(asked, accounts.spells(asked, accounts.pieces(asked, reading)), pairs))
    return Answer([
        {
            **of_period(asked, period), **dict(zip(asked.group_by, group, strict=True)),
            **_row(asked, row),
        }
        for period, group, row in accounts.every_period(asked, rows)
    ])  # fmt: skip


def _counted(asked: Asked, of: sa.CTE, pairs: Sequence[tuple[datetime, datetime]]) -> sa.Select[Any]:
    """Rows (k, <group_by>, the counts): spells that touch each stretch of time, first by unit, then added."""
    spell, window = of.c, accounts.windows(pairs)
    keys = accounts.keys(asked, of)
    in_it = sa.and_(spell.ends >= window.c.since, spell.ends < window.c.until)
    units = (
        sa.select(
            window.c.k, *keys, spell.unit,
            sa.func.bool_or(spell.begins < window.c.since).label("at_start"),
            sa.func.bool_or(spell.ends >= window.c.until).label("at_end"),
            sa.func.bool_or(spell.begins >= window.c.since).label("began"),
            sa.func.count().filter(in_it).label("ends"),
        )
        .join_from(of, window, sa.and_(spell.begins < window.c.until, spell.ends >= window.c.since))
        .where(*accounts.passing(asked, of))
        .group_by(window.c.k, *keys, spell.unit)
        .cte("units")
    )  # fmt: skip
    u = units.c
    without_start, without_end = sa.not_(u.at_start), sa.not_(u.at_end)
    counts: dict[str, Any] = {
        "active_at_start": sa.func.count().filter(u.at_start),
        "churned": sa.func.count().filter(u.at_start, without_end),
        "new_and_gone": sa.func.count().filter(without_start, without_end, u.began),
        "won_or_back": sa.func.count().filter(without_start, u.at_end),
        "ended": sa.func.sum(u.ends),
        "came_within": sa.func.count().filter(without_start, u.began),
        "left_within": sa.func.count().filter(u.ends > 0),
    }
    groups = [u.k, *(u[accounts.by(name)] for name in asked.group_by)]
    return sa.select(*groups, *(count.label(name) for name, count in counts.items())).group_by(*groups)


def _row(asked: Asked, row: Any) -> Row:
    n: dict[str, int] = {name: 0 if row is None else int(getattr(row, name)) for name in _COUNTS}
    numerator, denominator = {
        "start": (n["churned"], n["active_at_start"]),
        "flow": (n["ended"], n["active_at_start"]),
        "stripe": (n["ended"], n["active_at_start"] + n["came_within"]),
        "baremetrics": (n["left_within"], n["active_at_start"]),
    }[asked.options["method"]]
    shown = ("active_at_start", "churned", "new_and_gone", "won_or_back", "ended")
    return {**{name: n[name] for name in shown}, **ratio(numerator, denominator)}


LOGO_CHURN = Metric(
    id="logo_churn",
    version=1,
    title="Logo churn",
    definition=(
        "Of the accounts active at the start of the period, the share that is not active at its end (method=start): who left "
        "and came back counts as kept, who came and left within the period is shown apart in new_and_gone. method=flow: ends within "
        "the period / active at its start. method=stripe: ends within the 30 days before the end of the period / (active 30 "
        "days before it + those that came within), a second end counts again. method=baremetrics: accounts that left within "
        "those 30 days, those who came within included / active 30 days before. An end counts when service ends, or with "
        "recognise=request when it was asked for; a notice that was taken back never counts. A contract that ends at the instant of "
        "its start came and left then, unless the account has another one that runs. "
        + accounts.ABOUT_ACCOUNTS
    ),
    formula="active at start and inactive at end / active at start",
    columns={
        "active_at_start": "accounts active when the stretch of time that the method looks at begins",
        "churned": "of those, accounts that are not active when it ends",
        "new_and_gone": "accounts active at neither, and in between",
        "won_or_back": "accounts active at its end and not at its start",
        "ended": "ends of spells within it; an account may have several",
        "numerator": "by the method",
        "denominator": "by the method",
        "value": "share; null where the denominator is 0",
    },
    time="period",
    dimensions=accounts.OF_ACCOUNTS,
    answer=_answer,
    parameters=(
        choice("method", "Whose definition.", "start", "flow", "stripe", "baremetrics"),
        accounts.UNIT,
        accounts.PAID,
        accounts.ACTIVE_BY,
        accounts.RECOGNISE,
        accounts.MERGE_GAP,
    ),
    models=("churn",),
)  # fmt: skip
