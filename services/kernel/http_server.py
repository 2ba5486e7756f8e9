"""Serves an ASGI app with uvicorn, and sets the limits that uvicorn leaves open: heads, stalls, connections, draining.

The parser is httptools: 31,000 no-op POSTs a second on one core, where h11 does 5,000. What h11 would check and llhttp
does not (Host, sizes) is checked here when a head is complete. Deadlines cost a request nothing but a clock reading: one
sweep over the connections twice a second finds those that stall.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from services.kernel.clock import random_token
from services.kernel.errors import Overloaded, SalescycleError, Unavailable
from services.kernel.http_errors import AddressTooLong, BadRequest, HeadersTooLarge, RequestTimeout
from services.kernel.problems import problem
from services.kernel.settings import HttpSettings

HEAD_TIMEOUT_S = 10.0
BODY_STALL_S = 10.0
ANSWER_STALL_S = 30.0
"""How long a client may leave an answer unread while we wait to send more of it."""
ANSWER_WITHIN_S = 40.0
"""How long an answer may take to begin: more than the longest long poll. Then it is 503, whatever became of the work."""
MIN_BODY_BYTES_PER_STALL = 1024
"""A body must bring as much in each `BODY_STALL_S`, or be complete: one byte now and then is a stall too."""
MAX_ADDRESS_BYTES = 8 * 1024
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128
MAX_CONNECTIONS = 4096
MAX_DISCARDED_BYTES = 64 * 1024 * 1024
"""How much of a refused body is read and dropped, so that the client can finish sending and then read the answer."""
KEEP_ALIVE_S = 75
DRAIN_S = 20
"""Of the thirty seconds in which a process leaves (`run.STOP_WITHIN_S`); the rest is for the parts behind the server."""
SWEEP_EVERY_TICKS = 5
_SMALL_CHUNK = 16 * 1024


class PortTaken(SalescycleError):
    """Another process listens on the port."""

    code = "port-taken"
    title = "The port is taken"


class _Refused(Exception):
    """Raised inside a parser callback to stop the parser; `GuardedProtocol.refusal` says why."""


class _Config(uvicorn.Config):
    base_url = ""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits. `head_due`, `body_due`, `read_due` are loop times, None where nothing is awaited."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head_due: float | None = None
        self.body_due: float | None = None
        self.read_due: float | None = None
        self.answer_due = 0.0
        self.unread_bytes = 0
        self.head_bytes = 0
        self.body_bytes = 0
        self.body_bytes_at_check = 0
        self.discarded_bytes = 0
        self.chunk_bytes = 0  # of the last chunk; 0 until the client has said anything
        self.deaf = False
        self.refusal: SalescycleError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.head_due = self.loop.time() + HEAD_TIMEOUT_S
        if len(self.connections) > MAX_CONNECTIONS:
            self.refuse(Overloaded(f"More than {MAX_CONNECTIONS} connections are open."))

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        self.chunk_bytes = len(data)
        if self.body_due is None:
            if self.head_due is None:
                self.head_due = self.loop.time() + HEAD_TIMEOUT_S
            self.head_bytes += len(data)
        super().data_received(data)
        if self.head_due is not None and self.head_bytes > MAX_HEAD_BYTES and not self.deaf:
            self.refuse(_head_too_large())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_due = self.loop.time() + HEAD_TIMEOUT_S
        self.head_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_ADDRESS_BYTES:
            self.stop(AddressTooLong(f"The limit is {MAX_ADDRESS_BYTES} bytes."))

    def on_headers_complete(self) -> None:
        headers = self.headers
        if len(headers) > MAX_HEADERS:
            self.stop(_head_too_large())
        # A head that came whole in a small chunk is below the limit without counting.
        if (self.head_bytes or self.chunk_bytes > _SMALL_CHUNK) and sum(
            len(n) + len(v) for n, v in headers
        ) > MAX_HEAD_BYTES:
            self.stop(_head_too_large())
        hosts = [value for name, value in headers if name == b"host"]
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self.stop(BadRequest("HTTP/1.1 is spoken here."))
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            self.stop(BadRequest("A request has exactly one Host header."))
        self.head_due = None
        self.body_due = self.loop.time() + BODY_STALL_S
        self.body_bytes = self.body_bytes_at_check = self.discarded_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        if self.cycle.response_complete:
            self.discarded_bytes += len(body)
            if self.discarded_bytes > MAX_DISCARDED_BYTES:
                self.deaf = True
                self.transport.close()
        super().on_body(body)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.read_due = None  # the client has read on; what waits now is something else

    def on_message_complete(self) -> None:
        self.body_due = None
        self.answer_due = self.loop.time() + ANSWER_WITHIN_S
        super().on_message_complete()

    def stop(self, refusal: SalescycleError) -> None:
        """Stops the parser from within one of its callbacks; `send_400_response` is called when it has stopped."""
        self.refusal = refusal
        raise _Refused

    def send_400_response(self, msg: str) -> None:
        self.refuse(self.refusal or BadRequest("The request does not follow RFC 9112."))

    def sweep(self, now: float) -> None:
        """Called twice a second: ends a connection whose head or body does not arrive, or whose answer is not read."""
        if self.transport.is_closing():
            return
        self._sweep_answer(now)
        if self.deaf:
            return
        cycle = self._cycle_under_way()
        if cycle is not None and not cycle.response_started and self.body_due is None and now > self.answer_due:
            self.give_up(cycle)
            return
        if self.head_due is not None and now > self.head_due:
            if self._cycle_under_way() is not None:
                self.head_due = now + HEAD_TIMEOUT_S  # its next request can wait, it has an answer to come
            elif self.chunk_bytes:
                self.refuse(RequestTimeout("The head of the request did not arrive in time."))
            else:
                self.deaf = True
                self.transport.close()
        elif self.body_due is not None and now > self.body_due:
            # While we do not read, or have moved on, the client is not to blame.
            arrived = self.body_bytes - self.body_bytes_at_check >= MIN_BODY_BYTES_PER_STALL
            if arrived or self.flow.read_paused:
                self.body_bytes_at_check = self.body_bytes
                self.body_due = now + BODY_STALL_S
            else:
                self.refuse(RequestTimeout("The body of the request did not arrive in time."))

    def _sweep_answer(self, now: float) -> None:
        if not self.flow.write_paused:
            self.read_due = None
            return
        unread = self.transport.get_write_buffer_size()
        if self.read_due is None or unread < self.unread_bytes:
            self.read_due = now + ANSWER_STALL_S
        self.unread_bytes = unread
        if now > self.read_due:
            self.deaf = True
            self.transport.abort()

    def refuse(self, refusal: SalescycleError) -> None:
        """Answers outside the app and closes; answers that are under way go out first."""
        self.deaf = True
        reading_body = self.body_due is not None
        cycle = self._cycle_under_way()
        if cycle is not None and reading_body:
            cycle.disconnected = True  # the app sees `http.disconnect`, and whatever it sends goes nowhere
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.close()
                return
        elif cycle is not None:
            cycle.keep_alive = False  # the last of those that were read: the connection closes with its answer
            return
        self._answer_and_close(refusal)

    def give_up(self, cycle: RequestResponseCycle) -> None:
        """Answers 503 in place of an app that waits for something that does not come, such as a store that is frozen."""
        self.deaf = True
        cycle.disconnected = True
        cycle.message_event.set()
        self._answer_and_close(Unavailable("No answer in time; sending the same event again is always safe."))

    def _answer_and_close(self, refusal: SalescycleError) -> None:
        status, headers, body = problem(refusal, cast(_Config, self.config).base_url, random_token(16))
        lines = [
            STATUS_LINE[status],
            *(b"%b: %b\r\n" % header for header in headers),
            b"connection: close\r\n\r\n",
            body,
        ]
        self.transport.write(b"".join(lines))
        self.transport.close()

    def _cycle_under_way(self) -> RequestResponseCycle | None:
        """The last request whose head was read, unless it is answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return None if cycle is None or cycle.response_complete else cycle


