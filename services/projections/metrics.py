"""Every metric that this service answers, by its id."""

from typing import Final

from services.projections.churn.metrics import METRICS as CHURN
from services.projections.pipeline.metrics import METRICS as PIPELINE
from services.projections.query.metric import Metric

METRICS: Final[dict[str, Metric]] = {metric.id: metric for metric in (*PIPELINE, *CHURN)}
