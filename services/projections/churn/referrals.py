"""Referral yield: what customers' recommendations become."""

import sqlalchemy as sa

from services.projections.churn.ledgers import LINKS, REFERRALS
from services.projections.churn.told import every_period, facts_of, happened
from services.projections.query.facts import OF_LEADS
from services.projections.query.metric import Answer, Asked, Metric, Reading, ratio


async def _answer(asked: Asked, reading: Reading) -> Answer:
    made = facts_of(REFERRALS, asked, reading)
    told = made.grouped(made.keys(), made=sa.func.count()).where(made.within(), *happened(made))
    link = facts_of(LINKS, asked, reading)
    at = link.row.captured_at
    grown = link.grouped(
        link.keys(at),
        captured=sa.func.count(),
        won=sa.func.count().filter(link.row.won_at < asked.as_of),
    ).where(link.row.referrer.is_not(None), link.stands(), link.within(at))
    width = 1 + len(asked.group_by)
    rows = [(*row[:width], row.made, 0, 0) for row in await reading.rows(told)]
    rows += [(*row[:width], 0, row.captured, row.won) for row in await reading.rows(grown)]
    found = []
    for key, parts in every_period(asked, rows):
        n, captured, won = (sum(part[width + place] for part in parts) for place in range(3))
        found.append(
            {
                **key,
                "made": n,
                "captured": captured,
                "won": won,
                **ratio(won, captured),
                "per_referral": ratio(captured, n),
            }
        )
    return Answer(found)


REFERRAL_YIELD = Metric(
    id="referral_yield",
    version=1,
    title="Referral yield",
    definition=(
        "Referrals that customers made in the period (ReferralMade), leads captured in it that name the lead that referred them, and how "
        "many of those are won by as_of. A lead may be captured in a later period than its referral was made. "
        "Dimensions of what was made are those of the lead that referred, of what was captured and won those of the new lead. Voided and absorbed leads do not count."
    ),
    formula="won / captured; captured / made",
    columns={
        "made": "referrals made in the period",
        "captured": "referred leads captured in the period",
        "won": "of those, leads won by as_of",
        "numerator": "won",
        "denominator": "captured",
        "value": "share; null where none was captured",
        "per_referral": "captured / made",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
    models=("churn",),
)  # fmt: skip
