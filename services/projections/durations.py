"""How long something took, in whole days.

Between two instants it is floor(seconds / 86,400), whatever the zone. Where either is known to the day only, the calendar
difference counts: such a fact is dated at the last microsecond of its day in its own offset, and that offset cuts both days.
"""

_DAY = 86_400_000_000
_MINUTE = 60_000_000


def duration_days(start: int, end: int) -> int:
    """Whole days from one instant to another, both in µs; negative where the end comes first."""
    for precise_to_the_day in (end, start):
        if precise_to_the_day % _MINUTE == _MINUTE - 1:
            offset = _DAY - 1 - precise_to_the_day % _DAY  # of that day's end from the end of the day in UTC
            if offset > _DAY * 14 // 24:
                offset -= _DAY
            return (end + offset) // _DAY - (start + offset) // _DAY
    return (end - start) // _DAY
