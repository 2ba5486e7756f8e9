"""What the streams of owners, accounts, products, campaigns, targets and currency pairs make of rows. Pure."""

from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec

from schemas.events.fields import Money
from schemas.events.parties import AccountUpdated, OwnerLeft, OwnerUpdated, ProductUpdated
from schemas.events.plans import CampaignCostRecorded, CampaignOpened, FxRatePublished, TargetSet
from schemas.fact import Fact
from services.projections.days import EPOCH, micros
from services.projections.lead_fold import turned
from services.projections.lead_readings import LeadReader
from services.projections.ledger import Row, Rows
from services.projections.tables import Ledger

NAME: Final = "reference"
OWNER_INTERVAL: Final = Ledger(
    "owner_interval", ("team", "manager", "region", "role"), (("left_at", "instant"),), indexes=("(subject)",)
)
ACCOUNT_INTERVAL: Final = Ledger("account_interval", ("industry", "customer_type", "size", "country", "name"))
PRODUCT_INTERVAL: Final = Ledger("product_interval", ("series", "currency", "name"))
"""`amount` is the list price in `currency`; 0 and no currency where there is none."""
RATE: Final = Ledger("rate", (), (("rate", "text"), ("event", "text")))
"""One row per FxRatePublished, from its `as_of` on; the rate as text, exactly as published. The subject is `fx/<base>-<quote>`."""
COST: Final = Ledger("cost", ("currency",), (("first_day", "day"), ("end_day", "day"), ("event", "text")))
"""One row per CampaignCostRecorded; `event` keeps two equal ones apart: `amount` spread evenly over the days from `first_day` to before `end_day`."""
CAMPAIGN_INTERVAL: Final = Ledger("campaign_interval", ("channel",))
TARGET: Final = Ledger(
    "target",
    ("scope", "scope_id", "metric", "currency", "stage", "activity_kind"),
    (("first_day", "day"), ("end_day", "day")),
)
"""One row per target as long as it stands; `amount` is what to reach."""

LEDGERS: Final = (OWNER_INTERVAL, ACCOUNT_INTERVAL, PRODUCT_INTERVAL, RATE, COST, CAMPAIGN_INTERVAL, TARGET)
STREAMS: Final = ("owner", "account", "product", "campaign", "target", "fx")
_NOTHING = Decimal(0)
_EPOCH_DATE = EPOCH.date()


class ReferenceState(msgspec.Struct, frozen=True, array_like=True):
    """The last word on each field of one stream, as text, and the row that stands."""

    said: dict[str, str | None] = {}
    standing: tuple[Row, ...] = ()


class ReferenceFold:
    """Implements `ledger.Fold` for every stream that is no lead and no person.

    Attributes make stretches in which all of them stay the same; a cost and a rate make a row each.
    """

    state_type = ReferenceState
    ignores: frozenset[str] = frozenset()

    def __init__(self) -> None:
        reader = LeadReader()
        self.read = reader.read
        self.recall = reader.recall
        self.counting = reader.counting

    def start(self) -> ReferenceState:
        return ReferenceState()

    def step(self, state: ReferenceState, item: Any) -> tuple[ReferenceState, Rows | None]:
        fact: Fact = item
        at = fact.key[0]
        body = fact.body
        match body:
            case OwnerUpdated() | AccountUpdated() | ProductUpdated():
                said = {**state.said, **_said(body)}
            case OwnerLeft():
                said = {**state.said, "left_at": str(at)}
            case CampaignOpened():
                said = {**state.said, "channel": body.channel}
            case TargetSet():
                said = _target(body)
            case CampaignCostRecorded():
                return state, _once(state, _cost(fact, body))
            case FxRatePublished():
                return state, _once(state, _rate(body, fact))
            case _:
                return state, None
        drawn = turned(state.standing, (_ROWS[type(body)](said, at),), at)
        if drawn is None:
            return ReferenceState(said, state.standing), None
        return ReferenceState(said, drawn[1]), Rows(*drawn)


def _said(body: Any) -> dict[str, str | None]:
    """The fields that an update names; those that it leaves out stay as they were. Money as amount and currency."""
    said: dict[str, str | None] = {}
    for name in body.__struct_fields__:
        value = getattr(body, name)
        if isinstance(value, Money):
            said |= {"amount": value.amount, "currency": value.currency}
        elif isinstance(value, str):
            said[name] = value
    return said


def _target(body: TargetSet) -> dict[str, str | None]:
    return {
        "scope": body.scope.kind, "scope_id": body.scope.id, "metric": body.metric, "currency": body.currency,
        "stage": body.stage, "activity_kind": body.activity_kind, "amount": body.amount,
        "first_day": str(_day(body.period.start)), "end_day": str(_day(body.period.end)),
    }  # fmt: skip


def _row(ledger: Ledger) -> Any:
    """What makes the row of a ledger, from a stream's fields and the instant from which they hold (µs)."""
    index = LEDGERS.index(ledger)

    def made(said: dict[str, str | None], at: int) -> Row:
        attributes = tuple(
            value if kind in ("text", "number") or value is None else int(value)
            for name, kind in ledger.attributes
            for value in (said.get(name),)
        )
        amount = said.get("amount")
        return Row(
            index, tuple(map(said.get, ledger.labels)), Decimal(amount) if amount else _NOTHING, at, None, attributes
        )

    return made


_ROWS: dict[type, Any] = {
    OwnerUpdated: _row(OWNER_INTERVAL),
    OwnerLeft: _row(OWNER_INTERVAL),
    AccountUpdated: _row(ACCOUNT_INTERVAL),
    ProductUpdated: _row(PRODUCT_INTERVAL),
    CampaignOpened: _row(CAMPAIGN_INTERVAL),
    TargetSet: _row(TARGET),
}
_cost_row, _rate_row = _row(COST), _row(RATE)


def _cost(fact: Fact, body: CampaignCostRecorded) -> Row:
    said = {
        "amount": body.cost.amount, "currency": body.cost.currency,
        "first_day": str(_day(body.period.start)), "end_day": str(_day(body.period.end)), "event": fact.ref.hex(),
    }  # fmt: skip
    row: Row = _cost_row(said, fact.key[0])
    return row


def _rate(body: FxRatePublished, fact: Fact) -> Row:
    row: Row = _rate_row({"rate": body.rate, "event": fact.ref.hex()}, micros(body.as_of))
    return row


def _once(state: ReferenceState, row: Row) -> Rows:
    return Rows((row,), state.standing)


def _day(day: date) -> int:
    return (day - _EPOCH_DATE).days
