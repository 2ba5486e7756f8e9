"""A stream as the store holds it, and as it stands while a batch is decided."""

from typing import Any

import msgspec

from schemas.envelope import Event, Recorded
from services.kernel.decider import Decider

OrderKey = tuple[int, int, str, int]

_encode = msgspec.json.Encoder(order="sorted").encode


class StreamRecord(msgspec.Struct, frozen=True, gc=False):
    """A stream as it stands in the store: its version, the order of its last fact, its fold."""

    version: int
    key: OrderKey
    state: Any


class _StoredState(msgspec.Struct):
    key: OrderKey
    fold: msgspec.Raw


_decode_state = msgspec.json.Decoder(_StoredState).decode


def decode_state(text: str, version: int, decider: Decider) -> StreamRecord:
    stored = _decode_state(text)
    return StreamRecord(version, stored.key, decider.decode(bytes(stored.fold)))


def encode_state(key: OrderKey, fold: bytes) -> str:
    return f'{{"key":{_encode(key).decode()},"fold":{fold.decode()}}}'


class Working:
    """A stream while a batch is decided."""

    __slots__ = ("base", "history", "key", "partition", "state", "version")

    def __init__(
        self, record: StreamRecord, partition: int, history: list[tuple[Event | Recorded, Any]] | None
    ) -> None:
        self.base = self.version = record.version
        self.key = record.key
        self.state = record.state
        self.partition = partition
        self.history = history
        """All events so far with their facts, by version; None where nothing of the batch needs them."""

    def snapshot(self) -> tuple[int, OrderKey, Any, list[Any] | None]:
        return self.version, self.key, self.state, None if self.history is None else list(self.history)

    def restore(self, saved: tuple[int, OrderKey, Any, list[Any] | None]) -> None:
        self.version, self.key, self.state, self.history = saved
