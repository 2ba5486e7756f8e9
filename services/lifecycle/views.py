"""How streams are shown: the JSON of a lead, of an account, of a person."""

from typing import Any

import msgspec

from schemas.attributes import PERSON_DATA, Attributes
from schemas.lead import Lead, state_of

_encode = msgspec.json.Encoder().encode
_plain = msgspec.to_builtins


def lead_body(stream: str, partition: int, version: int, lead: Lead) -> bytes:
    """{id, version, partition, state, phase, outcome, standing, …}: the fold under its own names.

    `phase` is the one that is shown (upgrade while one is due), `state` the one of the transition table.
    """
    shown = {
        "id": stream.partition("/")[2], "version": version, "partition": partition, "state": state_of(lead),
        "outcome": "open", "standing": "running", **_plain(lead), "phase": lead.shown_phase,
    }  # fmt: skip
    shown.pop("corrections", None)
    return _encode(shown)


def attributes_body(stream: str, partition: int, version: int, state: Attributes, *, person_data: bool) -> bytes:
    """{id, version, partition, …}; person data only for who may see it."""
    shown: dict[str, Any] = {
        "id": stream.partition("/")[2], "version": version, "partition": partition, **_plain(state),
    }  # fmt: skip
    shown.pop("corrections", None)
    if not person_data and stream.startswith(("person/", "owner/")):
        shown = {name: value for name, value in shown.items() if name not in PERSON_DATA}
    return _encode(shown)
