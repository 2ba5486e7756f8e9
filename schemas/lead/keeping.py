"""The fold of a customer: contracts that change, end and run again, and the upgrade of a term."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from schemas.events.management import (
    CancellationRequested,
    CancellationWithdrawn,
    Churned,
    ContractChanged,
    ContractRenewed,
    ContractSuperseded,
    QueryRaised,
    QueryResolved,
    Reactivated,
)
from schemas.events.transaction import ContractSigned
from schemas.events.upgrade import CompetitorTermRecorded, UpgradeAccepted, UpgradeDeclined, UpgradeDue
from schemas.fact import Fact
from schemas.lead.changes import anomalous, contract_of, entering, flagged, pipeline_of, put, with_contract
from schemas.lead.closing import start_of
from schemas.lead.selling import answered, waits
from schemas.lead.state import ContractState, EarlyEnd, EndReason, Lead, Upgrade, Waiting
from schemas.pipelines import Lapse, Pipelines

_UNKNOWN_CONTRACT = "no such contract is known of this lead"


def signed(lead: Lead, fact: Fact, body: ContractSigned) -> Lead:
    contract = contract_of(lead, body.contract_id)
    return lead if contract is None else with_contract(lead, replace(contract, signed_at=fact.at))


def changed(lead: Lead, fact: Fact, body: ContractChanged) -> Lead:
    known = contract_of(lead, body.contract_id)
    if known is None:
        begun = ContractState(
            contract_id=body.contract_id, starts_at=fact.at, mrr=body.mrr, seats=body.seats, product=body.product
        )
        return anomalous(_back(with_contract(lead, begun)), fact, _UNKNOWN_CONTRACT)
    after = with_contract(
        lead, replace(known, mrr=body.mrr, seats=body.seats or known.seats, product=body.product or known.product)
    )
    return after if known.running else anomalous(after, fact, "the contract had ended")


def renewed(lead: Lead, fact: Fact, body: ContractRenewed) -> Lead:
    known = contract_of(lead, body.contract_id)
    contract = known or ContractState(contract_id=body.contract_id, starts_at=fact.at)
    after = with_contract(lead, replace(contract, mrr=body.mrr, term_end=body.term_end, ended_at=None, end_reason=None))
    after = _back(flagged(after, body.contract_id, "cleared"))
    if known is None:
        return anomalous(after, fact, _UNKNOWN_CONTRACT)
    return after if known.running else anomalous(after, fact, "the contract had ended")


def _back(lead: Lead) -> Lead:
    """A contract runs, so the customer is none who has left."""
    return replace(lead, standing="running", ended_at=None) if lead.standing == "churned" else lead


def superseded(lead: Lead, fact: Fact, body: ContractSuperseded) -> Lead:
    for contract in lead.running_contracts:
        if body.contract_id in (None, contract.contract_id):
            ended = replace(contract, ended_at=fact.at, end_reason="superseded", superseded_by=body.by_lead_id)
            lead = flagged(with_contract(lead, ended), contract.contract_id, "cleared")
    return lead if lead.running_contracts else replace(lead, ended_at=fact.at)


def cancellation_requested(lead: Lead, fact: Fact, body: CancellationRequested) -> Lead:
    """Stands in the order at effective_at: a notice that was taken back before is known by then."""
    contract = contract_of(lead, body.contract_id)
    if contract is None:
        return _ended_early(lead, fact, EarlyEnd(fact.at, "cancelled", True, body.contract_id))
    said_at = fact.said_at or fact.at
    if contract.notice_withdrawn_at is not None and contract.notice_withdrawn_at >= said_at:
        return lead
    return _ended(lead, fact, (contract,), "cancelled", voluntary=True)


def cancellation_withdrawn(lead: Lead, fact: Fact, body: CancellationWithdrawn) -> Lead:
    contract = contract_of(lead, body.contract_id)
    if contract is None:
        return anomalous(lead, fact, _UNKNOWN_CONTRACT)
    if not contract.running:
        return anomalous(lead, fact, "the notice was taken back after the contract had ended")
    return with_contract(lead, replace(contract, notice_withdrawn_at=fact.at))


def churned(lead: Lead, fact: Fact, body: Churned) -> Lead:
    if body.contract_id is None:
        contracts = lead.running_contracts
    else:
        named = contract_of(lead, body.contract_id)
        if named is None:
            return _ended_early(lead, fact, EarlyEnd(fact.at, "churned", body.voluntary, body.contract_id))
        contracts = (named,)
    if not contracts and lead.outcome != "won":
        return _ended_early(lead, fact, EarlyEnd(fact.at, "churned", body.voluntary))
    return _ended(lead, fact, contracts, "churned", voluntary=body.voluntary)


def _ended_early(lead: Lead, fact: Fact, end: EarlyEnd) -> Lead:
    """Nobody has said that it began: the end is kept for the contract, which will end before its start."""
    return anomalous(replace(lead, early_ends=(*lead.early_ends, end)), fact, _UNKNOWN_CONTRACT)


def _ended(lead: Lead, fact: Fact, contracts: tuple[ContractState, ...], reason: EndReason, *, voluntary: bool) -> Lead:
    if not any(contract.running for contract in contracts) and contracts:
        return anomalous(lead, fact, "the contract had ended")
    for contract in contracts:
        if not contract.running:
            continue
        lead = with_contract(lead, replace(contract, ended_at=fact.at, end_reason=reason, voluntary=voluntary))
        lead = flagged(lead, contract.contract_id, "cleared")
        if fact.at < contract.starts_at:
            lead = anomalous(lead, fact, "a contract ends before it starts")
    return left(lead, fact.at)


def left(lead: Lead, at: datetime) -> Lead:
    """The customer has left once the last contract has ended."""
    if lead.running_contracts or lead.outcome != "won" or lead.standing != "running":
        return lead
    return replace(flagged(lead, None, "cleared"), standing="churned", ended_at=at)


def reactivated(lead: Lead, fact: Fact, body: Reactivated, pipelines: Pipelines) -> Lead:
    ended = [contract for contract in lead.contracts if not contract.running]
    if body.contract_id is not None:
        named = contract_of(lead, body.contract_id)
    else:
        named = max(ended, key=lambda contract: contract.ended_at or fact.at, default=None)
    after = lead
    if named is not None and not named.running:
        after = with_contract(
            lead,
            replace(
                named, mrr=body.mrr, starts_at=fact.at, ended_at=None, end_reason=None, voluntary=None,
                notice_withdrawn_at=None,
            ),
        )  # fmt: skip
    elif body.contract_id is not None and named is None:
        after = with_contract(lead, ContractState(contract_id=body.contract_id, starts_at=fact.at, mrr=body.mrr))
    if lead.standing == "churned":
        return replace(after, ended_at=None, **entering(lead, "management", fact.at, pipelines))
    if named is None or named.running:
        return anomalous(after, fact, "no contract of this lead has ended")
    return after


def upgrade_due(lead: Lead, fact: Fact, body: UpgradeDue) -> Lead:
    due = Upgrade("due", body.due_at, body.basis, body.contract_id, body.term_end)
    marked = replace(lead, upgrades=put(lead.upgrades, due, lambda each: each.contract_id == body.contract_id))
    if not _term_known(lead, body.contract_id):
        return anomalous(marked, fact, "no contract is running and no competitor's term is known")
    return marked


def _term_known(lead: Lead, contract_id: str | None) -> bool:
    if lead.competitor_term_end is not None:
        return True
    running = lead.running_contracts if lead.outcome == "won" else ()
    return any(contract_id in (None, contract.contract_id) for contract in running)


def upgrade_answered(lead: Lead, fact: Fact, body: UpgradeAccepted | UpgradeDeclined) -> Lead:
    due = [each for each in lead.upgrades if each.status == "due" and body.contract_id in (None, each.contract_id)]
    if not due:
        return anomalous(lead, fact, "no upgrade of this lead is due")
    if isinstance(body, UpgradeAccepted):
        return flagged(lead, body.contract_id, "accepted", new_lead_id=body.new_lead_id)
    return flagged(lead, body.contract_id, "declined")


def competitor_term(lead: Lead, body: CompetitorTermRecorded) -> Lead:
    return replace(
        lead, competitor=body.competitor, competitor_term_end=body.term_end, competitor_contract_id=body.contract_id
    )


def query(lead: Lead, fact: Fact, body: QueryRaised | QueryResolved) -> Lead:
    if isinstance(body, QueryRaised):
        return replace(lead, queries=waits(lead.queries, Waiting(body.case_id, body.priority or "normal", fact.at)))
    return replace(lead, queries=answered(lead.queries, body.case_id))


def next_change(lead: Lead, pipelines: Pipelines) -> datetime | None:
    """When time alone will change the lead next, as far as is known now; None: never."""
    if lead.outcome != "won" or lead.standing != "running":
        return None
    pipeline = pipeline_of(lead, pipelines)
    found = []
    if pipeline.delivered_after is not None and lead.delivered_at is None and lead.closed_at is not None:
        found.append(lead.closed_at + timedelta(days=pipeline.delivered_after))
    if isinstance(pipeline.on_term_end, Lapse):
        found += [
            start_of(contract.term_end) + timedelta(days=1 + pipeline.on_term_end.lapse)
            for contract in lead.running_contracts
            if contract.term_end is not None
        ]
    return min(found, default=None)


def time_passed(lead: Lead, at: datetime, pipelines: Pipelines) -> Lead:
    """What the pipeline says happens by itself until `at`: delivery is taken for granted, a term that ended lapses."""
    if lead.outcome != "won" or lead.standing != "running":
        return lead
    pipeline = pipeline_of(lead, pipelines)
    if pipeline.delivered_after is not None and lead.delivered_at is None and lead.closed_at is not None:
        taken_for_granted = lead.closed_at + timedelta(days=pipeline.delivered_after)
        if taken_for_granted <= at:
            enters = entering(lead, "management", taken_for_granted, pipelines) if lead.phase == "transaction" else {}
            lead = replace(lead, delivered_at=taken_for_granted, **enters)
    if isinstance(pipeline.on_term_end, Lapse):
        for contract in lead.running_contracts:
            if contract.term_end is not None:
                over = start_of(contract.term_end) + timedelta(days=1)
                if over + timedelta(days=pipeline.on_term_end.lapse) <= at:
                    lead = with_contract(lead, replace(contract, ended_at=over, end_reason="lapsed"))
                    lead = left(flagged(lead, contract.contract_id, "cleared"), over)
    return lead
