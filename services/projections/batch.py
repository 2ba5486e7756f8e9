"""What one batch of events writes, gathered in memory: rows, withdrawals, cells and lead records. Pure."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from services.projections.copy_rows import RowPacker
from services.projections.days import Days
from services.projections.ledger import LeadChanges, Row
from services.projections.tables import Ledger

_encode = msgspec.msgpack.Encoder().encode
_MOST_PROFILES_KEPT = 100_000


class Profiles:
    """The ids of label combinations; remembers those met, bounded in number."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str | None, ...], int] = {}

    def of(self, labels: tuple[str | None, ...]) -> int:
        found = self._ids.get(labels)
        if found is None:
            if len(self._ids) >= _MOST_PROFILES_KEPT:
                self._ids.clear()
            found = self._ids[labels] = profile_of(labels)
        return found


def profile_of(labels: Sequence[str | None]) -> int:
    """63 bits of BLAKE2b: the same in every process and generation, without a counter to agree on.

    Of 100,000 combinations in a partition two meet with a probability of about 10⁻⁹.
    """
    return int.from_bytes(blake2b(_encode(labels), digest_size=8).digest(), "big") >> 1


class LedgerWrites:
    """What one ledger gets: `tuples` in COPY format, `ended`, `erased`, and `cells` {(profile, two days): [n, amount]}."""

    __slots__ = ("cells", "ended", "erased", "labels", "tuples")

    def __init__(self) -> None:
        self.tuples: list[bytes] = []
        self.ended: list[tuple[str, int, int]] = []
        self.erased: list[tuple[str, int]] = []
        self.cells: dict[tuple[int, int, int], list[Any]] = {}
        self.labels: dict[int, tuple[str | None, ...]] = {}


class BatchWrites:
    """Takes the changes of one lead after another; `leads` and `ledgers` are then written in sets."""

    def __init__(
        self, partition: int, ledgers: Sequence[Ledger], days: Days, profiles: Profiles, packer: RowPacker
    ) -> None:
        self._partition = partition
        self._days = days
        self._profiles = profiles
        self._packer = packer
        self._kinds = [tuple(kind for _, kind in ledger.attributes) for ledger in ledgers]
        self._counted = [ledger.cells for ledger in ledgers]
        self.ledgers = [LedgerWrites() for _ in ledgers]
        self.leads: list[tuple[str, int, int, bytes, bytes]] = []
        """(lead, version before, version, record, notes to append)"""

    def take(self, lead: str, changes: LeadChanges) -> None:
        """Add what happened to one lead; `changes` is done with afterwards."""
        record: Any = changes.record
        self.leads.append((lead, changes.version_before, record.version, _encode(record), b"".join(changes.notes)))
        if not changes.deltas:
            return
        profiles = self._sum(changes.deltas)
        rows: dict[int, list[Any]] = {}
        for number, entry in changes.fresh.items():
            rows.setdefault(entry.row.ledger, []).append((number, profiles[id(entry.row.labels)], entry))
        encoded = lead.encode()
        for ledger, fresh in rows.items():
            self.ledgers[ledger].tuples.append(self._packer.pack(self._partition, encoded, fresh, self._kinds[ledger]))
        for ledger, number, recorded_to in changes.ended:
            self.ledgers[ledger].ended.append((lead, number, recorded_to))
        for ledger, number in changes.erased:
            self.ledgers[ledger].erased.append((lead, number))

    def _sum(self, deltas: list[tuple[Row, int, int, int]]) -> dict[int, int]:
        """Adds to the cells; returns the profiles by the identity of the labels, which are long to compare."""
        profiles: dict[int, int] = {}
        day_of = self._days.of
        profile_of = self._profiles.of
        at_before = recorded_before = day = recorded_day = 0
        for row, at, recorded_at, sign in deltas:
            writes = self.ledgers[row.ledger]
            labels = row.labels
            if at != at_before:
                at_before, day = at, day_of(at)
            if recorded_at != recorded_before:
                recorded_before, recorded_day = recorded_at, day_of(recorded_at)
            profile = profiles.get(id(labels), -1)
            if profile < 0:
                profile = profiles[id(labels)] = profile_of(labels)
            # kept whether or not the row outlives the batch: what is stored must not hang on how batches are cut
            writes.labels[profile] = labels
            if not self._counted[row.ledger]:
                continue
            key = (profile, day, recorded_day)
            cell = writes.cells.get(key)
            if cell is None:
                writes.cells[key] = [sign, row.amount if sign > 0 else -row.amount]
            elif sign > 0:
                cell[0] += 1
                cell[1] += row.amount
            else:
                cell[0] -= 1
                cell[1] -= row.amount
        return profiles
