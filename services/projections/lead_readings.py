"""How read models of leads read an event: the typed fact, where it sorts, and a compact note to fold it again from."""

from collections.abc import Sequence

import msgspec

from schemas.codec import UnknownEvent, body_of
from schemas.corrections import effective, is_correction
from schemas.envelope import Recorded
from schemas.fact import Fact, fact_of
from services.kernel.errors import Poison
from services.projections.days import EPOCH, instant_of, micros
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
    ref: bytes
    said_at: int | None
    of_day: bool = False
    pipeline: str | None = None


_decode_notes = msgspec.msgpack.Decoder(list[_Note]).decode
_ARRAY = b"\xdd"
"""MessagePack's array with a length of four bytes, after which the elements stand without anything between them."""


class LeadReader:
    """Reads the events of streams for one fold, and recalls them from notes."""

    def read(self, event: Recorded) -> Reading:
        """The reading of an event.

        Raises:
            Poison: its type or schema version is unknown to this program, or its data do not fit.
        """
        version = event.version
        try:
            body = body_of(event)
            fact = fact_of(event, version, body)
        except (UnknownEvent, ValueError, KeyError) as error:
            raise Poison(
                f"{event.type} cannot be read: {type(error).__name__}", position=event.position, stream=event.stream
            ) from error
        said_at = None if fact.said_at is None else micros(fact.said_at)
        note = _encode((
            *fact.key, version, event.type, event.meta.get("dataschema", 1), event.data, fact.ref, said_at, fact.of_day,
            fact.pipeline,
        ))  # fmt: skip
        return Reading((fact.key, version), fact, note, is_correction(body))

    def recall(self, notes: bytes, count: int) -> list[Reading]:
        """The readings that left these notes, one after another."""
        return [self._recalled(note) for note in _decode_notes(_ARRAY + count.to_bytes(4, "big") + notes)]

    def _recalled(self, kept: _Note) -> Reading:
        at = instant_of(kept.at)
        event = Recorded(
            partition=0, position=0, stream="", version=kept.version, type=kept.type, source="", id="", occurred_at=at,
            recorded_at=EPOCH, data=kept.data, meta={"dataschema": kept.schema_version},
        )  # fmt: skip
        body = body_of(event)
        key = (kept.at, kept.no_sequence, kept.sequence, kept.rank)
        said_at = None if kept.said_at is None else instant_of(kept.said_at)
        fact = Fact(key, kept.version, kept.type, at, body, kept.ref, said_at, kept.of_day, kept.pipeline)
        return Reading((key, kept.version), fact, _encode(kept), is_correction(body))

    @staticmethod
    def counting(readings: Sequence[Reading]) -> list[Reading]:
        """The readings as they count: corrections resolved away, each where its corrected data put it."""
        facts = effective(reading.item for reading in readings).facts
        return [Reading((fact.key, fact.version), fact, b"") for fact in facts]
