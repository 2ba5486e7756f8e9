"""Survival: how long customers stay, when most of them have not left yet."""

import re
from typing import Any, Final

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.estimators.survival import Survival, kaplan_meier
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import Parameter, choice, flag

_LAST_MOMENT: Final[sa.ColumnElement[Any]] = sa.literal_column("interval '1 microsecond'")


def _ages(text: str) -> tuple[int, ...]:
    found = text.split(",")
    if len(found) > 100 or not all(re.fullmatch(r"[0-9]{1,5}", each) for each in found):
        raise ValueError("must be up to 100 numbers of days with commas, such as 30,60,90.")
    return tuple(map(int, found))


async def _answer(asked: Asked, reading: Reading) -> Answer:
    rows = await reading.rows(_observed(asked, accounts.spells(asked, accounts.pieces(asked, reading))))
    width = len(asked.group_by)
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        groups.setdefault(tuple(row[:width]), []).append(row)
    found = []
    for group in accounts.in_order(list(groups)):
        curve = kaplan_meier((row.entry, row.leaving, row.ended, row.n) for row in groups[group])
        found.append({**dict(zip(asked.group_by, group, strict=True)), **_row(asked, curve)})
    return Answer(found)


def _observed(asked: Asked, of: sa.CTE) -> sa.Select[Any]:
    """Rows (<group_by>, entry, leaving, ended, n): ages in calendar days of the zone."""
    c = of.c

    def day(instant: Any) -> Any:
        return sa.cast(sa.func.timezone(asked.zone, instant), sa.Date)

    ended = c.ends < accounts.FOREVER
    last_seen = sa.literal(asked.as_of, sa.TIMESTAMP(timezone=True)) - _LAST_MOMENT
    start = sa.func.least(c.spell_from, c.begins)
    entry = day(c.begins) - day(start)
    leaving = day(sa.case((ended, c.ends), else_=last_seen)) - day(start)
    keys = accounts.keys(asked, of)
    first = [c.number == 1] if asked.options["spells"] == "first" else []
    columns = [*keys, entry.label("entry"), leaving.label("leaving"), ended.label("ended")]
    places: list[Any] = [sa.literal_column(str(number)) for number in range(1, len(columns) + 1)]
    return sa.select(*columns, sa.func.count().label("n")).where(*first, *accounts.passing(asked, of)).group_by(*places)


def _row(asked: Asked, curve: Survival) -> Row:
    points = [
        {
            "age_days": age, "at_risk": curve.at_risk[place], "ended": curve.ended[place], "censored": curve.censored[place],
            "survival": curve.survival[place], "lower": curve.lower[place], "upper": curve.upper[place],
        }
        for place, age in enumerate(curve.ages)
    ]  # fmt: skip
    return {
        "n": sum(curve.ended) + sum(curve.censored) + curve.unseen,
        "ended": sum(curve.ended),
        "unseen": curve.unseen,
        "median_days": curve.median,
        "at": [_at(curve, age) for age in asked.options["ages"]],
        **({"curve": points} if asked.options["curve"] else {}),
    }


def _at(curve: Survival, age: int) -> Row:
    known = curve.at(age)
    reached = [place for place, each in enumerate(curve.ages) if each <= age]
    lower, upper = (curve.lower[reached[-1]], curve.upper[reached[-1]]) if reached else (1.0, 1.0)
    return {
        "age_days": age,
        "survival": known,
        "lower": None if known is None else lower,
        "upper": None if known is None else upper,
    }


SURVIVAL = Metric(
    id="survival",
    version=1,
    title="Survival of customers",
    definition=(
        "The share of accounts that stay active longer than so many days, by the estimator of Kaplan and Meier. A spell begins "
        "when the account becomes active and ends when it is no longer; the age is counted in calendar days of the zone, so an end on the day of the "
        "start is an end at age 0. Whoever is active at as_of is censored at the age of the last moment before it. Ends come before "
        "censorings of the same age. A customer who was taken over while its contract ran is under observation only from then on "
        "(left truncation): its age counts from the start that was told. The interval is Greenwood's on the log-log scale, at 95 %. "
        "spells=first takes the first spell of each account, spells=all every one. "
        + accounts.ABOUT_ACCOUNTS
    ),
    formula="S(t) = product over ages u <= t of (1 - ended(u) / at_risk(u))",
    columns={
        "n": "spells",
        "ended": "spells that ended by as_of",
        "unseen": "spells that ended on the day on which observation began: they are never at risk",
        "median_days": "the smallest age that half of them do not outlast; null where the curve does not come down to it",
        "at": "S and its interval at the ages asked for; null past the last age seen",
        "curve": "with curve=true: every age at which a spell ended or was censored",
    },
    time="instant",
    dimensions=accounts.OF_ACCOUNTS,
    answer=_answer,
    parameters=(
        choice("spells", "Which spells of an account.", "first", "all"),
        Parameter("ages", "Ages at which to tell S, in days, with commas.", "30,60,90,180,365", _ages),
        flag("curve", "Tell the whole curve."),
        accounts.UNIT,
        accounts.PAID,
        accounts.ACTIVE_BY,
        accounts.RECOGNISE,
        accounts.MERGE_GAP,
    ),
    models=("churn",),
)  # fmt: skip
