"""Random logs of customers: wins that hold or not, contracts that change, lapse, end, come back, and notices taken back."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.envelope import Recorded
from tests.unit.projections.histories import Log

_FIRST = datetime(2025, 1, 1, tzinfo=UTC)
_CURRENCIES = ("EUR", "USD")


def customer_log(seed: int, leads: int = 8, per_lead: int = 10) -> list[Recorded]:
    """Of business times from January to December 2025, many of them midnights; recorded late, in another order."""
    chance = random.Random(seed)
    log = Log()
    waiting = [f"L-{number}" for number in range(leads) for _ in range(chance.randint(2, per_lead))]
    chance.shuffle(waiting)
    recorded = _FIRST
    for lead in waiting:
        recorded += timedelta(hours=chance.choice((0, 1, 30, 90)))
        known = [event for event in log.events if event.stream == f"lead/{lead}"]
        at = _instant(chance)
        if not known:
            log.post(lead, "LeadCaptured", at, recorded, **_capture(chance, lead))
        elif chance.random() < 0.4 and not any(event.type == "Won" for event in known):
            log.post(lead, "Won", at, recorded, **_won(chance, at))
        elif chance.random() < 0.06:
            about = chance.choice(known)
            log.post(lead, "EventRetracted", at, recorded, corrects={"source": about.source, "id": about.id})
        else:
            kind, data = _fact(chance)
            log.post(lead, kind, at, recorded, **data)
    return log.events


def _instant(chance: random.Random) -> datetime:
    day = _FIRST + timedelta(days=chance.randint(0, 330))
    return day + timedelta(minutes=chance.choice((0, 0, 1, 600, 1439)))


def _mrr(chance: random.Random) -> dict[str, str]:
    return {"amount": chance.choice(("0", "10", "20.5", "8.3333")), "currency": chance.choice(_CURRENCIES)}


def _capture(chance: random.Random, lead: str) -> dict[str, Any]:
    given = {
        "source_channel": chance.choice(("web", "phone")), "owner": chance.choice(("ana", "ben")),
        "account_id": chance.choice((None, "acme", "globex")), "pipeline": chance.choice((None, "plan", "club")),
        "origin": chance.choice((None, None, {"lead_id": f"L-{chance.randint(0, 3)}", "kind": "cross_sell"})),
    }  # fmt: skip
    if given["origin"] == {"lead_id": lead, "kind": "cross_sell"}:
        given["origin"] = None
    return {name: value for name, value in given.items() if value is not None}


def _won(chance: random.Random, at: datetime) -> dict[str, Any]:
    contracts = []
    for contract_id in chance.sample(("C-1", "C-2", "C-3"), chance.randint(0, 3)):
        given: dict[str, Any] = {"contract_id": contract_id}
        given |= {"mrr": _mrr(chance)} if chance.random() < 0.8 else {"amount": _mrr(chance)}
        if chance.random() < 0.5:
            starts = at.date() + timedelta(days=chance.choice((-60, -1, 0, 1, 20)))
            given |= {"term_start": f"{starts}", "term_end": f"{starts + timedelta(days=chance.choice((9, 30, 90)))}"}
        contracts.append(given)
    return {"value": _mrr(chance), "contracts": contracts}


def _fact(chance: random.Random) -> tuple[str, dict[str, Any]]:
    contract_id = chance.choice(("C-1", "C-2", "C-3"))
    effective_at = f"{_instant(chance):%Y-%m-%dT%H:%M:%SZ}"
    which: dict[str, Any] = {"contract_id": contract_id} if chance.random() < 0.7 else {}
    return chance.choice((
        ("ContractChanged", {"contract_id": contract_id, "mrr": _mrr(chance), "effective_at": effective_at}),
        ("ContractRenewed", {"contract_id": contract_id, "mrr": _mrr(chance), "term_end": effective_at[:10]}),
        ("CancellationRequested", {"contract_id": contract_id, "effective_at": effective_at}),
        ("CancellationWithdrawn", {"contract_id": contract_id}),
        ("Churned", {"effective_at": effective_at, "reason": "price", "voluntary": chance.random() < 0.5, **which}),
        ("Reactivated", {"effective_at": effective_at, "mrr": _mrr(chance), **which}),
        ("ContractSuperseded", {"effective_at": effective_at, "by_lead_id": "L-99", **which}),
        ("LeadAssigned", {"owner": chance.choice(("cem", "dora"))}),
        ("AccountChanged", {"account_id": chance.choice(("acme", "initech"))}),
        ("ActivityLogged", {"kind": "call", "direction": "out"}),
        ("LeadScored", {"score": 50, "model": "m", "model_version": "1"}),
        ("ProposalSent", {"proposal_id": "P-1", "value": _mrr(chance)}),
        ("Won", _won(chance, _instant(chance))),
        ("Reopened", {"reason": "again"}),
        ("Lost", {"reason": "price"}),
        ("Voided", {"reason": "test"}),
        ("OrderCancelled", {"order_id": "O-1"}),
        ("SurveyAnswered", {"survey_id": "S", "kind": "nps", "person_id": f"p-{chance.randint(1, 3)}", "score": chance.randint(0, 10)}),
        ("QueryRaised", {"case_id": chance.choice(("Q-1", "Q-2"))}),
        ("QueryResolved", {"case_id": chance.choice(("Q-1", "Q-2"))}),
        ("UpgradeDue", {"due_at": effective_at, "basis": "own_term", **which}),
        ("UpgradeDeclined", {"reason": "no", **which}),
        ("InvoiceIssued", {"invoice_id": "I-1", "due_on": effective_at[:10]}),
    ))  # fmt: skip
