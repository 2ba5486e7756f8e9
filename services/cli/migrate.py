"""`salescycle migrate`: bring the schemas of all services to the newest level; doing it again changes nothing."""

import asyncio

import asyncpg

from services.cli import settings
from services.kernel import migrate as kernel
from services.kernel.placements import migrate_placements
from services.kernel.settings import KernelSettings

PROJECTIONS_SCHEMA = "projections"
LIFECYCLE_SCHEMA = "lifecycle"


async def migrate_all(given: KernelSettings) -> list[kernel.Migration]:
    """Every schema of every service; returns what was applied now.

    Raises:
        kernel.migrate.MigrationError: the store is newer than this program, or a migration was edited.
    """
    done = await migrate_placements(
        LIFECYCLE_SCHEMA, given.log.partitions, given.log.placements, given.postgres, [kernel.LOG]
    )
    connection = await asyncpg.connect(given.postgres.url.get_secret_value(), timeout=10)
    try:
        done += await kernel.migrate(connection, PROJECTIONS_SCHEMA, [kernel.CONSUMER])
    finally:
        await connection.close()
    return done


def migrate() -> None:
    """Bring the schemas of all services to the newest level."""
    for migration in asyncio.run(migrate_all(settings.load())):
        print(f"{migration.component}/{migration.number:04}_{migration.name}")
    print("The schemas are at the newest level")
