"""Generations of a read model and their checkpoints; effect and checkpoint commit together or not at all.

A generation is a schema of its own, `<model>_g<n>`, made from the model's own DDL. Queries follow the row that names the
live one; a rebuild fills another beside it and swaps. Read models are disposable, so their tables have no migrations.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import asyncpg
import msgspec

from schemas.envelope import Recorded
from services.kernel.errors import Diverged, SalescycleError
from services.kernel.postgres import Connection


class ReadModel(Protocol):
    """Something that is folded from the log into tables of its own, one partition at a time."""

    name: str
    tables_sql: str
    indexes_sql: str

    @property
    def made_with(self) -> Mapping[str, str]:
        """What its rows depend on besides events, by name: tables, fold, configuration. Another one needs a rebuild."""

    async def apply(self, connection: Connection, partition: int, events: Sequence[Recorded]) -> None:
        """Take `events` (one partition, dense, ascending) into account, inside the caller's transaction.

        Raises:
            Poison: an event cannot be applied however often it is tried; `extra["stream"]` names its lead.
        """

    def forget(self) -> None:
        """Drop what is remembered between batches: another process may have written, or a transaction was undone."""

    async def checksum(self, connection: Connection, partition: int) -> bytes:
        """A digest of everything the model holds of a partition, whatever order it was written in."""


class Checkpoint(NamedTuple):
    """How far a generation has come in a partition: the last event applied, and the time mark it has reached."""

    position: int = 0
    event_id: str | None = None
    through: datetime | None = None


class Fenced(SalescycleError):
    """Someone else moved the checkpoint: this process no longer owns the partition, and nothing was written."""

    code = "fenced"
    title = "Another process applies this partition"


class Swapped(SalescycleError):
    """Another generation is live now; go on with that one."""

    code = "swapped"
    title = "Another generation is live"


def schema_of(model: str, generation: int) -> str:
    return f"{model}_g{generation}"


async def create_generation(connection: Connection, model: ReadModel, partitions: int, *, live: bool) -> int:
    """Make an empty generation with checkpoints at 0; with its indexes where it serves at once. Returns its number."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"generation {model.name}")
        number = await connection.fetchval(
            "SELECT coalesce(max(generation), 0) + 1 FROM generation WHERE model = $1", model.name
        )
        home = await connection.fetchval("SELECT current_schema()")
        schema = schema_of(model.name, number)
        await connection.execute(f'CREATE SCHEMA "{schema}"')
        await connection.execute(f'SET LOCAL search_path = "{schema}"')
        await connection.execute(model.tables_sql)
        if live:
            await connection.execute(model.indexes_sql)
        await connection.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO salescycle_reader')
        await connection.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO salescycle_reader')
        await connection.execute(f'SET LOCAL search_path = "{home}"')
        await connection.execute(
            "INSERT INTO generation (model, generation, state, made_with, swapped_at) "
            "VALUES ($1, $2, $3, CAST($4 AS jsonb), CASE WHEN $3 = 'live' THEN now() END)",
            model.name, number, "live" if live else "building", msgspec.json.encode(dict(model.made_with)).decode(),
        )  # fmt: skip
        await connection.executemany(
            "INSERT INTO checkpoint (model, generation, partition) VALUES ($1, $2, $3)",
            [(model.name, number, partition) for partition in range(partitions)],
        )
        if live:
            await connection.execute(
                "INSERT INTO read_model (name, live_generation) VALUES ($1, $2)", model.name, number
            )
        return int(number)


async def live_generation(connection: Connection | asyncpg.Pool, model: str) -> int | None:
    number: int | None = await connection.fetchval("SELECT live_generation FROM read_model WHERE name = $1", model)
    return number


async def made_otherwise(connection: Connection | asyncpg.Pool, model: ReadModel, generation: int) -> str | None:
    """In words, what a generation was made with that `model` does not have; None where its rows and ours add up."""
    found = await connection.fetchval(
        "SELECT made_with FROM generation WHERE model = $1 AND generation = $2", model.name, generation
    )
    theirs: dict[str, str] = msgspec.json.decode(found or "{}")
    names = sorted(name for name in {*theirs, *model.made_with} if theirs.get(name) != model.made_with.get(name))
    return (
        ", ".join(f"{name} {theirs.get(name)} (this program has {model.made_with.get(name)})" for name in names) or None
    )


async def ensure_servable(pool: asyncpg.Pool, model: ReadModel, partitions: int) -> int:
    """The live generation, which this program can go on with.

    Raises:
        Diverged: it was made with other tables, fold, pipelines or zone, so its rows and ours would not add up.
    """
    live = await ensure_live(pool, model, partitions)
    if otherwise := await made_otherwise(pool, model, live):
        raise Diverged(f"generation {live} of {model.name} was made with {otherwise}.")
    return live


