"""The metrics of the read model `churn`, in the order in which they are listed."""

from services.projections.churn.active_customers import ACTIVE_CUSTOMERS
from services.projections.churn.at_risk import AT_RISK
from services.projections.churn.cash import CASH
from services.projections.churn.churn_reasons import CHURN_REASONS
from services.projections.churn.cohorts import COHORTS
from services.projections.churn.expansion import EXPANSION_RATE
from services.projections.churn.logo_churn import LOGO_CHURN
from services.projections.churn.movements import MRR_MOVEMENTS
from services.projections.churn.queries import QUERY_RESPONSE
from services.projections.churn.referrals import REFERRAL_YIELD
from services.projections.churn.renewal_calendar import RENEWAL_CALENDAR
from services.projections.churn.repurchase import REPURCHASE
from services.projections.churn.retention import REVENUE_RETENTION
from services.projections.churn.risk_backtest import AT_RISK_BACKTEST
from services.projections.churn.surveys import CSAT, NPS, SURVEY_RESPONSE
from services.projections.churn.survival import SURVIVAL
from services.projections.churn.upgrade_capture import UPGRADE_CAPTURE
from services.projections.churn.white_space import WHITE_SPACE
from services.projections.query.metric import Metric

METRICS: tuple[Metric, ...] = (
    ACTIVE_CUSTOMERS, MRR_MOVEMENTS, LOGO_CHURN, REVENUE_RETENTION, EXPANSION_RATE, COHORTS, SURVIVAL, CHURN_REASONS,
    UPGRADE_CAPTURE, RENEWAL_CALENDAR, REPURCHASE, REFERRAL_YIELD, NPS, CSAT, SURVEY_RESPONSE, QUERY_RESPONSE, CASH, AT_RISK,
    AT_RISK_BACKTEST, WHITE_SPACE,
)  # fmt: skip
