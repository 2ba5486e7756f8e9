"""The store against itself: positions and versions dense, a receipt for every event, every fold equal to its events."""

from collections.abc import AsyncIterator
from itertools import groupby

import asyncpg
import msgspec

from schemas.envelope import Recorded
from services.cli.verification.finding import Difference, Progress
from services.kernel.decider import Deciders, decider_of
from services.kernel.log import recorded

_COLUMNS = "partition, position, stream, version, type, source, id, occurred_at, recorded_at, data, meta"


async def check_store(
    connection: asyncpg.Connection, deciders: Deciders, owned: list[int], progress: Progress
) -> AsyncIterator[Difference]:
    """Every difference within one placement, whose connection has search_path = the log's schema. Reads one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        heads: dict[int, int] = {
            row[0]: row[1] for row in await connection.fetch("SELECT partition, head FROM log_partition")
        }
        if sorted(heads) != owned:
            yield Difference("the placement", f"holds the partitions {sorted(heads)}, the settings say {owned}")
        for number, (partition, head) in enumerate(sorted(heads.items())):
            progress("store", number, len(heads))
            for where, what in await _check_partition(connection, partition, head):
                yield Difference(where, what)
            async for difference in _check_folds(connection, deciders, partition):
                yield difference
        progress("store", len(heads), len(heads))
        for difference in await _check_receipts(connection):
            yield difference


async def _check_partition(connection: asyncpg.Connection, partition: int, head: int) -> list[Difference]:
    found = []
    ((count, last, falls),) = await connection.fetch(
        "SELECT count(*), coalesce(max(position), 0), count(*) FILTER (WHERE recorded_at < before) FROM ("
        "  SELECT position, recorded_at, lag(recorded_at) OVER (ORDER BY position) AS before FROM event WHERE partition = $1) AS e",
        partition,
    )  # fmt: skip
    if count != last:
        found.append(
            Difference(f"partition {partition}", f"has {count} events, but its last position is {last}: not dense")
        )
    if last != head:
        found.append(Difference(f"partition {partition}", f"counts to {head}, but its last event stands at {last}"))
    if falls:
        found.append(
            Difference(f"partition {partition}", f"has {falls} events recorded before the one in front of them")
        )
    return found


async def _check_folds(connection: asyncpg.Connection, deciders: Deciders, partition: int) -> AsyncIterator[Difference]:
    """Every stream of the partition folded again from its events, and compared with the state that is stored.

    Events and states are read side by side in the order of streams: of neither is more in memory than one stream and a page.
    """
    states = aiter(
        connection.cursor(
            "SELECT stream, version, state FROM stream WHERE partition = $1 ORDER BY stream",
            partition,
            prefetch=500,
        )
    )
    state = await anext(states, None)
    async for events in _by_stream(connection, partition):
        stream, stored = events[0].stream, None
        while state is not None and state["stream"] <= stream:  # both columns sort by code point, as Python does
            if state["stream"] == stream:
                stored = state["version"], state["state"]
            else:
                yield Difference(state["stream"], "has a state, but no events")
            state = await anext(states, None)
        for difference in _compare_stream(deciders, events, stored):
            yield difference
    while state is not None:
        yield Difference(state["stream"], "has a state, but no events")
        state = await anext(states, None)


async def _by_stream(connection: asyncpg.Connection, partition: int) -> AsyncIterator[list[Recorded]]:
    events: list[Recorded] = []
    async for row in connection.cursor(
        f"SELECT {_COLUMNS} FROM event WHERE partition = $1 ORDER BY stream, version",
        partition,
        prefetch=500,
    ):
        event = recorded(row)
        if events and events[0].stream != event.stream:
            yield events
            events = []
        events.append(event)
    if events:
        yield events


def _compare_stream(deciders: Deciders, events: list[Recorded], stored: tuple[int, str] | None) -> list[Difference]:
    stream = events[0].stream
    versions = [event.version for event in events]
    if versions != list(range(1, len(events) + 1)):
        return [Difference(stream, f"has the versions {_ranges(versions)}: not dense")]
    if stored is None:
        return [Difference(stream, "has events, but no state")]
    if stored[0] != len(events):
        return [Difference(stream, f"has {len(events)} events, but its state is of version {stored[0]}")]
    decider = decider_of(deciders, stream)
    state = decider.fold(decider.fact(event, event.version) for event in events)
    if msgspec.json.decode(decider.encode(state)) != msgspec.json.decode(stored[1])["fold"]:
        return [Difference(stream, "folds to another state than the one that is stored")]
    return []


async def _check_receipts(connection: asyncpg.Connection) -> list[Difference]:
    ((without, alone),) = await connection.fetch(
        "SELECT (SELECT count(*) FROM event AS e WHERE NOT EXISTS (SELECT 1 FROM receipt AS r WHERE r.source = e.source AND r.id = e.id)), "
        "(SELECT count(*) FROM receipt AS r WHERE NOT EXISTS (SELECT 1 FROM event AS e "
        " WHERE e.partition = r.partition AND e.stream = r.stream AND e.version = r.version AND e.id = r.id))"
    )
    found = []
    if without:
        found.append(Difference("receipts", f"are missing for {without} events: they could be stored twice"))
    if alone:
        found.append(Difference("receipts", f"exist for {alone} events that are not stored"))
    return found


def _ranges(numbers: list[int]) -> str:
    """Numbers as ranges: 1-3, 5."""
    parts = []
    for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ", ".join(parts)