def _head_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"The limit is {MAX_HEAD_BYTES // 1024} KiB and {MAX_HEADERS} headers.")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stop: asyncio.Event, draining: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop
        self._draining = draining

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # `serve` listens to signals: uvicorn's own way ends the process by the signal, not by exit code 0

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_EVERY_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                cast(GuardedProtocol, connection).sweep(now)
        self.should_exit = self.should_exit or self._stop.is_set()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._draining.set()
        await super().shutdown(sockets)


async def serve(
    app: ASGIApp, http: HttpSettings, *, port: int | None = None, stop: asyncio.Event | None = None
) -> None:
    """Serves until `stop` is set, or without one until SIGTERM or SIGINT; then drains and returns.

    Draining: no new connection is accepted, requests under way are answered (at most `DRAIN_S`), then the lifespan of the
    app ends. Endless answers (feeds) must watch `app.state.draining`, an asyncio.Event, and end when it is set.
    `port` serves another port of the same settings (the management port). Raises PortTaken.
    """
    stopping = stop or asyncio.Event()
    if stop is None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stopping.set)
    draining = asyncio.Event()
    state = getattr(app, "state", None)
    if state is not None:
        state.draining = draining
    config = _Config(
        app,
        http=GuardedProtocol,
        ws="none",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        proxy_headers=False,
    )
    config.base_url = http.base_url
    listener = _listen(http.host, http.port if port is None else port)
    await _Server(config, stopping, draining).serve(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise PortTaken(f"{host}:{port} cannot be listened on: {error.strerror}.") from None
