"""The metrics of the read model `pipeline`, in the order in which they are listed."""

from services.projections.pipeline.ageing import PIPELINE_AGE
from services.projections.pipeline.bottleneck import BOTTLENECK
from services.projections.pipeline.cycle_length import CYCLE_LENGTH
from services.projections.pipeline.data_quality import DATA_QUALITY
from services.projections.pipeline.deal_size import DEAL_SIZE
from services.projections.pipeline.dwell import APPROVAL_WAITING, DWELL
from services.projections.pipeline.forecast import WEIGHTED_FORECAST
from services.projections.pipeline.forecast_accuracy import FORECAST_ACCURACY
from services.projections.pipeline.lead_funnel import LEAD_FUNNEL
from services.projections.pipeline.loss_reasons import LOSS_REASONS
from services.projections.pipeline.pipeline_flow import PIPELINE_FLOW
from services.projections.pipeline.predicted_close import PREDICTED_CLOSE
from services.projections.pipeline.price_realisation import PRICE_REALISATION
from services.projections.pipeline.response_times import HANDOVER, SPEED_TO_CONTACT
from services.projections.pipeline.scorecard import LEADERBOARD, OWNER_SCORECARD
from services.projections.pipeline.slip_audit import SLIP_AUDIT
from services.projections.pipeline.snapshot import SNAPSHOT
from services.projections.pipeline.source_roi import CAC, SOURCE_ROI
from services.projections.pipeline.stage_conversion import STAGE_CONVERSION
from services.projections.pipeline.stage_goals import STAGE_GOALS
from services.projections.pipeline.stalled import STALLED
from services.projections.pipeline.target import TARGET
from services.projections.pipeline.time_to_win import TIME_TO_WIN
from services.projections.pipeline.velocity import VELOCITY
from services.projections.pipeline.waterfall import PIPELINE_WATERFALL
from services.projections.pipeline.win_loss_review import WIN_LOSS_REVIEW
from services.projections.pipeline.win_rate import WIN_RATE
from services.projections.query.metric import Metric

METRICS: tuple[Metric, ...] = (
    SNAPSHOT,
    PIPELINE_AGE,
    PIPELINE_FLOW,
    PIPELINE_WATERFALL,
    WIN_RATE,
    STAGE_CONVERSION,
    DWELL,
    APPROVAL_WAITING,
    BOTTLENECK,
    STALLED,
    CYCLE_LENGTH,
    DEAL_SIZE,
    PRICE_REALISATION,
    VELOCITY,
    TIME_TO_WIN,
    LEAD_FUNNEL,
    HANDOVER,
    SPEED_TO_CONTACT,
    WEIGHTED_FORECAST,
    FORECAST_ACCURACY,
    PREDICTED_CLOSE,
    SOURCE_ROI,
    CAC,
    WIN_LOSS_REVIEW,
    LOSS_REASONS,
    SLIP_AUDIT,
    STAGE_GOALS,
    TARGET,
    OWNER_SCORECARD,
    LEADERBOARD,
    DATA_QUALITY,
)
