"""What owners, accounts and products are when a lead's fact comes about, or now: given their own streams, when grouped by
them, then each fact stands where it stood."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.unit.projections.histories import Log, random_log, shuffled_across_leads


def sold(log: Log, lead: str, day: int, **data: Any) -> None:
    """Captured on the first of March, won on that day."""
    log.post(lead, "LeadCaptured", "2025-03-01T10:00Z", "2025-03-01T10:01Z", source_channel="web", owner="ana", **data)
    log.post(
        lead, "Won", f"2025-03-{day:02}T10:00Z", f"2025-03-{day:02}T10:01Z", value={"amount": "5", "currency": "EUR"}
    )


async def won_by(figures: Projected, dimension: str, **asked: str) -> dict[str | None, int]:
    return {row[dimension]: row["won"] for row in await figures.rows("win_rate", group_by=dimension, **asked)}


async def test_the_team_is_that_of_the_close_and_now_that_of_now(projected: NewProjected) -> None:
    log = Log()
    log.post("owner/ana", "OwnerUpdated", "2025-03-05T10:00Z", "2025-03-05T10:00Z", team="West", manager="boss")
    log.post("owner/ana", "OwnerUpdated", "2025-03-15T10:00Z", "2025-03-15T10:00Z", team="East")
    for lead, day in (("L-1", 2), ("L-2", 5), ("L-3", 6), ("L-4", 20)):
        sold(log, lead, day)
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    # L-2 closed at the very instant of the update: what comes at an instant counts after it
    assert await won_by(figures, "team") == {None: 2, "West": 1, "East": 1}
    assert await won_by(figures, "manager") == {None: 2, "boss": 2}
    assert await won_by(figures, "team", dims="current") == {"East": 4}
    assert await won_by(figures, "owner", team="East") == {"ana": 1}
    assert await won_by(figures, "owner", team="East", dims="current") == {"ana": 4}


async def test_an_update_that_comes_late_restates_and_what_was_known_stays(projected: NewProjected) -> None:
    log = Log()
    sold(log, "L-1", 6)
    log.post("owner/ana", "OwnerUpdated", "2025-03-05T10:00Z", "2025-04-01T10:00Z", team="West")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    assert await won_by(figures, "team") == {"West": 1}
    assert await won_by(figures, "team", known_at="2025-03-31") == {None: 1}
    assert await won_by(figures, "team", known_at="2025-03-31", dims="current") == {None: 1}


async def test_an_update_that_was_wrong_is_corrected_and_retracted(projected: NewProjected) -> None:
    log = Log()
    sold(log, "L-1", 6)
    said = log.post("owner/ana", "OwnerUpdated", "2025-03-05T10:00Z", "2025-03-05T10:00Z", team="Wset")
    about = {"source": said.source, "id": said.id}
    log.post(
        "owner/ana", "EventCorrected", "2025-04-01T10:00Z", "2025-04-01T10:00Z", corrects=about, data={"team": "West"}
    )
    log.post("owner/ana", "EventRetracted", "2025-05-01T10:00Z", "2025-05-01T10:00Z", corrects=about)
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    assert await won_by(figures, "team", known_at="2025-03-31") == {"Wset": 1}
    assert await won_by(figures, "team", known_at="2025-04-30") == {"West": 1}
    assert await won_by(figures, "team") == {None: 1}


async def test_accounts_and_products_and_groups_of_channels(projected: NewProjected) -> None:
    log = Log()
    log.post(
        "account/acme",
        "AccountUpdated",
        "2025-03-02T10:00Z",
        "2025-03-02T10:00Z",
        industry="Retail",
        customer_type="b2c",
    )
    log.post("account/acme", "AccountUpdated", "2025-03-10T10:00Z", "2025-03-10T10:00Z", industry="Food")
    log.post("product/gtx", "ProductUpdated", "2025-03-01T10:00Z", "2025-03-01T10:00Z", series="GT")
    sold(log, "L-1", 5, account_id="acme", product="gtx")
    sold(log, "L-2", 15, account_id="acme", product="other")
    sold(log, "L-3", 15, account_id="globex")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    assert await won_by(figures, "industry") == {"Retail": 1, "Food": 1, None: 1}
    assert await won_by(figures, "industry", dims="current") == {"Food": 2, None: 1}
    assert await won_by(figures, "series") == {"GT": 1, None: 2}
    assert await won_by(figures, "channel_group") == {"inbound": 3}
    # where the account does not say, the pipeline does
    assert await won_by(figures, "customer_type") == {"b2c": 2, "b2b": 1}
    assert await won_by(figures, "customer_type", known_at="2025-03-01T12:00:00Z") == {}


async def test_what_is_dated_ahead_is_not_yet_so(projected: NewProjected) -> None:
    log = Log()
    sold(log, "L-1", 6)
    log.post("owner/ana", "OwnerUpdated", "2025-03-05T10:00Z", "2025-03-05T10:00Z", team="West")
    log.post("owner/ana", "OwnerUpdated", "2025-06-01T10:00Z", "2025-03-05T10:00Z", team="East")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    for now, team in ((datetime(2025, 5, 1, tzinfo=UTC), "West"), (datetime(2025, 7, 1, tzinfo=UTC), "East")):
        answer = await figures.answer("win_rate", now, group_by="team", dims="current")
        assert [row["team"] for row in answer["rows"]] == [team]


def organisation(seed: int) -> Log:
    """Owners, accounts, products, campaigns, targets and rates that change, partly late, corrected and retracted."""
    chance = random.Random(seed)
    log = Log()
    month = {"from": "2025-03-01", "to": "2025-04-01"}
    kinds: tuple[tuple[str, str, Any], ...] = (
        ("owner/ana", "OwnerUpdated", lambda: {"team": chance.choice("WE"), "region": chance.choice("NS")}),
        ("owner/ben", "OwnerLeft", lambda: {"successor": "ana"}),
        ("account/acme", "AccountUpdated", lambda: {"industry": chance.choice("RF")}),
        ("product/p-1", "ProductUpdated", lambda: {"series": chance.choice("XY"), "list_price": {"amount": "1.5", "currency": "EUR"}}),
        ("campaign/spring", "CampaignCostRecorded", lambda: {"cost": {"amount": "31", "currency": "EUR"}, "period": month}),
        ("fx/EUR-USD", "FxRatePublished", lambda: {"rate": "1.25", "as_of": f"2025-03-{chance.randint(1, 28):02}T00:00:00Z"}),
        ("target/t-1", "TargetSet", lambda: {"scope": {"kind": "all"}, "metric": "won_n", "period": month, "amount": "3"}),
    )  # fmt: skip
    for hour in range(60):
        stream, kind, data = chance.choice(kinds)
        at, recorded = f"2025-03-{chance.randint(1, 28):02}T10:00Z", f"2025-04-{hour // 24 + 1:02}T{hour % 24:02}:00Z"
        earlier = [event for event in log.events if event.stream == stream]
        if earlier and chance.random() < 0.2:
            about = chance.choice(earlier)
            kind, corrected = "EventRetracted", {"corrects": {"source": about.source, "id": about.id}}
            log.post(stream, kind, at, recorded, **corrected)
        else:
            log.post(stream, kind, at, recorded, **data())
    return log


@pytest.mark.parametrize("seed", range(3))
async def test_the_same_bytes_however_it_is_delivered(projected: NewProjected, seed: int) -> None:
    log = organisation(seed).events + random_log(seed)
    chance = random.Random(seed)
    at_once, one_by_one, forgetful, shuffled = [await projected("reference", "pipeline") for _ in range(4)]
    await at_once.deliver(log)
    await one_by_one.deliver(log, batch=1)
    await forgetful.deliver(log, batch=9, forgetting=chance)
    await shuffled.deliver(shuffled_across_leads(log, chance), batch=5)
    expected = await at_once.checksum()
    assert await one_by_one.checksum() == expected
    assert await forgetful.checksum() == expected
    assert await shuffled.checksum() == expected
