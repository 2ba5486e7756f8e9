"""Logs to try read models on, and an oracle that answers by folding the sorted events of each lead, without any ledger."""

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from schemas.codec import body_of
from schemas.envelope import Recorded
from schemas.events import EVENTS
from schemas.fact import Fact, fact_of
from schemas.lead import at_instant
from schemas.pipeline_files import read_pipelines

SIX_PHASE = """
name: six-phase
version: 1
default: true
stages:
  - {name: opportunity, phase: opportunity}
  - {name: qualify, phase: qualify}
  - {name: sales-process, phase: sales_process}
  - {name: transaction, phase: transaction}
  - {name: management, phase: management}
  - {name: upgrade, phase: upgrade}
"""
SHORT = """
name: short
version: 1
stages:
  - {name: prospecting, phase: opportunity}
  - {name: engaging, phase: sales_process}
"""
PIPELINES = read_pipelines({"six-phase.yaml": SIX_PHASE, "short.yaml": SHORT})

_canonical = msgspec.json.Encoder(order="deterministic").encode

Group = tuple[Any, ...]


class Counted(NamedTuple):
    n: int
    amount: Decimal


class Log:
    """Builds a log of two partitions by hand: `post` gives each event its version, position and recorded_at."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []
        self._versions: dict[str, int] = {}

    def post(
        self,
        lead: str,
        kind: str,
        at: str | datetime,
        recorded: str | datetime,
        meta: dict[str, Any] | None = None,
        /,
        **data: Any,
    ) -> Recorded:
        """One event of `lead/<lead>`, or of a stream given by its whole name (`owner/ana`); times are RFC 3339 or aware."""
        version = self._versions[lead] = self._versions.get(lead, 0) + 1
        schema = EVENTS[kind].version if kind in EVENTS else 1
        meta = (meta or {}) | ({"dataschema": schema} if schema != 1 else {})
        event = Recorded(
            partition=sum(lead.encode()) % 2, position=0, stream=lead if "/" in lead else f"lead/{lead}", version=version, type=kind, source="/test",
            id=f"{lead}-{version}", occurred_at=_instant(at), recorded_at=_instant(recorded), data=_canonical(data), meta=meta,
        )  # fmt: skip
        self.events.append(event)
        return event


def _instant(given: str | datetime) -> datetime:
    return (datetime.fromisoformat(given) if isinstance(given, str) else given).astimezone(UTC)


def numbered(events: Iterable[Recorded]) -> dict[int, list[Recorded]]:
    """The events by partition, with positions given anew in the order in which they come."""
    partitions: dict[int, list[Recorded]] = {}
    for event in events:
        known = partitions.setdefault(event.partition, [])
        known.append(msgspec.structs.replace(event, position=len(known) + 1))
    return partitions


def shuffled_across_leads(events: Sequence[Recorded], chance: random.Random) -> list[Recorded]:
    """Another order of arrival in which each lead's own events keep theirs."""
    waiting: dict[str, list[Recorded]] = {}
    for event in events:
        waiting.setdefault(event.stream, []).append(event)
    order = [event.stream for event in events]
    chance.shuffle(order)
    queues = {stream: iter(queue) for stream, queue in waiting.items()}
    return [next(queues[stream]) for stream in order]


def standing(
    events: Iterable[Recorded], as_of: datetime, known_at: datetime | None, group_by: Sequence[str] = ()
) -> dict[Group, Counted]:
    """The oracle: (stage, phase, outcome, <group_by>, currency) -> count and sum."""
    leads: dict[str, list[Fact]] = {}
    for event in events:
        if known_at is None or event.recorded_at < known_at:
            leads.setdefault(event.stream, []).append(fact_of(event, event.version, body_of(event)))
    counted: dict[Group, Counted] = {}
    for facts in leads.values():
        lead = at_instant(facts, as_of, PIPELINES)
        if lead.phase in (None, "listed") or lead.standing in ("out", "recycled", "void", "absorbed"):
            continue
        value = lead.close_value if lead.outcome == "won" else lead.value
        group = (
            lead.stage,
            lead.shown_phase,
            lead.outcome,
            *(getattr(lead, name) for name in group_by),
            value and value.currency,
        )
        before = counted.get(group, Counted(0, Decimal(0)))
        counted[group] = Counted(before.n + 1, before.amount + (Decimal(value.amount) if value else 0))
    return counted


_TOKYO = timezone(timedelta(hours=9))
_START = datetime(2025, 3, 27, 23, 0, tzinfo=UTC)
_OWNERS = ("ana", "ben", None)
_CHANNELS = ("web", "phone", "unknown")
_MONEY = ({"amount": "1500", "currency": "JPY"}, {"amount": "99.95", "currency": "EUR"}, {"amount": "0.0001", "currency": "UYW"}, {"amount": "9999999999999999", "currency": "EUR"})  # fmt: skip


