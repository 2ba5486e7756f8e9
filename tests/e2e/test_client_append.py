"""Posting with the kit to a real lifecycle that is killed meanwhile: nothing is lost, nothing is stored twice."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from schemas.events import Money
from schemas.events.opportunity import LeadCaptured
from schemas.events.qualify import Qualified
from schemas.events.transaction import Won
from services.cli.embedded import EmbeddedPostgres
from services.client import Answer, BlockingDoor, Door, InLog, Known, Outgoing, Refused, Stored, event, id_of
from tests.support.processes import ServiceProcess
from tests.support.started import Started, started

pytestmark = pytest.mark.timeout(120)

SOURCE = "/tests/kit"


@pytest.fixture(scope="module")
def system(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started(tmp_path_factory.mktemp("system"), postgres) as running:
        yield running


def captured(lead: str, expected_version: int | None = None) -> Outgoing:
    return event(
        LeadCaptured(source_channel="web"), f"lead/{lead}", source=SOURCE, id=id_of(lead, "captured"),
        time="2026-01-05T10:00:00Z", expected_version=expected_version,
    )  # fmt: skip


def qualified(lead: str, expected_version: int | None = None) -> Outgoing:
    return event(
        Qualified(), f"lead/{lead}", source=SOURCE, id=id_of(lead, "q"), time="2026-01-06T10:00:00Z",
        expected_version=expected_version,
    )  # fmt: skip


@contextmanager
def killed_again_and_again(process: ServiceProcess) -> Iterator[list[float]]:
    """kill -9, each time a little later after the start, until the block ends; then it runs. Yields the times of the kills."""
    enough, kills = threading.Event(), list[float]()

    def trouble() -> None:
        for pause_s in (0.3, 0.6, 0.9, 1.2):
            if enough.wait(pause_s):
                return
            process.kill9()
            kills.append(time.monotonic())
            process.start()

    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        yield kills
    finally:
        enough.set()
        thread.join()


async def test_kill_9_of_the_service_loses_nothing_and_doubles_nothing(system: Started) -> None:
    leads = [f"K-{n}" for n in range(4_000)]
    lines = [made(lead) for lead in leads for made in (captured, qualified)]
    answers: list[Answer] = []
    with killed_again_and_again(system.lifecycle) as kills:
        async with Door(system.url, system.key, patience_s=60, request_timeout_s=10) as door:
            number = 0
            answers += [answer async for answer in door.append_lines(lines)]
            while len(kills) < 4 or number < 20:
                one = await door.append(captured(f"S-{number}", expected_version=0))
                two = await door.append_batch(
                    [captured(f"P-{number}", expected_version=0), qualified(f"P-{number}", expected_version=1)],
                    atomic=number % 2 == 0,
                )
                answers += [one, *two]
                number += 1
    places: dict[str, tuple[int, int]] = {}
    for answer in answers:
        assert isinstance(answer, InLog), answer
        assert places.setdefault(answer.id, (answer.partition, answer.position)) == (answer.partition, answer.position)
    stored = [event for events in system.log().values() for event in events]
    assert len(stored) == len(places) == len(lines) + 3 * number
    assert {event["id"]: (event["partition"], event["position"]) for event in stored} == places
    assert {event["version"] for event in stored if event["id"].endswith(":q")} == {2}, "each lead keeps its order"
    assert len(kills) >= 4


async def test_the_three_answers_and_what_makes_them(system: Started) -> None:
    async with Door(system.url, system.key) as door:
        first = await door.append(captured("L-1", expected_version=0))
        assert isinstance(first, Stored)
        again = await door.append(captured("L-1", expected_version=0))
        assert isinstance(again, Known), "the expected version was met when it was stored"
        assert (again.position, again.recorded_at) == (first.position, first.recorded_at)
        won = Won(value=Money(amount="10.00", currency="EUR"))
        late = event(won, "lead/L-1", source=SOURCE, id="w", time="2026-01-07T10:00:00Z", expected_version=7)
        conflict = await door.append(late)
        assert isinstance(conflict, Refused)
        assert (conflict.code, conflict.extra) == ("version-conflict", {"current_version": 1})
        other = event({"source_channel": "phone"}, "lead/L-1", type="LeadCaptured", source=SOURCE, id=first.id,
                      time="2026-01-05T10:00:00Z")  # fmt: skip
        mismatch = await door.append(other)
        assert isinstance(mismatch, Refused)
        assert mismatch.code == "idempotency-mismatch"
        leap = event(won, "lead/L-2", source=SOURCE, id="leap", time="2026-01-07T10:00:00Z")
        strict = await door.append(leap, strict=True)
        assert isinstance(strict, Refused)
        assert strict.code == "illegal-transition"
        kept = await door.append(leap)
        assert isinstance(kept, Stored)
        assert kept.implied == ("LeadCaptured", "Qualified")
        unfit = event(
            {"source_channel": 7}, "lead/L-3", type="LeadCaptured", source=SOURCE, id="u", time="2026-01-05T10:00:00Z"
        )
        good, bad = await door.append_batch([captured("L-4"), unfit])
        assert isinstance(good, Stored)
        assert isinstance(bad, Refused)
        assert [flaw.pointer for flaw in bad.errors] == ["/data/source_channel"]
        whole = await door.append_batch([captured("L-5"), unfit], atomic=True)
        assert [isinstance(each, Refused) for each in whole] == [True, True]


def test_a_program_without_an_event_loop_posts_too(system: Started) -> None:
    with BlockingDoor(system.url, system.key) as door:
        assert isinstance(door.append(captured("B-1")), Stored)
        assert [type(each) for each in door.append_batch([captured("B-1"), captured("B-2")])] == [Known, Stored]
        lines = list(door.append_lines(captured(f"B-{n}") for n in range(1, 1_200)))
    assert [answer.id for answer in lines] == [captured(f"B-{n}").id for n in range(1, 1_200)]
    assert [type(each) for each in lines] == [Known, Known, *[Stored] * 1_197]
