"""`Door`: posts events so that each is stored once, whatever happens to the network, the service or this program.

Whatever may have been stored is sent again byte for byte: after a cut connection, a time-out, 408, 429 and every 5xx. The
service knows an event by (source, id) and answers what it answered first. A refusal (4xx) is final and is never sent again.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar
from zlib import crc32

import httpx
import msgspec

from services.client.answers import Answer, Stored, answer_to
from services.client.errors import KeyRefused, NotTheService
from services.client.outgoing import Outgoing
from services.client.patience import Patience, asked_pause_s

SINGLE: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
LINES: Final = "application/x-ndjson"
MAX_BATCH: Final = 1_000
"""What the service takes in one batch."""
LANE_EVENTS: Final = 500
LANE_BYTES: Final = 4 * 2**20

T = TypeVar("T")
_decode = msgspec.json.Decoder().decode


class Trouble(NamedTuple):
    """Why a try gave no answer, and how long the service asked us to wait (seconds)."""

    what: str
    asked_s: float = 0.0


class Door:
    """The door of one lifecycle service at `url`, with a key that has the scope `events:write`.

    At most `at_once` requests are under way. A call tries for `patience_s` and raises NoAnswer then; one try may take
    `request_timeout_s`. `http` goes to httpx.AsyncClient as it is (`verify`, `cert`, `proxy`).
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        patience_s: float = 60.0,
        request_timeout_s: float = 30.0,
        at_once: int = 4,
        http: Mapping[str, Any] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._patience_s = patience_s
        self._lanes = at_once
        self._slots = asyncio.Semaphore(at_once)
        self._http = httpx.AsyncClient(
            headers={"authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(request_timeout_s, connect=min(5.0, request_timeout_s)),
            limits=httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once),
            **(http or {}),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def append(self, sent: Outgoing, *, strict: bool = False) -> Answer:
        """Post one event. `strict`: an implied or anomalous step is refused (`illegal-transition`) instead of kept.

        Raises NoAnswer, KeyRefused, NotTheService.
        """

        def read(answer: httpx.Response) -> Answer:
            return answer_to(sent, answer.status_code, _members(answer))

        return await self._until_answered(sent.line, SINGLE, read, strict=strict)

    async def append_batch(
        self, batch: Sequence[Outgoing], *, atomic: bool = False, strict: bool = False
    ) -> list[Answer]:
        """Post up to 1,000 events in one request; one answer each, in order. `atomic`: all are stored or none.

        Raises NoAnswer, KeyRefused, NotTheService; ValueError: too many.
        """
        if len(batch) > MAX_BATCH:
            raise ValueError(f"a batch holds at most {MAX_BATCH} events; append_lines takes any number")
        if not batch:
            return []
        tries = _Tries(batch)

        def read(answer: httpx.Response) -> list[Answer] | Trouble | None:
            if answer.status_code == 200:
                return tries.read(_decode(answer.content))
            # a limit that the batch as a whole breaks: smaller ones will show whose fault it is
            return [answer_to(each, answer.status_code, _members(answer)) for each in batch] if whole else None

        whole = atomic or len(batch) == 1
        content = b"[" + b",".join([each.line for each in batch]) + b"]"
        answers = await self._until_answered(content, BATCH, read, strict=strict, atomic=atomic)
        if answers is not None:
            return answers
        half = len(batch) // 2
        return [
            *await self.append_batch(batch[:half], strict=strict),
            *await self.append_batch(batch[half:], strict=strict),
        ]

    async def append_lines(
        self, events: Iterable[Outgoing] | AsyncIterable[Outgoing], *, strict: bool = False
    ) -> AsyncIterator[Answer]:
        """Post any number of events as NDJSON; one answer each, in the order of `events`, as they are stored.

        `events` is read a few thousand ahead. The events of one subject are stored in their order; subjects travel side by
        side. Stop and start again anywhere: what is sent again is answered Known. Raises NoAnswer, KeyRefused, NotTheService.
        """
        async for block in _blocks(events, self._lanes):
            lanes: dict[int, list[int]] = {}
            for number, sent in enumerate(block):
                lanes.setdefault(crc32(sent.subject.encode()) % self._lanes, []).append(number)
            tasks = [
                asyncio.create_task(self._lane([block[number] for number in numbers], strict))
                for numbers in lanes.values()
            ]
            try:
                answered = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            in_order = {
                number: answer
                for numbers, answers in zip(lanes.values(), answered, strict=True)
                for number, answer in zip(numbers, answers, strict=True)
            }
            for number in range(len(block)):
                yield in_order[number]

    async def _lane(self, events: Sequence[Outgoing], strict: bool) -> list[Answer]:
        tries = _Tries(events)

        def read(answer: httpx.Response) -> list[Answer] | Trouble:
            if answer.status_code != 200:
                raise NotTheService(f"{self.url} answers {answer.status_code} to lines of events: {_detail(answer)}")
            lines = answer.content.splitlines()
            if len(lines) != len(events):
                return Trouble("ended its answer early")
            return tries.read([_decode(line) for line in lines])

        return await self._until_answered(b"\n".join([each.line for each in events]), LINES, read, strict=strict)

    async def _until_answered(
        self,
        content: bytes,
        kind: str,
        read: Callable[[httpx.Response], T | Trouble],
        *,
        strict: bool,
        atomic: bool = False,
    ) -> T:
        """Send the same bytes until `read` makes something of the answer. Raises NoAnswer, KeyRefused, NotTheService."""
        patience = Patience(self._patience_s)
        headers = {"content-type": kind, **({"prefer": "handling=strict"} if strict else {})}
        while True:
            said = await self._once(content, headers, {"atomic": "true"} if atomic else {}, patience, read)
            if not isinstance(said, Trouble):
                return said
            await patience.wait(f"{self.url} {said.what}", said.asked_s)

    async def _once(
        self,
        content: bytes,
        headers: Mapping[str, str],
        parameters: Mapping[str, str],
        patience: Patience,
        read: Callable[[httpx.Response], T | Trouble],
    ) -> T | Trouble:
        try:
            async with asyncio.timeout(patience.left_s), self._slots:
                answer = await self._http.post(
                    f"{self.url}/v1/events", content=content, headers=headers, params=parameters
                )
        except (httpx.RequestError, TimeoutError) as error:
            return Trouble(f"does not answer ({type(error).__name__})")
        status = answer.status_code
        if status >= 500 or status in (408, 429):
            return Trouble(f"answers {status}", asked_pause_s(answer))
        if status in (401, 403):
            raise KeyRefused(f"{self.url} refuses the key ({status}): it needs the scope events:write")
        if status < 200 or 300 <= status < 400 or status in (404, 405):
            raise NotTheService(f"{self.url}/v1/events answers {status}: is this the address of a lifecycle service?")
        try:
            return read(answer)
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
            raise NotTheService(f"{self.url} answers {status} with something else than an answer to events") from error


class _Tries:
    """The answers of several tries of one request: what a try has stored, the next one calls known."""

    def __init__(self, events: Sequence[Outgoing]) -> None:
        self._events = events
        self._stored: dict[int, Stored] = {}

    def read(self, items: Sequence[dict[str, Any]]) -> list[Answer] | Trouble:
        """The final answers; Trouble while the service could not decide on one of them."""
        if len(items) != len(self._events):
            raise ValueError("an answer for each event is missing")
        undecided = next((item["status"] for item in items if item["status"] >= 500 or item["status"] == 429), None)
        answers = [answer_to(sent, item["status"], item) for sent, item in zip(self._events, items, strict=True)]
        for number, answer in enumerate(answers):
            if isinstance(answer, Stored):
                self._stored[number] = answer
        if undecided is not None:
            return Trouble(f"could not store all of a request ({undecided})")
        return [self._stored.get(number, answer) for number, answer in enumerate(answers)]


def _members(answer: httpx.Response) -> Any:
    try:
        return _decode(answer.content)
    except msgspec.DecodeError:
        return None


def _detail(answer: httpx.Response) -> str:
    said = _members(answer)
    return str(said.get("detail", "")) if isinstance(said, dict) else ""


async def _blocks(events: Iterable[Outgoing] | AsyncIterable[Outgoing], lanes: int) -> AsyncIterator[list[Outgoing]]:
    block: list[Outgoing] = []
    size = 0
    async for sent in _each(events):
        block.append(sent)
        size += len(sent.line)
        if len(block) >= lanes * LANE_EVENTS or size >= lanes * LANE_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


async def _each(events: Iterable[Outgoing] | AsyncIterable[Outgoing]) -> AsyncIterator[Outgoing]:
    if isinstance(events, AsyncIterable):
        async for sent in events:
            yield sent
    else:
        for sent in events:
            yield sent
