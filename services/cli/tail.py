"""`salescycle tail`: follows the log in a form that people read, one line an event, from the server-sent events of lifecycle."""

import asyncio
from typing import Annotated, Any

import httpx
import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from schemas.events import EVENTS
from services.cli import settings
from services.cli.importing.node import did_you_mean
from services.cli.machine import CannotStart
from services.cli.settings import CliSettings

console = Console(highlight=False, soft_wrap=True)


def tail(
    beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the first event, not with the next one.")
    ] = False,
    lead: Annotated[str | None, typer.Option(help="Only this lead, such as L-1.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only events of this type.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Structured CloudEvents, one a line.")] = False,
    count: Annotated[int | None, typer.Option("-n", min=1, help="Stop after so many events.")] = None,
) -> None:
    """Follow the log until Ctrl-C."""
    if type_ is not None and type_ not in EVENTS:
        raise CannotStart(
            f"There is no event type {type_}{did_you_mean(type_, EVENTS)}; there are: {', '.join(EVENTS)}"
        )
    try:
        asyncio.run(_tail(settings.load(), beginning, lead, type_, as_json, count))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def _tail(
    given: CliSettings, beginning: bool, lead: str | None, type_: str | None, as_json: bool, count: int | None
) -> None:
    cursor: str | None = None
    shown = 0
    headers = given.authorization()
    async with httpx.AsyncClient(base_url=given.lifecycle_url, timeout=httpx.Timeout(60, connect=5)) as http:
        while True:
            asked = {**headers, "last-event-id": cursor} if cursor else headers
            parameters = {} if cursor or beginning else {"after": "now"}
            try:
                async with http.stream("GET", "/v1/log", headers=asked, params=parameters) as stream:
                    if stream.status_code != 200:
                        await stream.aread()
                        raise CannotStart(f"lifecycle answers {stream.status_code}: {stream.json().get('detail', '')}")
                    if cursor is None and not as_json:
                        console.print(f"[dim]Following {given.lifecycle_url}; Ctrl-C ends it.[/dim]")
                    async for line in stream.aiter_lines():
                        if line.startswith("id: "):
                            cursor = line[4:]
                        elif line.startswith("data: ") and _wanted(event := msgspec.json.decode(line[6:]), lead, type_):
                            print(line[6:], flush=True) if as_json else console.print(_sentence(event))
                            shown += 1
                            if count is not None and shown >= count:
                                return
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.ReadTimeout):
                pass  # the service stopped or was started again; the cursor knows where we were
            except httpx.ConnectError:
                if cursor is None:
                    raise
            await asyncio.sleep(1)


def _wanted(event: dict[str, Any], lead: str | None, type_: str | None) -> bool:
    return (lead is None or event["subject"] == f"lead/{lead}") and (type_ is None or event["type"] == type_)


def _sentence(event: dict[str, Any]) -> str:
    """`partition:position  when  stream@version  Type  what`, without person data."""
    data = event["data"]
    said = [f"{key}={_short(value)}" for key, value in data.items() if key != "person"]
    anomaly = f"  [yellow]anomalous: {escape(event['anomaly'])}[/yellow]" if "anomaly" in event else ""
    place = f"{event['partition']:>2}:{event['position']:<7}"
    return (
        f"[dim]{place} {event['time'][:19]}[/dim]  {escape(event['subject'])}[dim]@{event['version']}[/dim]  "
        f"[bold]{event['type']}[/bold]  {escape(' '.join(said))}{anomaly}"
    )


def _short(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"amount", "currency"}:
        return f"{value['amount']} {value['currency']}"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:59] + "…"
