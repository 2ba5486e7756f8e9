"""The metrics of the read model `churn`, in the order in which they are listed."""

from services.projections.churn.active_customers import ACTIVE_CUSTOMERS
from services.projections.churn.movements import MRR_MOVEMENTS
from services.projections.query.metric import Metric

METRICS: tuple[Metric, ...] = (ACTIVE_CUSTOMERS, MRR_MOVEMENTS)
