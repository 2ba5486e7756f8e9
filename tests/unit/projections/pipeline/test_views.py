"""Touches and doubts of one lead: given its events as they arrived, when they are folded, then these rows are known at the end."""

from typing import Any

from services.projections.days import micros
from services.projections.lead_fold import LeadFold
from services.projections.ledger import LeadChanges, LeadRecord, Row, rises, take_in
from services.projections.pipeline.quality import Quality
from services.projections.pipeline.touches import Touches
from tests.unit.projections.histories import PIPELINES, Log

FOLD = LeadFold(PIPELINES, [Touches(0), Quality(1)])


def rows_of(log: Log) -> list[Row]:
    """All rows known at the end, by when they begin; taken in one by one as the store does, and all at once: the same."""
    changes = LeadChanges(LeadRecord(0, None, 1, [], FOLD.start()))
    arriving = [(FOLD.read(event), micros(event.recorded_at)) for event in log.events]
    if rises(None, arriving):
        changes.in_order(FOLD, arriving)
    else:
        take_in(changes, FOLD, arriving, (), ())
    again = LeadChanges(LeadRecord(0, None, 1, [], FOLD.start()))
    take_in(again, FOLD, arriving, (), ())

    def known(of: LeadChanges) -> list[Row]:
        rows = [entry.row for entry in of.fresh.values() if entry.recorded_to is None]
        return sorted(rows, key=lambda row: (row.starts, row.ledger, row.labels[:2]))

    assert known(changes) == known(again)
    return known(changes)


def touches(log: Log) -> list[tuple[Any, ...]]:
    return [(row.labels[0], row.labels[1], row.attributes[1]) for row in rows_of(log) if row.ledger == 0]


def doubts(log: Log) -> list[tuple[Any, ...]]:
    return [(*row.labels[:2], row.ends is None) for row in rows_of(log) if row.ledger == 1]


def at(hour: int) -> str:
    return f"2025-03-01T{hour:02}:00:00Z"


def test_touches_are_counted_in_the_order_in_which_they_came_about() -> None:
    log = Log()
    log.post("L-1", "LeadCaptured", at(1), at(1), source_channel="web", campaign_id="named")
    log.post("L-1", "CampaignTouched", at(5), at(5), campaign_id="spring", channel="ads")
    log.post("L-1", "CampaignTouched", at(7), at(7), campaign_id="spring", channel="ads")
    assert touches(log) == [("spring", "ads", 1), ("spring", "ads", 2)]
    log.post("L-1", "CampaignTouched", at(6), at(9), campaign_id="summer")
    assert touches(log) == [("spring", "ads", 1), ("summer", None, 2), ("spring", "ads", 3)]


def test_touches_of_one_instant_are_several() -> None:
    log = Log()
    log.post("L-1", "LeadCaptured", at(1), at(1), source_channel="web")
    for _ in range(3):
        log.post("L-1", "CampaignTouched", at(5), at(5), campaign_id="spring")
    assert [number for _, _, number in touches(log)] == [1, 2, 3]


def test_a_retracted_touch_is_gone_and_a_doubt_tells_of_it() -> None:
    log = Log()
    log.post("L-1", "LeadCaptured", at(1), at(1), source_channel="web")
    first = log.post("L-1", "CampaignTouched", at(5), at(5), campaign_id="spring")
    log.post("L-1", "CampaignTouched", at(6), at(6), campaign_id="summer")
    log.post("L-1", "EventRetracted", at(8), at(8), corrects={"source": first.source, "id": first.id})
    assert touches(log) == [("summer", None, 1)]
    assert doubts(log) == [("retracted", "EventRetracted", True)]


def test_an_absorbed_lead_is_touched_no_more() -> None:
    log = Log()
    log.post("L-1", "LeadCaptured", at(1), at(1), source_channel="web")
    log.post("L-1", "LeadAbsorbed", at(2), at(2), surviving_lead_id="L-2")
    log.post("L-1", "CampaignTouched", at(5), at(5), campaign_id="spring")
    assert touches(log) == []


def test_what_is_implied_lasts_until_it_is_told() -> None:
    log = Log()
    log.post("L-1", "StageEntered", at(3), at(3), stage="qualify")
    assert ("implied", "LeadCaptured", True) in doubts(log)
    log.post("L-1", "LeadCaptured", at(5), at(5), source_channel="web")
    assert ("implied", "LeadCaptured", False) in doubts(log)
    log.post("L-1", "LeadCaptured", at(1), at(6), source_channel="web")
    assert not [doubt for doubt in doubts(log) if doubt[:2] == ("implied", "LeadCaptured")]


def test_two_corrections_of_one_event_are_two_doubts() -> None:
    log = Log()
    captured = log.post("L-1", "LeadCaptured", at(1), at(1), source_channel="web")
    about = {"source": captured.source, "id": captured.id}
    for owner in ("ana", "ben"):
        log.post("L-1", "EventCorrected", at(2), at(2), corrects=about, data={"source_channel": "web", "owner": owner})
    assert doubts(log) == [("corrected", "EventCorrected", True)] * 2
