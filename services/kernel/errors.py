"""Every refusal and failure the services know, as one tree; `services.kernel.http` alone turns a class into a status.

Each class names its problem type (the slug of the page that explains it). A message never echoes the offending value.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple


class Flaw(NamedTuple):
    """Where a document is wrong: `pointer` is an RFC 6901 JSON pointer ("" = the whole document), `detail` a sentence."""

    pointer: str
    detail: str


class SalescycleError(Exception):
    """Root of all errors raised on purpose. `code` is the slug of the problem type."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str, *, errors: Sequence[Flaw] = (), **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.extra = extra


class Malformed(SalescycleError):
    """The bytes are not the JSON they claim to be (I-JSON, RFC 7493)."""

    code = "malformed-json"
    title = "The body is not valid JSON"


class TooDeep(Malformed):
    code = "too-deep"
    title = "The JSON is nested too deeply"


class TooComplex(Malformed):
    code = "too-complex"
    title = "The JSON holds too many members"


class Invalid(SalescycleError):
    """Valid JSON that breaks a schema or a rule of meaning; nothing was stored."""

    code = "validation"
    title = "The request breaks a rule of the schema"


class RangeTooWide(Invalid):
    code = "range-too-wide"
    title = "The asked range is too wide"


class BadCursor(SalescycleError):
    code = "bad-cursor"
    title = "The cursor is not one of ours"


class IdempotencyMismatch(SalescycleError):
    """The same (source, id) was stored with other content."""

    code = "idempotency-mismatch"
    title = "This id was used for other content"


class VersionConflict(SalescycleError):
    """The stream is not at the expected version; `extra["current_version"]` says where it is."""

    code = "version-conflict"
    title = "The stream has moved on"


class IllegalTransition(SalescycleError):
    """Refused under `Prefer: handling=strict`; `extra` names the state and the events that are normal next."""

    code = "illegal-transition"
    title = "Not a normal step from this state"


class Unauthenticated(SalescycleError):
    code = "unauthenticated"
    title = "No valid key was given"


class Forbidden(SalescycleError):
    code = "forbidden"
    title = "The key lacks a scope"


class NotFound(SalescycleError):
    code = "not-found"
    title = "There is nothing here"


class LogDiverged(SalescycleError):
    """A reader stands where this log never was: beyond its head, or at another event. Someone restored an older state."""

    code = "log-diverged"
    title = "The log went back in time"


class Overloaded(SalescycleError):
    """A bounded queue is full; try again after `retry_after_s`."""

    code = "overloaded"
    title = "Too much at once"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(SalescycleError):
    """PostgreSQL or the broker cannot be reached now; sending the same event again is always safe."""

    code = "unavailable"
    title = "Not available now"


class Poison(SalescycleError):
    """An event that a consumer cannot apply however often it tries; its lead is parked."""

    code = "poison"
    title = "The event cannot be applied"


class Diverged(SalescycleError):
    """Store and topic, or store and read model, hold different histories: stop, and say what to do."""

    code = "diverged"
    title = "Two histories"
