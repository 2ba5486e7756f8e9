"""Cash: what of the won value has come in, how long each step to it takes, and what is overdue."""

from collections import Counter
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from services.projections.churn import accounts
from services.projections.churn.amounts import listed
from services.projections.churn.ledgers import CUSTOMERS, PAYMENTS
from services.projections.churn.told import every_period
from services.projections.estimators.histogram import percentiles
from services.projections.quadrant import known, with_labels
from services.projections.query.facts import OF_LEADS, Facts, money_ratio
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import PERCENTILE_METHOD, PERCENTILES

_STEPS: Final = ("won_to_signed", "signed_to_invoiced", "invoiced_to_paid")
_NOTHING: Final = Decimal(0)


async def _answer(asked: Asked, reading: Reading) -> Answer:
    wins, paid = _wins(asked, reading), _paid(asked)
    rows = [(*row, "") for row in await reading.rows(_won(asked, wins))]
    rows += await reading.rows(_sums(asked, wins, paid))
    steps = await reading.rows(_dwell(asked, wins, paid))
    width = 1 + len(asked.group_by)
    dwell: dict[tuple[Any, ...], list[Any]] = {}
    for row in steps:
        dwell.setdefault(tuple(row[:width]), []).append(row)
    found = []
    for key, parts in every_period(asked, rows):
        place = tuple(parts[0][:width]) if parts else ()
        found.append({**key, **_row(asked, [part[width:] for part in parts], dwell.get(place, []))})
    return Answer(found)


def _wins(asked: Asked, reading: Reading) -> sa.CTE:
    """Rows (period, by_…, partition, subject, won_at, amount, currency): wins in the period that stand, with the last close value."""
    facts = Facts(CUSTOMERS, asked, reading, at=CUSTOMERS.rows.c.won_at, latest=CUSTOMERS)
    row = facts.row
    lead = (row.partition, row.subject)
    newest: dict[str, Any] = {"partition_by": lead, "order_by": row.business_from.desc()}
    dimensions = [facts.dimension(name).label(accounts.by(name)) for name in accounts.wanted(asked)]
    found = facts.select(
        facts.period(row.won_at).label("period"), *dimensions, *lead, row.won_at,
        sa.func.first_value(row.amount).over(**newest).label("amount"),
        sa.func.first_value(facts.label.currency).over(**newest).label("currency"),
        sa.func.row_number().over(partition_by=lead, order_by=(row.business_from, row.number)).label("place"),
        unfiltered=True,
    ).where(
        row.business_from < asked.as_of, facts.within(row.won_at), row.won_at < asked.as_of,
        sa.or_(row.counts_until.is_(None), row.counts_until >= asked.as_of),
    ).cte("rows_of_wins")  # fmt: skip
    return sa.select(found).where(found.c.place == 1, *accounts.passing(asked, found)).cte("wins")


def _paid(asked: Asked) -> sa.CTE:
    """Rows (partition, subject, what, at, amount, currency, invoice_id, due_on): what was told before as_of."""
    row, label = PAYMENTS.rows.c, PAYMENTS.profiles.c
    return (
        sa.select(
            row.partition, row.subject, label.what, row.business_from.label("at"), row.amount, label.currency, row.invoice_id, row.due_on
        )
        .select_from(with_labels(PAYMENTS.rows, PAYMENTS.profiles))
        .where(known(PAYMENTS, asked.known_at), row.business_from < asked.as_of)
        .cte("paid")
        .prefix_with("NOT MATERIALIZED", dialect="postgresql")  # of rows set aside the planner knows no key to probe
    )  # fmt: skip


def _priced(asked: Asked, source: Any, amount: Any, currency: Any, at: Any) -> tuple[Any, Any, Any]:
    """The source with rates, the amount and its currency: those asked for, or as they are."""
    if asked.rates is None:
        return source, amount, currency
    fx = asked.rates.table()
    source = source.outerjoin(fx, sa.and_(fx.c.currency == currency, fx.c.bucket == asked.rates.bucket(at)))
    return source, amount * fx.c.factor, sa.case((fx.c.factor.is_not(None), asked.rates.currency))


def _won(asked: Asked, wins: sa.CTE) -> sa.Select[Any]:
    """Rows (period, <group_by>, currency, what, amount, n)."""
    w = wins.c
    source, amount, currency = _priced(asked, wins, w.amount, w.currency, w.won_at)
    keys = [w.period, *accounts.keys(asked, wins), currency.label("currency")]
    return _grouped(source, keys, sa.literal_column("'won'"), amount)


