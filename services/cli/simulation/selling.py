"""From qualified to the decision: visits to stages, forwards and backwards, and what is said on the way."""

from services.cli.simulation.company import (
    CHANNELS,
    COMPETITORS,
    DEFAULT_NAME,
    LOSSES,
    OBJECTIONS,
    PRODUCTS,
    SIX_PHASE,
    WON_STAGE,
)
from services.cli.simulation.cycle import Beginning, Cycle, Data
from services.cli.simulation.days import DAY
from services.cli.simulation.opening import list_price, marketing_qualified
from services.cli.simulation.plan import ContractPlan

YEAR_MONTHS = 12


def sold(cycle: Cycle) -> bool:
    """The lead from its hand-over to its decision. True: it is won."""
    plan, chance = cycle.plan, cycle.chance
    _qualified(cycle)
    if chance.happens(0.05):
        cycle.tell(
            "MarketingQualified", {"criteria_version": "3"}, source="marketing"
        )  # said when it no longer matters
        plan.mql_at = plan.mql_at or cycle.now
    if chance.happens(0.06) and not _recycled(cycle):
        return False
    _worked(cycle)
    if plan.origin is None and not cycle.captured_late and cycle.scene.room(2) and chance.happens(0.012):
        _split(cycle)
    if chance.happens(0.07):
        _set_back(cycle)
    _offered(cycle)
    if chance.happens(0.05):
        return False  # it lies there, and nobody says so
    if chance.happens(CHANNELS[plan.channel].win):
        _won(cycle)
        return True
    return _lost(cycle)


