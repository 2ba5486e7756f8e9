"""Batches of events to the service's door, again and again until they are answered or patience ends.

Sending twice is safe: the service knows an event by its source and id, and answers what it answered first.
"""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import httpx
import msgspec

from services.cli.machine import CannotStart

FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 10.0
REQUEST_TIMEOUT_S: Final = 60.0
COME_BACK: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
TOO_MUCH: Final = frozenset({400, 413, 422})
BATCH: Final = "application/cloudevents-batch+json"

Result = dict[str, Any]


class NoAnswer(CannotStart):
    """The service did not answer for as long as we were ready to wait. What was stored stays stored."""


class Delivery:
    """The door of one lifecycle service. `waiting` is told what we wait for, and "" when it goes on."""

    def __init__(
        self, url: str, authorization: dict[str, str], *, patience_s: float, waiting: Callable[[str], None]
    ) -> None:
        self.url = url.rstrip("/")
        self._patience_s = patience_s
        self._waiting = waiting
        self._client = httpx.AsyncClient(
            headers={**authorization, "content-type": BATCH},
            timeout=httpx.Timeout(REQUEST_TIMEOUT_S, connect=5.0),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def post(self, events: list[bytes]) -> list[Result]:
        """One result for each event, in order: the answer or the problem, with `status`.

        Raises NoAnswer where patience ends, CannotStart where the service will not take anything from us.
        """
        wait_s, deadline = FIRST_WAIT_S, time.monotonic() + self._patience_s
        while True:
            try:
                answer = await self._client.post(f"{self.url}/v1/events", content=b"[" + b",".join(events) + b"]")
            except httpx.TransportError as error:
                trouble, asked_s = f"{self.url} does not answer ({type(error).__name__})", 0.0
            else:
                if answer.status_code == 200:
                    results: list[Result] = msgspec.json.decode(answer.content)
                    late = next((each for each in results if each["status"] in COME_BACK), None)
                    if late is None:
                        self._waiting("")
                        return results
                    trouble, asked_s = f"{self.url} could not store all of a batch ({late['status']})", 0.0
                elif answer.status_code in COME_BACK:
                    trouble = f"{self.url} answers {answer.status_code}"
                    asked_s = _seconds(answer.headers.get("retry-after"))
                elif answer.status_code in TOO_MUCH:
                    return await self._in_halves(events, answer)
                else:
                    raise CannotStart(_why(self.url, answer))
            pause_s = max(asked_s, wait_s)
            if time.monotonic() + pause_s > deadline:
                raise NoAnswer(f"{trouble}, tried for {self._patience_s:.0f} s")
            self._waiting(trouble)
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _in_halves(self, events: list[bytes], answer: httpx.Response) -> list[Result]:
        """The batch as a whole broke a limit: find the event that does."""
        if len(events) == 1:
            return [{**_problem(answer), "status": answer.status_code}]
        half = len(events) // 2
        return [*await self.post(events[:half]), *await self.post(events[half:])]


def _seconds(header: str | None) -> float:
    """`Retry-After` in seconds; a date, or nothing, is as good as none."""
    return float(header) if header is not None and header.isdigit() and len(header) < 6 else 0.0


def _problem(answer: httpx.Response) -> Result:
    try:
        document = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        document = None
    return document if isinstance(document, dict) else {"detail": f"the service answered {answer.status_code}"}


def _why(url: str, answer: httpx.Response) -> str:
    said = _problem(answer)
    detail = said.get("detail") or said.get("title") or ""
    if answer.status_code in {401, 403}:
        return f"{url} refuses our key ({answer.status_code}): {detail} It needs the scope events:write"
    return f"{url} answers {answer.status_code} where a lifecycle service takes events: {detail}"
