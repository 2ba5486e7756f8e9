"""contract: stretches in which what a contract brings, its term and its labels stay the same. Pure."""

from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from schemas.lead import Lead, time_passed
from schemas.lead.closing import start_of
from schemas.lead.state import ContractState
from schemas.pipelines import Lapse, Pipeline, Pipelines, Purchase
from services.projections.churn.wins import COUNTS_UNTIL, counting_until, holds, until_of, withdrawn
from services.projections.days import EPOCH, micros
from services.projections.lead_fold import Drawn, Moment, ending, turned
from services.projections.lead_labels import LABELS, labels_of
from services.projections.ledger import Row
from services.projections.tables import Ledger, number_text

LEDGER: Final = Ledger(
    "contract",
    ("kind", "active_by", "end_reason", "voluntary", "reason", *LABELS),
    (
        COUNTS_UNTIL,
        ("contract_id", "text"),
        ("account", "text"),
        ("origin", "text"),
        ("spell_from", "instant"),
        ("term_end", "day"),
        ("one_off", "number"),
        ("requested_at", "instant"),
    ),
)
_CONTRACT_ID, _SPELL_FROM, _REQUESTED_AT = 1, 4, 7
_KIND, _END, _PRODUCT = 0, slice(2, 5), 5 + LABELS.index("product")
_DAY = 86_400_000_000
_NOTHING = Decimal(0)
_EPOCH_DATE = EPOCH.date()
_decimal = lru_cache(maxsize=65_536)(Decimal)
_STILL_RUNNING: Final = (None, None, None)


