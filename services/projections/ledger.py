"""Facts of a lead as ledger rows with two clocks, kept up to date event by event. Pure: no I/O, no clock.

This module knows no event and no metric. A read model gives a `Fold`: what it makes of a lead's history, as rows. Here
each arriving event becomes ledger changes: rows that no longer hold are withdrawn as of the event's `recorded_at`, rows
that hold now are added as of it. An event that sorts after all before it costs one step of the fold; any other one
folds the lead again. Both give the same rows under the same numbers, however the events are cut into batches, so a
rebuilt read model equals the live one byte for byte.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from schemas.envelope import Recorded

State = TypeVar("State")

Order = tuple[tuple[int, int, str, int], int]
"""((business_at in µs, 0 or 1 = no sequence, sequence, rank), version): the order inside a lead."""


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fact: it holds at instant t where starts < t <= ends (µs; no `ends`: it still stands).

    `ledger` is the index of the table among those of the read model, `labels` what is grouped and filtered by,
    `amount` what is summed beside the count, with at most four decimals, `attributes` what else is told of the row, in the
    order and form that its `Ledger` declares. The rows of a lead that hold together must differ.
    """

    ledger: int
    labels: tuple[str | None, ...]
    amount: Decimal
    starts: int
    ends: int | None
    attributes: tuple[str | int | None, ...] = ()


class Reading(msgspec.Struct, frozen=True, gc=False):
    """An event as a fold reads it: where it sorts, what is folded, and bytes that `recall` makes the same of."""

    order: Order
    item: Any
    note: bytes
    corrects: bool = False
    """It is about another event of the lead, and changes how that one counts."""


class Rows(msgspec.Struct, frozen=True, gc=False):
    """What one step changed: `final` rows that only a late event can touch again, `standing` ones that the next may end.

    `standing` replaces the standing rows of the step before.
    """

    final: tuple[Row, ...]
    standing: tuple[Row, ...]


class Fold(Protocol[State]):
    """What one read model makes of a lead's history. Pure and total; only `read` may refuse."""

    state_type: Any
    """The type of its state, for msgpack."""

    ignores: frozenset[str]
    """Types of events that never change its rows: they are not even noted."""

    def start(self) -> State:
        """The state before the first event."""
        ...

    def read(self, event: Recorded) -> Reading:
        """Raises `errors.Poison` for an event that this program cannot read."""
        ...

    def recall(self, notes: bytes, count: int) -> list[Reading]:
        """The readings of which `notes` are the notes, `count` of them without anything between."""
        ...

    def counting(self, readings: Sequence[Reading]) -> list[Reading]:
        """The readings as they count, corrections among them resolved away, sorted."""
        ...

    def step(self, state: State, item: Any) -> tuple[State, Rows | None]:
        """The state after one more item, and what it did to the rows: None where it changed none."""
        ...


