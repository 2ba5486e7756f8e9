"""The rows of one ledger as a query sees them: at two clocks, with their dimensions as they stood at an instant, priced.

    facts = Facts(OUTCOMES, asked)
    facts.grouped(won=..., lost=...)      rows (period, <group_by>, won, lost)

A dimension of a lead is a label of its row; the team of an owner, the industry of an account or the series of a product come
from their own streams, as they stood at `at`; with dims=current everything as it stands now, as far as it is known.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from services.projections.lead_labels import LABELS
from services.projections.quadrant import LedgerTables, known, standing, with_labels
from services.projections.query.metric import Asked, Reading, Row
from services.projections.query.rates import money_text
from services.projections.reference.ledgers import ACCOUNTS, OWNERS, PRODUCTS


class _Attribute(NamedTuple):
    """A dimension that another stream tells: `of` names the dimension that leads there."""

    tables: LedgerTables
    of: str
    column: str


_ATTRIBUTES: Final[Mapping[str, _Attribute]] = {
    "team": _Attribute(OWNERS, "owner", "team"),
    "manager": _Attribute(OWNERS, "owner", "manager"),
    "industry": _Attribute(ACCOUNTS, "account", "industry"),
    "customer_type": _Attribute(ACCOUNTS, "account", "customer_type"),
    "series": _Attribute(PRODUCTS, "product", "series"),
}
OF_LEADS: Final = (
    *(label for label in LABELS if label != "currency"), "account", "channel_group", *_ATTRIBUTES,
)  # fmt: skip
"""The dimensions that every fact of a lead has."""


NOTHING_TOLD: Final[Mapping[str, Any]] = {}


class Facts:
    """SQL over the rows of `tables` that are known; every method adds what it needs to the joins.

    `at`: as of which instant the attributes of owners, accounts and products count: a column or an instant. Default: where the
    row begins. `channel_groups` is the deployment's map.
    """

    def __init__(
        self,
        tables: LedgerTables,
        asked: Asked,
        reading: Reading,
        *,
        at: Any = None,
        latest: LedgerTables | None = None,
    ) -> None:
        self.tables = tables
        self.row = tables.rows.c
        self.label = tables.profiles.c
        self.asked = asked
        self._reading = reading
        self._at = self.row.business_from if at is None else at
        self._latest_of = latest
        self._joined: sa.FromClause = with_labels(tables.rows, tables.profiles)
        self._told: dict[str, sa.ColumnElement[Any]] = {}
        self._attributes: dict[str, Any] = {}
        self._latest: Any = None
        self._fx: list[tuple[Any, Any, sa.Subquery]] = []

    def join(
        self,
        other: sa.FromClause,
        on: Any,
        *,
        outer: bool = False,
        told: Mapping[str, sa.ColumnElement[Any]] = NOTHING_TOLD,
    ) -> None:
        """Another table in every statement of these facts: only rows with a partner in it, or all with `outer`.

        `told`: the dimensions that it tells in the place of the row, name -> column.
        """
        self._joined = self._joined.join(other, on, isouter=outer)
        self._told.update(told)

    # ---- dimensions

    def attributed_at(self, at: Any) -> None:
        """From here on the attributes of owners, accounts and products count as of this instant: one of a later join."""
        self._at = at

    def dimension(self, name: str) -> sa.ColumnElement[Any]:
        """The column of a dimension. Raises KeyError for one that the ledger does not have."""
        if name in self._told:
            return self._told[name]
        if name == "customer_type":
            return sa.func.coalesce(self._attribute(name), self._of_the_pipeline(), type_=sa.Text)
        if name in _ATTRIBUTES:
            return self._attribute(name)
        if name == "channel_group":
            channel = self.dimension("source_channel")
            groups = self._reading.settings.channel_groups
            if not groups:
                return channel
            return sa.case(*((channel == each, group) for each, group in sorted(groups.items())), else_=channel)
        if self.asked.dims == "current" and self._latest_of is not None and name in (*LABELS, "account"):
            return self._current(name)
        return self.label[name] if name in self.label else self.row[name]

    def _attribute(self, name: str) -> sa.ColumnElement[Any]:
        tables, of, column = _ATTRIBUTES[name]
        kind = of
        joined = self._attributes.get(kind)
        if joined is None:
            row, label = tables.rows.c, tables.profiles.c
            counts = known(tables, self.asked.known_at)
            if self.asked.dims == "current":
                counts = sa.and_(counts, standing(tables, self.asked.now))
            found = (
                sa.select(
                    row.subject, row.business_from, row.business_to, *(label[each] for each in tables.ledger.labels)
                )
                .select_from(with_labels(tables.rows, tables.profiles))
                .where(counts)
                .subquery(f"{kind}_attributes")
            )
            on = found.c.subject == sa.literal(f"{kind}/") + self.dimension(of)
            if self.asked.dims != "current":
                on = sa.and_(
                    on,
                    found.c.business_from < self._at,
                    sa.or_(found.c.business_to.is_(None), found.c.business_to >= self._at),
                )
            self._joined = self._joined.outerjoin(found, on)
            joined = self._attributes[kind] = found
        return joined.c[column]

    def _of_the_pipeline(self) -> sa.ColumnElement[Any]:
        """The kind of customer that the lead's pipeline is for: what counts where its account says nothing."""
        name, version = self.dimension("pipeline"), self.dimension("pipeline_version")
        kinds = [
            (sa.and_(name == each.name, version == str(each.version)), each.customer_type)
            for each in self._reading.settings.pipelines.all()
        ]
        return sa.case(*kinds, else_=sa.null())

    def _current(self, name: str) -> sa.ColumnElement[Any]:
        """What the lead has now: its last row of the ledger `latest`; where it has none, what this row has."""
        if self._latest is None:
            assert self._latest_of is not None
            tables = self._latest_of
            rows = tables.rows.alias("now_rows")
            conditions = [
                rows.c.partition == self.row.partition,
                rows.c.subject == self.row.subject,
                rows.c.business_from < self.asked.now,
            ]
            at = self.asked.known_at
            if at is None:
                conditions.append(rows.c.recorded_to.is_(None))
            else:
                conditions += [
                    rows.c.recorded_from < at,
                    sa.or_(rows.c.recorded_to.is_(None), rows.c.recorded_to >= at),
                ]
            last = (
                sa.select(rows.c.partition, rows.c.profile, rows.c.account)
                .where(*conditions)
                .order_by(rows.c.business_from.desc())
                .limit(1)
                .lateral("now")
            )
            labels = tables.profiles.alias("now_profiles")
            on = sa.and_(last.c.partition == labels.c.partition, last.c.profile == labels.c.profile)
            self._joined = self._joined.outerjoin(last, sa.true()).outerjoin(labels, on)
            self._latest = {**{each: labels.c[each] for each in LABELS}, "account": last.c.account}
        own = self.label[name] if name in self.label else self.row[name]
        return sa.case((self._latest["pipeline"].is_(None), own), else_=self._latest[name])

    # ---- time

    def stands(self, at: Any = None) -> sa.ColumnElement[bool]:
        """Whether the row holds at an instant; default: as_of."""
        return standing(self.tables, self.asked.as_of if at is None else at)

    def within(self, at: Any = None) -> sa.ColumnElement[bool]:
        """Whether an instant (default: where the row begins) lies between from and to."""
        at = self.row.business_from if at is None else at
        return sa.and_(at >= self.asked.periods.start, at < self.asked.periods.end)

    def period(self, at: Any = None) -> sa.ColumnElement[int]:
        """The number of the period, from 0, in which an instant (default: where the row begins) lies."""
        at = self.row.business_from if at is None else at
        if len(self.asked.periods) == 1:
            return sa.literal_column("0")
        edges = sa.literal(list(self.asked.periods.edges[1:-1]), sa.ARRAY(sa.TIMESTAMP(timezone=True)))
        return sa.func.width_bucket(at, edges)

    # ---- money

    def priced(self, amount: Any, at: Any, currency: Any = None) -> sa.ColumnElement[Any]:
        """The amount in the currency asked for, at the rate of an instant; NULL without a rate. Unchanged where none is asked.

        `currency`: the column of the amount's own currency; default: the row's.
        """
        rates = self.asked.rates
        if rates is None:
            return sa.type_coerce(amount, sa.Numeric)
        own = self.label.currency if currency is None else currency
        fx = next((fx for day_of, known_in, fx in self._fx if day_of is at and known_in is own), None)
        if fx is None:
            fx = rates.table(f"fx_{len(self._fx)}")
            self._joined = self._joined.outerjoin(fx, sa.and_(fx.c.currency == own, fx.c.bucket == rates.bucket(at)))
            self._fx.append((at, own, fx))
        return sa.type_coerce(amount * fx.c.factor, sa.Numeric)

    def currency(self, own: Any = None) -> sa.ColumnElement[Any]:
        """In which currency `priced` gives its amounts: the row's own, or the one asked for."""
        own = self.label.currency if own is None else own
        return own if self.asked.rates is None else sa.case((own.is_(None), None), else_=self.asked.rates.currency)

    # ---- statements

    def keys(self, at: Any = None) -> list[sa.ColumnElement[Any]]:
        """The period and the dimensions that are grouped by."""
        named = [self.dimension(name).label(f"by_{name}") for name in self.asked.group_by]
        return [self.period(at).label("period"), *named]

    def select(self, *columns: Any, unfiltered: bool = False) -> sa.Select[Any]:
        """The columns of known rows that pass the filters."""
        passing = [] if unfiltered else [self.dimension(name) == value for name, value in self.asked.filters.items()]
        return sa.select(*columns).select_from(self._joined).where(known(self.tables, self.asked.known_at), *passing)

    def grouped(self, keys: Sequence[Any], **aggregates: Any) -> sa.Select[Any]:
        """`keys` and the aggregates by name, grouped by the keys; an aggregate `currency`, given first, is grouped by too."""
        columns = [*keys, *(value.label(name) for name, value in aggregates.items())]
        if "currency" in aggregates:
            keys = columns[: len(keys) + 1]
        places: list[sa.ColumnElement[Any]] = [sa.literal_column(str(number)) for number in range(1, len(keys) + 1)]
        query = self.select(*columns).group_by(*places)
        # the amounts of one group stand in an order that does not hang on the plan
        return query.order_by(*places) if "currency" in aggregates else query


