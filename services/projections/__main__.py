"""Run projections: `python -m services.projections`. Processes share the partitions of each read model, and all answer queries."""

import asyncio
import os
import socket
import sys

import structlog

from services.kernel import http, postgres
from services.kernel.auth import KeyRing
from services.kernel.clock import random_token
from services.kernel.consumer import Consumer
from services.kernel.feed_client import FeedClient
from services.kernel.management import Management
from services.kernel.run import run, serve_until_stopped, stuck
from services.kernel.telemetry import configure_logging
from services.projections.api import projections
from services.projections.models import MODELS, make_model
from services.projections.settings import SCHEMA, Settings

_logger = structlog.get_logger(__name__)


async def main() -> None:
    settings = Settings()
    configure_logging("projections", settings.log_level)
    pool = await postgres.create_pool(
        settings.postgres.url.get_secret_value(), schema=SCHEMA, role="salescycle_projector", min_size=2,
        max_size=settings.postgres.pool_size, statement_timeout_ms=settings.postgres.statement_timeout_ms,
    )  # fmt: skip
    member = f"{socket.gethostname()}:{os.getpid()}:{random_token(4)}"
    feed = FeedClient(settings.lifecycle_url, settings.key.get_secret_value() if settings.key else "")
    consumers = [
        Consumer(
            pool, make_model(name, settings, settings.leads_kept), feed, settings.kafka, topic=settings.kafka.events_topic,
            partitions=settings.log.partitions, member=member, stuck=stuck,
        )
        for name in MODELS
    ]  # fmt: skip

    async def why_not_ready() -> str | None:
        if stopped := [consumer.diverged for consumer in consumers if consumer.diverged is not None]:
            return " ".join(stopped)  # each says which read model it is about, and what to do
        if not all(consumer.ready for consumer in consumers):
            return "catching up with the log"
        await pool.fetchval("SELECT 1")
        return None

    async def serve(stopping: asyncio.Event) -> None:
        _logger.info("projections serves", address=settings.projections.base_url, read_models=sorted(MODELS))
        async with projections(settings, KeyRing(settings.keys_path)) as app:
            await http.serve(app, settings.projections, stop=stopping)

    try:
        await serve_until_stopped([*consumers, Management(settings.projections, why_not_ready)], serve)
    finally:
        await feed.close()
        await postgres.close_pool(pool)


if __name__ == "__main__":
    sys.exit(run(main))
