"""Corrections and retractions: a lead folds as if the error had never been, whatever came first."""

from typing import Any

from schemas.envelope import Event
from schemas.lead.state import Lead
from services.lifecycle.domain.lead import LeadDecider
from tests.support.builders import SOURCE, eur
from tests.support.logs import PIPELINES
from tests.support.scenario import given, happened
from tests.unit.test_lead_stories import (
    CAPTURED,
    LOST,
    QUALIFIED,
    REOPENED,
    _churn,
    contract,
    corrected,
    retracted,
    running,
    won,
)


def test_a_correction_refolds_the_lead_as_if_the_error_had_never_been() -> None:
    wrong = won(5, value="1.00")
    right = {"value": eur("900.00"), "contracts": [contract("C-7")]}
    outcome = given(CAPTURED, QUALIFIED, wrong).when(corrected(wrong, 9, right)).normally().then(close_value="900.00")
    assert running(outcome.lead) == ["C-7"]
    without = given(CAPTURED, QUALIFIED).when(happened("Won", 5, data=right)).lead
    assert _known(outcome.lead) == _known(without)


def _known(lead: Lead) -> dict[str, Any]:
    return {name: getattr(lead, name) for name in Lead.__struct_fields__ if name not in ("corrections", "anomalies")}


def test_the_last_correction_counts_and_retracting_it_brings_back_the_one_before() -> None:
    wrong = won(5, value="1.00")
    first = corrected(wrong, 9, {"value": eur("2.00")})
    second = corrected(wrong, 10, {"value": eur("3.00")})
    given(CAPTURED, QUALIFIED, wrong, first).when(second).then(close_value="3.00")
    given(CAPTURED, QUALIFIED, wrong, second).when(first).then(close_value="3.00")
    given(CAPTURED, QUALIFIED, wrong, first, second).when(retracted(second, 8)).then(close_value="2.00")


def test_a_retraction_may_itself_be_retracted() -> None:
    taken_back = retracted(LOST, 9)
    history = (CAPTURED, QUALIFIED, LOST, taken_back)
    given(*history[:3]).when(taken_back).then(outcome="open")
    given(*history).when(retracted(taken_back, 10)).normally().then(outcome="lost")


def test_retractions_that_go_round_in_a_ring_and_long_chains_of_them_end() -> None:
    ring = [happened("EventRetracted", 9, id=f"r{n}", data={"corrects": {"source": SOURCE, "id": f"r{(n + 1) % 3}"}}) for n in range(3)]  # fmt: skip
    given(CAPTURED, QUALIFIED, *ring[:2]).when(ring[2]).then(phase="sales_process")
    chain: list[Event] = [LOST]
    for _ in range(30):
        chain.append(retracted(chain[-1], 9))
    decider = LeadDecider(PIPELINES)
    for taken_back in (29, 30):
        facts = [decider.fact(event, n) for n, event in enumerate((CAPTURED, *chain[: taken_back + 1]), 1)]
        assert decider.fold(facts).outcome == ("open" if taken_back % 2 else "lost")


def test_a_correction_that_comes_before_its_event_waits_for_it() -> None:
    late = won(5, value="1.00")
    early = corrected(late, 9, {"value": eur("2.00")})
    given(CAPTURED).when(early).anomalously("has not arrived")
    given(CAPTURED, QUALIFIED, early).when(late).normally().then(close_value="2.00", anomaly_count=0)


def test_a_correction_with_data_that_no_door_would_take_has_no_effect_whenever_it_came() -> None:
    late = won(5, value="7.00")
    for data in (
        {"value": {"amount": "abc", "currency": "EUR"}},
        {"value": {"amount": "1.005", "currency": "EUR"}},
        {},
    ):
        early = corrected(late, 9, data or {"x": 1})
        given(CAPTURED, QUALIFIED, early).when(late).then(close_value="7.00")
    left = happened("Churned", 10, data=_churn(10))
    far = corrected(left, 11, {**_churn(10), "effective_at": "9999-12-31T23:59:59-01:00"})
    given(CAPTURED, QUALIFIED, won(), far).when(left).then(standing="churned")


