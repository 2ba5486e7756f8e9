"""Run lifecycle: `python -m services.lifecycle`. Every process serves the door and is a candidate for the relay."""

import asyncio
import os
import socket
import sys

import structlog

from services.kernel import http
from services.kernel.auth import KeyRing
from services.kernel.clock import random_token
from services.kernel.management import Management
from services.kernel.placements import Placements
from services.kernel.run import run, serve_until_stopped
from services.kernel.telemetry import configure_logging
from services.lifecycle.across import Across
from services.lifecycle.api import lifecycle
from services.lifecycle.domain.attributes import attribute_deciders
from services.lifecycle.domain.lead import LeadDecider
from services.lifecycle.past import Kinds
from services.lifecycle.pipelines import load_pipelines
from services.lifecycle.settings import SCHEMA, Settings

_logger = structlog.get_logger(__name__)


async def main() -> None:
    settings = Settings()
    configure_logging("lifecycle", settings.log_level)
    pipelines = load_pipelines(settings.pipelines_dir)
    kinds: Kinds = {"lead": LeadDecider(pipelines), **attribute_deciders()}
    keys = KeyRing(settings.keys_path)
    base_url = settings.lifecycle.base_url
    placements = await Placements.open(
        schema=SCHEMA, partitions=settings.log.partitions, places=settings.log.placements, postgres=settings.postgres,
        kafka=settings.kafka, topic=settings.kafka.events_topic, deciders=kinds, base_url=base_url,
        owner=f"{socket.gethostname()}:{os.getpid()}:{random_token(4)}", committer_depth=settings.committer_depth,
    )  # fmt: skip

    async def why_not_ready() -> str | None:
        for placement in placements.all:
            if placement.relay.diverged is not None:
                return placement.relay.diverged
            await placement.log.pool.fetchval("SELECT 1")
        return None

    async def serve(stopping: asyncio.Event) -> None:
        _logger.info("lifecycle serves", address=base_url, pipelines=pipelines.names())
        await http.serve(lifecycle(placements, kinds, keys, base_url), settings.lifecycle, stop=stopping)

    await serve_until_stopped(
        [placements, Across(placements, kinds), Management(settings.lifecycle, why_not_ready)], serve
    )


if __name__ == "__main__":
    sys.exit(run(main))
