"""Targets: what somebody should reach in a period, what is reached, what is forecast on top, and whether it is in time."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from services.projections.days import start_of_date
from services.projections.pipeline.attainment import FIGURES, Attained, Counts, Figure
from services.projections.pipeline.forecast import Part, open_deals, today_of
from services.projections.pipeline.stage_history import Chance
from services.projections.query.facts import Facts, money
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import choice
from services.projections.query.periods import Periods
from services.projections.query.rates import Rates
from services.projections.reference.ledgers import TARGETS
from services.projections.reference.reading import rates_to

_WHICH: Final = choice("which", "Targets whose period holds as_of, or all that were set.", "running", "all")
_NO_FORECAST: Final = dict.fromkeys(("commit", "coverage"))


async def _answer(asked: Asked, reading: Reading) -> Answer:
    facts = Facts(TARGETS, asked, reading)
    row, label = facts.row, facts.label
    query = facts.select(
        row.subject, label.scope, label.scope_id, label.metric, label.currency, label.stage, label.activity_kind, row.amount,
        row.first_day, row.end_day,
    ).where(facts.stands())  # fmt: skip
    if asked.options["which"] == "running":
        last_moment = today_of(asked._replace(as_of=asked.as_of - timedelta(microseconds=1)))
        query = query.where(row.first_day <= last_moment, row.end_day > last_moment)
    if asked.after is not None:
        query = query.where(row.subject > asked.after)
    found = await reading.rows(query.order_by(row.subject).limit(asked.limit + 1))
    page = found[: asked.limit]
    known = _Known(asked, reading)
    rows = [await _row(known, target) for target in page]
    return Answer(rows, next_after=page[-1].subject if len(found) > asked.limit else None)


class _Known:
    """What was read already: targets of one kind and period differ in whose they are alone, and are counted together."""

    def __init__(self, asked: Asked, reading: Reading) -> None:
        self.asked, self._reading = asked, reading
        self._rates: dict[str, Rates] = {}
        self._counts: dict[Any, dict[str | None, Counts]] = {}
        self._open: dict[Any, dict[str | None, tuple[Part, Part]]] = {}

    async def own(self, target: Any, *, is_money: bool) -> Asked:
        """The question of one target's period, grouped by the kind of its scope."""
        edges = tuple(start_of_date(day, self.asked.zone) for day in (target.first_day, target.end_day))
        if is_money and target.currency not in self._rates:
            known_at = self.asked.known_at
            self._rates[target.currency] = await rates_to(self._reading.connection, target.currency, known_at)
        return self.asked._replace(
            periods=Periods(edges, ("",)),
            filters={},
            group_by=() if target.scope == "all" else (target.scope,),
            rates=self._rates[target.currency] if is_money else None,
        )

    async def counts(self, target: Any, figure: Figure, own: Asked) -> Counts:
        key = (
            figure.by_scope,
            target.scope,
            target.first_day,
            target.end_day,
            target.stage,
            target.currency,
            own.rates is None,
        )
        if key not in self._counts:
            at_stage = own if target.stage is None else own._replace(filters={"from_stage": target.stage})
            self._counts[key] = await figure.by_scope(at_stage, self._reading)
        return self._counts[key].get(_scope_id(target), Counts())

    async def open(self, target: Any, own: Asked) -> tuple[Part, Part]:
        """(committed, all) open deals whose expected close lies in the rest of the period; omitted ones count nowhere."""
        key = (target.scope, target.first_day, target.end_day, target.currency, own.rates is None)
        if key not in self._open:
            found = self._open[key] = {}
            for deals in await self._reading.rows(open_deals(own, self._reading)):
                if deals.bucket != 0 or deals.category == "omitted":
                    continue
                scope = deals[1] if own.group_by else None
                commit, every = found.setdefault(scope, (Part(own), Part(own)))
                every.add(deals, _NO_CHANCE)
                if deals.category == "commit":
                    commit.add(deals, _NO_CHANCE)
        return self._open[key].get(_scope_id(target), (Part(own), Part(own)))


def _scope_id(target: Any) -> str | None:
    scope_id: str | None = None if target.scope == "all" else target.scope_id
    return scope_id


