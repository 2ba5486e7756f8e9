"""Every row of the transition table that the published events can reach, and what several systems make of one lead."""

from typing import Any

from hypothesis import given as for_all
from hypothesis import strategies as st

from schemas.envelope import Event
from schemas.events import EVENTS as TYPES
from schemas.lead import Lead, normal_events
from services.lifecycle.domain.lead import LeadDecider
from tests.support.builders import EXAMPLES, eur
from tests.support.logs import PIPELINES, SMALLEST
from tests.support.scenario import Given, given, happened

CAPTURED = happened("LeadCaptured", 1)
QUALIFIED = happened("Qualified", 2)
WON = happened("Won", 5)
LOST = happened("Lost", 5)
CONTRACT = {"contract_id": "C-1", "mrr": eur("10.00"), "term_start": "2026-02-01", "term_end": "2027-01-31"}


def test_a_fresh_capture_enters_the_first_stage_of_its_pipeline() -> None:
    given().when(CAPTURED).normally().then(
        phase="opportunity", stage="opportunity", pipeline="six-phase", source_channel="web"
    )
    board = happened("LeadCaptured", 1, data={"source_channel": "web", "pipeline": "board"})
    given().when(board).normally().then(stage="prospecting", pipeline="board")


def test_a_second_capture_fills_blanks_and_the_first_one_stands() -> None:
    again = happened("LeadCaptured", 3, data={"source_channel": "phone", "owner": "ana", "region": "West"})
    given(CAPTURED).when(again).normally().then(source_channel="web", owner="ana", region="West", touches=2)
    third = happened("LeadCaptured", 4, data={"source_channel": "ads", "owner": "bo"})
    given(CAPTURED, again).when(third).then(owner="ana", touches=3)


def test_qualified_goes_to_the_sales_process_without_a_marketing_qualification() -> None:
    given(CAPTURED).when(QUALIFIED).normally().then(phase="sales_process", stage="sales-process")


def test_qualified_in_a_later_phase_is_anomalous_and_moves_nothing() -> None:
    moved = happened("StageEntered", 2, data={"stage": "sales-process"})
    late = happened("Qualified", 3)
    given(CAPTURED, moved).when(late).anomalously("where it is no step").then(stage="sales-process")
    given(CAPTURED, QUALIFIED, WON).when(happened("Qualified", 6)).anomalously("the lead was won").then(outcome="won")


def test_stages_may_go_forward_skip_and_go_back_before_the_win() -> None:
    forward = happened("StageEntered", 2, data={"stage": "transaction"})
    back = happened("StageEntered", 3, data={"stage": "qualify"})
    given(CAPTURED).when(forward).normally().then(phase="transaction")
    given(CAPTURED, forward).when(back).normally().then(phase="qualify", stage="qualify")


def test_a_stage_whose_entry_criteria_are_not_met_is_entered_anomalously() -> None:
    board = happened("LeadCaptured", 1, data={"source_channel": "web", "pipeline": "board"})
    engaging = happened("StageEntered", 2, data={"stage": "engaging"})
    given(board).when(engaging).anomalously("owner").then(stage="engaging")
    owned = happened("LeadCaptured", 1, data={"source_channel": "web", "pipeline": "board", "owner": "ana"})
    given(owned).when(engaging).normally()


def test_a_stage_that_the_pipeline_lacks_is_refused() -> None:
    nowhere = happened("StageEntered", 2, data={"stage": "engaging"})
    (flaw,) = given(CAPTURED).when_refused(nowhere)
    assert flaw.pointer == "/data/stage"
    assert "opportunity" in flaw.detail
    (flaw,) = given().when_refused(happened("StageEntered", 2, data={"stage": "nowhere"}))
    assert flaw.pointer == "/data/stage"


def test_a_stage_of_another_pipeline_may_come_before_the_capture_that_names_it() -> None:
    engaging = happened("StageEntered", 3, data={"stage": "engaging"})
    board = happened("LeadCaptured", 1, data={"source_channel": "web", "pipeline": "board", "owner": "ana"})
    given().when(engaging).anomalously("owner").then(stage="engaging", pipeline="board")
    given(engaging).when(board).normally().then(stage="engaging", pipeline="board", anomaly_count=0)


def test_a_pipeline_that_is_not_there_is_refused() -> None:
    (flaw,) = given().when_refused(happened("LeadCaptured", 1, data={"source_channel": "web", "pipeline": "none"}))
    assert flaw.pointer == "/data/pipeline"


