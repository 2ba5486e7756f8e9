"""The waterfall: how the open pipeline of one instant became that of another, exactly."""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from services.kernel.errors import RangeTooWide
from services.projections.pipeline.waterfall_rows import Window, groups_of_leads
from services.projections.query.facts import OF_LEADS, money, of_period
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.parameters import Parameter, refused
from services.projections.query.rates import Rates

CATEGORIES: Final = (
    "added", "reopened", "moved_in", "pulled_in", "increased", "decreased", "fx", "priced", "unpriced", "slipped",
    "moved_out", "recycled", "merged", "voided", "won", "lost",
)  # fmt: skip
"""What stands between start and end, in the order of the answer. `slipped` and `pulled_in` may have either sign."""
_MOST_PERIODS: Final = 60
_NOTHING: Final = Decimal(0)


class Step(NamedTuple):
    """A part of the bridge: by how many leads and by how much it changes the pipeline. `currency` None: no value is known."""

    category: str
    n: int
    leads: int
    currency: str | None = None
    amount: Decimal = _NOTHING


class Worth(NamedTuple):
    """A sum of values of `n` leads as the answer counts it; None where it cannot be."""

    n: int
    currency: str | None
    amount: Decimal | None


def steps(part: Any, rates: Rates | None, begins: datetime, ends: datetime) -> Iterator[Step]:
    """The parts that one group of `groups_of_leads` makes; `passes_0` and `passes_1` are of the pipeline that is told of."""
    n = part.n
    in_0 = part.outcome_0 == "open" and part.passes_0 and part.place_0 == 0
    in_1 = part.outcome_1 == "open" and part.passes_1 and part.place_1 == 0
    closed = part.outcome_1 in ("won", "lost") and part.passes_1
    then = _Rated(rates, part.closed_at if part.outcome_1 in ("won", "lost") else ends, part.closed_at is not None)
    was = _Rated(rates, begins).worth(n, part.currency_0, part.value_0)
    now = then.worth(n, part.currency_1, part.value_1)
    if in_0:
        yield _step("start", n, was)
    if in_0 and (in_1 or closed):
        yield from _changed(part, was, now, then)
    elif in_0:
        yield _minus(_how_it_left(part), was)
    elif in_1 or (closed and part.place_1 == 0):
        yield _step(_how_it_came(part), n, now)
    if closed and (in_0 or part.place_1 == 0):
        yield _minus(part.outcome_1, now)
        if part.outcome_1 == "won":
            close = then.worth(n, part.close_currency_1, part.close_value)
            if close.amount is not None and now.amount is not None and close.currency == now.currency:
                yield Step("close_delta", 0, n, close.currency, close.amount - now.amount)
    if in_1:
        yield _step("end", n, now)


class _Rated(NamedTuple):
    """Prices at an instant: of what is open by the latest rate before it, of a close by the rate of its date."""

    rates: Rates | None
    at: datetime
    closed: bool = False

    def factor(self, currency: str) -> Decimal | None:
        if self.rates is None:
            return Decimal(1)
        return self.rates.at(currency, self.at) if self.closed else self.rates.before(currency, self.at)

    def worth(self, n: int, currency: str | None, amount: Any) -> Worth:
        if currency is None or amount is None:
            return Worth(n, None, None)
        factor = self.factor(currency)
        shown = currency if self.rates is None else self.rates.currency
        return Worth(n, shown, None if factor is None else amount * factor)


def _step(category: str, n: int, worth: Worth) -> Step:
    return Step(category, n, worth.n, None if worth.amount is None else worth.currency, worth.amount or _NOTHING)


def _minus(category: str, worth: Worth) -> Step:
    step = _step(category, -worth.n, worth)
    return step._replace(amount=-step.amount)


def _changed(part: Any, was: Worth, now: Worth, then: _Rated) -> Iterator[Step]:
    """From one value to the other. What the rates alone did is `fx`: the old value at the new rates, less at the old ones."""
    n = part.n
    if was.amount is None and now.amount is None:
        return
    if was.amount is None:
        yield _step("priced", 0, now)
        return
    if now.amount is None:
        yield _minus("unpriced", was)._replace(n=0)
        return
    factor = then.factor(part.currency_0)
    base = was.amount if factor is None else part.value_0 * factor
    if base != was.amount:
        yield Step("fx", 0, n, was.currency, base - was.amount)
    if part.currency_0 != part.currency_1:
        yield Step("decreased", 0, n, was.currency, -base)
        yield Step("increased", 0, n, now.currency, now.amount)
    elif part.grows:
        yield Step("increased" if part.grows > 0 else "decreased", 0, n, now.currency, now.amount - base)


def _how_it_left(part: Any) -> str:
    if part.outcome_1 is None:
        return {"void": "voided", "absorbed": "merged"}.get(part.gone or "", "recycled")
    if not part.passes_1:
        return "moved_out"
    return "slipped" if part.place_1 > 0 else "pulled_in"


