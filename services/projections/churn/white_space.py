"""White space: products that an account does not have, and that accounts like it do."""

from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.query.metric import Answer, Asked, Metric, Reading, ratio
from services.projections.query.parameters import choice, whole


async def _answer(asked: Asked, reading: Reading) -> Answer:
    like = accounts.by(asked.options["like"])
    shown = asked._replace(group_by=(asked.options["like"], "owner"))
    of = accounts.pieces(shown, reading)
    c = of.c
    now = [c.ends == accounts.FOREVER, c[like].is_not(None)]
    have = (
        sa.select(c.unit, c.product, c[like].label("alike")).distinct().where(c.product.is_not(None), *now).cte("have")
    )
    peers = (
        sa.select(c[like].label("alike"), sa.func.count(sa.distinct(c.unit)).label("n")).where(*now).group_by(c[like])
    ).cte("peers")
    h, p = have.c, peers.c
    share = sa.func.round(sa.cast(sa.func.count(), sa.Numeric) / p.n, 6)
    spread = (
        sa.select(h.alike, h.product, sa.func.count().label("having"), p.n, share.label("share"))
        .join_from(have, peers, h.alike == p.alike)
        .group_by(h.alike, h.product, p.n)
        .cte("spread")
    )
    wanting = (
        sa.select(c.unit, c[like].label("alike"), sa.func.min(c[accounts.by("owner")]).label("owner"))
        .where(*now, *accounts.passing(shown, of))
        .group_by(c.unit, c[like])
        .cte("wanting")
    )
    w, s = wanting.c, spread.c
    has = sa.exists().where(h.unit == w.unit, h.product == s.product)
    least = Decimal(asked.options["min_share"]) / 100
    query: Any = (
        sa.select(w.unit, w.owner, w.alike, s.product, s.having, s.n, s.share)
        .join_from(wanting, spread, w.alike == s.alike)
        .where(sa.not_(has), s.share >= least, s.n >= asked.options["min_peers"])
    )
    if asked.after is not None:
        after, unit, product = asked.after
        place = sa.tuple_(-s.share, w.unit, s.product)
        query = query.where(
            place > sa.tuple_(sa.literal(-Decimal(after), sa.Numeric), sa.literal(unit), sa.literal(product))
        )
    rows = await reading.rows(query.order_by(s.share.desc(), w.unit, s.product).limit(asked.limit + 1))
    page = rows[: asked.limit]
    return Answer(
        [
            {
                "account": row.unit,
                "owner": row.owner,
                "alike": row.alike,
                "product": row.product,
                **ratio(row.having, row.n),
            }
            for row in page
        ],
        next_after=[str(page[-1].share), page[-1].unit, page[-1].product] if len(rows) > asked.limit else None,
    )


WHITE_SPACE = Metric(
    id="white_space",
    version=1,
    title="White space",
    definition=(
        "Products that an account with a running contract does not have, and that at least min_share per cent of the accounts like it do: "
        "those of the same segment (like), itself among them, where there are at least min_peers. The most widespread product first. "
        + accounts.ABOUT_ACCOUNTS
    ),
    formula="accounts like it that have the product / accounts like it",
    columns={
        "account": "account/<id>, or lead/<id> where the lead has no account",
        "owner": "owner of the contract that began first in the current spell",
        "alike": "the segment, or what like names, that the accounts have in common",
        "product": "what it does not have",
        "numerator": "accounts like it that have it",
        "denominator": "accounts like it",
        "value": "share",
    },
    time="instant",
    dimensions=accounts.OF_ACCOUNTS,
    answer=_answer,
    parameters=(
        choice("like", "What makes accounts alike.", "segment", "industry", "region", "customer_type"),
        whole("min_share", "Least share of them that has the product, in per cent.", 30, 1, 100),
        whole("min_peers", "Least number of them.", 5, 2, 1_000_000),
    ),
    models=("churn",),
    listed=True,
)  # fmt: skip
