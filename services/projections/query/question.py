"""A question as HTTP asks it: the parameters that every metric has, and those of one, read strictly into `Asked`."""

import inspect
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Query

from schemas.currency import exponent
from services.kernel.http_listing import decode_cursor
from services.projections.query import texts
from services.projections.query.metric import Asked, Metric
from services.projections.query.parameters import Parameter, choice, refused, whole, word
from services.projections.query.periods import EVER, INTERVALS, NEVER, Periods, periods
from services.projections.query.rates import Rates
from services.projections.readings import Freshness

AS_OF: Final = Parameter(
    "as_of", "The instant asked for: RFC 3339 with offset, or a date, which means its end in `zone`. Default: now.", "", str
)  # fmt: skip
KNOWN_AT: Final = Parameter(
    "known_at",
    "What had been recorded before this instant (written as `as_of`); cut back to `known_through`. Default: everything applied.",
    "",
    str,
)
ZONE: Final = Parameter("zone", "IANA time zone of dates and periods. Default: the reporting zone.", "", str)
FROM: Final = Parameter(
    "from",
    "Begin of the period: RFC 3339 with offset, or a date, which means its begin in `zone`. Default: ever; as_of, if it lies ahead.",
    "",
    str,
)  # fmt: skip
TO: Final = Parameter(
    "to", "End of the period, not in it; a date means its begin in `zone`. Default: as_of; never, if it lies ahead.", "", str
)  # fmt: skip
INTERVAL: Final = choice("interval", "How to cut the period into rows.", *INTERVALS)
FISCAL_START: Final = whole("fiscal_start", "Month in which years and quarters begin.", 1, 1, 12)
DIMS: Final = choice("dims", "Dimensions as they stood at the event, or as they are now.", "event", "current")
CURRENCY: Final = word(
    "currency", "ISO 4217 code to convert to, by the rates of each day. Default: each amount in its own.", "[A-Z]{3}"
)  # fmt: skip
MIN_POSITION: Final = word(
    "min_position", "<partition>:<position> to wait for, to read what was just written.", "[0-9]{1,6}:[0-9]{1,18}"
)  # fmt: skip
TIMEOUT: Final = whole("timeout", "Seconds to wait for it.", 5, 0, 30)
LIMIT: Final = whole("limit", "Rows of a page.", 50, 1, 500)
CURSOR: Final = Parameter("cursor", "`next_cursor` of the page before; with the same other parameters.", "", str)
OUTCOMES: Final = ("open", "won", "lost")
_MOST_CHARS: Final = 16_000


def parameters_of(metric: Metric) -> list[Parameter]:
    """All parameters of the metric's query, in the order in which they are shown; filters come by the names of dimensions."""
    found = [AS_OF, KNOWN_AT, ZONE]
    if metric.time == "period":
        found += [FROM, TO, INTERVAL, FISCAL_START]
    if metric.money:
        found.append(CURRENCY)
    if metric.dimensions:
        names = ", ".join(metric.dimensions)
        if metric.grouped and not metric.listed:
            found.append(Parameter("group_by", f"With commas, of: {names}.", "", str))
        found.append(DIMS)
        found += [Parameter(name, "Only this one.", "", str) for name in metric.dimensions]
    found += metric.parameters
    if metric.listed:
        found += [LIMIT, CURSOR]
    return [*found, MIN_POSITION, TIMEOUT]


def signature_of(metric: Metric, *first: inspect.Parameter) -> inspect.Signature:
    """The signature of the metric's endpoint, for FastAPI: every parameter is an optional text, so that we say what is wrong."""
    return inspect.Signature([
        *first,
        *(
            inspect.Parameter(
                f"q_{each.name}", inspect.Parameter.KEYWORD_ONLY, default=None,
                annotation=Annotated[str | None, Query(alias=each.name, description=_described(each), max_length=_MOST_CHARS)],
            )
            for each in parameters_of(metric)
        ),
    ])  # fmt: skip


