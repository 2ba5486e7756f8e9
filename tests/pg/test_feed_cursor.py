"""A subscriber of the whole log, in a store that is restored to an older state: nothing is skipped in silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import pytest

from services.kernel import feed
from services.kernel.errors import BadCursor, LogDiverged
from services.kernel.feed_cursor import Stand
from services.kernel.http_listing import decode_cursor, encode_cursor
from services.kernel.http_server import MAX_ADDRESS_BYTES
from services.kernel.placements import Placement, Placements
from services.kernel.wakeup import Heads
from tests.support.logs import LeadLog, event, opened, prepare


@pytest.fixture
async def log(database: str) -> AsyncIterator[LeadLog]:
    await prepare(database)
    async with opened(database) as made:
        yield made


@asynccontextmanager
async def served(log: LeadLog) -> AsyncIterator[Placements]:
    """The log as the feed sees it, in one placement that nobody publishes."""
    heads = Heads(log.log, channel="lifecycle_heads", poll_s=0.02)
    await heads.start()
    try:
        yield Placements([Placement(log.log, heads, log.committer, cast(Any, None))], 12)
    finally:
        await heads.stop()


async def post(log: LeadLog, count: int, prefix: str) -> None:
    for number in range(count):
        await log.post_one(event("ActivityLogged", "L-1", id=f"{prefix}-{number}"))


async def restore_to_nothing(log: LeadLog) -> None:
    connection = await asyncpg.connect(log.url)
    await connection.execute(
        "SET search_path = lifecycle; TRUNCATE event, stream, receipt; UPDATE log_partition SET head = 0"
    )
    await connection.close()
    log.committer._cache.clear()


def follow(placements: Placements, stand: Stand) -> AsyncIterator[bytes]:
    return feed._events(placements, "http://tests", stand, asyncio.Event(), lambda: True)


async def ids_of(stream: AsyncIterator[bytes], count: int) -> list[str]:
    """The cursors of the next events."""
    found: list[str] = []
    while len(found) < count:
        message = await asyncio.wait_for(anext(stream), 10)
        if message.startswith(b"id: "):
            found.append(message.split(b"\n")[0].removeprefix(b"id: ").decode())
    return found


async def test_a_cursor_leads_on_from_where_it_was_taken(log: LeadLog) -> None:
    async with served(log) as placements:
        await post(log, 3, "a")
        first, *_ = await ids_of(follow(placements, await Stand.at(placements, None)), 3)
        rest = await ids_of(follow(placements, await Stand.at(placements, first)), 2)
        assert (await Stand.at(placements, rest[-1])).positions[9] == 3
        assert (await Stand.at(placements, "now")).cursor == rest[-1]


async def test_a_cursor_of_events_that_a_restore_took_away_is_refused(log: LeadLog) -> None:
    async with served(log) as placements:
        await post(log, 3, "a")
        cursor = (await Stand.at(placements, "now")).cursor
        await restore_to_nothing(log)
        with pytest.raises(LogDiverged):
            await Stand.at(placements, cursor)
        await post(log, 5, "another history")
        with pytest.raises(LogDiverged):
            await Stand.at(placements, cursor)


async def test_an_open_stream_ends_before_it_gives_events_of_another_history(log: LeadLog) -> None:
    async with served(log) as placements:
        await post(log, 3, "a")
        stream = follow(placements, await Stand.at(placements, None))
        await ids_of(stream, 3)
        await restore_to_nothing(log)
        await post(log, 5, "another history")
        async with asyncio.timeout(10):
            assert [message async for message in stream] == []


async def test_an_open_stream_ends_also_where_the_log_has_not_grown_past_it(
    log: LeadLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "COMMENT_EVERY_S", 0.2)
    async with served(log) as placements:
        await post(log, 3, "a")
        stream = follow(placements, await Stand.at(placements, None))
        await ids_of(stream, 3)
        await restore_to_nothing(log)
        async with asyncio.timeout(10):
            assert {message async for message in stream} <= {b": still here\n\n"}


async def test_a_cursor_of_another_number_of_partitions_is_none_of_this_feed(log: LeadLog) -> None:
    async with served(log) as placements:
        with pytest.raises(BadCursor):
            await Stand.at(placements, encode_cursor((0, [0] * 13)))
        with pytest.raises(BadCursor):
            await Stand.at(placements, encode_cursor("L-1"))


@pytest.mark.parametrize("position", [100, 2**31, 2**62])
def test_a_cursor_over_as_many_partitions_as_a_log_may_have_is_taken_back(position: int) -> None:
    cursor = Stand([position] * 1024, [2**64 - 1] + [0] * 1023).cursor
    assert decode_cursor(cursor) == [2**64 - 1, [position] * 1024]
    if position < 2**32:
        assert len(cursor) < MAX_ADDRESS_BYTES - 1_000, "it fits into an address"
