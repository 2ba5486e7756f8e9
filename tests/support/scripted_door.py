"""A lifecycle service that fails as told: for answers that a real one gives too rarely to wait for."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec


class Reply(NamedTuple):
    """One answer: `status` None cuts the connection without a word, `wait_s` makes the caller wait for it."""

    status: int | None
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})
    wait_s: float = 0.0


class ScriptedDoor:
    """Gives the replies of the script in turn, the last one for ever; `requests` are the (headers, body) that came."""

    def __init__(self, script: Sequence[Reply]) -> None:
        self._script = list(script)
        self._lock = threading.Lock()
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.released = threading.Event()
        self.url = ""

    def next(self, headers: dict[str, str], body: bytes) -> Reply:
        with self._lock:
            self.requests.append((headers, body))
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]


@contextmanager
def scripted_door(*script: Reply) -> Iterator[ScriptedDoor]:
    door = ScriptedDoor(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = door.next({**headers, "path": self.path}, body)
            door.released.wait(reply.wait_s)
            if reply.status is None:
                self.close_connection = True
                return
            content = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    door.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield door
    finally:
        door.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
