"""How long to go on trying, and how long to wait between two tries: longer each time, never in step with others."""

import asyncio
import logging
import secrets
from typing import Final

import httpx

from services.client.errors import NoAnswer

_logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.1
JITTER: Final = 0.5
"""This part of a pause is left to chance, so that a hundred clients do not come back in the same instant."""


class Patience:
    """One call's patience of `seconds` (None: no end), begun when it is made. Needs a running event loop."""

    def __init__(self, seconds: float | None, *, longest_pause_s: float = 5.0) -> None:
        self._clock = asyncio.get_running_loop().time
        self._seconds = seconds
        self._until = None if seconds is None else self._clock() + seconds
        self._longest_pause_s = longest_pause_s
        self._pause_s = FIRST_PAUSE_S

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline, zero at least; None where there is none."""
        return None if self._until is None else max(0.0, self._until - self._clock())

    def went_well(self) -> None:
        """The next pause is a short one again."""
        self._pause_s = FIRST_PAUSE_S

    async def wait(self, trouble: str, asked_s: float = 0.0) -> None:
        """Pause before the next try: as long as the other side asked for at least.

        Raises NoAnswer where the next try would come after the deadline; nobody is kept waiting for that.
        """
        chance = secrets.randbelow(1_000) / 1_000
        pause_s = max(asked_s, self._pause_s * (1 - JITTER * chance))
        left_s = self.left_s
        if left_s is not None and pause_s >= left_s:
            raise NoAnswer(
                f"{trouble}, for {self._seconds:.0f} s. Some of it may be stored: make the same call again, it stores nothing twice"
            )
        _logger.warning("%s; trying again in %.1f s", trouble, pause_s)
        await asyncio.sleep(pause_s)
        self._pause_s = min(self._pause_s * 2, self._longest_pause_s)


def asked_pause_s(answer: httpx.Response) -> float:
    """`Retry-After` in seconds; a date, or nothing, is as good as none."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdigit() and len(text) < 6 else 0.0
