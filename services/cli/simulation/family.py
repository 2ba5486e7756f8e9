"""Who brings whom: a first acquaintance and everything that grows out of it is told in one go, and then forgotten."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from services.cli.simulation.chance import Chance
from services.cli.simulation.company import (
    CHANNEL,
    CHANNELS,
    DEFAULT_NAME,
    LEAVER,
    LEAVES_AFTER,
    PRODUCT,
    REGION,
    REGIONS,
    SEGMENT,
    SHORT,
    SIX_PHASE,
    SUCCESSOR,
    seller,
)
from services.cli.simulation.cycle import Beginning, Cycle, Over
from services.cli.simulation.days import DAY, HOUR, Period
from services.cli.simulation.keeping import kept, revisited
from services.cli.simulation.opening import called, captured, introduced, listed, marketing_qualified, merged, touched
from services.cli.simulation.options import Options
from services.cli.simulation.plan import AccountPlan, LeadPlan
from services.cli.simulation.reference import reference_events
from services.cli.simulation.selling import lose, sold
from services.cli.simulation.telling import Teller
from services.cli.simulation.truth import Truth


class Simulation:
    """One company. `batches` tells it, once; `truth` has the figures of what was told so far."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._company = options.company
        self.period = Period(options.start, options.months)
        self.teller = Teller(self.period, self._company, f"{options.seed}:{self._company}:reports")
        self.chance = Chance("")
        days = self.period.last_day - self.period.first_day
        self.leaves_at = (self.period.first_day + int(days * LEAVES_AFTER)) * DAY + 16 * HOUR
        self.leads_made = 0
        """Leads told so far; `options.leads` in the end."""
        self._truth = Truth(options, self.period)
        self._accounts: list[AccountPlan] = []
        self._plans: list[LeadPlan] = []

    def batches(self) -> Iterator[list[bytes]]:
        """Keyed lines, as `in_order` takes them: what the company says of itself, then one family after another."""
        options = self.options
        self.teller.begin(f"{self._company}-0")
        reference_events(self.period, self.teller, Chance(f"{options.seed}:{self._company}:reference"), self.leaves_at)
        yield self.teller.lines()
        family = 0
        while self.leads_made < options.leads:
            family += 1
            self.chance = Chance(f"{options.seed}:{self._company}:{family}")
            self.teller.begin(f"{self._company}-{family}")
            share = (self.leads_made + self.chance.draw()) / options.leads
            channel = self.chance.of(CHANNEL)
            self.play(Beginning(self.new_id(), self._first_instant(share, channel), channel))
            self._settle()
            yield self.teller.lines()

    def truth(self) -> dict[str, Any]:
        """The document of true figures; complete once `batches` is exhausted."""
        return self._truth.document(self.teller)

    def room(self, leads: int = 1) -> bool:
        return self.leads_made + leads <= self.options.leads

    def new_id(self) -> str:
        self.leads_made += 1
        return f"{self._company}-{self.leads_made}"

    def joins(self, plan: LeadPlan) -> None:
        self._plans.append(plan)

    def play(self, beginning: Beginning) -> Cycle:
        cycle = self._cast(beginning)
        self._plans.append(cycle.plan)
        with suppress(Over):
            self._tell(cycle, beginning)
        return cycle

    def _first_instant(self, share: float, channel: str) -> int:
        """The busier the day the more of them; forms come at any hour."""
        day = self.period.busy_day(share)
        if CHANNELS[channel].any_hour:
            return day * DAY + int(self.chance.draw() * DAY)
        return min(self.period.at_work("Europe/Berlin", day, self.chance), self.period.end - 1)

    def _cast(self, beginning: Beginning) -> Cycle:
        """Who the lead is; what grows out of another cycle keeps its people."""
        chance, parent = self.chance, beginning.parent
        if parent is not None:
            old = parent.plan
            plan = LeadPlan(
                id=beginning.id, account=old.account, person=old.person, channel=beginning.channel, region=old.region,
                segment=old.segment, product=old.product, currency=old.currency, owner=old.owner, pipeline=DEFAULT_NAME,
                has_account=old.has_account,
            )  # fmt: skip
            return Cycle(self, plan, parent.account, parent.zone, SIX_PHASE, beginning.at)
        region = chance.of(REGION)
        board = SHORT if chance.happens(0.12) else SIX_PHASE
        with_account = chance.happens(0.85)
        plan = LeadPlan(
            id=beginning.id, account=f"a-{beginning.id}" if with_account else f"lead/{beginning.id}", person=f"p-{beginning.id}",
            channel=beginning.channel, region=region, segment=chance.of(SEGMENT), product=chance.of(PRODUCT),
            currency=REGIONS[region].currency, owner=seller(region, chance, leaver_gone=beginning.at >= self.leaves_at),
            pipeline=board.name or DEFAULT_NAME, has_account=with_account,
        )  # fmt: skip
        if chance.happens(0.3):
            plan.value = chance.number(5, 400) * 100_00
        account = AccountPlan(plan.account, plan.currency)
        self._accounts.append(account)
        cycle = Cycle(self, plan, account, REGIONS[region].zone, board, beginning.at)
        cycle.by_day = chance.happens(0.07)
        return cycle

    def _tell(self, cycle: Cycle, beginning: Beginning) -> None:
        plan, chance, parent = cycle.plan, self.chance, beginning.parent
        channel = CHANNELS[plan.channel]
        if parent is None and chance.happens(channel.listed) and not listed(cycle):
            return
        captured(cycle, beginning)
        try:
            if parent is None:
                introduced(cycle)
                touched(cycle, 0.45)
            elif plan.owner == LEAVER and cycle.now >= self.leaves_at:
                cycle.tell("LeadAssigned", {"owner": SUCCESSOR, "role": "sales", "rule": "owner-left"}, late=False)
                plan.owner = SUCCESSOR
            if self._goes_on(cycle, beginning) and sold(cycle):
                kept(cycle)
            revisited(cycle)
        finally:
            if plan.outcome == "open" and not plan.void:
                self._hand_over_at_last(cycle)

    def _goes_on(self, cycle: Cycle, beginning: Beginning) -> bool:
        """From the capture to the hand-over to sales. False: it ends there, or nobody goes on with it."""
        plan, chance = cycle.plan, self.chance
        channel = CHANNELS[plan.channel]
        if beginning.parent is None and chance.happens(0.015):
            cycle.wait(chance.number(0, 9))
            cycle.tell("Voided", {"reason": "A test entry."})
            plan.void = True
            plan.leaves(cycle.now)
            return False
        if not called(cycle):
            if chance.happens(0.6):
                cycle.wait(chance.number(3, 15))
                lose(cycle, {"reason": "unreachable"})
            return False
        if beginning.parent is None and not cycle.captured_late and self.room() and chance.happens(0.02):
            merged(cycle)
        if not chance.happens(channel.mql):
            if chance.happens(0.5):
                cycle.wait(chance.number(5, 40))
                lose(cycle, {"reason": chance.pick(("unfit", "no_budget", "timing"))})
            return False
        cycle.wait(chance.number(0, 8))
        if chance.happens(0.8):
            marketing_qualified(cycle)
            touched(cycle, 0.2)
        if chance.happens(0.5):
            self._assessed(cycle)
        cycle.wait(chance.number(1, 10))
        if chance.happens(channel.sql):
            return True
        if chance.happens(0.7):
            cycle.wait(chance.number(5, 60))
            lose(cycle, {"reason": chance.pick(("no_budget", "timing", "no_decision"))})
        return False

    def _assessed(self, cycle: Cycle) -> None:
        chance = self.chance
        answers = {
            name: chance.pick(("yes", "yes", "unknown", "no")) for name in ("budget", "authority", "need", "timeline")
        }
        cycle.wait(0)
        at = cycle.step("BantAssessed", answers)
        if cycle.plan.stage != cycle.board.qualify:
            cycle.plan.stands(at, cycle.board.qualify)

    def _hand_over_at_last(self, cycle: Cycle) -> None:
        """A lead that nobody touched any more still changes hands when its owner leaves."""
        cycle.until(self.period.end - 1)

    def _settle(self) -> None:
        """The family is told: its figures are added, and it is forgotten."""
        for plan in self._plans:
            self._truth.add_lead(plan)
        for account in self._accounts:
            self._truth.add_account(account)
        self._truth.add_answers([answer for plan in self._plans for answer in plan.answers])
        self._plans, self._accounts = [], []
