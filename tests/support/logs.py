"""A log of leads in a fresh database, without HTTP: what the tests of committer, log, relay and consumer stand on."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec

from schemas.envelope import Event, Recorded
from schemas.pipeline_files import read_pipelines
from schemas.wire import from_kafka
from services.kernel import kafka
from services.kernel.committer import Committer
from services.kernel.errors import SalescycleError, Unavailable
from services.kernel.log import Log, lay_out
from services.kernel.migrate import LOG, migrate
from services.kernel.partition import partition_of
from services.kernel.postgres import create_pool
from services.kernel.relay import Relay
from services.kernel.settings import KafkaSettings
from services.kernel.submission import Appended
from services.kernel.wakeup import Heads
from services.lifecycle.domain.attributes import attribute_deciders
from services.lifecycle.domain.lead import LeadDecider
from tests.support import builders
from tests.support.builders import eur

PIPELINES = read_pipelines(
    {
        "six-phase.yaml": """
            {name: six-phase, version: 1, default: true, stages: [
              {name: opportunity, phase: opportunity}, {name: qualify, phase: qualify},
              {name: sales-process, phase: sales_process}, {name: transaction, phase: transaction},
              {name: management, phase: management}, {name: upgrade, phase: upgrade}]}""",
        "board.yaml": """
            {name: board, version: 1, stages: [
              {name: prospecting, phase: opportunity}, {name: engaging, phase: sales_process, entry: [owner]}]}""",
    }
)

SMALLEST: dict[str, dict[str, Any]] = {
    "LeadCaptured": {"source_channel": "web"},
    "Qualified": {},
    "Won": {"value": eur("100.00")},
    "Lost": {"reason": "price"},
    "StageEntered": {"stage": "sales-process"},
    "ActivityLogged": {"kind": "call", "direction": "out"},
}
"""Data that says no more than it must: what a test of the log does not care about cannot get in its way."""


def event(
    type_name: str,
    lead: str,
    time: str = "2026-01-05T10:00:00Z",
    *,
    id: str | None = None,
    data: dict[str, Any] | None = None,
    **attributes: Any,
) -> Event:
    """An event as the door would make it, with the smallest data of its type."""
    chosen = SMALLEST.get(type_name, builders.EXAMPLES[type_name]) if data is None else data
    return builders.event(type_name, lead, at=time, id=id, data=chosen, **attributes)


class LeadLog:
    """One placement with a committer; `post` answers like the door does."""

    def __init__(self, url: str, log: Log, committer: Committer) -> None:
        self.url = url
        self.log = log
        self.committer = committer

    async def post(self, *events: Event, strict: bool = False) -> list[Appended | SalescycleError]:
        outcomes = await self.committer.submit([(each,) for each in events], strict=strict)
        return [outcome if isinstance(outcome, SalescycleError) else outcome[0] for outcome in outcomes]

    async def post_one(self, event: Event, *, strict: bool = False) -> Appended:
        (outcome,) = await self.post(event, strict=strict)
        if isinstance(outcome, SalescycleError):
            raise outcome
        return outcome

    async def everything(self) -> dict[int, list[Recorded]]:
        return {partition: await self._all_of(partition) for partition in self.log.owned}

    async def _all_of(self, partition: int) -> list[Recorded]:
        found: list[Recorded] = []
        while page := await self.log.read(partition, len(found), 100_000):
            found += page
        return found

    async def history(self, stream: str) -> list[Recorded]:
        return await self.log.read_stream(partition_of(stream, self.log.partitions), stream, 0, 1_000)

    async def state(self, lead: str) -> dict[str, Any]:
        stream = lead if "/" in lead else f"lead/{lead}"
        row = await self.log.pool.fetchrow("SELECT version, state FROM stream WHERE stream = $1", stream)
        assert row is not None
        fold: dict[str, Any] = msgspec.json.decode(row["state"])["fold"]
        return {"version": row["version"], **fold}


async def prepare(url: str, partitions: Sequence[int] = range(12), schema: str = "lifecycle") -> None:
    connection = await asyncpg.connect(url)
    try:
        await migrate(connection, schema, [LOG])
        await lay_out(connection, schema, list(partitions))
    finally:
        await connection.close()


@asynccontextmanager
async def opened(url: str, *, partitions: int = 12, **options: Any) -> AsyncIterator[LeadLog]:
    """Another process's view of the same log, as far as a process matters: its own pool, queue and cache."""
    log = await Log.open(
        "default", url, schema="lifecycle", partitions=partitions, owned=range(partitions), pool_size=6
    )
    committer = Committer(log, {"lead": LeadDecider(PIPELINES), **attribute_deciders()}, **options)
    await committer.start()
    try:
        yield LeadLog(url, log, committer)
    finally:
        await committer.stop(drain_s=5)
        await log.close()