def _qualified(cycle: Cycle) -> None:
    plan, chance = cycle.plan, cycle.chance
    product = PRODUCTS[plan.product]
    cycle.mrr = list_price(cycle) if product.mrr else 0
    value = cycle.mrr * YEAR_MONTHS if product.mrr else list_price(cycle)
    data: Data = {
        "value": cycle.worth(value),
        "expected_close": cycle.period.day(cycle.now // DAY + chance.number(20, 90)),
    }
    if cycle.mrr:
        data["mrr"] = cycle.worth(cycle.mrr)
    at = cycle.step("Qualified", {**data, "criteria_version": "3"})
    plan.sql_at = plan.sql_at or at
    plan.value = value
    plan.stands(at, cycle.board.sales)


def _recycled(cycle: Cycle) -> bool:
    """Not now; some come back through marketing. False: this one does not."""
    plan, chance = cycle.plan, cycle.chance
    cycle.wait(chance.number(1, 10))
    days = chance.number(30, 150)
    at = cycle.step("Recycled", {"return_on": cycle.period.day(cycle.now // DAY + days)})
    plan.leaves(at)
    if chance.happens(0.4):
        return False
    cycle.wait(days)
    marketing_qualified(cycle, again=True)
    cycle.wait(chance.number(1, 10))
    _qualified(cycle)
    return True


def _worked(cycle: Cycle) -> None:
    """Calls, meetings, a demonstration, roles, objections."""
    plan, chance = cycle.plan, cycle.chance
    for _ in range(chance.number(1, 4)):
        cycle.wait(chance.number(1, 7))
        data: Data = {"kind": chance.pick(("call", "meeting", "demo", "email", "visit")), "direction": "out"}
        if chance.happens(0.3):
            data["person_id"] = plan.person
        cycle.tell("ActivityLogged", data)
        if chance.happens(0.25):
            cycle.tell(
                "ActivityLogged",
                {"kind": chance.pick(("email_replied", "web_visit", "chat")), "direction": "in"},
                source="web",
            )
    if chance.happens(0.3):
        role = chance.pick(("decision_maker", "champion", "finance", "technical", "user"))
        cycle.tell("ContactRoleSet", {"person_id": plan.person, "role": role})
    if chance.happens(0.25):
        cycle.tell("ContentShared", {"content_id": f"case-study-{chance.number(1, 5)}", "channel": "email"})
    if chance.happens(0.04):
        cycle.scene.teller.tell_by_mistake("crm", "Lost", f"lead/{plan.id}", cycle.now, {"reason": "no_decision"})
    if plan.pipeline != DEFAULT_NAME and chance.happens(0.08):
        cycle.wait(1)
        cycle.board, stage = SIX_PHASE, SIX_PHASE.sales
        cycle.tell("PipelineMoved", {"pipeline": DEFAULT_NAME, "pipeline_version": 1, "stage": stage}, late=False)
        plan.pipeline = DEFAULT_NAME
        plan.stands(cycle.now, stage)


def _split(cycle: Cycle) -> None:
    """Two sites decide by themselves: each goes on as a lead of its own, and so does what is left."""
    cycle.wait(10)
    ids = [cycle.scene.new_id(), cycle.scene.new_id()]
    cycle.tell("LeadSplit", {"new_lead_ids": ids}, late=False)
    for id in ids:
        cycle.scene.play(Beginning(id, cycle.now, cycle.plan.channel, cycle, "split"))


def _set_back(cycle: Cycle) -> None:
    """The lead goes back to qualification, and returns."""
    plan, chance, board = cycle.plan, cycle.chance, cycle.board
    if board is not SIX_PHASE:
        return
    for stage, reason in ((board.qualify, "The budget is open again."), (board.sales, None)):
        cycle.wait(chance.number(2, 12))
        at = cycle.step("StageEntered", {"stage": stage, "reason": reason} if reason else {"stage": stage})
        plan.stands(at, stage)


def _offered(cycle: Cycle) -> None:
    """The proposal, what is said against it, and who has to agree."""
    plan, chance = cycle.plan, cycle.chance
    value = plan.value or 0
    discount = chance.pick((0, 0, 0, 5, 10, 15, 20))
    if chance.happens(0.75):
        cycle.wait(chance.number(1, 8))
        data: Data = {"proposal_id": cycle.next_id("q"), "valid_until": cycle.period.day(cycle.now // DAY + 30)}
        if discount:
            cycle.mrr = cycle.mrr * (100 - discount) // 100
            offer = cycle.mrr * YEAR_MONTHS if cycle.mrr else value * (100 - discount) // 100
            data["discount"] = cycle.worth(value - offer)
            value = offer
            if chance.happens(0.6):
                _approved(cycle)
        cycle.tell("ProposalSent", {**data, "value": cycle.worth(value)})
        cycle.values(value, cycle.now)
        if chance.happens(0.4):
            cycle.tell("ActivityLogged", {"kind": "proposal_viewed", "direction": "in"}, source="web")
    if chance.happens(0.35):
        cycle.wait(chance.number(0, 5))
        objection = {"objection_id": cycle.next_id("o"), "category": chance.of(OBJECTIONS)}
        cycle.tell("ObjectionRaised", objection)
        if chance.happens(0.7):
            cycle.wait(chance.number(1, 6))
            cycle.tell("ObjectionResolved", objection)
    if chance.happens(0.2):
        cycle.tell("CompetitorIdentified", {"competitor": chance.pick(COMPETITORS)})
    if chance.happens(0.15):
        cycle.wait(chance.number(1, 5))
        seats = chance.pick((80, 90, 120, 150))
        cycle.mrr = cycle.mrr * seats // 100
        value = cycle.mrr * YEAR_MONTHS if cycle.mrr else value * seats // 100
        right = {"value": cycle.worth(value)}
        cycle.tell("ValueChanged", right, wrong={"value": cycle.worth(value * 10)})
        cycle.values(value, cycle.now)
    if chance.happens(0.3):
        day = cycle.period.day(cycle.now // DAY + chance.number(7, 45))
        cycle.tell("ExpectedCloseChanged", {"expected_close": day, "reason": "The board meets later."})
    if chance.happens(0.4):
        category = chance.pick(("pipeline", "best_case", "commit"))
        cycle.tell("ForecastSet", {"category": category, "probability": chance.pick((0.3, 0.5, 0.7, 0.9))})
    closing = cycle.board.closing
    if closing is not None and chance.happens(0.55):
        cycle.wait(chance.number(1, 8))
        plan.stands(cycle.step("StageEntered", {"stage": closing}), closing)


def _approved(cycle: Cycle) -> None:
    chance = cycle.chance
    approval = {"approval_id": cycle.next_id("a"), "kind": "discount"}
    cycle.tell("ApprovalRequested", approval)
    cycle.wait(chance.number(0, 6))
    cycle.tell("ApprovalDecided", {**approval, "decision": "approved" if chance.happens(0.9) else "rejected"})


def _won(cycle: Cycle) -> None:
    """Closed; what was agreed begins. The contracts of an account with something that recurs start at midnight, UTC."""
    plan, chance, account = cycle.plan, cycle.chance, cycle.account
    cycle.wait(chance.number(1, 14))
    value = cycle.mrr * YEAR_MONTHS if cycle.mrr else plan.value or 0
    # the day on which a step of the day alone is over may be another one in UTC: the term begins after it all the same
    starts = cycle.now // DAY + 2
    first = cycle.period.month_start_after(cycle.now)
    if starts <= first < cycle.period.last_day and chance.happens(0.4):
        starts = first
    contracts: list[Data] = []
    planned: dict[str, ContractPlan] = {}
    if cycle.mrr:
        contract: Data = {"contract_id": cycle.next_id("c"), "mrr": cycle.worth(cycle.mrr), "product": plan.product}
        contract["term_start"] = cycle.period.day(starts)
        if chance.happens(0.75):
            contract["term_end"] = cycle.period.day(starts + 364)
            cycle.terms[contract["contract_id"]] = starts + 364
        contracts.append(contract)
        planned[contract["contract_id"]] = ContractPlan(True, [(starts * DAY, cycle.mrr)], [(starts * DAY, None)])
        if chance.happens(0.1) and plan.product != "insight":
            extra = PRODUCTS["insight"].mrr * 100
            value += extra * YEAR_MONTHS
            second = {"contract_id": cycle.next_id("c"), "mrr": cycle.worth(extra), "product": "insight"}
            contracts.append({**second, "term_start": cycle.period.day(starts)})
            planned[second["contract_id"]] = ContractPlan(True, [(starts * DAY, extra)], [(starts * DAY, None)])  # type: ignore[index]
    if not cycle.mrr or chance.happens(0.15):
        once = 40_000 if cycle.mrr else value
        value += once if cycle.mrr else 0
        contracts.append({"contract_id": cycle.next_id("c"), "amount": cycle.worth(once), "product": "onsite"})
    won: Data = {"value": cycle.worth(value), "contracts": contracts}
    if plan.has_account and chance.happens(0.5):
        won["account_id"] = plan.account
    if chance.happens(0.15):
        won["competitor_beaten"] = chance.pick(COMPETITORS)
    succeeds = plan.origin is not None
    at = cycle.step(
        "Won", won, late=not succeeds, wrong=None if succeeds else {**won, "value": cycle.worth(value * 10)}
    )
    for contract in contracts:
        if "amount" in contract:
            planned[contract["contract_id"]] = ContractPlan(False, [], [(at, None)])
    cycle.contracts = planned
    account.contracts += planned.values()
    account.wins(at)
    plan.stands(at, WON_STAGE, "won")
    plan.places[-1] = (at, plan.places[-1][1]._replace(value=value))  # type: ignore[union-attr]
    cycle.closes(at, "won", value)
    if chance.happens(0.05):
        cycle.wait(1)
        cycle.tell("Won", {"value": cycle.worth(value)}, source="billing")  # the other system says the same


def _lost(cycle: Cycle) -> bool:
    """Lost; some are reopened, and a few of these are won. True: it is."""
    plan, chance = cycle.plan, cycle.chance
    cycle.wait(chance.number(1, 20))
    reason = chance.of(LOSSES)
    data: Data = {"reason": reason}
    if reason == "competitor":
        data["competitor"] = chance.pick(COMPETITORS)
        if chance.happens(0.5):
            data["competitor_term_end"] = cycle.period.day(cycle.now // DAY + chance.number(200, 420))
    if reason in ("timing", "no_budget"):
        data["revisit_on"] = cycle.period.day(cycle.now // DAY + chance.number(60, 200))
    lose(cycle, data)
    if "competitor_term_end" not in data and chance.happens(0.06):
        cycle.wait(chance.number(5, 40))
        at = cycle.step("Reopened", {"reason": "They came back with a budget."})
        plan.stands(at, outcome="open")
        plan.close = None
        if chance.happens(0.5):
            _won(cycle)
            return True
        if chance.happens(0.6):
            cycle.wait(chance.number(3, 30))
            lose(cycle, {"reason": "no_decision"})
    return False


def lose(cycle: Cycle, data: Data) -> None:
    """The lead is lost, in the stage that it is in."""
    plan = cycle.plan
    at = cycle.step("Lost", data, wrong={"reason": "other"})
    plan.stands(at, outcome="lost")
    cycle.closes(at, "lost", plan.value, data["reason"])
    cycle.competitor_term = term = data.get("competitor_term_end")
    if term is not None and cycle.chance.happens(0.8):
        cycle.wait(1)
        cycle.tell("CompetitorTermRecorded", {"competitor": data["competitor"], "term_end": term})
