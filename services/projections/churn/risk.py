"""What speaks for it that a customer will leave, as known at an instant: one row per account and reason."""

from datetime import timedelta
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.churn.homes import homes
from services.projections.churn.ledgers import CASES, LINKS, PAYMENTS, SURVEYS
from services.projections.quadrant import LedgerTables, known, standing
from services.projections.query.metric import Asked, Reading

REASONS: Final = ("term_ends", "notice", "low_nps", "payment", "open_query", "segment")
ABOUT_REASONS: Final = (
    "term_ends: a term that ends within 90 days, or is over, without a renewal or upgrade cycle captured; notice: an end that lies "
    "ahead was told; low_nps: the latest NPS answer of somebody within 365 days is 6 or less; payment: one failed within 90 days and none "
    "came in since, or an invoice is overdue; open_query: a query is not resolved; segment: spells of its segment ended more than "
    "half as often again as all, per day, within 365 days (20 spells at least)."
)
_SOON: Final = timedelta(days=90)
_YEAR: Final = timedelta(days=365)
_LOW: Final = 6
_LEAST_SPELLS: Final = 20
_HOT: Final = 1.5


class Risk(NamedTuple):
    """`active`: rows (unit, by_<group_by> …, owner, segment) of what is active at as_of; `reasons`: rows (unit, reason), each once."""

    pieces: sa.CTE
    active: sa.CTE
    reasons: sa.CTE


async def risk(asked: Asked, reading: Reading) -> Risk:
    """Reads the hazard of segments first, which needs all accounts whatever the filter."""
    everyone = asked._replace(group_by=("segment",), filters={})
    hot = await _hot_segments(everyone, reading)
    shown = asked._replace(group_by=tuple(dict.fromkeys((*asked.group_by, "segment", "owner"))))
    of = accounts.pieces(shown, reading)
    c = of.c
    segment, owner = c[accounts.by("segment")], c[accounts.by("owner")]
    # an account stands in one spell at a time, so the dimensions are the same on all its pieces
    dimensions = [sa.func.min(c[accounts.by(name)]).label(accounts.by(name)) for name in asked.group_by]
    active = (
        sa.select(c.unit, *dimensions, sa.func.min(segment).label("segment"), sa.func.min(owner).label("owner"))
        .where(c.active, c.ends == accounts.FOREVER, *accounts.passing(shown, of))
        .group_by(c.unit)
        .cte("active")
    )
    home = homes(asked, "homes_of_risk")
    parts = [
        _named("term_ends", _terms(asked, of)),
        _named("notice", sa.select(c.unit).where(c.ends == accounts.FOREVER, c.requested_at < asked.as_of)),
        _named("low_nps", _low_nps(asked, home)),
        _named("payment", _failed(asked, home)),
        _named("payment", _overdue(asked, home)),
        _named("open_query", _of_leads(asked, CASES, home, standing(CASES, asked.as_of))),
        _named("segment", sa.select(active.c.unit).where(active.c.segment.in_(hot))),
    ]
    return Risk(of, active, sa.union(*parts).cte("reasons"))


def _named(reason: str, units: sa.Select[Any]) -> sa.Select[Any]:
    found = units.subquery()
    return sa.select(found.c[0].label("unit"), sa.literal(reason, sa.Text).label("reason"))


def _terms(asked: Asked, of: sa.CTE) -> sa.Select[Any]:
    c, link, label = of.c, LINKS.rows.c, LINKS.profiles.c
    renewing = sa.exists().where(
        link.partition == label.partition, link.profile == label.profile, label.kind.in_(("renewal", "upgrade")),
        link.origin == c.subject, known(LINKS, asked.known_at), standing(LINKS, asked.as_of),
    )  # fmt: skip
    return sa.select(c.unit).where(
        c.ends == accounts.FOREVER, c.term_end <= (asked.as_of + _SOON).date(), sa.not_(renewing)
    )


