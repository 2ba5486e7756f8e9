"""A simulated company as a log: what its sources sent, and what lifecycle derives from it, with the true figures beside it."""

from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.envelope import Recorded
from schemas.pipelines import Pipelines
from services.cli.simulation import Options, Simulation, in_order
from services.lifecycle.pipelines import load_pipelines
from tests.support.refigured import Refigured

_PIPELINES = Path(__file__).parents[4] / "deploy" / "pipelines"
_DERIVED = 10**9
_encode = msgspec.json.Encoder(order="deterministic").encode


class Company(NamedTuple):
    log: list[Recorded]
    truth: dict[str, Any]
    seen: Refigured
    pipelines: Pipelines


def simulated(leads: int, seed: int) -> Company:
    """Events in the order of their arrival, a second apart; the derived ones last."""
    simulation = Simulation(Options(leads, seed))
    lines = list(in_order(simulation.batches(), BytesIO))
    truth = simulation.truth()
    pipelines = load_pipelines(_PIPELINES)
    seen = Refigured(lines, list(truth["board_at_month_end"]), pipelines)
    log: list[Recorded] = []
    versions: dict[str, int] = {}
    recorded_at = datetime(2026, 11, 1, tzinfo=UTC)

    def append(
        stream: str, kind: str, id: str, occurred_at: datetime, data: bytes, meta: dict[str, Any], source: str
    ) -> None:
        versions[stream] = versions.get(stream, 0) + 1
        log.append(
            Recorded(
                partition=sum(stream.encode()) % 2, position=0, stream=stream, version=versions[stream], type=kind, source=source,
                id=id, occurred_at=occurred_at, recorded_at=recorded_at + timedelta(seconds=len(log)), data=data, meta=meta,
            )
        )  # fmt: skip

    for event in seen.events.values():
        append(event.stream, event.type, event.id, event.occurred_at, event.data, event.meta, event.source)
    for lead, facts in seen.told.items():
        for number, fact in enumerate(facts):
            if fact.version == _DERIVED:
                append(
                    f"lead/{lead}", fact.type, f"derived-{lead}-{number}", fact.at, _encode(fact.body), {}, "derived"
                )
    return Company(log, truth, seen, pipelines)
