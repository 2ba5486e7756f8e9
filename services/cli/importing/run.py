"""An import from its first row to its last: read, translate, send. The command shows it, tests call it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

from services.cli.importing.delivery import Delivery
from services.cli.importing.lanes import LANES, Lanes, together
from services.cli.importing.mapping import Mapping, Translated
from services.cli.importing.reading import Source
from services.cli.importing.refusals import Refusals
from services.cli.importing.row import NameCollision, Reason, Row
from services.cli.importing.tally import Tally
from services.cli.machine import CannotStart
from services.kernel.clock import utc_now

BREATH: Final = 25
"""Rows after which the sender's turn comes: translating does not wait for anything by itself."""


def prepare(mapping: Mapping, source: Source) -> None:
    """Read the lookups beside the file. Raises BadMapping."""
    mapping.load_lookups(source.path.parent)


async def send(
    mapping: Mapping, source: Source, refusals: Refusals, delivery: Delivery, tally: Tally, limit: int | None
) -> None:
    """Import the file. Raises CannotStart; what was under way is answered first, except where nobody answers any more."""
    lanes = Lanes(delivery, tally, refusals.add)
    stopped: CannotStart | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for lane in range(LANES):
                group.create_task(lanes.run(lane))
            try:
                breath = 0
                for rows in _groups(mapping, source, limit):
                    translated = _translated(mapping, rows, refusals, tally)
                    if any(each.events for each in translated):
                        await lanes.put(rows, translated)
                    if tally.rows >= breath:
                        breath = tally.rows + BREATH
                        await asyncio.sleep(0)
            except CannotStart as stop:
                stopped = stop
            await lanes.close()
    except BaseExceptionGroup as group_of_errors:
        raise group_of_errors.exceptions[0] from None
    if stopped is not None:
        raise stopped


def rehearse(
    mapping: Mapping,
    source: Source,
    refusals: Refusals,
    tally: Tally,
    limit: int | None,
    shown: Callable[[dict[str, Any]], None],
) -> None:
    """Do everything but send; each event goes to `shown`. A name collision is a refusal here, so that all are found."""
    for rows in _groups(mapping, source, limit):
        try:
            translated = _translated(mapping, rows, refusals, tally)
        except Collided as collided:
            _refuse(rows, {rows.index(collided.row): collided.reasons}, refusals, tally)
            continue
        for each in translated:
            for event in each.events:
                shown(event)


class Collided(CannotStart):
    """A row names what another row named otherwise; see names.NameBook."""

    def __init__(self, row: Row, collision: NameCollision) -> None:
        super().__init__(f"line {row.line}: {collision}")
        self.row = row
        self.reasons = [Reason("row", str(collision))]


def _translated(mapping: Mapping, rows: list[Row], refusals: Refusals, tally: Tally) -> list[Translated]:
    """What rows that belong together give; nothing where one of them is refused."""
    tally.rows += len(rows)
    translated = [_translated_row(mapping, row) for row in rows]
    if reasons := {place: each.reasons for place, each in enumerate(translated) if each.reasons}:
        _refuse(rows, reasons, refusals, tally)
        return []
    for each in translated:
        tally.rows_silent += not each.events
        for event in each.events:
            tally.types[event["type"]] += 1
    return translated


def _translated_row(mapping: Mapping, row: Row) -> Translated:
    try:
        return mapping.translate(row, utc_now())
    except NameCollision as collision:
        raise Collided(row, collision) from None


def _refuse(rows: list[Row], reasons: dict[int, list[Reason]], refusals: Refusals, tally: Tally) -> None:
    tally.rows_refused += len(rows)
    for row, why in together(rows, reasons):
        refusals.add(row, why)


def _groups(mapping: Mapping, source: Source, limit: int | None) -> Iterator[list[Row]]:
    """What belongs together, until `limit` rows are reached; a series is not cut."""
    rows = 0
    for group in mapping.groups(source.rows()):
        yield group
        rows += len(group)
        if limit is not None and rows >= limit:
            return
