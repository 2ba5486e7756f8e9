"""How every read model of leads reads an event: the typed fact, where it sorts, and a compact note to fold it again from."""

from typing import cast

import msgspec

from schemas.codec import UnknownEvent, body_of, business_at, order_key
from schemas.envelope import Recorded
from schemas.events import LeadBody
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


def read(event: Recorded) -> Reading:
    """The reading of an event of a lead.

    Raises:
        Poison: its type or schema version is unknown to this program, or its data do not fit.
    """
    meta = event.meta
    try:
        body = cast(LeadBody, body_of(event))
        key = order_key(event.occurred_at, meta, event.type, body)
        at = business_at(event.occurred_at, meta, body) if "timeprecision" in meta else event.occurred_at
    except (UnknownEvent, ValueError, KeyError) as error:
        raise Poison(
            f"{event.type} cannot be read: {type(error).__name__}", position=event.position, stream=event.stream
        ) from error
    version = event.version
    fact = Fact(key=key, version=version, type=event.type, at=at, body=body)
    return Reading((key, version), fact, _encode((*key, version, event.type, meta.get("dataschema", 1), event.data)))


def recall(note: bytes) -> Reading:
    """The reading that left this note."""
    kept = _decode_note(note)
    at = instant_of(kept.at)
    event = Recorded(
        partition=0, position=0, stream="", version=kept.version, type=kept.type, source="", id="", occurred_at=at,
        recorded_at=EPOCH, data=kept.data, meta={"dataschema": kept.schema_version},
    )  # fmt: skip
    key = (kept.at, kept.no_sequence, kept.sequence, kept.rank)
    fact = Fact(key=key, version=kept.version, type=kept.type, at=at, body=cast(LeadBody, body_of(event)))
    return Reading((key, kept.version), fact, note)
