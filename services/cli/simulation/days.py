"""The period as whole days and months, the clocks of the places where people work, and the busy and the quiet days.

Instants are whole seconds since 1970 in UTC. The rules of summer time are written out here: time zone data differ from one
machine to the next, and the bytes must not.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import accumulate
from typing import Final

from services.cli.simulation.chance import Chance

DAY: Final = 86_400
HOUR: Final = 3_600
_EPOCH: Final = date(1970, 1, 1)
_TOLD_BEYOND: Final = 1_200
"""Days after the end that still have a text: terms and promises reach beyond the period."""

MONTH_WEIGHTS: Final = (92, 98, 110, 104, 101, 99, 82, 74, 112, 115, 113, 80)
WEEKDAY_WEIGHTS: Final = (100, 108, 106, 102, 88, 22, 18)
_STANDARD: Final = {"Europe/Berlin": 1, "Europe/London": 0, "America/New_York": -5}
"""Hours ahead of UTC in winter."""


def day_number(day: date) -> int:
    return (day - _EPOCH).days


def day_number_of(text: str) -> int:
    return day_number(date.fromisoformat(text))


def _sunday(year: int, month: int, number: int) -> int:
    """The day number of the n-th Sunday of a month, or of the last one for -1."""
    if number < 0:
        last = date(year, month + 1, 1) - timedelta(days=1)
        return day_number(last - timedelta(days=(last.weekday() + 1) % 7))
    first = date(year, month, 1)
    return day_number(first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1)))


def _summer(zone: str, year: int) -> tuple[int, int]:
    """First day of summer time, and the first day after it."""
    if zone.startswith("Europe/"):
        return _sunday(year, 3, -1), _sunday(year, 10, -1)
    return _sunday(year, 3, 2), _sunday(year, 11, 1)


class Period:
    """[start, end) in days and months, with tables of what is asked a million times."""

    def __init__(self, start: date, months: int) -> None:
        firsts = [
            date(start.year + (start.month - 1 + n) // 12, (start.month - 1 + n) % 12 + 1, 1) for n in range(months + 1)
        ]
        self.months = [first.isoformat()[:7] for first in firsts[:-1]]
        self.first_day, self.last_day = day_number(firsts[0]), day_number(firsts[-1])
        self.start, self.end = self.first_day * DAY, self.last_day * DAY
        self._bounds = [day_number(first) for first in firsts]
        self._month_of_day = [
            month for month in range(months) for _ in range(self._bounds[month], self._bounds[month + 1])
        ]
        days = [firsts[0] + timedelta(days=n) for n in range(self.last_day - self.first_day + _TOLD_BEYOND)]
        self._day_texts = [day.isoformat() for day in days]
        self._weekdays = [day.weekday() for day in days]
        self._offsets = {zone: list(_offsets(zone, days)) for zone in _STANDARD}
        weights = [
            MONTH_WEIGHTS[day.month - 1] * WEEKDAY_WEIGHTS[day.weekday()]
            for day in days[: self.last_day - self.first_day]
        ]
        self._busy = list(accumulate(weights))

    def month_of(self, at: int) -> int:
        """The index of the month that holds an instant of the period."""
        return self._month_of_day[at // DAY - self.first_day]

    def bounds(self) -> list[int]:
        """The instants at which months begin, and the end."""
        return [day * DAY for day in self._bounds]

    def quarter_of(self, at: int) -> str:
        month = self.months[self.month_of(at)]
        return f"{month[:4]}-Q{(int(month[5:]) + 2) // 3}"

    def busy_day(self, share: float) -> int:
        """The day up to which that share of all business of the period falls."""
        return self.first_day + min(bisect_right(self._busy, share * self._busy[-1]), len(self._busy) - 1)

    def day(self, number: int) -> str:
        """A day as text; one beyond what terms may reach is the last that has one."""
        return self._day_texts[min(number - self.first_day, len(self._day_texts) - 1)]

    def offset(self, zone: str, day: int) -> int:
        """Hours ahead of UTC on that day, as from its morning on."""
        table = self._offsets[zone]
        return table[min(day - self.first_day, len(table) - 1)]

    def local_day(self, zone: str, at: int) -> int:
        return (at + self.offset(zone, at // DAY) * HOUR) // DAY

    def month_start_after(self, at: int) -> int:
        """Day number of the first day of the month after the one that holds the instant."""
        return self._bounds[self.month_of(at) + 1]

    def weekday(self, day: int) -> int:
        return self._weekdays[min(day - self.first_day, len(self._weekdays) - 1)]

    def workday(self, day: int) -> int:
        """That day, or the Monday after it."""
        weekday = self.weekday(day)
        return day if weekday < 5 else day + 7 - weekday

    def at_work(self, zone: str, day: int, chance: Chance) -> int:
        """An instant in the working hours (9 to 17, local) of that day or of the Monday after it."""
        day = self.workday(day)
        return day * DAY + 9 * HOUR + int(chance.draw() * 8 * HOUR) - self.offset(zone, day) * HOUR

    def instant(self, at: int) -> str:
        """RFC 3339 in UTC."""
        day, second = divmod(at, DAY)
        return f"{self.day(day)}T{second // HOUR:02}:{second // 60 % 60:02}:{second % 60:02}Z"

    def local_instant(self, zone: str, at: int) -> str:
        """RFC 3339 with the offset of the place."""
        hours = self.offset(zone, at // DAY)
        day, second = divmod(at + hours * HOUR, DAY)
        text = f"{self.day(day)}T{second // HOUR:02}:{second // 60 % 60:02}:{second % 60:02}"
        return f"{text}{hours:+03}:00" if hours else f"{text}Z"


def _offsets(zone: str, days: list[date]) -> Iterator[int]:
    standard = _STANDARD[zone]
    summers = {year: _summer(zone, year) for year in range(days[0].year, days[-1].year + 1)}
    for day in days:
        begin, end = summers[day.year]
        yield standard + (begin <= day_number(day) < end)
