"""An event as a fold reads it, and the order in which the facts of a stream fold."""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.envelope import Event, Recorded
from schemas.events.registry import EVENTS

OrderKey = tuple[int, int, str, int]
"""(business_at in µs since 1970, 0 or 1 = no sequence, sequence, rank of the type); the version breaks ties."""

PIPELINE = "pipelineversion"
"""The extension attribute by which the log says which pipeline a capture chose: a later version of it changes no past."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Fact(msgspec.Struct, frozen=True, gc=False):
    """One event of a stream: `at` is its business_at, `said_at` its occurred_at (of a day: the end of it).

    `ref` is `reference(source, id)`: by it a correction names the event that it is about.
    """

    key: OrderKey
    version: int
    type: str
    at: datetime
    body: Any
    ref: bytes = b""
    said_at: datetime | None = None
    of_day: bool = False
    pipeline: str | None = None
    """`name@version` of the pipeline that the event put its lead on when it was stored."""


def reference(source: str, id: str) -> bytes:
    """Eight bytes that stand for an event's (source, id) among the events of one stream."""
    return blake2b(f"{source}\0{id}".encode(), digest_size=8).digest()


def fact_of(event: Event | Recorded, version: int, body: Any) -> Fact:
    """The fact that an event states; `body` is its typed data in the newest version of its type."""
    key = order_key(event.occurred_at, event.meta, event.type, body)
    said_at = None
    if getattr(body, "effective_at", None) is not None:
        said_at = business_at(event.occurred_at, event.meta, None)
    meta = event.meta
    return Fact(
        key, version, event.type, instant_of(key), body, reference(event.source, event.id), said_at,
        meta.get("timeprecision") == "day", meta.get(PIPELINE),
    )  # fmt: skip


def instant_of(key: OrderKey) -> datetime:
    """The business_at of an order key, in UTC."""
    return EPOCH + timedelta(microseconds=key[0])


def business_at(occurred_at: datetime, meta: dict[str, Any], body: Any) -> datetime:
    """The instant by which figures date an event, in UTC.

    It is the body's `effective_at` where there is one, else occurred_at; of an event known to the day only, the last
    microsecond of that day in the event's own offset, so that it sorts after the timed events of the day.
    """
    at: datetime = getattr(body, "effective_at", None) or occurred_at
    if meta.get("timeprecision") != "day":
        return at.astimezone(UTC)
    own = at if at is not occurred_at or "time" not in meta else msgspec.convert(meta["time"], datetime)
    return own.replace(hour=23, minute=59, second=59, microsecond=999_999).astimezone(UTC)


def order_key(occurred_at: datetime, meta: dict[str, Any], type_name: str, body: Any) -> OrderKey:
    """Where an event stands among those of its stream; equal keys go by version.

    (business_at in µs since 1970, 1 where `sequence` is missing, `sequence` with digits padded to 20, rank of the type).
    """
    at = occurred_at
    if meta.get("timeprecision") == "day" or getattr(body, "effective_at", None) is not None:
        at = business_at(occurred_at, meta, body)
    sequence: str = meta.get("sequence", "")
    if sequence.isdigit() and sequence.isascii():
        sequence = sequence.zfill(20)
    return (at - EPOCH) // _MICROSECOND, 0 if "sequence" in meta else 1, sequence, EVENTS[type_name].rank
