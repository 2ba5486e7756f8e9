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
from tests.support.builders import eur
from tests.support.logs import check_dense, event, opened, prepare
from tests.support.postgres import new_name
from tests.support.processes import ROOT

PIPELINES = read_pipelines(read_documents(ROOT / "deploy" / "pipelines", ".yaml"))


def company() -> list[Event]:
    """Late, corrected and retracted events, merges, upgrades: in the order of arrival.

    Without who leaves: what a leaver's leads are is searched when it is told, so it hangs on what came before (ADR-0015).
    """
    simulation = Simulation(Options(150, 3, date(2024, 1, 1), 18))
    lines = in_order(simulation.batches(), BytesIO)
    return [told for line in lines if (told := parse_event(decode(line), utc_now())).type != "OwnerLeft"]


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
    monkeypatch.setattr(committer, "WORTH_SPLITTING", 8)
    events = company()
    gathered = await states_after(database, events, 600)
    assert splits > 3
    monkeypatch.setattr(committer, "WORTH_SPLITTING", 10**9)
    apart = await states_after(another_database, events, 20)
    assert gathered == apart


async def test_two_that_derive_from_one_lead_both_do(database: str) -> None:
    """The second finds that what it needs is asked for already: it is not decided by that."""
    await prepare(database)
    sold = [{"contract_id": "C-1", "mrr": eur("10.00")}]
    async with opened(database) as log:
        await log.post(
            event("LeadCaptured", "O", data={"source_channel": "web"}),
            event("Won", "O", data={"value": eur("1.00"), "contracts": sold}),
            *(event("LeadCaptured", each, data={"source_channel": "upgrade", "origin": {"lead_id": "O", "kind": "upgrade"}}) for each in "AB"),
        )  # fmt: skip
    async with opened(database, max_batch=1_000) as another:  # which remembers nothing of them
        others = [event("LeadCaptured", f"L-{number}", data={"source_channel": "web"}) for number in range(150)]
        wins = [event("Won", each, "2026-02-01T10:00:00Z", data={"value": eur("1.00")}) for each in "AB"]
        for outcome in await another.post(*others[:30], *wins, *others[30:]):
            assert not isinstance(outcome, SalescycleError)
        told = [each.type for each in await another.history("lead/O")]
    assert told.count("ContractSuperseded") == 2
