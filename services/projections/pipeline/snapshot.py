"""The pipeline snapshot: how many leads stand where, and what they are worth, at any instant as known at any other."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from services.projections.days import Days
from services.projections.pipeline.ledgers import DEAL_INTERVALS
from services.projections.quadrant import from_cells
from services.projections.query.facts import OF_LEADS, Facts, money
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.question import OUTCOMES

_WHERE: Final = ("stage", "phase", "outcome")
_CONFIGURED: Final = ("pipeline", "pipeline_version")


async def _answer(asked: Asked, reading: Reading) -> Answer:
    days = Days.of_zone(reading.fresh.zone)
    by = _CONFIGURED
    query = by_cells(asked, days, also=by) if counts_by_cells(asked) else by_rows(asked, reading, also=by)
    return Answer(answer_rows(asked, reading, await reading.rows(query)))


def counts_by_cells(asked: Asked) -> bool:
    """Whether everything asked for is a label of the cells."""
    labels = DEAL_INTERVALS.ledger.labels
    return asked.dims == "event" and {*asked.group_by, *asked.filters} <= set(labels)


def by_cells(asked: Asked, days: Days, *, also: Sequence[str] = ()) -> sa.Select[Any]:
    """Rows (stage, phase, outcome, <group_by>, <also>, currency, n, amount) from the sums of whole days."""
    sums = from_cells(DEAL_INTERVALS, days, asked.as_of, asked.known_at).c
    label = DEAL_INTERVALS.profiles.c
    keys: list[sa.ColumnElement[Any]] = [label[name].label(f"by_{name}") for name in (*_WHERE, *asked.group_by)]
    keys += [*(label[name] for name in also), label.currency]
    n = sa.func.sum(sums.n)
    return (
        sa.select(*keys, n.label("n"), sa.func.sum(sums.amount).label("amount"))
        .join_from(
            sums.n.table,
            DEAL_INTERVALS.profiles,
            sa.and_(sums.partition == label.partition, sums.profile == label.profile),
        )
        .where(*(label[name] == value for name, value in asked.filters.items()))
        .group_by(*keys)
        .having(n != 0)
    )


def by_rows(asked: Asked, reading: Reading, *, also: Sequence[str] = ()) -> sa.Select[Any]:
    """The same by the plain definition, from the ledger: slower, for every dimension, and what the other is tested against."""
    facts = Facts(DEAL_INTERVALS, asked, reading, at=sa.literal(asked.as_of), latest=DEAL_INTERVALS)
    keys: list[sa.ColumnElement[Any]] = [
        facts.dimension(name).label(f"by_{name}") for name in (*_WHERE, *asked.group_by)
    ]
    keys += [facts.label[name] for name in also]
    return facts.grouped(
        keys, currency=facts.label.currency, n=sa.func.count(), amount=sa.func.sum(facts.row.amount)
    ).where(facts.stands())  # fmt: skip


def answer_rows(asked: Asked, reading: Reading, found: Sequence[Any]) -> list[Row]:
    """One row per stage, phase, outcome and dimensions, its currencies gathered."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    width = len(_WHERE) + len(asked.group_by)
    for row in found:
        groups.setdefault(tuple(row[:width]), []).append(row)
    rows = []
    for key in sorted(groups, key=_place):
        parts = groups[key]
        known = [part for part in parts if part.currency is not None]
        rows.append({
            **dict(zip((*_WHERE, *asked.group_by), key, strict=True)),
            "n": sum(int(part.n) for part in parts),
            "value": _values(asked, [(part.currency, part.amount) for part in known]),
            "weighted": _weighted(asked, reading, known) if key[2] == "open" else [],
            "value_unknown_n": sum(int(part.n) for part in parts if part.currency is None),
            "unpriced_n": sum(int(part.n) for part in known if _factor(asked, part.currency) is None),
        })  # fmt: skip
    return rows


def _weighted(asked: Asked, reading: Reading, parts: Sequence[Any]) -> list[Row]:
    """The value times what the deal's pipeline says is the chance of its stage; without what has none."""
    weighed = []
    for part in parts:
        version = None if part.pipeline_version is None else int(part.pipeline_version)
        pipeline = reading.settings.pipelines.of(part.pipeline, version)
        stage = pipeline.stage(part[0])
        if stage is not None and stage.probability is not None:
            weighed.append((part.currency, part.amount * Decimal(str(stage.probability))))
    return _values(asked, weighed)


def _values(asked: Asked, amounts: Sequence[tuple[str, Decimal]]) -> list[Row]:
    """The sums by currency, or in the one asked for."""
    sums: dict[str, Decimal] = {}
    for currency, amount in amounts:
        factor = _factor(asked, currency)
        if factor is not None:
            into = currency if asked.rates is None else asked.rates.currency
            sums[into] = sums.get(into, Decimal(0)) + amount * factor
    return [found for currency in sorted(sums) if (found := money(sums[currency], currency))]


def _factor(asked: Asked, currency: str) -> Any:
    return 1 if asked.rates is None else asked.rates.before(currency, asked.as_of)


def _place(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return (OUTCOMES.index(key[2]), *((part is None, part or "") for part in (*key[:2], *key[3:])))


SNAPSHOT = Metric(
    id="pipeline_snapshot",
    version=2,
    title="Pipeline",
    definition=(
        "Leads by stage, phase and outcome, each as its events with a business time before as_of, recorded before known_at, "
        "leave it. n counts leads; value sums the close value of won leads, the last open value of lost ones and the open "
        "value of the others, in the deal's own currency or, where one is asked for, at the latest rates before as_of; "
        "value_unknown_n counts the leads without a value. Won and lost are cumulative; open is their complement. Dimensions "
        "are those at as_of."
    ),
    formula="count and sum over leads standing at as_of",
    columns={
        "stage": "stage of the lead's pipeline",
        "phase": "phase of the lifecycle, as people are shown it",
        "outcome": "open, won or lost",
        "n": "leads",
        "value": "amount for each currency",
        "weighted": "of open leads: the value times the probability that the pipeline gives their stage, for each currency; "
        "stages without one are left out. The forecast is a metric of its own",
        "value_unknown_n": "leads without a value",
        "unpriced_n": "leads whose value has no rate to the currency asked for",
    },
    time="instant",
    dimensions=(*OF_LEADS, *_WHERE),
    answer=_answer,
    money=True,
)
