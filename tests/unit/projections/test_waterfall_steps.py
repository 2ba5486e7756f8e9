"""Given a group of leads at two instants, when the bridge is made, then these parts, and start + all of them = end."""

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from services.projections.pipeline.waterfall import CATEGORIES, Step, steps
from services.projections.query.rates import Rate, Rates

BEGINS, CLOSE, ENDS = (datetime(2025, month, 1, tzinfo=UTC) for month in (3, 4, 5))
RATES = Rates(
    "EUR",
    [
        Rate("USD", "EUR", datetime(2025, 1, 1, tzinfo=UTC), Decimal("0.9")),
        Rate("USD", "EUR", datetime(2025, 3, 20, tzinfo=UTC), Decimal("0.8")),
        Rate("USD", "EUR", datetime(2025, 4, 20, tzinfo=UTC), Decimal("0.5")),
    ],
)


def group(**told: Any) -> SimpleNamespace:
    """Two leads open at both ends, of 100 USD and then 120 in all; what is told otherwise."""
    usual = {
        "n": 2, "outcome_0": "open", "passes_0": True, "place_0": 0, "currency_0": "USD", "value_0": Decimal(100),
        "outcome_1": "open", "passes_1": True, "place_1": 0, "currency_1": "USD", "value_1": Decimal(120), "grows": 1,
        "gone": None, "was_before": False, "closed_at": None, "close_value": None, "close_currency_1": None,
    }  # fmt: skip
    return SimpleNamespace(**(usual | told))


def parts(part: SimpleNamespace, rates: Rates | None = None) -> dict[str, Decimal]:
    """category -> amount; each made once, and start + Σ = end in leads and amounts."""
    found: list[Step] = list(steps(part, rates, BEGINS, ENDS))
    leads: dict[str, int] = defaultdict(int)
    amounts: dict[str | None, Decimal] = defaultdict(Decimal)
    for step in found:
        if step.category in ("start", *CATEGORIES):
            leads[""] += step.n
            amounts[step.currency] += step.amount
        elif step.category == "end":
            leads[""] -= step.n
            amounts[step.currency] -= step.amount
    assert leads[""] == 0
    assert not any(amounts.values())
    assert len({step.category for step in found}) == len(found)
    return {step.category: step.amount for step in found}


def test_in_its_own_currency_only_the_value_changes() -> None:
    assert parts(group()) == {"start": 100, "increased": 20, "end": 120}


def test_in_another_currency_the_rates_change_too() -> None:
    assert parts(group(), RATES) == {"start": 90, "fx": -40, "increased": 10, "end": 60}


def test_a_close_is_priced_at_its_date() -> None:
    won = group(outcome_1="won", closed_at=CLOSE, close_value=Decimal(150), close_currency_1="USD")
    assert parts(won, RATES) == {"start": 90, "fx": -10, "increased": 16, "won": -96, "close_delta": 24}


def test_a_deal_that_changes_its_currency_is_less_of_one_and_more_of_the_other() -> None:
    other = group(currency_1="EUR", value_1=Decimal(70), grows=None)
    assert parts(other, RATES) == {"start": 90, "fx": -40, "decreased": -50, "increased": 70, "end": 70}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"currency_0": None, "value_0": Decimal(0), "grows": None}, {"start": 0, "priced": 120, "end": 120}),
        ({"currency_1": None, "value_1": Decimal(0), "grows": None}, {"start": 100, "unpriced": -100, "end": 0}),
        ({"outcome_0": None}, {"added": 120, "end": 120}),
        ({"outcome_0": None, "was_before": True}, {"reopened": 120, "end": 120}),
        ({"outcome_0": "lost"}, {"reopened": 120, "end": 120}),
        ({"passes_0": False}, {"moved_in": 120, "end": 120}),
        ({"passes_1": False}, {"start": 100, "moved_out": -100}),
        ({"place_0": 1}, {"pulled_in": 120, "end": 120}),
        ({"place_0": -1}, {"slipped": 120, "end": 120}),
        ({"place_1": 1}, {"start": 100, "slipped": -100}),
        ({"place_1": -1}, {"start": 100, "pulled_in": -100}),
        ({"outcome_1": None, "gone": "void"}, {"start": 100, "voided": -100}),
        ({"outcome_1": None, "gone": "absorbed"}, {"start": 100, "merged": -100}),
        ({"outcome_1": None}, {"start": 100, "recycled": -100}),
        ({"outcome_0": None, "outcome_1": "lost", "closed_at": CLOSE}, {"added": 120, "lost": -120}),
        ({"outcome_0": "won", "outcome_1": "lost", "closed_at": CLOSE}, {"reopened": 120, "lost": -120}),
        ({"passes_0": False, "passes_1": False}, {}),
    ],
)
def test_what_came_and_went(told: dict[str, Any], expected: dict[str, int]) -> None:
    assert parts(group(**told)) == expected


def test_what_has_no_rate_is_counted_and_not_priced() -> None:
    [start, end] = steps(group(currency_0="JPY", currency_1="JPY"), RATES, BEGINS, ENDS)
    assert (start.n, start.currency, end.n, end.currency) == (2, None, 2, None)
