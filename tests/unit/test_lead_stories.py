"""What several systems make of one lead: mistakes, late facts, reopenings, contracts, corrections."""

from typing import Any

import pytest

from schemas.envelope import Event
from schemas.lead import at_instant
from schemas.lead.state import Lead
from schemas.pipeline_files import read_pipelines
from services.kernel.errors import IllegalTransition
from services.lifecycle.domain.lead import LeadDecider
from tests.support.builders import eur
from tests.support.logs import PIPELINES
from tests.support.scenario import Given, given, happened

CAPTURED = happened("LeadCaptured", 1)
QUALIFIED = happened("Qualified", 2)
LOST = happened("Lost", 6, data={"reason": "price"})
REOPENED = happened("Reopened", 8)


def contract(contract_id: str = "C-1", mrr: str = "10.00", **more: Any) -> dict[str, Any]:
    return {"contract_id": contract_id, "mrr": eur(mrr), **more}


def won(day: int = 5, *contracts: dict[str, Any], value: str = "100.00", **attributes: Any) -> Event:
    return happened("Won", day, data={"value": eur(value), "contracts": list(contracts) or [contract()]}, **attributes)


def about(event: Event) -> dict[str, str]:
    return {"source": event.source, "id": event.id}


def corrected(event: Event, day: int, data: dict[str, Any], **attributes: Any) -> Event:
    return happened("EventCorrected", day, data={"corrects": about(event), "data": data}, **attributes)


def retracted(event: Event, day: int, **attributes: Any) -> Event:
    return happened("EventRetracted", day, data={"corrects": about(event)}, **attributes)


def running(lead: Lead) -> list[str]:
    return [each.contract_id for each in lead.running_contracts]


# ---- closes


def test_won_then_lost_by_mistake_is_healed_by_retracting_the_loss() -> None:
    mistake = given(CAPTURED, QUALIFIED, won()).when(LOST).anomalously("nobody reopened").then(outcome="lost")
    assert running(mistake.lead) == []
    healed = given(CAPTURED, QUALIFIED, won(), LOST).when(retracted(LOST, 9)).normally()
    healed.then(outcome="won", anomaly_count=0, loss_reason=None, close_value="100.00")
    assert running(healed.lead) == ["C-1"]


def test_won_twice_from_two_systems_is_one_win_and_no_contract_stands_twice() -> None:
    billing = won(6, contract(mrr="12.00"), contract("C-2"), value="120.00")
    outcome = given(CAPTURED, QUALIFIED, won()).when(billing).normally().then(close_value="120.00", anomaly_count=0)
    assert [(each.contract_id, each.mrr and each.mrr.amount) for each in outcome.lead.contracts] == [
        ("C-1", "12.00"),
        ("C-2", "10.00"),
    ]
    assert outcome.lead.closed_at is not None
    assert outcome.lead.closed_at.day == 5


def test_billing_before_crm() -> None:
    invoice = happened("InvoiceIssued", 4, data={"invoice_id": "I-1", "due_on": "2026-02-28"})
    paid = happened("PaymentReceived", 6, data={"payment_id": "P-1", "amount": eur("100.00")})
    given().when(invoice).implying("LeadCaptured").then(outcome="open", source_channel="unknown")
    late = given(invoice, paid, won()).when(CAPTURED).normally()
    late.then(outcome="won", source_channel="web", implied=("Qualified",))
    given(invoice, paid, won(), CAPTURED).when(QUALIFIED).normally().then(implied=(), phase="transaction")


def test_reopened_after_delivery_withdraws_the_contracts_and_goes_back_to_where_it_left() -> None:
    delivered = happened("Delivered", 7)
    history = (CAPTURED, QUALIFIED, won(), delivered)
    given(*history[:3]).when(delivered).normally().then(phase="management")
    outcome = given(*history).when(REOPENED).normally()
    outcome.then(outcome="open", phase="sales_process", stage="sales-process", contracts=(), delivered_at=None)
    given(*history, REOPENED).when(won(9, contract("C-9"))).normally().then(outcome="won", phase="transaction")


def test_a_lost_lead_that_is_reopened_counts_a_new_visit_of_its_stage() -> None:
    before = given(CAPTURED, QUALIFIED).when(LOST).lead.visit
    given(CAPTURED, QUALIFIED, LOST).when(REOPENED).normally().then(
        outcome="open", stage="sales-process", visit=before + 1, loss_reason=None
    )


