"""Cycle length, deal size, price realisation, win rate: given closed deals, when they are asked for, then these figures."""

from typing import Any

from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.unit.projections.histories import Log

EUR = {"amount": "100", "currency": "EUR"}
MARCH = {"from_": "2025-03-01", "to": "2025-04-01"}


def closed(log: Log, lead: str, kind: str, captured: str, at: str, **data: Any) -> None:
    told = {"value": {"amount": data.pop("amount", "80"), "currency": "EUR"}} if kind == "Won" else {"reason": "price"}
    log.post(lead, "LeadCaptured", captured, captured, source_channel="web", owner="ana", value=EUR, **data)
    log.post(lead, kind, at, at, **told)


def deals() -> Log:
    """Won after 2, 4 and 9 days, the last reopened and won again in April; lost after 30; won before it was captured; void."""
    log = Log()
    closed(log, "W-2", "Won", "2025-03-01T10:00Z", "2025-03-03T11:00Z", amount="80", product="p-1")
    closed(log, "W-4", "Won", "2025-03-01T10:00Z", "2025-03-06T09:00Z", amount="120.50", product="p-2")
    closed(log, "W-9", "Won", "2025-03-01T10:00Z", "2025-03-10T10:00Z", amount="300")
    closed(log, "L-30", "Lost", "2025-02-01T10:00Z", "2025-03-03T10:00Z")
    closed(log, "V", "Won", "2025-03-01T10:00Z", "2025-03-02T10:00Z", amount="999")
    log.post("N", "Won", "2025-03-02T10:00Z", "2025-03-02T10:00Z", value=EUR)
    log.post("N", "LeadCaptured", "2025-03-05T10:00Z", "2025-03-05T10:00Z", source_channel="web")
    log.post("W-9", "Reopened", "2025-04-02T10:00Z", "2025-04-02T10:00Z", reason="again")
    log.post("W-9", "Won", "2025-04-11T10:00Z", "2025-04-11T10:00Z", value={"amount": "310", "currency": "EUR"})
    log.post("V", "Voided", "2025-05-02T10:00Z", "2025-05-02T10:00Z", reason="a test entry")
    return log


async def given(projected: NewProjected) -> Projected:
    figures = await projected("pipeline", "reference")
    log = deals()
    for product, amount in (("p-1", "100"), ("p-2", "100")):
        log.post(product, "ProductUpdated", "2025-01-01T00:00Z", "2025-01-01T00:00Z", list_price={"amount": amount, "currency": "EUR"})  # fmt: skip
        log.events[-1] = _of_stream(log.events[-1], f"product/{product}")
    log.post("p-2", "ProductUpdated", "2025-03-20T00:00Z", "2025-03-20T00:00Z", list_price={"amount": "999", "currency": "EUR"})  # fmt: skip
    log.events[-1] = _of_stream(log.events[-1], "product/p-2")
    await figures.deliver(log.events)
    return figures


def _of_stream(event: Any, stream: str) -> Any:
    import msgspec

    return msgspec.structs.replace(event, stream=stream)


async def test_cycle_length_is_of_the_last_close_and_leaves_out_what_is_void(projected: NewProjected) -> None:
    figures = await given(projected)
    [march] = await figures.rows("cycle_length", **MARCH)
    assert (march["n"], march["mean"], march["percentiles"]) == (2, 3.0, {"p10": 2.2, "p50": 3.0, "p90": 3.8})
    [all_of_it] = await figures.rows("cycle_length", outcome="all", percentiles="50", percentile_method="nearest_rank")
    assert (all_of_it["n"], all_of_it["percentiles"]) == (4, {"p50": 4.0})  # 2, 4, 30, and 41 of W-9


async def test_a_close_before_the_capture_is_counted_apart(projected: NewProjected) -> None:
    figures = await given(projected)
    [march] = await figures.rows("cycle_length", **MARCH)
    assert march["negative_n"] == 1


async def test_what_is_void_is_left_out_of_the_past_too_once_that_is_known(projected: NewProjected) -> None:
    figures = await given(projected)
    [early] = await figures.rows("cycle_length", as_of="2025-03-31", **MARCH)
    assert early["n"] == 3  # W-9 still has its first close; V is known to be void
    [then] = await figures.rows("cycle_length", known_at="2025-04-30", **MARCH)
    assert then["n"] == 3  # V was not known to be void
    [rate] = await figures.rows("win_rate", **MARCH)
    assert (rate["won"], rate["lost"]) == (3, 1)


async def test_by_the_date_of_the_capture(projected: NewProjected) -> None:
    figures = await given(projected)
    rows = await figures.rows(
        "cycle_length", from_="2025-02-01", to="2025-04-01", interval="month", attribute_by="opened", outcome="all"
    )
    assert [(row["period"], row["n"]) for row in rows] == [("2025-02", 1), ("2025-03", 3)]


async def test_deal_size_in_each_currency_and_in_one(projected: NewProjected) -> None:
    figures = await given(projected)
    [march] = await figures.rows("deal_size", percentiles="50", **MARCH)
    assert march["won"] == 3
    [size] = march["size"]
    assert (size["n"], size["sum"], size["mean"], size["percentiles"]) == (3, "300.50", "100.17", {"p50": "100.00"})
    [dollars] = await figures.rows("deal_size", currency="USD", **MARCH)
    assert (dollars["size"], dollars["unpriced_n"]) == ([], 3)


async def test_price_realisation_takes_the_list_price_at_the_close(projected: NewProjected) -> None:
    figures = await given(projected)
    [march] = await figures.rows("price_realisation", **MARCH)
    assert march["realised"] == [{"currency": "EUR", "numerator": "200.50", "denominator": "200.00", "value": 1.0025}]
    assert (march["won"], march["n"], march["no_list_price_n"]) == (3, 2, 1)
    [dollars] = await figures.rows("price_realisation", currency="USD", **MARCH)
    assert (dollars["n"], dollars["unpriced_n"]) == (0, 2)
