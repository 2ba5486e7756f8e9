"""What the service says to an event: stored now, known already, or refused with a problem."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from services.client.outgoing import Outgoing


class InLog(msgspec.Struct, frozen=True, kw_only=True):
    """The event stands in the log: as number `position` of its partition, as number `version` of its stream.

    `implied` lists the event types that must have happened before it and are not in the log; `anomaly` says what it
    contradicted when it came. Both are news about the lead, not about the request.
    """

    id: str
    source: str
    subject: str
    version: int
    partition: int
    position: int
    recorded_at: datetime
    implied: tuple[str, ...] = ()
    anomaly: str | None = None


class Stored(InLog, frozen=True, kw_only=True):
    """It was stored by this call."""


class Known(InLog, frozen=True, kw_only=True):
    """It was stored before, with the same content; also where an earlier try of this call stored it and its answer was lost."""


class Flaw(msgspec.Struct, frozen=True):
    """Where the document is wrong (an RFC 6901 pointer), and why."""

    pointer: str
    detail: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """It is not stored, and would not be if it came again: mend it first. Branch on `code`.

    `validation`: against the schema, `errors` says where. `idempotency-mismatch`: this id was used for other content.
    `version-conflict`: the stream is at `extra["current_version"]`. `illegal-transition`: strict, and not a normal step.
    Quote `trace_id` when asking for help.
    """

    id: str
    source: str
    status: int
    code: str
    detail: str
    title: str = ""
    errors: tuple[Flaw, ...] = ()
    trace_id: str = ""
    extra: dict[str, Any] = {}


Answer = Stored | Known | Refused

_OWN = frozenset({"status", "code", "detail", "title", "errors", "trace_id", "type", "instance", "id", "source"})


def answer_to(sent: Outgoing, status: int, said: Any) -> Answer:
    """The answer to `sent` that the members `said` make under that status. Raises ValueError: they make none."""
    if status in (200, 201):
        return msgspec.convert(said, Stored) if status == 201 else msgspec.convert(said, Known)
    problem: Mapping[str, Any] = said if isinstance(said, dict) else {}
    return Refused(
        id=sent.id,
        source=sent.source,
        status=status,
        code=str(problem.get("code", status)),
        detail=str(problem.get("detail", f"the service answered {status}")),
        title=str(problem.get("title", "")),
        errors=msgspec.convert(problem.get("errors", []), tuple[Flaw, ...]),
        trace_id=str(problem.get("trace_id", "")),
        extra={name: value for name, value in problem.items() if name not in _OWN},
    )
