"""The guarded server, over real sockets: what it refuses before an app sees a request, and that it answers in order."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest
from starlette.types import Receive, Scope, Send

from services.kernel import http_server
from services.kernel.http_errors import ClientLeft
from services.kernel.http_request import read_body
from services.kernel.settings import HttpSettings
from tests.support.raw_http import answers, exchange, read_all


class EchoApp:
    """Answers with the body; remembers what it was asked, and who left."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.left = 0
        self.gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            body = await read_body(scope["headers"], receive, 1_000_000)
        except ClientLeft:
            self.left += 1
            return
        self.bodies.append(body)
        if scope["path"] == "/slow":
            await asyncio.sleep(0.3)
        while scope["path"] == "/never" and not self.gone:
            await asyncio.sleep(0.01)
        if scope["path"] == "/endless":
            await self._endless(send)
            return
        answer = scope["path"].encode() + b" " + body
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})

    async def _endless(self, send: Send) -> None:
        """Sends until the server says by returning without effect that nobody is there; each `send` may wait for the reader."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not self.gone:
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            await asyncio.sleep(0.001)


class Running:
    def __init__(self) -> None:
        self.app = EchoApp()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.settings = HttpSettings(port=self.port, management_port=0)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        serving = asyncio.create_task(http_server.serve(self.app, self.settings, stop=self._stop))
        while not serving.done():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            break
        self._ready.set()
        await serving

    def start(self) -> None:
        self._thread.start()
        self._ready.wait(10)

    def ask_to_stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.ask_to_stop()
            self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(http_server, "HEAD_TIMEOUT_S", 0.6)
    monkeypatch.setattr(http_server, "BODY_STALL_S", 0.6)
    monkeypatch.setattr(http_server, "ANSWER_STALL_S", 0.6)
    monkeypatch.setattr(http_server, "SWEEP_EVERY_TICKS", 1)
    running = Running()
    running.start()
    yield running
    running.app.gone = True
    running.stop()


HOST = b"Host: here\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "address-too-long"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431, "headers-too-large"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 700_000, 431, "headers-too-large"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 2_000 + b"\r\n", 431, "headers-too-large"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "bad-request"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "bad-request"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad-request"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n", 400, "bad-request"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400, "bad-request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad-request"),
        (b"GET /\r\n\r\n", 400, "bad-request"),
        (b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", 400, "bad-request"),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 400, "bad-request"),
        (b"\x16\x03\x01\x02\x00\x01", 400, "bad-request"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n", 400, "bad-request"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_trusted_is_refused_before_the_app(
    server: Running, request_bytes: bytes, status: int, code: str
) -> None:
    (answer,) = answers(exchange(server.port, request_bytes))
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    document = msgspec.json.decode(answer.body)
    assert (document["code"], document["status"]) == (code, status)
    assert document["type"] == f"http://127.0.0.1:{server.port}/problems/{code}"
    assert server.app.bodies == []


def test_a_head_that_stalls_is_closed(server: Running) -> None:
    received = exchange(server.port, b"GET / HTTP/1.1\r\nHo", within_s=5)
    assert answers(received)[0].status == 408


def test_a_head_that_drips_is_closed_too(server: Running) -> None:
    received = exchange(server.port, *[b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 20], pause_s=0.1)
    assert answers(received)[0].status == 408


def test_a_connection_that_never_speaks_is_closed_without_a_word(server: Running) -> None:
    assert exchange(server.port, within_s=5) == b""


@pytest.mark.parametrize(
    "start", [b"Content-Length: 100\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
)
def test_a_body_that_stalls_is_408_and_the_app_learns_that_the_client_left(server: Running, start: bytes) -> None:
    (answer,) = answers(exchange(server.port, b"POST / HTTP/1.1\r\n" + HOST + start))
    assert answer.status == 408
    assert msgspec.json.decode(answer.body)["code"] == "request-timeout"
    assert (server.app.bodies, server.app.left) == ([], 1)


def test_a_body_that_drips_is_a_stall_too(server: Running) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n"
    (answer,) = answers(exchange(server.port, head, *[b"a"] * 20, pause_s=0.1))
    assert answer.status == 408


def test_a_slow_body_that_keeps_coming_is_read_whole(server: Running) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: 40000\r\n\r\n"
    (answer,) = answers(exchange(server.port, head, *[b"a" * 4_000] * 10, pause_s=0.1))
    assert (answer.status, server.app.bodies) == (200, [b"a" * 40_000])


def test_an_answer_that_does_not_begin_is_503(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "ANSWER_WITHIN_S", 0.4)
    request = b"POST /never HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx"
    (answer,) = answers(exchange(server.port, request, within_s=5))
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert msgspec.json.decode(answer.body)["code"] == "unavailable"


def test_an_answer_that_nobody_reads_is_cut_off(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n")
        time.sleep(2.5)
        with suppress(ConnectionResetError):
            rest = 0
            while piece := connection.recv(1 << 20):
                rest += len(piece)
                assert rest < 100 << 20, "the answer goes on"


def test_an_answer_that_is_read_slowly_goes_on(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n")
        for _ in range(25):
            time.sleep(0.1)
            assert connection.recv(1 << 20)


def test_pipelined_requests_are_answered_in_order(server: Running) -> None:
    names = ["slow", "b", "slow", "c", "d"]
    sent = b"".join(
        b"POST /%b HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\n\r\n%d" % (name.encode(), number)
        for number, name in enumerate(names)
    )
    received = answers(exchange(server.port, sent, within_s=2))
    assert [answer.body for answer in received] == [b"/%b %d" % (n.encode(), i) for i, n in enumerate(names)]


def test_an_answer_under_way_goes_out_before_a_bad_request_behind_it_closes_the_connection(server: Running) -> None:
    good = b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n"
    received = answers(exchange(server.port, good + b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"))
    assert [answer.status for answer in received] == [200]


def test_a_bad_chunk_after_the_head_is_400_and_nothing_reaches_the_app(server: Running) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    (answer,) = answers(exchange(server.port, head, b"5\r\nab", b"c\r\nxyz\r\n0\r\n\r\n", pause_s=0.1))
    assert (answer.status, server.app.bodies, server.app.left) == (400, [], 1)


def test_a_client_that_leaves_mid_body_is_noticed(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nab")
    server.stop()
    assert (server.app.bodies, server.app.left) == ([], 1)


def test_a_request_under_way_is_answered_when_the_server_stops(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"POST /slow HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx")
        while not server.app.bodies:
            pass
        server.ask_to_stop()
        assert answers(read_all(connection))[0].body == b"/slow x"
    server.stop()


def test_a_connection_too_many_is_503_with_a_time_to_wait(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 0)
    (answer,) = answers(exchange(server.port, b""))
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_a_taken_port_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = HttpSettings(port=taken.getsockname()[1], management_port=0)
        with pytest.raises(http_server.PortTaken, match=str(settings.port)):
            await http_server.serve(EchoApp(), settings, stop=asyncio.Event())
