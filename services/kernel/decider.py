"""What the log asks of a kind of stream: how its events are ordered, folded and judged. Pure; no I/O, no clock.

Source of the shape: Jérémie Chassaing's decider (initial state, decide, evolve); here `decide` judges facts that other
systems report rather than commands, so it has three answers (normal, implied, anomalous) and a rare fourth, `Invalid`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from schemas.envelope import Event, Recorded


class Fact(Protocol):
    """An event as a fold reads it. `key` orders it in its stream; `version` breaks ties."""

    @property
    def key(self) -> tuple[int, int, str, int]: ...

    @property
    def version(self) -> int: ...


Histories = Mapping[str, Sequence[tuple[Event | Recorded, Any]]]
"""By stream: its events so far in order of version, each with its fact; a stream without events may be missing."""


class Around(NamedTuple):
    """What is known besides the event when it is asked what follows: histories by stream, and the streams that were found."""

    histories: Histories
    found: Sequence[str]


class Verdict(NamedTuple):
    """How a step was judged: types it implies, and why it is anomalous (None = it is not)."""

    implied: tuple[str, ...] = ()
    anomaly: str | None = None


class Decider(Protocol):
    """One kind of stream. `state` is opaque to the kernel; `encode` gives it as JSON."""

    unknown: Any

    def fact(self, event: Event | Recorded, version: int) -> Any: ...

    def refuse(self, state: Any, event: Event, fact: Any) -> None:
        """Raise `Invalid` for what no order of arrival could make a fact of this stream."""

    def refolds(self, state: Any, fact: Any) -> bool:
        """Whether the fact changes how earlier ones count, so that the whole stream must be folded again."""

    def check_history(self, event: Event, fact: Any, facts: Sequence[Any]) -> None:
        """As `refuse`, for a fact that refolds: all earlier facts of its stream are at hand."""

    def fold(self, facts: Iterable[Any]) -> Any:
        """The state after all facts of a stream, given in any order."""

    def evolve(self, state: Any, fact: Any) -> Any:
        """The state after one more fact, which sorts after all before it and does not refold."""

    def searches(self, event: Event, fact: Any, around: Around) -> tuple[str, ...] | None:
        """The labels that streams must all have on which something follows; None where nothing must be searched.

        `around` holds the event's own history where the fact refolds.
        """

    def reads(self, event: Event, fact: Any, before: Any, around: Around) -> set[str]:
        """Other streams whose history `derive` needs; `around` has what was found too."""

    def derive(self, event: Event, fact: Any, before: Any, after: Any, around: Around) -> list[Event]:
        """The events of other streams that follow from this one, with ids that follow from it alone."""

    def verdict(self, before: Any, after: Any, fact: Any) -> Verdict: ...

    def stamp(self, before: Any, after: Any, fact: Any) -> dict[str, str]:
        """Extension attributes that are stored with the event, because a later fold could not know them again."""

    def normal_next(self, state: Any) -> list[str]: ...

    def summary(self, state: Any) -> dict[str, Any]:
        """The few words of a state that a refused caller is told."""

    def labels(self, state: Any) -> tuple[str, ...]:
        """What lists of such streams are filtered by, as `name=value`; sorted, no U+001F in them."""

    def encode(self, state: Any) -> bytes: ...

    def decode(self, state: bytes) -> Any: ...


Deciders = Mapping[str, Decider]
"""By the stream's type: the part of its name before the slash."""


def decider_of(deciders: Deciders, stream: str) -> Decider:
    return deciders[stream.partition("/")[0]]
