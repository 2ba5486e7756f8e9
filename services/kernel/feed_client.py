"""Reads another service's log over its HTTP feed: the other half of `services.kernel.feed`."""

from datetime import datetime
from typing import NamedTuple

import httpx

from schemas.envelope import Recorded
from schemas.wire import NotAnEvent, from_structured
from services.kernel.errors import Diverged, LogDiverged, Unauthenticated, Unavailable


class Page(NamedTuple):
    """Events in position order, the partition's head, and the time before which nothing more will be recorded."""

    events: list[Recorded]
    head: int
    through: datetime


class FeedClient:
    """One log's feed at `base_url`, read with `key` (scope `events:read`)."""

    def __init__(self, base_url: str, key: str) -> None:
        self.base_url = base_url.rstrip("/")
        limits = httpx.Limits(max_connections=16, max_keepalive_connections=16)
        self._http = httpx.AsyncClient(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(30, connect=5),
            limits=limits,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def read(
        self, partition: int, after: int, event_id: str | None, *, limit: int = 5_000, wait_s: float = 0
    ) -> Page:
        """At most `limit` events after `after`, which must be the position of `event_id` (None = not checked).

        Raises:
            LogDiverged: the log does not hold that event there: it was restored to an older state.
            Unauthenticated: the key is wrong, or lacks `events:read`.
            Unavailable: the service does not answer.
        """
        parameters: dict[str, str | int | float] = {"after": after, "limit": limit}
        if event_id is not None and after:
            parameters["id"] = event_id
        if wait_s:
            parameters["wait"] = wait_s
        try:
            answer = await self._http.get(f"/v1/log/{partition}", params=parameters)
        except httpx.HTTPError as error:
            raise Unavailable(f"the feed at {self.base_url} does not answer: {type(error).__name__}") from error
        if answer.status_code == 409:
            raise LogDiverged(str(answer.json().get("detail", "the log went back in time")))
        if answer.status_code in (401, 403):
            raise Unauthenticated(
                f"the feed at {self.base_url} refuses the key: it needs the scope events:read (SALESCYCLE_KEY)"
            )
        if answer.status_code != 200:
            raise Unavailable(f"the feed at {self.base_url} answers {answer.status_code}")
        try:
            events = [from_structured(line) for line in answer.content.split(b"\n") if line]
        except NotAnEvent as error:
            raise Diverged(f"the feed at {self.base_url} gives a line that is no event") from error
        return Page(events, int(answer.headers["Log-Head"]), datetime.fromisoformat(answer.headers["Log-Through"]))