def test_voided_is_not_lost() -> None:
    given(CAPTURED, QUALIFIED).when(happened("Voided", 3)).normally().then(standing="void", outcome="open")


# ---- before the close


def test_recycled_and_qualified_again() -> None:
    recycled = happened("Recycled", 3, data={"return_on": "2026-09-01"})
    away = given(CAPTURED, QUALIFIED).when(recycled).normally().then(standing="recycled", phase="sales_process")
    back = given(CAPTURED, QUALIFIED, recycled).when(happened("Qualified", 9)).normally()
    back.then(standing="running", phase="sales_process", stage="sales-process", visit=away.lead.visit + 1)
    by_marketing = given(CAPTURED, QUALIFIED, recycled).when(happened("MarketingQualified", 9)).normally()
    by_marketing.then(standing="running", phase="qualify")


def test_captured_from_two_channels_the_earlier_one_stands_however_they_arrive() -> None:
    phone = happened("LeadCaptured", 3, data={"source_channel": "phone", "owner": "ana"})
    given(CAPTURED).when(phone).normally().then(source_channel="web", owner="ana", touches=2)
    given(phone).when(CAPTURED).normally().then(source_channel="web", owner="ana", touches=2)


def test_mql_after_sql_fills_its_date_and_moves_nothing_back() -> None:
    outcome = given(CAPTURED, QUALIFIED).when(happened("MarketingQualified", 3)).normally()
    outcome.then(phase="sales_process", stage="sales-process")
    assert outcome.lead.mql_at is not None


def test_stages_after_won() -> None:
    given(CAPTURED, won()).when(happened("StageEntered", 6, data={"stage": "management"})).normally().then(
        phase="management", outcome="won"
    )
    back = happened("StageEntered", 6, data={"stage": "qualify"})
    given(CAPTURED, won()).when(back).anomalously("earlier phase").then(stage="transaction")


def test_a_listed_contact_that_is_unfit_is_kept_outside() -> None:
    listed = happened("ContactListed", 1, data={"source_channel": "event", "region": "West"})
    unfit = happened("ContactScreened", 2, data={"result": "unfit"})
    given(listed).when(happened("ContactScreened", 2, data={"result": "fit"})).normally().then(
        phase="listed", standing="running"
    )
    given(listed).when(unfit).normally().then(standing="out", region="West")
    given(listed).when(happened("LeadCaptured", 3)).normally().then(
        phase="opportunity", source_channel="web", region="West"
    )


def test_entry_criteria_look_at_bant_and_values() -> None:
    board = read_pipelines(
        {
            "b.yaml": "{name: b, version: 1, default: true, stages: [{name: new, phase: opportunity}, "
            "{name: offer, phase: sales_process, entry: [budget, need, value]}]}"
        }
    )
    offer = happened("StageEntered", 5, data={"stage": "offer"})
    bant = {"budget": "yes", "authority": "unknown", "need": "no", "timeline": "unknown"}
    assessed = happened("BantAssessed", 2, data=bant)
    value = happened("ValueChanged", 3, data={"value": eur("5.00")})
    Given((CAPTURED, assessed), board).when(offer).anomalously("value").then(stage="offer")
    Given((CAPTURED, value), board).when(offer).anomalously("budget, need")
    Given((CAPTURED, assessed, value), board).when(offer).normally()


def test_an_account_change_moves_the_lead_and_nothing_else() -> None:
    moved = happened("AccountChanged", 3, data={"account_id": "globex"})
    given(CAPTURED, QUALIFIED).when(moved).normally().then(account_id="globex", stage="sales-process")


def test_a_lead_keeps_its_pipeline_version_until_it_is_moved() -> None:
    one = "{name: b, version: 1, default: true, stages: [{name: new, phase: opportunity}, {name: old, phase: qualify}]}"
    two = (
        "{name: b, version: 2, default: true, stages: [{name: new, phase: opportunity}, {name: fresh, phase: qualify}]}"
    )
    before, after = read_pipelines({"b.yaml": one}), read_pipelines({"b1.yaml": one, "b2.yaml": two})
    lead = Given((CAPTURED,), before)._fold((CAPTURED,))
    assert lead.pipeline_version == 1
    old = LeadDecider(after)
    stage = happened("StageEntered", 2, data={"stage": "old"})
    assert old.evolve(lead, old.fact(stage, 2)).stage == "old"
    moved = happened("PipelineMoved", 3, data={"pipeline": "b", "pipeline_version": 2, "stage": "fresh"})
    there = old.evolve(lead, old.fact(moved, 2))
    assert (there.pipeline_version, there.stage, there.phase, there.visit) == (2, "fresh", "qualify", 2)


