"""Load over HTTP: `wrk` where it is installed, else (and for open loops and batches) asyncio on raw sockets."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections import deque
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any

import msgspec
import uvloop

from tests.bench.history import activity
from tests.bench.meter import Meter, main

LEADS = 5_000
WARM_UP_S = 1.0
_EVENT = '{"specversion":"1.0","id":"%s","source":"/bench","type":"ActivityLogged","subject":"lead/H-%d","time":"%s","data":%s}'

_LUA = """
local event = [==[EVENT]==]
local number, stamp = 0, ""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer KEY"
request = function()
  if number % 200 == 0 then stamp = os.date("!%Y-%m-%dT%H:%M:%SZ") end
  number = number + 1
  return wrk.format(nil, "/v1/events", nil, string.format(event, "MARK-" .. number, number * 7919 % LEADS, stamp))
end
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"refused":%d,"broken":%d,"us":%d,"p50":%f,"p99":%f}\\n', summary.requests,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout, summary.duration,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


def installed() -> bool:
    return shutil.which("wrk") is not None


def _data() -> str:
    return msgspec.json.encode(activity(Random(2))).decode()


async def wrk(port: int, key: str, connections: int, seconds: float) -> dict[str, Any]:
    """Closed loop over `connections`, each request another event. One thread of C and LuaJIT."""

    def run(how_long_s: float, mark: str) -> dict[str, Any]:
        event = _EVENT.removesuffix("%s}") + _data() + "}"
        text = _LUA.replace("EVENT", event).replace("KEY", key).replace("MARK", mark).replace("LEADS", str(LEADS))
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(text)
            script.flush()
            done = subprocess.run(
                ["wrk", "-t1", f"-c{connections}", f"-d{how_long_s:.0f}s", "-s", script.name, f"http://127.0.0.1:{port}"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found

    run(WARM_UP_S, f"{time.time_ns():x}")
    with Meter() as meter:
        found = run(max(2, seconds), f"{time.time_ns():x}")
    if found["refused"] or found["broken"]:
        raise AssertionError(f"requests failed: {found}")
    meter.seconds = found["us"] / 1e6
    return meter.answer(found["requests"], None, p50_ms=found["p50"], p99_ms=found["p99"], by="wrk")


class Connection(asyncio.Protocol):
    """One kept-alive connection: `await request(raw)` gives (status, body)."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: Any = None

    @classmethod
    async def open(cls, port: int) -> "Connection":
        _, made = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return made

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._buffer.lower().find(b"content-length:", 0, end)
        length = int(self._buffer[at + 15 : self._buffer.index(b"\r\n", at)])
        if len(self._buffer) < end + 4 + length:
            return
        answer, self._buffer = self._buffer, b""
        assert self._answer is not None
        self._answer.set_result((int(answer[9:12]), answer[end + 4 :]))

    async def request(self, raw: bytes) -> tuple[int, bytes]:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._answer

    def close(self) -> None:
        self._transport.close()


def post(body: bytes, key: str, kind: str = "application/json") -> bytes:
    return b"POST /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (
        key.encode(), kind.encode(), len(body), body,
    )  # fmt: skip


class Events:
    """Requests, each with other events than all before."""

    def __init__(self, key: str, batch: int = 1) -> None:
        self._key = key
        self._batch = batch
        self._mark = f"{time.time_ns():x}"
        self._numbers = count()
        self._data = _data()

    def one(self) -> str:
        number = next(self._numbers)
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return _EVENT % (f"{self._mark}-{number}", number * 7919 % LEADS, stamp, self._data)

    def request(self) -> bytes:
        if self._batch == 1:
            return post(self.one().encode(), self._key)
        items = ",".join([self.one() for _ in range(self._batch)])
        return post(f"[{items}]".encode(), self._key, "application/cloudevents-batch+json")


def check(answer: tuple[int, bytes]) -> None:
    if answer[0] not in (200, 201) or (answer[1][:1] == b"[" and b'"status":4' in answer[1]):
        raise AssertionError(f"refused with {answer[0]}: {answer[1][:300]!r}")


async def warm(port: int, key: str) -> dict[str, Any]:
    """Make every lead known once, so that what is measured after is the same in every run."""
    events = Events(key, 500)
    connection = await Connection.open(port)
    for _ in range(LEADS // 500):
        check(await connection.request(events.request()))
    connection.close()
    return {"rate": 0}


async def closed(port: int, key: str, connections: int, seconds: float, batch: int = 1) -> dict[str, Any]:
    """Each connection sends its next request when the last is answered. `rate` counts events."""
    events = Events(key, batch)
    open_ones = [await Connection.open(port) for _ in range(connections)]
    latencies: list[float] = []

    async def drive(connection: Connection, until: float) -> None:
        while (began := time.perf_counter()) < until:
            check(await connection.request(events.request()))
            latencies.append(time.perf_counter() - began)

    await asyncio.gather(*(drive(each, time.perf_counter() + WARM_UP_S) for each in open_ones))
    latencies.clear()
    with Meter() as meter:
        await asyncio.gather(*(drive(each, time.perf_counter() + seconds) for each in open_ones))
    return meter.answer(len(latencies) * batch, latencies, by="asyncio")


async def paced(port: int, key: str, connections: int, seconds: float, rate: float) -> dict[str, Any]:
    """Open loop: requests fall due at an even pace whatever the answers do; a latency counts from when it was due."""
    events = Events(key)
    open_ones = [await Connection.open(port) for _ in range(connections)]
    due: deque[float] = deque()
    latencies: list[float] = []
    ready = asyncio.Condition()
    over = False

    async def drive(connection: Connection) -> None:
        while True:
            async with ready:
                await ready.wait_for(lambda: due or over)
                if not due:
                    return
                began = due.popleft()
            check(await connection.request(events.request()))
            latencies.append(time.perf_counter() - began)

    async def keep_pace(how_long_s: float) -> None:
        start, sent = time.perf_counter(), 0
        while (now := time.perf_counter()) < start + how_long_s:
            while sent < (now - start) * rate:
                due.append(start + sent / rate)
                sent += 1
            async with ready:
                ready.notify(len(due))
            await asyncio.sleep(0.001)

    drivers = [asyncio.create_task(drive(each)) for each in open_ones]
    await keep_pace(WARM_UP_S)
    latencies.clear()
    with Meter() as meter:
        await keep_pace(seconds)
    over = True
    async with ready:
        ready.notify_all()
    await asyncio.gather(*drivers)
    return meter.answer(len(latencies), latencies, by="asyncio, open loop")


async def visible(door: int, query: int, key: str, rate: float, probes: float, seconds: float) -> dict[str, Any]:
    """`rate` events a second are posted; `probes` of them a second are asked for until the query shows them.

    A latency counts from sending the POST to the end of the answer of the query that includes the event.
    """
    events = Events(key)
    latencies: list[float] = []
    idle: deque[tuple[Connection, Connection]] = deque()
    running: set[asyncio.Task[None]] = set()

    async def one(probed: bool) -> None:
        posting, asking = idle.popleft() if idle else (await Connection.open(door), await Connection.open(query))
        began = time.perf_counter()
        answer = await posting.request(events.request())
        check(answer)
        if probed:
            place = msgspec.json.decode(answer[1])
            path = f"/v1/pipeline?min_position={place['partition']}:{place['position']}&timeout=5"
            asked = await asking.request(
                f"GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n\r\n".encode()
            )
            if asked[0] != 200 or b'"stale":true' in asked[1]:
                raise AssertionError(f"not visible: {asked[0]} {asked[1][:300]!r}")
            latencies.append(time.perf_counter() - began)
        idle.append((posting, asking))

    async def keep_pace(how_long_s: float) -> None:
        start, sent = time.perf_counter(), 0
        every = max(1, round(rate / probes))
        while (now := time.perf_counter()) < start + how_long_s:
            while sent < (now - start) * rate:
                task = asyncio.create_task(one(sent % every == 0))
                running.add(task)
                task.add_done_callback(running.discard)
                sent += 1
            await asyncio.sleep(0.001)

    await keep_pace(WARM_UP_S)
    latencies.clear()
    with Meter() as meter:
        await keep_pace(seconds)
    await asyncio.gather(*running)
    return meter.answer(round(rate * seconds), latencies, by="asyncio, open loop")


if __name__ == "__main__":
    main({"wrk": wrk, "closed": closed, "paced": paced, "visible": visible, "warm": warm}, uvloop.run)