async def ensure_live(pool: asyncpg.Pool, model: ReadModel, partitions: int) -> int:
    """The live generation, made empty where there is none. Several processes may ask at once."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"first generation {model.name}")
        return await live_generation(connection, model.name) or await create_generation(
            connection, model, partitions, live=True
        )


async def checkpoints(connection: Connection | asyncpg.Pool, model: str, generation: int) -> dict[int, Checkpoint]:
    rows = await connection.fetch(
        "SELECT partition, position, event_id, through FROM checkpoint WHERE model = $1 AND generation = $2",
        model,
        generation,
    )
    return {row[0]: Checkpoint(row[1], row[2], row[3] if isinstance(row[3], datetime) else None) for row in rows}


async def parked_leads(connection: Connection | asyncpg.Pool, model: str, generation: int) -> int:
    """How many leads of a generation wait for an operator, because one of their events could not be applied."""
    found: int = await connection.fetchval(
        "SELECT count(DISTINCT stream) FROM parked WHERE model = $1 AND generation = $2", model, generation
    )
    return found


async def begin_apply(
    connection: Connection, model: str, generation: int, partition: int, *, live: bool,
    known: Checkpoint, last: Recorded,
) -> None:  # fmt: skip
    """First statement of an applied batch's transaction: moves the checkpoint from `known` to `last`, or refuses.

    Raises:
        Swapped: `live` was asked for, and another generation is.
        Fenced: the checkpoint is not where the caller thinks it is.
    """
    answer = await connection.fetchval(
        "SELECT begin_apply($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        model, generation, partition, live, known.position, known.event_id, last.position, last.id, last.recorded_at,
    )  # fmt: skip
    if answer == "swapped":
        raise Swapped(f"generation {generation} of {model} is no longer live")
    if answer == "fenced":
        raise Fenced(f"partition {partition} of {model} is not at {known.position} any more")


async def mark_through(
    connection: Connection | asyncpg.Pool, model: str, generation: int, marks: Sequence[tuple[int, int, datetime]]
) -> None:
    """Take over the log's time mark for partitions (partition, position, through) that have nothing left to read."""
    await connection.execute(
        "UPDATE checkpoint AS c SET through = greatest(c.through, u.through) "
        "FROM unnest(CAST($3 AS smallint[]), CAST($4 AS bigint[]), CAST($5 AS timestamptz[])) AS u (partition, position, through) "
        "WHERE c.model = $1 AND c.generation = $2 AND c.partition = u.partition AND c.position = u.position",
        model, generation, [mark[0] for mark in marks], [mark[1] for mark in marks], [mark[2] for mark in marks],
    )  # fmt: skip


async def swap(connection: Connection, model: ReadModel, generation: int, *, even_behind: bool = False) -> int | None:
    """Make `generation` the live one if it is as far as the live one in every partition.

    `even_behind`: the live one is of another history, so its positions mean nothing.
    Returns the number of the one that was live before, or None where the new one is still behind: catch up, try again.

    Raises:
        SalescycleError: it is not there to be swapped in, or was made with something else than `model` has.
    """
    name = model.name
    async with connection.transaction():
        before = await connection.fetchval("SELECT live_generation FROM read_model WHERE name = $1 FOR UPDATE", name)
        state = await connection.fetchval(
            "SELECT state FROM generation WHERE model = $1 AND generation = $2 FOR UPDATE", name, generation
        )
        if state not in ("building", "old"):
            raise SalescycleError(f"generation {generation} of {name} cannot go live: it is {state or 'not there'}")
        if otherwise := await made_otherwise(connection, model, generation):
            raise SalescycleError(f"generation {generation} of {name} cannot go live: it was made with {otherwise}")
        behind = await connection.fetchval(
            "SELECT count(*) FROM checkpoint AS old JOIN checkpoint AS new USING (model, partition) "
            "WHERE old.model = $1 AND old.generation = $2 AND new.generation = $3 AND new.position < old.position",
            name, before, generation,
        )  # fmt: skip
        if behind and not even_behind:
            return None
        await connection.execute("UPDATE read_model SET live_generation = $2 WHERE name = $1", name, generation)
        await connection.execute(
            "UPDATE generation SET state = 'old' WHERE model = $1 AND generation = $2", name, before
        )
        await connection.execute(
            "UPDATE generation SET state = 'live', swapped_at = now() WHERE model = $1 AND generation = $2",
            name,
            generation,
        )
        return int(before)


async def drop_generation(connection: Connection, model: str, generation: int) -> None:
    """Drop a generation that is not live, with its checkpoints and parked events."""
    async with connection.transaction():
        if (
            await connection.fetchval("SELECT live_generation FROM read_model WHERE name = $1 FOR SHARE", model)
            == generation
        ):
            raise SalescycleError(f"generation {generation} of {model} is live; swap before you drop it")
        await connection.execute(f'DROP SCHEMA IF EXISTS "{schema_of(model, generation)}" CASCADE')
        await connection.execute("DELETE FROM checkpoint WHERE model = $1 AND generation = $2", model, generation)
        await connection.execute("DELETE FROM parked WHERE model = $1 AND generation = $2", model, generation)
        await connection.execute(
            "UPDATE generation SET state = 'dropped' WHERE model = $1 AND generation = $2", model, generation
        )
