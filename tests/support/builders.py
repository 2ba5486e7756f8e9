"""Events to test with, in the words of the business: one valid example of every type, and any variation of it.

captured("L-1", owner="ana")            an Event, as it comes from the door
document(WON, "L-1", value=eur("10"))   the same as the JSON document a sender posts
recorded(document(...), position=3)     the same as it stands in the log
"""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import msgspec

from schemas.codec import parse_event
from schemas.envelope import Event, Recorded
from schemas.events import EVENTS
from schemas.examples import example_data

SOURCE = "/tests"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""The clock of the door in these tests."""

_numbers = count(1)


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


EXAMPLES: dict[str, dict[str, Any]] = {
    "LeadCaptured": {
        "source_channel": "web",
        "account_id": "acme",
        "person_id": "p-7",
        "person": {
            "name": "Mina Okafor",
            "email": "mina@example.com",
            "phone": "+49301234567",
            "birthday": "1984-02-29",
        },
        "owner": "ana.b",
        "region": "West",
        "segment": "SMB",
        "product": "gtx-pro",
        "campaign_id": "spring",
        "referrer_lead_id": "L-0",
        "utm": {"source": "news", "campaign": "spring 2026"},
        "value": eur("1200.50"),
        "origin": {"lead_id": "L-0", "kind": "upgrade"},
        "pipeline": "six-phase",
    },
    "Qualified": {
        "value": eur("1500"),
        "mrr": {"amount": "12000", "currency": "JPY"},
        "expected_close": "2026-06-30",
        "criteria_version": "3",
    },
    "StageEntered": {"stage": "proposal", "reason": "They asked for a price.\nToday."},
    "ActivityLogged": {
        "kind": "call",
        "direction": "out",
        "outcome": "reached",
        "activity_id": "a-1",
        "person_id": "p-7",
        "touchpoint_id": "t-1",
        "campaign_id": "spring",
        "starts_at": "2026-03-01T09:30:00+01:00",
        "place": "their office",
        "return_on": "2026-03-08",
    },
    "ValueChanged": {"value": eur("1800.00"), "reason": "two more seats"},
    "Won": {
        "value": {"amount": "12.345", "currency": "KWD"},
        "account_id": "acme",
        "competitor_beaten": "Globex",
        "contracts": [
            {
                "contract_id": "C-1",
                "mrr": eur("100.00"),
                "product": "gtx-pro",
                "term_start": "2026-04-01",
                "term_end": "2027-03-31",
            },
            {"contract_id": "C-2", "amount": eur("300")},
        ],
    },
    "Lost": {
        "reason": "competitor",
        "competitor": "Globex",
        "competitor_term_end": "2027-12-31",
        "revisit_on": "2027-09-01",
    },
    "UpgradeDue": {
        "due_at": "2027-01-01T00:00:00Z",
        "basis": "own_term",
        "contract_id": "C-1",
        "term_end": "2027-03-31",
    },
}
"""The `data` of one valid event per registered type, with every optional field present."""
for _name, _kind in EVENTS.items():
    EXAMPLES.setdefault(_name, example_data(_kind.body))


def document(
    type_name: str,
    lead: str = "L-1",
    *,
    data: dict[str, Any] | None = None,
    at: datetime | str = NOW - timedelta(days=90),
    id: str | None = None,
    **attributes: Any,
) -> dict[str, Any]:
    """A structured CloudEvent as a sender posts it; `data` defaults to the full example of its type."""
    kind = EVENTS.get(type_name)
    if kind is not None and kind.version > 1:
        attributes.setdefault("dataschema", f"/schemas/{type_name}/{kind.version}")
    return {
        "specversion": "1.0",
        "id": id or f"e-{next(_numbers)}",
        "source": SOURCE,
        "type": type_name,
        "subject": lead if "/" in lead else f"{kind.stream_type if kind else 'lead'}/{lead}",
        "time": at if isinstance(at, str) else at.isoformat().replace("+00:00", "Z"),
        "data": EXAMPLES[type_name] if data is None else data,
        **attributes,
    }


def event(type_name: str, lead: str = "L-1", **variation: Any) -> Event:
    """The same, past the door."""
    return parse_event(document(type_name, lead, **variation), NOW)


def recorded(
    given: Event | dict[str, Any],
    *,
    partition: int = 0,
    position: int = 1,
    version: int = 1,
    recorded_at: datetime = NOW,
    **meta: Any,
) -> Recorded:
    """The same, as it stands in the log; `meta` adds what only the log gives, such as `anomaly`."""
    accepted = given if isinstance(given, Event) else parse_event(given, NOW)
    return Recorded(
        partition=partition,
        position=position,
        stream=accepted.stream,
        version=version,
        type=accepted.type,
        source=accepted.source,
        id=accepted.id,
        occurred_at=accepted.occurred_at,
        recorded_at=recorded_at,
        data=accepted.data,
        meta={**accepted.meta, **meta},
    )


def body(given: dict[str, Any]) -> bytes:
    """A document as the bytes of a request."""
    return msgspec.json.encode(given)
