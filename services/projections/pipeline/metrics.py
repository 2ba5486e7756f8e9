"""The metrics of the read model `pipeline`, in the order in which they are listed."""

from services.projections.pipeline.forecast import WEIGHTED_FORECAST
from services.projections.pipeline.snapshot import SNAPSHOT
from services.projections.pipeline.win_rate import WIN_RATE
from services.projections.query.metric import Metric

_FORECASTS: tuple[Metric, ...] = (WEIGHTED_FORECAST,)

METRICS: tuple[Metric, ...] = (SNAPSHOT, WIN_RATE, *_FORECASTS)
