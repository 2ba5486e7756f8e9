"""Loads SQL from files beside the code, so that it is read, reviewed and explained as SQL."""

from functools import cache
from importlib.resources import files


@cache
def sql(package: str, name: str) -> str:
    """The text of `<package>/<name>.sql`, without full-line comments (a `:word` in one would become a bind)."""
    text = files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--")).strip()
