"""Given the events of one stream that is no lead, when they are folded, then these stretches, costs and rates are its rows."""

import random
from typing import Any

import pytest

from services.projections.days import micros
from services.projections.ledger import LeadChanges, LeadRecord, Row, take_in
from services.projections.reference.facts import LEDGERS, ReferenceFold
from tests.unit.projections.histories import Log

FOLD = ReferenceFold()
DAY = {day: f"2025-03-{day:02}T10:00:00Z" for day in range(1, 20)}


def rows_of(log: Log) -> list[dict[str, Any]]:
    """Every row known at the end, as what it says by name, in the order in which they begin."""
    changes = LeadChanges(LeadRecord(0, None, 1, [], FOLD.start()))
    take_in(changes, FOLD, [(FOLD.read(event), micros(event.recorded_at)) for event in log.events], (), ())
    known = [entry.row for entry in changes.fresh.values() if entry.recorded_to is None]
    return [said(row) for row in sorted(known, key=lambda row: row.starts)]


def said(row: Row) -> dict[str, Any]:
    ledger = LEDGERS[row.ledger]
    names = (*ledger.labels, *(name for name, _ in ledger.attributes))
    told = {name: value for name, value in zip(names, (*row.labels, *row.attributes), strict=True) if value is not None}
    return {"ledger": ledger.name, "from": row.starts, "to": row.ends, "amount": str(row.amount), **told}


def at(day: int) -> int:
    return micros(Log().post("x", "Qualified", DAY[day], DAY[day]).occurred_at)


def test_an_update_leaves_what_it_does_not_name_as_it_was() -> None:
    log = Log()
    log.post("owner/ana", "OwnerUpdated", DAY[1], DAY[1], team="West", region="West")
    log.post("owner/ana", "OwnerUpdated", DAY[3], DAY[3], team="East", manager="boss")
    assert rows_of(log) == [
        {"ledger": "owner_interval", "from": at(1), "to": at(3), "amount": "0", "team": "West", "region": "West"},
        {"ledger": "owner_interval", "from": at(3), "to": None, "amount": "0", "team": "East", "region": "West", "manager": "boss"},
    ]  # fmt: skip


def test_an_update_that_says_nothing_new_makes_no_row() -> None:
    log = Log()
    log.post("owner/ana", "OwnerUpdated", DAY[1], DAY[1], team="West")
    log.post("owner/ana", "OwnerUpdated", DAY[3], DAY[3], team="West", name="Ana", capacity_per_day=40)
    assert [(row["from"], row["to"]) for row in rows_of(log)] == [(at(1), None)]


def test_a_late_update_goes_between() -> None:
    log = Log()
    log.post("account/acme", "AccountUpdated", DAY[1], DAY[1], industry="Retail")
    log.post("account/acme", "AccountUpdated", DAY[9], DAY[9], industry="Food")
    log.post("account/acme", "AccountUpdated", DAY[5], DAY[10], customer_type="b2c")
    assert [(row["from"], row["to"], row["industry"], row.get("customer_type")) for row in rows_of(log)] == [
        (at(1), at(5), "Retail", None),
        (at(5), at(9), "Retail", "b2c"),
        (at(9), None, "Food", "b2c"),
    ]


def test_who_left_is_told_of_and_stays_where_they_were() -> None:
    log = Log()
    log.post("owner/ana", "OwnerUpdated", DAY[1], DAY[1], team="West")
    log.post("owner/ana", "OwnerLeft", DAY[4], DAY[4], successor="ben")
    log.post("owner/ana", "OwnerUpdated", DAY[6], DAY[6], team="East")
    assert [(row["team"], row.get("left_at")) for row in rows_of(log)] == [
        ("West", None), ("West", at(4)), ("East", at(4)),
    ]  # fmt: skip


