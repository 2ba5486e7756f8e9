"""Bytes on a socket: requests that no client library would send, and what comes back."""

import contextlib
import socket
import time
from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def exchange(port: int, *pieces: bytes, within_s: float = 5.0, pause_s: float = 0.0) -> bytes:
    """Sends the pieces on one connection and reads until the server closes it or is silent for `within_s`."""
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as connection:
        for index, piece in enumerate(pieces):
            if index and pause_s:
                time.sleep(pause_s)
            with contextlib.suppress(OSError):  # the server may have answered and closed already
                connection.sendall(piece)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def answers(received: bytes) -> list[Answer]:
    """The answers in what was received, in order; every answer of these services has a content-length."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        found.append(Answer(int(first.split(" ")[1]), headers, rest[:length]))
        received = rest[length:]
    return found