async def _row(known: _Known, target: Any) -> Row:
    asked = known.asked
    told: Row = {
        "target": target.subject.removeprefix("target/"),
        **{name: getattr(target, name) for name in ("scope", "scope_id", "metric", "stage", "activity_kind")},
        "from": target.first_day,
        "to": target.end_day,
        "amount": _shown(target.amount, target.currency),
    }
    figure = FIGURES.get(target.metric)
    why_not = _why_not(target, figure)
    if figure is None or why_not is not None:
        nothing = dict.fromkeys(("attained", "attainment", "elapsed_share", "pace"))
        return told | nothing | _NO_FORECAST | {"unpriced_n": 0, "why_not": why_not}
    own = await known.own(target, is_money=figure.money)
    start, end = own.periods.start, own.periods.end
    attained = figure.of(await known.counts(target, figure, own))
    share = ratio(attained.amount, target.amount) if attained.amount is not None else None
    elapsed = min(max((asked.as_of - start) / (end - start), 0.0), 1.0)
    forecast = _NO_FORECAST
    if figure.of_wins and target.stage is None:
        forecast = _with_forecast(target, figure, attained, *await known.open(target, own))
    return told | {
        "attained": None if attained.amount is None else _shown(attained.amount, target.currency if figure.money else None),
        "attainment": share,
        "elapsed_share": elapsed,
        "pace": share["value"] / elapsed if share and share["value"] is not None and elapsed else None,
        **forecast,
        "unpriced_n": attained.unpriced_n,
        "why_not": None,
    }  # fmt: skip


def _why_not(target: Any, figure: Figure | None) -> str | None:
    """Why nothing can be said of the target's attainment, in words."""
    if figure is None:
        return f"no attainment is counted for this metric; there are: {', '.join(FIGURES)}"
    if figure.money and target.currency is None:
        return "the metric is money and the target names no currency"
    if target.activity_kind is not None:
        return "the metric counts no activities, and the target is of one kind of them"
    if target.stage is not None and not figure.by_stage:
        return "the metric is not counted by stage"
    return None


def _with_forecast(target: Any, figure: Figure, attained: Attained, commit: Part, all_open: Part) -> Row:
    """Commit and coverage, from the open deals whose expected close lies in the rest of the target's period."""

    def sized(part: Part) -> Decimal:
        return part.value.of(target.currency) if figure.money else Decimal(part.n)

    reached = attained.amount or Decimal(0)
    left = target.amount - reached
    coverage = ratio(sized(all_open), left)
    if left <= 0:
        coverage["value"] = None
    return {"commit": ratio(reached + sized(commit), target.amount), "coverage": coverage}


_NO_CHANCE: Final = Chance(None, None)


def _shown(amount: Decimal, currency: str | None) -> Any:
    if currency is not None:
        return money(amount, currency)
    return int(amount) if amount == int(amount) else float(amount)


TARGET = Metric(
    id="target",
    version=1,
    title="Targets",
    definition=(
        "Each target that stands at as_of, with what is attained in its period by as_of: of an owner, a team, a region, by the "
        "dimension at the event, or of all. Of a stage: deals that closed from it. Money counts at the close value of won deals, "
        "in the target's currency by the rate of the close. commit adds the value of open deals that their owners forecast as "
        "commit; coverage is the value of all open deals, omitted ones apart, over what is left to reach, and null once it is "
        "reached; both of deals whose expected close lies in the period and is not over. pace is attainment over the elapsed share "
        "of the period: 1 is just in time. The days of a period are cut in the zone asked for."
    ),
    formula="attainment = attained / target; commit = (won + commit) / target; coverage = open / (target - won); pace = attainment / elapsed",
    columns={
        "target": "its id",
        "scope": "owner, team, region or all",
        "scope_id": "which one",
        "metric": "what is to be reached: " + ", ".join(FIGURES),
        "stage": "only of this stage",
        "activity_kind": "only of this kind of activity; not counted yet",
        "from": "first day of its period",
        "to": "first day after it",
        "amount": "what is to be reached, in the unit of the metric",
        "attained": "what is reached; null where it cannot be said",
        "attainment": "numerator, denominator, and their ratio",
        "elapsed_share": "share of the period that is over, 0 to 1",
        "pace": "attainment over elapsed share; null before the period begins",
        "commit": "won and committed over the target; of won_value and won_n",
        "coverage": "open over what is left to reach; of won_value and won_n",
        "unpriced_n": "won deals left out: their close value has no rate to the target's currency",
        "why_not": "why nothing can be said",
    },
    time="instant",
    dimensions=("scope", "scope_id", "metric", "stage", "activity_kind"),
    answer=_answer,
    parameters=(_WHICH,),
    listed=True,
)  # fmt: skip