class Standing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row of the ledger that holds as far as is known now: its number in the lead, and since when it is known (µs)."""

    number: int
    row: Row
    recorded_from: int


class LeadRecord(msgspec.Struct, Generic[State], array_like=True):
    """All that the next event in order needs; the history is read only for an event that is not."""

    version: int
    last: Order | None
    next_number: int
    standing: list[Standing]
    """Only those that the next event may end; the final ones lie in the ledger alone."""
    state: State
    corrected: bool = False
    """Some event of the lead is about another one: from then on every event folds all anew."""
    taken: int = 0
    """How many events were noted; fewer than `version` where the fold ignores some."""


class Entry(msgspec.Struct, array_like=True, gc=False):
    """A ledger row as it is written: `recorded_to` is None while it holds."""

    row: Row
    recorded_from: int
    recorded_to: int | None = None


class LeadChanges:
    """What the events of one batch change in the ledger rows of one lead."""

    __slots__ = ("deltas", "ended", "erased", "fresh", "notes", "record", "version_before")

    def __init__(self, record: LeadRecord[Any]) -> None:
        self.record = record
        self.version_before = record.version
        self.notes: list[bytes] = []
        self.fresh: dict[int, Entry] = {}
        """New rows by number; one withdrawn in the same batch has its end already."""
        self.ended: list[tuple[int, int, int]] = []
        """(ledger, number, recorded_to in µs) of rows written by an earlier batch."""
        self.erased: list[tuple[int, int]] = []
        """(ledger, number) of rows withdrawn at the instant they were recorded: they leave no trace."""
        self.deltas: list[tuple[Row, int, int, int]] = []
        """(row, business_at in µs, recorded_at in µs, sign): what is counted from which instant on, for the cells."""

    def in_order(self, fold: Fold[Any], arriving: Sequence[tuple[Reading, int]]) -> None:
        """Apply events (each with its recorded_at in µs) that sort one after another, and after all before them."""
        record = self.record
        state, step = record.state, fold.step
        for reading, recorded_at in arriving:
            state, rows = step(state, reading.item)
            self.notes.append(reading.note)
            if rows is not None:
                self._change(rows, recorded_at)
        record.state = state
        record.taken += len(arriving)
        record.last = arriving[-1][0].order
        record.version = record.last[1]

    def _change(self, rows: Rows, recorded_at: int) -> None:
        record = self.record
        final, standing = rows.final, rows.standing
        if len(record.standing) == len(standing) == len(final) == 1:
            known = record.standing[0]
            ended = final[0]
            was = known.row
            at = ended.ends
            if (
                at is not None
                and was.starts == ended.starts
                and was.amount == ended.amount
                and was.labels == ended.labels
                and was.attributes == ended.attributes
            ):
                self._turn(known, ended, at, standing[0], recorded_at)
                return
        before = {known.row: known for known in record.standing}
        for row in final:
            if row in before:
                del before[row]
            else:
                self._add(row, recorded_at)
        record.standing = [before.pop(row) if row in before else self._add(row, recorded_at) for row in standing]
        for known in before.values():
            self._withdraw(known, recorded_at)

    def again(self, fold: Fold[Any], history: list[Reading], known: dict[Row, Standing], recorded_at: int) -> None:
        """Fold all of `history` (sorted) and bring `known`, all rows that hold, and the record to its outcome."""
        state = fold.start()
        final: list[Row] = []
        standing: tuple[Row, ...] = ()
        record = self.record
        for reading in fold.counting(history) if record.corrected else history:
            state, rows = fold.step(state, reading.item)
            if rows is not None:
                final.extend(rows.final)
                standing = rows.standing
        record.state = state
        record.last = history[-1].order
        gone = dict(known)
        for row in (*final, *standing):
            if gone.pop(row, None) is None:
                known[row] = self._add(row, recorded_at)
        # the rows as the fold gives them: those read from the ledger are equal, but not in every byte (1.5 and 1.5000)
        record.standing = [Standing(known[row].number, row, known[row].recorded_from) for row in standing]
        for row, number in gone.items():
            del known[row]
            self._withdraw(number, recorded_at)

    def _turn(self, known: Standing, ended: Row, at: int, row: Row, recorded_at: int) -> None:
        """The one standing row ends where another begins: what nearly every change is, counted without detours."""
        record = self.record
        number = record.next_number
        record.next_number = number + 2
        self.fresh[number] = Entry(ended, recorded_at)
        self.fresh[number + 1] = Entry(row, recorded_at)
        record.standing = [Standing(number + 1, row, recorded_at)]
        self._strike(known, recorded_at)
        self.deltas.append((ended, at, recorded_at, -1))  # it begins as before: nothing to count there
        self._count(row, recorded_at, 1)

    def _add(self, row: Row, recorded_at: int) -> Standing:
        number = self.record.next_number
        self.record.next_number = number + 1
        self.fresh[number] = Entry(row, recorded_at)
        self._count(row, recorded_at, 1)
        return Standing(number, row, recorded_at)

    def _withdraw(self, known: Standing, recorded_at: int) -> None:
        self._count(known.row, recorded_at, -1)
        self._strike(known, recorded_at)

    def _count(self, row: Row, recorded_at: int, sign: int) -> None:
        self.deltas.append((row, row.starts, recorded_at, sign))
        if row.ends is not None:
            self.deltas.append((row, row.ends, recorded_at, -sign))

    def _strike(self, known: Standing, recorded_at: int) -> None:
        number = known.number
        if known.recorded_from == recorded_at:
            if self.fresh.pop(number, None) is None:
                self.erased.append((known.row.ledger, number))
        elif number in self.fresh:
            self.fresh[number].recorded_to = recorded_at
        else:
            self.ended.append((known.row.ledger, number, recorded_at))


def rises(last: Order | None, arriving: Sequence[tuple[Reading, int]]) -> bool:
    """Whether each reading sorts after the one before it, the first after `last`, and none is about another one."""
    for reading, _ in arriving:
        if reading.corrects or (last is not None and reading.order <= last):
            return False
        last = reading.order
    return True


def take_in(
    changes: LeadChanges,
    fold: Fold[Any],
    arriving: Sequence[tuple[Reading, int]],
    history: Iterable[Reading],
    known: Iterable[Standing],
) -> None:
    """Apply events of which at least one is late: fold the whole history again after each, as it arrived.

    Args:
        arriving: readings in the order of arrival, each with its recorded_at in µs.
        history: every earlier reading of the lead, in any order.
        known: every row of the lead that holds.
    """
    readings = sorted(history, key=_order)
    rows = {standing.row: standing for standing in known}
    for reading, recorded_at in arriving:
        insort(readings, reading, key=_order)
        changes.record.corrected = changes.record.corrected or reading.corrects
        changes.again(fold, readings, rows, recorded_at)
        changes.record.version = reading.order[1]
        changes.record.taken += 1
        changes.notes.append(reading.note)


def _order(reading: Reading) -> Order:
    return reading.order
