"""What the log promises a writer: one order, each event once, one bad request fails alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from schemas.envelope import Event
from services.kernel.errors import IdempotencyMismatch, IllegalTransition, Invalid, Unavailable, VersionConflict
from services.kernel.sql_files import sql
from services.kernel.submission import Appended
from tests.support.logs import LeadLog, check_dense, event, opened, prepare


@pytest.fixture
async def log(database: str) -> AsyncIterator[LeadLog]:
    await prepare(database)
    async with opened(database) as lead_log:
        yield lead_log


async def test_positions_and_versions_are_dense_under_many_callers(log: LeadLog) -> None:
    answers = await asyncio.gather(*(log.post_one(event("ActivityLogged", f"L-{n % 17}")) for n in range(500)))
    check_dense(await log.everything())
    assert len({(a.partition, a.position) for a in answers}) == 500
    stored = {(e.stream, e.version): e.position for events in (await log.everything()).values() for e in events}
    assert all(stored[a.stream, a.version] == a.position for a in answers)


async def test_the_same_event_again_gets_the_first_answer(log: LeadLog) -> None:
    captured = event("Won", "L-1", id="w-1")
    first = await log.post_one(captured)
    again = await log.post_one(captured)
    assert not first.repeated
    assert again.repeated
    assert (again.position, again.version, again.recorded_at, again.implied) == (
        first.position, first.version, first.recorded_at, ("LeadCaptured", "Qualified"),
    )  # fmt: skip


async def test_every_text_is_stored_as_it_came(log: LeadLog) -> None:
    """Arrays go to the store as text: what quotes, escapes or ends them there must not mean anything."""
    odd = ['"', "\\", '\\"', "{a,b}", "NULL", ",", "'", "\\x00", "ü \U0001f600", " "]
    events = [
        event(
            "ActivityLogged",
            f"L-{n % 3}",
            id=f"{text}{n}",
            data={"kind": "call", "direction": "out", "place": text + "\n"},
            odd=text,
        )
        for n, text in enumerate(odd)
    ]
    await log.post(*(event("LeadCaptured", f"L-{n}", "2026-01-01T00:00:00Z", id=f"c-{n}") for n in range(3)))
    await log.post(*events)
    stored = {each.id: each for events_of_one in (await log.everything()).values() for each in events_of_one}
    assert {id: (each.data, each.meta) for id, each in stored.items() if each.type == "ActivityLogged"} == {
        each.id: (each.data, each.meta) for each in events
    }
    again = await log.post(*events)
    assert all(isinstance(each, Appended) and each.repeated for each in again)


async def test_fifty_at_once_are_stored_once(log: LeadLog) -> None:
    captured = event("LeadCaptured", "L-1", id="c-1")
    answers = await asyncio.gather(*(log.post_one(captured) for _ in range(50)))
    assert sum(not answer.repeated for answer in answers) == 1
    assert {answer.position for answer in answers} == {1}


async def test_fifty_at_once_through_two_processes_are_stored_once(log: LeadLog, database: str) -> None:
    async with opened(database) as other:
        captured = [event("LeadCaptured", f"L-{n}", id=f"c-{n}") for n in range(40)]
        await asyncio.gather(*(process.post_one(each) for each in captured for process in (log, other)))
    everything = await log.everything()
    check_dense(everything)
    assert sum(map(len, everything.values())) == 40


async def test_another_content_under_the_same_id_is_refused(log: LeadLog) -> None:
    await log.post_one(event("LeadCaptured", "L-1", id="c-1"))
    with pytest.raises(IdempotencyMismatch):
        await log.post_one(event("LeadCaptured", "L-2", id="c-1"))


async def test_one_bad_request_of_a_batch_fails_alone(log: LeadLog) -> None:
    good, bad, after = await log.post(
        event("LeadCaptured", "L-1"),
        event("StageEntered", "L-1", data={"stage": "nowhere"}),
        event("ActivityLogged", "L-1"),
    )
    assert isinstance(good, Appended)
    assert isinstance(after, Appended)
    assert isinstance(bad, Invalid)
    assert bad.errors[0].pointer == "/data/stage"
    assert after.version == 2


async def test_exactly_one_of_many_writers_wins_an_expected_version(log: LeadLog, database: str) -> None:
    await log.post_one(event("LeadCaptured", "L-1"))
    async with opened(database) as other:
        outcomes = await asyncio.gather(
            *(p.post(event("ActivityLogged", "L-1", expectedversion=1)) for p in (log, other) for _ in range(10))
        )
    won = [outcome for (outcome,) in outcomes if isinstance(outcome, Appended)]
    lost = [outcome for (outcome,) in outcomes if isinstance(outcome, VersionConflict)]
    assert (len(won), len(lost)) == (1, 19)
    assert {each.extra["current_version"] for each in lost} == {2}


async def test_a_refusal_never_rests_on_an_old_memory(log: LeadLog, database: str) -> None:
    await log.post_one(event("LeadCaptured", "L-1"))
    async with opened(database) as other:
        await other.post_one(event("ActivityLogged", "L-1"))
    answer = await log.post_one(event("ActivityLogged", "L-1", expectedversion=2))
    assert answer.version == 3


async def test_a_strict_caller_is_told_what_is_normal_next(log: LeadLog) -> None:
    await log.post_one(event("LeadCaptured", "L-1"))
    with pytest.raises(IllegalTransition) as refused:
        await log.post_one(event("Won", "L-1"), strict=True)
    assert "Qualified" in refused.value.extra["normal_next"]
    assert refused.value.extra["state"]["phase"] == "opportunity"
    assert (await log.state("L-1"))["version"] == 1


async def test_an_atomic_batch_is_stored_whole_or_not_at_all(log: LeadLog) -> None:
    group = (event("LeadCaptured", "L-1"), event("LeadCaptured", "L-2", expectedversion=7))
    (outcome,) = await log.committer.submit([group])
    assert isinstance(outcome, VersionConflict)
    assert sum(map(len, (await log.everything()).values())) == 0
    (outcome,) = await log.committer.submit([(event("LeadCaptured", "L-1"), event("LeadCaptured", "L-2"))])
    assert isinstance(outcome, list)
    assert len(outcome) == 2


async def test_a_late_event_refolds_the_lead_as_if_it_had_come_in_time(log: LeadLog) -> None:
    await log.post_one(event("LeadCaptured", "L-1", "2026-01-01T00:00:00Z"))
    won = await log.post_one(event("Won", "L-1", "2026-03-01T00:00:00Z"))
    assert won.implied == ("Qualified",)
    late = await log.post_one(event("Qualified", "L-1", "2026-02-01T00:00:00Z"))
    assert (late.version, late.implied, late.anomaly) == (3, (), None)
    state = await log.state("L-1")
    assert "implied" not in state
    assert (state["phase"], state["outcome"]) == ("transaction", "won")


async def test_a_late_event_after_a_restart_refolds_from_the_store(log: LeadLog, database: str) -> None:
    await log.post(event("LeadCaptured", "L-1", "2026-01-01T00:00:00Z"), event("Won", "L-1", "2026-03-01T00:00:00Z"))
    async with opened(database) as restarted:
        await restarted.post_one(event("Lost", "L-1", "2026-02-01T00:00:00Z"))
        state = await restarted.state("L-1")
    assert state["outcome"] == "won"
    assert [each["type"] for each in state["anomalies"]] == ["Won"]


async def test_a_refusal_rests_on_what_was_loaded_whatever_happens_to_the_cache_meanwhile(log: LeadLog) -> None:
    """The workers share the cache: one that lost its connection empties it while the other waits for the store."""
    await log.post_one(event("LeadCaptured", "L-1"))
    committer = log.committer
    committer._cache.clear()
    load = committer._load_receipts

    async def load_and_lose_the_cache(connection: Any, events: list[Event]) -> Any:
        found = await load(connection, events)
        committer._cache.clear()
        return found

    committer._load_receipts = load_and_lose_the_cache  # type: ignore[method-assign]
    answer = await log.post_one(event("ActivityLogged", "L-1", expectedversion=1))
    assert answer.version == 2


async def test_a_lead_that_cannot_be_read_fails_alone(log: LeadLog, database: str) -> None:
    """As while a newer release runs beside this one, and has stored what this one does not know."""
    await log.post(*(event("LeadCaptured", f"L-{n}", "2026-02-01T00:00:00Z") for n in range(6)))
    owner = await asyncpg.connect(database)
    await owner.execute("UPDATE lifecycle.event SET type = 'FromTheFuture' WHERE stream = 'lead/L-3'")
    await owner.close()
    late = [event("ActivityLogged", f"L-{n}", "2026-01-01T00:00:00Z") for n in range(6)]
    outcomes = await log.post(*late)
    assert [type(outcome) for outcome in outcomes] == [Appended] * 3 + [Unavailable] + [Appended] * 2


async def test_readers_do_not_hold_up_an_append(log: LeadLog) -> None:
    """A reader waits for a connection among readers, however many of them there are."""
    await log.post_one(event("LeadCaptured", "L-1"))
    slow = [asyncio.create_task(log.log.reads.fetch("SELECT pg_sleep(2)")) for _ in range(20)]
    await asyncio.sleep(0.2)
    async with asyncio.timeout(1):
        await log.post_one(event("ActivityLogged", "L-1"))
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_a_list_of_few_leads_among_many_is_found_by_its_index(log: LeadLog, database: str) -> None:
    await log.post(
        *(event("LeadCaptured", f"L-{n}", data={"source_channel": "web", "owner": "bo"}) for n in range(2_000))
    )
    await log.post_one(event("LeadCaptured", "L-x", data={"source_channel": "web", "owner": "ana"}))
    owner = await asyncpg.connect(database)
    await owner.execute("VACUUM ANALYZE lifecycle.stream")
    await owner.close()

    async def plan(label: str) -> str:
        async with log.log.reads.acquire() as connection:
            rows = await connection.fetch(
                f"EXPLAIN {sql('services.lifecycle.sql', 'list_streams')}", "lead/", "lead0", [label], 51
            )
        return "\n".join(row[0] for row in rows)

    assert "stream_labels" in await plan("owner=ana")
    assert "stream_labels" in await plan("owner=nobody")
    assert "stream_pkey" in await plan("owner=bo")


async def test_the_log_cannot_be_changed_by_its_writer(log: LeadLog) -> None:
    await log.post_one(event("LeadCaptured", "L-1"))
    for statement in (
        "UPDATE event SET type = 'x'",
        "DELETE FROM event",
        "UPDATE receipt SET id = 'x'",
        "DELETE FROM receipt",
        "TRUNCATE event",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await log.log.pool.execute(statement)
