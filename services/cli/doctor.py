"""`salescycle doctor`: looks at everything the system needs, and says what to do where something is wrong."""

import asyncio
import json
import stat
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import asyncpg
import httpx
import typer
from rich.console import Console

from services.cli import settings, topics
from services.cli.machine import CannotStart
from services.cli.migrate import LIFECYCLE_SCHEMA, PROJECTIONS_SCHEMA
from services.cli.settings import CliSettings
from services.kernel import auth, clock
from services.kernel import migrate as migrations
from services.kernel.errors import SalescycleError

SKEW_WARNED_MS: Final = 1_000
COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}

console = Console(highlight=False, soft_wrap=True)


class Finding(NamedTuple):
    """One line: what was looked at, how it is, what was seen, and what to do where it is not well."""

    what: str
    state: Literal["ok", "warn", "fail"]
    seen: str
    do: str = ""


Check = Callable[[CliSettings], Coroutine[Any, Any, list[Finding]]]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")] = False,
) -> None:
    """Check Python, PostgreSQL, broker, topics, keys, services and clocks. Exit code 1 where something fails."""
    findings = asyncio.run(_findings())
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            colour = COLOURS[finding.state]
            console.print(f"[{colour}]{finding.state:<4}[/{colour}]  {finding.what:<{width}}  ", end="")
            console.print(finding.seen, markup=False)
            if finding.do:
                console.print(f"      {'':<{width}}  → {finding.do}", markup=False)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


async def _findings() -> list[Finding]:
    try:
        given = settings.load()
    except CannotStart as unknown:
        return [*_python(), Finding("settings", "fail", str(unknown))]
    return await examine(given)


async def examine(given: CliSettings) -> list[Finding]:
    """Every check, in order; one that cannot look is itself a finding, and never an error."""
    checks: Sequence[Check] = (_postgres, _broker, _keys, _services)
    return [*_python(), *[finding for check in checks for finding in await check(given)]]


def _python() -> list[Finding]:
    seen = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return [Finding("Python", "ok" if good else "fail", seen, "" if good else "install Python 3.11 or newer")]


async def _postgres(given: CliSettings) -> list[Finding]:
    try:
        connection = await asyncpg.connect(given.postgres.url.get_secret_value(), timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        do = "start it (`make up`), or name another one: SALESCYCLE_POSTGRES__URL"
        return [Finding("PostgreSQL", "fail", f"not reachable: {type(error).__name__}", do)]
    try:
        return [
            _version(connection.get_server_version().major),
            *[await _durable(connection, name) for name in ("fsync", "synchronous_commit", "full_page_writes")],
            await _level(connection, LIFECYCLE_SCHEMA, migrations.LOG),
            await _level(connection, PROJECTIONS_SCHEMA, migrations.CONSUMER),
            await _skew(connection),
        ]
    finally:
        await connection.close()


def _version(major: int) -> Finding:
    if major < 14:
        return Finding("PostgreSQL", "fail", f"version {major}", "use PostgreSQL 14 or newer; 18 is what we test with")
    return Finding(
        "PostgreSQL",
        "ok" if major >= 18 else "warn",
        f"version {major}",
        "" if major >= 18 else "18 is what we test with",
    )


async def _durable(connection: asyncpg.Connection, name: str) -> Finding:
    value = str(await connection.fetchval("SELECT current_setting($1)", name))
    if value in {"on", "remote_write", "remote_apply"}:
        return Finding(name, "ok", value)
    return Finding(name, "fail", value, f"set {name} = on: with {value} an acknowledged event can be lost")


async def _level(connection: asyncpg.Connection, schema: str, component: migrations.Component) -> Finding:
    newest = len(migrations.migrations_of(component))
    applied = (await migrations.level(connection, schema)).get(component.name, 0)
    what = f"schema {schema}"
    if applied == newest:
        return Finding(what, "ok", f"level {applied}")
    do = "run `salescycle migrate`" if applied < newest else "this program is older than the store: run a newer one"
    return Finding(what, "fail", f"level {applied}, this program wants {newest}", do)


async def _skew(connection: asyncpg.Connection) -> Finding:
    before = clock.utc_now()
    there: datetime = await connection.fetchval("SELECT clock_timestamp()")
    after = clock.utc_now()
    skew_ms = (there.astimezone(UTC) - (before + (after - before) / 2)).total_seconds() * 1000
    good = abs(skew_ms) <= SKEW_WARNED_MS
    do = "" if good else "set both clocks by NTP: dates in the future are judged by ours, recorded_at by PostgreSQL's"
    return Finding("clocks", "ok" if good else "warn", f"PostgreSQL's is {skew_ms:+.0f} ms from ours", do)


async def _broker(given: CliSettings) -> list[Finding]:
    try:
        found = await topics.plan(given, given.topics_file)
    except SalescycleError as error:
        do = "start it (`make up`, `make kafka`), or name another one: SALESCYCLE_KAFKA__BOOTSTRAP"
        return [Finding("broker", "fail", error.detail, do)]
    return [Finding("broker", "ok", given.kafka.bootstrap), *map(_topic, found)]


def _topic(topic: topics.Plan) -> Finding:
    what = "topic"
    if topic.partitions_found is None:
        return Finding(what, "fail", f"{topic.name} does not exist", "run `salescycle topics apply`")
    seen = f"{topic.name} has {topic.partitions_found} partitions"
    if topic.partitions_found == topic.partitions:
        return Finding(what, "ok", seen)
    do = "delete the topic and run `salescycle topics apply`; the relay publishes it again from the log"
    return Finding(what, "fail", f"{seen}, the log has {topic.partitions}", do)


async def _keys(given: CliSettings) -> list[Finding]:
    path = given.keys_path
    if not path.exists():
        do = "make one: `salescycle keys create --scopes all`, or name the file: SALESCYCLE_KEYS_FILE"
        return [Finding("keys", "fail", f"there is no {path}", do)]
    files = [file for file in (path, given.data_dir / "key", given.data_dir / "environment") if file.exists()]
    modes = {file: stat.S_IMODE(file.stat().st_mode) for file in files}
    findings = [
        Finding("keys", "fail", f"{file} has mode {mode:03o}: others may read it", f"chmod 600 {file}")
        for file, mode in modes.items()
        if mode & 0o077
    ]
    try:
        good = sum(key.revoked_at is None for key in auth.read_keys(path).keys)
    except auth.KeysUnreadable as error:
        return [*findings, Finding("keys", "fail", error.detail, "restore the file, or delete it and make new keys")]
    if good == 0:
        return [
            *findings,
            Finding("keys", "warn", f"no key in {path} is good", "`salescycle keys create --scopes all`"),
        ]
    return findings or [Finding("keys", "ok", f"{good} good in {Path(path)}")]


async def _services(given: CliSettings) -> list[Finding]:
    findings = []
    async with httpx.AsyncClient(timeout=5) as client:
        for name, http in (("lifecycle", given.lifecycle), ("projections", given.projections)):
            url = f"http://{http.host}:{http.management_port}/readyz"
            try:
                answer = await client.get(url)
            except httpx.HTTPError as error:
                findings.append(Finding(name, "fail", f"{url}: {type(error).__name__}", "start it: `make up`"))
                continue
            if answer.status_code == 200:
                findings.append(Finding(name, "ok", f"ready at {http.base_url}"))
            else:
                findings.append(Finding(name, "fail", f"not ready: {answer.text[:300].strip()}", "see its log"))
    return findings
