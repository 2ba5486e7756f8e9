"""Days of a zone neither overlap nor leave a hole, whatever its clocks do."""

from datetime import UTC, date, datetime, timedelta

import pytest

from services.projections.days import Days, end_of_date, instant_of, micros


def day_of(zone: str, text: str) -> date:
    return date(1970, 1, 1) + timedelta(days=Days.of_zone(zone).of(micros(datetime.fromisoformat(text))))


@pytest.mark.parametrize(
    ("zone", "instant", "day"),
    [
        ("UTC", "2025-03-30T00:00:00Z", "2025-03-30"),
        ("UTC", "2025-03-29T23:59:59.999999Z", "2025-03-29"),
        ("Europe/Berlin", "2025-03-29T22:59:59.999999Z", "2025-03-29"),
        ("Europe/Berlin", "2025-03-29T23:00:00Z", "2025-03-30"),
        ("Europe/Berlin", "2025-03-30T22:00:00Z", "2025-03-31"),  # a day of 23 hours
        ("Europe/Berlin", "2025-10-26T22:59:59Z", "2025-10-26"),  # a day of 25
        ("Asia/Kathmandu", "2025-01-01T18:15:00Z", "2025-01-02"),
        ("America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04"),  # no midnight: the day begins at one
        ("America/St_Johns", "2010-11-07T02:30:30Z", "2010-11-07"),  # midnight came, then 23:01 of the day before again
        ("America/St_Johns", "2010-11-07T02:45:00Z", "2010-11-07"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31"),  # there was no 30 December
    ],
)
def test_the_day_of_an_instant(zone: str, instant: str, day: str) -> None:
    assert day_of(zone, instant) == date.fromisoformat(day)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "America/Sao_Paulo", "Pacific/Apia"])
def test_an_instant_lies_between_the_beginnings_of_its_day_and_the_next(zone: str) -> None:
    days = Days.of_zone(zone)
    at = micros(datetime(2009, 1, 1, tzinfo=UTC))
    for _ in range(20_000):
        at += 7_777_777_777
        day = days.of(at)
        assert days.start(day) <= at < days.start(day + 1)


def test_the_end_of_a_date_is_the_beginning_of_the_next() -> None:
    assert end_of_date(date(2025, 3, 29), "Europe/Berlin") == datetime(2025, 3, 29, 23, tzinfo=UTC)
    assert end_of_date(date(2018, 11, 3), "America/Sao_Paulo") == datetime(2018, 11, 4, 3, tzinfo=UTC)


def test_micros_are_exact_both_ways() -> None:
    for instant in (datetime(1900, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)):
        assert instant_of(micros(instant)) == instant
