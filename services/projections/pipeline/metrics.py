"""The metrics of the read model `pipeline`, in the order in which they are listed."""

from services.projections.pipeline.data_quality import DATA_QUALITY
from services.projections.pipeline.forecast import WEIGHTED_FORECAST
from services.projections.pipeline.forecast_accuracy import FORECAST_ACCURACY
from services.projections.pipeline.predicted_close import PREDICTED_CLOSE
from services.projections.pipeline.scorecard import LEADERBOARD, OWNER_SCORECARD
from services.projections.pipeline.snapshot import SNAPSHOT
from services.projections.pipeline.source_roi import CAC, SOURCE_ROI
from services.projections.pipeline.target import TARGET
from services.projections.pipeline.win_rate import WIN_RATE
from services.projections.query.metric import Metric

_FORECASTS: tuple[Metric, ...] = (WEIGHTED_FORECAST, FORECAST_ACCURACY, PREDICTED_CLOSE)

_CAMPAIGNS: tuple[Metric, ...] = (SOURCE_ROI, CAC)

_PEOPLE: tuple[Metric, ...] = (TARGET, OWNER_SCORECARD, LEADERBOARD)

_DATA: tuple[Metric, ...] = (DATA_QUALITY,)

METRICS: tuple[Metric, ...] = (SNAPSHOT, WIN_RATE, *_FORECASTS, *_CAMPAIGNS, *_PEOPLE, *_DATA)
