"""Rows that stand in one order: the periods of one customer, the stages of one deal. Each then knows its neighbours.

    series: {by: "{customer_id}", order: {day: "{start_date}"}}

`{previous.amount}` is a value of the row before it in its series, `{next.amount}` of the row after it. The rows of a series
are refused together, so that a file of refused rows still holds whole series.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from services.cli.importing.node import Node
from services.cli.importing.row import CellRefused, Getter, Row
from services.cli.machine import CannotStart

MAX_ROWS: Final = 500_000


class Series:
    """Compiled from `series` of a mapping. Raises BadMapping."""

    def __init__(self, node: Node, compile_value: Callable[[Node, str], Getter]) -> None:
        parts = node.members(("by", "order"), required=("by", "order"))
        self._by = compile_value(parts["by"], "series")
        self._order = compile_value(parts["order"], "series")

    def groups(self, rows: Iterable[Row], ready: Callable[[Row], None]) -> Iterator[list[Row]]:
        """Each series in its order, by where the first of its rows stands in the file; a row that belongs to none, alone.

        `ready` prepares a row for being asked for values. Rows of equal order stay as in the file. Raises CannotStart:
        too many rows to hold in memory.
        """
        series: dict[str | int, list[tuple[Any, int, Row]]] = {}
        for number, row in enumerate(rows):
            if number >= MAX_ROWS:
                raise CannotStart(f"A file with `series` may have {MAX_ROWS:,} rows: split it, each series in one part")
            ready(row)
            by, order = self._place(row)
            series.setdefault(number if by is None else by, []).append((order, number, row))
        for members in series.values():
            members.sort(key=lambda member: member[:2])
            group = [row for _, _, row in members]
            for earlier, later in pairwise(group):
                earlier.next, later.previous = later, earlier
            yield group

    def _place(self, row: Row) -> tuple[str | None, Any]:
        """Which series, None where that cannot be told, and where in it; a row without its place gets a flaw."""
        by, order = None, None
        try:
            by = None if row.flaw else self._by(row)
            order = None if row.flaw else self._order(row)
        except CellRefused as refused:
            row.flaw = f"has no place in its series: {refused}"
        if row.flaw is None and (by is None or order is None):
            row.flaw = f"has no place in its series: `{'by' if by is None else 'order'}` has no value"
        return None if by is None else str(by), _comparable(order)


def _comparable(order: Any) -> tuple[int, Any]:
    """Numbers before moments before texts; instants as such, since their texts do not sort."""
    if order is None:
        return 3, 0
    if isinstance(order, int | float):
        return 0, order
    try:
        moment = datetime.fromisoformat(order)
    except (TypeError, ValueError):
        return 2, str(order)
    return (1, moment.timestamp()) if moment.tzinfo else (2, str(order))
