"""Given the events of customers, when they are folded one by one, then the rows say at any instant which contracts run."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.codec import body_of
from schemas.envelope import Recorded
from schemas.fact import fact_of
from schemas.lead import at_instant
from services.projections.churn.model import IGNORES, churn_fold
from services.projections.days import micros
from services.projections.lead_fold import LeadFold
from services.projections.ledger import Entry, LeadChanges, LeadRecord, Reading, Row, Standing, rises, take_in
from tests.unit.projections.customer_histories import customer_log
from tests.unit.projections.histories import PIPELINES, Log

FOLD = churn_fold(PIPELINES)
HEEDING = churn_fold(PIPELINES, ignoring=False)
EUR = {"amount": "10", "currency": "EUR"}


def rows_of(
    events: list[Recorded], *, fold: LeadFold = FOLD, batch: int = 1, the_long_way: bool = False
) -> list[Entry]:
    """The rows of one lead, in the order of their numbers, as its events left them."""
    record: LeadRecord[Any] = LeadRecord(0, None, 1, [], fold.start())
    entries: dict[int, Entry] = {}
    history: list[Reading] = []
    heeded = [event for event in events if event.type not in fold.ignores]
    for start in range(0, len(heeded), batch):
        arriving = [(fold.read(event), micros(event.recorded_at)) for event in heeded[start : start + batch]]
        changes = LeadChanges(record)
        if rises(record.last, arriving) and not record.corrected and not the_long_way:
            changes.in_order(fold, arriving)
        else:
            known = [Standing(number, e.row, e.recorded_from) for number, e in entries.items() if e.recorded_to is None]
            take_in(changes, fold, arriving, history, known)
        for _, number, recorded_to in changes.ended:
            entries[number].recorded_to = recorded_to
        for _, number in changes.erased:
            del entries[number]
        entries |= changes.fresh
        history += [reading for reading, _ in arriving]
    return [entry for _, entry in sorted(entries.items())]


def counting(entries: list[Entry], at: datetime, known_at: datetime | None = None) -> list[Row]:
    """The contract rows that stand at an instant and count for it."""
    t = micros(at)
    return [
        entry.row
        for entry in entries
        if entry.row.ledger == 0
        and _holds(entry.recorded_from, entry.recorded_to, None if known_at is None else micros(known_at))
        and entry.row.starts < t
        and (entry.row.ends is None or entry.row.ends >= t)
        and (entry.row.attributes[0] is None or int(entry.row.attributes[0]) >= t)
    ]


def _holds(begins: int, ends: int | None, at: int | None) -> bool:
    return ends is None if at is None else begins < at and (ends is None or ends >= at)


@pytest.mark.parametrize("seed", range(60))
def test_at_any_instant_the_rows_are_the_contracts_that_run(seed: int) -> None:
    log = customer_log(seed)
    for stream in {event.stream for event in log}:
        events = [event for event in log if event.stream == stream]
        entries = rows_of(events)
        for known_at in (None, events[len(events) // 2].recorded_at):
            facts = [
                fact_of(event, event.version, body_of(event))
                for event in events
                if known_at is None or event.recorded_at < known_at
            ]
            for day in range(-5, 400, 3):
                at = datetime(2025, 1, 1, 5, tzinfo=UTC) + timedelta(days=day)  # nothing begins or ends at five
                lead = at_instant(facts, at, PIPELINES)
                running: Counter[tuple[Any, ...]] = Counter()
                if lead.outcome == "won" and lead.standing not in ("void", "absorbed"):
                    running.update(
                        (
                            each.contract_id,
                            None if each.mrr is None else Decimal(each.mrr.amount),
                            lead.owner,
                            lead.account_id,
                        )
                        for each in lead.running_contracts
                        if each.starts_at < at
                    )
                found = Counter(
                    (
                        row.attributes[1],
                        row.amount if row.labels[0] == "recurring" else None,
                        row.labels[5 + 3],
                        row.attributes[2],
                    )
                    for row in counting(entries, at, known_at)
                    if row.labels[0] != "purchase"
                )
                assert found == running, (stream, at, known_at)


@pytest.mark.parametrize("seed", range(40))
def test_a_step_and_a_whole_fold_give_the_same_rows_under_the_same_numbers(seed: int) -> None:
    log = customer_log(seed)
    for stream in {event.stream for event in log}:
        events = [event for event in log if event.stream == stream]
        known = rows_of(events)
        for other in (rows_of(events, the_long_way=True), rows_of(events, batch=3), rows_of(events, batch=99)):
            assert other == known


@pytest.mark.parametrize("seed", range(40))
def test_what_is_ignored_changes_no_row(seed: int) -> None:
    log = customer_log(seed)
    assert FOLD.ignores <= IGNORES
    for stream in {event.stream for event in log}:
        events = [event for event in log if event.stream == stream]
        assert rows_of(events) == rows_of(events, fold=HEEDING)


def day(month: int, number: int = 1) -> datetime:
    return datetime(2025, month, number, tzinfo=UTC)


def won(log: Log, at: datetime, **contract: Any) -> None:
    log.post(
        "L",
        "LeadCaptured",
        day(1),
        day(1),
        source_channel="web",
        pipeline=contract.pop("pipeline", None) or "six-phase",
    )
    log.post("L", "Won", at, at, value=EUR, contracts=[{"contract_id": "C", "mrr": EUR, **contract}])


def test_the_last_row_of_a_run_says_why_it_ended_and_all_say_when_that_was_asked_for() -> None:
    log = Log()
    won(log, day(2))
    log.post("L", "ContractChanged", day(3), day(3), contract_id="C", mrr={"amount": "20", "currency": "EUR"}, effective_at="2025-03-01T00:00:00Z")  # fmt: skip
    log.post("L", "CancellationRequested", day(2, 15), day(4), contract_id="C", effective_at="2025-05-01T00:00:00Z")
    rows = [entry.row for entry in rows_of(log.events) if entry.recorded_to is None and entry.row.ledger == 0]
    assert [(row.amount, row.ends, row.labels[2], row.labels[3], row.attributes[7]) for row in rows] == [
        (Decimal(10), micros(day(3)), None, None, micros(day(2, 15))),
        (Decimal(20), micros(day(5)), "cancelled", "yes", micros(day(2, 15))),
    ]


def test_a_notice_that_was_taken_back_leaves_no_trace() -> None:
    log = Log()
    won(log, day(2))
    log.post("L", "CancellationRequested", day(3), day(3), contract_id="C", effective_at="2025-05-01T00:00:00Z")
    log.post("L", "CancellationWithdrawn", day(4), day(4), contract_id="C")
    [row] = [entry.row for entry in rows_of(log.events) if entry.recorded_to is None and entry.row.ledger == 0]
    assert (row.starts, row.ends, row.attributes[7]) == (micros(day(2)), None, None)


def test_a_term_lapses_at_its_end_but_only_for_those_who_ask_after_that_was_decided() -> None:
    log = Log()
    won(log, day(2), pipeline="plan", term_start="2025-02-01", term_end="2025-02-28")
    log.post("L", "LeadAssigned", day(3, 10), day(3, 10), owner="ben")
    entries = rows_of(log.events)
    assert [len(counting(entries, at)) for at in (day(2, 10), day(3, 5), day(3, 30), day(4, 5))] == [1, 1, 1, 0]
    decided = micros(day(3, 31))
    rows = [entry.row for entry in entries if entry.recorded_to is None and entry.row.ledger == 0]
    assert sorted((row.starts, row.ends, row.labels[2], row.attributes[0]) for row in rows) == [
        (micros(day(2)), micros(day(3)), "lapsed", None),
        (micros(day(3)), micros(day(3, 10)), None, decided),
        (micros(day(3, 10)), decided, None, decided),
    ]


def test_a_term_that_is_renewed_in_its_days_of_grace_never_ended() -> None:
    log = Log()
    won(log, day(2), pipeline="plan", term_start="2025-02-01", term_end="2025-02-28")
    log.post("L", "ContractRenewed", day(3, 10), day(3, 10), contract_id="C", term_end="2025-12-31", mrr=EUR)
    entries = rows_of(log.events)
    rows = [entry.row for entry in entries if entry.recorded_to is None and entry.row.ledger == 0]
    assert all(row.attributes[0] is None for row in rows if row.starts < micros(day(3, 10)))
    assert [len(counting(entries, at)) for at in (day(3, 5), day(6), day(12, 20))] == [1, 1, 1]


def test_a_win_that_was_reopened_never_brought_anything_for_those_who_ask_later() -> None:
    log = Log()
    won(log, day(2))
    log.post("L", "Reopened", day(4), day(4), reason="a mistake")
    entries = rows_of(log.events)
    assert [len(counting(entries, at)) for at in (day(3), day(4), day(5))] == [1, 1, 0]
    [row] = [entry.row for entry in entries if entry.recorded_to is None and entry.row.ledger == 0]
    assert row.attributes[0] == row.ends == micros(day(4))


def ended(log: Log, at: datetime, **more: Any) -> None:
    log.post("L", "Churned", at, at, effective_at=f"{at:%Y-%m-%dT%H:%M:%SZ}", reason="price", voluntary=True, **more)


def back(log: Log, at: datetime) -> None:
    log.post("L", "Reactivated", at, at, effective_at=f"{at:%Y-%m-%dT%H:%M:%SZ}", mrr=EUR)


def back_and_gone(log: Log, at: datetime) -> None:
    back(log, at)
    ended(log, at)


def told(log: Log) -> list[tuple[datetime, datetime | None, str | None, datetime | None]]:
    """(starts, ends, end_reason, counts_until) of the contract rows that hold: the same step by step, in one batch and anew.

    Events of one instant count in the order in which they were posted.
    """
    events = [
        msgspec.structs.replace(event, meta={**event.meta, "sequence": str(event.version)}) for event in log.events
    ]
    entries = rows_of(events)
    for other in (rows_of(events, the_long_way=True), rows_of(events, batch=2), rows_of(events, batch=99)):
        assert other == entries
    rows = [entry.row for entry in entries if entry.recorded_to is None and entry.row.ledger == 0]
    return [(_at(row.starts), row.ends and _at(row.ends), row.labels[2], row.attributes[0] and _at(row.attributes[0])) for row in rows]  # type: ignore[misc]  # fmt: skip


def _at(instant: Any) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)


def test_a_run_that_ends_where_it_began_is_one_row_that_stands_at_no_instant() -> None:
    log = Log()
    won(log, day(2))
    log.post("L", "ContractChanged", day(2), day(2), contract_id="C", mrr={"amount": "20", "currency": "EUR"}, effective_at="2025-02-01T00:00:00Z")  # fmt: skip
    ended(log, day(2))
    log.post("L", "LeadAssigned", day(2), day(2), owner="ben")
    log.post("L", "LeadAssigned", day(3), day(3), owner="ana")
    assert told(log) == [(day(2), day(2), "churned", None)]
    entries = rows_of(log.events)
    [row] = [entry.row for entry in entries if entry.recorded_to is None and entry.row.ledger == 0]
    assert (row.amount, row.labels[:5]) == (Decimal(20), ("recurring", "contract", "churned", "yes", "price"))
    moment = timedelta(microseconds=1)
    assert [counting(entries, at) for at in (day(2) - moment, day(2), day(2) + moment, day(4))] == [[]] * 4


@pytest.mark.parametrize(
    ("happens", "rows"),
    [
        (lambda log: back(log, day(3)), [(day(2), day(2), "churned", None), (day(3), None, None, None)]),
        (lambda log: back(log, day(2)), [(day(2), None, None, None)]),
        (lambda log: back_and_gone(log, day(2)), [(day(2), day(2), "churned", None)]),
        (
            lambda log: back_and_gone(log, day(3)),
            [(day(2), day(2), "churned", None), (day(3), day(3), "churned", None)],
        ),
        (lambda log: log.post("L", "Voided", day(4), day(4), reason="test"), [(day(2), day(2), "churned", day(4))]),
        (lambda log: log.post("L", "Voided", day(2), day(2), reason="test"), []),
        (
            lambda log: log.post("L", "Churned", day(2), day(5), effective_at="2025-04-01T00:00:00Z", reason="x", voluntary=True),
            [(day(2), day(2), "churned", None)],
        ),
    ],
)  # fmt: skip
def test_what_may_follow_on_a_run_of_no_length(happens: Callable[[Log], Any], rows: list[Any]) -> None:
    log = Log()
    won(log, day(2))
    ended(log, day(2))
    happens(log)
    assert told(log) == rows


def test_a_run_of_no_length_leaves_with_a_win_that_is_reopened() -> None:
    log = Log()
    log.post("L", "LeadCaptured", day(1), day(1), source_channel="web", pipeline="six-phase")
    log.post("L", "Won", day(2), day(2), value=EUR, contracts=[{"contract_id": "C", "mrr": EUR}, {"contract_id": "D", "mrr": EUR}])  # fmt: skip
    ended(log, day(2), contract_id="C")
    log.post("L", "Reopened", day(4), day(4), reason="a mistake")
    log.post("L", "Won", day(5), day(5), value=EUR, contracts=[{"contract_id": "C", "mrr": EUR}])
    assert sorted(told(log), key=str) == [
        (day(2), day(2), "churned", day(4)),
        (day(2), day(4), None, day(4)),
        (day(5), None, None, None),
    ]


@pytest.mark.parametrize(("ends", "rows"), [(day(2, 20), []), (day(3), [(day(3), day(3), "churned", None)])])
def test_an_end_before_the_start_is_no_run_and_one_on_it_is(ends: datetime, rows: list[Any]) -> None:
    log = Log()
    won(log, day(2), term_start="2025-03-01")
    ended(log, ends)
    assert told(log) == rows


def test_a_run_that_another_one_of_its_contract_leads_up_to_is_a_part_of_that() -> None:
    log = Log()
    won(log, day(2))
    ended(log, day(3))
    back_and_gone(log, day(3))
    assert told(log) == [(day(2), day(3), "churned", None)]


def test_an_end_that_is_told_late_makes_a_run_of_no_length_and_its_retraction_takes_it_back() -> None:
    log = Log()
    won(log, day(2))
    back_then = f"{day(2):%Y-%m-%dT%H:%M:%SZ}"
    log.post("L", "LeadAssigned", day(3), day(3), owner="ben")
    log.post("L", "Churned", day(2), day(5), effective_at=back_then, reason="price", voluntary=True)
    assert told(log) == [(day(2), day(2), "churned", None)]
    about = log.events[-1]
    log.post("L", "EventRetracted", day(6), day(6), corrects={"source": about.source, "id": about.id})
    assert sorted(told(log), key=str) == [(day(2), day(3), None, None), (day(3), None, None, None)]
    entries = rows_of(log.events)
    of_then = [e for e in entries if e.row.ledger == 0 and _holds(e.recorded_from, e.recorded_to, micros(day(5, 15)))]
    assert [(e.row.starts, e.row.ends) for e in of_then] == [(micros(day(2)), micros(day(2)))]
