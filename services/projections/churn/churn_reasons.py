"""Why contracts end, and what is lost with them."""

from typing import Any

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.churn.amounts import listed
from services.projections.churn.told import every_period
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import flag

_WHY = ("end_reason", "reason", "voluntary")


async def _answer(asked: Asked, reading: Reading) -> Answer:
    by_contract = asked._replace(
        options={**asked.options, "unit": "contract"},
        group_by=tuple(name for name in asked.group_by if name not in _WHY),
        filters={name: value for name, value in asked.filters.items() if name not in _WHY},
    )
    rows = await reading.rows(_ends(asked, by_contract, accounts.pieces(by_contract, reading)))
    return Answer([{**key, **_row(parts)} for key, parts in every_period(asked, rows)])


def _ends(asked: Asked, by_contract: Asked, of: sa.CTE) -> sa.Select[Any]:
    """Rows (period, <group_by>, currency, n, mrr, unpriced_n): last pieces of contracts' runs that ended in the period."""
    c = of.c
    last = sa.func.max(c.ends).over(partition_by=(c.unit, c.island)).label("last")
    found = sa.select(*c, last).cte("with_last")
    e = found.c
    instants = sa.literal(accounts.edges(asked)[:-1], sa.ARRAY(sa.TIMESTAMP(timezone=True)))
    period = (sa.func.width_bucket(e.ends, instants) - 1).label("period")
    keys = [e[name] if name in _WHY else e[accounts.by(name)] for name in asked.group_by]
    amount: sa.ColumnElement[Any] = e.mrr
    currency: sa.ColumnElement[Any] = e.currency
    priced: sa.ColumnElement[bool] = sa.true()
    source: Any = found
    if asked.rates is not None:
        fx = asked.rates.table()
        source = found.outerjoin(fx, sa.and_(fx.c.currency == e.currency, fx.c.bucket == asked.rates.bucket(e.ends)))
        amount, priced = e.mrr * fx.c.factor, fx.c.factor.is_not(None)
        currency = sa.case((priced, asked.rates.currency))
    counts = [
        e.ends == e.last, e.ends < accounts.FOREVER, e.end_reason.is_not(None),
        e.ends >= accounts.edges(asked)[0], e.ends < accounts.edges(asked)[-1],
        *accounts.passing(by_contract, found), *(e[name] == asked.filters[name] for name in _WHY if name in asked.filters),
    ]  # fmt: skip
    if not asked.options["superseded"]:
        counts.append(e.end_reason != "superseded")
    columns = [period, *keys, currency.label("currency")]
    places: list[Any] = [sa.literal_column(str(number)) for number in range(1, len(columns) + 1)]
    return (
        sa.select(
            *columns, sa.func.count().label("n"), sa.func.sum(amount).filter(e.mrr != 0).label("mrr"),
            sa.func.count().filter(sa.not_(priced), e.mrr != 0).label("unpriced_n"),
        )
        .select_from(source)
        .where(*counts)
        .group_by(*places)
    )  # fmt: skip


def _row(parts: list[Any]) -> Row:
    money = {part.currency: part.mrr for part in parts if part.currency is not None and part.mrr is not None}
    return {
        "n": sum(part.n for part in parts),
        "mrr_lost": listed(money),
        "unpriced_n": sum(part.unpriced_n for part in parts),
    }


CHURN_REASONS = Metric(
    id="churn_reasons",
    version=1,
    title="Reasons for leaving",
    definition=(
        "Runs of contracts that ended in the period, by what ended them: churned (with its reason, and whether the customer wanted it), "
        "cancelled by notice or order, lapsed with the term; superseded by an upgrade only with superseded=true. MRR is what the contract "
        "brought last, at the rate of the end. Group by end_reason, reason and voluntary to see them apart. Contracts of voided, absorbed, "
        "reopened and finally lost leads do not count. Dimensions are those of the contract when its run began."
    ),
    formula="count and sum of MRR over ends of contracts",
    columns={
        "n": "contracts that ended",
        "mrr_lost": "what they brought last, for each currency",
        "unpriced_n": "of those with MRR, contracts that have no rate to the currency asked for",
    },
    time="period",
    dimensions=(*accounts.OF_ACCOUNTS, *_WHY),
    answer=_answer,
    parameters=(flag("superseded", "Count contracts whose place another one took."), accounts.RECOGNISE),
    models=("churn",),
    money=True,
)
