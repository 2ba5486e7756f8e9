"""Where a subscriber of the whole log stands: a position in every partition, and a proof that this is the log he has read.

The proof is one digest over the last event of each partition. Positions alone would let a reader go on in a log that was
restored to an older state and has grown past him again: he would miss what took the place of the events he has seen.
"""

from hashlib import blake2b
from typing import Any

import msgspec

from schemas.envelope import Recorded
from services.kernel.errors import BadCursor, LogDiverged
from services.kernel.http_listing import decode_cursor, encode_cursor
from services.kernel.placements import Placements

_Cursor = tuple[int, list[int]]
"""The digest, the positions in order of partition."""


class Stand:
    """`positions` by partition; `marks`: a 64-bit digest of the event there, 0 before the first."""

    def __init__(self, positions: list[int], marks: list[int]) -> None:
        self.positions = positions
        self.marks = marks

    @classmethod
    async def at(cls, placements: Placements, cursor: str | None) -> "Stand":
        """Where `cursor` stands: None is the beginning, `now` the end of the log.

        Raises:
            BadCursor: it is none of this feed.
            LogDiverged: the log does not hold what the reader has seen: it went back in time.
        """
        stand = cls([0] * placements.partitions, [0] * placements.partitions)
        if cursor == "now":
            for placement in placements.all:
                for partition, head in (await placement.log.heads()).items():
                    stand.positions[partition] = head.position
            stand.marks = await stand._marks_of(placements)
        elif cursor:
            try:
                digest, positions = msgspec.convert(decode_cursor(cursor), _Cursor)
            except msgspec.ValidationError:
                raise BadCursor("the cursor is not one of this feed") from None
            if len(positions) != placements.partitions:
                raise BadCursor("the cursor is not one of this feed")
            stand.positions = positions
            stand.marks = await stand._marks_of(placements)
            stand._compare(digest)
        return stand

    @property
    def cursor(self) -> str:
        state: Any = (self._digest(), self.positions)
        return encode_cursor(state)

    async def check(self, placements: Placements) -> None:
        """Raises LogDiverged where the log no longer holds what was read."""
        digest = self._digest()
        self.marks = await self._marks_of(placements)
        self._compare(digest)

    def follows(self, partition: int, last: Recorded | None) -> None:
        """Raises LogDiverged unless `last`, the event that the log holds where this reader stands, is the one he has seen."""
        if last is None or _mark(partition, last.position, last.id) != self.marks[partition]:
            raise _diverged()

    def move(self, event: Recorded) -> None:
        self.positions[event.partition] = event.position
        self.marks[event.partition] = _mark(event.partition, event.position, event.id)

    async def _marks_of(self, placements: Placements) -> list[int]:
        marks = [0] * placements.partitions
        for placement in placements.all:
            ids = await placement.log.ids_at({p: self.positions[p] for p in placement.log.owned if self.positions[p]})
            for partition, event_id in ids.items():
                marks[partition] = _mark(partition, self.positions[partition], event_id)
        return marks

    def _digest(self) -> int:
        digest = 0
        for mark in self.marks:
            digest ^= mark
        return digest

    def _compare(self, digest: int) -> None:
        if self._digest() != digest:
            raise _diverged()


def _mark(partition: int, position: int, event_id: str) -> int:
    return int.from_bytes(blake2b(f"{partition}:{position}:{event_id}".encode(), digest_size=8).digest())


def _diverged() -> LogDiverged:
    return LogDiverged(
        "the log no longer holds what the reader has seen: it was restored to an older state, or is another"
    )
