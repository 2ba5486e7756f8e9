"""One row of the file on its way to events, and why a row cannot become one."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

UNSET: Final = object()


class Reason(NamedTuple):
    """Why a row was refused: the RFC 6901 pointer into the event (or `row`), and a sentence."""

    pointer: str
    detail: str


class CellRefused(Exception):
    """A cell does not hold what the mapping says it holds; the message is a sentence that shows it, shortened."""


class NameCollision(CellRefused):
    """Two names give one id. The whole import stops: which of the two came first must not decide who is merged."""


class Row:
    """`cells` by column: text, for NDJSON any JSON value; a column without value is not there.

    `line` is where the row begins in the file, counted from 1. `original` is what the refused file gets: the cells
    of a CSV row, the text of an NDJSON line. `flaw` is set where the line could not be read as a row at all.
    `memo` keeps what was worked out for this row, one slot per named value and lookup. `previous` and `next` are its
    neighbours where the mapping has `series`. `now` is when it is translated.
    """

    __slots__ = ("cells", "flaw", "line", "memo", "next", "now", "original", "previous")

    def __init__(self, line: int, original: list[str] | str, cells: dict[str, Any], flaw: str | None = None) -> None:
        self.line = line
        self.original = original
        self.cells = cells
        self.flaw = flaw
        self.memo: list[Any] = []
        self.previous: Row | None = None
        self.next: Row | None = None
        self.now: datetime | None = None


Getter = Callable[[Row], Any]
"""Gives a value of a row; None where there is none. May raise CellRefused."""


def neighbour(which: str, get: Getter) -> Getter:
    """A value of the row before (`previous`) or after (`next`) in its series; absent where there is none."""

    def value(row: Row) -> Any:
        other = row.previous if which == "previous" else row.next
        return None if other is None else get(other)

    return value


def shown(value: object) -> str:
    """A cell in a message: quoted, at most 40 characters."""
    text = str(value)
    return f'"{text[:40]}…"' if len(text) > 40 else f'"{text}"'


def text_of(value: Any) -> str:
    """The text of a cell or of a JSON scalar. Raises CellRefused for an object or an array."""
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise CellRefused("holds an object or an array where a text is needed")
