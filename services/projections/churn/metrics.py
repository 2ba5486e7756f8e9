"""The metrics of the read model `churn`, in the order in which they are listed."""

from services.projections.churn.active_customers import ACTIVE_CUSTOMERS
from services.projections.churn.cohorts import COHORTS
from services.projections.churn.logo_churn import LOGO_CHURN
from services.projections.churn.movements import MRR_MOVEMENTS
from services.projections.churn.queries import QUERY_RESPONSE
from services.projections.churn.retention import REVENUE_RETENTION
from services.projections.churn.surveys import CSAT, NPS, SURVEY_RESPONSE
from services.projections.churn.survival import SURVIVAL
from services.projections.query.metric import Metric

METRICS: tuple[Metric, ...] = (
    ACTIVE_CUSTOMERS, MRR_MOVEMENTS, LOGO_CHURN, REVENUE_RETENTION, COHORTS, SURVIVAL, NPS, CSAT, SURVEY_RESPONSE, QUERY_RESPONSE,
)  # fmt: skip
