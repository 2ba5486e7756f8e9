"""A lead as others read it: the same bytes for `GET /v1/leads/{id}` and for a record of the state topic."""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(dict[str, Any]).decode

STREAMS = "lead/"


def lead_body(stream: str, partition: int, version: int, state: str) -> bytes:
    """{id, version, partition, …state}: the fold as it is stored, under its own name. `state` is a row's JSON text."""
    head = {"id": stream.partition("/")[2], "version": version, "partition": partition}
    return _encode({**head, "outcome": "open", **_read(state)["fold"]})


def body_of_lead(stream: str, partition: int, version: int, state: str) -> bytes | None:
    """The same for any stream: None where it is no lead."""
    return lead_body(stream, partition, version, state) if stream.startswith(STREAMS) else None
