"""The log over HTTP, by position: `GET /v1/log/{partition}`. It is the truth, and what fills every hole."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import httpx

from schemas.envelope import Recorded
from schemas.wire import NotAnEvent, from_structured
from services.client.checkpoint import BEGINNING, Place
from services.client.errors import Away, Diverged, KeyRefused, NotTheService
from services.client.patience import asked_pause_s

MOST_PARTITIONS = 1_024


class Page(NamedTuple):
    """Events in order of position, the position of the partition's last event, and its time mark.

    No later event of the partition has a recorded_at before `through`.
    """

    events: list[Recorded]
    head: int
    through: datetime


class Feed:
    """The feed of one lifecycle service, with a key that has the scope `events:read`."""

    def __init__(self, url: str, key: str, *, at_once: int = 64, http: Mapping[str, Any] | None = None) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(40, connect=5),
            limits=httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once),
            **(http or {}),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def read(self, partition: int, after: Place, *, limit: int = 1_000, wait_s: float = 0.0) -> Page:
        """At most `limit` events after that place; where there is none yet, wait up to `wait_s` (30) seconds for one.

        Raises Away, Diverged, KeyRefused, NotTheService.
        """
        answer = await self._get(partition, after, limit, wait_s)
        if answer.status_code != 200:
            raise NotTheService(f"{self.url} answers {answer.status_code} for partition {partition}: {_detail(answer)}")
        try:
            events = [from_structured(line) for line in answer.content.split(b"\n") if line]
            return Page(events, int(answer.headers["log-head"]), datetime.fromisoformat(answer.headers["log-through"]))
        except (NotAnEvent, KeyError, ValueError) as error:
            raise NotTheService(f"{self.url} gives something else than a page of a log") from error

    async def end(self, partition: int) -> Place:
        """The place of the last event there is now. Raises as `read`."""
        head = (await self.read(partition, BEGINNING, limit=1)).head
        if head == 0:
            return BEGINNING
        page = await self.read(partition, Place(head - 1), limit=1)
        return Place(page.events[0].position, page.events[0].id)

    async def partitions(self) -> int:
        """How many partitions the log has: they are numbered from 0. Raises as `read`."""
        there, beyond = 0, MOST_PARTITIONS
        while beyond - there > 1:
            middle = 12 if (there, beyond) == (0, MOST_PARTITIONS) else (there + beyond) // 2
            if (await self._get(middle, BEGINNING, 1, 0)).status_code == 404:
                beyond = middle
            else:
                there = middle
        return beyond

    async def _get(self, partition: int, after: Place, limit: int, wait_s: float) -> httpx.Response:
        parameters: dict[str, str | int | float] = {"after": after.position, "limit": limit}
        if after.event_id is not None and after.position:
            parameters["id"] = after.event_id
        if wait_s:
            parameters["wait"] = wait_s
        try:
            answer = await self._http.get(f"/v1/log/{partition}", params=parameters)
        except httpx.RequestError as error:
            raise Away(f"the feed at {self.url} does not answer ({type(error).__name__})") from error
        if answer.status_code == 409:
            raise Diverged(partition, _detail(answer) or "the log went back in time")
        if answer.status_code in (401, 403):
            raise KeyRefused(f"{self.url} refuses the key ({answer.status_code}): it needs the scope events:read")
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise Away(f"the feed at {self.url} answers {answer.status_code}", asked_pause_s(answer))
        return answer


def _detail(answer: httpx.Response) -> str:
    try:
        said = answer.json()
    except ValueError:
        return ""
    return str(said.get("detail", "")) if isinstance(said, dict) else ""
