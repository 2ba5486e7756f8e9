"""The two shapes of an event: as a sender gave it (`Event`), and as it stands in the log (`Recorded`).

Both carry CloudEvents 1.0 attributes under the names used throughout the code: `stream` is the CloudEvents `subject`,
`occurred_at` its `time` in UTC.
"""

from datetime import datetime
from typing import Any

import msgspec

LOG_ATTRIBUTES = frozenset({"partition", "position", "version", "recordedtime", "anomaly", "pipelineversion"})
"""Extension attributes that only the log gives; a sender that sets one is refused."""


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event that passed the door, not yet in the log.

    `data` is canonical JSON (keys sorted, no white space, UTF-8); `body` is the same data as the typed struct of
    `schemas.events`. `meta` holds the CloudEvents attributes that are not fields here, by their CloudEvents names:
    `sequence`, `timeprecision`, `correlationid`, `causationid`, `traceparent`, unknown extensions; `dataschema`
    (an integer, the schema version) only where it is not 1; `time` (the text as sent) only where its offset was not UTC.
    `digest` is BLAKE2b-128 over type, stream, occurred_at and data: equal digests mean the same event.
    """

    source: str
    id: str
    type: str
    stream: str
    occurred_at: datetime
    data: bytes
    body: Any
    digest: bytes
    meta: dict[str, Any] = {}
    expected_version: int | None = None


class Recorded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event of the log: `position` counts from 1 in its partition, `version` from 1 in its stream.

    `data` is the canonical JSON that was appended; `meta` as in `Event`, and `anomaly` (a sentence) where the event was
    judged anomalous on receipt. `recorded_at` is PostgreSQL's clock, rising with the position.
    """

    partition: int
    position: int
    stream: str
    version: int
    type: str
    source: str
    id: str
    occurred_at: datetime
    recorded_at: datetime
    data: bytes
    meta: dict[str, Any] = {}
