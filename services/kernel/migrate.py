"""Numbered SQL migrations, each applied once and in order, under a lock; functions are replaced whenever they change.

A component is a folder of `NNNN_name.sql` files; a service's schema is made of one or more components. What was applied
is remembered with its checksum: a migration that changed after it was applied is refused.
"""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

import asyncpg

from services.kernel.errors import SalescycleError


class MigrationError(SalescycleError):
    code = "migration"
    title = "The schema cannot be migrated"


class Component(NamedTuple):
    """A folder of migrations (a package path) and functions to replace (package path, file name without .sql)."""

    name: str
    package: str
    functions: tuple[tuple[str, str], ...] = ()


class Migration(NamedTuple):
    component: str
    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations_of(component: Component) -> list[Migration]:
    """The migrations of a component, ascending. Raises MigrationError on a hole in the numbers."""
    found = []
    for file in files(component.package).iterdir():
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            found.append(Migration(component.name, int(number), name, file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"the migrations of {component.name} are not numbered 1, 2, 3 …")
    return found


async def migrate(connection: asyncpg.Connection, schema: str, components: Sequence[Component]) -> list[Migration]:
    """Bring `schema` to the newest level; returns what was applied now. One transaction: all of it or nothing.

    Raises:
        MigrationError: a migration was edited after it was applied, or the store is newer than this program.
    """
    async with connection.transaction():
        await one_at_a_time(connection)
        await connection.execute("SET LOCAL lock_timeout = '10s'")
        await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        await connection.execute(f'SET LOCAL search_path = "{schema}"')
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migration (component text, number integer, name text NOT NULL, "
            "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (component, number))"
        )
        applied = {
            (row["component"], row["number"]): row["checksum"]
            for row in await connection.fetch("SELECT component, number, checksum FROM migration")
        }
        done = []
        for component in components:
            known = migrations_of(component)
            newest = max((number for name, number in applied if name == component.name), default=0)
            if newest > len(known):
                raise MigrationError(
                    f"{schema} is at level {newest} of {component.name}, this program knows {len(known)}: run a newer one"
                )
            for migration in known:
                checksum = applied.get((component.name, migration.number))
                if checksum is None:
                    await connection.execute(migration.text)
                    await connection.execute(
                        "INSERT INTO migration (component, number, name, checksum) VALUES ($1, $2, $3, $4)",
                        component.name, migration.number, migration.name, migration.checksum,
                    )  # fmt: skip
                    done.append(migration)
                elif checksum != migration.checksum:
                    raise MigrationError(
                        f"{component.name}/{migration.number:04}_{migration.name}.sql was edited after it was applied; "
                        "put the old text back and write a new migration"
                    )
            for package, function in component.functions:
                await connection.execute(files(package).joinpath(f"{function}.sql").read_text(encoding="utf-8"))
        return done


async def one_at_a_time(connection: asyncpg.Connection) -> None:
    """Wait until nobody else changes the layout of a store, and keep others out until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('salescycle.migrate'))")


async def level(connection: asyncpg.Connection, schema: str) -> dict[str, int]:
    """The newest applied number by component; empty where the schema was never migrated."""
    if await connection.fetchval("SELECT to_regclass($1)", f"{schema}.migration") is None:
        return {}
    rows = await connection.fetch(
        f'SELECT component, max(number) AS number FROM "{schema}".migration GROUP BY component'
    )
    return {row["component"]: row["number"] for row in rows}


LOG = Component("log", "services.kernel.migrations.log", (("services.kernel.sql", "append"),))
CONSUMER = Component(
    "consumer",
    "services.kernel.migrations.consumer",
    (("services.kernel.sql", "begin_apply"), ("services.kernel.sql", "share_ownership")),
)
