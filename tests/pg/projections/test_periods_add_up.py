"""A period's figures are the sums of those of its days, over nights in which the clocks change, in any zone."""

import pytest

from tests.pg.projections.conftest import NewProjected
from tests.unit.projections.histories import random_log


@pytest.mark.parametrize("seed", range(2))
async def test_days_add_up_to_any_longer_period(projected: NewProjected, seed: int) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(random_log(seed, leads=60))
    for zone in ("Europe/Berlin", "America/St_Johns", "Pacific/Apia"):
        asked = {"from_": "2025-03-01", "to": "2025-04-20", "zone": zone}
        [whole] = await figures.rows("win_rate", **asked)
        assert whole["won"] + whole["lost"] > 10
        for interval in ("day", "week", "month", "quarter"):
            rows = await figures.rows("win_rate", interval=interval, **asked)
            for column in ("won", "lost", "value_unknown_n"):
                assert sum(row[column] for row in rows) == whole[column]
        # what one zone has on a day another has on the next: only the edges move
        days = await figures.rows("win_rate", interval="day", group_by="owner", **asked)
        assert sum(row["won"] for row in days) == whole["won"]
