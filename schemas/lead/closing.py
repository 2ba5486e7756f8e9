"""The fold of the decision: won, lost, reopened, voided; and of what is delivered after it."""

from datetime import UTC, date, datetime

from msgspec.structs import replace

from schemas.events.fields import Contract
from schemas.events.transaction import Delivered, Lost, OrderCancelled, OrderPlaced, Won
from schemas.fact import Fact
from schemas.lead.changes import adding, anomalous, contract_of, entering, flagged, put, with_contract, without
from schemas.lead.state import ContractState, Lead, Order
from schemas.pipelines import PHASE_RANK, Pipelines


def start_of(day: date) -> datetime:
    """The first instant of a day in UTC: terms are days without a zone."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def won(lead: Lead, fact: Fact, body: Won, pipelines: Pipelines) -> Lead:
    if lead.outcome == "won":
        return _check_terms(_restated(lead, fact, body), fact, body)
    open_before = lead.outcome == "open"
    skipped = (
        open_before and lead.qualified_at is None and PHASE_RANK[lead.phase or "listed"] < PHASE_RANK["sales_process"]
    )
    closed = replace(
        lead,
        outcome="won",
        closed_at=fact.at,
        close_value=body.value,
        account_id=lead.account_id or body.account_id,
        contracts=tuple(_begun(contract, fact) for contract in body.contracts),
        loss_reason=None,
        left_phase=lead.phase if open_before else lead.left_phase,
        left_stage=lead.stage if open_before else lead.left_stage,
        implied=adding(lead.implied, "Qualified") if skipped else lead.implied,
        ended_at=None,
        **entering(lead, "transaction", fact.at, pipelines),
    )
    return _check_terms(_end_what_ended_before(closed, fact), fact, body)


def _end_what_ended_before(lead: Lead, fact: Fact) -> Lead:
    """Contracts of which an end was told before they began: they end before their start, and that is said."""
    for contract in lead.running_contracts if lead.early_ends else ():
        end = next((each for each in lead.early_ends if each.contract_id in (None, contract.contract_id)), None)
        if end is not None:
            ended = replace(contract, ended_at=end.at, end_reason=end.reason, voluntary=end.voluntary)
            lead = anomalous(with_contract(lead, ended), fact, "a contract ends before it starts")
    if lead.contracts and not lead.running_contracts:
        return replace(lead, standing="churned", ended_at=max(each.ended_at or fact.at for each in lead.contracts))
    return lead


def _begun(contract: Contract, fact: Fact) -> ContractState:
    return ContractState(
        contract_id=contract.contract_id,
        starts_at=start_of(contract.term_start) if contract.term_start else fact.at,
        mrr=contract.mrr,
        amount=contract.amount,
        product=contract.product,
        term_start=contract.term_start,
        term_end=contract.term_end,
    )


def _restated(lead: Lead, fact: Fact, body: Won) -> Lead:
    """Won again: the value as said last; contracts that are known get the words of this one, others begin."""
    after = replace(lead, close_value=body.value, account_id=lead.account_id or body.account_id)
    for contract in body.contracts:
        known = contract_of(after, contract.contract_id)
        new = _begun(contract, fact)
        if known is not None:
            new = replace(
                known, mrr=new.mrr or known.mrr, amount=new.amount or known.amount, product=new.product or known.product,
                term_start=new.term_start or known.term_start, term_end=new.term_end or known.term_end,
                starts_at=new.starts_at if new.term_start else known.starts_at,
            )  # fmt: skip
        after = with_contract(after, new)
    if body.contracts and after.standing in ("churned", "cancelled"):
        after = replace(after, standing="running", ended_at=None)
    return after


def _check_terms(lead: Lead, fact: Fact, body: Won) -> Lead:
    for contract in body.contracts:
        if contract.term_start and contract.term_end and contract.term_end < contract.term_start:
            return anomalous(lead, fact, "a contract ends before it starts")
    return lead


def lost(lead: Lead, fact: Fact, body: Lost) -> Lead:
    if lead.phase == "listed":
        return replace(lead, standing="out", loss_reason=body.reason)
    after = replace(
        flagged(lead, None, "cleared") if lead.outcome == "won" else lead,
        outcome="lost",
        standing="running" if lead.standing in ("recycled", "churned", "cancelled") else lead.standing,
        closed_at=lead.closed_at if lead.outcome == "lost" else fact.at,
        close_value=None,
        loss_reason=body.reason,
        competitor=body.competitor or lead.competitor,
        competitor_term_end=body.competitor_term_end or lead.competitor_term_end,
        revisit_on=body.revisit_on or lead.revisit_on,
        contracts=(),
        left_phase=lead.phase if lead.outcome == "open" else lead.left_phase,
        left_stage=lead.stage if lead.outcome == "open" else lead.left_stage,
    )
    if lead.outcome != "won":
        return after
    return replace(
        after,
        phase=lead.left_phase or lead.phase,
        stage=lead.left_stage or lead.stage,
        delivered_at=None,
        ended_at=None,
    )


def reopened(lead: Lead, fact: Fact) -> Lead:
    if lead.outcome == "open" or lead.standing != "running":
        return lead
    return replace(
        flagged(lead, None, "cleared") if lead.outcome == "won" else lead,
        outcome="open",
        phase=lead.left_phase or lead.phase,
        stage=lead.left_stage or lead.stage,
        stage_entered_at=fact.at,
        visit=lead.visit + 1,
        closed_at=None,
        close_value=None,
        loss_reason=None,
        contracts=(),
        delivered_at=None,
        implied=without(lead.implied, "Qualified") if lead.outcome == "won" else lead.implied,
    )


def voided(lead: Lead, fact: Fact) -> Lead:
    return replace(lead, standing="void", ended_at=fact.at)


def order_placed(lead: Lead, body: OrderPlaced) -> Lead:
    return _with_order(lead, Order(body.order_id, "placed", body.value))


def order_cancelled(lead: Lead, fact: Fact, body: OrderCancelled) -> Lead:
    after = _with_order(lead, Order(body.order_id, "cancelled", body.value))
    nothing_left = all(order.status == "cancelled" for order in after.orders)
    if lead.outcome != "won" or lead.standing != "running" or lead.delivered_at is not None or not nothing_left:
        return after
    ended = tuple(
        replace(contract, ended_at=fact.at, end_reason="cancelled") if contract.running else contract
        for contract in after.contracts
    )
    return replace(after, standing="cancelled", ended_at=fact.at, contracts=ended)


def delivered(lead: Lead, fact: Fact, body: Delivered, pipelines: Pipelines) -> Lead:
    orders = tuple(
        replace(order, status="delivered")
        if order.status == "placed" and body.order_id in (None, order.order_id)
        else order
        for order in lead.orders
    )
    if lead.outcome != "won" or lead.standing != "running":
        return replace(lead, orders=orders)
    arrived = replace(lead, orders=orders, delivered_at=lead.delivered_at or fact.at)
    if PHASE_RANK[lead.phase or "listed"] >= PHASE_RANK["management"]:
        return arrived
    return replace(arrived, **entering(lead, "management", fact.at, pipelines))


def _with_order(lead: Lead, order: Order) -> Lead:
    known = next((each for each in lead.orders if each.order_id == order.order_id), None)
    if known is not None and order.value is None:
        order = replace(order, value=known.value)
    return replace(lead, orders=put(lead.orders, order, lambda each: each.order_id == order.order_id))
