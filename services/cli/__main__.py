"""The `salescycle` command. Each command is a function of a module of its own; here they only get their names."""

import logging
import sys

import asyncpg
import httpx
import structlog
import typer
from rich.console import Console

from services.cli import (
    apache_kafka,
    bench,
    config,
    doctor,
    importer,
    keys,
    migrate,
    parked,
    pipelines,
    rebuild,
    schemas,
    tail,
    topics,
    up,
    verify,
)
from services.cli.machine import CannotStart
from services.kernel.errors import SalescycleError

commands = typer.Typer(
    name="salescycle",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The sales lifecycle on an event log: start it, feed it, look at it, prove it.",
)
commands.command()(up.up)
commands.command()(up.down)
commands.command()(up.reset)
commands.command()(migrate.migrate)
commands.command()(doctor.doctor)
commands.command("import")(importer.import_)
commands.command()(tail.tail)
commands.command()(verify.verify)
commands.command()(rebuild.rebuild)
commands.add_typer(parked.app, name="parked")
commands.add_typer(pipelines.app, name="pipelines")
commands.command()(apache_kafka.kafka)
commands.command()(bench.bench)
commands.add_typer(topics.app, name="topics")
commands.add_typer(keys.app, name="keys")
commands.add_typer(schemas.app, name="schemas")
commands.add_typer(config.app, name="config")


def app() -> None:
    """Run one command. What stands in its way is one clear message and exit code 1, never a traceback."""
    # What aiokafka logs of a broker that does not answer is said by our own message, with what to do.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # What a service logs of its steps, a command shows as progress.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        commands()
    except (CannotStart, SalescycleError) as refused:
        _complain(str(refused))
    except httpx.ConnectError as refused:
        _complain(
            f"Nothing answers at {refused.request.url}. Start the system here with `make up`, or say where it is: "
            "SALESCYCLE_LIFECYCLE_URL, SALESCYCLE_PROJECTIONS_URL"
        )
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError):
        _complain("PostgreSQL does not let us in: check the user and password in SALESCYCLE_POSTGRES__URL")
    except (OSError, asyncpg.CannotConnectNowError) as refused:
        _complain(f"A server cannot be reached: {refused}. `salescycle doctor` looks at each of them")


def _complain(message: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(message, markup=False)
    sys.exit(1)


if __name__ == "__main__":
    app()
