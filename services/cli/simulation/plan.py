"""What truly happens: the records that the plot keeps while it unfolds, from which the true figures are added up.

Amounts are whole cents, instants whole seconds since 1970 in UTC (the business_at of what happens).
"""

from dataclasses import dataclass, field
from typing import NamedTuple


class Place(NamedTuple):
    """Where a lead counts: a cell of the board, and what it is worth there (None: unknown)."""

    pipeline: str
    stage: str
    outcome: str
    value: int | None
    currency: str


class Close(NamedTuple):
    """The close that stands. `value` as closed for a win, the last open value for a loss; `days` from capture to close."""

    at: int
    outcome: str
    value: int | None
    owner: str
    reason: str | None
    days: int


class Answer(NamedTuple):
    at: int
    kind: str
    person: str
    score: int


@dataclass(slots=True)
class ContractPlan:
    """One contract of an account: its revenue by (instant, cents a month); 0 ends it. A one-off has `mrr` None."""

    recurring: bool
    steps: list[tuple[int, int]]
    ends: list[tuple[int, int | None]]
    """Spells [start, end), the last one open (None) or not."""

    def end(self, at: int) -> None:
        self.ends[-1] = (self.ends[-1][0], at)
        if self.recurring:
            self.steps.append((at, 0))

    def again(self, at: int, mrr: int) -> None:
        self.ends.append((at, None))
        self.steps.append((at, mrr))

    @property
    def mrr(self) -> int:
        """What it brings as far as is planned."""
        return self.steps[-1][1]

    def mrr_at(self, at: int) -> int:
        """What it brings at an instant, cents a month."""
        return max((step for step in self.steps if step[0] < at), default=(0, 0))[1]

    @property
    def mrr_before_end(self) -> int:
        """What an ended one brought last."""
        return self.steps[-2][1]


@dataclass(slots=True)
class LeadPlan:
    """One sales cycle. `places`: from when on it counts where; None: in no pipeline."""

    id: str
    account: str
    person: str
    channel: str
    region: str
    segment: str
    product: str
    currency: str
    owner: str
    pipeline: str
    has_account: bool = True
    listed_at: int | None = None
    captured_at: int | None = None
    mql_at: int | None = None
    sql_at: int | None = None
    value: int | None = None
    places: list[tuple[int, Place | None]] = field(default_factory=list)
    close: Close | None = None
    stage: str = ""
    outcome: str = "open"
    void: bool = False
    absorbed: bool = False
    out: bool = False
    touches: list[str] = field(default_factory=list)
    referrer: str | None = None
    origin: tuple[str, str] | None = None
    answers: list[Answer] = field(default_factory=list)
    surveys_sent: list[tuple[int, str]] = field(default_factory=list)
    upgrades: dict[str, int] = field(default_factory=dict)
    referrals: int = 0
    collected: int = 0

    def stands(self, at: int, stage: str | None = None, outcome: str | None = None) -> None:
        """From then on it counts in that stage, with the value that is known."""
        self.stage, self.outcome = stage or self.stage, outcome or self.outcome
        self.places.append((at, Place(self.pipeline, self.stage, self.outcome, self.value, self.currency)))

    def leaves(self, at: int) -> None:
        """From then on it is in no pipeline."""
        self.places.append((at, None))


@dataclass(slots=True)
class AccountPlan:
    """A customer or prospect, with all its cycles: whatever belongs to one account is planned together."""

    id: str
    currency: str
    won_at: int | None = None
    """The earliest win that stands."""
    contracts: list[ContractPlan] = field(default_factory=list)

    def wins(self, at: int) -> None:
        self.won_at = at if self.won_at is None else min(self.won_at, at)
