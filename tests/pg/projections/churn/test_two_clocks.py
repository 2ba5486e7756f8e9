"""Given a log, when an answer was given as of some known_at, then it stays the same whatever arrives later."""

from datetime import timedelta

import pytest

from services.projections.churn.metrics import METRICS
from tests.pg.projections.conftest import NewProjected
from tests.unit.projections.customer_histories import customer_log

PERIOD = {"from_": "2025-02-01", "to": "2025-10-01", "interval": "quarter", "as_of": "2025-09-15", "zone": "UTC"}
INSTANT = {"as_of": "2025-09-15", "zone": "UTC"}


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_known_then_is_told_as_it_was_told_then(projected: NewProjected, seed: int) -> None:
    log = customer_log(seed, leads=14)
    half = len(log) // 2
    known_at = (log[half].recorded_at + timedelta(microseconds=1)).isoformat()
    earlier = [event for event in log if event.recorded_at <= log[half].recorded_at]
    then, now = await projected("churn", "reference"), await projected("churn", "reference", leads_kept=3)
    await then.deliver(earlier)
    await now.deliver(log, batch=7)
    for metric in METRICS:
        asked = {**(PERIOD if metric.time == "period" else INSTANT)}
        if not metric.listed:
            asked["group_by"] = "owner"
        assert await now.rows(metric.id, **asked, known_at=known_at) == await then.rows(metric.id, **asked), metric.id
