"""How far a reader is behind the log, by partition, and a watchdog that says so."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

_logger = logging.getLogger(__name__)


class Lag(NamedTuple):
    """`position` is the last event given to the reader, `head` the last one of the log; None while nobody has asked yet.

    `seconds`: between the time of the one and the time mark of the log, both by the log's own clock.
    """

    position: int
    head: int | None
    seconds: float

    @property
    def events(self) -> int:
        return max(0, (self.head or 0) - self.position)


def lag_of(position: int, seen_at: datetime | None, head: int | None, through: datetime | None) -> Lag:
    """`seen_at` is the recorded_at of the event at `position` where it is known."""
    behind = head is not None and head > position
    seconds = (through - seen_at).total_seconds() if behind and through and seen_at else 0.0
    return Lag(position, head, max(0.0, seconds))


async def watch(lags: Callable[[], Mapping[int, Lag]], every_s: float) -> None:
    """Every `every_s`, warn of each partition that is behind and did not move, and tell how far all are behind."""
    before: Mapping[int, Lag] = {}
    while True:
        await asyncio.sleep(every_s)
        now = lags()
        for partition, lag in now.items():
            if lag.events and partition in before and before[partition].position == lag.position:
                _logger.warning(
                    "partition %d stands still at %d, %d events behind the log: is a batch taking more than %.0f s, or is the "
                    "service away?", partition, lag.position, lag.events, every_s,
                )  # fmt: skip
        behind = sum(lag.events for lag in now.values())
        if behind:
            _logger.info("%d events behind, %.1f s", behind, max(lag.seconds for lag in now.values()))
        before = now