def test_a_pipeline_that_is_not_there_cannot_be_moved_to() -> None:
    for data in (
        {"pipeline": "none", "pipeline_version": 1, "stage": "x"},
        {"pipeline": "board", "pipeline_version": 7, "stage": "engaging"},
        {"pipeline": "board", "pipeline_version": 1, "stage": "nowhere"},
    ):
        assert given(CAPTURED).when_refused(happened("PipelineMoved", 3, data=data))


# ---- the customer


def test_two_contracts_on_one_lead_end_one_by_one_and_the_customer_leaves_with_the_last() -> None:
    both = won(5, contract(), contract("C-2"))
    first = happened("Churned", 10, data=_churn(10, "C-1"))
    one_left = given(CAPTURED, QUALIFIED, both).when(first).normally().then(standing="running")
    assert running(one_left.lead) == ["C-2"]
    last = happened("Churned", 20, data=_churn(20, "C-2"))
    given(CAPTURED, QUALIFIED, both, first).when(last).normally().then(standing="churned", outcome="won")


def _churn(day: int, contract_id: str | None = None) -> dict[str, Any]:
    data = {"effective_at": f"2026-01-{day:02}T00:00:00Z", "reason": "price", "voluntary": True}
    return {**data, "contract_id": contract_id} if contract_id else data


def test_a_cancellation_ends_the_contract_when_it_takes_effect_and_not_before() -> None:
    notice = happened("CancellationRequested", 6, data={"contract_id": "C-1", "effective_at": "2026-01-25T00:00:00Z"})
    history = (CAPTURED, QUALIFIED, won(), notice)
    facts = [LeadDecider(PIPELINES).fact(event, number) for number, event in enumerate(history, 1)]
    before, after = (at_instant(facts, _at(day), PIPELINES) for day in (24, 26))
    assert (before.standing, running(before)) == ("running", ["C-1"])
    assert (after.standing, running(after)) == ("churned", [])


def _at(day: int) -> Any:
    return happened("Voided", day).occurred_at


def test_a_notice_that_is_taken_back_in_time_ends_nothing_however_they_arrive() -> None:
    notice = happened("CancellationRequested", 6, data={"contract_id": "C-1", "effective_at": "2026-01-25T00:00:00Z"})
    back = happened("CancellationWithdrawn", 9, data={"contract_id": "C-1"})
    for history in ((notice, back), (back, notice)):
        outcome = given(CAPTURED, QUALIFIED, won(), history[0]).when(history[1])
        outcome.then(standing="running")
        assert running(outcome.lead) == ["C-1"]
    again = happened("CancellationRequested", 12, data={"contract_id": "C-1", "effective_at": "2026-01-28T00:00:00Z"})
    given(CAPTURED, QUALIFIED, won(), notice, back).when(again).normally().then(standing="churned")
    too_late = happened("CancellationWithdrawn", 27, data={"contract_id": "C-1"})
    given(CAPTURED, QUALIFIED, won(), notice).when(too_late).anomalously("had ended").then(standing="churned")


def test_an_end_before_its_start_is_anomalous() -> None:
    starts = won(5, contract(term_start="2026-01-15"))
    given(CAPTURED, QUALIFIED, starts).when(happened("Churned", 10, data=_churn(10))).anomalously("before it starts")


def test_a_customer_who_comes_back_is_in_management_with_a_new_spell() -> None:
    left = happened("Churned", 10, data=_churn(10))
    back = happened("Reactivated", 20, data={"mrr": eur("8.00"), "effective_at": "2026-01-20T00:00:00Z"})
    outcome = given(CAPTURED, QUALIFIED, won(), left).when(back).normally().then(standing="running", phase="management")
    (again,) = outcome.lead.running_contracts
    assert (again.mrr and again.mrr.amount, again.starts_at.day) == ("8.00", 20)