class Contracts:
    """One row per contract and stretch of constant labels, attributes and amount, from its start or, if that is told later,
    from the event that tells it. The amount is the MRR, 0 of a one-off contract.

    `spell_from` is the start that is told: earlier than the first row of a contract that was taken over while it ran.
    The labels end_reason, voluntary and reason stand on the row with which a run ends; `requested_at`, on all rows of that run that
    it cuts, is when the end was told where that was before it. A notice that was taken back leaves no trace.

    Where a term that ends lapses (`on_term_end`), the last row ends with the term, and the days until the lapse is decided
    are a row that counts only for an as_of before that. If the contract goes on after all, these days are a row like any other.

    A run that ends at the instant at which it began is one row of no length, which stands at no instant: nobody is active by it, but
    the run is known, and how it ended.

    With `active_by: purchase` the win itself is a row of kind purchase, which lasts as long as the customer is active by it.
    """

    def __init__(self, ledger: int, pipelines: Pipelines) -> None:
        self._ledger = ledger
        self._pipelines = pipelines

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        """All rows of the lead stay in hand: a win that does not hold takes them all along."""
        lead, before, at = moment.after, moment.before, moment.at
        if not holds(lead):
            rows = withdrawn(standing, at) if standing and holds(before) else standing
        elif _alike(before, lead):
            return None
        else:
            rows = self._rows(moment, standing)
        return None if rows == standing else ((), rows)

    def _rows(self, moment: Moment, standing: tuple[Row, ...]) -> tuple[Row, ...]:
        at = moment.at
        settled: list[Row] = []
        live: list[Row] = []
        for row in standing:
            until = until_of(row)
            over = (row.ends is not None and row.ends <= at) or (until is not None and until <= at)
            (settled if over else live).append(row)
        onward = self._onward(moment, live)
        drawn = turned(live, onward, at)
        ended, going_on = ((), tuple(live)) if drawn is None else drawn
        in_grace = {(row.attributes[_CONTRACT_ID], until_of(row)) for row in going_on if until_of(row) is not None}
        known = [*settled, *(self._ended(row, moment) for row in ended)]
        known = [*_without_pauses(known, going_on, at), *self._at_once(moment, known)]
        return (*self._cut(self._decided(known, in_grace, at), moment), *going_on)

    def _onward(self, moment: Moment, live: list[Row]) -> tuple[Row, ...]:
        """The rows from `at` on, if nothing else happens."""
        lead, at = moment.after, moment.at
        pipeline = self._pipelines.of(lead.pipeline, lead.pipeline_version)
        before = time_passed(
            moment.before, moment.fact.at, self._pipelines
        )  # a term may have lapsed since the last event
        found: list[Row] = []
        for contract in lead.running_contracts:
            begins = max(micros(contract.starts_at), at)
            row = self._row(lead, contract, pipeline, begins, _spell_from(contract, before, live, at))
            if isinstance(pipeline.on_term_end, Lapse) and contract.term_end is not None:
                term = micros(start_of(contract.term_end) + timedelta(days=1))
                found += _lapsing(row, term, term + pipeline.on_term_end.lapse * _DAY)
            else:
                found.append(row)
        purchase = self._purchase(lead, pipeline, at)
        return (*found, *([purchase] if purchase is not None else ()))

    def _at_once(self, moment: Moment, known: list[Row]) -> list[Row]:
        """The runs that this event ends where they began; one that another run of the contract leads up to is a part of that."""
        lead, at = moment.after, moment.at
        at_once = [
            contract
            for contract in lead.contracts
            if contract.ended_at == contract.starts_at and micros(contract.starts_at) == at
        ]
        if not at_once:
            return []
        seen = {row.attributes[_CONTRACT_ID] for row in known if row.ends == at and until_of(row) is None}
        pipeline = self._pipelines.of(lead.pipeline, lead.pipeline_version)
        return [
            self._ended(ending(self._row(lead, contract, pipeline, at, at), at), moment)
            for contract in at_once
            if contract.contract_id not in seen
        ]

    def _row(self, lead: Lead, contract: ContractState, pipeline: Pipeline, begins: int, spell_from: int) -> Row:
        money = contract.mrr or contract.amount
        labels = (
            "one_off" if contract.mrr is None else "recurring", _active_by(pipeline), *_STILL_RUNNING,
            *labels_of(lead, None if money is None else money.currency),
        )  # fmt: skip
        attributes = (
            None, contract.contract_id, lead.account_id, _origin(lead), spell_from,
            None if contract.term_end is None else (contract.term_end - _EPOCH_DATE).days,
            None if contract.amount is None else number_text(contract.amount.amount), None,
        )  # fmt: skip
        if contract.product is not None:
            labels = (*labels[:_PRODUCT], contract.product, *labels[_PRODUCT + 1 :])
        amount = _NOTHING if contract.mrr is None else _decimal(contract.mrr.amount)
        return Row(self._ledger, labels, amount, begins, None, attributes)

    def _purchase(self, lead: Lead, pipeline: Pipeline, at: int) -> Row | None:
        if not isinstance(pipeline.active_by, Purchase) or lead.closed_at is None or lead.standing == "cancelled":
            return None
        closed_at = micros(lead.closed_at)
        begins, ends = max(closed_at, at), closed_at + pipeline.active_by.purchase * _DAY
        if begins >= ends:
            return None
        currency = None if lead.close_value is None else lead.close_value.currency
        labels = ("purchase", _active_by(pipeline), *_STILL_RUNNING, *labels_of(lead, currency))
        attributes = (None, "", lead.account_id, _origin(lead), closed_at, None, None, None)
        return Row(self._ledger, labels, _NOTHING, begins, ends, attributes)

    @staticmethod
    def _ended(row: Row, moment: Moment) -> Row:
        """A row that ended at this event: with the end of its run, or, where that goes on, without."""
        contract = _contract(moment.after, row)
        if contract is None or contract.running or contract.end_reason is None:
            return _with_end(row, _STILL_RUNNING)
        if contract.end_reason == "lapsed":
            return row
        voluntary = None if contract.voluntary is None else ("yes" if contract.voluntary else "no")
        told = getattr(moment.fact.body, "reason", None) if moment.fact.type == "Churned" else None
        return _with_end(row, (contract.end_reason, voluntary, told))

    @staticmethod
    def _decided(rows: list[Row], in_grace: set[tuple[Any, Any]], at: int) -> list[Row]:
        """Days of grace of a contract that went on, or was ended in words, before it lapsed: they count for good."""
        gone_on = set()
        found = []
        for row in rows:
            until, contract_id = until_of(row), row.attributes[_CONTRACT_ID]
            if until is not None and until > at and (contract_id, until) not in in_grace:
                gone_on.add((contract_id, row.starts))
                row = counting_until(row, None)  # noqa: PLW2901  the row as it counts now
            found.append(row)
        return [
            _with_end(row, _STILL_RUNNING)
            if row.labels[_END] == _LAPSED and (row.attributes[_CONTRACT_ID], row.ends) in gone_on
            else row
            for row in found
        ]

    @staticmethod
    def _cut(rows: list[Row], moment: Moment) -> list[Row]:
        """With `requested_at` where this event ends a run and was told before."""
        said_at = moment.fact.said_at
        if said_at is None or moment.fact.type not in ("Churned", "CancellationRequested"):
            return rows
        told, at = micros(said_at), moment.at
        ended = {
            (row.attributes[_CONTRACT_ID], row.attributes[_SPELL_FROM])
            for row in rows
            if row.ends == at and row.labels[_END] != _STILL_RUNNING
        }
        if told >= at or not ended:
            return rows
        return [
            Row(row.ledger, row.labels, row.amount, row.starts, row.ends, (*row.attributes[:_REQUESTED_AT], told))
            if (row.attributes[_CONTRACT_ID], row.attributes[_SPELL_FROM]) in ended and (row.ends or told) > told
            else row
            for row in rows
        ]


