"""A large batch, of which a few events need what was not loaded: the same states as if each event had come alone."""

from collections.abc import Iterator, Sequence
from datetime import date
from io import BytesIO
from typing import Any

import msgspec
import pytest

from schemas.codec import parse_event
from schemas.envelope import Event
from schemas.ijson import decode
from schemas.pipeline_files import read_pipelines
from services.cli.embedded import EmbeddedPostgres
from services.cli.simulation import Options, Simulation, in_order
from services.kernel import committer
from services.kernel.clock import utc_now
from services.kernel.committer import Committer
from services.kernel.configuration import read_documents
from services.kernel.draft import Draft
from services.kernel.errors import SalescycleError
from services.lifecycle.domain.attributes import attribute_deciders
from services.lifecycle.domain.lead import LeadDecider
from tests.support.logs import check_dense, opened, prepare
from tests.support.postgres import new_name
from tests.support.processes import ROOT

PIPELINES = read_pipelines(read_documents(ROOT / "deploy" / "pipelines", ".yaml"))


def company() -> list[Event]:
    """Late, corrected and retracted events, merges, upgrades, an owner who leaves: in the order of arrival."""
    simulation = Simulation(Options(150, 3, date(2024, 1, 1), 18))
    lines = in_order(simulation.batches(), BytesIO)
    return [parse_event(decode(line), utc_now()) for line in lines]


async def states_after(url: str, events: Sequence[Event], at_once: int) -> dict[str, Any]:
    await prepare(url)
    async with opened(url, max_batch=1_000) as log:
        log.committer = Committer(log.log, {"lead": LeadDecider(PIPELINES), **attribute_deciders()}, max_batch=1_000)
        await log.committer.start()
        for start in range(0, len(events), at_once):
            for outcome in await log.post(*events[start : start + at_once]):
                assert not isinstance(outcome, SalescycleError), outcome
        await log.committer.stop(drain_s=5)
        check_dense(await log.everything())
        rows = await log.log.pool.fetch("SELECT stream, state FROM stream")
    return {stream: msgspec.json.decode(state)["fold"] for stream, state in rows}


@pytest.fixture
def another_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    name = new_name()
    yield postgres.create_database(name)
    postgres.drop_database(name)


async def test_states_do_not_depend_on_how_events_are_gathered(
    database: str, another_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = 0
    split = Draft.split

    def counted(self: Draft) -> Any:
        nonlocal splits
        splits += 1
        return split(self)

    monkeypatch.setattr(Draft, "split", counted)
    events = company()
    gathered = await states_after(database, events, 600)
    assert splits > 3
    monkeypatch.setattr(committer, "WORTH_SPLITTING", 10**9)
    apart = await states_after(another_database, events, 20)
    assert gathered == apart
