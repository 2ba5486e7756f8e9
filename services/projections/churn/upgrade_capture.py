"""Upgrade capture: of the offers that fell due, how many became a new cycle that was won."""

from typing import Any, Final

import sqlalchemy as sa

from services.projections.churn.ledgers import LINKS, UPGRADES
from services.projections.churn.told import every_period, facts_of, happened
from services.projections.quadrant import known, standing
from services.projections.query.facts import OF_LEADS
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio

_AFTER_TERM: Final[sa.ColumnElement[Any]] = sa.literal_column("interval '90 days'")
_AFTER_DUE: Final[sa.ColumnElement[Any]] = sa.literal_column("interval '180 days'")
_KINDS: Final = ("upgrade", "renewal", "displacement")


async def _answer(asked: Asked, reading: Reading) -> Answer:
    rows = await reading.rows(_counted(asked, _offers(asked, reading)))
    return Answer([{**key, **_row(parts[0] if parts else None)} for key, parts in every_period(asked, rows)])


def _offers(asked: Asked, reading: Reading) -> sa.CTE:
    """Rows (period, by_…, subject, status, told_at, new_lead, term_over, mature_at): each offer as it stood last before as_of."""
    facts = facts_of(UPGRADES, asked, reading)
    row = facts.row
    one = (row.partition, row.subject, sa.func.coalesce(row.contract_id, ""), row.due_at)
    place = sa.func.row_number().over(partition_by=one, order_by=(row.business_from.desc(), row.number.desc()))
    told_at = sa.func.min(row.business_from).over(partition_by=one)
    # a term is a day without a zone: it is over with that day in UTC
    term_over = sa.func.timezone("UTC", sa.cast(row.term_end + 1, sa.TIMESTAMP))
    mature_at = sa.func.coalesce(term_over + _AFTER_TERM, row.due_at + _AFTER_DUE)
    found = facts.select(
        *facts.keys(row.due_at), row.subject, facts.label.status, told_at.label("told_at"), row.new_lead,
        term_over.label("term_over"), mature_at.label("mature_at"), place.label("place"),
    ).where(facts.within(row.due_at), *happened(facts)).cte("told_offers")  # fmt: skip
    return sa.select(*(each for each in found.c if each.name != "place")).where(found.c.place == 1).cte("offers")


def _counted(asked: Asked, offers: sa.CTE) -> sa.Select[Any]:
    offer, link, label = offers.c, LINKS.rows.c, LINKS.profiles.c
    grown = (
        sa.select(link.subject, link.origin, link.captured_at, link.won_at, label.kind)
        .join_from(
            LINKS.rows, LINKS.profiles, sa.and_(link.partition == label.partition, link.profile == label.profile)
        )
        .where(known(LINKS, asked.known_at), standing(LINKS, asked.as_of))
        .cte("grown")
    )
    g = grown.c
    follows = sa.or_(
        g.subject == offer.new_lead,
        sa.and_(
            offer.new_lead.is_(None),
            g.origin == offer.subject,
            g.kind.in_(_KINDS),
            g.captured_at >= offer.told_at,
            g.captured_at < offer.mature_at,
        ),
    )
    opened = sa.exists().where(follows)
    in_time = sa.exists().where(follows, g.captured_at < offer.term_over)
    captured = sa.exists().where(follows, g.won_at < asked.as_of)
    judged = sa.select(
        *offer, opened.label("opened"), in_time.label("in_time"), captured.label("captured"),
        (offer.mature_at <= asked.as_of).label("matured"),
    ).cte("judged")  # fmt: skip
    j = judged.c
    keys = [j.period, *(j[f"by_{name}"] for name in asked.group_by)]
    counts: dict[str, Any] = {
        "due": sa.func.count(),
        "matured": sa.func.count().filter(j.matured),
        "captured": sa.func.count().filter(j.matured, j.captured),
        "captured_early": sa.func.count().filter(sa.not_(j.matured), j.captured),
        "renewed": sa.func.count().filter(j.status == "renewed"),
        "accepted": sa.func.count().filter(j.status == "accepted"),
        "declined": sa.func.count().filter(j.status == "declined"),
        "with_term": sa.func.count().filter(j.opened, j.term_over.is_not(None)),
        "in_time": sa.func.count().filter(j.in_time),
    }
    return sa.select(*keys, *(count.label(name) for name, count in counts.items())).group_by(*keys)


def _row(row: Any) -> Row:
    def n(name: str) -> int:
        return 0 if row is None else int(getattr(row, name))

    return {
        "due": n("due"),
        "pending": n("due") - n("matured"),
        **ratio(n("captured"), n("matured")),
        **{name: n(name) for name in ("captured_early", "accepted", "declined", "renewed")},
        "opened_before_term_end": ratio(n("in_time"), n("with_term")),
    }


UPGRADE_CAPTURE = Metric(
    id="upgrade_capture",
    version=1,
    title="Upgrade capture",
    definition=(
        "Of the upgrades that fell due in the period (due_at of UpgradeDue) and have had their time, 90 days past the end of the term, "
        "or 180 days past due_at where no term is known, the share that became a won new cycle: the lead that UpgradeAccepted names, "
        "else one with this lead as its origin, of the kind upgrade, renewal or displacement, captured since the offer was told. "
        "Those that still have time are pending and in neither part; captured_early counts the won ones among them. A contract that was "
        "prolonged by ContractRenewed is retained, not captured, and shown apart. Dimensions are those of the lead at the last word "
        "on the offer."
    ),
    formula="matured and followed by a won new cycle / matured",
    columns={
        "due": "upgrades due in the period",
        "pending": "of those, upgrades that still have time at as_of",
        "numerator": "matured, and a new cycle won by as_of",
        "denominator": "matured",
        "value": "share; null where none has matured",
        "captured_early": "pending, and a new cycle is won already",
        "accepted": "upgrades with UpgradeAccepted",
        "declined": "upgrades with UpgradeDeclined",
        "renewed": "upgrades whose contract was renewed instead",
        "opened_before_term_end": "of the new cycles of offers with a known term, the share captured before it was over",
    },
    time="period",
    dimensions=(*OF_LEADS, "basis"),
    answer=_answer,
    models=("churn",),
)
