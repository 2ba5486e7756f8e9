"""The rule that proves that nothing is missing: every event is the next position, or it was seen before. Pure."""

from collections.abc import Sequence

from schemas.envelope import Recorded
from services.client.checkpoint import Place
from services.client.errors import Diverged


class Reading:
    """How far a partition has been read: `place`."""

    def __init__(self, partition: int, place: Place) -> None:
        self.partition = partition
        self.place = place

    def take(self, events: Sequence[Recorded]) -> tuple[list[Recorded], bool]:
        """(what is new, whether a hole came after it). What was seen before is dropped; nothing is taken from behind a hole.

        Raises Diverged: another event stands where this reader has read one.
        """
        fresh: list[Recorded] = []
        for event in events:
            position, event_id = self.place
            if event.position == position + 1:
                fresh.append(event)
                self.place = Place(event.position, event.id)
            elif event.position > position:
                return fresh, True
            elif event.position == position and event_id not in (None, event.id):
                raise Diverged(
                    self.partition, f"another event stands at position {position} than the one that was read there"
                )
        return fresh, False
