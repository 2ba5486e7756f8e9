"""Connections to PostgreSQL, and the one place that reads its errors.

A pool is bound to a schema (search_path) and to a role, so that what a service may not do, it cannot do.
"""

import asyncio
from typing import Any

import asyncpg
import asyncpg.pool

from services.kernel.errors import SalescycleError, Unavailable

UNREACHABLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # a primary that was demoted: the work belongs to the one that took its place
    asyncpg.DiskFullError,
    asyncpg.OutOfMemoryError,
)
"""What says nothing about the statement itself: the same work may be tried again, after looking whether it was done."""

TROUBLE: tuple[type[Exception], ...] = (asyncpg.PostgresError, *UNREACHABLE)
"""Anything that PostgreSQL or the way to it may raise."""

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
"""A connection, of a pool or not."""

STREAMS_MOVED = "SC001"
RECEIPTS_EXIST = "SC002"
WRONG_PLACEMENT = "SC003"


async def create_pool(
    url: str,
    *,
    schema: str,
    role: str | None,
    min_size: int,
    max_size: int,
    statement_timeout_ms: int = 30_000,
    plan_each_time: bool = False,
) -> asyncpg.Pool:
    """A pool whose connections see `schema` first and act as `role`.

    `plan_each_time` plans a statement for the values that it is given, not once for all: for searches, whose best way
    hangs on how many rows match.

    Raises:
        Unavailable: the server cannot be reached, or does not let us in.
    """
    server_settings = {
        "search_path": schema,
        "application_name": f"salescycle {role or schema}",
        "statement_timeout": str(statement_timeout_ms),
        "timezone": "UTC",
        "jit": "off",  # plans of milliseconds would pay hundreds for compilation
    }
    if plan_each_time:
        server_settings["plan_cache_mode"] = "force_custom_plan"
    if role:
        server_settings["role"] = role
    try:
        return await asyncpg.create_pool(
            url,
            reset=_leave_as_it_is,
            min_size=min_size,
            max_size=max_size,
            server_settings=server_settings,
            timeout=10,
            command_timeout=60,
        )
    except TROUBLE as error:
        hint = "" if isinstance(error, UNREACHABLE) else "; `salescycle migrate` makes the schemas and roles"
        raise Unavailable(f"PostgreSQL cannot be used: {described(error)}{hint}") from error


async def close_pool(pool: asyncpg.Pool, within_s: float = 5.0) -> None:
    """Close the pool once its connections are given back; cut those that are not, so that a process can leave.

    A connection that was cut, or whose acquiring was cancelled, may never be given back to the driver's pool.
    """
    try:
        async with asyncio.timeout(within_s):
            await pool.close()
    except TROUBLE:  # running out of time is among them
        pool.terminate()


async def _leave_as_it_is(_connection: asyncpg.Connection) -> None:
    """The driver's own reset is one more round trip for each use of a connection; here everything is SET LOCAL.

    An open transaction is rolled back by the driver before; who takes a session lock or listens gives it back himself.
    """


def described(error: BaseException) -> str:
    """What happened, without bind values: an error of PostgreSQL may quote them in its detail."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__} ({error.sqlstate})"
    return f"{type(error).__name__}: {error}" if isinstance(error, SalescycleError) else type(error).__name__


def sqlstate(error: BaseException) -> str | None:
    state: Any = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None
