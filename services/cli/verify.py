"""`salescycle verify`: compares store, topic and read models, position by position and fold by fold."""

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated

import asyncpg
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from services.cli import settings
from services.cli.migrate import LIFECYCLE_SCHEMA
from services.cli.rebuild import open_pool
from services.cli.settings import CliSettings
from services.cli.verification.finding import Difference
from services.cli.verification.read_model import check_level, check_rebuilt
from services.cli.verification.store import check_store
from services.cli.verification.topic import check_topic
from services.kernel.decider import Deciders
from services.kernel.feed_client import FeedClient
from services.kernel.placements import ranges
from services.lifecycle.domain.attributes import attribute_deciders
from services.lifecycle.domain.lead import LeadDecider
from services.lifecycle.pipelines import load_pipelines
from services.projections.models import MODELS, make_model

console = Console(highlight=False, soft_wrap=True)
SHOWN = 100


def verify(
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for topic and read models to be level with the log.")
    ] = 30,
    rebuild: Annotated[bool, typer.Option(help="Also build every read model again and compare.")] = True,
    topic: Annotated[bool, typer.Option(help="Also compare the topic.")] = True,
) -> None:
    """Compare store, topic and read models, and name every difference. Exit code 1 where there is one."""
    differences = asyncio.run(_verify(settings.load(), wait, rebuild, topic))
    for difference in differences[:SHOWN]:
        console.print(f"[red]differs[/red]  {difference.where}: {difference.what}")
    if len(differences) > SHOWN:
        console.print(f"… and {len(differences) - SHOWN} more")
    if differences:
        raise typer.Exit(1)
    console.print("[green]No difference.[/green]")


async def _verify(given: CliSettings, wait_s: float, rebuild: bool, topic: bool) -> list[Difference]:
    bars = Progress(
        TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    tasks: dict[str, TaskID] = {}

    def progress(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)

    async with AsyncExitStack() as stack:
        stack.enter_context(bars)
        found: list[Difference] = []
        connections: dict[int, asyncpg.Connection] = {}
        heads: dict[int, tuple[int, str | None]] = {}
        deciders: Deciders = {"lead": LeadDecider(load_pipelines(given.pipelines_dir)), **attribute_deciders()}
        for _, url, owned in ranges(given.log.partitions, given.log.placements, given.postgres):
            connection = await asyncpg.connect(url, timeout=10, server_settings={"search_path": LIFECYCLE_SCHEMA})
            stack.push_async_callback(connection.close)
            connections.update(dict.fromkeys(owned, connection))
            rows = await connection.fetch(
                "SELECT l.partition, l.head, e.id FROM log_partition AS l LEFT JOIN event AS e ON e.partition = l.partition AND e.position = l.head"
            )
            heads.update({row[0]: (row[1], row[2]) for row in rows})
            found += [difference async for difference in check_store(connection, deciders, owned, progress)]
        if topic:
            found += await _check_topic(
                given, connections, {p: head for p, (head, _) in heads.items()}, wait_s, progress
            )
        pool = await open_pool(given)
        stack.push_async_callback(pool.close)
        feed = FeedClient(given.lifecycle_url, given.key.get_secret_value() if given.key else "")
        stack.push_async_callback(feed.close)
        for name in MODELS:
            behind = await check_level(pool, name, heads, wait_s)
            found += behind
            if rebuild and not behind:
                model = make_model(name, given)
                found += [each async for each in check_rebuilt(pool, model, feed, given.log.partitions, progress)]
        return found


async def _check_topic(given, connections, heads, wait_s, progress) -> list[Difference]:  # type: ignore[no-untyped-def]
    """Compare the topic; what is only not yet there gets `wait_s` to come."""
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        found = [
            each async for each in check_topic(connections, given.kafka, given.kafka.events_topic, heads, progress)
        ]
        late = found and all("without a hole" in each.what for each in found)
        if not late or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(0.5)