def test_the_list_price_is_the_amount_of_a_product() -> None:
    log = Log()
    log.post("product/gtx", "ProductUpdated", DAY[1], DAY[1], series="GTX")
    log.post("product/gtx", "ProductUpdated", DAY[2], DAY[2], list_price={"amount": "99.5", "currency": "EUR"})
    assert [(row["series"], row["amount"], row.get("currency")) for row in rows_of(log)] == [
        ("GTX", "0", None), ("GTX", "99.5", "EUR"),
    ]  # fmt: skip


def test_costs_of_one_campaign_add_up_though_they_are_equal() -> None:
    log = Log()
    log.post("campaign/spring", "CampaignOpened", DAY[1], DAY[1], channel="ads")
    month = {"from": "2025-03-01", "to": "2025-04-01"}
    for _ in range(2):
        log.post(
            "campaign/spring",
            "CampaignCostRecorded",
            DAY[2],
            DAY[2],
            cost={"amount": "31", "currency": "EUR"},
            period=month,
        )
    opened, *costs = rows_of(log)
    assert (opened["ledger"], opened["channel"]) == ("campaign_interval", "ads")
    assert [(row["amount"], row["currency"], row["end_day"] - row["first_day"]) for row in costs] == [
        ("31", "EUR", 31)
    ] * 2
    assert costs[0]["event"] != costs[1]["event"]


def test_a_retracted_cost_is_gone_and_a_corrected_one_is_another() -> None:
    log = Log()
    month = {"from": "2025-03-01", "to": "2025-04-01"}
    cost = {"cost": {"amount": "31", "currency": "EUR"}, "period": month}
    first, second = [log.post("campaign/spring", "CampaignCostRecorded", DAY[2], DAY[2], **cost) for _ in range(2)]
    log.post("campaign/spring", "EventRetracted", DAY[3], DAY[3], corrects={"source": "/test", "id": first.id})
    changed = {"cost": {"amount": "40", "currency": "EUR"}, "period": month}
    log.post(
        "campaign/spring", "EventCorrected", DAY[3], DAY[3], corrects={"source": "/test", "id": second.id}, data=changed
    )
    assert [row["amount"] for row in rows_of(log)] == ["40"]


def test_a_later_target_replaces_the_whole_one_before() -> None:
    log = Log()
    march = {"from": "2025-03-01", "to": "2025-04-01"}
    scope = {"kind": "owner", "id": "ana"}
    log.post(
        "target/t-1",
        "TargetSet",
        DAY[1],
        DAY[1],
        scope=scope,
        metric="won_value",
        period=march,
        amount="100",
        currency="EUR",
        stage="offer",
    )
    log.post("target/t-1", "TargetSet", DAY[5], DAY[5], scope=scope, metric="won_n", period=march, amount="7")
    assert [(row["metric"], row["amount"], row.get("currency"), row.get("stage"), row["to"]) for row in rows_of(log)] == [
        ("won_value", "100", "EUR", "offer", at(5)), ("won_n", "7", None, None, None),
    ]  # fmt: skip


def test_a_rate_holds_from_its_own_instant_with_every_digit() -> None:
    log = Log()
    log.post("fx/EUR-USD", "FxRatePublished", DAY[5], DAY[5], rate="1.0845000001", as_of=DAY[3])
    log.post("fx/EUR-USD", "FxRatePublished", DAY[6], DAY[6], rate="1.1", as_of=DAY[1])
    assert [(row["from"], row["to"], row["rate"]) for row in rows_of(log)] == [
        (at(1), None, "1.1"), (at(3), None, "1.0845000001"),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_arrival_does_not_matter(seed: int) -> None:
    events: list[tuple[str, str, dict[str, Any]]] = [
        ("OwnerUpdated", DAY[day], {"team": f"T{day % 3}"} if day % 2 else {"region": f"R{day % 4}"})
        for day in range(1, 12)
    ]
    in_order, shuffled = Log(), Log()
    for kind, day, data in events:
        in_order.post("owner/ana", kind, day, DAY[15], **data)
    random.Random(seed).shuffle(events)
    for kind, day, data in events:
        shuffled.post("owner/ana", kind, day, DAY[15], **data)
    assert rows_of(shuffled) == rows_of(in_order)
