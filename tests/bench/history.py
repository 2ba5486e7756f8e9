"""Events as a company of some size would send them: about 10 a lead, four of them moving it, the others calls and mails.

The rows of a read model change with the four; the six others only count as activity. `data` is 350 to 500 bytes where a
caller wants the size of the published comparisons, else as long as the facts are.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

START = datetime(2024, 1, 2, 8, tzinfo=UTC)
OPEN_AT_ONCE = 2_000
"""Leads under way at the same time: neighbours in the log are different leads."""

_WORDS = [
    "offer",
    "price",
    "delivery",
    "training",
    "budget",
    "autumn",
    "board",
    "contract",
    "seats",
    "pilot",
    "region",
    "support",
    "renewal",
    "rollout",
]
_CHANNELS = ("web", "referral", "fair", "partner", "outbound")
_PRODUCTS = ("gtx-pro", "gtx-basic", "mg-special", "gtk-500")
_REGIONS = ("West", "East", "Central")


def prose(random: Random, size: int) -> str:
    text = ""
    while len(text) < size:
        text += random.choice(_WORDS) + " "
    return text[:size].strip()


def activity(random: Random) -> dict[str, Any]:
    """About 440 bytes of `data` that change no row."""
    return {
        "kind": random.choice(("call", "email", "meeting")),
        "direction": "out",
        "outcome": random.choice(("reached", "not reached", "call back")),
        "activity_id": f"a-{random.randrange(10**9)}",
        "person_id": f"p-{random.randrange(10**6)}",
        "place": prose(random, 320),
    }


def life(lead: str, random: Random) -> list[dict[str, Any]]:
    """The events of one lead in order, as documents that a sender posts; ids are unique per lead."""
    at = START + timedelta(minutes=random.randrange(60 * 24 * 600))
    value = random.randrange(500, 90_000)
    steps: list[tuple[str, dict[str, Any]]] = [
        (
            "LeadCaptured",
            {
                "source_channel": random.choice(_CHANNELS),
                "owner": f"owner-{random.randrange(35)}",
                "region": random.choice(_REGIONS),
                "product": random.choice(_PRODUCTS),
                "value": _euro(value),
            },
        ),
        ("Qualified", {}),
        ("ValueChanged", {"value": _euro(value * 9 // 10), "reason": "fewer seats"}),
        ("Won", {"value": _euro(value * 8 // 10)}) if random.random() < 0.55 else ("Lost", {"reason": "price"}),
    ]
    for _ in range(random.randint(4, 8)):
        steps.insert(random.randint(1, len(steps) - 1), ("ActivityLogged", activity(random)))
    events = []
    for number, (type_name, data) in enumerate(steps, 1):
        at += timedelta(minutes=random.randrange(30, 60 * 24 * 6))
        events.append(document(type_name, lead, f"{lead}-{number}", data, at))
    return events


def histories(events: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """At least `events` documents, the lives of many leads interleaved, each lead's own in order."""
    random = Random(seed)
    under_way: list[Iterator[dict[str, Any]]] = []
    made = leads = 0
    while made < events or under_way:
        while len(under_way) < OPEN_AT_ONCE and made < events:
            leads += 1
            new = life(f"B-{leads}", random)
            made += len(new)
            under_way.append(iter(new))
        index = random.randrange(len(under_way))
        following = next(under_way[index], None)
        if following is None:
            under_way[index] = under_way[-1]
            under_way.pop()
        else:
            yield following


def document(type_name: str, lead: str, id: str, data: dict[str, Any], at: datetime) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": id, "source": "/bench", "type": type_name, "subject": f"lead/{lead}",
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "data": data,
    }  # fmt: skip


def _euro(amount: int) -> dict[str, str]:
    return {"amount": f"{amount}.00", "currency": "EUR"}