def _of_leads(asked: Asked, tables: LedgerTables, home: sa.CTE, *conditions: Any) -> sa.Select[Any]:
    row, label = tables.rows.c, tables.profiles.c
    return (
        sa.select(home.c.home)
        .join_from(home, tables.rows, sa.and_(home.c.partition == row.partition, home.c.subject == row.subject))
        .join(tables.profiles, sa.and_(row.partition == label.partition, row.profile == label.profile))
        .where(known(tables, asked.known_at), row.business_from < asked.as_of, *conditions)
    )


def _low_nps(asked: Asked, home: sa.CTE) -> sa.Select[Any]:
    row, label = SURVEYS.rows.c, SURVEYS.profiles.c
    place = sa.func.row_number().over(
        partition_by=(home.c.home, row.person), order_by=(row.business_from.desc(), row.recorded_from.desc(), row.number.desc())
    )  # fmt: skip
    answers = (
        _of_leads(
            asked,
            SURVEYS,
            home,
            label.what == "answered",
            label.kind == "nps",
            row.business_from >= asked.as_of - _YEAR,
        )
        .add_columns(row.score, place.label("place"))
        .subquery("latest_answers")
    )
    return sa.select(answers.c.home).where(answers.c.place == 1, answers.c.score <= _LOW)


def _failed(asked: Asked, home: sa.CTE) -> sa.Select[Any]:
    row, label = PAYMENTS.rows.c, PAYMENTS.profiles.c
    paid = _again(asked, "received", lambda other: other.business_from > row.business_from)
    return _of_leads(
        asked, PAYMENTS, home, label.what == "failed", row.business_from >= asked.as_of - _SOON, sa.not_(paid)
    )


def _overdue(asked: Asked, home: sa.CTE) -> sa.Select[Any]:
    row, label = PAYMENTS.rows.c, PAYMENTS.profiles.c
    paid = _again(asked, "received", lambda other: other.invoice_id == row.invoice_id)
    today = sa.cast(sa.func.timezone(asked.zone, sa.literal(asked.as_of, sa.TIMESTAMP(timezone=True))), sa.Date)
    return _of_leads(asked, PAYMENTS, home, label.what == "invoiced", row.due_on < today, sa.not_(paid))


def _again(asked: Asked, what: str, condition: Any) -> sa.ColumnElement[bool]:
    """Whether the lead of a payment row has another one that was known and told by as_of."""
    row = PAYMENTS.rows.c
    other, profile = PAYMENTS.rows.alias("other_payment"), PAYMENTS.profiles.alias("other_profile")
    o, at = other.c, asked.known_at
    is_known: sa.ColumnElement[bool] = o.recorded_to.is_(None)
    if at is not None:
        is_known = sa.and_(o.recorded_from < at, sa.or_(o.recorded_to.is_(None), o.recorded_to >= at))
    return sa.exists().where(
        o.partition == row.partition, o.subject == row.subject, o.business_from < asked.as_of, is_known,
        o.partition == profile.c.partition, o.profile == profile.c.profile, profile.c.what == what, condition(o),
    )  # fmt: skip


async def _hot_segments(asked: Asked, reading: Reading) -> list[str]:
    """Segments whose spells ended more often, per day under observation, than `_HOT` times those of all."""
    of = accounts.spells(asked, accounts.pieces(asked, reading))
    c = of.c
    since = asked.as_of - _YEAR
    lasted = sa.func.least(c.ends, asked.as_of) - sa.func.greatest(c.begins, since)
    rows = await reading.rows(
        sa.select(
            c[accounts.by("segment")].label("segment"), sa.func.count().label("n"),
            sa.func.count().filter(c.ends < accounts.FOREVER).label("ended"), sa.func.sum(sa.extract("epoch", lasted)).label("seconds"),
        )
        .where(c.ends >= since)
        .group_by(c[accounts.by("segment")])
    )  # fmt: skip
    ended, seconds = sum(row.ended for row in rows), sum(row.seconds for row in rows)
    return [
        row.segment
        for row in rows
        if row.segment is not None
        and row.n >= _LEAST_SPELLS
        and float(row.ended * seconds) > _HOT * float(row.seconds * ended)
    ]
