"""A random quarter of deals with expected days, forecasts, closes, reopenings and late facts, and each lead folded plainly."""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from schemas.codec import body_of
from schemas.corrections import effective
from schemas.envelope import Recorded
from schemas.fact import fact_of
from schemas.lead import UNKNOWN_LEAD, Lead, at_instant, evolve
from tests.unit.projections.histories import PIPELINES, Log

START = datetime(2025, 1, 1, tzinfo=UTC)
_STAGES = ("qualify", "sales-process", "transaction")


def random_deals(seed: int, leads: int = 80) -> list[Recorded]:
    """In the order in which they were recorded; business times lie in the first 150 days of 2025."""
    chance = random.Random(seed)
    said: list[tuple[datetime, datetime, str, str, dict[str, Any]]] = []
    for number in range(leads):
        at = START + timedelta(days=chance.randint(0, 60), minutes=chance.randint(0, 1_400))
        captured: dict[str, Any] = {
            "source_channel": chance.choice(("web", "phone")),
            "owner": chance.choice(("ana", "ben")),
        }
        if chance.random() < 0.8:
            captured["value"] = {
                "amount": f"{chance.randint(1, 900)}.5",
                "currency": chance.choice(("EUR", "EUR", "USD")),
            }
        told: list[tuple[str, dict[str, Any]]] = [("LeadCaptured", captured)]
        told += [_one(chance) for _ in range(chance.randint(1, 7))]
        for kind, data in told:
            late = timedelta(days=chance.choice((0, 0, 0, 1, 12)), minutes=chance.randint(0, 50))
            said.append((at + late, at, f"L-{number}", kind, data))
            at += timedelta(days=chance.randint(0, 20), minutes=chance.randint(1, 1_400))
    log = Log()
    for recorded, at, lead, kind, data in sorted(said, key=lambda each: each[:3]):
        log.post(lead, kind, at, recorded, **data)
    return log.events


def _one(chance: random.Random) -> tuple[str, dict[str, Any]]:
    value = {"value": {"amount": str(chance.randint(1, 900)), "currency": chance.choice(("EUR", "USD"))}}
    day = date(2025, 1, 1) + timedelta(days=chance.randint(0, 200))
    category = {"category": chance.choice(("pipeline", "best_case", "commit", "omitted"))}
    return chance.choice((
        ("StageEntered", {"stage": chance.choice(_STAGES)}),
        ("StageEntered", {"stage": chance.choice(_STAGES)}),
        ("ExpectedCloseChanged", {"expected_close": day.isoformat()}),
        ("ExpectedCloseChanged", {"expected_close": day.isoformat()}),
        ("ForecastSet", category | ({"probability": round(chance.random(), 2)} if chance.random() < 0.5 else {})),
        ("ValueChanged", value),
        ("Won", value),
        ("Lost", {"reason": "price"}),
        ("Reopened", {"reason": "again"}),
        ("CampaignTouched", {"campaign_id": chance.choice(("spring", "summer")), "channel": "ads"}),
        ("LeadAssigned", {"owner": chance.choice(("ana", "ben"))}),
        chance.choice((("Voided", {"reason": "test"}), ("Recycled", {"return_on": "2026-01-01"}), ("Won", value))),
    ))  # fmt: skip


_IN_THE_END = datetime(2199, 1, 1, tzinfo=UTC)


def folded(
    events: Iterable[Recorded], as_of: datetime, known_at: datetime | None, *, in_ratios: bool = False
) -> Iterator[list[Lead]]:
    """Of each lead the states in which it stood for some time before as_of; the last one is how it stands.

    `in_ratios`: without the leads that are void or absorbed in the end, as far as is known.
    """
    streams: dict[str, list[Any]] = {}
    for event in events:
        if event.stream.startswith("lead/") and (known_at is None or event.recorded_at < known_at):
            streams.setdefault(event.stream, []).append(fact_of(event, event.version, body_of(event)))
    for facts in streams.values():
        if in_ratios and at_instant(facts, _IN_THE_END, PIPELINES).standing in ("void", "absorbed"):
            continue
        lead, states = UNKNOWN_LEAD, []
        counting = [fact for fact in effective(facts).facts if fact.at < as_of]
        for fact, following in zip(counting, [*counting[1:], None], strict=True):
            lead = evolve(lead, fact, PIPELINES)
            if following is None or following.at > fact.at:
                states.append(lead)
        if states:
            states[-1] = at_instant(facts, as_of, PIPELINES)
            yield states
