"""Events on their way out: a CloudEvent with an id that the caller can make again, as the bytes that every try sends."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote

import msgspec

from schemas.events import EVENTS, Body

MAX_ID: Final = 128
_encode = msgspec.json.Encoder().encode


class Outgoing(msgspec.Struct, frozen=True):
    """One event, ready to be sent as often as it takes: `line` is its structured CloudEvent on one line of JSON."""

    source: str
    id: str
    subject: str
    type: str
    line: bytes


def event(
    body: Body | Mapping[str, Any],
    subject: str,
    *,
    source: str,
    id: str,
    time: datetime | str,
    type: str | None = None,
    expected_version: int | None = None,
    **attributes: str | int | bool,
) -> Outgoing:
    """An event of the stream `subject` (such as `lead/L-1`) that happened at `time`.

    `body` is a struct of `schemas.events`, or the plain `data`; then `type` names it. (source, id) is what the service knows
    it by, for ever: make the id from what the event is about (`id_of`), never from a clock or at random, so that the same fact
    has the same id in every try, also after a crash. `expected_version` is the version that the stream must have (0: no
    event yet), else the answer is Refused with code `version-conflict`. `attributes` are further CloudEvents attributes:
    `sequence`, `timeprecision="day"`, `correlationid`, `causationid`, `traceparent`, or your own.

    Raises ValueError: a time without its offset, or a body of no known type.
    """
    name, data, version = _typed(body, type)
    document: dict[str, Any] = {
        "specversion": "1.0", "id": id, "source": source, "type": name, "subject": subject, "time": _instant(time), **attributes
    }  # fmt: skip
    if version > 1:
        document.setdefault("dataschema", f"/schemas/{name}/{version}")
    if expected_version is not None:
        document["expectedversion"] = expected_version
    return Outgoing(source=source, id=id, subject=subject, type=name, line=_encode({**document, "data": data}))


def id_of(*parts: str | int) -> str:
    """An event id from what the event is about: the same parts give the same id, other parts another one.

    `id_of("invoice", 88, "paid")` is `invoice:88:paid`. Longer than an id may be, its end is a digest.
    """
    whole = ":".join(quote(str(part), safe="/@+=,~") for part in parts)
    if not whole:
        raise ValueError("an id needs at least one part that is not empty")
    if len(whole) <= MAX_ID:
        return whole
    return f"{whole[:80]}:{blake2b(whole.encode(), digest_size=16).hexdigest()}"


def _typed(body: Body | Mapping[str, Any], type_name: str | None) -> tuple[str, Any, int]:
    """Name of the type, data, and the schema version that the data is written in."""
    if isinstance(body, Body):
        name = body.__class__.__name__
        kind = EVENTS.get(name)
        if kind is None or kind.body is not body.__class__ or type_name not in (None, name):
            raise ValueError(f"{name} is not the newest body of an event type; take it from schemas.events")
        return name, body, kind.version
    if type_name is None:
        raise ValueError("plain data says nothing of its type: give type=, such as type='Won'")
    # A type that this release does not know may be known to the service: it decides.
    return type_name, body, EVENTS[type_name].version if type_name in EVENTS else 1


def _instant(time: datetime | str) -> str:
    if isinstance(time, str):
        return time
    if time.tzinfo is None:
        raise ValueError("the time needs its offset: datetime(…, tzinfo=…)")
    return time.isoformat()