def test_expansion_renewal_and_what_billing_says_of_a_contract_nobody_sold() -> None:
    more = happened("ContractChanged", 7, data={"contract_id": "C-1", "mrr": eur("15.00"), "effective_at": "2026-01-07T00:00:00Z", "seats": 3})  # fmt: skip
    outcome = given(CAPTURED, QUALIFIED, won()).when(more).normally()
    assert [(each.seats, each.mrr and each.mrr.amount) for each in outcome.lead.contracts] == [(3, "15.00")]
    unknown = happened("ContractChanged", 7, data={"contract_id": "C-9", "mrr": eur("1.00"), "effective_at": "2026-01-07T00:00:00Z"})  # fmt: skip
    stray = given(CAPTURED, QUALIFIED, won()).when(unknown).anomalously("no such contract")
    assert running(stray.lead) == ["C-1", "C-9"]
    renewed = happened("ContractRenewed", 9, data={"contract_id": "C-1", "term_end": "2028-01-31", "mrr": eur("11.00")})
    given(CAPTURED, QUALIFIED, won()).when(renewed).normally()


def test_an_upgrade_is_due_then_accepted_declined_or_cleared_by_a_renewal() -> None:
    due = happened("UpgradeDue", 8, data={"due_at": "2026-01-08T00:00:00Z", "basis": "own_term", "contract_id": "C-1"})
    history = (CAPTURED, QUALIFIED, won(), due)
    given(*history[:3]).when(due).normally().then(shown_phase="upgrade", phase="transaction", outcome="won")
    for name, data, status in (
        ("UpgradeAccepted", {"new_lead_id": "L-9"}, "accepted"),
        ("UpgradeDeclined", {"reason": "no"}, "declined"),
        ("ContractRenewed", {"contract_id": "C-1", "term_end": "2028-01-31", "mrr": eur("1.00")}, "cleared"),
        ("Churned", {**_churn(9), "contract_id": "C-1"}, "cleared"),
    ):
        outcome = given(*history).when(happened(name, 9, data=data)).normally().then(shown_phase="transaction")
        assert [each.status for each in outcome.lead.upgrades] == [status]
    given(CAPTURED, QUALIFIED, won()).when(happened("UpgradeAccepted", 9, data={"new_lead_id": "L-9"})).anomalously(
        "due"
    )


def test_time_alone_delivers_and_lapses_where_the_pipeline_says_so() -> None:
    pipelines = read_pipelines(
        {
            "b.yaml": "{name: b, version: 1, default: true, delivered_after: 3, on_term_end: {lapse: 5}, "
            "stages: [{name: new, phase: opportunity}, {name: sold, phase: transaction}, {name: care, phase: management}]}"
        }
    )
    history = (CAPTURED, won(5, contract(term_start="2026-01-05", term_end="2026-01-10")))
    facts = [LeadDecider(pipelines).fact(event, number) for number, event in enumerate(history, 1)]
    states = {day: at_instant(facts, _at(day), pipelines) for day in (7, 9, 15, 17)}
    assert [(day, each.stage, each.standing) for day, each in states.items()] == [
        (7, "sold", "running"), (9, "care", "running"), (15, "care", "running"), (17, "care", "churned"),
    ]  # fmt: skip
    (lapsed,) = states[17].contracts
    assert (lapsed.end_reason, lapsed.ended_at and lapsed.ended_at.day) == ("lapsed", 11)


# ---- merges, splits


def test_an_absorbed_lead_is_kept_and_moves_no_more() -> None:
    gone = happened("LeadAbsorbed", 6, data={"surviving_lead_id": "L-2"})
    given(CAPTURED, QUALIFIED).when(gone).normally().then(standing="absorbed", absorbed_into="L-2")
    given(CAPTURED, QUALIFIED, gone).when(won(9)).normally().then(outcome="open", standing="absorbed")
    given(CAPTURED, QUALIFIED, gone).when(retracted(gone, 10)).normally().then(standing="running")


def test_a_split_leaves_the_lead_where_it_is_and_names_the_new_ones() -> None:
    split = happened("LeadSplit", 4, data={"new_lead_ids": ["L-8", "L-9"]})
    given(CAPTURED, QUALIFIED).when(split).normally().then(split_into=("L-8", "L-9"), stage="sales-process")
    itself = happened("LeadSplit", 4, data={"new_lead_ids": ["L-1"]})
    assert given(CAPTURED).when_refused(itself)


def test_a_pipeline_can_refuse_what_is_kept_by_default() -> None:
    strict = read_pipelines(
        {
            "b.yaml": "{name: b, version: 1, default: true, stages: [{name: new, phase: opportunity}], "
            "refuse: [{event: Won, states: [opportunity, lost]}]}"
        }
    )
    decider = LeadDecider(strict)
    lead = Given((CAPTURED,), strict)._fold((CAPTURED,))
    event = won()
    with pytest.raises(IllegalTransition, match="refuses Won in the state opportunity"):
        decider.refuse(lead, event, decider.fact(event, 2))
