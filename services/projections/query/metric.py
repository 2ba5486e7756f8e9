"""What a metric is: its definition in words and as a formula, what its users may choose, and how it is answered."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.projections.query.parameters import Parameter
from services.projections.query.periods import Periods
from services.projections.query.rates import Rates
from services.projections.readings import Freshness, Parked

Row = dict[str, Any]


class Asked(NamedTuple):
    """One question, read and checked.

    `as_of`: the state is what has a business time before it; `known_at` None: everything applied. `periods` is one whole stretch
    where nothing is cut; for a metric of an instant it ends at `as_of`. `rates` is None where no currency is asked for.
    `filters`: dimension -> the value wanted. `options`: the metric's own parameters, read.
    """

    as_of: datetime
    known_at: datetime | None
    now: datetime
    zone: str
    periods: Periods
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, str] = {}
    dims: Literal["event", "current"] = "event"
    rates: Rates | None = None
    options: Mapping[str, Any] = {}
    limit: int = 50
    after: Any = None
    """Of a list: the state of the cursor, where the page goes on."""


class Reading(NamedTuple):
    """The store as one transaction sees it, and what this deployment says besides events."""

    connection: AsyncConnection
    fresh: Freshness
    settings: "Deployment"
    parked: Sequence[Parked] = ()
    """The streams that wait for an operator, a good many of them at most: their later events are not counted."""

    async def rows(self, query: sa.Select[Any] | sa.CompoundSelect[Any]) -> list[Any]:
        return list((await self.connection.execute(query)).all())


class Deployment(NamedTuple):
    """What answers depend on besides events: pipelines, the groups of channels, the zone that facts are cut in."""

    pipelines: Any
    channel_groups: Mapping[str, str]
    reporting_zone: str


class Answer(NamedTuple):
    """`rows`, each with its period and dimensions; `more` stands beside them in the answer; `next_after`: where a list goes on."""

    rows: list[Row]
    more: Mapping[str, Any] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    next_after: Any = None


class Metric(NamedTuple):
    """One figure, or a family that only makes sense together.

    `time`: `instant` (asked as_of), or `period` (from, to, interval; and as_of, up to which its facts count). `models`: the read
    models that it is answered from, `reference` comes with every one. `dimensions`: what it is grouped and filtered by.
    """

    id: str
    version: int
    title: str
    definition: str
    formula: str
    columns: Mapping[str, str]
    """What a row holds besides its period and dimensions: name -> meaning and unit."""
    time: Literal["instant", "period"]
    dimensions: tuple[str, ...]
    answer: Callable[[Asked, Reading], Awaitable[Answer]]
    parameters: tuple[Parameter, ...] = ()
    models: tuple[str, ...] = ("pipeline",)
    money: bool = False
    """Whether `currency` may be asked for."""
    listed: bool = False
    """Whether the answer is a list in pages."""
    grouped: bool = True
    """Whether `group_by` may be asked for; a list is never grouped."""
    ahead: bool = False
    """Whether its periods lie ahead: without `from` they begin at as_of, and without `to` they never end."""


def ratio(numerator: Any, denominator: Any) -> Row:
    """The three of every ratio; null where the denominator is zero, which is not the same as none."""
    n, of = _plain(numerator), _plain(denominator)
    return {
        "numerator": n,
        "denominator": of,
        "value": None if not denominator else float(numerator) / float(denominator),
    }


def _plain(number: Any) -> Any:
    return int(number) if number is not None and number == int(number) else number
