"""The hot statements reach what they need by an index, also right after the tables were made and nothing was analysed."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.envelope import Recorded
from services.kernel.errors import Poison
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.unit.projections.histories import Log, numbered, random_log


def many_leads(leads: int) -> Log:
    """One lead an hour, each moved once a day later."""
    log = Log()
    start = datetime(2024, 1, 1, tzinfo=UTC)
    for lead in range(leads):
        at = start + timedelta(hours=lead)
        log.post(f"L-{lead}", "LeadCaptured", at, at, source_channel="web", owner=f"owner-{lead % 7}")
        log.post(f"L-{lead}", "StageEntered", at + timedelta(days=1), at + timedelta(days=1), stage="qualify")
    log.events.sort(key=lambda event: event.recorded_at)
    return log


async def plan(pipeline: Projected, query: sa.Select[Any]) -> str:
    text, values = pipeline.sql(query)
    await pipeline.connection.execute("ANALYZE")
    return "\n".join(row[0] for row in await pipeline.connection.fetch(f"EXPLAIN {text}", *values))


@pytest.mark.parametrize("known_at", [None, datetime(2024, 4, 20, 13, tzinfo=UTC)])
async def test_a_snapshot_reads_cells_and_two_days_of_the_ledger(
    projected: NewProjected, known_at: datetime | None
) -> None:
    pipeline = await projected()
    await pipeline.deliver(many_leads(4_000).events)
    read = await plan(pipeline, pipeline.snapshot(datetime(2024, 5, 1, 13, tzinfo=UTC), known_at, ("owner",)))
    assert "Seq Scan on deal_interval " not in read
    assert "deal_interval_1" in read
    assert "deal_interval_2" in read
    assert ("deal_interval_3" in read, "deal_interval_4" in read) == (known_at is not None,) * 2
    assert "deal_interval_cell" in read


async def test_the_plain_definition_reads_it_all(projected: NewProjected) -> None:
    """The check above can fail: the ledger query that it replaces does scan."""
    pipeline = await projected()
    await pipeline.deliver(many_leads(4_000).events)
    read = await plan(pipeline, pipeline.snapshot(datetime(2024, 5, 1, tzinfo=UTC), None, cells=False))
    assert "Seq Scan on deal_interval" in read


async def updates_of(pipeline: Projected, events: list[Recorded], batch: int) -> list[str]:
    """The plans by which the rows of earlier batches are written again while the events are delivered."""
    connection = pipeline.connection
    await connection.execute(
        "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET client_min_messages = log"
    )
    notices: list[str] = []
    connection.add_log_listener(lambda _, message: notices.append(str(message)))
    await pipeline.deliver(events, batch=batch)
    return [text for text in notices if re.search(r"Query Text:\s+UPDATE (deal_interval|subject_record)", text)]


PROBE = r"Index Cond: \(\(partition = .*subject = "


async def test_a_batch_probes_keys_in_tables_that_were_just_made(projected: NewProjected) -> None:
    """Without statistics the planner takes a partition for a handful of rows and would join by comparing all with all."""
    updates = await updates_of(await projected(), many_leads(1_000).events, batch=100)
    assert len(updates) > 10
    assert [text for text in updates if not re.search(PROBE, text)] == []


async def test_a_batch_probes_keys_in_a_partition_that_the_statistics_have_not_seen(projected: NewProjected) -> None:
    """A partition of no rows, says the planner, is quickest read whole, once for each key."""
    pipeline = await projected()
    by_partition = numbered(many_leads(6_000).events)
    await pipeline.deliver(by_partition[0])
    await pipeline.connection.execute("ANALYZE")
    updates = await updates_of(pipeline, by_partition[1], batch=100)
    assert len(updates) > 10
    assert [text for text in updates if not re.search(PROBE, text)] == []


async def test_a_lead_whose_versions_have_a_hole_is_refused(projected: NewProjected) -> None:
    pipeline = await projected()
    log = random_log(1)
    second = next(event for event in log if event.version == 2)
    with pytest.raises(Poison) as refused:
        await pipeline.deliver([second])
    assert refused.value.extra == {"position": 1, "stream": second.stream}
