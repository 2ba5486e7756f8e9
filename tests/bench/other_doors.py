"""Doors to compare with: one on our own server that only parses the body, and FastAPI with a transaction for each request."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import uvicorn
import uvloop
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from services.kernel import http
from services.kernel.settings import HttpSettings
from tests.bench.append import PLAIN_TABLE

_ANSWER = msgspec.json.encode(
    {
        "id": "17c3a-12345", "source": "/bench", "subject": "lead/H-1234", "version": 17, "partition": 7, "position": 12345,
        "recorded_at": "2026-01-05T10:00:00.000000Z",
    }
)  # fmt: skip


async def only_parse(scope: Any, receive: Any, send: Any) -> None:
    """As much answer as ours, no more work than to read the JSON."""
    msgspec.json.decode(await http.read_body(scope["headers"], receive, http.MAX_SINGLE_BYTES))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": _ANSWER})


class Posted(BaseModel):
    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    data: dict[str, Any]


def one_transaction_each(url: str) -> FastAPI:
    """What one writes first: a model, a pool, a transaction that reads the version and inserts the next."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.pool = await asyncpg.create_pool(url, min_size=16, max_size=16)
        await app.state.pool.execute(PLAIN_TABLE)
        yield
        await app.state.pool.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/events", status_code=201)
    async def store(event: Posted) -> dict[str, Any]:
        data = msgspec.json.encode(event.data).decode()
        for _ in range(5):
            try:
                async with app.state.pool.acquire() as connection, connection.transaction():
                    version = await connection.fetchval(
                        "SELECT coalesce((SELECT version FROM plain_event WHERE stream = $1 ORDER BY version DESC LIMIT 1), 0)",
                        event.subject,
                    )
                    position = await connection.fetchval(
                        "INSERT INTO plain_event (stream, version, type, source, id, occurred_at, data) "
                        "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING position",
                        event.subject, version + 1, event.type, event.source, event.id, event.time, data,
                    )  # fmt: skip
                return {"id": event.id, "subject": event.subject, "version": version + 1, "position": position}
            except asyncpg.UniqueViolationError:
                continue
        raise HTTPException(409)

    return app


def main() -> None:
    which, port, url = sys.argv[1:4]
    if which == "only-parse":
        uvloop.run(http.serve(only_parse, HttpSettings(port=int(port), management_port=1)))
    else:
        config = uvicorn.Config(one_transaction_each(url), port=int(port), log_level="warning", access_log=False)
        uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
