"""One contract for everything long-running: start in order, serve until SIGTERM or SIGINT, stop in reverse, exit in 30 s."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog
import uvloop

from services.kernel.errors import SalescycleError

_logger = structlog.get_logger(__name__)

STOP_WITHIN_S = 30.0


class Part(Protocol):
    """Something that runs between `start` and `stop`; `stop` is tolerated twice and after a failed start."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def serve_until_stopped(parts: Sequence[Part], serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Start the parts, run `serve` until it returns or a signal sets its event, then stop the parts in reverse.

    From the signal on there is one deadline for everything, `STOP_WITHIN_S`: then the process leaves with exit code 1.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    deadline = asyncio.create_task(_leave_in_time(stopping), name="deadline")
    started: list[Part] = []
    try:
        for part in parts:
            started.append(part)
            await part.start()
        await serve(stopping)
    finally:
        stopping.set()
        for part in reversed(started):
            await part.stop()
        deadline.cancel()
        _logger.info("stopped")


async def _leave_in_time(stopping: asyncio.Event) -> None:
    await stopping.wait()
    _logger.info("stopping")
    await asyncio.sleep(STOP_WITHIN_S)
    _logger.error("stopping took too long; leaving now")
    sys.stdout.flush()
    os._exit(1)


def stuck(reason: str) -> None:
    """Leave at once, so that the supervisor starts a fresh process; what was not committed is done again."""
    _logger.error("nothing moves though there is work; leaving to be started again", reason=reason)
    sys.stdout.flush()
    os._exit(70)


def calm_the_collector() -> None:
    """Look for garbage cycles rarely: events make none, and looking costs a fifth of the processor at full load."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def run(main: Callable[[], Awaitable[None]]) -> int:
    """Run a service's main under uvloop; an error on purpose is one clear line and exit code 1, not a traceback."""
    calm_the_collector()
    try:
        uvloop.run(main())  # type: ignore[arg-type]
    except SalescycleError as error:
        _logger.error("cannot run", reason=str(error), code=error.code)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
