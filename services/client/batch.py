"""What a subscription gives: batches of one partition, in order, each with the place that it leads to."""

from collections.abc import Collection, Sequence

import msgspec

from schemas.codec import UnknownEvent, body_of
from schemas.envelope import Recorded
from schemas.events import Body
from services.client.checkpoint import Place


class Received(msgspec.Struct, frozen=True):
    """One event of the log. `body` is its typed data in the newest version of its type.

    None: a type or a version that this release does not know; its JSON stands in `recorded.data`. Do not stop at it: a type
    may be added at any time.
    """

    recorded: Recorded
    body: Body | None

    @property
    def type(self) -> str:
        return self.recorded.type

    @property
    def stream(self) -> str:
        return self.recorded.stream


class Batch(msgspec.Struct, frozen=True):
    """Events of one partition, in order. Their effect and `place` belong into one transaction.

    `after` is the place before the batch. `events` are those of the types that were asked for; it may be empty: the place has
    moved all the same, and saving it saves reading the same again.
    """

    partition: int
    after: Place
    place: Place
    events: Sequence[Received]


def batch_of(
    partition: int, after: Place, place: Place, events: Sequence[Recorded], types: Collection[str] | None
) -> Batch:
    wanted = [each for each in events if types is None or each.type in types]
    return Batch(partition, after, place, [Received(each, _body(each)) for each in wanted])


def _body(recorded: Recorded) -> Body | None:
    try:
        return body_of(recorded)
    except UnknownEvent:
        return None