def random_log(seed: int, leads: int = 12, per_lead: int = 9) -> list[Recorded]:
    """Late and early events, midnights shared by capture and win, days without a time, sequences, ties, clock changes.

    Business and recorded times lie around the night of 30 March 2025, in which Berlin has no hour from two to three.
    """
    chance = random.Random(seed)
    log = Log()
    waiting = [lead for lead in range(leads) for _ in range(chance.randint(1, per_lead))]
    chance.shuffle(waiting)
    recorded = _START
    midnight = datetime(2025, 3, 29, 23, 0, tzinfo=UTC)
    for lead in waiting:
        if chance.random() < 0.6:  # events of one batch share the instant they were recorded at
            recorded += timedelta(minutes=chance.choice((1, 17, 59, 240)))
        at = chance.choice((
            recorded - timedelta(seconds=chance.randint(0, 90)),
            recorded - timedelta(hours=chance.randint(0, 80)),
            midnight + chance.choice((-1, 0, 1)) * timedelta(days=1),
            midnight + timedelta(hours=chance.randint(0, 4)),
        ))  # fmt: skip
        meta: dict[str, Any] = {}
        if chance.random() < 0.2:
            meta["sequence"] = str(chance.randint(1, 12))
        if chance.random() < 0.2:
            meta |= {"timeprecision": "day", "time": at.astimezone(_TOKYO).isoformat()}
        earlier = [event for event in log.events if event.stream == f"lead/L-{lead}"]
        if earlier and chance.random() < 0.15:
            kind, data = _correction(chance, chance.choice(earlier))
        else:
            kind, data = chance.choice(_KINDS)(chance)
        log.post(f"L-{lead}", kind, at, recorded, meta, **data)
    return log.events


def _correction(chance: random.Random, about: Recorded) -> tuple[str, dict[str, Any]]:
    """Something is said about an earlier event of the lead, which may itself be a correction."""
    corrects = {"source": about.source, "id": about.id}
    if about.type in ("Won", "ValueChanged") and chance.random() < 0.6:
        return "EventCorrected", {"corrects": corrects, "data": {"value": chance.choice(_MONEY)}}
    return "EventRetracted", {"corrects": corrects}


def _captured(chance: random.Random) -> tuple[str, dict[str, Any]]:
    given = {
        "source_channel": chance.choice(_CHANNELS), "owner": chance.choice(_OWNERS), "product": chance.choice(("p-1", "p-2")),
        "region": chance.choice(("West", "Süd, \"a\\b\"", None)), "value": chance.choice((None, *_MONEY)),
        "pipeline": chance.choice((None, "short")),
    }  # fmt: skip
    return "LeadCaptured", {name: value for name, value in given.items() if value is not None}


def _stage(chance: random.Random) -> tuple[str, dict[str, Any]]:
    return "StageEntered", {"stage": chance.choice(("qualify", "sales-process", "engaging", "management"))}


_KINDS: tuple[Callable[[random.Random], tuple[str, dict[str, Any]]], ...] = (
    _captured,
    _captured,
    _stage,
    _stage,
    lambda chance: ("Qualified", {}),
    lambda chance: ("ActivityLogged", {"kind": "call", "direction": "out"}),
    lambda chance: ("ValueChanged", {"value": chance.choice(_MONEY)}),
    lambda chance: ("Won", {"value": chance.choice(_MONEY)}),
    lambda chance: ("Lost", {"reason": "price"}),
    lambda chance: ("Recycled", {"return_on": "2026-01-01"}),
    lambda chance: ("Reopened", {"reason": "again"}),
    lambda chance: ("MarketingQualified", {"criteria_version": "1"}),
    lambda chance: ("Delivered", {}),
    lambda chance: ("UpgradeDue", {"due_at": "2026-01-01T00:00:00Z", "basis": "own_term"}),
    lambda chance: ("CompetitorTermRecorded", {"competitor": "Globex", "term_end": "2026-12-31"}),
    lambda chance: chance.choice((
        ("ContactListed", {"source_channel": "event"}), ("ContactScreened", {"result": "unfit"}), ("Voided", {"reason": "test"}),
        ("LeadAbsorbed", {"surviving_lead_id": "L-99"}), ("LeadAssigned", {"owner": "cem"}),
    )),
)  # fmt: skip


def instants(seed: int, events: Sequence[Recorded]) -> list[tuple[datetime, datetime | None]]:
    """Pairs (as_of, known_at) worth asking: at events, a microsecond beside them, at midnights, far off; and now."""
    chance = random.Random(seed)
    step = timedelta(microseconds=1)
    edges = [event.occurred_at for event in events] + [event.recorded_at for event in events]
    edges += [datetime(2025, 3, day, hour, tzinfo=UTC) for day in (28, 29, 30, 31) for hour in (0, 1, 22, 23)]
    edges += [datetime(1990, 1, 1, tzinfo=UTC), datetime(2199, 1, 1, tzinfo=UTC)]
    picked = [
        (
            chance.choice(edges) + chance.choice((-1, 0, 1)) * step,
            chance.choice(edges) + chance.choice((-1, 0, 1)) * step,
        )
        for _ in range(30)
    ]
    return picked + [(as_of, None) for as_of, _ in picked[:10]]
