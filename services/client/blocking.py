"""`Door` for programs without an event loop. Use it from one thread, or give each thread its own."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from services.client.answers import Answer
from services.client.door import Door
from services.client.outgoing import Outgoing


class BlockingDoor:
    """Takes what `Door` takes and does what it does, and returns when it is done."""

    def __init__(self, url: str, key: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._door = Door(url, key, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._runner.run(self._door.close())
        self._runner.close()

    def append(self, sent: Outgoing, *, strict: bool = False) -> Answer:
        return self._runner.run(self._door.append(sent, strict=strict))

    def append_batch(self, batch: Sequence[Outgoing], *, atomic: bool = False, strict: bool = False) -> list[Answer]:
        return self._runner.run(self._door.append_batch(batch, atomic=atomic, strict=strict))

    def append_lines(self, events: Iterable[Outgoing], *, strict: bool = False) -> Iterator[Answer]:
        answers = self._door.append_lines(events, strict=strict)
        while (answer := self._runner.run(_next(answers))) is not None:
            yield answer


async def _next(answers: AsyncIterator[Answer]) -> Answer | None:
    return await anext(answers, None)
