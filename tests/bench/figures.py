"""Every figure of a simulated company: what it costs to build the read models, and to ask each metric over HTTP."""

import time
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import asyncpg
import httpx
import uvloop

from schemas.codec import parse_event
from schemas.ijson import decode
from schemas.pipeline_files import read_pipelines
from services.cli.simulate import _spool
from services.cli.simulation import Options, Simulation, in_order
from services.kernel import checkpoint, postgres
from services.kernel.clock import utc_now
from services.kernel.configuration import read_documents
from services.kernel.feed_client import FeedClient
from services.projections.churn import model as churn
from services.projections.models import MODELS
from services.projections.pipeline import model as pipeline
from services.projections.rebuild import Rebuild
from services.projections.reference.facts import ACCOUNT_INTERVAL
from services.projections.settings import SCHEMA
from tests.bench.meter import Meter, main
from tests.support.logs import opened
from tests.support.processes import ROOT

PARTITIONS = 12
MONTHS = 48


def _end() -> date:
    return utc_now().date() - timedelta(days=5)


async def fill(url: str, leads: int) -> dict[str, Any]:
    """A company of that many leads into an empty log, through the committer, derived events and all."""
    end = _end()
    start = date(end.year - MONTHS // 12, end.month, 1)
    simulation = Simulation(Options(leads, 1, start, MONTHS))
    lines = in_order(simulation.batches(), _spool)
    now = utc_now()
    stored = 0
    async with opened(url, max_batch=1_000) as log:
        with Meter() as meter:
            while chunk := [parse_event(decode(line), now) for line in islice(lines, 1_000)]:
                await log.post(*chunk)
                stored += len(chunk)
    return meter.answer(stored, events=stored)


async def rebuild(url: str, feed: str, key: str, model: str) -> dict[str, Any]:
    """One read model from the feed of a running lifecycle, indexes and swap included."""
    pool = await postgres.create_pool(url, schema=SCHEMA, role="salescycle_projector", min_size=2, max_size=10)
    pipelines = read_pipelines(read_documents(ROOT / "deploy" / "pipelines", ".yaml"))
    await checkpoint.ensure_live(pool, MODELS[model](pipelines, "UTC", 50_000), PARTITIONS)
    client = FeedClient(feed, key)
    events = 0

    def count(partition: int, position: int, head: int) -> None:
        nonlocal events
        heads[partition] = head

    heads: dict[int, int] = {}
    with Meter() as meter:
        await Rebuild(pool, MODELS[model](pipelines, "UTC", 50_000), client, PARTITIONS, count).build()
    events = sum(heads.values())
    await client.close()
    await pool.close()
    return meter.answer(events)


IDENTIFIERS = frozenset({"account", "origin", "referrer", "referred", "new_lead", "person"})
"""Attributes of rows that name an account or another lead: a copy of a lead names the copies."""


async def multiply(url: str, times: int) -> dict[str, Any]:
    """Every lead and account `times` times, under other names, in the live generations: rows, cells and their statistics.

    A company so many times as large with the same habits, without waiting an hour for its log: what is measured on it is the
    cost of a question, not of building.
    """
    connection = await asyncpg.connect(url, timeout=30, server_settings={"search_path": SCHEMA})
    written = 0
    with Meter() as meter:
        for name, ledgers in {
            "pipeline": pipeline.LEDGERS,
            "churn": churn.LEDGERS,
            "reference": (ACCOUNT_INTERVAL,),
        }.items():
            generation = await connection.fetchval("SELECT live_generation FROM read_model WHERE name = $1", name)
            home = checkpoint.schema_of(name, generation)
            for ledger in ledgers:
                attributes = [each for each, _ in ledger.attributes]
                copied = [
                    f"{each} || '~' || k" if each in IDENTIFIERS else each for each in attributes
                ]  # an unknown one stays unknown
                table = f'"{home}".{ledger.name}'
                tag = await connection.execute(
                    f"INSERT INTO {table} (partition, subject, number, profile, amount, business_from, business_to, "
                    f"recorded_from, recorded_to{''.join(f', {each}' for each in attributes)}) "
                    "SELECT partition, subject || '~' || k, number, profile, amount, business_from, business_to, "
                    f"recorded_from, recorded_to{''.join(f', {each}' for each in copied)} "
                    f"FROM {table}, generate_series(2, $1) AS k",
                    times,
                )
                written += int(tag.split()[-1])
                if ledger.cells:
                    await connection.execute(f"UPDATE {table}_cell SET n = n * $1, amount = amount * $1", times)
                    await connection.execute(f"VACUUM ANALYZE {table}_cell")
                await connection.execute(f"VACUUM ANALYZE {table}")
    await connection.close()
    return meter.answer(written, rows=written)


async def query(url: str, key: str, path: str, times: int, **parameters: str) -> dict[str, Any]:
    """The same question, again and again, one at a time; the first, which warms the caches, does not count."""
    latencies: list[float] = []
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=120) as client:
        with Meter() as meter:
            for turn in range(times + 1):
                begun = time.perf_counter()
                answer = await client.get(f"{url}{path}", params=parameters)
                if answer.status_code != 200:
                    raise RuntimeError(f"{path} {parameters}: {answer.text}")
                if turn:
                    latencies.append(time.perf_counter() - begun)
    return meter.answer(times, latencies)


PLAIN = {
    "win_rate": """
        WITH closing AS (
            SELECT DISTINCT ON (stream) stream, type, occurred_at FROM lifecycle.event
            WHERE type IN ('Won', 'Lost', 'Reopened', 'Voided') ORDER BY stream, occurred_at DESC, version DESC)
        SELECT count(*) FILTER (WHERE type = 'Won'), count(*) FILTER (WHERE type = 'Lost')
        FROM closing WHERE occurred_at >= $1""",
    "pipeline_snapshot": """
        WITH latest AS (
            SELECT DISTINCT ON (stream) stream, convert_from(data, 'UTF8')::jsonb ->> 'stage' AS stage FROM lifecycle.event
            WHERE type = 'StageEntered' AND occurred_at < now() AND $1::timestamptz IS NOT NULL
            ORDER BY stream, occurred_at DESC, version DESC)
        SELECT stage, count(*) FROM latest GROUP BY 1""",
}
"""What the same question costs without read models; naive: no corrections, no merges, one clock."""


async def plain(url: str, which: str, times: int) -> dict[str, Any]:
    connection = await asyncpg.connect(url)
    since = datetime.now(UTC) - timedelta(days=730)
    latencies = []
    with Meter() as meter:
        for turn in range(times + 1):
            begun = time.perf_counter()
            await connection.fetch(PLAIN[which], since)
            if turn:
                latencies.append(time.perf_counter() - begun)
    await connection.close()
    return meter.answer(times, latencies)


if __name__ == "__main__":
    main({"fill": fill, "rebuild": rebuild, "multiply": multiply, "query": query, "plain": plain}, uvloop.run)