_LAPSED: Final = ("lapsed", None, None)


def _without_pauses(known: list[Row], going_on: tuple[Row, ...], at: int) -> list[Row]:
    """Without the runs of no length that go on at their instant after all."""
    running = {row.attributes[_CONTRACT_ID] for row in going_on if row.starts == at}
    return [row for row in known if row.starts != at or row.ends != at or row.attributes[_CONTRACT_ID] not in running]


def _lapsing(row: Row, term: int, decided: int) -> list[Row]:
    """The stretch up to the end of the term, and the days that count only while it is not decided."""
    found = []
    if row.starts < term:
        found.append(_with_end(Row(row.ledger, row.labels, row.amount, row.starts, term, row.attributes), _LAPSED))
    begins = max(row.starts, term)
    if begins < decided:
        found.append(counting_until(Row(row.ledger, row.labels, row.amount, begins, decided, row.attributes), decided))
    return found


def _with_end(row: Row, end: tuple[str | None, str | None, str | None]) -> Row:
    if row.labels[_END] == end:
        return row
    labels = (*row.labels[: _END.start], *end, *row.labels[_END.stop :])
    return Row(row.ledger, labels, row.amount, row.starts, row.ends, row.attributes)


def _spell_from(contract: ContractState, before: Lead, live: list[Row], at: int) -> int:
    """When the run began: as it was told, but a contract that goes on after it had ended begins again there."""
    starts_at = micros(contract.starts_at)
    known = next((each for each in before.contracts if each.contract_id == contract.contract_id), None)
    if known is None or not holds(before):
        return starts_at
    own = [row for row in live if row.attributes[_CONTRACT_ID] == contract.contract_id]
    if not own:
        return max(starts_at, at) if not known.running else starts_at
    spell_from = own[0].attributes[_SPELL_FROM]
    assert isinstance(spell_from, int)
    return starts_at if spell_from == micros(known.starts_at) else spell_from


def _contract(lead: Lead, row: Row) -> ContractState | None:
    contract_id = row.attributes[_CONTRACT_ID]
    return next((each for each in lead.contracts if each.contract_id == contract_id), None)


def _active_by(pipeline: Pipeline) -> str:
    return "purchase" if isinstance(pipeline.active_by, Purchase) else pipeline.active_by


def _origin(lead: Lead) -> str | None:
    """The earlier cycle whose account it belongs to, where it has none of its own."""
    return lead.origin.lead_id if lead.account_id is None and lead.origin is not None else None


def _alike(before: Lead, after: Lead) -> bool:
    """Whether the event changed nothing that a row says."""
    return (
        holds(before)
        and before.contracts == after.contracts
        and before.account_id == after.account_id
        and before.origin == after.origin
        and before.closed_at == after.closed_at
        and before.close_value == after.close_value
        and before.standing == after.standing
        and labels_of(before, None) == labels_of(after, None)
    )
