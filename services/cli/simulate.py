"""`salescycle simulate`: a seeded company into files, or through the door of a running system; with its true figures."""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.cli import settings
from services.cli.importing.delivery import Delivery
from services.cli.importing.tally import Tally
from services.cli.machine import CannotStart
from services.cli.simulation import Options, Simulation, in_order
from services.cli.simulation.options import DEFAULT_MONTHS, DEFAULT_START, BadOptions
from services.kernel.clock import utc_now

EVENTS_FILE: Final = "events.ndjson"
TRUTH_FILE: Final = "truth.json"
BATCH: Final = 500
REFUSED_SHOWN: Final = 5


def simulate(
    leads: Annotated[int, typer.Option(help="How many leads, from a hundred to ten million.")],
    seed: Annotated[int, typer.Option(help="The same seed and options give the same bytes, on any machine.")] = 1,
    out: Annotated[Path | None, typer.Option(help=f"Write {EVENTS_FILE} and {TRUTH_FILE} into this folder.")] = None,
    post: Annotated[
        str | None, typer.Option(help="Post the events to this lifecycle service; `here`: the one that runs here.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Events a second at most; as fast as it goes without.")
    ] = None,
    start: Annotated[str, typer.Option(help="First day, the first of a month.")] = DEFAULT_START.isoformat(),
    months: Annotated[int, typer.Option(help="How many months.")] = DEFAULT_MONTHS,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to go on trying while the service does not answer.")
    ] = 120.0,
) -> None:
    """Make up a company and tell what happened in it, in the order in which it would have arrived.

    Posting again stores nothing twice, so after an interruption the same command goes on. Exit code 1: events were refused.
    """
    console = Console(highlight=False, soft_wrap=True)
    if out is None and post is None:
        raise CannotStart("Say where it goes: --out DIR for files, --post URL for a running system, or both")
    simulation = Simulation(_options(leads, seed, start, months))
    tally = Tally()
    begun = time.monotonic()
    with _progress(console) as progress:
        lines = _paced(_shown(simulation, progress), rate)
        if out is not None:
            lines = _filed(lines, out)
        sending = None if post is None else _post(lines, simulation, post, patience, tally)
        events = sum(1 for _ in lines) if sending is None else asyncio.run(sending)
    if out is not None:
        _write(out / TRUTH_FILE, (json.dumps(simulation.truth(), indent=2) + "\n").encode())
    _conclude(console, events, tally, out, posted=post is not None, seconds=time.monotonic() - begun)
    if tally.refused:
        raise typer.Exit(1)


def _options(leads: int, seed: int, start: str, months: int) -> Options:
    try:
        return Options(leads, seed, date.fromisoformat(start), months)
    except BadOptions as bad:
        raise CannotStart(str(bad)) from None
    except ValueError:
        raise CannotStart("--start is a day such as 2023-01-01") from None


def _shown(simulation: Simulation, progress: Progress) -> Iterator[bytes]:
    """The lines in order of arrival, with a bar while they are made and one while they go out."""
    making = progress.add_task("making leads", total=simulation.options.leads)

    def batches() -> Iterator[list[bytes]]:
        for number, batch in enumerate(simulation.batches()):
            if number % 200 == 0:
                progress.update(making, completed=simulation.leads_made)
            yield batch
        progress.update(making, completed=simulation.leads_made)

    telling = None
    for number, line in enumerate(in_order(batches(), _spool)):
        if telling is None:
            counted = simulation.teller
            telling = progress.add_task("events", total=counted.types.total() + counted.facts["duplicates"])
        if number % 500 == 0:
            progress.update(telling, completed=number)
        yield line


def _spool() -> BinaryIO:
    return tempfile.TemporaryFile(prefix="salescycle-simulate-", buffering=256 * 1024)  # type: ignore[return-value]


def _paced(lines: Iterator[bytes], rate: float | None) -> Iterator[bytes]:
    """At most so many a second, evenly."""
    if rate is None:
        yield from lines
        return
    begun = time.monotonic()
    for number, line in enumerate(lines):
        ahead_s = number / rate - (time.monotonic() - begun)
        if ahead_s > 0.01:
            time.sleep(ahead_s)
        yield line


def _filed(lines: Iterator[bytes], folder: Path) -> Iterator[bytes]:
    """The lines, each also written; the file has its name once it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{EVENTS_FILE}.part"
    with unfinished.open("wb", buffering=1024 * 1024) as file:
        for line in lines:
            file.write(line)
            yield line
    unfinished.replace(folder / EVENTS_FILE)


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_bytes(content)
    unfinished.replace(path)


async def _post(lines: Iterable[bytes], simulation: Simulation, url: str, patience_s: float, tally: Tally) -> int:
    """Send everything, one batch after another: what one stream derives from another relies on their order."""
    end = datetime.fromtimestamp(simulation.period.end, UTC)
    if end > utc_now() + timedelta(hours=23):
        raise CannotStart(
            f"The period ends on {end:%Y-%m-%d}, and a service takes no events of the future: choose an earlier --start"
        )
    found = settings.load()

    def waiting(trouble: str) -> None:
        tally.waiting = trouble

    sent = 0
    address = found.lifecycle_url if url == "here" else url
    async with Delivery(address, found.authorization(), patience_s=patience_s, waiting=waiting) as delivery:
        for batch in _batches(lines):
            for line, result in zip(batch, await delivery.post(batch), strict=True):
                sent += 1
                match result["status"]:
                    case 201:
                        tally.new += 1
                        tally.anomalous += "anomaly" in result
                    case 200:
                        tally.known += 1
                    case status:
                        tally.refused += 1
                        if tally.refused <= REFUSED_SHOWN:
                            _complain(line, status, result)
    return sent


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _complain(line: bytes, status: int, result: dict[str, object]) -> None:
    event = json.loads(line)
    why = result.get("errors") or result.get("detail") or ""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"refused ({status}): {event['id']} {event['type']}: {why}", markup=False
    )


def _conclude(console: Console, events: int, tally: Tally, out: Path | None, *, posted: bool, seconds: float) -> None:
    pace = f"{events / seconds:,.0f} events/s" if seconds > 0 else ""
    if out is not None:
        console.print(f"{events:,} lines in {out / EVENTS_FILE}, the true figures in {out / TRUTH_FILE}", markup=False)
    if posted:
        console.print(f"{tally.new:,} events stored, {tally.known:,} known already, {tally.refused:,} refused")
    console.print(f"{seconds:.1f} s, {pace}")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