def _sums(asked: Asked, wins: sa.CTE, paid: sa.CTE) -> sa.Select[Any]:
    """The same of money that came in or went back (`collected`), and of invoices that are overdue."""
    w, p = wins.c, paid.c
    other = paid.alias("settled")
    settled = sa.exists().where(
        other.c.partition == p.partition,
        other.c.subject == p.subject,
        other.c.invoice_id == p.invoice_id,
        other.c.what == "received",
    )
    today = sa.cast(sa.func.timezone(asked.zone, sa.literal(asked.as_of, sa.TIMESTAMP(timezone=True))), sa.Date)
    overdue = sa.and_(p.what == "invoiced", p.due_on < today, sa.not_(settled))
    joined: Any = wins.join(paid, sa.and_(w.partition == p.partition, w.subject == p.subject))
    source, amount, currency = _priced(asked, joined, p.amount, p.currency, p.at)
    signed = sa.case((p.what == "refunded", -amount), else_=amount)
    what = sa.case((p.what == "failed", "failed"), (p.what == "invoiced", "overdue"), else_="collected")
    keys = [w.period, *accounts.keys(asked, wins), currency.label("currency")]
    return _grouped(source, keys, what, signed, tagged=True).where(
        sa.or_(p.what.in_(("received", "refunded", "failed")), overdue)
    )


def _grouped(source: Any, keys: list[Any], what: Any, amount: Any, *, tagged: bool = False) -> sa.Select[Any]:
    places: list[Any] = [sa.literal_column(str(number)) for number in range(1, len(keys) + 2)]
    tag: list[Any] = [sa.literal_column("''").label("tag")] if tagged else []
    columns = [*keys, what.label("what"), sa.func.sum(amount).label("amount"), sa.func.count().label("n"), *tag]
    return sa.select(*columns).select_from(source).group_by(*places)


def _dwell(asked: Asked, wins: sa.CTE, paid: sa.CTE) -> sa.Select[Any]:
    """Rows (period, <group_by>, won_to_signed, signed_to_invoiced, invoiced_to_paid) in whole days, one per won lead."""
    w, p = wins.c, paid.c
    first = {what: sa.func.min(p.at).filter(p.what == what) for what in ("signed", "invoiced", "received")}
    keys = [w.period, *accounts.keys(asked, wins)]

    def days(since: Any, until: Any) -> Any:
        return sa.cast(sa.func.floor(sa.extract("epoch", until - since) / 86_400), sa.Integer)

    return (
        sa.select(
            *keys, days(w.won_at, first["signed"]).label(_STEPS[0]), days(first["signed"], first["invoiced"]).label(_STEPS[1]),
            days(first["invoiced"], first["received"]).label(_STEPS[2]),
        )
        .join_from(wins, paid, sa.and_(w.partition == p.partition, w.subject == p.subject))
        .group_by(*keys, w.partition, w.subject, w.won_at)
    )  # fmt: skip


def _row(asked: Asked, parts: list[Any], steps: list[Any]) -> Row:
    """`parts`: (currency, what, amount, n, …)."""
    sums: dict[str, dict[str, Decimal]] = {"won": {}, "collected": {}, "overdue": {}}
    counts: Counter[str] = Counter()
    unpriced = 0
    for currency, what, amount, n, *_ in parts:
        counts[what] += n
        if currency is None or amount is None:
            unpriced += n
        elif what in sums:
            sums[what][currency] = sums[what].get(currency, _NOTHING) + amount
    shares = asked.options["percentiles"]
    dwell: Row = {}
    for step in _STEPS:
        days = Counter(
            getattr(row, step) for row in steps if getattr(row, step) is not None and getattr(row, step) >= 0
        )
        found = percentiles(days, [float(share) for share in shares], asked.options["percentile_method"])
        dwell[f"{step}_days"] = {f"p{float(share):g}": value for share, value in zip(shares, found, strict=True)}
    return {
        "won_n": counts["won"],
        "collected": [
            money_ratio(sums["collected"].get(currency, _NOTHING), sums["won"].get(currency, _NOTHING), currency)
            for currency in sorted({**sums["won"], **sums["collected"]})
        ],
        **dwell,
        "overdue_n": counts["overdue"],
        "overdue": listed(sums["overdue"]),
        "failed_n": counts["failed"],
        "unpriced_n": unpriced if asked.rates is not None else 0,
    }


CASH = Metric(
    id="cash",
    version=1,
    title="Cash",
    definition=(
        "Of what was won in the period and stands, how much has come in by as_of (PaymentReceived less PaymentRefunded, whenever), against the "
        "close value. Payments carry tax where the company told them with it, the close value never. The steps are whole days from the win to the first ContractSigned, from "
        "there to the first InvoiceIssued, and from there to the first PaymentReceived; a step that ran backwards does not "
        "count. An invoice is overdue when the day after its due_on has begun in the zone and no payment names it. In the currency asked for, "
        "each amount is at the rate of its day. Dimensions are those of the win."
    ),
    formula="collected / won",
    columns={
        "won_n": "leads won in the period",
        "collected": "for each currency: what came in, what was won, and the share",
        "won_to_signed_days": "percentiles of days from the win to the first signature",
        "signed_to_invoiced_days": "percentiles of days from there to the first invoice",
        "invoiced_to_paid_days": "percentiles of days from there to the first payment",
        "overdue_n": "invoices that are overdue",
        "overdue": "their amounts, for each currency",
        "failed_n": "payments that failed",
        "unpriced_n": "amounts that have no rate to the currency asked for",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
    parameters=(PERCENTILES, PERCENTILE_METHOD),
    models=("churn",),
    money=True,
)
