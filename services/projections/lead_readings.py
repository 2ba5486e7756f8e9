"""How read models of leads read an event: the typed fact, where it sorts, and a compact note to fold it again from."""

from collections.abc import Mapping
from typing import cast

import msgspec

from schemas.codec import UnknownEvent, body_of, business_at, order_key
from schemas.envelope import Recorded
from schemas.events import EVENTS, LeadBody
from schemas.lead import Fact
from services.kernel.errors import Poison
from services.projections.days import EPOCH, instant_of
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


_decode_note = msgspec.msgpack.Decoder(_Note).decode


class LeadReader:
    """Reads the events of leads for one fold, and recalls them from notes.

    `stand_ins` are event types of whose data the fold looks at nothing, each with the body that it is given instead of
    the event's own: that is neither decoded nor kept in the note. Of most companies' events two thirds are activities.
    """

    def __init__(self, stand_ins: Mapping[str, LeadBody] | None = None) -> None:
        self._stand_ins = dict(stand_ins or {})

    def read(self, event: Recorded) -> Reading:
        """The reading of an event.

        Raises:
            Poison: its type or schema version is unknown to this program, or its data do not fit.
        """
        meta, kind, data = event.meta, event.type, event.data
        schema_version = meta.get("dataschema", 1) if meta else 1
        try:
            body = self._stand_ins.get(kind)
            if body is None:
                body = cast(LeadBody, body_of(event))
            elif schema_version > EVENTS[kind].version:
                raise UnknownEvent(f"no {kind} of schema version {schema_version} is known here")
            else:
                data = b""
            key = order_key(event.occurred_at, meta, kind, body)
            at = business_at(event.occurred_at, meta, body) if "timeprecision" in meta else event.occurred_at
        except (UnknownEvent, ValueError, KeyError) as error:
            raise Poison(
                f"{kind} cannot be read: {type(error).__name__}", position=event.position, stream=event.stream
            ) from error
        version = event.version
        fact = Fact(key, version, kind, at, body)
        return Reading((key, version), fact, _encode((*key, version, kind, schema_version, data)))

    def recall(self, note: bytes) -> Reading:
        """The reading that left this note."""
        kept = _decode_note(note)
        at = instant_of(kept.at)
        body = self._stand_ins.get(kept.type)
        if body is None:
            event = Recorded(
                partition=0, position=0, stream="", version=kept.version, type=kept.type, source="", id="", occurred_at=at,
                recorded_at=EPOCH, data=kept.data, meta={"dataschema": kept.schema_version},
            )  # fmt: skip
            body = cast(LeadBody, body_of(event))
        key = (kept.at, kept.no_sequence, kept.sequence, kept.rank)
        return Reading((key, kept.version), Fact(key, kept.version, kept.type, at, body), note)
