"""Events on their way, several batches at once and yet each subject in order: a subject has one lane, a lane one batch."""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from zlib import crc32

import msgspec

from services.cli.importing.delivery import Delivery, Result
from services.cli.importing.row import Reason, Row
from services.cli.importing.tally import Tally

LANES: Final = 4
BATCH_EVENTS: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024

_encode = msgspec.json.Encoder().encode


class Traveller:
    """A row whose events are under way; when the last one is answered it is done, or refused for `reasons`."""

    __slots__ = ("open", "reasons", "row")

    def __init__(self, row: Row, events: int) -> None:
        self.row = row
        self.open = events
        self.reasons: list[Reason] = []


Batch = list[tuple[bytes, Traveller]]


class Lanes:
    """`run` works until `close`; `put` waits while the lane is full. `refused` is called once for each refused row."""

    def __init__(self, delivery: Delivery, tally: Tally, refused: Callable[[Row, list[Reason]], None]) -> None:
        self._delivery = delivery
        self._tally = tally
        self._refused = refused
        self._filling: list[Batch] = [[] for _ in range(LANES)]
        self._bytes = [0] * LANES
        self._queues: list[asyncio.Queue[Batch | None]] = [asyncio.Queue(maxsize=1) for _ in range(LANES)]

    async def put(self, row: Row, events: list[dict[str, Any]]) -> None:
        """Send the events of a row, in their order as far as they are of one subject."""
        traveller = Traveller(row, len(events))
        for event in events:
            lane = crc32(event["subject"].encode()) % LANES
            encoded = _encode(event)
            self._filling[lane].append((encoded, traveller))
            self._bytes[lane] += len(encoded)
            if len(self._filling[lane]) >= BATCH_EVENTS or self._bytes[lane] >= BATCH_BYTES:
                await self._send(lane)

    async def close(self) -> None:
        """Send what is left and let the lanes end."""
        for lane in range(LANES):
            if self._filling[lane]:
                await self._send(lane)
        for queue in self._queues:
            await queue.put(None)

    async def run(self, lane: int) -> None:
        """Work through one lane. Raises what Delivery.post raises."""
        while (batch := await self._queues[lane].get()) is not None:
            results = await self._delivery.post([encoded for encoded, _ in batch])
            for (_, traveller), result in zip(batch, results, strict=True):
                self._note(traveller, result)

    async def _send(self, lane: int) -> None:
        batch, self._filling[lane], self._bytes[lane] = self._filling[lane], [], 0
        await self._queues[lane].put(batch)

    def _note(self, traveller: Traveller, result: Result) -> None:
        tally = self._tally
        if result["status"] == 201:
            tally.new += 1
            if "anomaly" in result:
                tally.anomalous += 1
        elif result["status"] == 200:
            tally.known += 1
        else:
            tally.refused += 1
            traveller.reasons += _reasons(result)
        traveller.open -= 1
        if not traveller.open and traveller.reasons:
            tally.rows_refused += 1
            self._refused(traveller.row, traveller.reasons)


def _reasons(result: Result) -> list[Reason]:
    errors = result.get("errors") or []
    if errors:
        return [Reason(error["pointer"], error["detail"]) for error in errors]
    return [Reason(str(result.get("code", result["status"])), str(result.get("detail", "is refused")))]
