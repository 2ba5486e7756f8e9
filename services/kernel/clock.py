"""The only place that reads the wall clock or makes random ids, so that everything else can be given both."""

import secrets
from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)


def random_token(size: int = 8) -> str:
    """A random lower-case hex string of 2·`size` characters."""
    return secrets.token_hex(size)