def test_a_lead_cannot_come_from_itself() -> None:
    itself = {"source_channel": "upgrade", "origin": {"lead_id": "L-1", "kind": "upgrade"}}
    assert given().when_refused(happened("LeadCaptured", 1, data=itself))
    assert given().when_refused(happened("LeadCaptured", 1, data={"source_channel": "web", "referrer_lead_id": "L-1"}))


def test_won_before_the_sales_process_implies_that_it_was_qualified() -> None:
    given(CAPTURED).when(WON).implying("Qualified").then(
        outcome="won", phase="transaction", stage="transaction", close_value="100.00"
    )
    given(CAPTURED, QUALIFIED).when(WON).normally()


def test_billing_before_crm_implies_the_capture_until_a_real_one_comes() -> None:
    given().when(WON).implying("LeadCaptured", "Qualified").then(source_channel="unknown", outcome="won")
    real = happened("LeadCaptured", 1, data={"source_channel": "partner", "owner": "ana"})
    given(WON).when(real).then(source_channel="partner", implied=("Qualified",), outcome="won")
    afterwards = happened("LeadCaptured", 9, data={"source_channel": "partner"})
    given(WON).when(afterwards).then(
        source_channel="partner", implied=("Qualified",), outcome="won", stage="transaction"
    )


def test_won_again_restates_the_win_and_adds_other_contracts() -> None:
    once = happened("Won", 5, data={"value": eur("100.00"), "contracts": [CONTRACT]})
    twice = happened(
        "Won", 6, data={"value": eur("120.00"), "contracts": [CONTRACT, {**CONTRACT, "contract_id": "C-2"}]}
    )
    outcome = given(CAPTURED, QUALIFIED, once).when(twice).normally().then(close_value="120.00")
    assert [contract.contract_id for contract in outcome.lead.contracts] == ["C-1", "C-2"]
    assert outcome.lead.closed_at is not None
    assert outcome.lead.closed_at.day == 5


def test_lost_keeps_the_phase_and_stage_it_left() -> None:
    given(CAPTURED, QUALIFIED).when(LOST).normally().then(
        outcome="lost", phase="sales_process", stage="sales-process", loss_reason="price"
    )
    given(CAPTURED).when(LOST).normally().then(stage="opportunity")


def test_the_last_close_in_order_stands_and_contracts_follow_it() -> None:
    won = happened("Won", 6, data={"value": eur("100.00"), "contracts": [CONTRACT]})
    given(CAPTURED, QUALIFIED, LOST).when(won).anomalously("nobody reopened").then(outcome="won", loss_reason=None)
    lost = happened("Lost", 7)
    given(CAPTURED, QUALIFIED, won).when(lost).anomalously("nobody reopened").then(
        outcome="lost", contracts=(), stage="sales-process", close_value=None
    )


def test_an_earlier_dated_event_heals_an_anomaly() -> None:
    stage = happened("StageEntered", 6, data={"stage": "qualify"})
    anomalous = given(CAPTURED, LOST).when(stage).anomalously("the lead was lost")
    assert anomalous.lead.anomaly_count == 1
    late_truth = happened("Won", 4)
    healed = given(CAPTURED, happened("Won", 5)).when(late_truth)
    assert healed.lead.anomaly_count == 0


def test_stages_after_the_win_go_on_and_never_back() -> None:
    management = happened("StageEntered", 6, data={"stage": "management"})
    given(CAPTURED, QUALIFIED, WON).when(management).normally().then(
        phase="management", stage="management", outcome="won"
    )
    back = happened("StageEntered", 7, data={"stage": "qualify"})
    given(CAPTURED, QUALIFIED, WON).when(back).anomalously("earlier phase").then(stage="transaction")


def test_an_upgrade_is_due_where_a_term_is_known() -> None:
    due = happened("UpgradeDue", 8, data=EXAMPLES["UpgradeDue"])
    won = happened("Won", 5, data={"value": eur("100.00"), "contracts": [CONTRACT]})
    given(CAPTURED, QUALIFIED, won).when(due).normally().then(shown_phase="upgrade", phase="transaction", outcome="won")
    given(CAPTURED).when(due).anomalously("no contract")
    competitor = happened("Lost", 5, data={"reason": "competitor", "competitor_term_end": "2027-06-30"})
    given(CAPTURED, competitor).when(due).normally().then(outcome="lost", shown_phase="upgrade")


