"""Metrics and logs of every service: Prometheus names `salescycle_<noun>_<unit>[_total]`, JSON lines on stdout.

No ids in labels, no payloads in logs.
"""

import logging
import sys

import structlog
from prometheus_client import Counter, Gauge, Histogram

APPEND_BATCH_EVENTS = Histogram(
    "salescycle_append_batch_events", "Events in a committed batch", buckets=(1, 4, 16, 64, 128, 256, 512, 1000)
)
APPEND_CONFLICTS = Counter("salescycle_append_conflicts_total", "Batches decided again, by SQLSTATE", ["sqlstate"])
APPEND_RETRIES = Counter("salescycle_append_retries_total", "Batches tried again because the store did not answer")
RELAY_BACKLOG_EVENTS = Gauge(
    "salescycle_relay_backlog_events", "Events not yet acknowledged by the broker", ["partition"]
)
RELAY_PUBLISHED = Counter("salescycle_relay_published_events_total", "Events acknowledged by the broker")
RELAY_BROKER_LOSSES = Counter("salescycle_relay_broker_losses_total", "Times the broker had lost acknowledged records")
STATE_BACKLOG_EVENTS = Gauge(
    "salescycle_state_backlog_events", "Published events whose streams' states are not published yet", ["partition"]
)
STATES_PUBLISHED = Counter("salescycle_states_published_total", "States of streams acknowledged by the broker")
CONSUMER_POSITION = Gauge("salescycle_consumer_position_events", "Last applied position", ["consumer", "partition"])
CONSUMER_LAG_EVENTS = Gauge("salescycle_consumer_lag_events", "Events behind the log's head", ["consumer", "partition"])
CONSUMER_LAG_SECONDS = Gauge(
    "salescycle_consumer_lag_seconds", "Age of the oldest event not applied", ["consumer", "partition"]
)
CONSUMER_APPLIED = Counter("salescycle_consumer_applied_events_total", "Events applied", ["consumer", "via"])
CONSUMER_GAPS = Counter(
    "salescycle_consumer_gaps_total", "Holes in the topic that were filled from the log", ["consumer"]
)
CONSUMER_DUPLICATES = Counter(
    "salescycle_consumer_duplicates_total", "Records dropped because they were applied", ["consumer"]
)
PARKED_LEADS = Gauge(
    "salescycle_parked_leads", "Leads whose events wait for an operator; every process tells all of them", ["consumer"]
)


def forget_partition(consumer: str, partition: int) -> None:
    """Show no figures of a partition that another process follows now: the last ones would stand for ever."""
    for gauge in (CONSUMER_POSITION, CONSUMER_LAG_EVENTS, CONSUMER_LAG_SECONDS):
        gauge.remove(consumer, partition)


def configure_logging(service: str, level: str) -> None:
    """JSON lines on stdout with timestamp, level, event and service. Raises nothing; unknown levels mean info."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    logging.basicConfig(stream=sys.stdout, level=max(number, logging.WARNING), format="%(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
    )
    structlog.contextvars.bind_contextvars(service=service)
