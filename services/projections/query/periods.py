"""Periods of time as a query asks for them: from, to, and how to cut between them. Half-open, in the asked zone.

A period that begins before `from` or ends after `to` is cut there, and is not complete. Quarters and years may begin in
another month (`fiscal_start`); a fiscal year has the name of the calendar year in which it ends.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from services.kernel.errors import RangeTooWide
from services.projections.days import start_of_date

Interval = Literal["all", "day", "week", "month", "quarter", "year"]
INTERVALS: Final[tuple[Interval, ...]] = ("all", "day", "week", "month", "quarter", "year")
MOST_PERIODS: Final = 1_000
EVER: Final = datetime.fromisoformat("1900-01-01T00:00:00+00:00")
"""Before every event: where a period begins that has no `from`."""
NEVER: Final = datetime.fromisoformat("2200-01-01T00:00:00+00:00")
"""After every day that an event may name: where a period ends that has no end."""


class Periods(NamedTuple):
    """`edges` are one more than `names`, rising; period k is [edges[k], edges[k+1]). `cut`: the first, the last is a part."""

    edges: tuple[datetime, ...]
    names: tuple[str, ...]
    cut: tuple[bool, bool] = (False, False)

    @property
    def start(self) -> datetime:
        return self.edges[0]

    @property
    def end(self) -> datetime:
        return self.edges[-1]

    def whole(self, index: int) -> bool:
        """Whether the period has the length that its name says."""
        return not (index == 0 and self.cut[0]) and not (index == len(self.names) - 1 and self.cut[1])

    def __len__(self) -> int:
        return len(self.names)


def periods(start: datetime, end: datetime, interval: Interval, zone: str, fiscal_start: int = 1) -> Periods:
    """The periods between two instants, start < end.

    Raises RangeTooWide for more than `MOST_PERIODS`.
    """
    if interval == "all":
        return Periods((start, end), ("",))
    names: list[str] = []
    edges: list[datetime] = []
    first_is_cut = last_is_cut = False
    for name, begins, ends in _calendar(start, interval, zone, fiscal_start):
        if begins >= end:
            break
        if len(names) == MOST_PERIODS:
            raise RangeTooWide(f"Between from and to lie more than {MOST_PERIODS} of these periods: take longer ones.")
        if not names:
            first_is_cut = begins < start
        names.append(name)
        edges.append(max(begins, start))
        last_is_cut = ends > end
    return Periods((*edges, end), tuple(names), (first_is_cut, last_is_cut))


def first_days(edges: Sequence[datetime], zone: str) -> list[date]:
    """For each instant the first calendar day that begins at it or after it: by these a day is put into a period."""
    return [_first_from(edge, zone) for edge in edges]


def _first_from(edge: datetime, zone: str) -> date:
    day = edge.astimezone(ZoneInfo(zone)).date() - timedelta(days=1)
    while start_of_date(day, zone) < edge:
        day += timedelta(days=1)
    return day


def _calendar(
    start: datetime, interval: Interval, zone: str, fiscal_start: int
) -> Iterator[tuple[str, datetime, datetime]]:
    """(name, begin, end) of each calendar period from the one that holds `start` on."""
    day = start.astimezone(ZoneInfo(zone)).date()
    if start < start_of_date(day, zone):  # clocks that were set back across midnight show a date again
        day -= timedelta(days=1)
    day = _first_day(day, interval, fiscal_start)
    while True:
        following = _next(day, interval)
        yield _name(day, interval, fiscal_start), start_of_date(day, zone), start_of_date(following, zone)
        day = following


def _first_day(day: date, interval: Interval, fiscal_start: int) -> date:
    if interval == "week":
        return day - timedelta(days=day.weekday())
    if interval == "day":
        return day
    if interval == "month":
        return day.replace(day=1)
    months = (day.month - fiscal_start) % 12
    return _back(day.replace(day=1), months % 3 if interval == "quarter" else months)


def _back(day: date, months: int) -> date:
    total = day.year * 12 + day.month - 1 - months
    return date(total // 12, total % 12 + 1, 1)


def _next(day: date, interval: Interval) -> date:
    if interval in ("day", "week"):
        return day + timedelta(days=1 if interval == "day" else 7)
    return _back(day, -{"month": 1, "quarter": 3, "year": 12}[interval])


def _name(day: date, interval: Interval, fiscal_start: int) -> str:
    if interval == "day":
        return day.isoformat()
    if interval == "week":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    if interval == "month":
        return f"{day:%Y-%m}"
    months = (day.month - fiscal_start) % 12
    began = _back(day, months)
    year = began.year if fiscal_start == 1 else began.year + 1
    of_year = f"{year}" if fiscal_start == 1 else f"FY{year}"
    return of_year if interval == "year" else f"{of_year}-Q{months // 3 + 1}"
