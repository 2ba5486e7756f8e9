"""A customer: ordered, delivered, billed, asked, helped; and who they bring."""

from contextlib import suppress

from services.cli.simulation.company import KEPT_STAGE
from services.cli.simulation.contracts import NEVER, Life
from services.cli.simulation.cycle import Beginning, Cycle, Data, Over
from services.cli.simulation.days import DAY, day_number_of
from services.cli.simulation.plan import Answer

_CATEGORIES = ("billing", "usage", "outage", "feature")


def kept(cycle: Cycle) -> None:
    """The won lead until its last contract ends, or the period does."""
    with suppress(Over):  # its contracts begin all the same
        if not _delivered(cycle):
            return
    ends = [_life(cycle, id) for id, contract in cycle.contracts.items() if contract.recurring]
    until = min(max(ends, default=NEVER), cycle.period.end)
    _billed(cycle, until)
    _asked(cycle, until)
    _helped(cycle, until)
    _recommended(cycle, until)


def _life(cycle: Cycle, id: str) -> int:
    """Tell the life of one contract. The instant at which it ends."""
    contract = cycle.contracts[id]
    try:
        return Life(cycle, id, contract, cycle.terms.get(id)).run()
    except Over:
        return NEVER


def _delivered(cycle: Cycle) -> bool:
    """Order, signature, delivery. False: the order was cancelled, and nothing is left."""
    chance, plan = cycle.chance, cycle.plan
    order = {"order_id": cycle.next_id("s")}
    cycle.wait(0)
    for id in cycle.contracts:
        if chance.happens(0.6):
            cycle.tell("ContractSigned", {"contract_id": id})
    cycle.tell("OrderPlaced", {**order, "value": cycle.worth((plan.close and plan.close.value) or 0)}, source="billing")
    if not any(contract.recurring for contract in cycle.contracts.values()) and chance.happens(0.15):
        cycle.wait(chance.number(1, 9))
        cycle.tell("OrderCancelled", order, source="billing")
        for contract in cycle.contracts.values():
            contract.end(cycle.now)
        return False
    cycle.wait(chance.number(1, 20))
    cycle.tell("Delivered", order, source="billing")
    plan.stands(cycle.now, KEPT_STAGE)
    plan.places[-1] = (cycle.now, plan.places[-1][1]._replace(value=plan.close.value))  # type: ignore[union-attr]
    if chance.happens(0.4):
        cycle.wait(chance.number(5, 15))
        _survey(cycle, "implementation" if chance.happens(0.5) else "csat", cycle.now)
    return True


