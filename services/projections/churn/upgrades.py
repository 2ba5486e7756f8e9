"""upgrade: what became of each offer that fell due before a term ended. Pure."""

from decimal import Decimal
from typing import Final

from schemas.lead import Lead, next_change, time_passed
from schemas.lead.state import Upgrade
from schemas.pipelines import Pipelines
from services.projections.days import EPOCH, micros
from services.projections.lead_fold import Drawn, Moment, ending, turned
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger

LEDGER: Final = Ledger(
    "upgrade",
    ("status", "basis", *LABELS),
    (("account", "text"), ("contract_id", "text"), ("due_at", "instant"), ("term_end", "day"), ("new_lead", "text")),
)
_CLEARED_BY: Final = {"ContractRenewed": "renewed", "ContractSuperseded": "superseded"}
_NOTHING = Decimal(0)
_EPOCH_DATE = EPOCH.date()
_Key = tuple[str | int | None, ...]


class Upgrades:
    """One row per UpgradeDue and stretch of its status: due, accepted, declined, renewed (ContractRenewed), superseded (a new
    cycle took its place), ended (the contract, or the win).

    An offer that falls due anew on the same contract ends the row of the one before, so the last row of each
    (lead, contract, due_at) says how it stood at the end. The labels are those at the last change.
    """

    def __init__(self, ledger: int, pipelines: Pipelines) -> None:
        self._ledger = ledger
        self._pipelines = pipelines

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        lead, at = moment.after, moment.at
        if not lead.upgrades and not standing:
            return None
        known = {
            row.attributes[1:3]: row for row in standing if row.starts <= at and (row.ends is None or row.ends > at)
        }
        rows: dict[_Key, Row] = {}
        for upgrade in lead.upgrades:
            row = self._row(upgrade, moment, known.get(_key(upgrade)))
            rows[_key(upgrade)] = row
        lapsed = self._lapsing(lead, rows, at)
        return turned(standing, (*rows.values(), *lapsed), at)

    def _row(self, upgrade: Upgrade, moment: Moment, before: Row | None) -> Row:
        lead = moment.after
        status: str | None = upgrade.status
        if status == "cleared":
            told = before.labels[0] if before is not None else None
            status = told if told not in (None, "due") else _CLEARED_BY.get(moment.fact.type, "ended")
        labels = (status, upgrade.basis, *labels_of(lead, None))
        account = lead.account_id
        if before is not None and before.labels[0] == status:
            labels, account = before.labels, before.attributes[0]  # type: ignore[assignment]  # it is a text
        term_end = None if upgrade.term_end is None else (upgrade.term_end - _EPOCH_DATE).days
        attributes = (account, *_key(upgrade), term_end, upgrade.new_lead_id)
        return Row(self._ledger, labels, _NOTHING, moment.at, None, attributes)

    def _lapsing(self, lead: Lead, rows: dict[_Key, Row], at: int) -> list[Row]:
        """Where time alone ends a contract, the offer on it ends then: its row in `rows` is cut, and another follows."""
        found = []
        while (change := next_change(lead, self._pipelines)) is not None:
            lead = time_passed(lead, change, self._pipelines)
            then = max(micros(change), at)
            for upgrade in lead.upgrades:
                row = rows.get(_key(upgrade))
                if row is not None and upgrade.status == "cleared" and row.labels[0] == "due" and row.ends is None:
                    if row.starts == then:
                        del rows[_key(upgrade)]
                    else:
                        rows[_key(upgrade)] = ending(row, then)
                    found.append(Row(row.ledger, ("ended", *row.labels[1:]), _NOTHING, then, None, row.attributes))
        return found


def _key(upgrade: Upgrade) -> _Key:
    return (upgrade.contract_id, micros(upgrade.due_at))
