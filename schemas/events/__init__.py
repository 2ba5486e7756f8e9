"""The events that other systems may send and read: one frozen struct per type, documented field by field.

The JSON Schema of a type is generated from its struct and is what the door enforces, so the published schema and the check
cannot differ. One module a phase of the lead's life, one for the other streams, one for what is said about events;
`fields` has the kinds of value, `registry` the list of all types.
"""

from schemas.events.fields import ID_PATTERN, Body, Contract, Money, Origin
from schemas.events.registry import EVENTS, STREAM_TYPES, EventType, data_schema

__all__ = ["EVENTS", "ID_PATTERN", "STREAM_TYPES", "Body", "Contract", "EventType", "Money", "Origin", "data_schema"]
