"""A small demo: thirty leads through the six phases, the same ids and times whenever it is loaded, so that it is stored once."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import httpx

from services.cli import machine

SOURCE: Final = "/salescycle/demo"
LEADS: Final = 30
FIRST_DAY: Final = datetime(2024, 1, 8, 8, 0, tzinfo=UTC)

_CHANNELS: Final = ("web", "referral", "phone", "event", "partner", "in_field")
_OWNERS: Final = ("ana.b", "jonas.k", "mei.l")
_REGIONS: Final = ("North", "South", "West")
_PRODUCTS: Final = {"starter": 1_200, "team": 4_800, "plant": 26_000}
_LOST: Final = ("price", "competitor", "no_decision", "timing")


class Loaded(NamedTuple):
    """How many events were stored now, and how many were there already."""

    stored: int
    known: int


def load(url: str, key: str) -> Loaded:
    """Post the demo to the lifecycle service at `url`, as one batch of CloudEvents.

    Raises machine.CannotStart where an event is refused, with the reason.
    """
    answer = httpx.post(
        f"{url}/v1/events",
        json=list(events()),
        headers={"authorization": f"Bearer {key}", "content-type": "application/cloudevents-batch+json"},
        timeout=60,
    )
    if answer.status_code != 200:
        raise machine.CannotStart(f"the demo was refused: {answer.status_code} {answer.text[:500]}")
    document = answer.json()
    results = document if isinstance(document, list) else document["results"]
    refused = [result for result in results if result["status"] not in {200, 201}]
    if refused:
        raise machine.CannotStart(f"{len(refused)} events of the demo were refused, the first one: {refused[0]}")
    stored = sum(result["status"] == 201 for result in results)
    return Loaded(stored, len(results) - stored)


def events() -> Iterator[dict[str, Any]]:
    """The demo as structured CloudEvents, lead by lead, each lead in the order of its times; always the same."""
    chance = random.Random(1886)  # noqa: S311 - a seeded sequence is what makes it the same each time
    for number in range(1, LEADS + 1):
        yield from _lead(f"demo-{number:02}", FIRST_DAY + timedelta(days=5 * number, hours=number % 7), chance)


def _lead(lead: str, at: datetime, chance: random.Random) -> Iterator[dict[str, Any]]:
    story = _story(chance)
    for step, (days, type_name, data) in enumerate(story, 1):
        at += timedelta(days=days, minutes=17 * step)
        yield {
            "specversion": "1.0",
            "id": f"{lead}-{step}",
            "source": SOURCE,
            "type": type_name,
            "subject": f"lead/{lead}",
            "time": at.isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": data(at) if callable(data) else data,
        }


def _story(chance: random.Random) -> list[tuple[int, str, Any]]:
    """(days after the step before, type, data or what makes data of the time) of one lead."""
    product = chance.choice(list(_PRODUCTS))
    price = _PRODUCTS[product] * chance.randint(1, 4)
    value, agreed = _euro(price), _euro(price * chance.choice((85, 90, 100)) // 100)
    captured = {
        "source_channel": chance.choice(_CHANNELS), "owner": chance.choice(_OWNERS), "region": chance.choice(_REGIONS),
        "product": product, "value": value,
    }  # fmt: skip
    story: list[tuple[int, str, Any]] = [
        (0, "LeadCaptured", captured),
        (chance.randint(0, 3), "ActivityLogged", {"kind": "call", "direction": "out", "outcome": "reached"}),
    ]
    reached = chance.choice((1, 2, 3, 4, 4, 5, 5, 5))
    if reached >= 2:
        story.append((chance.randint(1, 9), "StageEntered", {"stage": "qualify"}))
    if reached >= 3:
        story.append((chance.randint(2, 12), "Qualified", {"value": value}))
        story.append((chance.randint(1, 8), "ActivityLogged", {"kind": "demo", "direction": "out"}))
    if reached >= 4 and agreed != value:
        story.append((chance.randint(1, 6), "ValueChanged", {"value": agreed}))
    if reached == 4:
        story.append((chance.randint(5, 30), "Lost", {"reason": chance.choice(_LOST)}))
    if reached == 5:
        story.append((chance.randint(3, 25), "Won", {"value": agreed}))
        if chance.random() < 0.5:
            story.append((330, "UpgradeDue", _upgrade))
    return story


def _upgrade(at: datetime) -> dict[str, str]:
    due = (at + timedelta(days=35)).replace(hour=0, minute=0)
    return {"due_at": due.isoformat().replace("+00:00", "Z"), "basis": "own_term"}


def _euro(amount: int) -> dict[str, str]:
    return {"amount": f"{amount}.00", "currency": "EUR"}