def test_a_contract_that_ends_before_it_starts_is_anomalous() -> None:
    backwards = {**CONTRACT, "term_start": "2027-02-01"}
    given(CAPTURED, QUALIFIED).when(
        happened("Won", 5, data={"value": eur("1.00"), "contracts": [backwards]})
    ).anomalously("ends before it starts")


def test_activities_and_values_are_normal_in_every_state() -> None:
    call = happened("ActivityLogged", 9)
    value = happened("ValueChanged", 9, data={"value": eur("7.00")})
    for history in [(CAPTURED,), (CAPTURED, QUALIFIED), (CAPTURED, QUALIFIED, WON), (CAPTURED, LOST)]:
        given(*history).when(call).normally().then(activities=1)
        given(*history).when(value).normally().then(value="7.00")


def test_a_capture_and_a_win_stamped_with_the_same_midnight_fold_in_the_right_order() -> None:
    won = happened("Won", 1, timeprecision="day")
    captured = happened("LeadCaptured", 1, timeprecision="day")
    given(won).when(captured).then(outcome="won", source_channel="web", implied=("Qualified",), anomaly_count=0)


def test_sequence_orders_what_happened_at_one_instant() -> None:
    lost = happened("Lost", 5, sequence="9")
    won = happened("Won", 5, sequence="10")
    given(CAPTURED, QUALIFIED, won).when(lost).then(outcome="won")


def test_what_is_normal_next_is_judged_normal() -> None:
    decider = LeadDecider(PIPELINES)
    term = {"value": eur("100.00"), "contracts": [CONTRACT]}
    data: dict[str, dict[str, Any]] = {
        "Won": term,
        "ValueChanged": {"value": eur("1.00")},
        "UpgradeDue": EXAMPLES["UpgradeDue"],
        "StageEntered": {"stage": "upgrade"},
        "Churned": {"effective_at": "2026-03-01T00:00:00Z", "reason": "price", "voluntary": True},
        "CancellationRequested": {"contract_id": "C-1", "effective_at": "2026-03-01T00:00:00Z"},
        "UpgradeAccepted": {"new_lead_id": "L-9"},
        "UpgradeDeclined": {"reason": "not now"},
        "ContractRenewed": {"contract_id": "C-1", "term_end": "2028-01-31", "mrr": eur("10.00")},
    }
    won = happened("Won", 5, data=term)
    due = happened("UpgradeDue", 6, data=EXAMPLES["UpgradeDue"])
    histories: list[tuple[Event, ...]] = [
        (), (CAPTURED,), (CAPTURED, QUALIFIED), (CAPTURED, QUALIFIED, won), (CAPTURED, LOST), (CAPTURED, QUALIFIED, won, due),
    ]  # fmt: skip
    for history in histories:
        lead = Given(history)._fold(history)
        for name in normal_events(lead):
            step = happened(name, 20, data=data.get(name, EXAMPLES[name] if name not in SMALLEST else None))
            assert decider.verdict(lead, decider.evolve(lead, decider.fact(step, 99)), decider.fact(step, 99)) == (
                (),
                None,
            ), (name, lead.outcome)


EVENTS = st.builds(
    lambda name, day, stage: happened(
        name, day, data={**EXAMPLES, "StageEntered": {"stage": stage}, "LeadCaptured": {"source_channel": "web"}}[name]
    ),
    st.sampled_from([name for name, kind in TYPES.items() if kind.streams[0] == "lead" and name not in ("EventCorrected", "EventRetracted")]),
    st.integers(1, 6), st.sampled_from(["qualify", "transaction", "management"]),
)  # fmt: skip


@for_all(st.lists(EVENTS, max_size=8), st.randoms())
def test_the_state_does_not_depend_on_the_order_of_arrival(events: list, random) -> None:  # type: ignore[no-untyped-def,type-arg]
    keyed = {
        LeadDecider(PIPELINES).fact(event, 0).key: event for event in events
    }  # equal keys go by arrival, on purpose
    events = list(keyed.values())
    shuffled = random.sample(events, len(events))
    one, other = Given(tuple(events)), Given(tuple(shuffled))
    assert _facts(one._fold(tuple(events))) == _facts(other._fold(tuple(shuffled)))


def _facts(lead: Lead) -> dict[str, object]:
    return {name: getattr(lead, name) for name in Lead.__struct_fields__ if name != "anomalies"}
