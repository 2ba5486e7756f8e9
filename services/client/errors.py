"""What can go wrong between a program and the log, as one tree; each message says what to do."""

from typing import Final


class KitError(Exception):
    """Root of everything that this package raises on purpose."""


class KeyRefused(KitError):
    """The service does not take the key, or the key lacks a scope: `events:write` to post, `events:read` to follow."""


class NoAnswer(KitError):
    """Patience ended before the service answered. Some of it may be stored; the same call again is always safe."""


class NotTheService(KitError):
    """What answers there is no lifecycle service, or one that this package is too old for."""


class Diverged(KitError):
    """The log does not hold the event that this reader has seen last: its checkpoint is of another history."""

    def __init__(self, partition: int, why: str) -> None:
        super().__init__(f"Partition {partition}: {why}. {WHAT_TO_DO}")
        self.partition = partition


class Fenced(KitError):
    """The checkpoint is not where this reader left it: another process of the same reader is at work. Roll back, and stop."""


class Away(KitError):
    """Service or broker does not answer now. A subscription waits and tries again; it is raised by `Feed` alone.

    `asked_s`: how long the service asks to be left alone, in seconds.
    """

    def __init__(self, why: str, asked_s: float = 0.0) -> None:
        super().__init__(why)
        self.asked_s = asked_s


WHAT_TO_DO: Final = (
    "The log and this reader do not belong together, so it stops before it mixes two histories. If the log was restored to an "
    "older state by mistake, have the newer one restored; if what is there is to stand, empty what this reader has written, "
    "delete its checkpoint, and let it read from the beginning"
)