def counted(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """How many rows meet a condition."""
    return sa.func.count().filter(condition)


def keyed(asked: Asked, row: Any) -> Row:
    """The period and the dimensions of a row of a statement that begins with `keys`, as they stand in the answer."""
    return {**of_period(asked, row[0]), **dict(zip(asked.group_by, row[1 : 1 + len(asked.group_by)], strict=True))}


def of_period(asked: Asked, index: int) -> Row:
    """What an answer's row says of its period; nothing where there is only one."""
    if not asked.periods.names[index]:
        return {}
    start, end = asked.periods.edges[index : index + 2]
    complete = asked.periods.whole(index) and end <= min(asked.as_of, asked.now)
    return {"period": asked.periods.names[index], "from": start, "to": end, "complete": complete}


def money(amount: Any, currency: str | None) -> Row | None:
    """An amount as an answer shows it."""
    return (
        None if amount is None or currency is None else {"amount": money_text(amount, currency), "currency": currency}
    )


def gathered(asked: Asked, rows: Sequence[Any]) -> list[tuple[Row, list[Any]]]:
    """Rows of a statement by `keys` and something more, gathered by the keys: what the answer says of each, and its rows.

    In the order of the periods, then of the dimensions, those without a value last.
    """
    width = 1 + len(asked.group_by)
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        groups.setdefault(tuple(row[:width]), []).append(row)
    ordered = sorted(groups, key=lambda key: (key[0], *((part is None, part or "") for part in key[1:])))
    return [(keyed(asked, key), groups[key]) for key in ordered]


def money_ratio(numerator: Any, denominator: Any, currency: str) -> Row:
    """A ratio of two amounts of one currency."""
    return {
        "currency": currency,
        "numerator": money_text(numerator, currency),
        "denominator": money_text(denominator, currency),
        "value": float(numerator / denominator) if denominator else None,
    }
