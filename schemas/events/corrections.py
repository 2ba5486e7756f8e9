"""Events about events: what was said wrongly is said anew or taken back, and every fold is as if it never had been."""

from typing import Annotated, Any

from msgspec import Meta

from schemas.events.fields import SOURCE_PATTERN, VISIBLE, Body, doc, only_schema


class EventReference(Body, frozen=True, kw_only=True):
    """One event of the same stream, by what makes it unique for ever."""

    source: Annotated[
        str, Meta(min_length=1, max_length=256), only_schema(pattern=SOURCE_PATTERN), doc("Its `source`.", "/billing")
    ]
    id: Annotated[str, Meta(min_length=1, max_length=128), only_schema(pattern=VISIBLE), doc("Its `id`.", "w-1")]


class EventCorrected(Body, frozen=True, kw_only=True):
    """That event should have had other data; it keeps its type and its time. A later correction of it counts instead."""

    corrects: Annotated[EventReference, doc("The event.", {"source": "/billing", "id": "w-1"})]
    data: Annotated[
        dict[str, Any],
        doc(
            "The whole data as it should have been, held to the schema of the event's type.",
            {"value": {"amount": "4900.00", "currency": "EUR"}},
        ),
    ]


class EventRetracted(Body, frozen=True, kw_only=True):
    """That event should never have been. Retracting an EventRetracted brings its event back."""

    corrects: Annotated[EventReference, doc("The event.", {"source": "/billing", "id": "w-1"})]
