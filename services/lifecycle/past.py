"""A stream as it stood: now, at an instant of the business, as it was known at another, or at one of its versions.

What is stored with a stream is the fold of all its events. It is the answer for now, unless an event lies ahead (a
cancellation that takes effect later) or time alone has changed something; then, and for every past, the events are folded anew.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple, Protocol

from fastapi import Query

from schemas.fact import Fact, instant_of
from schemas.rules import TIME_PATTERN
from schemas.rules import instant as instant_of_text
from services.kernel.clock import utc_now
from services.kernel.decider import Decider
from services.kernel.errors import Flaw, Invalid, NotFound, RangeTooWide
from services.kernel.placements import Placements
from services.kernel.stream_state import decode_state

MOST_EVENTS = 20_000
"""A history that is longer is not folded for a reader."""
_PAGE = 1_000

Instant = Annotated[
    str | None, Query(max_length=40, pattern=TIME_PATTERN, description="RFC 3339 with offset; a + is written %2B")
]


class Kind(Decider, Protocol):
    """A decider that also tells how a stream of its kind stood at an instant."""

    def at(self, facts: Iterable[Fact], instant: datetime) -> Any: ...

    def changes_by(self, state: Any, instant: datetime) -> bool: ...


Kinds = Mapping[str, Kind]
"""By the stream's type."""


class Moment(NamedTuple):
    """Which state is asked for; all None: now. `as_of`: facts of before it; `known_at`: recorded before it; `version`: up to it."""

    as_of: datetime | None = None
    known_at: datetime | None = None
    version: int | None = None

    @property
    def is_now(self) -> bool:
        return self == Moment()


class Standing(NamedTuple):
    """A stream at a moment. `version` is that of the last event to arrive that was taken into account.

    `last_fact_at`: the business_at of the last fact in order; it may lie ahead where the state is that after all facts.
    """

    stream: str
    partition: int
    version: int
    state: Any
    last_fact_at: datetime


def moment(as_of: str | None, known_at: str | None, version: int | None) -> Moment:
    """The moment that a query asks for. Raises Invalid for an instant that is not in the calendar."""
    return Moment(_instant("as_of", as_of), _instant("known_at", known_at), version)


def _instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return instant_of_text(text)
    except (ValueError, OverflowError):
        raise Invalid(
            "The query breaks a rule.", errors=[Flaw(f"/query/{name}", "is no instant of the calendar.")]
        ) from None


async def standing(placements: Placements, kinds: Kinds, stream: str, asked: Moment) -> Standing:
    """The stream at the moment asked for.

    Raises:
        NotFound: nothing of it was stored, or nothing of it was known then.
        RangeTooWide: its history is longer than `MOST_EVENTS`.
    """
    kind = kinds[stream.partition("/")[0]]
    log = placements.of_stream(stream).log
    partition = placements.partition_of(stream)
    row = await log.reads.fetchrow("SELECT version, state FROM stream WHERE stream = $1", stream)
    if row is None:
        raise NotFound("no event of it is stored")
    if asked.version is not None and asked.version > row["version"]:
        raise NotFound(f"its newest version is {row['version']}")
    if asked.is_now:
        return await current(placements, kinds, stream, partition, row["version"], row["state"])
    return await _folded(placements, kind, stream, partition, asked, row["version"])


async def current(
    placements: Placements, kinds: Kinds, stream: str, partition: int, version: int, state: str
) -> Standing:
    """The stream now, of which the store holds this state; folded anew only where an event lies ahead or time has passed.

    Raises RangeTooWide as `standing`.
    """
    kind = kinds[stream.partition("/")[0]]
    record = decode_state(state, version, kind)
    now = utc_now()
    last_fact_at = instant_of(record.key)
    if last_fact_at <= now and not kind.changes_by(record.state, now):
        return Standing(stream, partition, record.version, record.state, last_fact_at)
    return await _folded(placements, kind, stream, partition, Moment(), version)


async def _folded(
    placements: Placements, kind: Kind, stream: str, partition: int, asked: Moment, version: int
) -> Standing:
    at = asked.as_of or utc_now()
    facts = await _facts(placements, kind, stream, asked, version)
    before = [fact.at for fact in facts if fact.at < at]
    if not before:
        raise NotFound("nothing of it was known then")
    return Standing(stream, partition, max(fact.version for fact in facts), kind.at(facts, at), max(before))


async def _facts(placements: Placements, kind: Kind, stream: str, asked: Moment, newest: int) -> list[Fact]:
    last = min(newest, asked.version or newest)
    if last > MOST_EVENTS:
        raise RangeTooWide(f"Its history has more than {MOST_EVENTS} events; read them at its `events`.")
    log = placements.of_stream(stream).log
    partition = placements.partition_of(stream)
    facts: list[Fact] = []
    after = 0
    while after < last:
        page = await log.read_stream(partition, stream, after, min(_PAGE, last - after))
        if not page:
            break
        after = page[-1].version
        facts += [
            kind.fact(event, event.version)
            for event in page
            if asked.known_at is None or event.recorded_at < asked.known_at
        ]
    return facts
