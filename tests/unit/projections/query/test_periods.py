"""Periods: given a stretch, a zone and an interval, when it is cut, then these are the pieces, and nothing lies between."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import RangeTooWide
from services.projections.days import start_of_date
from services.projections.query.periods import INTERVALS, Interval, periods

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Pacific/Kiritimati",
)
INSTANTS = st.integers(0, 2 * 10**9).map(lambda second: datetime.fromtimestamp(second, UTC))


def named(start: str, end: str, interval: Interval, zone: str = "UTC", fiscal_start: int = 1) -> list[str]:
    cut = periods(datetime.fromisoformat(start), datetime.fromisoformat(end), interval, zone, fiscal_start)
    return list(cut.names)


@given(
    INSTANTS,
    st.timedeltas(timedelta(microseconds=1), timedelta(days=800)),
    st.sampled_from(INTERVALS),
    st.sampled_from(ZONES),
    st.integers(1, 12),
)
def test_the_pieces_lie_side_by_side_and_fill_the_whole(
    start: datetime, length: timedelta, interval: Interval, zone: str, fiscal_start: int
) -> None:
    cut = periods(start, start + length, interval, zone, fiscal_start)
    assert (cut.start, cut.end) == (start, start + length)
    assert len(cut.edges) == len(cut.names) + 1 == len(cut) + 1
    assert all(one <= other for one, other in zip(cut.edges, cut.edges[1:], strict=False))
    assert len(set(cut.names)) == len(cut.names)


@given(
    INSTANTS,
    st.integers(1, 900),
    st.sampled_from(ZONES),
    st.integers(1, 12),
    st.sampled_from(("week", "month", "quarter", "year")),
)
def test_every_longer_period_is_made_of_whole_days(
    start: datetime, days: int, zone: str, fiscal_start: int, interval: Interval
) -> None:
    """So its figures are the sums of those of its days, whatever the clocks do."""
    end = start + timedelta(days=days)
    daily = periods(start, end, "day", zone)
    longer = periods(start, end, interval, zone, fiscal_start)
    assert set(longer.edges) <= set(daily.edges)


def test_a_day_is_as_long_as_the_clocks_make_it() -> None:
    cut = periods(
        start_of_date(date(2025, 3, 29), "Europe/Berlin"),
        start_of_date(date(2025, 4, 1), "Europe/Berlin"),
        "day",
        "Europe/Berlin",
    )
    lengths = [(b - a) / timedelta(hours=1) for a, b in zip(cut.edges, cut.edges[1:], strict=False)]
    assert lengths == [24, 23, 24]
    assert cut.cut == (False, False)


def test_the_day_that_apia_left_out_is_empty() -> None:
    cut = periods(datetime(2011, 12, 29, 10, tzinfo=UTC), datetime(2011, 12, 31, 10, tzinfo=UTC), "day", "Pacific/Apia")
    assert cut.names == ("2011-12-29", "2011-12-30", "2011-12-31")
    assert cut.edges[1] == cut.edges[2]


def test_what_begins_before_from_or_ends_after_to_is_not_whole() -> None:
    cut = periods(datetime(2025, 1, 15, tzinfo=UTC), datetime(2025, 3, 15, tzinfo=UTC), "month", "UTC")
    assert [cut.whole(index) for index in range(3)] == [False, True, False]


def test_names() -> None:
    assert named("2024-12-30T00:00Z", "2025-01-07T00:00Z", "week") == ["2025-W01", "2025-W02"]
    assert named("2025-01-01T00:00Z", "2025-08-01T00:00Z", "quarter") == ["2025-Q1", "2025-Q2", "2025-Q3"]
    assert named("2025-01-01T00:00Z", "2025-08-01T00:00Z", "quarter", fiscal_start=2) == [
        "FY2025-Q4",
        "FY2026-Q1",
        "FY2026-Q2",
    ]
    assert named("2025-01-01T00:00Z", "2026-12-31T00:00Z", "year", fiscal_start=7) == ["FY2025", "FY2026", "FY2027"]
    assert named("2025-03-30T23:30Z", "2025-03-31T23:30Z", "day", "Europe/Berlin") == ["2025-03-31", "2025-04-01"]


def test_too_many() -> None:
    with pytest.raises(RangeTooWide):
        periods(datetime(2000, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC), "day", "UTC")
