"""`salescycle rebuild`: builds a read model anew beside the one that serves, swaps it in, or goes back to the one before."""

import asyncio
from typing import Annotated

import asyncpg
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from services.cli import settings
from services.cli.migrate import PROJECTIONS_SCHEMA
from services.cli.settings import CliSettings
from services.kernel import postgres
from services.kernel.feed_client import FeedClient
from services.projections.models import MODELS, make_model
from services.projections.rebuild import Rebuild

console = Console(highlight=False, soft_wrap=True)


def rebuild(
    model: Annotated[str, typer.Argument(help=f"Read model: {', '.join(MODELS)}.")],
    roll_back: Annotated[
        bool, typer.Option("--roll-back", help="Go back to the generation before, once it has caught up.")
    ] = False,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Afterwards drop every generation that does not serve.")
    ] = False,
) -> None:
    """Build MODEL anew from the log while the old one serves, then swap. An interrupted rebuild goes on where it stopped."""
    asyncio.run(_rebuild(settings.load(), model, roll_back, drop_old))


async def open_pool(given: CliSettings) -> asyncpg.Pool:
    """Connections that may do what a projections service may, and no more."""
    return await postgres.create_pool(
        given.postgres.url.get_secret_value(),
        schema=PROJECTIONS_SCHEMA,
        role="salescycle_projector",
        min_size=1,
        max_size=8,
    )


async def _rebuild(given: CliSettings, name: str, roll_back: bool, drop_old: bool) -> None:
    model = make_model(name, given)
    pool = await open_pool(given)
    feed = FeedClient(given.lifecycle_url, given.key.get_secret_value() if given.key else "")
    reached = dict.fromkeys(range(given.log.partitions), (0, 0))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console) as bars:
            task = bars.add_task(name, total=None)

            def progress(partition: int, position: int, head: int) -> None:
                reached[partition] = position, head
                bars.update(
                    task, completed=sum(at for at, _ in reached.values()), total=sum(to for _, to in reached.values())
                )

            work = Rebuild(pool, model, feed, given.log.partitions, progress)
            generation = await (work.roll_back() if roll_back else work.build())
        console.print(f"Generation {generation} of {name} is live.")
        if drop_old:
            dropped = await work.drop_old()
            console.print(f"Dropped: {', '.join(map(str, dropped)) or 'nothing'}.")
        else:
            console.print(
                f"The one before stays: `salescycle rebuild {name} --roll-back` goes back to it, `--drop-old` drops it."
            )
    finally:
        await feed.close()
        await pool.close()
