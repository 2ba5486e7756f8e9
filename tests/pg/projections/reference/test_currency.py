"""Figures in one currency: given deals and published rates, when a currency is asked for, then each at the rate of its day."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from services.projections.query.rates import Rate, Rates
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.unit.projections.histories import Log

EUR = {"amount": "100", "currency": "EUR"}
NAMES = ("EUR", "USD", "GBP", "CHF")
GBP = {"amount": "10", "currency": "GBP"}


def rated(log: Log, pair: str, day: int, rate: str, recorded: str = "2025-03-01T00:00Z") -> None:
    log.post(f"fx/{pair}", "FxRatePublished", recorded, recorded, rate=rate, as_of=f"2025-03-{day:02}T00:00:00Z")


def deals() -> Log:
    """EUR-USD is 2 from the fifth of March and 5 from the tenth; L-1 won on the sixth, L-2 on the tenth, L-3 and L-4 open."""
    log = Log()
    rated(log, "EUR-USD", 5, "2")
    rated(log, "EUR-USD", 10, "5")
    for lead, value in (("L-1", EUR), ("L-2", EUR), ("L-3", EUR), ("L-4", GBP)):
        log.post(
            lead,
            "LeadCaptured",
            "2025-03-01T10:00Z",
            "2025-03-01T10:01Z",
            source_channel="web",
            owner="ana",
            value=value,
        )
    log.post("L-1", "Won", "2025-03-06T10:00Z", "2025-03-06T10:01Z", value={"amount": "1", "currency": "EUR"})
    log.post("L-2", "Won", "2025-03-10T00:00Z", "2025-03-10T00:01Z", value={"amount": "1", "currency": "EUR"})
    return log


async def open_value(figures: Projected, **asked: str) -> tuple[list[dict[str, str]], int]:
    [row] = await figures.rows("pipeline_snapshot", outcome="open", **asked)
    return row["value"], row["unpriced_n"]


async def test_closed_deals_have_the_rate_of_their_close(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(deals().events)
    [row] = await figures.rows("win_rate", currency="USD")
    assert row["by_value"] == [{"currency": "USD", "numerator": "700.00", "denominator": "700.00", "value": 1.0}]
    [row] = await figures.rows("win_rate", currency="CHF")
    assert (row["won"], row["by_value"], row["unpriced_n"]) == (2, [], 2)


async def test_open_deals_have_the_latest_rate_before_as_of(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(deals().events)
    at = {"currency": "USD", "outcome": "open"}
    for as_of, amount in (
        ("2025-03-07T00:00:00Z", "400.00"),
        ("2025-03-10T00:00:00Z", "400.00"),
        ("2025-03-10T00:00:00.000001Z", "500.00"),
    ):
        rows = await figures.rows("pipeline_snapshot", as_of=as_of, **at)
        assert [(row["value"], row["unpriced_n"]) for row in rows] == [([{"amount": amount, "currency": "USD"}], 1)], (
            as_of
        )
    assert await open_value(figures, as_of="2025-03-03", currency="USD") == ([], 4)
    assert await open_value(figures, as_of="2025-03-03", currency="GBP") == (
        [{"amount": "10.00", "currency": "GBP"}],
        3,
    )


async def test_a_rate_that_is_mended_later_restates_and_what_was_known_stays(projected: NewProjected) -> None:
    log = deals()
    rated(log, "EUR-USD", 5, "3", "2025-04-01T00:00Z")
    first = log.events[0]
    log.post(
        "fx/EUR-USD",
        "EventRetracted",
        "2025-05-01T00:00Z",
        "2025-05-01T00:00Z",
        corrects={"source": first.source, "id": first.id},
    )
    rated(log, "GBP-EUR", 1, "1.5", "2025-05-02T00:00Z")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)

    async def won(**asked: str) -> str:
        [row] = await figures.rows("win_rate", currency="USD", **asked)
        return str(row["by_value"][0]["numerator"])

    assert await won(known_at="2025-03-20") == "700.00"
    assert await won(known_at="2025-04-20") == await won() == "800.00"
    assert await open_value(figures, as_of="2025-03-20", currency="USD") == (
        [{"amount": "575.00", "currency": "USD"}],
        0,
    )
    assert await open_value(figures, as_of="2025-03-20", currency="USD", known_at="2025-05-01") == (
        [{"amount": "500.00", "currency": "USD"}], 1,
    )  # fmt: skip


def pair(chance: random.Random) -> tuple[str, str]:
    base, quote = chance.sample(NAMES, 2)
    return base, quote


async def test_sql_and_python_know_the_same_factor(projected: NewProjected) -> None:
    chance = random.Random(3)
    start = datetime(2025, 3, 1, tzinfo=UTC)
    rates = Rates("USD", [
        Rate(*pair(chance), start + timedelta(hours=chance.randint(0, 90)), Decimal(chance.randint(1, 10**9)) / 10**6)
        for _ in range(40)
    ])  # fmt: skip
    figures = await projected("reference")
    async with figures.engine.connect() as connection:
        for known in (rates, Rates("USD", [])):
            for _ in range(60):
                at = start + timedelta(minutes=chance.randint(-90, 6_000) * 30)
                fx = known.table()
                query = sa.select(fx.c.currency, fx.c.factor).where(fx.c.bucket == known.bucket(sa.literal(at)))
                found = {row.currency: row.factor for row in await connection.execute(query)}
                assert found == {name: known.at(name, at) for name in NAMES if known.at(name, at) is not None}
