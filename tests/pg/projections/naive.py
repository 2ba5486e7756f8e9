"""The slow way to every figure of the pipeline: each lead's known events folded one by one, and a note taken of each step."""

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from schemas.codec import body_of
from schemas.corrections import effective
from schemas.envelope import Recorded
from schemas.fact import Fact, fact_of
from schemas.lead import UNKNOWN_LEAD, Lead, evolve, fold
from tests.unit.projections.histories import PIPELINES, Log


class Step(NamedTuple):
    before: Lead
    after: Lead
    fact: Fact


class Story(NamedTuple):
    """One lead: its steps before as_of, how it stands then, and whether it is void or absorbed as far as is known at all."""

    stream: str
    steps: list[Step]
    lead: Lead
    excluded: bool


class Stay(NamedTuple):
    """A stay in a stage; `until` None: it goes on. `skipped`: only passed, on the way or before a win. `labels`: at the entry."""

    stage: str
    since: datetime
    until: datetime | None
    labels: Lead
    skipped: bool
    visit: int


def stories(events: Iterable[Recorded], as_of: datetime, known_at: datetime | None) -> list[Story]:
    facts: dict[str, list[Fact]] = {}
    for event in events:
        if known_at is None or event.recorded_at < known_at:
            facts.setdefault(event.stream, []).append(fact_of(event, event.version, body_of(event)))
    return [_story(stream, known, as_of) for stream, known in sorted(facts.items())]


def _story(stream: str, facts: list[Fact], as_of: datetime) -> Story:
    lead, steps = UNKNOWN_LEAD, []
    for fact in effective(facts).facts:
        if fact.at < as_of:
            after = evolve(lead, fact, PIPELINES)
            steps.append(Step(lead, after, fact))
            lead = after
    return Story(stream, steps, lead, fold(facts, PIPELINES).standing in ("void", "absorbed"))


def at_close(story: Story) -> Lead:
    """The lead at its standing close."""
    return [
        step.after
        for step in story.steps
        if step.after.outcome != "open"
        and (step.after.outcome, step.after.closed_at) != (step.before.outcome, step.before.closed_at)
    ][-1]


def stays(story: Story) -> list[Stay]:
    found: list[Stay] = []
    for before, after, fact in story.steps:
        stands, stood = _stands(after), _stands(before)
        if stood and (not stands or (before.visit, before.stage) != (after.visit, after.stage)):
            found = [stay._replace(until=fact.at) if stay.until is None else stay for stay in found]
        if stands and (not stood or (before.visit, before.stage) != (after.visit, after.stage)):
            found += _passed(before, after, fact, PLACES[after.stage or ""])
            found.append(Stay(after.stage or "", fact.at, None, after, False, after.visit))
        if after.outcome == "won" and before.outcome == "open":
            found += _passed(before, after, fact, len(BEFORE_WIN))
    return found


PLACES = {"opportunity": 0, "qualify": 1, "sales-process": 2, "transaction": 3}
BEFORE_WIN = ("opportunity", "qualify", "sales-process")


def _stands(lead: Lead) -> bool:
    return lead.outcome == "open" and lead.standing == "running" and lead.phase not in (None, "listed")


def _passed(before: Lead, after: Lead, fact: Fact, until: int) -> list[Stay]:
    if before.outcome != "open":
        return []
    since = -1 if before.stage is None else PLACES[before.stage]
    return [
        Stay(stage, fact.at, fact.at, after, True, after.visit)
        for stage, place in PLACES.items()
        if since < place < until
    ]


def busy_log(seed: int, leads: int = 60) -> list[Recorded]:
    """Leads of the first months of 2025 that are worked on, in order and not, some events recorded weeks after they happened."""
    chance = random.Random(seed)
    told: list[tuple[datetime, datetime, str, str, dict[str, Any]]] = []
    for number in range(leads):
        at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randint(0, 60 * 86_400))
        owner, channel = chance.choice(("ana", "ben")), chance.choice(("web", "phone"))
        captured = {"source_channel": channel, "owner": owner}
        if chance.random() < 0.8:
            captured["value"] = _euros(chance)  # type: ignore[assignment]  # a map of texts otherwise
        if chance.random() < 0.2:
            told.append(
                _told(chance, at - timedelta(days=3), f"L-{number}", "ContactListed", {"source_channel": "event"})
            )
        told.append(_told(chance, at, f"L-{number}", "LeadCaptured", captured))
        for _ in range(chance.randint(0, 9)):
            at += timedelta(seconds=chance.randint(60, 12 * 86_400))
            told.append(_told(chance, at, f"L-{number}", *_step(chance)))
    told.sort(key=lambda each: each[:4])
    log = Log()
    for recorded, at, lead, type, data in told:
        log.post(lead, type, at, recorded, None, **data)
    return log.events


def _told(
    chance: random.Random, at: datetime, lead: str, type: str, data: dict[str, Any]
) -> tuple[datetime, datetime, str, str, dict[str, Any]]:
    late = timedelta(days=chance.randint(1, 40)) if chance.random() < 0.15 else timedelta(seconds=5)
    return at + late, at, lead, type, data


def _euros(chance: random.Random) -> dict[str, str]:
    return {"amount": f"{chance.randint(100, 99_999) / 100:.2f}", "currency": "EUR"}


def _step(chance: random.Random) -> tuple[str, dict[str, Any]]:
    kind = chance.choices(
        ("stage", "Qualified", "MarketingQualified", "activity", "value", "owner", "Recycled", "Won", "Lost", "Reopened", "Voided", "LeadAbsorbed"),
        (8, 3, 2, 5, 2, 2, 1, 4, 3, 3, 0.4, 0.3),
    )[0]  # fmt: skip
    made: dict[str, tuple[str, dict[str, Any]]] = {
        "stage": ("StageEntered", {"stage": chance.choice(tuple(PLACES))}),
        "Qualified": ("Qualified", {}),
        "MarketingQualified": ("MarketingQualified", {"criteria_version": "1"}),
        "activity": ("ActivityLogged", {"kind": "call", "direction": chance.choice(("in", "out"))}),
        "value": ("ValueChanged", {"value": _euros(chance)}),
        "owner": ("LeadAssigned", {"owner": chance.choice(("ana", "ben"))}),
        "Recycled": ("Recycled", {"return_on": "2026-01-01"}),
        "Won": ("Won", {"value": _euros(chance)}),
        "Lost": ("Lost", {"reason": chance.choice(("price", "timing"))}),
        "Reopened": ("Reopened", {"reason": "again"}),
        "Voided": ("Voided", {"reason": "test"}),
        "LeadAbsorbed": ("LeadAbsorbed", {"surviving_lead_id": "L-999"}),
    }
    return made[kind]


def asked_at(seed: int, events: Sequence[Recorded]) -> list[tuple[datetime, datetime | None]]:
    """(as_of, known_at) worth asking: in the middle, at the end, and far after it."""
    chance = random.Random(seed)
    recorded = sorted(event.recorded_at for event in events)
    middle = recorded[len(recorded) // 2 + chance.randint(-20, 20)]
    far = datetime(2026, 6, 1, tzinfo=UTC)
    return [(far, None), (middle, None), (far, middle), (middle, middle - timedelta(days=5))]
