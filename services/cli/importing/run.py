"""An import from its first row to its last: read, translate, send. The command shows it, tests call it."""

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

from services.cli.importing.delivery import Delivery
from services.cli.importing.lanes import LANES, Lanes
from services.cli.importing.mapping import Mapping
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
                for row in _limited(source, limit):
                    events = _translated(mapping, row, refusals, tally)
                    if events:
                        await lanes.put(row, events)
                    if tally.rows % BREATH == 0:
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
    for row in _limited(source, limit):
        try:
            events = _translated(mapping, row, refusals, tally)
        except Collided as collided:
            tally.rows_refused += 1
            refusals.add(row, collided.reasons)
            continue
        for event in events:
            shown(event)


class Collided(CannotStart):
    """A row names what another row named otherwise; see names.NameBook."""

    def __init__(self, row: Row, collision: NameCollision) -> None:
        super().__init__(f"line {row.line}: {collision}")
        self.reasons = [Reason("row", str(collision))]


def _translated(mapping: Mapping, row: Row, refusals: Refusals, tally: Tally) -> list[dict[str, Any]]:
    tally.rows += 1
    try:
        events, reasons = mapping.translate(row, utc_now())
    except NameCollision as collision:
        raise Collided(row, collision) from None
    if reasons:
        tally.rows_refused += 1
        refusals.add(row, reasons)
    elif not events:
        tally.rows_silent += 1
    for event in events:
        tally.types[event["type"]] += 1
    return events


def _limited(source: Source, limit: int | None) -> Iterable[Row]:
    return islice(source.rows(), limit)
