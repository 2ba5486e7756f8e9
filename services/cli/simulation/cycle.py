"""One sales cycle while it unfolds: its clock, its plan, and its reports. What is planned is told, and told is what is planned."""

from typing import Any, NamedTuple, Protocol

from services.cli.simulation.chance import Chance
from services.cli.simulation.company import LEAVER, SUCCESSOR, Board
from services.cli.simulation.days import DAY, HOUR, Period
from services.cli.simulation.plan import AccountPlan, Close, ContractPlan, LeadPlan
from services.cli.simulation.telling import Teller

Data = dict[str, Any]


class Over(Exception):
    """The period ended; what would have happened next is not of it."""


class Beginning(NamedTuple):
    """How a cycle comes to be. `parent`: the cycle that it grew out of, by `kind`, or None for a new acquaintance."""

    id: str
    at: int
    channel: str
    parent: "Cycle | None" = None
    kind: str | None = None
    referrer: str | None = None


class Scene(Protocol):
    """What the cycles of one family share."""

    period: Period
    chance: Chance
    teller: Teller
    leaves_at: int

    def room(self, leads: int = 1) -> bool:
        """Whether the company may still get so many leads."""

    def new_id(self) -> str:
        """The id of one more lead."""

    def play(self, beginning: Beginning) -> "Cycle":
        """Tell that cycle, to its end or that of the period."""

    def joins(self, plan: LeadPlan) -> None:
        """Count a lead that is told by another one."""


def money(cents: int, currency: str) -> Data:
    return {"amount": f"{cents // 100}.{cents % 100:02}", "currency": currency}


class Cycle:
    """A lead as it goes: `now` is its clock. Every method that waits or tells raises Over at the end of the period."""

    def __init__(self, scene: Scene, plan: LeadPlan, account: AccountPlan, zone: str, board: Board, now: int) -> None:
        self.scene = scene
        self.period = scene.period
        self.chance = scene.chance
        self.plan = plan
        self.account = account
        self.zone = zone
        self.board = board
        self.now = now
        self.by_day = False
        """Whether the office that keeps its steps notes only the day."""
        self.captured_late = False
        self.mrr = 0
        self.contracts: dict[str, ContractPlan] = {}
        self.terms: dict[str, int] = {}
        """Day number of the last day of a contract's term, where it has one."""
        self.competitor_term: str | None = None
        self.number = 0

    def wait(self, days: int) -> None:
        """Go on so many days later, in working hours; 0: later on the same day where some of it is left."""
        here = self.now + self.period.offset(self.zone, self.now // DAY) * HOUR
        if days == 0 and 9 * HOUR <= here % DAY < 17 * HOUR:
            self.until(self.now + 600 + int(self.chance.draw() * 5_000))
        else:
            self.until(self.period.at_work(self.zone, here // DAY + max(days, 1), self.chance))

    def until(self, at: int) -> None:
        """Go on at that instant. Who left meanwhile has handed the lead over."""
        plan = self.plan
        if plan.owner == LEAVER and plan.outcome == "open" and self.now < self.scene.leaves_at <= at:
            handed = self.scene.leaves_at + HOUR
            if handed < at and handed < self.period.end:
                plan.owner = SUCCESSOR
                self.tell(
                    "LeadAssigned", {"owner": SUCCESSOR, "role": "sales", "rule": "owner-left"}, at=handed, late=False
                )
        if at >= self.period.end:
            raise Over
        self.now = at

    def counts(self, answer: str) -> None:
        """One more upgrade of the lead's terms that was due, or was answered so."""
        self.plan.upgrades[answer] = self.plan.upgrades.get(answer, 0) + 1

    def next_id(self, letter: str) -> str:
        self.number += 1
        return f"{self.plan.id}.{letter}{self.number}"

    def tell(
        self,
        kind: str,
        data: Data,
        *,
        at: int | None = None,
        source: str = "crm",
        late: bool = True,
        wrong: Data | None = None,
    ) -> bool:
        """Something that happened to the lead, now or at another instant. True: it arrives late."""
        when = self.now if at is None else at
        if when >= self.period.end:
            raise Over
        zone = self.zone if source == "crm" else None
        return self.scene.teller.tell(
            source, kind, f"lead/{self.plan.id}", when, data, zone=zone, late=late, wrong=wrong
        )

    def step(self, kind: str, data: Data, *, late: bool = True, wrong: Data | None = None) -> int:
        """A step of the cycle; the instant that counts for it: of a day without a time its last second."""
        if not self.by_day:
            self.tell(kind, data, late=late, wrong=wrong)
            return self.now
        day = self.period.local_day(self.zone, self.now)
        self.until((day + 1) * DAY - 1 - self.period.offset(self.zone, day) * HOUR)
        self.scene.teller.tell(
            "branch", kind, f"lead/{self.plan.id}", self.now, data, zone=self.zone, day=True, late=late, wrong=wrong
        )
        return self.now

    def on(self, stream: str, kind: str, data: Data, *, at: int | None = None, source: str = "crm") -> None:
        """Something that happened on another stream."""
        when = self.now if at is None else at
        if when >= self.period.end:
            raise Over
        self.scene.teller.tell(source, kind, stream, when, data, zone=None)

    def worth(self, cents: int) -> Data:
        return money(cents, self.plan.currency)

    def values(self, cents: int, at: int) -> None:
        """The open lead is worth so much from then on."""
        self.plan.value = cents
        self.plan.stands(at)

    def closes(self, at: int, outcome: str, value: int | None, reason: str | None = None) -> None:
        """The close that stands until another one does."""
        plan = self.plan
        assert plan.captured_at is not None
        plan.close = Close(at, outcome, value, plan.owner, reason, self.days_since_capture(at))

    def days_since_capture(self, at: int) -> int:
        captured = self.plan.captured_at
        assert captured is not None
        if self.by_day:
            return self.period.local_day(self.zone, at) - self.period.local_day(self.zone, captured)
        return (at - captured) // DAY
