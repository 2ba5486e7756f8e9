"""Days of one time zone, as consecutive integers: how facts are cut into days, and where a day begins.

A day begins at the first instant that shows its date. So days never overlap and never go back, also where clocks are
set back across midnight (St John's until 2011), and a day that a zone left out (Apia, 30 December 2011) is empty.
"""

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_FIRST = date(1899, 12, 31)
_LAST = date(2200, 1, 2)
_EPOCH_DAY = date(1970, 1, 1)


def micros(instant: datetime) -> int:
    """Microseconds since 1970-01-01T00:00Z, exact."""
    return (instant - EPOCH) // MICROSECOND


def instant_of(at: int) -> datetime:
    """The inverse of `micros`."""
    return EPOCH + at * MICROSECOND


class Days:
    """The days of one zone. A day is a number: days since 1970-01-01.

    Instants before 1900 belong to the first day kept and those after 2200 to the last: no event lies there.
    """

    def __init__(self, zone: str) -> None:
        """Raises `zoneinfo.ZoneInfoNotFoundError` for a zone that does not exist."""
        info = ZoneInfo(zone)
        self._first = (_FIRST - _EPOCH_DAY).days
        self._starts = [
            _beginning(_FIRST + timedelta(days=number), info) for number in range((_LAST - _FIRST).days + 1)
        ]

    @classmethod
    @cache
    def of_zone(cls, zone: str) -> "Days":
        """One shared instance per zone; raises like the constructor."""
        return cls(zone)

    def of(self, at: int) -> int:
        """The day of an instant given in microseconds."""
        return self._first + max(bisect_right(self._starts, at) - 1, 0)

    def start(self, day: int) -> int:
        """The first instant of the day, in microseconds; days outside those kept are moved to the nearest."""
        return self._starts[min(max(day - self._first, 0), len(self._starts) - 1)]


def end_of_date(day: date, zone: str) -> datetime:
    """The instant at which a calendar date is over in a zone: the first of the next date. UTC.

    Raises OverflowError for the last date of the calendar.
    """
    return instant_of(_beginning(day + timedelta(days=1), ZoneInfo(zone)))


def start_of_date(day: date, zone: str) -> datetime:
    """The first instant of a calendar date in a zone. UTC."""
    return instant_of(_beginning(day, ZoneInfo(zone)))


def _beginning(day: date, zone: ZoneInfo) -> int:
    # fold=0 takes the earlier of two midnights, and of one that was skipped the instant of the skip
    return micros(datetime(day.year, day.month, day.day, tzinfo=zone))
