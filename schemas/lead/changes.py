"""The few moves that every part of the fold is made of: entering a phase, noting a contradiction, replacing a part."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from msgspec.structs import replace

from schemas.fact import Fact
from schemas.lead.state import ANOMALIES_KEPT, Anomaly, ContractState, Lead, UpgradeStatus
from schemas.pipelines import Pipeline, Pipelines

Part = TypeVar("Part")


def pipeline_of(lead: Lead, pipelines: Pipelines) -> Pipeline:
    return pipelines.of(lead.pipeline, lead.pipeline_version)


def entering(lead: Lead, phase: str, at: datetime, pipelines: Pipelines) -> dict[str, Any]:
    """What changes where the lead enters a phase: nothing where it is there already and never left."""
    if lead.phase == phase and lead.standing == "running":
        return {}
    stage = pipeline_of(lead, pipelines).entrance(phase)
    return {"phase": phase, "stage": stage, "stage_entered_at": at, "visit": lead.visit + 1, "standing": "running"}


def anomalous(lead: Lead, fact: Fact, reason: str) -> Lead:
    """The lead with the contradiction noted."""
    return noted(lead, Anomaly(fact.version, fact.type, reason))


def noted(lead: Lead, anomaly: Anomaly) -> Lead:
    kept = (*lead.anomalies, anomaly)
    if len(kept) > ANOMALIES_KEPT:
        # the last to arrive, in the order of the fold: what an arriving event is judged must be among them
        oldest = min(kept, key=lambda each: each.version)
        kept = tuple(each for each in kept if each is not oldest)
    return replace(lead, anomalies=kept, anomaly_count=lead.anomaly_count + 1)


def without(names: tuple[str, ...], gone: str) -> tuple[str, ...]:
    return tuple(name for name in names if name != gone) if gone in names else names


def adding(names: tuple[str, ...], *new: str) -> tuple[str, ...]:
    return (*names, *(name for name in new if name not in names))


def put(parts: tuple[Part, ...], new: Part, same: Callable[[Part], bool]) -> tuple[Part, ...]:
    """The parts with `new` in the place of the one that is the `same`, or at the end."""
    for index, part in enumerate(parts):
        if same(part):
            return (*parts[:index], new, *parts[index + 1 :])
    return (*parts, new)


def contract_of(lead: Lead, contract_id: str) -> ContractState | None:
    return next((contract for contract in lead.contracts if contract.contract_id == contract_id), None)


def with_contract(lead: Lead, contract: ContractState) -> Lead:
    return replace(
        lead, contracts=put(lead.contracts, contract, lambda known: known.contract_id == contract.contract_id)
    )


def flagged(lead: Lead, contract_id: str | None, status: UpgradeStatus, new_lead_id: str | None = None) -> Lead:
    """Answers the upgrades that are due on that contract; on all of them where None is named."""
    if not lead.upgrade_due:
        return lead
    upgrades = tuple(
        replace(each, status=status, new_lead_id=new_lead_id)
        if each.status == "due" and (contract_id is None or each.contract_id in (None, contract_id))
        else each
        for each in lead.upgrades
    )
    return replace(lead, upgrades=upgrades)
