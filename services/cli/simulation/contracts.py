"""The life of a recurring contract: it grows and shrinks, its term ends, and one day, by constant hazard, it does."""

from typing import Final

from services.cli.simulation.company import CHURNS, PRODUCTS
from services.cli.simulation.cycle import Beginning, Cycle, Data
from services.cli.simulation.days import DAY
from services.cli.simulation.plan import ContractPlan

SAFE_DAYS: Final = 45
"""No contract ends before; from then on the hazard is constant, by product and segment."""
NOTICE_DAYS: Final = 30
RENEWAL_DAYS: Final = 60
"""How long before its end a term comes up."""
STAYS_LONGER: Final = {"SMB": 100, "Mid": 150, "Enterprise": 220}
"""Mean life by segment, per cent of the product's."""
NEVER: Final = 1 << 60


class Life:
    """One contract of a won cycle, told from its start to its end or that of the period. All ends lie at midnight, UTC."""

    def __init__(self, cycle: Cycle, contract_id: str, contract: ContractPlan, term_end: int | None) -> None:
        """`term_end`: day number of the last day of the term."""
        self.cycle = cycle
        self.id = contract_id
        self.contract = contract
        self.term_end = term_end
        self.chance = cycle.chance
        self.period = cycle.period
        plan = cycle.plan
        self.mean_days = PRODUCTS[plan.product].life_days * STAYS_LONGER[plan.segment] // 100
        self._fated(contract.ends[-1][0] // DAY)

    def _fated(self, day: int) -> None:
        """Draw the day of the end, as seen from a day on which it runs. Waiting has no memory, so it may be drawn anew."""
        self.dies = day + SAFE_DAYS + self.chance.waiting_days(self.mean_days)
        self.notice = self.chance.happens(0.55)
        self.acts = self.dies - NOTICE_DAYS if self.notice else self.dies - 5
        """The first day on which anything is heard of the end."""
        self.grows = day + 60 + self.chance.waiting_days(170)
        self.wavers = day + 100 + self.chance.waiting_days(250) if self.chance.happens(0.12) else NEVER

    def run(self) -> int:
        """Tell it all; the instant at which it ends, NEVER for one that outlives the period."""
        while True:
            term = self.term_end - RENEWAL_DAYS if self.term_end is not None else NEVER
            next_day = min(self.acts, self.grows, self.wavers, term)
            if next_day * DAY >= self.period.end:
                return NEVER
            if next_day == self.acts:
                self._ends()
                if not self._comes_back():
                    return self.dies * DAY
            elif next_day == self.grows:
                self._changes()
            elif next_day == self.wavers:
                self._wavers()
            elif (succeeded := self._term_ends()) is not None:
                return succeeded

    def _at(self, day: int) -> int:
        """An instant of work on that day or soon after."""
        return self.period.at_work(self.cycle.zone, day, self.chance)

    def _changes(self) -> None:
        said = self._at(self.grows)
        if said >= self.period.end:
            self.grows = NEVER
            return
        effective = self.period.month_start_after(said)
        self.grows += 60 + self.chance.waiting_days(170)
        if effective >= self.acts or (self.term_end is not None and effective > self.term_end - RENEWAL_DAYS):
            return
        share = (
            self.chance.pick((108, 115, 125, 140, 150)) if self.chance.happens(0.68) else self.chance.pick((70, 80, 90))
        )
        mrr = self.contract.mrr * share // 100
        data: Data = {
            "contract_id": self.id,
            "mrr": self.cycle.worth(mrr),
            "effective_at": self.period.instant(effective * DAY),
        }
        if self.chance.happens(0.5):
            data["seats"] = self.chance.number(2, 60)
        wrong = {**data, "mrr": self.cycle.worth(mrr * 10)}
        self.cycle.tell("ContractChanged", data, at=said, source="billing", wrong=wrong)
        self.contract.steps.append((effective * DAY, mrr))

    def _wavers(self) -> None:
        """Notice is given, and taken back in time."""
        given = self._at(self.wavers)
        back = self._at(self.wavers + self.chance.number(3, 15))
        ends = self.wavers + NOTICE_DAYS + 5
        self.wavers = NEVER
        if (
            back < self.period.end
            and ends < self.acts
            and (self.term_end is None or ends < self.term_end - RENEWAL_DAYS)
        ):
            data = {"contract_id": self.id, "effective_at": self.period.instant(ends * DAY)}
            self.cycle.tell("CancellationRequested", {**data, "reason": "Too dear."}, at=given)
            self.cycle.tell("CancellationWithdrawn", {"contract_id": self.id, "reason": "A better price."}, at=back)

    def _ends(self) -> None:
        ends, chance = self.dies * DAY, self.chance
        effective = self.period.instant(ends)
        if self.notice:
            said = self.acts * DAY + 11 * 3_600
            self.cycle.tell("CancellationRequested", {"contract_id": self.id, "effective_at": effective}, at=said)
        else:
            unpaid = chance.happens(0.25)
            said = ends + chance.number(3_600, 2 * DAY)
            if said >= self.period.end or chance.happens(0.5):
                said = self.acts * DAY + 11 * 3_600
            if unpaid:
                failed = {"payment_id": f"{self.id}.f", "amount": self.cycle.worth(self.contract.mrr)}
                self.cycle.tell("PaymentFailed", failed, at=self.acts * DAY + 9 * 3_600, source="billing")
            data: Data = {
                "effective_at": effective,
                "reason": chance.of(CHURNS),
                "voluntary": not unpaid,
                "contract_id": self.id,
            }
            self.cycle.tell("Churned", data, at=said, source="billing", wrong={**data, "reason": "other"})
        self.contract.end(ends)

    def _comes_back(self) -> bool:
        """Some customers return, on the same contract or by a cycle of its own. True: this contract runs again."""
        chance = self.chance
        returns = self._at(self.dies + chance.number(30, 150))
        if returns >= self.period.end:
            return False
        if chance.happens(0.12):
            mrr = self.contract.mrr_before_end * chance.pick((80, 90, 100)) // 100
            starts = returns // DAY + 1
            data = {
                "mrr": self.cycle.worth(mrr),
                "effective_at": self.period.instant(starts * DAY),
                "contract_id": self.id,
            }
            self.cycle.tell("Reactivated", data, at=returns, source="billing")
            self.contract.again(starts * DAY, mrr)
            self.term_end = None
            self._fated(starts)
            return True
        scene = self.cycle.scene
        if self.cycle.plan.has_account and scene.room() and chance.happens(0.07):
            scene.play(Beginning(scene.new_id(), returns, "phone", self.cycle, "win_back"))
        return False

    def _term_ends(self) -> int | None:
        """The term comes up. What it ends in is the instant at which another contract takes over, or None."""
        assert self.term_end is not None
        cycle, chance, period, term_end = self.cycle, self.chance, self.period, self.term_end
        self.term_end = None
        due = self._at(term_end - RENEWAL_DAYS)
        if due >= period.end:
            return None
        data: Data = {"due_at": period.instant((term_end - 30) * DAY), "basis": "own_term", "contract_id": self.id}
        cycle.tell("UpgradeDue", {**data, "term_end": period.day(term_end)}, at=due, source="cadence", late=False)
        cycle.counts("due")
        answered = self._at(term_end - RENEWAL_DAYS + chance.number(5, 40))
        if answered >= period.end or self.acts <= term_end + 2:
            return None
        fate = chance.draw()
        scene = cycle.scene
        may_grow = cycle.plan.has_account and scene.room()
        if fate < 0.30 and may_grow:
            id = scene.new_id()
            cycle.tell("UpgradeAccepted", {"new_lead_id": id, "contract_id": self.id}, at=answered, late=False)
            cycle.counts("accepted")
            return self._succeeded(scene.play(Beginning(id, answered, "upgrade", cycle, "upgrade")), term_end)
        if fate < 0.34 and may_grow and len(cycle.contracts) == 1:
            return self._succeeded(
                scene.play(Beginning(scene.new_id(), answered, "upgrade", cycle, "renewal")), term_end
            )
        if fate < 0.46:
            declined = {"reason": "Happy with what they have.", "contract_id": self.id}
            cycle.tell("UpgradeDeclined", declined, at=answered)
            cycle.counts("declined")
        elif fate < 0.86:
            self._renewed(answered, term_end)
        return None

    def _renewed(self, said: int, term_end: int) -> None:
        mrr = self.contract.mrr * self.chance.pick((100, 100, 100, 104, 110, 95)) // 100
        starts, self.term_end = term_end + 1, term_end + 365
        data = {"contract_id": self.id, "term_end": self.period.day(self.term_end), "mrr": self.cycle.worth(mrr)}
        effective = {"effective_at": self.period.instant(starts * DAY)}
        self.cycle.tell("ContractRenewed", {**data, **effective}, at=said, source="billing")
        self.contract.steps.append((starts * DAY, mrr))
        self.grows = max(self.grows, starts + 20)
        if starts * DAY < self.period.end:
            self.cycle.counts("renewed")

    def _succeeded(self, successor: Cycle, term_end: int) -> int | None:
        """The old contract ends where the new one begins; it goes on where there is none."""
        close = successor.plan.close
        if close is not None and close.outcome == "won":
            self.cycle.counts("won")
            starts = min(contract.ends[0][0] for contract in successor.contracts.values() if contract.recurring)
            self.contract.end(starts)
            return starts
        if close is None:
            return NEVER
        self._fated(max(close.at // DAY, term_end))
        return None
