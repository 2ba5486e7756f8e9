"""Older schema versions kept alive: what was sent under them is read as if it had been sent under the newest one.

A breaking change of a type is a new version: its struct moves here under its old shape, with a pure function that makes
the newer body of it. Stored bytes are never rewritten; whoever reads an event reads it through `upcast`. ADR-0014.
"""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Final, NamedTuple

from msgspec import Meta

from schemas.events.fields import Body, Money, Period, doc, only_schema
from schemas.events.plans import CampaignCostRecorded
from schemas.events.registry import EVENTS


class CampaignCostRecordedV1(Body, frozen=True, kw_only=True):
    """What a campaign cost in a calendar month; costs of one campaign add up."""

    cost: Annotated[Money, doc("Cost, before tax.")]
    month: Annotated[
        str,
        Meta(max_length=7),
        only_schema(pattern="^(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])$"),
        doc("Calendar month over which the cost is spread evenly, YYYY-MM.", "2026-01"),
    ]


def _whole_month(old: CampaignCostRecordedV1) -> CampaignCostRecorded:
    """Version 2 says from which day to which, because campaigns do not keep to calendar months."""
    year, month = map(int, old.month.split("-"))
    following = date(year + month // 12, month % 12 + 1, 1)
    return CampaignCostRecorded(cost=old.cost, period=Period(start=date(year, month, 1), end=following))


class Older(NamedTuple):
    """One version of a type that is no longer the newest: its struct, and the body of the next version made of it."""

    body: type[Body]
    upcast: Callable[[Any], Body]


OLDER: Final[dict[tuple[str, int], Older]] = {
    ("CampaignCostRecorded", 1): Older(CampaignCostRecordedV1, _whole_month),
}


def versions() -> list[tuple[str, int, type[Body]]]:
    """Every (type, version, struct) there has ever been, in the order of the catalogue, oldest version first."""
    return [
        (kind.name, version, OLDER[kind.name, version].body if version < kind.version else kind.body)
        for kind in EVENTS.values()
        for version in range(1, kind.version + 1)
    ]


def upcast(name: str, version: int, body: Body) -> Body:
    """The body as the newest version of its type has it."""
    while (older := OLDER.get((name, version))) is not None:
        body = older.upcast(body)
        version += 1
    return body
