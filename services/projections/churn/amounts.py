"""Amounts of several currencies in one answer: at the rates of one instant, and as texts that still add up."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from schemas.currency import exponent
from services.projections.query.metric import Asked, Row
from services.projections.query.rates import money_text

Amounts = Mapping[str, Decimal]
"""Currency -> amount."""


def priced(asked: Asked, amounts: Amounts, at: datetime) -> dict[str, Decimal]:
    """The amounts in the currency asked for, at the rates of an instant; those without a rate are left out."""
    if asked.rates is None:
        return dict(amounts)
    factors = [(amount, asked.rates.before(currency, at)) for currency, amount in amounts.items()]
    found = [amount * factor for amount, factor in factors if factor is not None]
    return {asked.rates.currency: sum(found, Decimal(0))} if found else {}


def listed(amounts: Amounts) -> list[Row]:
    """As an answer shows them, by currency, with as many decimals as the amount needs but no fewer than its currency has.

    So parts that are shown add up to the whole that is shown: an annual price through twelve needs four decimals.
    """
    return [
        {"amount": exact_text(amount, currency), "currency": currency} for currency, amount in sorted(amounts.items())
    ]


def exact_text(amount: Decimal, currency: str) -> str:
    shown = money_text(amount, currency)
    if Decimal(shown) == amount:
        return shown
    return f"{amount:.4f}".rstrip("0") if exponent(currency) is not None else f"{amount:.4f}"


def rounded(amount: Decimal) -> Decimal:
    """To four decimals, the most that an answer shows."""
    return amount.quantize(Decimal("0.0001"))


def added(parts: Iterable[tuple[str | None, Any]]) -> dict[str, Decimal]:
    """Sums by currency."""
    found: dict[str, Decimal] = {}
    for currency, amount in parts:
        if currency is not None and amount is not None:
            found[currency] = found.get(currency, Decimal(0)) + Decimal(amount)
    return found
