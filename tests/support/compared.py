"""What must hold after any fault, checked from outside and without the product's own `verify`."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import httpx

from schemas.envelope import Recorded
from services.kernel.log import recorded
from tests.support.logs import check_dense, published
from tests.support.processes import Processes, ServiceProcess, wait_until


async def stored(url: str) -> dict[int, list[Recorded]]:
    connection = await asyncpg.connect(url, server_settings={"search_path": "lifecycle"})
    rows = await connection.fetch(
        "SELECT partition, position, stream, version, type, source, id, occurred_at, recorded_at, data, meta "
        "FROM event ORDER BY partition, position"
    )
    await connection.close()
    events: dict[int, list[Recorded]] = {partition: [] for partition in range(12)}
    for row in rows:
        events[row[0]].append(recorded(row))
    return events


async def check_store(url: str, acknowledged: Mapping[str, tuple[int, int]]) -> dict[int, list[Recorded]]:
    """Acknowledged and stored are the same, each where its answer said; positions and versions are dense."""
    events = await stored(url)
    check_dense(events)
    places = {event.id: (partition, event.position) for partition, inside in events.items() for event in inside}
    assert sum(map(len, events.values())) == len(places), "an event is stored twice"
    assert places == dict(acknowledged)
    return events


async def check_topic(bootstrap: str, topic: str, events: Mapping[int, list[Recorded]]) -> None:
    """A reader of the topic has the log, in order."""
    assert await published(bootstrap, topic, sum(map(len, events.values())), within_s=60, lost=True) == events


def pipeline(
    process: ServiceProcess, processes: Processes, **parameters: str
) -> dict[tuple[str, str], tuple[int, str | None]]:
    answer = httpx.get(f"{process.url}/v1/pipeline", params=parameters, headers=processes.headers, timeout=15)
    assert answer.status_code == 200, answer.text
    return {(row["outcome"], row["stage"]): (row["n"], _amount(row)) for row in answer.json()["rows"]}


def _amount(row: dict[str, Any]) -> str | None:
    return row["value"][0]["amount"] if row["value"] else None


def check_figures(process: ServiceProcess, processes: Processes, figures: Mapping[Any, Any]) -> None:
    """The read model comes to the figures within a minute, without an operator."""
    wait_until(lambda: pipeline(process, processes) == figures, 60, what=f"{process.name} to answer {figures}")
