"""Who waits for new events is woken: in process at once, across processes by a coalesced NOTIFY, and by a slow poll.

NOTIFY inside a writing transaction takes a lock that serialises all commits, so it is sent on a connection of its own,
after the commit, at most once in `pause_s`. A lost NOTIFY costs one poll interval, never an event.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from services.kernel import postgres
from services.kernel.log import Log

_logger = structlog.get_logger(__name__)


class Heads:
    """The newest known position of each partition of one placement, and an event to wait on for each."""

    def __init__(
        self, log: Log, *, channel: str, poll_s: float = 0.5, pause_s: float = 0.005, silence_s: float = 5.0
    ) -> None:
        self._log = log
        self._channel = channel
        self._poll_s = poll_s
        self._pause_s = pause_s
        self._silence_s = silence_s
        self.positions = dict.fromkeys(log.owned, 0)
        self._waiting: set[asyncio.Event] = set()
        self._unsent: dict[int, int] = {}
        self._send = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._poll(), name="heads poll"),
            asyncio.create_task(self._exchange(), name="heads notify"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def appended(self, heads: dict[int, int]) -> None:
        """This process committed up to `heads`: wake its own waiters now, the other processes soon."""
        self._advance(heads.items())
        self._unsent.update(heads)
        self._send.set()

    def subscribe(self) -> asyncio.Event:
        """An event that is set whenever some head rises. Clear it before looking, give it back when done."""
        event = asyncio.Event()
        self._waiting.add(event)
        return event

    def unsubscribe(self, event: asyncio.Event) -> None:
        self._waiting.discard(event)

    async def wait_beyond(self, partition: int, position: int, timeout_s: float) -> bool:
        """Wait until the partition is known to reach beyond `position`, at most `timeout_s`."""
        event = self.subscribe()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    while self.positions[partition] <= position:
                        await event.wait()
                        event.clear()
            return self.positions[partition] > position
        finally:
            self.unsubscribe(event)

    def _advance(self, heads: Iterable[tuple[int, int]]) -> None:
        risen = False
        for partition, position in heads:
            if position > self.positions.get(partition, -1):
                self.positions[partition] = position
                risen = True
        if risen:
            for event in self._waiting:
                event.set()

    async def _poll(self) -> None:
        while True:
            with suppress(*postgres.TROUBLE):
                self._advance((partition, head.position) for partition, head in (await self._log.heads()).items())
            await asyncio.sleep(self._poll_s)

    async def _exchange(self) -> None:
        """Send our heads and hear the others', on a connection that is made again whenever it breaks.

        Who only listens is not told of a cut: after `silence_s` without a head to send, the connection is tried.
        """
        while True:
            try:
                async with self._log.pool.acquire() as connection:
                    await connection.add_listener(self._channel, self._heard)
                    try:
                        await self._notify(connection)
                    finally:
                        with suppress(*postgres.TROUBLE):
                            await connection.remove_listener(self._channel, self._heard)
            except postgres.TROUBLE as error:
                _logger.warning("the wake-up channel broke; polling until it is back", error=postgres.described(error))
                await asyncio.sleep(1.0)

    async def _notify(self, connection: Any) -> None:
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    await self._send.wait()
            except TimeoutError:
                await connection.execute("SELECT 1", timeout=self._silence_s)
                continue
            self._send.clear()
            unsent, self._unsent = self._unsent, {}
            heads = list(unsent.items())
            for start in range(0, len(heads), 200):  # a payload of NOTIFY is below 8,000 bytes
                payload = msgspec.json.encode(heads[start : start + 200]).decode()
                await connection.execute("SELECT pg_notify($1, $2)", self._channel, payload)
            await asyncio.sleep(self._pause_s)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        with suppress(msgspec.DecodeError, msgspec.ValidationError):
            self._advance(msgspec.json.decode(str(payload), type=list[tuple[int, int]]))
