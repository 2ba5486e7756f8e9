"""What a query asks, read strictly: instants, zones and lists of names. Every refusal is 422 and names the parameter."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from functools import cache
from zoneinfo import available_timezones

from schemas.rules import TIME_PATTERN
from schemas.rules import instant as instant_of_text
from services.projections.days import end_of_date, start_of_date
from services.projections.query.parameters import refused
from services.projections.readings import Freshness

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_YEARS = range(1900, 2200)


def zone(given: str | None, default: str) -> str:
    """The IANA zone asked for. Raises Invalid for one that does not exist."""
    if given is not None and given not in _zones():
        raise refused("zone", "is no time zone of the IANA database, such as Europe/Berlin.")
    return given or default


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def instant(name: str, given: str | None, in_zone: str, *, begins: bool = False) -> datetime | None:
    """An RFC 3339 instant, in UTC; a date is its end in the zone, or its begin; None where nothing was given.

    Raises Invalid for anything else, and for a year that no event can have.
    """
    if given is None:
        return None
    try:
        if _DATE.fullmatch(given):
            day = date.fromisoformat(given)
            found = start_of_date(day, in_zone) if begins else end_of_date(day, in_zone)
        elif re.match(TIME_PATTERN, given):
            found = instant_of_text(given)
        else:
            raise refused(name, "must be RFC 3339 with an offset (a + is written %2B), or a date.")
    except (ValueError, OverflowError):
        raise refused(name, "is not in the calendar.") from None
    if found.year not in _YEARS:
        raise refused(name, f"must lie in the years {_YEARS.start} to {_YEARS.stop - 1}.")
    return found


def names(name: str, given: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """A list with commas, each of `known` and once, in the order given. Raises Invalid."""
    if given is None:
        return ()
    found = tuple(given.split(","))
    if len(found) > len(known) or len(set(found)) < len(found) or not set(found) <= set(known):
        raise refused(name, f"must be a list, each once, of: {', '.join(known)}.")
    return found


def known(given: datetime | None, fresh: Freshness) -> tuple[datetime | None, list[str]]:
    """The `known_at` to apply, and what there is to say about it: no later than what is known for sure."""
    if given is None or (fresh.through is not None and given <= fresh.through):
        return given, []
    if fresh.through is None:
        return datetime.fromisoformat("1900-01-01T00:00:00+00:00"), [
            "Some partition has not been read at all yet, so nothing is known for sure at any instant."
        ]
    return fresh.through, [
        "known_at was cut back to known_through: what is recorded later is not applied in every partition yet."
    ]
