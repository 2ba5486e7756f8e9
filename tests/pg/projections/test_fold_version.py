"""A change of the fold that changes rows must raise its version: otherwise old rows and new ones would be added up."""

from collections.abc import Iterable
from hashlib import blake2b

import asyncpg
import msgspec

from schemas.events import EVENTS
from services.projections.pipeline.model import FOLD, LEDGERS
from tests.pg.projections.conftest import NewProjected
from tests.support.builders import EXAMPLES
from tests.unit.projections.histories import Log, random_log

GOLDEN = (6, "834ac023a05b50f61cce99cbcc5a7359", "abbf7c80bb493d68ef9a2e6a3b1771f3")
"""The version of the fold, and digests of a log and of the rows it gives. Where the rows are others though the log is the
same, raise `FOLD` too; where only the log is another, just write down the new digests."""


def digest(lines: Iterable[str]) -> str:
    return blake2b("\n".join(sorted(lines)).encode(), digest_size=16).hexdigest()


async def rows_of(connection: asyncpg.Connection) -> list[str]:
    """All rows as text, for no two servers agree for sure on how they hash a row."""
    await connection.execute("SET timezone = 'UTC'")
    tables = ["subject_record"]
    for ledger in LEDGERS:
        tables += [ledger.name, f"{ledger.name}_profile", *([f"{ledger.name}_cell"] if ledger.cells else [])]
    return [f"{table} {row[0]}" for table in tables for row in await connection.fetch(f"SELECT t::text FROM {table} t")]


async def test_other_rows_of_the_same_events_are_another_version_of_the_fold(projected: NewProjected) -> None:
    every_type = Log()
    for kind, data in EXAMPLES.items():
        if "lead" in EVENTS[kind].streams:
            every_type.post("X-1", kind, "2025-03-30T00:30Z", "2025-04-30T00:30Z", **data)
    log = random_log(7, leads=60) + every_type.events
    pipeline = await projected()
    await pipeline.deliver(log, batch=50)
    found = (
        FOLD,
        digest(msgspec.json.encode(event).decode() for event in log),
        digest(await rows_of(pipeline.connection)),
    )
    assert found == GOLDEN, f"{found}: see GOLDEN for what to do"
