"""A process that is asked to stop leaves in time, whoever is slow."""

import signal
import subprocess
import sys
import time

import pytest

from services.kernel import http_server, run

SLOW = """
import asyncio
from services.kernel import run

run.STOP_WITHIN_S = 2.0

class Part:
    async def start(self): print("started", flush=True)
    async def stop(self): await asyncio.sleep({stops_s})

async def serve(stopping):
    await stopping.wait()
    await asyncio.sleep({drains_s})

raise SystemExit(run.run(lambda: run.serve_until_stopped([Part()], serve)))
"""


@pytest.mark.parametrize(("drains_s", "stops_s", "code"), [(0, 0, 0), (1.5, 60, 1), (60, 0, 1)])
def test_draining_and_stopping_share_one_deadline(drains_s: float, stops_s: float, code: int) -> None:
    script = SLOW.format(drains_s=drains_s, stops_s=stops_s)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"started\n"
            process.send_signal(signal.SIGTERM)
            asked = time.monotonic()
            assert process.wait(10) == code
            assert time.monotonic() - asked < 3
        finally:
            process.kill()


def test_draining_leaves_time_to_stop() -> None:
    assert http_server.DRAIN_S + 10 <= run.STOP_WITHIN_S
