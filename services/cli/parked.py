"""`salescycle parked`: events that a read model could not apply, and the later ones of their leads, until someone retries them."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services.cli import settings
from services.cli.rebuild import open_pool

app = typer.Typer(no_args_is_help=True, help="Events that could not take effect.")
console = Console(highlight=False, soft_wrap=True)

_LIVE = "JOIN read_model AS r ON r.name = p.model AND r.live_generation = p.generation"


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """One line a lead: where it stopped, and why."""
    rows = asyncio.run(_list())
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        console.print("Nothing is parked.")
        return
    table = Table("read model", "lead", "partition", "first position", "events", "parked at", "cause")
    for row in rows:
        table.add_row(
            *(str(row[key]) for key in ("model", "stream", "partition", "position", "events", "parked_at", "cause"))
        )
    console.print(table)
    console.print("`salescycle parked retry` applies them again, in order, once the cause is mended.")


@app.command()
def retry(
    stream: Annotated[str | None, typer.Argument(help="Only this lead, such as lead/L-1; default: all.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the services to do it.")] = 30,
) -> None:
    """Ask the services to apply parked events again. Exit code 1 where some are parked still."""
    asked, left = asyncio.run(_retry(stream, wait))
    if not asked and stream is not None:
        console.print(f"No lead {stream} is parked: `salescycle parked list` names those that are.", markup=False)
        raise typer.Exit(1)
    if not asked:
        console.print("Nothing is parked.")
        return
    if left:
        console.print(
            f"{left} leads are parked still: `salescycle parked list` says why, and whether projections runs."
        )
        raise typer.Exit(1)
    console.print("Nothing of it is parked any more.")


async def _list() -> list[dict[str, Any]]:
    pool = await open_pool(settings.load())
    try:
        rows = await pool.fetch(
            "SELECT p.model, p.stream, p.partition, min(p.position) AS position, count(*) AS events, min(p.parked_at) AS parked_at, "
            f"(array_agg(p.cause ORDER BY p.position))[1] AS cause FROM parked AS p {_LIVE} "
            "GROUP BY p.model, p.stream, p.partition ORDER BY p.model, min(p.parked_at), p.stream LIMIT 500"
        )
    finally:
        await pool.close()
    return [{**row, "parked_at": row["parked_at"].isoformat(timespec="seconds")} for row in rows]


async def _retry(stream: str | None, wait_s: float) -> tuple[int, int]:
    """How many events a retry was asked for, and how many leads are parked still."""
    pool = await open_pool(settings.load())
    try:
        chosen = f"FROM parked AS p {_LIVE} WHERE (CAST($1 AS text) IS NULL OR p.stream = $1)"
        updated = await pool.execute(
            "UPDATE parked AS q SET retry_requested = true WHERE (q.model, q.generation, q.partition, q.position) IN "
            f"(SELECT p.model, p.generation, p.partition, p.position {chosen})",
            stream,
        )  # fmt: skip
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            ((asked, left),) = await pool.fetch(
                f"SELECT count(*) FILTER (WHERE p.retry_requested), count(DISTINCT (p.model, p.stream)) {chosen}",
                stream,
            )
            if not asked or asyncio.get_running_loop().time() > deadline:
                return int(updated.removeprefix("UPDATE ")), int(left)
            await asyncio.sleep(0.2)
    finally:
        await pool.close()