def _how_it_came(part: Any) -> str:
    if part.outcome_0 is None:
        return "reopened" if part.was_before else "added"
    if part.outcome_0 != "open":
        return "reopened"
    if not part.passes_0:
        return "moved_in"
    return "pulled_in" if part.place_0 > 0 else "slipped"


async def _answer(asked: Asked, reading: Reading) -> Answer:
    if len(asked.periods) > _MOST_PERIODS:
        raise RangeTooWide(f"A waterfall has at most {_MOST_PERIODS} periods.")
    first, end = (
        text and date.fromisoformat(text) for text in (asked.options["close_from"], asked.options["close_to"])
    )
    if first and end and first >= end:
        raise refused("close_to", "must be later than close_from.")
    window: Window = (first, end)
    rows: list[Row] = []
    for index in range(len(asked.periods)):
        begins, ends = (min(edge, asked.as_of) for edge in asked.periods.edges[index : index + 2])
        found = await reading.rows(groups_of_leads(asked, reading, begins, ends, window))
        rows += _bridges(asked, index, found, begins, ends)
    return Answer(rows)


def _bridges(asked: Asked, index: int, found: list[Any], begins: datetime, ends: datetime) -> list[Row]:
    bridges: defaultdict[tuple[Any, ...], list[Step]] = defaultdict(list)
    for part in found:
        for key, seen in _seen_by(asked, part):
            bridges[key] += steps(seen, asked.rates, begins, ends)
    rows: list[Row] = []
    for key in sorted(
        (key for key in bridges if bridges[key]),
        key=lambda key: [(each is None, each or "") for each in key],
    ):
        about = {**of_period(asked, index), **dict(zip(asked.group_by, key, strict=True))}
        rows += ({**about, **row} for row in _bridge(bridges[key]))
    return rows


class _Seen:
    """A group of leads as the pipeline of one combination of dimensions sees it: elsewhere is as good as filtered out."""

    def __init__(self, part: Any, passes_0: bool, passes_1: bool) -> None:
        self._part = part
        self.passes_0 = passes_0
        self.passes_1 = passes_1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


def _seen_by(asked: Asked, part: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    width = len(asked.group_by)
    was, now = tuple(part[:width]), tuple(part[width : 2 * width])
    if part.outcome_0 is None:
        was = now
    if part.outcome_1 is None:
        now = was
    if was == now:
        yield was, part
        return
    yield was, _Seen(part, part.passes_0, passes_1=False)
    yield now, _Seen(part, passes_0=False, passes_1=part.passes_1)


def _bridge(found: list[Step]) -> list[Row]:
    rows = []
    for category in ("start", *CATEGORIES, "end", "close_delta"):
        of_it = [step for step in found if step.category == category]
        amounts: defaultdict[str, Decimal] = defaultdict(Decimal)
        for step in of_it:
            if step.currency is not None:
                amounts[step.currency] += step.amount
        rows.append({
            "category": category,
            "n": None if category == "close_delta" else sum(step.n for step in of_it),
            "leads": sum(step.leads for step in of_it),
            "value": [money(amount, currency) for currency, amount in sorted(amounts.items())],
            "without_value_n": sum(step.leads for step in of_it if step.currency is None),
        })  # fmt: skip
    return rows


def _day(text: str) -> str | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("must be a date, such as 2026-06-30.")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("is not in the calendar.") from None


PIPELINE_WATERFALL = Metric(
    id="pipeline_waterfall",
    version=1,
    title="Pipeline waterfall",
    definition=(
        "How the open pipeline at the begin of the period became that at its end, or at as_of. Both ends are snapshots; a lead that "
        "closed between them is told too if it came between them (added, then won or lost), one that came and was recycled or voided "
        "is not. A closed lead leaves at its last open value; close_delta says by how much the close value of the won ones is more, and is "
        "no part of the sum. A lead that comes back from a close or from being recycled is reopened. Where an owner or another "
        "dimension that is filtered or grouped by changes, the lead moves out of one pipeline and into the other. With close_from "
        "and close_to the pipeline is what is expected to close in these days: a lead slipped if its expected close went to a later "
        "day (out of the window, or into it), and was pulled in if to an earlier one; undated is later than all. In the currency asked "
        "for, the start is priced at the rates of the begin, the end at those of the end, a close at those of its date, and fx is "
        "what the rates alone did. Dimensions are those at each end, of a closed lead those at the close."
    ),
    formula="start + added + reopened + ... + won + lost = end, with signs, in leads and in each currency",
    columns={
        "category": "start, then what changed it, then end; and close_delta",
        "n": "by how many leads it changes the pipeline",
        "leads": "leads concerned",
        "value": "by how much, for each currency",
        "without_value_n": "leads concerned whose value is unknown, or has no rate to the currency asked for",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
    parameters=(
        Parameter("close_from", "First day of the window of expected close. Default: no window.", "", _day),
        Parameter("close_to", "The day after its last.", "", _day),
    ),
    money=True,
)
