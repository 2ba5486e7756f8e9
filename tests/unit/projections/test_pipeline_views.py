"""Given a lead's events, when every view draws its rows, then these: visits, milestones, waits, slips, exclusions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.codec import body_of
from schemas.envelope import Recorded
from schemas.fact import fact_of
from schemas.lead import at_instant
from services.projections.days import instant_of, micros
from services.projections.ledger import Row
from services.projections.pipeline.model import LEDGERS, pipeline_fold
from services.projections.pipeline.visits import visiting
from tests.unit.projections.histories import PIPELINES, Log, instants, random_log
from tests.unit.projections.test_pipeline_facts import Known

FOLD = pipeline_fold(PIPELINES)
NAMES = [ledger.name for ledger in LEDGERS]


def known(events: Sequence[Recorded]) -> list[Row]:
    return [entry.row for entry in Known(list(events), fold=FOLD).entries.values() if entry.recorded_to is None]


def told(events: Sequence[Recorded], ledger: str, *names: str) -> list[tuple[Any, ...]]:
    """(the labels and attributes named, begin, end) of the rows of one ledger, by begin; instants as day.hour."""
    index = NAMES.index(ledger)
    declared = LEDGERS[index]
    columns = [*declared.labels, *(name for name, _ in declared.attributes)]
    rows = [row for row in known(events) if row.ledger == index]
    rows.sort(key=lambda row: (row.starts, row.ends is None, row.ends or 0, str(row)))
    return [
        (*(dict(zip(columns, (*row.labels, *row.attributes), strict=True))[name] for name in names), _short(row.starts), _short(row.ends))
        for row in rows
    ]  # fmt: skip


def _short(at: int | None) -> str | None:
    return None if at is None else f"{instant_of(at):%d.%H}"


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2025, 3, number, hour, tzinfo=UTC)


def post(log: Log, type: str, at: datetime, /, **data: Any) -> None:
    log.post("L", type, at, at, None, **data)


def a_long_way() -> list[Recorded]:
    log = Log()
    post(log, "ContactListed", day(1), source_channel="event")
    post(log, "LeadCaptured", day(2), source_channel="web", owner="ana")
    post(log, "StageEntered", day(4), stage="sales-process")
    post(log, "StageEntered", day(6), stage="qualify")
    post(log, "Recycled", day(7), return_on="2026-01-01")
    post(log, "Qualified", day(9))
    post(log, "Won", day(12), value={"amount": "5", "currency": "EUR"})
    post(log, "Reopened", day(14), reason="again")
    post(log, "Lost", day(15), reason="price")
    return log.events


def test_every_stay_is_a_visit_and_closed_time_is_none() -> None:
    assert told(a_long_way(), "visit", "stage", "left_to", "direction", "visit", "days") == [
        ("opportunity", "sales-process", "skip", 1, 2, "02.00", "04.00"),
        ("qualify", "sales-process", "skipped", 2, 0, "04.00", "04.00"),
        ("sales-process", "qualify", "backward", 2, 2, "04.00", "06.00"),
        ("qualify", "recycled", "away", 3, 1, "06.00", "07.00"),
        ("sales-process", "won", "closed", 4, 3, "09.00", "12.00"),
        ("sales-process", "lost", "closed", 6, 1, "14.00", "15.00"),
    ]


def test_a_win_passes_what_lies_before_it() -> None:
    log = Log()
    post(log, "LeadCaptured", day(2), source_channel="web")
    post(log, "Won", day(3), value={"amount": "5", "currency": "EUR"})
    assert told(log.events, "visit", "stage", "direction") == [
        ("opportunity", "closed", "02.00", "03.00"),
        ("qualify", "skipped", "03.00", "03.00"),
        ("sales-process", "skipped", "03.00", "03.00"),
    ]


def test_milestones_are_the_first_of_their_kind_and_a_customer_lasts_as_long_as_the_win() -> None:
    assert told(a_long_way(), "milestone", "name", "since") == [
        ("listed", None, "01.00", "02.00"),
        ("lead", micros(day(2)), "02.00", None),
        ("listed", micros(day(2)), "02.00", None),
        ("opportunity", micros(day(2)), "09.00", None),
        ("sql", micros(day(2)), "09.00", None),
        ("customer", micros(day(2)), "12.00", "14.00"),
    ]


def test_a_real_capture_replaces_the_implied_one_in_every_milestone() -> None:
    log = Log()
    post(log, "Qualified", day(3))
    post(log, "LeadCaptured", day(5), source_channel="web")
    assert told(log.events, "milestone", "name", "reached_at", "since") == [
        ("lead", micros(day(3)), micros(day(3)), "03.00", "05.00"),
        ("opportunity", micros(day(3)), micros(day(3)), "03.00", "05.00"),
        ("sql", micros(day(3)), micros(day(3)), "03.00", "05.00"),
        ("lead", micros(day(5)), micros(day(5)), "05.00", None),
        ("opportunity", micros(day(3)), micros(day(5)), "05.00", None),
        ("sql", micros(day(3)), micros(day(5)), "05.00", None),
    ]


def test_questions_wait_until_they_are_answered() -> None:
    log = Log()
    for hour in range(2):
        post(log, "ApprovalRequested", day(3, hour), approval_id="A", kind="discount")
        post(log, "ApprovalDecided", day(3, hour), approval_id="A", kind="discount", decision="approved")
    post(log, "ApprovalRequested", day(4), approval_id="A", kind="discount")
    post(log, "ApprovalRequested", day(5), approval_id="A", kind="discount")
    post(log, "ObjectionRaised", day(5), objection_id="O", category="price")
    post(log, "ObjectionResolved", day(8), objection_id="O", category="price")
    assert told(log.events, "approval", "answer", "days") == [
        ("approved", 0, "03.00", "03.00"),
        ("approved", 0, "03.01", "03.01"),
        (None, None, "04.00", None),
    ]
    assert told(log.events, "objection", "kind", "answer", "days") == [("price", "resolved", 3, "05.00", "08.00")]


def test_a_slip_is_a_step_back_or_a_later_close() -> None:
    log = Log()
    post(log, "LeadCaptured", day(2), source_channel="web")
    post(log, "Qualified", day(3), expected_close="2025-04-01")
    post(log, "ExpectedCloseChanged", day(4), expected_close="2025-04-11", reason="later")
    post(log, "ExpectedCloseChanged", day(5), expected_close="2025-04-02")
    post(log, "StageEntered", day(6), stage="qualify")
    assert told(log.events, "slip", "kind", "from_stage", "to_stage", "days", "reason_given") == [
        ("close", "sales-process", "sales-process", 10, 1, "04.00", None),
        ("stage", "sales-process", "qualify", None, 0, "06.00", None),
    ]


def test_a_void_lead_is_excluded() -> None:
    log = Log()
    post(log, "LeadCaptured", day(2), source_channel="web")
    post(log, "Voided", day(3), reason="test")
    assert told(log.events, "exclusion", "kind") == [("void", "03.00", None)]


@pytest.mark.parametrize("seed", range(40))
def test_a_lead_is_on_a_visit_at_an_instant_iff_it_is_open_there(seed: int) -> None:
    events = random_log(seed, leads=1, per_lead=14)
    rows = [row for row in known(events) if row.ledger == NAMES.index("visit")]
    facts = [fact_of(event, event.version, body_of(event)) for event in events]
    for at, _ in instants(seed, events):
        lead = at_instant(facts, at, PIPELINES)
        now = micros(at)
        stays = [row.labels[:2] for row in rows if row.starts < now and (row.ends is None or row.ends >= now)]
        assert stays == ([(lead.stage, lead.phase)] if visiting(lead) else [])


@pytest.mark.parametrize("seed", range(40))
def test_every_view_gives_the_same_rows_under_the_same_numbers_by_steps_and_by_a_whole_fold(seed: int) -> None:
    events = random_log(seed, leads=1, per_lead=14)
    once = Known(events, fold=FOLD)
    for other in (Known(events, the_long_way=True, fold=FOLD), Known(events, batch=3, fold=FOLD)):
        assert other.entries == once.entries
        assert other.record == once.record
