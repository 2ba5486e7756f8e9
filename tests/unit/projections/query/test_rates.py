"""What a currency is worth: given published rates, when it is asked for at an instant, then by pair, inverse, or one third."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.projections.query.rates import Rate, Rates, money_text

START = datetime(2025, 3, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
DAYS = st.integers(0, 20).map(lambda day: START + timedelta(days=day))
RATES = st.decimals("0.0001", "9999", places=4)


def since(day: int) -> datetime:
    return START + timedelta(days=day)


def test_a_rate_holds_from_its_instant_until_the_next() -> None:
    rates = Rates("USD", [Rate("EUR", "USD", since(5), Decimal("1.2")), Rate("EUR", "USD", since(2), Decimal("1.1"))])
    assert [rates.at("EUR", since(day)) for day in (1, 2, 4, 5, 9)] == [
        None, Decimal("1.1"), Decimal("1.1"), Decimal("1.2"), Decimal("1.2"),
    ]  # fmt: skip
    assert rates.at("EUR", since(5) - INSTANT) == Decimal("1.1")
    assert rates.before("EUR", since(5)) == Decimal("1.1")
    assert rates.before("EUR", since(5) + INSTANT) == Decimal("1.2")


def test_a_currency_is_worth_itself_and_an_unknown_one_nothing_that_is_known() -> None:
    rates = Rates("USD", [])
    assert (rates.at("USD", START), rates.at("EUR", START)) == (Decimal(1), None)


def test_the_published_pair_counts_before_its_inverse_and_both_before_a_third() -> None:
    both = [Rate("EUR", "USD", since(0), Decimal(2)), Rate("USD", "EUR", since(0), Decimal("0.4"))]
    third = [Rate("EUR", "CHF", since(0), Decimal(3)), Rate("CHF", "USD", since(0), Decimal(7))]
    assert Rates("USD", both + third).at("EUR", START) == Decimal(2)
    assert Rates("USD", both[1:] + third).at("EUR", START) == Decimal("2.5")
    assert Rates("USD", third).at("EUR", START) == Decimal(21)


@given(DAYS, RATES, DAYS)
def test_the_inverse_of_the_inverse(day: datetime, rate: Decimal, asked: datetime) -> None:
    published = [Rate("EUR", "USD", day, rate)]
    there, back = Rates("USD", published).at("EUR", asked), Rates("EUR", published).at("USD", asked)
    if asked < day:
        assert there is back is None
    else:
        assert there is not None
        assert back is not None
        assert there == rate
        assert abs(there * back - 1) < Decimal("1e-20")


@given(RATES, RATES, DAYS, DAYS, DAYS)
def test_a_way_over_a_third_currency_is_there_once_both_halves_are(
    one: Decimal, other: Decimal, first: datetime, second: datetime, asked: datetime
) -> None:
    rates = Rates("USD", [Rate("GBP", "EUR", first, one), Rate("EUR", "USD", second, other)])
    assert rates.at("GBP", asked) == (one * other if asked >= max(first, second) else None)


@given(st.lists(st.tuples(DAYS, RATES), max_size=8, unique_by=lambda each: each[0]), DAYS, st.randoms())
def test_the_order_in_which_rates_are_told_does_not_matter(
    told: list[tuple[datetime, Decimal]], asked: datetime, chance: object
) -> None:
    rates = [Rate("EUR", "USD", day, rate) for day, rate in told]
    expected = [rate for day, rate in sorted(told) if day <= asked]
    chance.shuffle(rates)  # type: ignore[attr-defined]
    assert Rates("USD", rates).at("EUR", asked) == (expected[-1] if expected else None)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [("1.005", "EUR", "1.00"), ("1.5", "JPY", "2"), ("1", "KWD", "1.000"), ("1", "QQQ", "1.0000")],
)
def test_money_has_the_decimals_of_its_currency(amount: str, currency: str, text: str) -> None:
    assert money_text(Decimal(amount), currency) == text