@asynccontextmanager
async def publishing(
    log: LeadLog,
    bootstrap: str,
    topic: str,
    *,
    owner: str = "one",
    lease_s: float = 5.0,
    settings: KafkaSettings | None = None,
) -> AsyncIterator[Relay]:
    """A relay of this log, as one process would run it, on a topic that an operator has made."""
    settings = settings or broker_settings(bootstrap)
    await kafka.ensure_topic(settings, topic, 12, {"min.insync.replicas": str(settings.min_insync_replicas)})
    heads = Heads(log.log, channel="lifecycle_heads", poll_s=0.05)
    await heads.start()
    pool = await create_pool(log.url, schema="lifecycle", role="salescycle_relay", min_size=1, max_size=4)
    relay = Relay(pool, log.log, heads, settings, topic=topic, base_url="http://tests", owner=owner, lease_s=lease_s)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()
        await heads.stop()


def broker_settings(bootstrap: str) -> KafkaSettings:
    """As `salescycle up` sets them; for a given broker, what a real one can do."""
    given = "SALESCYCLE_TEST_KAFKA" in os.environ
    return KafkaSettings(bootstrap=bootstrap, idempotence=given, recreate_topics=not given)


async def published(
    bootstrap: str, topic: str, total: int, *, within_s: float = 30, lost: bool = False
) -> dict[int, list[Recorded]]:
    """What a reader of the topic who drops positions it has seen has, once that is `total` events.

    Fails on any hole; after the broker `lost` records, what follows a hole is passed over until it comes again.
    """
    seen: dict[int, list[Recorded]] = {partition: [] for partition in range(12)}
    async with asyncio.timeout(within_s):
        while True:
            reader = kafka.Reader(broker_settings(bootstrap), topic)
            try:
                await reader.start()
                reader.assign(dict.fromkeys(range(12), 0))
                seen = {partition: [] for partition in range(12)}
                idle = 0
                while idle < 20:
                    fetched = await reader.fetch(5_000, 100)
                    idle = 0 if fetched else idle + 1
                    for partition, records in fetched.items():
                        for record in records:
                            event = from_kafka(partition, record.key, record.value, record.headers, record.timestamp)
                            if event.position > len(seen[partition]) + 1 and lost:
                                continue
                            if event.position > len(seen[partition]):
                                assert event.position == len(seen[partition]) + 1, (
                                    f"a hole before {event.position} in {partition}"
                                )
                                seen[partition].append(event)
                    if sum(map(len, seen.values())) >= total:
                        return seen
            except Unavailable:
                await asyncio.sleep(0.1)
            finally:
                await reader.stop()


def check_dense(partitions: dict[int, list[Recorded]]) -> None:
    """Positions are 1, 2, 3 … in each partition, versions 1, 2, 3 … in each stream, and recorded_at never falls."""
    versions: dict[str, int] = {}
    for number, events in partitions.items():
        assert [each.position for each in events] == list(range(1, len(events) + 1)), f"partition {number} is not dense"
        assert [each.recorded_at for each in events] == sorted(each.recorded_at for each in events)
        for each in events:
            assert each.version == versions.get(each.stream, 0) + 1, f"{each.stream} goes on at {each.version}"
            versions[each.stream] = each.version
