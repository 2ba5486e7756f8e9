"""The pipeline snapshot: how many leads stand where, and what they are worth, at any instant as known at any other."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa

from schemas.currency import exponent
from services.projections.days import Days
from services.projections.pipeline.model import LEDGER
from services.projections.quadrant import LedgerTables, from_cells, from_rows

METRIC = "pipeline_snapshot"
VERSION = 1
DEFINITION = (
    "Leads by stage, phase and outcome, each as its events with a business time before as_of, recorded before known_at, "
    "leave it. n counts leads; value sums the close value of won leads, the last open value of lost ones and the open "
    "value of the others, in the deal's own currency; value_unknown_n counts the leads without a value. Won and lost are "
    "cumulative; open is their complement. Dimensions are those at as_of."
)
DIMENSIONS = ("owner", "source_channel", "product", "region")
OUTCOMES = ("open", "won", "lost")

_TABLES = LedgerTables(LEDGER)


class Question(NamedTuple):
    """`known_at` None: everything applied. `filters`: column of `DIMENSIONS`, `stage` or `outcome` -> the value wanted."""

    as_of: datetime
    known_at: datetime | None = None
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, str] = {}


def snapshot(question: Question, days: Days, *, by_cells: bool = True) -> sa.Select[Any]:
    """Rows (stage, phase, outcome, <group_by>, currency, n, amount); the schema is `quadrant.GENERATION`.

    `by_cells=False` asks the ledger itself, by the plain definition: slow, and what the other is tested against.
    """
    as_of, known_at = question.as_of, question.known_at
    counted = (from_cells(_TABLES, days, as_of, known_at) if by_cells else from_rows(_TABLES, as_of, known_at)).c
    profile = _TABLES.profiles.c
    keys = [profile[name] for name in ("stage", "phase", "outcome", *question.group_by, "currency")]
    n = sa.func.sum(counted.n)
    return (
        sa.select(*keys, n.label("n"), sa.func.sum(counted.amount).label("amount"))
        .join_from(
            counted.n.table,
            _TABLES.profiles,
            sa.and_(counted.partition == profile.partition, counted.profile == profile.profile),
        )
        .where(*(profile[name] == value for name, value in question.filters.items()))
        .group_by(*keys)
        .having(n != 0)
    )


def answer_rows(found: Iterable[Any], group_by: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of `snapshot` with the currencies of one group gathered: {stage, phase, outcome, <group_by>, n, value, …}."""
    width = 3 + len(group_by)
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in found:
        *keys, currency, n, amount = row
        group = groups.get(tuple(keys))
        if group is None:
            names = ("stage", "phase", "outcome", *group_by)
            group = groups[tuple(keys)] = dict(zip(names, keys, strict=True)) | {
                "n": 0,
                "value": [],
                "value_unknown_n": 0,
            }
        group["n"] += int(n)
        if currency is None:
            group["value_unknown_n"] += int(n)
        else:
            group["value"].append({"amount": money_text(amount, currency), "currency": currency})
    for group in groups.values():
        group["value"].sort(key=lambda money: money["currency"])

    def place(keys: tuple[Any, ...]) -> tuple[Any, ...]:
        return (OUTCOMES.index(keys[2]), *((key is None, key or "") for key in (*keys[:2], *keys[3:width])))

    return [groups[keys] for keys in sorted(groups, key=place)]


def money_text(amount: Decimal, currency: str) -> str:
    """A decimal string with the currency's own decimals; a currency that is not listed shows all four."""
    decimals = exponent(currency)
    return f"{amount:.{4 if decimals is None else decimals}f}"
