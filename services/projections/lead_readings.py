"""How read models of leads read an event: the typed fact, where it sorts, and a compact note to fold it again from."""

from collections.abc import Mapping
from typing import cast

import msgspec

from schemas.codec import UnknownEvent, body_of, business_at, order_key
from schemas.envelope import Recorded
from schemas.events import EVENTS, LeadBody
from schemas.lead import Fact
from services.kernel.errors import Poison
from services.projections.days import EPOCH, MICROSECOND, instant_of
from services.projections.ledger import Reading

_encode = msgspec.msgpack.Encoder().encode


class _Note(msgspec.Struct, array_like=True, gc=False):
    at: int
    no_sequence: int
    sequence: str
    rank: int
    version: int
    type: str
    schema_version: int
    data: bytes


_decode_notes = msgspec.msgpack.Decoder(list[_Note]).decode
_ARRAY = b"\xdd"
"""MessagePack's array with a length of four bytes, after which the elements stand without anything between them."""


class LeadReader:
    """Reads the events of leads for one fold, and recalls them from notes.

    `stand_ins` are event types of whose data the fold looks at nothing, each with the body that it is given instead of
    the event's own: that is neither decoded nor kept in the note. Of most companies' events two thirds are activities.
    """

    def __init__(self, stand_ins: Mapping[str, LeadBody] | None = None) -> None:
        """`effective_at` sorts an event, so a type that has it needs its own data."""
        self._stand_ins = dict(stand_ins or {})
        assert not any(hasattr(body, "effective_at") for body in self._stand_ins.values())
        self._ranks = {kind: EVENTS[kind].rank for kind in self._stand_ins}

    def read(self, event: Recorded) -> Reading:
        """The reading of an event.

        Raises:
            Poison: its type or schema version is unknown to this program, or its data do not fit.
        """
        meta, kind, data, at = event.meta, event.type, event.data, event.occurred_at
        version, schema_version = event.version, meta.get("dataschema", 1)
        body = self._stand_ins.get(kind)
        if body is not None and not meta:  # most events of all: the shortest way to what stands below
            key = ((at - EPOCH) // MICROSECOND, 1, "", self._ranks[kind])
            note = _encode((*key, version, kind, 1, b""))
            return Reading((key, version), Fact(key, version, kind, at, body), note)
        try:
            if body is None:
                body = cast(LeadBody, body_of(event))
            elif schema_version > EVENTS[kind].version:
                raise UnknownEvent(f"no {kind} of schema version {schema_version} is known here")
            else:
                data = b""
            key = order_key(at, meta, kind, body)
            if "timeprecision" in meta:
                at = business_at(at, meta, body)
        except (UnknownEvent, ValueError, KeyError) as error:
            raise Poison(
                f"{kind} cannot be read: {type(error).__name__}", position=event.position, stream=event.stream
            ) from error
        note = _encode((*key, version, kind, schema_version, data))
        return Reading((key, version), Fact(key, version, kind, at, body), note)

    def recall(self, notes: bytes, count: int) -> list[Reading]:
        """The readings that left these notes, one after another."""
        return [self._recalled(note) for note in _decode_notes(_ARRAY + count.to_bytes(4, "big") + notes)]

    def _recalled(self, kept: _Note) -> Reading:
        at = instant_of(kept.at)
        body = self._stand_ins.get(kept.type)
        if body is None:
            event = Recorded(
                partition=0, position=0, stream="", version=kept.version, type=kept.type, source="", id="", occurred_at=at,
                recorded_at=EPOCH, data=kept.data, meta={"dataschema": kept.schema_version},
            )  # fmt: skip
            body = cast(LeadBody, body_of(event))
        key = (kept.at, kept.no_sequence, kept.sequence, kept.rank)
        return Reading((key, kept.version), Fact(key, kept.version, kept.type, at, body), _encode(kept))
