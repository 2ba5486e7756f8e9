"""How streams are shown: a lead, an account, a person, as JSON and as a row of a table."""

from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.attributes import PERSON_DATA, Attributes
from schemas.fact import OrderKey, instant_of
from schemas.lead import INSIDE, Lead, state_of

Shown = dict[str, Any]
"""What is shown of one stream, by the names of its state."""

LEAD_COLUMNS: Final = (
    "id", "version", "state", "phase", "stage", "outcome", "standing", "pipeline", "pipeline_version", "source_channel", "owner",
    "team", "account_id", "person_id", "region", "segment", "product", "captured_at", "qualified_at", "expected_close",
    "closed_at", "loss_reason", "value", "close_value", "anomaly_count",
)  # fmt: skip
"""The columns of a list of leads as a table; money is `amount currency`."""

_encode = msgspec.json.Encoder().encode
_plain = msgspec.to_builtins


def lead_shown(stream: str, partition: int, version: int, lead: Lead, last_fact_at: datetime) -> Shown:
    """{id, version, partition, state, phase, outcome, standing, last_fact_at, …}: the fold under its own names.

    `phase` is the one that is shown (upgrade while one is due; `underlying_phase` is the other one then), `state` the one of
    the transition table, `last_fact_at` the instant up to which the state is told: ahead of now where a later end is known.
    """
    shown = {
        "id": stream.partition("/")[2], "version": version, "partition": partition, "state": state_of(lead),
        "outcome": "open", "standing": "running", **_plain(lead), "phase": lead.shown_phase, "last_fact_at": last_fact_at,
    }  # fmt: skip
    if lead.shown_phase != lead.phase:
        shown["underlying_phase"] = lead.phase
    for inside in INSIDE:
        shown.pop(inside, None)
    return shown


def lead_body(stream: str, partition: int, version: int, lead: Lead, last_fact_at: datetime) -> bytes:
    """The body of `GET /v1/leads/{id}`."""
    return _encode(lead_shown(stream, partition, version, lead, last_fact_at))


class _Stored(msgspec.Struct):
    key: OrderKey
    fold: Lead


_stored = msgspec.json.Decoder(_Stored).decode


def body_of_lead(stream: str, partition: int, version: int, state: str) -> bytes | None:
    """The same from a row of the store, for the state topic: `state` is its JSON text; None where the stream is no lead."""
    if not stream.startswith("lead/"):
        return None
    stored = _stored(state)
    return lead_body(stream, partition, version, stored.fold, instant_of(stored.key))


def attributes_shown(stream: str, partition: int, version: int, state: Attributes, *, person_data: bool) -> Shown:
    """{id, version, partition, …}; person data only for who may see it."""
    shown: Shown = {"id": stream.partition("/")[2], "version": version, "partition": partition, **_plain(state)}
    for inside in INSIDE:
        shown.pop(inside, None)
    if not person_data and stream.startswith(("person/", "owner/")):
        shown = {name: value for name, value in shown.items() if name not in PERSON_DATA}
    return shown


def cells(shown: Shown, columns: tuple[str, ...]) -> list[Any]:
    """One row of a table: texts and numbers; money as `amount currency`, anything else that has parts as JSON."""
    return [_cell(shown.get(name)) for name in columns]


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return (
            f"{value['amount']} {value['currency']}"
            if value.keys() == {"amount", "currency"}
            else _encode(value).decode()
        )
    return _encode(value).decode() if isinstance(value, list | tuple) else value
