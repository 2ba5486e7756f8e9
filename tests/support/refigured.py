"""The figures of a simulated company worked out again from its events alone: the oracle that its truth.json is held to.

It knows nothing of the simulator: it parses every line, folds each lead by `schemas.lead`, adds what lifecycle would derive
(LeadAbsorbed, ContractSuperseded), and asks the folded leads at the instants that a figure is about. pandas adds up.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

import pandas as pd

from schemas.codec import parse_event
from schemas.corrections import effective
from schemas.envelope import Event
from schemas.events import EVENTS
from schemas.events.management import ContractSuperseded
from schemas.events.opportunity import LeadAbsorbed
from schemas.fact import EPOCH, Fact, fact_of, reference
from schemas.lead import Lead, at_instant
from schemas.pipelines import Pipelines

MICROSECOND = timedelta(microseconds=1)


class Refigured:
    """All events of a company, folded. `ends`: the instants at which its months end, by month."""

    def __init__(self, lines: Iterable[bytes], months: list[str], pipelines: Pipelines) -> None:
        self.pipelines = pipelines
        self.bounds = [datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC) for month in months]
        last = self.bounds[-1]
        self.bounds.append(datetime(last.year + last.month // 12, last.month % 12 + 1, 1, tzinfo=UTC))
        self.months = months
        self.lines = 0
        self.events: dict[tuple[str, str], Event] = {}
        self.types: Counter[str] = Counter()
        for line in lines:
            self.lines += 1
            event = parse_event(json.loads(line), self.bounds[-1] - timedelta(days=1))
            if self.events.setdefault((event.source, event.id), event) is event:
                self.types[event.type] += 1
        told: defaultdict[str, list[Fact]] = defaultdict(list)
        for version, event in enumerate(self.events.values(), 1):
            told[event.stream].append(fact_of(event, version, event.body))
        self.told = {
            stream.removeprefix("lead/"): facts for stream, facts in told.items() if stream.startswith("lead/")
        }
        self._derive()

    def _derive(self) -> None:
        """What lifecycle appends by itself and a figure depends on."""
        for id, facts in list(self.told.items()):
            for fact in effective(facts).facts:
                if fact.type == "LeadMerged":
                    self._append(fact.body.absorbed_lead_id, fact.at, LeadAbsorbed(surviving_lead_id=id))
                elif fact.type == "Won" and fact.body.contracts:
                    self._supersede(id, fact)

    def _supersede(self, id: str, won: Fact) -> None:
        origin = self.state(id, self.bounds[-1]).origin
        if origin is None or origin.kind not in ("upgrade", "renewal"):
            return
        starts = min(contract.term_start for contract in won.body.contracts if contract.term_start)
        at = datetime(starts.year, starts.month, starts.day, tzinfo=UTC)
        old = self.state(origin.lead_id, self.bounds[-1])
        named = next((upgrade.contract_id for upgrade in old.upgrades if upgrade.new_lead_id == id), None)
        self._append(origin.lead_id, at, ContractSuperseded(effective_at=at, by_lead_id=id, contract_id=named))
        self.state.cache_clear()

    def _append(self, id: str, at: datetime, body: Any) -> None:
        name = type(body).__name__
        key = ((at - EPOCH) // MICROSECOND, 1, "", EVENTS[name].rank)
        facts = self.told[id]
        facts.append(Fact(key, 10**9, name, at, body, reference("derived", f"{name}{id}{at}")))

    @lru_cache(maxsize=200_000)  # noqa: B019  a test makes two of these
    def state(self, id: str, at: datetime) -> Lead:
        return at_instant(self.told[id], at, self.pipelines)

    @cached_property
    def final(self) -> dict[str, Lead]:
        return {id: self.state(id, self.bounds[-1]) for id in self.told}

    @cached_property
    def counting(self) -> dict[str, Lead]:
        return {id: lead for id, lead in self.final.items() if lead.standing not in ("void", "absorbed")}

    def board(self, at: datetime) -> dict[tuple[str, str, str], int]:
        cells: Counter[tuple[str, str, str]] = Counter()
        for id in self.told:
            lead = self.state(id, at)
            if lead.captured_at is not None and lead.standing not in ("out", "recycled", "void", "absorbed"):
                cells[str(lead.pipeline), str(lead.stage), lead.outcome] += 1
        return dict(cells)

    def board_value(self, at: datetime) -> dict[tuple[str, str, str, str], float]:
        cells: defaultdict[tuple[str, str, str, str], float] = defaultdict(float)
        for id in self.told:
            lead = self.state(id, at)
            value = lead.close_value if lead.outcome == "won" else lead.value
            if lead.captured_at is not None and lead.standing not in ("out", "recycled", "void", "absorbed") and value:
                cells[str(lead.pipeline), str(lead.stage), lead.outcome, value.currency] += float(value.amount)
        return dict(cells)

    @cached_property
    def closed(self) -> pd.DataFrame:
        """One row a lead that is closed: outcome, month, owner, channel, region, product, currency, value."""
        rows = []
        for id, lead in self.counting.items():
            if lead.outcome == "open" or lead.closed_at is None:
                continue
            then = self.state(id, lead.closed_at + MICROSECOND)
            value = lead.close_value if lead.outcome == "won" else lead.value
            rows.append(
                {
                    "outcome": lead.outcome, "month": f"{lead.closed_at:%Y-%m}", "owner": then.owner, "channel": lead.source_channel,
                    "region": lead.region, "product": lead.product, "currency": value.currency if value else "",
                    "value": float(value.amount) if value else None, "reason": lead.loss_reason,
                    "first": lead.first_touch.campaign_id if lead.first_touch else None,
                    "last": lead.last_touch.campaign_id if lead.last_touch else None,
                }
            )  # fmt: skip
        return pd.DataFrame(rows)

    def account_of(self, id: str) -> str:
        lead = self.final[id]
        if lead.account_id is not None:
            return lead.account_id
        while lead.origin is not None:  # a cycle of a customer without an account belongs to the first one
            id, lead = lead.origin.lead_id, self.final[lead.origin.lead_id]
        return f"lead/{id}"

    @cached_property
    def accounts(self) -> dict[str, list[str]]:
        """Their won leads."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for id, lead in self.counting.items():
            if lead.outcome == "won":
                found[self.account_of(id)].append(id)
        return dict(found)

    def running(self, account: str, at: datetime) -> list[Any]:
        """The contracts of an account that run at an instant."""
        states = [self.state(id, at) for id in self.accounts[account]]
        return [
            contract
            for lead in states
            if lead.outcome == "won"
            for contract in lead.contracts
            if contract.running and contract.starts_at < at
        ]

    @cached_property
    def mrr(self) -> pd.DataFrame:
        """account, currency, end (index of the bound), mrr; one row each."""
        rows = []
        for account in self.accounts:
            for index, at in enumerate(self.bounds):
                contracts = [contract for contract in self.running(account, at) if contract.mrr is not None]
                rows += [(account, contract.mrr.currency, index, float(contract.mrr.amount)) for contract in contracts]
        frame = pd.DataFrame(rows, columns=["account", "currency", "end", "mrr"])
        return frame.groupby(["account", "currency", "end"])["mrr"].sum().reset_index()

    def first_spell(self, account: str) -> tuple[int, bool] | None:
        """(age in days, ended) of the first time that any contract of the account ran, walked from instant to instant."""
        end = self.bounds[-1]
        moments = {end}
        for id in self.accounts[account]:
            moments |= {fact.at + MICROSECOND for fact in effective(self.told[id]).facts if fact.at < end}
            moments |= {each.starts_at + MICROSECOND for each in self.state(id, end).contracts if each.starts_at < end}
            moments |= {
                each.starts_at + MICROSECOND
                for moment in sorted(moments)
                for each in self.state(id, moment).contracts
                if each.starts_at < end
            }
        began: datetime | None = None
        for moment in sorted(moments):
            runs = bool(self.running(account, moment))
            if runs and began is None:
                began = moment
            elif not runs and began is not None:
                return _days(began, moment), True
        return None if began is None else (_days(began, end), False)


def _days(began: datetime, ended: datetime) -> int:
    """Calendar days between two moments, each of which is just after what it is about."""
    return ((ended - MICROSECOND).date() - (began - MICROSECOND).date()).days
