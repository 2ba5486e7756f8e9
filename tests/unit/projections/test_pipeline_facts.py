"""Given a lead's events as they arrived, when they are folded one by one, then these rows were known from when to when."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from schemas.envelope import Recorded
from services.kernel.errors import Poison
from services.projections.days import instant_of, micros
from services.projections.lead_fold import LeadFold
from services.projections.ledger import Entry, LeadChanges, LeadRecord, Reading, Row, Standing, rises, take_in
from services.projections.pipeline.intervals import DealIntervals
from tests.unit.projections.histories import PIPELINES, Log, random_log

FOLD = LeadFold(PIPELINES, [DealIntervals(0, PIPELINES)])
EUR = {"amount": "10", "currency": "EUR"}


class Known:
    """The rows of one lead, kept by delivering its events in batches; `the_long_way` sends every batch as if it were late."""

    def __init__(
        self, events: list[Recorded], batch: int = 1, *, the_long_way: bool = False, fold: LeadFold = FOLD
    ) -> None:
        self.fold = fold
        self.record: LeadRecord[Any] = LeadRecord(0, None, 1, [], fold.start())
        self.entries: dict[int, Entry] = {}
        self.history: list[Reading] = []
        for start in range(0, len(events), batch):
            self._deliver(events[start : start + batch], the_long_way)

    def _deliver(self, events: list[Recorded], the_long_way: bool) -> None:
        arriving = [(self.fold.read(event), micros(event.recorded_at)) for event in events]
        changes = LeadChanges(self.record)
        if rises(self.record.last, arriving) and not the_long_way:
            changes.in_order(self.fold, arriving)
        else:
            standing = [
                Standing(number, e.row, e.recorded_from) for number, e in self.entries.items() if e.recorded_to is None
            ]
            take_in(changes, self.fold, arriving, self.history, standing)
        for _, number, recorded_to in changes.ended:
            self.entries[number].recorded_to = recorded_to
        for _, number in changes.erased:
            del self.entries[number]
        self.entries |= changes.fresh
        self.history += self.fold.recall(b"".join(changes.notes), len(arriving))

    def rows(self) -> list[tuple[Any, ...]]:
        """(stage, outcome, amount, business from, to, recorded from, to) in the order of their numbers, as day.hour."""
        return [
            (e.row.labels[0], e.row.labels[2], e.row.amount, *map(_short, (e.row.starts, e.row.ends, e.recorded_from, e.recorded_to)))
            for _, e in sorted(self.entries.items())
        ]  # fmt: skip


def _short(at: int | None) -> str | None:
    return None if at is None else f"{instant_of(at):%d.%H}"


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2025, 3, number, hour, tzinfo=UTC)


def test_in_order_each_change_ends_a_stretch_and_begins_another() -> None:
    log = Log()
    log.post("L", "LeadCaptured", day(1), day(1, 1), source_channel="web", value=EUR)
    log.post("L", "ActivityLogged", day(2), day(2, 1), kind="call", direction="out")
    log.post("L", "Won", day(3), day(3, 1), value={"amount": "8.5", "currency": "EUR"})
    assert Known(log.events).rows() == [
        ("opportunity", "open", Decimal(10), "01.00", None, "01.01", "03.01"),
        ("opportunity", "open", Decimal(10), "01.00", "03.00", "03.01", None),
        ("transaction", "won", Decimal("8.5"), "03.00", None, "03.01", None),
    ]


def test_a_capture_and_a_win_at_one_midnight_leave_one_stretch_however_they_arrive() -> None:
    def arriving(*kinds: str) -> Known:
        log = Log()
        for hour, kind in enumerate(kinds):
            data = {"source_channel": "web"} if kind == "LeadCaptured" else {"value": EUR}
            log.post("L", kind, day(1), day(2, hour), {"timeprecision": "day"}, **data)
        return Known(log.events)

    for known in (arriving("LeadCaptured", "Won"), arriving("Won", "LeadCaptured")):
        [standing] = [row for row in known.rows() if row[-1] is None]
        assert standing == ("transaction", "won", Decimal(10), "01.23", None, "02.01", None)


def test_a_lead_lost_after_it_was_won_counts_as_lost_at_its_last_open_value() -> None:
    log = Log()
    log.post("L", "LeadCaptured", day(1), day(1), source_channel="web", value=EUR)
    log.post("L", "Won", day(2), day(2), value={"amount": "7", "currency": "EUR"})
    log.post("L", "Lost", day(3), day(3), reason="price")
    assert [row[:5] for row in Known(log.events).rows() if row[-1] is None] == [
        ("opportunity", "open", Decimal(10), "01.00", "02.00"),
        ("transaction", "won", Decimal(7), "02.00", "03.00"),
        ("opportunity", "lost", Decimal(10), "03.00", None),
    ]


def test_a_sequence_decides_between_events_of_one_instant() -> None:
    log = Log()
    log.post("L", "StageEntered", day(1), day(2, 1), {"sequence": "10"}, stage="management")
    log.post("L", "StageEntered", day(1), day(2, 2), {"sequence": "9"}, stage="qualify")
    assert [row[0] for row in Known(log.events).rows() if row[-1] is None] == ["management"]


def test_a_late_event_withdraws_what_it_contradicts_and_nothing_else() -> None:
    log = Log()
    log.post("L", "LeadCaptured", day(1), day(1), source_channel="web")
    log.post("L", "StageEntered", day(5), day(5), stage="management")
    log.post("L", "StageEntered", day(3), day(6), stage="qualify")
    assert Known(log.events).rows() == [
        ("opportunity", "open", Decimal(0), "01.00", None, "01.00", "05.00"),
        ("opportunity", "open", Decimal(0), "01.00", "05.00", "05.00", "06.00"),
        ("management", "open", Decimal(0), "05.00", None, "05.00", None),
        ("opportunity", "open", Decimal(0), "01.00", "03.00", "06.00", None),
        ("qualify", "open", Decimal(0), "03.00", "05.00", "06.00", None),
    ]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_row_withdrawn_at_the_instant_it_was_recorded_leaves_no_trace(batch: int) -> None:
    log = Log()
    log.post("L", "LeadCaptured", day(1), day(4), source_channel="web")
    log.post("L", "StageEntered", day(2), day(4), stage="qualify")
    assert Known(log.events, batch).rows() == [
        ("opportunity", "open", Decimal(0), "01.00", "02.00", "04.00", None),
        ("qualify", "open", Decimal(0), "02.00", None, "04.00", None),
    ]


@pytest.mark.parametrize("seed", range(40))
def test_a_step_and_a_whole_fold_give_the_same_rows_under_the_same_numbers(seed: int) -> None:
    events = random_log(seed, leads=1, per_lead=14)
    known = Known(events)
    for other in (Known(events, the_long_way=True), Known(events, batch=3), Known(events, batch=99)):
        assert other.entries == known.entries
        assert other.record == known.record


def test_a_note_recalls_the_reading_it_was_made_of() -> None:
    readings = [FOLD.read(event) for event in random_log(3)]
    assert FOLD.recall(b"".join(reading.note for reading in readings), len(readings)) == readings


def test_an_event_of_an_unknown_type_is_poison_and_says_where_it_is() -> None:
    log = Log()
    event = log.post("L", "SomethingNew", day(1), day(1))
    with pytest.raises(Poison) as refused:
        FOLD.read(event)
    assert refused.value.extra == {"position": 0, "stream": "lead/L"}


def test_rows_that_differ_in_anything_are_different_rows() -> None:
    row = Row(0, ("a", None), Decimal(1), 5, None)
    assert {row, Row(0, ("a", None), Decimal("1.000"), 5, None)} == {row}
    assert row != Row(0, ("a", ""), Decimal(1), 5, None)
