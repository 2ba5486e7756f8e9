"""What callers hand to the committer, and what they are told: events that belong together, and one outcome for each call."""

from datetime import datetime
from typing import Any

import msgspec

from schemas.envelope import Event
from services.kernel.errors import SalescycleError


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The answer to one event. `repeated`: it was stored before, and this is the first answer again."""

    source: str
    id: str
    stream: str
    version: int
    partition: int
    position: int
    recorded_at: datetime
    implied: tuple[str, ...] = ()
    anomaly: str | None = None
    repeated: bool = False


class Receipt(msgspec.Struct, frozen=True, gc=False):
    digest: bytes
    answer: Appended


class Sink:
    """Where the outcomes of one call are gathered: one for each submission, an answer list or an error."""

    __slots__ = ("future", "outcomes", "remaining")

    def __init__(self, future: Any, size: int) -> None:
        self.future = future
        self.outcomes: list[list[Appended] | SalescycleError | None] = [None] * size
        self.remaining = size

    def deliver(self, index: int, outcome: list[Appended] | SalescycleError) -> None:
        if self.outcomes[index] is not None:
            return  # told already: a connection may break after the batch was committed and answered
        self.outcomes[index] = outcome
        self.remaining -= 1
        if self.remaining == 0 and not self.future.done():
            self.future.set_result(self.outcomes)


class Submission(msgspec.Struct, eq=False, gc=False):
    """Events that are stored together or not at all; one event, but for an atomic batch."""

    events: tuple[Event, ...]
    strict: bool
    sink: Sink
    index: int
    size: int

    def deliver(self, outcome: list[Appended] | SalescycleError) -> None:
        self.sink.deliver(self.index, outcome)
