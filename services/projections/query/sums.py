"""Amounts of open deals added up, by currency or in the one that is asked for."""

from decimal import Decimal

from services.projections.query.facts import money
from services.projections.query.metric import Asked, Row

_ONE = Decimal(1)


class Sums:
    """Money by currency. Where a currency is asked for, every amount is converted at the latest rate before as_of."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._by_currency: dict[str, Decimal] = {}

    def add(self, amount: Decimal, currency: str) -> bool:
        """Whether the amount has a price in the currency asked for; one without is left out."""
        factor = factor_of(self._asked, currency)
        if factor is None:
            return False
        name = currency if self._asked.rates is None else self._asked.rates.currency
        self._by_currency[name] = self._by_currency.get(name, Decimal(0)) + amount * factor
        return True

    def of(self, currency: str) -> Decimal:
        """What was added up in a currency; 0 where nothing was."""
        return self._by_currency.get(currency, Decimal(0))

    def currencies(self) -> list[str]:
        """In which currencies something was added, sorted."""
        return sorted(self._by_currency)

    def shown(self) -> list[Row]:
        """As an answer shows it: one amount per currency."""
        return [row for name in self.currencies() if (row := money(self._by_currency[name], name)) is not None]


def factor_of(asked: Asked, currency: str) -> Decimal | None:
    """What one unit is worth in the currency asked for, just before as_of; 1 where none is asked for, None without a rate."""
    return _ONE if asked.rates is None else asked.rates.before(currency, asked.as_of)
