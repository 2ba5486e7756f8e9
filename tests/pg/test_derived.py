"""Facts that belong to two streams: what is posted on one is derived on the other, in the same transaction, once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from schemas.envelope import Event
from schemas.pipeline_files import read_pipelines
from services.kernel.errors import Invalid
from services.lifecycle.domain.derive import SOURCE
from services.lifecycle.domain.lead import LeadDecider
from tests.support.builders import eur
from tests.support.logs import LeadLog, check_dense, event, opened, prepare


@pytest.fixture
async def log(database: str) -> AsyncIterator[LeadLog]:
    await prepare(database)
    async with opened(database) as lead_log:
        yield lead_log
        check_dense(await lead_log.everything())


def on(day: int) -> str:
    return f"2026-01-{day:02}T10:00:00Z"


def captured(lead: str, day: int = 1, **data: Any) -> Event:
    return event("LeadCaptured", lead, on(day), data={"source_channel": "web", **data})


def won(lead: str, day: int, *contracts: str, **attributes: Any) -> Event:
    sold = [{"contract_id": each, "mrr": eur("10.00"), "term_start": "2026-02-01"} for each in contracts]
    return event("Won", lead, on(day), data={"value": eur("100.00"), "contracts": sold}, **attributes)


def merged(survivor: str, absorbed: str, day: int = 9, **attributes: Any) -> Event:
    return event("LeadMerged", survivor, on(day), data={"absorbed_lead_id": absorbed}, **attributes)


def retracted(given: Event, day: int = 20) -> Event:
    about = {"corrects": {"source": given.source, "id": given.id}}
    return event("EventRetracted", given.stream, on(day), data=about)


async def types(log: LeadLog, stream: str) -> list[str]:
    return [each.type for each in await log.history(stream)]


async def test_a_merge_ends_the_absorbed_lead_and_tells_the_survivor_all_it_knew(log: LeadLog) -> None:
    await log.post(captured("B", 1, owner="bo"), won("B", 5, "C-1"), captured("A", 3, owner="ana"))
    answer = await log.post_one(merged("A", "B", id="m-1"))
    assert answer.stream == "lead/A"
    absorbed, survivor = await log.state("B"), await log.state("A")
    assert (absorbed["standing"], absorbed["absorbed_into"]) == ("absorbed", "A")
    assert (survivor["outcome"], survivor["captured_at"], survivor["owner"]) == ("won", "2026-01-01T10:00:00Z", "bo")
    assert [each["contract_id"] for each in survivor["contracts"]] == ["C-1"]
    derived = [each for each in await log.history("lead/B") if each.type == "LeadAbsorbed"]
    assert [(each.source, each.meta["causationid"]) for each in derived] == [(SOURCE, "m-1")]


async def test_what_comes_to_an_absorbed_lead_is_kept_there_and_goes_to_the_survivor(log: LeadLog) -> None:
    await log.post(captured("A"), captured("B"))
    await log.post_one(merged("A", "B"))
    await log.post_one(event("ValueChanged", "B", on(12), data={"value": eur("7.00")}))
    assert (await log.state("A"))["value"] == eur("7.00")
    assert (await types(log, "lead/B"))[-1] == "ValueChanged"
    assert "value" not in await log.state("B")


async def test_retracting_a_merge_brings_both_leads_back(log: LeadLog) -> None:
    await log.post(captured("B", 1, owner="bo"), won("B", 5, "C-1"), captured("A", 3, owner="ana"))
    before = [await log.state(lead) for lead in "AB"]
    merge = merged("A", "B")
    await log.post_one(merge)
    await log.post_one(retracted(merge))
    for lead, was in zip("AB", before, strict=True):
        now = await log.state(lead)
        assert {**now, "version": 0, "corrections": 0} == {**was, "version": 0, "corrections": 0}


async def test_an_accepted_upgrade_opens_the_next_cycle_and_its_win_ends_the_old_contract(log: LeadLog) -> None:
    await log.post(captured("A", 1, owner="ana", account_id="acme", region="West"), won("A", 5, "C-1", "C-2"))
    due = {"due_at": on(7), "basis": "own_term", "contract_id": "C-1"}
    await log.post_one(event("UpgradeDue", "A", on(7), data=due))
    await log.post_one(event("UpgradeAccepted", "A", on(8), data={"new_lead_id": "N", "contract_id": "C-1"}))
    new = await log.state("N")
    assert (new["origin"], new["owner"], new["account_id"]) == ({"lead_id": "A", "kind": "upgrade"}, "ana", "acme")
    await log.post_one(won("N", 15, "C-9"))
    old = {each["contract_id"]: each for each in (await log.state("A"))["contracts"]}
    assert (old["C-1"]["end_reason"], old["C-1"]["superseded_by"]) == ("superseded", "N")
    assert old["C-1"]["ended_at"] == "2026-02-01T00:00:00Z"
    assert "ended_at" not in old["C-2"]


async def test_a_split_captures_the_new_leads(log: LeadLog) -> None:
    await log.post(captured("A", 1, owner="ana"))
    split = event("LeadSplit", "A", on(4), data={"new_lead_ids": ["S-1", "S-2"]})
    await log.post_one(split)
    for lead in ("S-1", "S-2"):
        state = await log.state(lead)
        assert (state["origin"], state["owner"], state["source_channel"]) == (
            {"lead_id": "A", "kind": "split"}, "ana", "web",
        )  # fmt: skip
    await log.post_one(retracted(split))
    assert "phase" not in await log.state("S-1")


async def test_a_consent_that_is_given_on_a_lead_is_the_person_s(log: LeadLog) -> None:
    await log.post_one(captured("A", person_id="p-1"))
    await log.post_one(event("ConsentWithdrawn", "lead/A", on(3), data={"purpose": "any", "channel": "email"}))
    (consent,) = (await log.state("person/p-1"))["consents"]
    assert (consent["purpose"], consent["channel"], consent["granted"]) == ("any", "email", False)


async def test_the_same_cause_again_derives_nothing_more(log: LeadLog, database: str) -> None:
    await log.post(captured("A"), captured("B"))
    merge = merged("A", "B", id="m-1")
    await log.post_one(merge)
    before = {stream: await types(log, stream) for stream in ("lead/A", "lead/B")}
    assert (await log.post_one(merge)).repeated
    async with opened(database) as restarted:
        assert (await restarted.post_one(merge)).repeated
    # another merge of the same two is another cause: its effects are its own, and the absorbed lead stays absorbed
    assert {stream: await types(log, stream) for stream in before} == before


async def test_many_at_once_lose_and_double_nothing(log: LeadLog, database: str) -> None:
    await log.post(*(captured(f"L-{n}", person_id=f"p-{n % 3}") for n in range(12)))
    merges = [merged("L-0", f"L-{n}", id=f"m-{n}") for n in range(1, 12)]
    others = [event("ActivityLogged", f"L-{n}", on(15), id=f"a-{n}") for n in range(12)]
    async with opened(database) as second:
        await asyncio.gather(
            *(log.post_one(each) for each in (*merges, *others)), *(second.post_one(each) for each in merges)
        )
    history = await log.history("lead/L-0")
    assert len({(each.source, each.id) for each in history}) == len(history)
    assert sum(each.type == "LeadMerged" for each in history) == 11
    for n in range(1, 12):
        assert (await types(log, f"lead/L-{n}")).count("LeadAbsorbed") == 1
    state = await log.state("L-0")
    assert len(state["absorbed_leads"]) == 11


async def test_what_is_refused_derives_nothing(log: LeadLog) -> None:
    await log.post_one(captured("A"))
    group = (merged("A", "B"), event("LeadCaptured", "A", expectedversion=77))
    (outcome,) = await log.committer.submit([group])
    assert not isinstance(outcome, list)
    assert await types(log, "lead/B") == []
    assert await types(log, "lead/A") == ["LeadCaptured"]


async def test_a_correction_must_fit_the_event_that_it_is_about(log: LeadLog) -> None:
    win = won("A", 5)
    await log.post(captured("A"), win)
    misfit = {"corrects": {"source": win.source, "id": win.id}, "data": {"value": {"amount": "1", "currency": "EUX"}}}
    with pytest.raises(Invalid) as refused:
        await log.post_one(event("EventCorrected", "A", on(9), data=misfit))
    assert [flaw.pointer for flaw in refused.value.errors] == ["/data/data/value/currency"]
    fitting = {**misfit, "data": {"value": eur("5.00")}}
    answer = await log.post_one(event("EventCorrected", "A", on(9), data=fitting))
    assert answer.anomaly is None
    assert (await log.state("A"))["close_value"] == eur("5.00")
    waiting = {"corrects": {"source": "/x", "id": "later"}, "data": {"value": eur("5.00")}}
    answer = await log.post_one(event("EventCorrected", "A", on(9), data=waiting))
    assert answer.anomaly is not None
    assert "not arrived" in answer.anomaly


async def test_what_is_stored_as_derived_is_readable_as_any_event(log: LeadLog) -> None:
    await log.post(captured("A"), captured("B"))
    await log.post_one(merged("A", "B"))
    await log.post_one(event("ValueChanged", "B", on(12), data={"value": eur("7.00")}, timeprecision="day"))
    (copy,) = [each for each in await log.history("lead/A") if each.type == "ValueChanged"]
    assert (copy.source, copy.meta["timeprecision"], copy.meta["copiedfrom"]) == (SOURCE, "day", "lead/B")
    assert msgspec.json.decode(copy.data) == {"value": eur("7.00")}


async def test_leads_that_are_merged_in_a_ring_copy_each_fact_once_and_end(log: LeadLog) -> None:
    await log.post(captured("A"), captured("B"), captured("C"))
    for survivor, absorbed in (("A", "B"), ("B", "A"), ("B", "C"), ("C", "A")):
        await log.post_one(merged(survivor, absorbed))
    for lead in "ABC":
        await log.post_one(event("ActivityLogged", lead, on(15)))
    histories = [await log.history(f"lead/{lead}") for lead in "ABC"]
    assert sum(map(len, histories)) < 40
    with pytest.raises(Invalid):
        await log.post_one(event("LeadAbsorbed", "A", on(9), data={"surviving_lead_id": "A"}))


async def test_a_chain_of_merges_tells_the_last_survivor_each_later_fact_once(log: LeadLog) -> None:
    await log.post(captured("A"), captured("B"), captured("C"))
    await log.post(merged("B", "C", id="m-1"))
    await log.post(merged("A", "B", id="m-2"))
    await log.post_one(event("ActivityLogged", "C", on(15)))
    assert [types_of for types_of in await types(log, "lead/A") if types_of == "ActivityLogged"] == ["ActivityLogged"]
    assert (await log.state("A"))["activities"] == 1


async def test_merged_retracted_and_merged_again_has_what_it_had_the_first_time(log: LeadLog) -> None:
    await log.post(captured("B", 1, owner="bo"), won("B", 5, "C-1"), captured("A", 3))
    first = merged("A", "B", id="m-1")
    await log.post_one(first)
    await log.post_one(retracted(first))
    await log.post_one(merged("A", "B", id="m-2"))
    state = await log.state("A")
    assert (state["outcome"], state["owner"], [each["contract_id"] for each in state["contracts"]]) == (
        "won",
        "bo",
        ["C-1"],
    )
    again = await log.post_one(merged("A", "B", id="m-3"))  # another system tells of the same merge
    assert again.anomaly is None
    assert [each["contract_id"] for each in (await log.state("A"))["contracts"]] == ["C-1"]


async def test_what_came_while_two_leads_were_one_goes_with_the_merge(log: LeadLog) -> None:
    await log.post(captured("A"), captured("B"))
    before = await log.state("A")
    merge = merged("A", "B")
    await log.post_one(merge)
    await log.post_one(event("ValueChanged", "B", on(12), data={"value": eur("7.00")}))
    taken_back = retracted(merge)
    await log.post_one(taken_back)
    after = await log.state("A")
    assert {**after, "version": 0, "corrections": 0} == {**before, "version": 0, "corrections": 0}
    assert (await log.state("B"))["value"] == eur("7.00")
    await log.post_one(retracted(taken_back, 25))
    assert (await log.state("A"))["value"] == eur("7.00")
    assert (await log.state("B"))["standing"] == "absorbed"


async def test_a_cause_that_was_retracted_before_it_came_has_no_effect(log: LeadLog) -> None:
    await log.post(captured("A"), captured("B"))
    merge = merged("A", "B", id="m-1")
    await log.post_one(retracted(merge))
    await log.post_one(merge)
    assert "standing" not in await log.state("B")
    assert "absorbed_leads" not in await log.state("A")


async def test_what_hangs_on_a_capture_that_comes_late_follows_when_it_comes(log: LeadLog) -> None:
    await log.post_one(event("ConsentWithdrawn", "lead/A", on(3), data={"purpose": "any", "channel": "email"}))
    await log.post(captured("OLD"), won("OLD", 2, "C-1"), won("A", 15, "C-9"))
    origin = {"lead_id": "OLD", "kind": "renewal"}
    await log.post_one(captured("A", 1, person_id="p-1", origin=origin))
    (consent,) = (await log.state("person/p-1"))["consents"]
    assert consent["granted"] is False
    (contract,) = (await log.state("OLD"))["contracts"]
    assert (contract["end_reason"], contract["superseded_by"]) == ("superseded", "A")


async def test_a_merge_of_a_long_lead_stays_small(log: LeadLog) -> None:
    await log.post(captured("A"), captured("B"))
    for page in range(4):
        await log.post(*(event("ActivityLogged", "B", on(5), id=f"a-{page}-{n}") for n in range(250)))
    await log.post_one(merged("A", "B"))
    assert len(await log.history("lead/A")) == 3


async def test_a_lead_keeps_the_pipeline_version_it_was_captured_under_whatever_is_folded_again(
    log: LeadLog, database: str
) -> None:
    await log.post_one(captured("A", 1, pipeline="board"))
    await log.post_one(event("StageEntered", "A", on(5), data={"stage": "engaging"}))
    (stored, _) = await log.history("lead/A")
    assert stored.meta["pipelineversion"] == "board@1"
    newer = read_pipelines(
        {
            "a.yaml": "{name: six-phase, version: 1, default: true, stages: [{name: opportunity, phase: opportunity}]}",
            "b1.yaml": "{name: board, version: 1, stages: [{name: prospecting, phase: opportunity}, {name: engaging, phase: sales_process}]}",
            "b2.yaml": "{name: board, version: 2, stages: [{name: other, phase: opportunity}]}",
        }
    )
    decider = LeadDecider(newer)
    folded = decider.fold([decider.fact(each, each.version) for each in await log.history("lead/A")])
    assert (folded.pipeline_version, folded.stage, folded.anomaly_count) == (1, "engaging", 0)
