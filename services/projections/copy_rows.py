"""Ledger rows in PostgreSQL's binary COPY format.

Packed by hand, one `struct.pack` for all that has a fixed width, because this is where a rebuild spends its time: through
the driver's codecs a row costs several times as much. Format: https://www.postgresql.org/docs/current/sql-copy.html
(File Formats, Binary Format); `numeric` as in PostgreSQL's `numeric_send`.
"""

from collections.abc import Callable
from decimal import Decimal
from struct import Struct
from typing import Any

from services.projections.ledger import Entry

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
COLUMNS = (
    "partition", "subject", "number", "profile", "amount", "business_from", "business_to", "recorded_from", "recorded_to",
)  # fmt: skip

_PG_EPOCH = 946_684_800_000_000  # 2000-01-01 in µs since 1970
_head = Struct(">hiii").pack
_row = Struct(">iiiq").pack
_open = Struct(">iqiiqi").pack
_open_withdrawn = Struct(">iqiiqiq").pack
_closed = Struct(">iqiqiqi").pack
_closed_withdrawn = Struct(">iqiqiqiq").pack
_numerics = [Struct(f">ihhHh{digits}h").pack for digits in range(10)]
_MOST_AMOUNTS_KEPT = 50_000
_NULL = Struct(">i").pack(-1)
_length = Struct(">i").pack
_long = Struct(">iq").pack
_short = Struct(">ii").pack
_PG_EPOCH_DAY = 10_957  # 2000-01-01 in days since 1970


class RowPacker:
    """Makes the bytes of one ledger's rows; keeps the encoded amounts it met, bounded in number."""

    def __init__(self) -> None:
        self._amounts: dict[Decimal, bytes] = {}

    def pack(
        self, partition: int, subject: bytes, rows: list[tuple[int, int, Entry]], kinds: tuple[str, ...] = ()
    ) -> bytes:
        """The tuples of one subject. `rows` holds (number, profile, entry), `kinds` those of the ledger's attributes."""
        head = _head(9 + len(kinds), 4, partition, len(subject)) + subject
        parts: list[bytes] = []
        for number, profile, entry in rows:
            row = entry.row
            amount = self._amounts.get(row.amount) or self._numeric(row.amount)
            parts += (head, _row(4, number, 8, profile), amount)
            starts = row.starts - _PG_EPOCH
            known = entry.recorded_from - _PG_EPOCH
            if row.ends is None:
                if entry.recorded_to is None:
                    parts.append(_open(8, starts, -1, 8, known, -1))
                else:
                    parts.append(_open_withdrawn(8, starts, -1, 8, known, 8, entry.recorded_to - _PG_EPOCH))
            elif entry.recorded_to is None:
                parts.append(_closed(8, starts, 8, row.ends - _PG_EPOCH, 8, known, -1))
            else:
                ends = row.ends - _PG_EPOCH
                parts.append(_closed_withdrawn(8, starts, 8, ends, 8, known, 8, entry.recorded_to - _PG_EPOCH))
            for kind, value in zip(kinds, row.attributes, strict=True):
                parts.append(_NULL if value is None else _PACKERS[kind](value))
        return b"".join(parts)

    def _numeric(self, amount: Decimal) -> bytes:
        if len(self._amounts) >= _MOST_AMOUNTS_KEPT:
            self._amounts.clear()
        encoded = self._amounts[amount] = numeric(amount)
        return encoded


def numeric(amount: Decimal) -> bytes:
    """The length-prefixed binary `numeric` of an amount; its scale is 4. Raises ValueError where that loses a digit."""
    scaled = amount.scaleb(4)
    rest = abs(int(scaled))
    if rest != abs(scaled):
        raise ValueError("more than four decimals")
    digits: list[int] = []
    while rest:
        rest, digit = divmod(rest, 10_000)  # numeric counts in base 10,000, so the fraction is one digit
        digits.append(digit)
    size = len(digits)
    sign = 0x4000 if amount < 0 else 0
    return _numerics[size](8 + 2 * size, size, size - 2, sign, 4, *reversed(digits))


def _text(value: Any) -> bytes:
    encoded: bytes = value.encode()
    return _length(len(encoded)) + encoded


_PACKERS: dict[str, Callable[[Any], bytes]] = {
    "text": _text,
    "instant": lambda at: _long(8, at - _PG_EPOCH),
    "day": lambda day: _short(4, day - _PG_EPOCH_DAY),
    "integer": lambda number: _short(4, number),
    "number": lambda text: numeric(Decimal(text)),
}
"""By the kinds of `tables.KINDS`."""
