"""Every row of the transition table, in every state it names; and that the table and the fold cannot part."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from schemas.envelope import Event
from schemas.events import EVENTS
from schemas.lead import LeadBody, state_of
from schemas.lead.transitions import CAPTURED, IN_TABLE, STATES, TABLE, Row, class_of
from tests.support.builders import EXAMPLES, eur
from tests.support.logs import SMALLEST
from tests.support.scenario import given, happened

CONTRACT = {"contract_id": "C-1", "mrr": eur("10.00"), "term_start": "2026-01-01", "term_end": "2027-01-31"}
WON = happened("Won", 5, data={"value": eur("100.00"), "contracts": [CONTRACT]})
CAPTURED_LEAD = happened("LeadCaptured", 1)
LISTED = happened("ContactListed", 1)
ORDERED = happened("OrderPlaced", 5, data={"order_id": "S-100"})

REACHED: dict[str, tuple[Event, ...]] = {
    "unknown": (),
    "listed": (LISTED,),
    "out": (LISTED, happened("ContactScreened", 2, data={"result": "unfit"})),
    "opportunity": (CAPTURED_LEAD,),
    "qualify": (CAPTURED_LEAD, happened("MarketingQualified", 2)),
    "sales_process": (CAPTURED_LEAD, happened("Qualified", 2)),
    "closing": (CAPTURED_LEAD, happened("Qualified", 2), happened("StageEntered", 3, data={"stage": "transaction"})),
    "recycled": (CAPTURED_LEAD, happened("Qualified", 2), happened("Recycled", 3)),
    "lost": (CAPTURED_LEAD, happened("Lost", 5)),
    "transaction": (CAPTURED_LEAD, happened("Qualified", 2), WON, ORDERED),
    "management": (CAPTURED_LEAD, happened("Qualified", 2), WON, ORDERED, happened("Delivered", 6)),
    "cancelled": (CAPTURED_LEAD, WON, ORDERED, happened("OrderCancelled", 6)),
    "churned": (CAPTURED_LEAD, WON, happened("Churned", 6, data={"effective_at": "2026-01-06T10:00:00Z", "reason": "price", "voluntary": True})),
    "void": (CAPTURED_LEAD, happened("Voided", 6)),
    "absorbed": (CAPTURED_LEAD, happened("LeadAbsorbed", 6)),
}  # fmt: skip
"""One history for each state of the table."""

AT: dict[str, dict[str, Any]] = {
    "Churned": {"effective_at": "2026-01-20T10:00:00Z", "reason": "price", "voluntary": True},
    "CancellationRequested": {"contract_id": "C-1", "effective_at": "2026-01-20T10:00:00Z"},
    "Reactivated": {"mrr": eur("10.00"), "effective_at": "2026-01-20T10:00:00Z"},
    "ContractRenewed": {"contract_id": "C-1", "term_end": "2028-01-31", "mrr": eur("10.00")},
    "ContactScreened": {"result": "unfit"},
    "StageEntered": {"stage": "management"},
    "UpgradeAccepted": {"new_lead_id": "L-9"},
    "UpgradeDeclined": {"reason": "not now"},
    "UpgradeDue": {"due_at": "2026-10-01T00:00:00Z", "basis": "own_term"},
}
BEFORE: dict[str, tuple[Event, ...]] = {
    "UpgradeDue": (happened("CompetitorTermRecorded", 7),),
    "UpgradeAccepted": (happened("CompetitorTermRecorded", 7), happened("UpgradeDue", 8, data={**AT["UpgradeDue"], "basis": "competitor_term"})),
    "Reactivated": (happened("Churned", 8, data={"effective_at": "2026-01-08T10:00:00Z", "reason": "price", "voluntary": True, "contract_id": "C-2"}),),
}  # fmt: skip
"""What must be known for the condition of a row to hold."""
BEFORE["UpgradeDeclined"] = BEFORE["UpgradeAccepted"]
SECOND = happened("Won", 5, data={"value": eur("100.00"), "contracts": [CONTRACT, {**CONTRACT, "contract_id": "C-2"}]})


def step(name: str) -> Event:
    return happened(name, 20, data=AT.get(name, SMALLEST.get(name, EXAMPLES[name])))


def history(row: Row, state: str) -> tuple[Event, ...]:
    events = REACHED[state]
    if row.event == "Reactivated" and state != "churned":
        events = tuple(SECOND if event is WON else event for event in events)
        return (*events, *BEFORE["Reactivated"])
    if row.event in ("UpgradeDue", "UpgradeAccepted", "UpgradeDeclined"):
        return (*events, *BEFORE[row.event])
    return events


def rows() -> Iterator[Any]:
    for row in TABLE:
        for state in row.states:
            yield pytest.param(row, state, id=f"{state} {row.event}")


@pytest.mark.parametrize("state", STATES)
def test_the_history_of_a_state_leads_there(state: str) -> None:
    assert state_of(given().when(*REACHED[state]).lead if REACHED[state] else given()._fold(())) == state


@pytest.mark.parametrize(("row", "state"), list(rows()))
def test_a_row_of_the_table(row: Row, state: str) -> None:
    """The step is judged as the row says, and leads where it says."""
    before = given()._fold(history(row, state))
    assert state_of(before) == state
    outcome = given(*history(row, state)).when(step(row.event))
    if row.implies:
        assert set(outcome.verdict.implied) == set(row.implies), outcome.verdict
        assert outcome.verdict.anomaly is None
    else:
        outcome.normally()
    after = state_of(outcome.lead)
    if row.to is None:
        assert after == state
        assert outcome.lead.stage == before.stage
    elif row.to in STATES:
        assert after == row.to
    elif row.to == "the phase of the stage":
        assert outcome.lead.stage == "management"
    else:
        assert (outcome.lead.phase, outcome.lead.stage) == (before.left_phase, before.left_stage)


UNNAMED = [
    (name, state)
    for name in sorted(IN_TABLE)
    for state in STATES
    if state not in ("unknown", "absorbed") and class_of(name, state) == "anomalous"
]


@pytest.mark.parametrize(("name", "state"), UNNAMED)
def test_an_event_of_the_table_in_a_state_that_no_row_names_is_anomalous_and_kept(name: str, state: str) -> None:
    outcome = given(*REACHED[state]).when(step(name))
    assert outcome.verdict.anomaly, "it was judged normal"
    assert outcome.lead.anomaly_count > given()._fold(REACHED[state]).anomaly_count


ABOUT_SOMETHING = {"EventCorrected", "EventRetracted", "PipelineMoved", "ContractChanged", "CancellationWithdrawn"}
"""They name another event, a pipeline or a contract, which must be there: test_lead_stories has them."""


@pytest.mark.parametrize(
    "name",
    [name for name, kind in EVENTS.items() if kind.streams[0] == "lead" and name not in IN_TABLE | ABOUT_SOMETHING],
)
@pytest.mark.parametrize("state", CAPTURED)
def test_every_other_event_of_a_lead_is_normal_in_every_state(name: str, state: str) -> None:
    outcome = given(*REACHED[state]).when(happened(name, 20, data=EXAMPLES[name]))
    outcome.normally()


@pytest.mark.parametrize("name", [name for name, kind in EVENTS.items() if "lead" in kind.streams])
def test_any_event_on_an_unknown_lead_implies_its_capture(name: str) -> None:
    if name in ("ContactListed", "LeadCaptured", "EventCorrected", "EventRetracted", "StageEntered", "PipelineMoved"):
        return
    outcome = given().when(happened(name, 3, data=AT.get(name, EXAMPLES[name])))
    assert "LeadCaptured" in outcome.verdict.implied
    assert outcome.lead.source_channel == "unknown"


def test_every_event_of_a_lead_is_a_case_of_the_fold() -> None:
    """The compiler holds the fold to `LeadBody`; this holds `LeadBody` to the registry."""
    assert {body.__name__ for body in get_args(LeadBody)} == {
        name for name, kind in EVENTS.items() if "lead" in kind.streams
    }


def test_rows_name_states_and_events_that_there_are_and_do_not_overlap() -> None:
    seen: set[tuple[str, str]] = set()
    for row in TABLE:
        assert row.event in EVENTS
        for state in row.states:
            assert state in STATES
            assert (row.event, state) not in seen, "two rows for one step"
            seen.add((row.event, state))
