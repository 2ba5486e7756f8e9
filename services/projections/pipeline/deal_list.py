"""Lists of leads in pages: the order, and where a page goes on. A place is the key of the last row of the page before."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from services.projections.query.facts import Facts
from services.projections.query.metric import Asked
from services.projections.query.spread import micros_of


def page(asked: Asked, facts: Facts, query: sa.Select[Any], *, at: Any = None) -> sa.Select[Any]:
    """The statement for one page and one row more: by the instant `at`, latest first, then by lead and number.

    `query` selects what is shown; the key is added to it as `place_at` (if `at`), `place_lead`, `place_number`.
    """
    row = facts.row
    key: list[Any] = [row.subject.label("place_lead"), row.number.label("place_number")]
    order: list[Any] = [row.subject, row.number]
    beyond: sa.ColumnElement[bool] = sa.true()
    if asked.after is not None:
        *instant, lead, number = asked.after
        beyond = sa.tuple_(row.subject, row.number) > sa.tuple_(sa.literal(lead), sa.literal(number))
        if at is not None:
            beyond = sa.or_(micros_of(at) < instant[0], sa.and_(micros_of(at) == instant[0], beyond))
    if at is not None:
        key.insert(0, micros_of(at).label("place_at"))
        order.insert(0, at.desc())
    return query.add_columns(*key).where(beyond).order_by(*order).limit(asked.limit + 1)


def turned_over(asked: Asked, found: Sequence[Any]) -> tuple[list[Any], Any]:
    """The rows of the page, and where the next one goes on; None after the last."""
    rows = list(found[: asked.limit])
    if len(found) <= asked.limit:
        return rows, None
    last = rows[-1]._mapping
    return rows, [last[name] for name in ("place_at", "place_lead", "place_number") if name in last]