def test_a_correction_keeps_the_precision_of_its_event() -> None:
    left = happened(
        "Churned", 10, data={**_churn(10), "effective_at": "2026-01-10T00:00:00+01:00"}, timeprecision="day"
    )
    reason = corrected(left, 11, {**_churn(10), "effective_at": "2026-01-10T00:00:00+01:00", "reason": "support"})
    before = given(CAPTURED, QUALIFIED, won()).when(left).lead
    after = given(CAPTURED, QUALIFIED, won(), left).when(reason).lead
    assert before.contracts[0].ended_at == after.contracts[0].ended_at


def test_an_end_that_is_told_before_its_beginning_takes_effect() -> None:
    early = happened("Churned", 3, data=_churn(3, "C-1"))
    given(CAPTURED, QUALIFIED).when(early).anomalously("the phase sales process")
    outcome = given(CAPTURED, QUALIFIED, early).when(won()).anomalously("ends before it starts")
    outcome.then(outcome="won", standing="churned")


def test_a_customer_who_renews_or_buys_more_after_leaving_is_a_customer() -> None:
    left = happened("Churned", 10, data=_churn(10))
    renewed = happened("ContractRenewed", 12, data={"contract_id": "C-1", "term_end": "2028-01-31", "mrr": eur("1.00")})
    back = given(CAPTURED, QUALIFIED, won(), left).when(renewed)
    assert (back.lead.standing, running(back.lead)) == ("running", ["C-1"])


def test_a_notice_on_a_contract_that_was_superseded_makes_nobody_leave() -> None:
    superseded = happened("ContractSuperseded", 8, data={"effective_at": "2026-01-08T00:00:00Z", "by_lead_id": "L-9"})
    notice = happened("CancellationRequested", 6, data={"contract_id": "C-1", "effective_at": "2026-01-25T00:00:00Z"})
    given(CAPTURED, QUALIFIED, won(), superseded).when(notice).anomalously("had ended").then(standing="running")


def test_a_flag_on_a_term_goes_with_its_contract() -> None:
    due = happened("UpgradeDue", 7, data={"due_at": "2026-01-08T00:00:00Z", "basis": "own_term", "contract_id": "C-1"})
    given(CAPTURED, QUALIFIED, won(), due).when(REOPENED).then(shown_phase="sales_process")
    given(CAPTURED, QUALIFIED, won(), due).when(happened("Lost", 9)).then(shown_phase="sales_process")


def test_a_late_stage_of_the_pipeline_that_was_followed_before_is_a_fact() -> None:
    board = happened("LeadCaptured", 1, data={"source_channel": "web", "pipeline": "board", "owner": "ana"})
    moved = happened("PipelineMoved", 8, data={"pipeline": "six-phase", "pipeline_version": 1, "stage": "qualify"})
    stage = happened("StageEntered", 4, data={"stage": "engaging"})
    given(board, moved).when(stage).normally().then(stage="qualify", pipeline="six-phase")
    lost = happened("Lost", 5)
    given(board, stage, lost, moved).when(happened("Reopened", 9)).then(stage="sales-process", phase="sales_process")


def test_a_correction_that_moves_the_instant_of_an_event_moves_it_in_the_order() -> None:
    left = happened("Churned", 10, data=_churn(10))
    later = corrected(left, 11, _churn(20))
    between = happened("ContractChanged", 15, data={"contract_id": "C-1", "mrr": eur("5.00"), "effective_at": "2026-01-15T00:00:00Z"})  # fmt: skip
    outcome = given(CAPTURED, QUALIFIED, won(), left, later).when(between).normally()
    assert [(each.mrr and each.mrr.amount, each.ended_at and each.ended_at.day) for each in outcome.lead.contracts] == [
        ("5.00", 20)
    ]


def test_a_correction_of_another_lead_s_event_has_no_effect_here() -> None:
    stranger = happened("EventRetracted", 9, data={"corrects": {"source": SOURCE, "id": "somewhere-else"}})
    given(CAPTURED, QUALIFIED).when(stranger).anomalously("has not arrived").then(phase="sales_process")