def _billed(cycle: Cycle, until: int) -> None:
    """An invoice a quarter; most are paid in time, some at the second try, few are given back."""
    chance, period, plan = cycle.chance, cycle.period, cycle.plan
    at = cycle.now + 5 * DAY
    while at < until:
        revenue = sum(contract.mrr_at(at) for contract in cycle.contracts.values() if contract.recurring) * 3
        amount = revenue or ((plan.close and plan.close.value) or 0)
        invoice = cycle.next_id("i")
        said = {"invoice_id": invoice, "due_on": period.day(at // DAY + 30)}
        cycle.tell("InvoiceIssued", {**said, "amount": cycle.worth(amount)}, at=at, source="billing")
        pays = at + chance.number(2, 40) * DAY + chance.number(0, 40_000)
        if pays >= min(until + 30 * DAY, period.end):
            return
        payment: Data = {"payment_id": cycle.next_id("p"), "amount": cycle.worth(amount), "invoice_id": invoice}
        if chance.happens(0.06):
            cycle.tell("PaymentFailed", {**payment, "payment_id": cycle.next_id("p")}, at=pays, source="billing")
            pays += 3 * DAY
            if pays >= period.end:
                return
        cycle.tell("PaymentReceived", payment, at=pays, source="billing")
        plan.collected += amount
        if chance.happens(0.015):
            again = {**payment, "payment_id": cycle.next_id("p")}
            cycle.scene.teller.tell_by_mistake("billing", "PaymentReceived", f"lead/{plan.id}", pays, again)
        if chance.happens(0.012) and pays + 9 * DAY < period.end:
            cycle.tell("PaymentRefunded", payment, at=pays + 9 * DAY, source="billing")
            plan.collected -= amount
        if not revenue:
            return
        at += chance.number(89, 93) * DAY


def _asked(cycle: Cycle, until: int) -> None:
    """How likely they are to recommend us, twice a year."""
    chance = cycle.chance
    at = cycle.now + chance.number(60, 120) * DAY
    while at < until:
        _survey(cycle, "nps", at)
        at += chance.number(150, 210) * DAY


def _survey(cycle: Cycle, kind: str, at: int) -> None:
    chance, plan, period = cycle.chance, cycle.plan, cycle.period
    survey = {"survey_id": cycle.next_id("n"), "kind": kind, "person_id": plan.person}
    cycle.tell("SurveySent", survey, at=at, source="survey")
    plan.surveys_sent.append((at, kind))
    answers = at + 7_200 + chance.number(0, 9 * DAY)
    if chance.happens(0.52) and answers < period.end:
        low, high = (0, 10) if kind == "nps" else (1, 5)
        score = (
            chance.pick((9, 10, 9, 10, 8, 7, 8, 9, 10, 6, 5, 4, 2, 0))
            if kind == "nps"
            else chance.pick((5, 4, 5, 4, 3, 2, 1))
        )
        data = {**survey, "score": score}
        cycle.tell("SurveyAnswered", data, at=answers, source="survey", wrong={**data, "score": high + low - score})
        plan.answers.append(Answer(answers, kind, plan.person, score))


def _helped(cycle: Cycle, until: int) -> None:
    """Questions and complaints, most of them resolved."""
    chance, period = cycle.chance, cycle.period
    at = cycle.now + chance.waiting_days(240) * DAY + 3_600
    while at < until:
        case = {"case_id": cycle.next_id("t"), "category": chance.pick(_CATEGORIES)}
        priority = chance.pick(("low", "normal", "high", "urgent"))
        cycle.tell("QueryRaised", {**case, "priority": priority}, at=at, source="support")
        solved = at + 1_800 + chance.waiting_days(4) * DAY
        if chance.happens(0.9) and solved < period.end:
            cycle.tell("QueryResolved", case, at=solved, source="support")
            if chance.happens(0.3) and solved + DAY < period.end:
                _survey(cycle, "csat", solved + DAY)
        at += (1 + chance.waiting_days(240)) * DAY


def _recommended(cycle: Cycle, until: int) -> None:
    """Advocates, quotes, and leads that they bring; more of the same sold to those who stay."""
    chance, scene, plan = cycle.chance, cycle.scene, cycle.plan
    at = cycle.now + chance.number(80, 300) * DAY
    if at < until and chance.happens(0.2):
        cycle.tell("AdvocateIdentified", {"person_id": plan.person}, at=at)
        if chance.happens(0.4):
            cycle.tell("TestimonialGiven", {"content_id": f"quote-{plan.id}"}, at=at)
    at = cycle.now + chance.number(40, 400) * DAY
    if at + 2 * DAY < until and scene.room() and chance.happens(0.16):
        id = scene.new_id()
        cycle.tell("ReferralMade", {"referred_lead_id": id}, at=at, late=False)
        plan.referrals += 1
        scene.play(Beginning(id, at + DAY, "referral", referrer=plan.id))
    at = cycle.now + chance.number(90, 500) * DAY
    if at < until and plan.has_account and scene.room() and chance.happens(0.06):
        scene.play(Beginning(scene.new_id(), at, "phone", cycle, "cross_sell"))


def revisited(cycle: Cycle) -> None:
    """A competitor's term nears its end: the lost lead is asked again, and may open a cycle that displaces them."""
    chance, period, scene, plan = cycle.chance, cycle.period, cycle.scene, cycle.plan
    if cycle.competitor_term is None or plan.outcome != "lost":
        return
    due = period.at_work(cycle.zone, day_number_of(cycle.competitor_term) - 60, chance)
    if due >= period.end:
        return
    contract = {"contract_id": f"competitor:{plan.id}"}
    data = {
        "due_at": period.instant(due + 30 * DAY),
        "basis": "competitor_term",
        "term_end": cycle.competitor_term,
        **contract,
    }
    cycle.tell("UpgradeDue", data, at=due, source="cadence", late=False)
    cycle.counts("due")
    answered = due + chance.number(3, 20) * DAY
    if answered >= period.end or not chance.happens(0.5):
        return
    if plan.has_account and scene.room() and chance.happens(0.4):
        id = scene.new_id()
        cycle.tell("UpgradeAccepted", {"new_lead_id": id, **contract}, at=answered, late=False)
        cycle.counts("accepted")
        successor = scene.play(Beginning(id, answered, "upgrade", cycle, "displacement"))
        if successor.plan.close is not None and successor.plan.close.outcome == "won":
            cycle.counts("won")
    else:
        cycle.tell("UpgradeDeclined", {"reason": "Bound for another year.", **contract}, at=answered)
        cycle.counts("declined")
