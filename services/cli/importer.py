"""`salescycle import`: the rows of a file as events, by a mapping; safe to interrupt and to repeat."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from services.cli import settings
from services.cli.importing import run
from services.cli.importing.delivery import Delivery, NoAnswer
from services.cli.importing.mapping import Mapping
from services.cli.importing.reading import Source
from services.cli.importing.refusals import Refusals
from services.cli.importing.tally import Tally
from services.cli.machine import CannotStart

SHIPPED: Final = settings.ROOT / "deploy" / "mappings"
SHOWN_EVENTS: Final = 5
INTERRUPTED: Final = 130


def import_(
    file: Annotated[Path, typer.Argument(help="CSV, TSV or NDJSON; may end in .gz. Lookups lie beside it.")],
    mapping: Annotated[str, typer.Option(help="The mapping: a YAML file, or the name of one in deploy/mappings.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row and show the first events; needs no server.")
    ] = False,
    url: Annotated[str | None, typer.Option(help="The lifecycle service; default: the one that runs here.")] = None,
    refused: Annotated[
        Path | None, typer.Option(help="Write refused rows here, to be mended and imported again.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many rows.")] = None,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to go on trying while the service does not answer.")
    ] = 120.0,
) -> None:
    """Turn the rows of FILE into events and post them.

    Repeating an import stores nothing twice, so after an interruption the same command goes on. Exit code 1: rows were
    refused, or it could not go on; 130: interrupted.
    """
    console = Console(highlight=False, soft_wrap=True)
    compiled = Mapping.read(_mapping_path(mapping))
    source = Source(file, compiled)
    run.prepare(compiled, source)
    refusals = Refusals(refused, source)
    tally = Tally()
    begun = time.monotonic()
    interrupted = False
    try:
        if dry_run:
            _rehearse(console, compiled, source, refusals, tally, limit)
        else:
            _send(console, compiled, source, refusals, tally, limit, url, patience)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        source.close()
        refusals.close()
        if tally.rows:
            _conclude(console, tally, refusals, refused, time.monotonic() - begun, dry_run=dry_run)
    if interrupted:
        console.print("Interrupted. The same command goes on: what is stored is known, and is not stored again.")
        raise typer.Exit(INTERRUPTED)
    if refusals.count:
        raise typer.Exit(1)


def _mapping_path(given: str) -> Path:
    """A path, or the name of a shipped mapping."""
    path, shipped = Path(given), SHIPPED / f"{given}.yaml"
    if path.exists() or not shipped.exists():
        if not path.exists() and "/" not in given:
            names = ", ".join(sorted(each.stem for each in SHIPPED.glob("*.yaml")))
            raise CannotStart(f"There is no mapping {given}: name a YAML file, or one that ships: {names}")
        return path
    return shipped


def _send(
    console: Console, mapping: Mapping, source: Source, refusals: Refusals, tally: Tally,
    limit: int | None, url: str | None, patience_s: float,
) -> None:  # fmt: skip
    found = settings.load()

    def waiting(trouble: str) -> None:
        tally.waiting = trouble

    async def work(progress: Progress) -> None:
        bar = asyncio.create_task(_moving(progress, source))
        delivery = Delivery(url or found.lifecycle_url, found.authorization(), patience_s=patience_s, waiting=waiting)
        try:
            async with delivery:
                await run.send(mapping, source, refusals, delivery, tally, limit)
        finally:
            bar.cancel()

    try:
        with _progress(console, tally) as progress:
            asyncio.run(work(progress))
    except NoAnswer as no_answer:
        raise NoAnswer(
            f"{no_answer}. {tally.new + tally.known:,} events are stored; when it answers again, the same command goes on"
        ) from None


def _rehearse(
    console: Console, mapping: Mapping, source: Source, refusals: Refusals, tally: Tally, limit: int | None
) -> None:
    first: list[dict[str, Any]] = []
    with _progress(console, tally) as progress:
        task = progress.add_task(source.path.name, total=max(source.size, 1))

        def shown(event: dict[str, Any]) -> None:
            if len(first) < SHOWN_EVENTS:
                first.append(event)
            if tally.rows % 500 == 0:
                progress.update(task, completed=source.bytes_read)

        run.rehearse(mapping, source, refusals, tally, limit, shown)
    for event in first:
        console.print(msgspec.json.format(msgspec.json.encode(event)).decode(), markup=False)
    for name, count in tally.types.most_common():
        console.print(f"{count:>10,}  {name}")


def _conclude(
    console: Console, tally: Tally, refusals: Refusals, path: Path | None, seconds: float, *, dry_run: bool
) -> None:
    for line in refusals.first:
        console.print(f"refused: {line}", markup=False)
    if refusals.count > len(refusals.first):
        console.print(f"refused: … and {refusals.count - len(refusals.first):,} more rows")
    if refusals.count:
        where = f"They are in {path}, with their reasons" if path else "`--refused FILE` writes them to a file"
        console.print(f"{where}: mend them there and import that file with the same mapping.", markup=False)
    if dry_run:
        events = sum(tally.types.values())
        pace = f"{tally.rows / seconds:,.0f} rows/s" if seconds > 0 else ""
        console.print(
            f"Dry run, nothing was sent: {tally.rows:,} rows, {events:,} events, {refusals.count:,} rows refused ({pace})"
        )
    else:
        console.print(tally.summary(seconds))


class _Figures(ProgressColumn):
    """Rows a second, and what became of the events."""

    max_refresh = 0.25

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        tally = self._tally
        pace = tally.rows / task.elapsed if task.elapsed else 0.0
        text = f"{pace:,.0f} rows/s · {tally.new:,} new · {tally.known:,} known · {tally.rows_refused:,} refused"
        return Text(f"{text} · {tally.waiting}" if tally.waiting else text)


def _progress(console: Console, tally: Tally) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), _Figures(tally), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


async def _moving(progress: Progress, source: Source) -> None:
    task = progress.add_task(source.path.name, total=max(source.size, 1))
    while True:
        progress.update(task, completed=source.bytes_read)
        await asyncio.sleep(0.2)
