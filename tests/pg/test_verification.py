"""`salescycle verify` on the store: it names each stream that is not what its events say, and holds little in memory."""

import tracemalloc
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.cli.verification.finding import Difference
from services.cli.verification.store import check_store
from services.lifecycle.domain.lead import LeadDecider
from tests.support.logs import PIPELINES, event, opened, prepare


@pytest.fixture
async def store(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A log of forty leads, four of them tampered with or without the other half."""
    await prepare(database)
    async with opened(database) as log:
        await log.post(*(event("ActivityLogged", f"L-{n % 40:02}", id=f"e-{n}") for n in range(120)))
    connection = await asyncpg.connect(database, server_settings={"search_path": "lifecycle"})
    yield connection
    await connection.close()


async def differences(store: asyncpg.Connection) -> AsyncIterator[Difference]:
    deciders = {"lead": LeadDecider(PIPELINES)}
    async for difference in check_store(store, deciders, list(range(12)), lambda *_: None):
        yield difference


async def test_a_sound_store_has_no_differences(store: asyncpg.Connection) -> None:
    assert [each async for each in differences(store)] == []


async def test_every_stream_without_its_other_half_is_named(store: asyncpg.Connection) -> None:
    await store.execute("DELETE FROM stream WHERE stream IN ('lead/L-00', 'lead/L-39')")
    await store.execute("UPDATE stream SET version = 2 WHERE stream = 'lead/L-17'")
    for lead in ("lead/", "lead/L-21 and none of its events", "lead/é"):
        await store.execute(
            "INSERT INTO stream SELECT (jsonb_populate_record(s, jsonb_build_object('stream', $1::text))).* "
            "FROM stream AS s WHERE s.stream = 'lead/L-21'",
            lead,
        )
    found = {each.where: each.what async for each in differences(store) if each.where.startswith("lead/")}
    assert found == {
        "lead/": "has a state, but no events",
        "lead/L-00": "has events, but no state",
        "lead/L-17": "has 3 events, but its state is of version 2",
        "lead/L-21 and none of its events": "has a state, but no events",
        "lead/L-39": "has events, but no state",
        "lead/é": "has a state, but no events",
    }


async def test_the_states_of_a_partition_are_not_all_in_memory(store: asyncpg.Connection) -> None:
    await store.execute(
        "INSERT INTO stream SELECT (jsonb_populate_record(s, jsonb_build_object("
        " 'stream', s.stream || '/' || n, 'state', jsonb_build_object('x', repeat('x', 4000))))).* "
        "FROM stream AS s, generate_series(1, 10000) AS n WHERE s.stream = 'lead/L-21'"
    )
    tracemalloc.start()
    try:
        count = 0
        async for _ in differences(store):
            count += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 10_000
    assert peak < 16 * 2**20
