"""`salescycle config show`: every setting, what it is, and where that came from; never a password or a key."""

import json
import os
import re
from collections.abc import Container, Iterator
from typing import Annotated, Any, NamedTuple

import typer
from pydantic import BaseModel, SecretStr

from services.cli import settings
from services.lifecycle.settings import Settings as LifecycleSettings
from services.projections.settings import Settings as ProjectionsSettings

app = typer.Typer(no_args_is_help=True, help="The settings.")


class Setting(NamedTuple):
    """One variable, its value without secrets, and where the value came from."""

    variable: str
    value: str
    source: str


@app.command()
def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")] = False,
) -> None:
    """Show every setting of the command and the services: its variable, its value, where that came from. No secrets."""
    by_hand = frozenset(name.upper() for name in os.environ)
    file = settings.environment_file()
    left = settings.read_environment(file).keys()
    given = settings.load()
    fields = {
        path: value for part in (LifecycleSettings(), ProjectionsSettings(), given) for path, value in _flat(part)
    }
    rows = [
        Setting(
            settings.variable(*path),
            _without_secrets(value),
            "environment variable" if _sets(by_hand, path) else str(file) if _sets(left, path) else "default",
        )
        for path, value in fields.items()
    ]
    if as_json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
        return
    for row in rows:
        print(f"{row.variable}={row.value}  # {row.source}")


def _flat(part: BaseModel, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, value) of every field, those of nested parts one by one."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, BaseModel):
            yield from _flat(value, *above, name)
        else:
            yield (*above, name), value


def _sets(variables: Container[str], path: tuple[str, ...]) -> bool:
    """A field is set by its own variable, or by that of a part above it, as JSON."""
    return any(settings.variable(*path[:length]) in variables for length in range(1, len(path) + 1))


def _without_secrets(value: Any) -> str:
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return _without_secrets(secret) if "://" in secret else "***"
    if isinstance(value, tuple):
        return "; ".join(" ".join(_without_secrets(each) for _, each in _flat(part)) for part in value)
    if value is None:
        return ""
    without_user = re.sub(r"(://[^:@/]*):.*@", r"\1:***@", str(value))
    return re.sub(r"([?&]\w*password=)[^&]*", r"\1***", without_user)
