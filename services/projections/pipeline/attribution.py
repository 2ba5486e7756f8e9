"""Which campaigns won a deal, and which of the deals brought a new customer."""

from typing import Any, Final

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, OUTCOMES, TOUCHES
from services.projections.pipeline.left_out import counts
from services.projections.query.facts import Facts
from services.projections.query.metric import Asked, Reading
from services.projections.query.parameters import choice
from services.projections.reference.ledgers import CAMPAIGNS

ATTRIBUTION: Final = choice(
    "attribution", "Which touches until the close a deal is owed to: the first, the last, all in equal parts; or the campaign that its "
    "capture names.", "first", "last", "linear", "capture",
)  # fmt: skip


def wins(asked: Asked, reading: Reading) -> sa.Subquery:
    """Rows (partition, subject, closed_at, campaign, currency, value, is_new) of the deals that stand won at as_of.

    `is_new`: it is the first of its account, which so became a customer; a lead without an account is an account of its own.
    `value` is what it closed at, in the currency asked for; NULL without a rate.
    """
    facts = Facts(OUTCOMES, asked, reading, at=OUTCOMES.rows.c.closed_at, latest=DEAL_INTERVALS)
    row = facts.row
    account = sa.func.coalesce(sa.literal("account/") + row.account, sa.literal("lead/") + row.subject)
    place = sa.func.row_number().over(partition_by=account, order_by=(row.closed_at, row.subject))
    value = facts.priced(row.close_value, row.closed_at, facts.label.close_currency)
    currency: Any = facts.label.close_currency
    if asked.rates is not None:
        currency = sa.case((value.is_not(None), asked.rates.currency), else_=None)
    columns = (
        row.partition, row.subject, row.closed_at, facts.label.campaign,
        currency.label("currency"), value.label("value"), (place == 1).label("is_new"),
    )  # fmt: skip
    won = facts.select(*columns, unfiltered=True).where(facts.stands(), counts(facts), facts.label.kind == "won")
    return won.subquery("wins")


def attributed(asked: Asked, reading: Reading) -> sa.Select[Any]:
    """Rows (period, campaign, channel, parts, currency, n, new, value): the deals won in each period by what they are owed to.

    A deal that is owed to `parts` touches stands once in each of their rows. `channel` is the campaign's own, else that of the touch.
    """
    won = wins(asked, reading)
    facts = Facts(OUTCOMES, asked, reading)
    within = facts.within(won.c.closed_at)
    opened = _channels(asked, reading)
    if asked.options["attribution"] == "capture":
        campaign: Any = won.c.campaign
        channel: Any = opened.c.channel
        parts: Any = sa.literal_column("1")
        source: Any = won
        owed = within
    else:
        touched = _touches(asked, reading, won)
        campaign, parts, source = touched.c.touched_by, touched.c.parts, touched
        channel = sa.func.coalesce(opened.c.channel, touched.c.touched_through)
        first, last = touched.c.place == 1, touched.c.place == touched.c.parts
        owed = {"first": first, "last": last, "linear": sa.true()}[asked.options["attribution"]]
        owed = sa.and_(owed, facts.within(touched.c.closed_at))
        if asked.options["attribution"] != "linear":
            parts = sa.literal_column("1")
    keys = [facts.period(source.c.closed_at).label("period"), campaign.label("campaign"), channel.label("channel"), parts.label("parts"), source.c.currency]  # fmt: skip
    counts = (
        sa.func.count().label("n"),
        sa.func.count().filter(source.c.is_new).label("new"),
        sa.func.sum(source.c.value).label("value"),
        sa.func.count().filter(source.c.value.is_(None)).label("unpriced"),
    )
    return (
        sa.select(*keys, *counts)
        .select_from(source.outerjoin(opened, opened.c.subject == sa.literal("campaign/") + campaign))
        .where(owed)
        .group_by(*(sa.literal_column(str(place)) for place in range(1, len(keys) + 1)))
    )


def _touches(asked: Asked, reading: Reading, won: sa.Subquery) -> sa.Subquery:
    """Each win with each of its touches until the close, `place` of `parts`; once without any."""
    facts = Facts(TOUCHES, asked, reading)
    row, label = facts.row, facts.label
    touch = facts.select(
        row.partition, row.subject, row.business_from, row.touch, label.touched_by, label.touched_through, unfiltered=True
    ).where(row.business_from < asked.as_of).subquery("touches")  # fmt: skip
    on = sa.and_(
        touch.c.partition == won.c.partition, touch.c.subject == won.c.subject, touch.c.business_from <= won.c.closed_at
    )
    deal = (won.c.partition, won.c.subject)
    place = sa.func.row_number().over(partition_by=deal, order_by=touch.c.touch)
    parts = sa.func.greatest(sa.func.count(touch.c.subject).over(partition_by=deal), 1)
    return (
        sa.select(*won.c, touch.c.touched_by, touch.c.touched_through, place.label("place"), parts.label("parts"))
        .select_from(won.outerjoin(touch, on))
        .subquery("touched")
    )


def _channels(asked: Asked, reading: Reading) -> sa.Subquery:
    """(subject, channel) of each campaign that was opened by as_of."""
    facts = Facts(CAMPAIGNS, asked, reading)
    return (
        facts.select(facts.row.subject, facts.label.channel, unfiltered=True).where(facts.stands()).subquery("opened")
    )