def _described(parameter: Parameter) -> str:
    choices = f" One of: {', '.join(parameter.choices)}." if parameter.choices else ""
    return f"{parameter.description}{choices}" + (f" Default: {parameter.default}." if parameter.default else "")


class Question:
    """The texts of one query on one metric. What needs no store is read at once; raises Invalid."""

    def __init__(self, metric: Metric, given: Mapping[str, str | None], reporting_zone: str) -> None:
        self.metric = metric
        self._given = {name: text for name, text in given.items() if text is not None}
        self.zone = texts.zone(self._given.get("zone"), reporting_zone)
        self.known_at = texts.instant("known_at", self._given.get("known_at"), self.zone)
        self._as_of = texts.instant("as_of", self._given.get("as_of"), self.zone)
        self._from = texts.instant("from", self._given.get("from"), self.zone, begins=True)
        self._to = texts.instant("to", self._given.get("to"), self.zone, begins=True)
        if self._from is not None and self._to is not None and self._from >= self._to:
            raise refused("to", "must be later than from.")
        self.group_by = texts.names("group_by", self._given.get("group_by"), metric.dimensions)
        self.filters = {name: self._given[name] for name in metric.dimensions if name in self._given}
        if self.filters.get("outcome", "open") not in OUTCOMES and "outcome" in metric.dimensions:
            raise refused("outcome", f"must be one of: {', '.join(OUTCOMES)}.")
        self.dims = self._read(DIMS)
        self.options = {each.name: each.value(self._given.get(each.name)) for each in metric.parameters}
        self.currency: str | None = self._read(CURRENCY)
        if self.currency is not None and exponent(self.currency) is None:
            raise refused("currency", "is no currency of ISO 4217.")
        self.limit: int = self._read(LIMIT)
        self.after = self._cursor()
        self.min_position: str | None = self._read(MIN_POSITION)
        self.timeout_s: int = self._read(TIMEOUT)
        self._interval, self._fiscal_start = self._read(INTERVAL), self._read(FISCAL_START)

    def _read(self, parameter: Parameter) -> Any:
        return parameter.value(self._given.get(parameter.name))

    def _cursor(self) -> Any:
        """Where the list goes on. Raises BadCursor for one that is not ours, or is of another question."""
        text = self._given.get("cursor")
        if text is None:
            return None
        place = decode_cursor(text)  # what another list of any service signed is of another form
        if not isinstance(place, list) or len(place) != 2 or place[0] != self.identity():
            raise refused("cursor", "belongs to another query: begin the list again.")
        return place[1]

    def identity(self) -> list[list[str]]:
        """What a cursor is bound to: the metric and every parameter but the place in the list."""
        loose = ("cursor", "limit", "min_position", "timeout")
        return [[self.metric.id], *sorted([name, text] for name, text in self._given.items() if name not in loose)]

    def asked(self, fresh: Freshness, known_at: datetime | None, rates: Rates | None) -> Asked:
        """The question at an instant. Raises Invalid, RangeTooWide."""
        as_of = self._as_of or fresh.now
        return Asked(
            as_of=as_of, known_at=known_at, now=fresh.now, zone=self.zone, periods=self._periods(as_of),
            group_by=self.group_by, filters=self.filters, dims=self.dims, rates=rates, options=self.options,
            limit=self.limit, after=self.after,
        )  # fmt: skip

    def _periods(self, as_of: datetime) -> Periods:
        if self.metric.time == "instant":
            return Periods((EVER, as_of), ("",))
        ahead = self.metric.ahead
        start, end = self._from or (as_of if ahead else EVER), self._to or (NEVER if ahead else as_of)
        if start >= end:
            if ahead and self._from is None:
                raise refused("to", "must be later than from, which is as_of where it is not given.")
            raise refused("from", "must be earlier than to, which is as_of where it is not given.")
        if self._interval != "all" and ahead and self._to is None:
            raise refused("interval", "needs to: without it the periods never end.")
        if self._interval != "all" and not ahead and self._from is None:
            raise refused("interval", "needs from: without it the periods begin in 1900.")
        return periods(start, end, self._interval, self.zone, self._fiscal_start)
