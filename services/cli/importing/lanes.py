"""Events on their way, several batches at once and yet each subject in order: a subject has one lane, a lane one batch."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from services.cli.importing.delivery import Delivery, Result
from services.cli.importing.mapping import Translated
from services.cli.importing.row import Reason, Row
from services.cli.importing.rules import Repeated
from services.cli.importing.tally import Tally

LANES: Final = 4
BATCH_EVENTS: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
MISMATCH: Final = "idempotency-mismatch"
"""How the service answers an event whose source and id it knows, with other content."""

_encode = msgspec.json.Encoder().encode


class Traveller:
    """Rows whose events are under way together; when the last one is answered they are done, or refused for `reasons`."""

    __slots__ = ("open", "reasons", "rows")

    def __init__(self, rows: list[Row], events: int) -> None:
        self.rows = rows
        self.open = events
        self.reasons: dict[int, list[Reason]] = {}


class Item(NamedTuple):
    """One event under way: `row` is the place of its row among those of its traveller."""

    encoded: bytes
    traveller: Traveller
    row: int
    repeated: Repeated


Batch = list[Item]


class Lanes:
    """`run` works until `close`; `put` waits while the lane is full. `refused` is called once for each refused row."""

    def __init__(self, delivery: Delivery, tally: Tally, refused: Callable[[Row, list[Reason]], None]) -> None:
        self._delivery = delivery
        self._tally = tally
        self._refused = refused
        self._filling: list[Batch] = [[] for _ in range(LANES)]
        self._bytes = [0] * LANES
        self._queues: list[asyncio.Queue[Batch | None]] = [asyncio.Queue(maxsize=1) for _ in range(LANES)]

    async def put(self, rows: list[Row], translated: list[Translated]) -> None:
        """Send the events of rows that belong together, in their order as far as they are of one subject."""
        traveller = Traveller(rows, sum(len(each.events) for each in translated))
        for place, each in enumerate(translated):
            for event, repeated in zip(each.events, each.repeated, strict=True):
                lane = crc32(event["subject"].encode()) % LANES
                encoded = _encode(event)
                self._filling[lane].append(Item(encoded, traveller, place, repeated))
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
            results = await self._delivery.post([item.encoded for item in batch])
            for item, result in zip(batch, results, strict=True):
                self._note(item, result)

    async def _send(self, lane: int) -> None:
        batch, self._filling[lane], self._bytes[lane] = self._filling[lane], [], 0
        await self._queues[lane].put(batch)

    def _note(self, item: Item, result: Result) -> None:
        tally, traveller = self._tally, item.traveller
        if result["status"] == 201:
            tally.new += 1
            if "anomaly" in result:
                tally.anomalous += 1
        elif result["status"] == 200:
            tally.known += 1
        elif result.get("code") == MISMATCH and item.repeated != "refused":
            tally.known += 1
            tally.kept += item.repeated == "kept"
        else:
            tally.refused += 1
            traveller.reasons.setdefault(item.row, []).extend(_reasons(result))
        traveller.open -= 1
        if not traveller.open and traveller.reasons:
            tally.rows_refused += len(traveller.rows)
            for row, reasons in together(traveller.rows, traveller.reasons):
                self._refused(row, reasons)


def together(rows: list[Row], reasons: dict[int, list[Reason]]) -> Iterator[tuple[Row, list[Reason]]]:
    """Rows that belong together are refused together, so that they can be mended and imported together."""
    first = rows[min(reasons)].line
    for place, row in enumerate(rows):
        yield row, reasons.get(place) or [Reason("row", f"belongs to the series of line {first}, which is refused")]


def _reasons(result: Result) -> list[Reason]:
    errors = result.get("errors") or []
    if errors:
        return [Reason(error["pointer"], error["detail"]) for error in errors]
    code, detail = str(result.get("code", result["status"])), str(result.get("detail", "is refused"))
    if code == MISMATCH:
        detail = f"{detail.rstrip('.')}: an earlier import told this row otherwise. `changes` in the mapping says what of it may change"
    return [Reason(code, detail)]
